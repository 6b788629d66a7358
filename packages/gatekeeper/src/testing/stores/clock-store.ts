// What each adapter of ClockStore must do: the time that was believed last. Knows no store.
import assert from 'node:assert/strict';
import { type Contract, nowMs } from './contract.ts';

export function testClockStore(contract: Contract): void {
  contract(
    'the time that was believed last is remembered, and only a person takes it back',
    async ({ clock, audit }) => {
      const { seenMs, storageMs } = await clock.read();
      assert.equal(seenMs, undefined);
      assert.equal((await clock.note(nowMs)).seenMs, nowMs);
      assert.equal((await clock.note(nowMs - 1)).seenMs, nowMs);
      assert.equal((await clock.read()).seenMs, nowMs);
      await clock.confirm({ nowMs: nowMs - 1_000, actor: 'command' });
      const confirmed = (await clock.read()).seenMs!;
      if (storageMs === undefined) assert.equal(confirmed, nowMs - 1_000);
      else assert(Math.abs(confirmed - Date.now()) < 60_000, 'the database goes by its own clock');
      const last = (await audit.page(0, 100)).at(-1)!;
      assert.deepEqual(
        [last.action, last.actor, last.subject, last.atMs],
        ['clock-confirmed', 'command', 'clock', confirmed],
      );
    },
  );

  contract('it is readable, and nothing waits when everything was answered', async stores => {
    assert.equal(await stores.health(), 'works');
    assert.equal(stores.waiting(), 0);
  });
}
