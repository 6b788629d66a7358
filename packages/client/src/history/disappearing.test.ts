// Timers that run out, over a clock that the test moves: in time, late, and after a restart; and nothing is left of them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeContent } from '@drawbridge/e2ee/content';
import type { Clock } from '../clock.ts';
import { Disappearing, type DisappearingContext, disappearingLimits } from './disappearing.ts';
import type { ClientEvent } from '../events.ts';
import { readMessage, record } from './history.ts';
import type { MessageRecord } from './message-log.ts';
import { Additions } from '../outbox/additions.ts';
import { MessageProgress } from '../outbox/message-progress.ts';
import { readChat } from '../store/message-records.ts';
import { listOutbox, readOutbox, readSent, writeOutbox, writeSent } from '../store/outbox-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

const own = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;

class PlayedClock implements Clock {
  /** True time. */
  atMs = 0;
  /** What the clock is wrong by. */
  wrongByMs = 0;
  #timers: { atMs: number; run: () => void }[] = [];

  nowMs(): number {
    return this.atMs + this.wrongByMs;
  }

  elapsedMs(): number {
    return this.atMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.atMs + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter(each => each !== timer);
    };
  }

  moveTo(atMs: number): void {
    for (;;) {
      const due = this.#timers.filter(timer => timer.atMs <= atMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter(each => each !== due);
      this.atMs = due.atMs;
      due.run();
    }
    this.atMs = atMs;
  }
}

/** Whatever is not given does nothing, and nothing but a test of it has anything that was not sent. */
function watching(store: EncryptedStore, clock: Clock, more: Partial<DisappearingContext> = {}): Disappearing {
  const neverSent = (): never => assert.fail('all of it was sent');
  return new Disappearing({ store, own, clock, emit: () => {}, neverSent, ownHasNews: () => {}, ...more });
}

async function withStore(work: (store: EncryptedStore) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-disappearing-'));
  const opened = await openEncryptedStore({ path: join(folder, 'db'), key: { kind: 'key', key: new Uint8Array(32) } });
  assert.ok(opened.ok);
  try {
    work(opened.value);
  } finally {
    opened.value.close();
    rmSync(folder, { recursive: true });
  }
}

function inStore<T>(store: EncryptedStore, work: (tx: Transaction) => T): T {
  const result = store.transaction(work);
  assert.ok(result.ok);
  return result.value;
}

/** A message of bob that was read at `readAtMs`, or an own one that was sent then. */
function write(store: EncryptedStore, id: string, author: string, readAtMs: number, seconds: number): MessageRecord {
  return inStore(store, tx => {
    const target = { author, id, chat: bob };
    const body = { kind: 'text', text: `secret ${id}` } as const;
    record(tx, own, target, {
      kind: 'posted',
      posted: { body, sentAtMs: readAtMs, receivedAtMs: readAtMs, expiresAfterSeconds: seconds },
    });
    if (author !== own) record(tx, own, target, { kind: 'read', atMs: readAtMs, hereMs: readAtMs });
    return readMessage(tx, own, target)!;
  });
}

const kindOf = (store: EncryptedStore, author: string, id: string) =>
  inStore(store, tx => readMessage(tx, own, { author, id })?.kind);

test('each goes when its time has come, and not before; also far ahead', () =>
  withStore(store => {
    const clock = new PlayedClock();
    const events: ClientEvent[] = [];
    const watch = watching(store, clock, { emit: event => void events.push(event) });
    const monthSeconds = 30 * 86_400;
    watch.note(write(store, 'a', bob, 0, 10));
    watch.note(write(store, 'b', bob, 0, monthSeconds));
    watch.note(write(store, 'c', bob, 0, 5));
    clock.moveTo(4_999);
    assert.equal(kindOf(store, bob, 'c'), 'text');
    clock.moveTo(5_000);
    assert.equal(kindOf(store, bob, 'c'), 'expired');
    assert.equal(kindOf(store, bob, 'a'), 'text');
    clock.moveTo(10_000);
    assert.equal(kindOf(store, bob, 'a'), 'expired');
    clock.moveTo(monthSeconds * 1_000 - 1);
    assert.equal(kindOf(store, bob, 'b'), 'text');
    clock.moveTo(monthSeconds * 1_000);
    assert.equal(kindOf(store, bob, 'b'), 'expired');
    assert.deepEqual(
      events.map(event => event.kind === 'message' && [event.change, event.message.id]),
      [
        ['removed', 'c'],
        ['removed', 'a'],
        ['removed', 'b'],
      ],
    );
    assert.equal(
      inStore(store, tx => tx.count('expiry')),
      0,
    );
    watch.close();
  }));

