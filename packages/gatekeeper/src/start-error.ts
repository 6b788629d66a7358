// Why a gatekeeper does not start, in a sentence that says what to do.
// Knows nothing of what starts it. Storage, registry, keys and tokens have errors of their own.

export type StartErrorCode =
  | 'development-only'
  | 'certificate-unusable'
  | 'clock-wrong'
  | 'port-unusable'
  | 'data-too-new'
  | 'database-unusable'
  | 'bus-unusable'
  | 'stamp-secret-unusable';

export class StartError extends Error {
  readonly code: StartErrorCode;
  constructor(code: StartErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
