// What each adapter of MailboxStore must do: mailboxes beside the other stores: they go with their device, and are measured together. Knows no store.
import assert from 'node:assert/strict';
import { mailboxRow, unbounded } from '../mailbox-contract.ts';
import { type Contract, enlisted } from './contract.ts';

export function testMailboxesOfAccounts(contract: Contract): void {
  contract('a removed device takes its keys and its mailbox along', async stores => {
    const { row, device } = await enlisted(stores, 'a');
    await stores.mailboxes.append([mailboxRow(device, 1)], unbounded);
    await stores.accounts.removeDevice({ account: row, deviceId: 1, by: device });
    assert.deepEqual(await stores.mailboxes.devices(), []);
    assert.deepEqual(await stores.keys.takeBundles([device]), []);
  });

  contract('the depth of mailboxes is what waits, and the oldest is told', async stores => {
    assert.deepEqual(await stores.measureDepth(), { devices: 0, entries: 0, oldestAcceptedAtMs: undefined });
    const { device: a } = await enlisted(stores, 'a');
    const { device: b } = await enlisted(stores, 'b');
    const entry = (device: number, number: number, acceptedAtMs: number) =>
      mailboxRow(device, number, 10, { acceptedAtMs });
    await stores.mailboxes.append([entry(a, 1, 700), entry(a, 2, 800), entry(b, 3, 500)], unbounded);
    assert.deepEqual(await stores.measureDepth(), { devices: 2, entries: 3, oldestAcceptedAtMs: 500 });
    await stores.mailboxes.remove([{ device: b, epoch: undefined, first: 1, last: 1 }]);
    assert.deepEqual(await stores.measureDepth(), { devices: 1, entries: 2, oldestAcceptedAtMs: 700 });
  });
}
