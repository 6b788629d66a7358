// What a command on the machine itself gets that opens the admins and the clock of a gatekeeper: them, or an error. Knows no store.
import type { AdminAccounts } from '../admin/admin-accounts.ts';
import type { ClockStore } from '../clock/clock-store.ts';

/** The storage can't be used; the message says what to do. Nothing was changed. */
export class AdminStoreError extends Error {
  readonly code: 'no-database' | 'other-version';
  constructor(code: AdminStoreError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export type OpenAdmins = {
  readonly admins: AdminAccounts;
  readonly clock: ClockStore;
  readonly close: () => Promise<void>;
};