test('what came due while nothing ran is wiped at the start, however much it is', () =>
  withStore(store => {
    const clock = new PlayedClock();
    const open = () => watching(store, clock);
    const before = open();
    const count = disappearingLimits.batch * 2 + 1;
    for (let i = 0; i < count; i++) before.note(write(store, String(i), bob, 0, 1 + (i % 3)));
    before.note(write(store, 'later', bob, 0, 100));
    assert.equal(
      inStore(store, tx => readChat(tx, bob).unread),
      0,
    );
    before.close();
    clock.moveTo(50_000);
    assert.equal(kindOf(store, bob, '0'), 'text', 'a closed one does nothing');
    const watch = open();
    for (let i = 0; i < count; i++) assert.equal(kindOf(store, bob, String(i)), 'expired');
    assert.equal(kindOf(store, bob, 'later'), 'text');
    assert.equal(
      inStore(store, tx => tx.count('expiry')),
      1,
    );
    watch.close();
    clock.moveTo(200_000);
    assert.equal(kindOf(store, bob, 'later'), 'text', 'a closed one does nothing');
  }));

for (const [what, jumpMs] of [
  ['a day back', -86_400_000],
  ['an hour back', -3_600_000],
  ['an hour ahead', 3_600_000],
  ['a year ahead', 31_536_000_000],
] as const) {
  test(`thirty minutes are thirty minutes, with a clock that is set ${what}`, () =>
    withStore(store => {
      const clock = new PlayedClock();
      clock.atMs = 1_000_000_000;
      const watch = watching(store, clock);
      // One runs when the clock is set, the other begins after it.
      watch.note(write(store, 'before', bob, clock.nowMs(), 1_800));
      clock.moveTo(1_000_600_000);
      clock.wrongByMs = jumpMs;
      watch.note(write(store, 'after', own, clock.nowMs(), 1_800));
      clock.moveTo(1_001_799_999);
      assert.equal(kindOf(store, bob, 'before'), 'text');
      clock.moveTo(1_001_800_000);
      assert.equal(kindOf(store, bob, 'before'), 'expired');
      clock.moveTo(1_002_399_999);
      assert.equal(kindOf(store, own, 'after'), 'text');
      clock.moveTo(1_002_400_000);
      assert.equal(kindOf(store, own, 'after'), 'expired');
      watch.close();
    }));
}

test('a clock that was set back while the device was off gives no more than the time that was left', () =>
  withStore(store => {
    const clock = new PlayedClock();
    clock.atMs = 1_000_000_000;
    const first = watching(store, clock);
    first.note(write(store, 'a', bob, clock.nowMs(), 1_800));
    clock.moveTo(1_000_600_000);
    first.close();
    clock.wrongByMs = -86_400_000;
    clock.moveTo(1_000_700_000);
    const second = watching(store, clock);
    clock.moveTo(1_001_899_999);
    assert.equal(kindOf(store, bob, 'a'), 'text');
    clock.moveTo(1_001_900_000);
    assert.equal(kindOf(store, bob, 'a'), 'expired');
    second.close();
  }));

test('a clock that is set back for a moment, in which the process is killed, wipes nothing early', () =>
  withStore(store => {
    const clock = new PlayedClock();
    clock.atMs = 1_000_000_000;
    const killed = watching(store, clock);
    killed.note(write(store, 'before', bob, clock.nowMs(), 1_800));
    clock.moveTo(1_000_600_000);
    clock.wrongByMs = -86_400_000;
    killed.note(write(store, 'meanwhile', bob, clock.nowMs(), 1_800));
    // Nothing is closed.
    clock.wrongByMs = 0;
    clock.moveTo(1_000_660_000);
    const next = watching(store, clock);
    for (const id of ['before', 'meanwhile']) assert.equal(kindOf(store, bob, id), 'text', id);
    clock.moveTo(1_001_800_000);
    assert.equal(kindOf(store, bob, 'before'), 'expired');
    clock.moveTo(1_002_399_999);
    assert.equal(kindOf(store, bob, 'meanwhile'), 'text');
    clock.moveTo(1_002_400_000);
    assert.equal(kindOf(store, bob, 'meanwhile'), 'expired');
    next.close();
    killed.close();
  }));

