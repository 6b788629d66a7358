// Run by store.test.ts as a process of its own, to be killed: appends without end and says on stdout what is durable.
import { writeSync } from 'node:fs';
import { openSqliteStore } from '../storage/sqlite/store.ts';
import { addDevices } from './add-devices.ts';
import { mailboxRow, unbounded } from './mailbox-contract.ts';

const file = process.argv[2]!;
const store = await openSqliteStore(file);
addDevices(file, 4);
let seq = 0;

async function appendForEver(device: number): Promise<never> {
  for (;;) {
    const first = seq + 1;
    seq += 3;
    const rows = [0, 1, 2].map(i => mailboxRow(device, first + i, 400));
    await store.run('mailboxAppend', { rows, bounds: unbounded });
    // At once, and past every buffer of this process: a kill may come in the next instant.
    writeSync(1, `${device} ${first}\n`);
  }
}

await Promise.all([1, 2, 3, 4].map(appendForEver));
