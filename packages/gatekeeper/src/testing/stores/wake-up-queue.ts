// What each adapter of WakeUpQueue must do: wake-ups that wait. Knows no store.
import assert from 'node:assert/strict';
import { type Contract, enlisted } from './contract.ts';

export function testWakeUpQueue(contract: Contract): void {
  contract('an account has one wake-up, removed only under its own token', async stores => {
    const { wakeUps } = stores;
    const { row } = await enlisted(stores, 'a');
    await wakeUps.write([
      { account: row, tokenId: 'one', requestedAtMs: 1 },
      { account: row, tokenId: 'two', requestedAtMs: 2 },
      { account: row, tokenId: 'one' },
      { account: 999, tokenId: 'gone', requestedAtMs: 3 },
    ]);
    const [waiting, ...more] = await wakeUps.page(0, 10);
    assert.deepEqual(more, []);
    assert.equal(waiting?.tokenId, 'two');
    assert.equal(waiting?.identifier, 'a');
    assert.deepEqual(await wakeUps.page(row, 10), []);
    await wakeUps.write([{ account: row, tokenId: 'two' }]);
    assert.deepEqual(await wakeUps.page(0, 10), []);
  });
}
