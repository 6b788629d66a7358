// What each adapter of ClockStore must do: the time that was believed last. Knows no store.
import assert from 'node:assert/strict';
import { type Contract, nowMs } from './contract.ts';

export function testClockStore(contract: Contract): void {
  contract(
    'the time that was believed last is remembered, and only a person takes it back',
    async ({ clock, audit }) => {
      const { remembered, storageMs } = await clock.read();
      assert.equal(remembered, undefined);
      const time = { seenMs: nowMs, leapsPaidAtMs: nowMs - 500 };
      assert.deepEqual((await clock.note(time)).remembered, time);
      assert.deepEqual((await clock.note({ seenMs: nowMs - 1, leapsPaidAtMs: 0 })).remembered, time);
      const later = { ...time, leapsPaidAtMs: nowMs + 500 };
      assert.deepEqual((await clock.note({ seenMs: 0, leapsPaidAtMs: nowMs + 500 })).remembered, later);
      assert.deepEqual((await clock.read()).remembered, later);
      await clock.confirm({ nowMs: nowMs - 1_000, actor: 'command' });
      const { seenMs: confirmed, leapsPaidAtMs } = (await clock.read()).remembered!;
      assert.equal(leapsPaidAtMs, 0);
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
