// What the gatekeeper tells its operator, line by line. A type alone.

/** One line for the operator: an event, a closed code, at most a provider number. Never anything of a person. */
export type ControlLog = (
  level: 'info' | 'warn' | 'error',
  event: string,
  data: Readonly<Record<string, string | number>>,
) => void;
