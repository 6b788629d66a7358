// The mailbox's port on the embedded store (real file, real workers).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore } from './store.ts';
import { testMailboxStore } from '../../testing/mailbox-contract.ts';
import { createSqliteMailbox } from './sqlite-mailbox.ts';

testMailboxStore('sqlite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-mailbox-'));
  const store = await openSqliteStore(join(folder, 'store.sqlite'));
  return {
    store: createSqliteMailbox(store),
    async close() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});
