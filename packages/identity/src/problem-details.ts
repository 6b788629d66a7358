// Errors of an HTTP interface: a closed table of them, and the body of an answer. Knows no code: each interface has its table.
// Source: RFC 9457; docs/protocol/03-http.md.

/** `detail` says what to do. */
export type Problem = { readonly status: number; readonly title: string; readonly detail: string };

export type ProblemDetails<C extends string = string> = Problem & {
  readonly type: string;
  readonly code: C;
  readonly retryAfterSeconds?: number;
};

/** The body of an error answer; `detail` takes the place of the table's advice. */
export function problemDetails<C extends string>(
  table: Readonly<Record<C, Problem>>,
  code: C,
  more: { readonly retryAfterSeconds?: number | undefined; readonly detail?: string | undefined } = {},
): ProblemDetails<C> {
  const { status, title, detail } = table[code];
  return {
    type: `urn:drawbridge:problem:${code}`,
    code,
    status,
    title,
    detail: more.detail ?? detail,
    ...(more.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: more.retryAfterSeconds }),
  };
}
