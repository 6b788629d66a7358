// What each adapter of EventOutbox must do: what providers are to be told. Knows no store.
import assert from 'node:assert/strict';
import type { Account } from '../../enlistment/account.ts';
import type { NewEvent } from '../../events/event-outbox.ts';
import { type Contract, enlisted, nowMs } from './contract.ts';

export function testEventOutbox(contract: Contract): void {
  const told = (subject: string, occurredAtMs: number, more: Partial<NewEvent> = {}): NewEvent => ({
    provider: 1,
    url: 'https://skylark.example/events',
    audience: 'https://skylark.example',
    tokenId: `${subject} ${occurredAtMs}`,
    subject,
    event: 'urn:drawbridge:event:enlistment-suspended',
    payload: {},
    occurredAtMs,
    maxWaiting: 3,
    maxDead: 2,
    ...more,
  });
  const dayMs = 86_400_000;
  const lease = (atMs: number, more: object = {}) => ({
    provider: 1,
    nowMs: atMs,
    farthestMs: atMs + dayMs,
    leaseUntilMs: atMs + 60_000,
    limit: 10,
    ...more,
  });

  contract(
    'an event is kept with the change that it tells of, and is given in order, to one at a time',
    async stores => {
      const { accounts, outgoingEvents: events } = stores;
      const a = await enlisted(stores, 'a');
      const b = await enlisted(stores, 'b');
      const change = async (id: string, status: Account['status'], event: NewEvent) =>
        accounts.setStatus({ interopId: id, status, actor: 'rosa', nowMs, event });
      await change(a.id, 'suspended', told('a', nowMs));
      assert.equal(await change(a.id, 'suspended', told('a', nowMs)), 'same', 'nothing changed, nothing is told');
      await change(a.id, 'active', told('a', nowMs + 1, { payload: { step: 'x' } }));
      assert.equal((await stores.people.export(a.id))?.kept['outgoing_event']?.length, 2);
      assert.equal((await stores.people.export(b.id))?.kept['outgoing_event'], undefined);
      await accounts.withdraw(b.row, told('b', nowMs + 2));
      assert.deepEqual(await events.due(nowMs - 1, nowMs + dayMs), []);
      assert.deepEqual(await events.due(nowMs + 2, nowMs + dayMs), [1]);
      const subjectsOf = (list: readonly { tokenId: string }[]): string[] => list.map(({ tokenId }) => tokenId);
      const [both, none] = [await events.take(lease(nowMs + 2)), await events.take(lease(nowMs + 2))];
      assert.deepEqual(subjectsOf(both), [`a ${nowMs}`, `b ${nowMs + 2}`]);
      assert.deepEqual(none, [], 'the second about a waits for the first');
      assert.equal((await events.take(lease(nowMs + 60_002))).length, 2, 'whoever took them has died');
      await events.postpone(both[0]!.seq, nowMs + 500_000, 'timed-out');
      await events.remove(both[1]!.seq);
      assert.deepEqual(await events.take(lease(nowMs + 499_999)), []);
      assert.equal(
        (await events.take(lease(nowMs - 2 * dayMs))).length,
        1,
        'a clock that was set back holds nothing up',
      );
      await events.remove(both[0]!.seq);
      const [second] = await events.take(lease(nowMs + 500_000));
      assert.deepEqual([second?.tokenId, second?.payload, second?.attempts], [`a ${nowMs + 1}`, { step: 'x' }, 0]);
      assert.deepEqual(await events.counts(), [{ provider: 1, waiting: 1, dead: 0 }]);
    },
  );

  contract(
    'what can not be told is dead, bounded, listed, and told again when asked; the latest are kept',
    async stores => {
      const { outgoingEvents: events, providers, audit } = stores;
      const add = (i: number) =>
        providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs: nowMs + i, event: told(`s${i}`, nowMs + i) });
      for (let i = 0; i < 6; i++) await add(i);
      // Three wait, of the three beyond the bound two are kept.
      assert.deepEqual(await events.counts(), [{ provider: 1, waiting: 3, dead: 2 }]);
      const listed = (isDead: boolean, more: object = {}) => events.list({ isDead, afterSeq: 0, limit: 10, ...more });
      assert.deepEqual(
        (await listed(true)).map(({ subject, code, deadAtMs }) => [subject, code, deadAtMs]),
        [
          ['s4', 'queue-full', nowMs + 4],
          ['s5', 'queue-full', nowMs + 5],
        ],
      );
      assert.deepEqual(await listed(true, { provider: 2 }), []);
      const [first] = await listed(false);
      await events.bury(first!.seq, nowMs + 9, 'status-400', 2);
      await events.bury(first!.seq, nowMs + 10, 'again', 2);
      assert.deepEqual(
        (await listed(true)).map(({ subject }) => subject),
        ['s4', 's5'],
        'the oldest goes',
      );
      const [dead] = await listed(true);
      assert.equal(await events.revive({ seq: dead!.seq, actor: 'rosa', nowMs: nowMs + 20 }), 1);
      assert.equal(await events.revive({ seq: dead!.seq, actor: 'rosa', nowMs: nowMs + 20 }), 0);
      assert.equal(await events.revive({ provider: 1, actor: 'rosa', nowMs: nowMs + 21 }), 1);
      assert.deepEqual(await events.counts(), [{ provider: 1, waiting: 4, dead: 0 }]);
      assert.equal((await audit.page(0, 100, '1')).filter(({ action }) => action === 'events-told-again').length, 2);
      const [again] = await listed(false);
      await events.bury(again!.seq, nowMs + 30, 'too-old', 2);
      assert.equal(await events.sweep(nowMs + 30, 10), 0);
      assert.equal(await events.sweep(nowMs + 31, 10), 1);
    },
  );

  contract('an event that is dead at once is kept from the later of two clocks', async stores => {
    const { outgoingEvents: events, providers, clock } = stores;
    const die = async (atMs: number): Promise<number | undefined> => {
      const event = told('s', atMs, { maxWaiting: 0 });
      await providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs: atMs, event });
      return (await events.list({ isDead: true, afterSeq: 0, limit: 10 })).at(-1)!.deadAtMs;
    };
    assert.equal(await die(nowMs), nowMs, 'nothing is remembered yet');
    await clock.note({ seenMs: nowMs, leapsPaidAtMs: 0 });
    assert.equal(await die(nowMs - 40 * dayMs), nowMs, 'the clock was set back');
    assert.equal(await die(nowMs + 1), nowMs + 1);
  });

  contract('two who take at once are given each event once', async stores => {
    const { outgoingEvents: events, providers } = stores;
    for (let i = 0; i < 20; i++) {
      const event = told(`s${i}`, nowMs, { maxWaiting: 100 });
      await providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs, event });
    }
    const taken = await Promise.all(Array.from({ length: 8 }, () => events.take(lease(nowMs, { limit: 5 }))));
    const seqs = taken.flat().map(({ seq }) => seq);
    assert.equal(new Set(seqs).size, seqs.length);
    assert.ok(seqs.length >= 5);
  });
}
