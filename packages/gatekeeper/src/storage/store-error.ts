// How storage fails, whichever store is behind the ports. Knows no store.

export type StoreErrorCode = 'disk-full' | 'store-failed' | 'store-closed' | 'store-overloaded';

/** A storage failure. Nothing of the failed command was written. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
