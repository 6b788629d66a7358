// The mailbox's port on the embedded store.
// Knows nothing of streams or of who is there.
import type { MailboxStore } from '../../mailbox/mailbox-store.ts';
import type { SqliteStore } from './store.ts';

/** Devices looked up per read when the process starts or sweeps. */
const devicesPerRead = 1_000;

export function createSqliteMailbox(store: SqliteStore): MailboxStore {
  return {
    claim: (device, node) => store.run('mailboxClaim', { device, node }),
    release: (device, epoch) => store.run('mailboxRelease', { device, epoch }),
    append: (rows, bounds) => store.run('mailboxAppend', { rows, bounds }),
    remove: ranges => store.run('mailboxRemove', ranges),
    page: (device, epoch, afterSeq, maxCount, maxBytes) =>
      store.read('mailboxPage', { device, epoch, afterSeq, maxCount, maxBytes }),
    hasLoud: device => store.run('mailboxHasLoud', { device }),
    endOtherClaims: node => store.run('mailboxEndOtherClaims', { node }),
    expired: (nowMs, after, maxCount, maxBytes) => store.read('mailboxExpired', { nowMs, after, maxCount, maxBytes }),
    orphaned: (maxCount, maxBytes) => store.read('mailboxOrphaned', { maxCount, maxBytes }),
    removeOrphaned: (device, last, limit) => store.run('mailboxRemoveOrphaned', { device, last, limit }),
    async devices() {
      const devices: number[] = [];
      for (;;) {
        const page = await store.read('mailboxDevices', { afterRow: devices.at(-1) ?? 0, limit: devicesPerRead });
        devices.push(...page);
        if (page.length < devicesPerRead) return devices;
      }
    },
  };
}
