// The mailbox's port on the embedded store.
import type { MailboxStore } from '../../mailbox/mailbox-store.ts';
import type { SqliteStore } from './store.ts';

/** Devices looked up per read when the process starts or sweeps. */
const devicesPerRead = 1_000;

export function createSqliteMailbox(store: SqliteStore): MailboxStore {
  return {
    append: rows => store.run('mailboxAppend', rows),
    remove: ranges => store.run('mailboxRemove', ranges),
    page: (device, afterSeq, maxCount, maxBytes) => store.read('mailboxPage', { device, afterSeq, maxCount, maxBytes }),
    state: device => store.read('mailboxState', { device }),
    expire: (device, nowMs, limit) => store.run('mailboxExpire', { device, nowMs, limit }),
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