test('an own message leaves the outbox and what is kept for retries, too', () =>
  withStore(store => {
    const clock = new PlayedClock();
    const watch = watching(store, clock);
    const content = Buffer.from('secret').toString('base64');
    inStore(store, tx => {
      for (const id of ['s1', 's1~3', 's2', 'other']) {
        writeOutbox(tx, id, {
          to: bob,
          payload: { kind: 'content', content },
          silent: false,
          corrections: 0,
          waits: 0,
          notBeforeMs: 0,
        });
        writeSent(tx, id, { to: bob, content, sentAtMs: 0 });
      }
    });
    const message = write(store, 'own', own, 0, 1);
    inStore(store, tx =>
      record(tx, own, { author: own, id: 'own', chat: bob }, { kind: 'carried', stanzas: ['s1', 's2'] }),
    );
    watch.note(message);
    clock.moveTo(1_000);
    inStore(store, tx => {
      for (const id of ['s1', 's1~3', 's2']) assert.equal(readOutbox(tx, id), undefined, id);
      for (const id of ['s1', 's2']) assert.equal(readSent(tx, id, 0), undefined, id);
      assert.ok(readOutbox(tx, 'other') !== undefined && readSent(tx, 'other', 0) !== undefined);
    });
    watch.close();
  }));

test('own messages that wait or are held when their time runs out are told as never sent, here and to the other devices', () =>
  withStore(store => {
    const clock = new PlayedClock();
    const additions = { suite: { local: { interopId: own, deviceId: 1 } }, domain: 'citadel.example', clock };
    const progress = new MessageProgress(additions, new Additions(additions));
    const events: ClientEvent[] = [];
    let news = 0;
    const watch = watching(store, clock, {
      emit: event => void events.push(event),
      neverSent: (tx, entries) => progress.neverSent(tx, entries),
      ownHasNews: () => news++,
    });
    const states = { waits: 'queued', held: 'held', left: 'sent', failed: 'failed', unknown: undefined } as const;
    for (const [id, state] of Object.entries(states)) {
      const message = write(store, hexOf(id), own, 0, 1);
      const target = { author: own, id: hexOf(id), chat: bob };
      if (state !== undefined) inStore(store, tx => record(tx, own, target, { kind: 'progress', progress: { state } }));
      watch.note(message);
    }
    // The acknowledgement did not come, but the receipt did.
    const arrived = write(store, hexOf('came'), own, 0, 1);
    inStore(store, tx => {
      const target = { author: own, id: hexOf('came'), chat: bob };
      record(tx, own, target, { kind: 'progress', progress: { state: 'queued' } });
      record(tx, own, target, { kind: 'receipt', receipt: 'delivered', atMs: 0 });
    });
    watch.note(arrived);
    watch.note(write(store, hexOf('theirs'), bob, 0, 1));
    clock.moveTo(1_000);

    const lines = events.flatMap(event => (event.kind === 'message' && event.change === 'new' ? [event.message] : []));
    assert.deepEqual(
      lines.map(({ chat, notice }) => [chat, notice]),
      [[bob, { kind: 'never-sent', interopId: bob }]],
    );
    assert.ok(inStore(store, tx => readMessage(tx, own, { author: bob, id: lines[0]!.id })) !== undefined);
    assert.equal(news, 1);
    const rows = inStore(store, tx => listOutbox(tx, { to: own, limit: 10 }));
    const told = rows.flatMap(({ record: { payload } }) => {
      assert.ok(payload.kind === 'content');
      const content = decodeContent(Buffer.from(payload.content, 'base64'));
      assert.ok(content.ok && content.value.body.kind === 'device-sync');
      return content.value.body.notApplied ?? [];
    });
    assert.deepEqual(
      told.map(({ what, message, chat }) => [what, Buffer.from(message!.messageId).toString('hex'), chat]),
      [
        ['message', hexOf('waits'), bob],
        ['message', hexOf('held'), bob],
      ],
    );
    watch.close();
  }));

function hexOf(name: string): string {
  return Buffer.from(name.padEnd(16)).toString('hex');
}
