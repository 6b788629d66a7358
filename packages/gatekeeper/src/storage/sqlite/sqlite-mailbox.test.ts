// The mailbox's port on the embedded store (real file, real workers).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore } from './store.ts';
import { addDevices } from '../../testing/add-devices.ts';
import { testMailboxStore } from '../../testing/mailbox-contract.ts';
import { createSqliteMailbox } from './sqlite-mailbox.ts';

testMailboxStore('sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-mailbox-'));
  const file = join(folder, 'store.sqlite');
  const store = await openSqliteStore(file);
  addDevices(file, 2_500);
  return {
    store: createSqliteMailbox(store),
    async removeDevice(device) {
      const isSecond = device === 2;
      await store.run('deviceRemove', { account: isSecond ? 1 : device, deviceId: isSecond ? 2 : 1, by: device });
    },
    async withdraw(device) {
      await store.run('accountWithdraw', { account: device });
    },
    async close() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});
