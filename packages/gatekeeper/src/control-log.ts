// What the gatekeeper tells its operator, line by line, and which fields a line may have. Knows nothing of where lines go.

/** The closed list: docs/data.md says what each holds, and a test compares them. Nothing of any person is among them. */
export const logFields = [
  ...(['code', 'provider', 'next', 'condition', 'at', 'failures', 'reason', 'of', 'count'] as const),
  ...(['seq', 'digest', 'daysLeft', 'fileLimit', 'connections', 'key', 'certificate'] as const),
  // Of the line that says what is listening.
  ...(['domain', 'host', 'port', 'tls', 'xmpp', 'xmpps', 'websocket'] as const),
  ...(['compact', 'compactWebsocket', 'http', 'admin', 'health'] as const),
] as const;

export type LogData = Readonly<Partial<Record<(typeof logFields)[number], string | number>>>;

/** One line for the operator: an event, a closed code, at most a provider number. Never anything of a person. */
export type ControlLog = (level: 'info' | 'warn' | 'error', event: string, data: LogData) => void;
