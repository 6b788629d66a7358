// The provider's errors towards its own apps, as problem details. One table; knows nothing of routes.
// Source: RFC 9457; docs/protocol/03.
import type { Problem } from '@drawbridge/identity/problem-details';

export const problems = {
  'request-refused': {
    status: 400,
    title: 'Request refused',
    detail: 'Send JSON with exactly the documented members.',
  },
  'body-too-large': { status: 413, title: 'Body too large', detail: 'Send less than the documented limit.' },
  'media-type-refused': { status: 415, title: 'Media type refused', detail: 'Send the documented content type.' },
  'not-found': { status: 404, title: 'Not found', detail: 'Check the method and the path.' },
  'not-authorized': { status: 401, title: 'Not authorised', detail: 'Begin a session, and send it as a bearer token.' },
  'credentials-refused': {
    status: 401,
    title: 'Credentials refused',
    detail: 'Check the identifier and the password.',
  },
  'identifier-refused': {
    status: 400,
    title: 'Identifier refused',
    detail:
      'Choose 1 to 128 characters in normal form C, without control or invisible characters or space at the ends.',
  },
  'password-refused': { status: 400, title: 'Password refused', detail: 'Choose 8 characters to 512 bytes.' },
  'identifier-taken': { status: 409, title: 'Identifier taken', detail: 'Choose another identifier.' },
  'registration-closed': { status: 403, title: 'Registration closed', detail: 'Ask the provider for an account.' },
  'audience-refused': {
    status: 403,
    title: 'Audience refused',
    detail: 'Name a gatekeeper that this provider works with.',
  },
  'too-many-attempts': { status: 429, title: 'Too many attempts', detail: 'Try again after retryAfterSeconds.' },
  'too-many-streams': { status: 429, title: 'Too many streams', detail: 'Close one of the open wake-up streams.' },
  busy: { status: 503, title: 'Busy', detail: 'Try again after retryAfterSeconds.' },
  'internal-error': { status: 500, title: 'Internal error', detail: 'Try again later.' },
} as const satisfies Record<string, Problem>;

export type ProblemCode = keyof typeof problems;
