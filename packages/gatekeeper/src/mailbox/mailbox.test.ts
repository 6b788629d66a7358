// Mailboxes over a store whose every answer is timed by the test: the acknowledgement rule, order, and bounded memory as
// a property of random histories with slow, failing and reordered storage, crashes and clocks that jump; then the cases
// that histories found or that one should be able to read.
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { testMailboxStore } from '../testing/mailbox-contract.ts';
import { MemoryMailboxStore } from '../testing/memory-mailbox.ts';
import type { Entry, LiveDevice, Receipt } from './device-mailbox.ts';
import { Mailboxes } from './mailbox.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import type { Codec } from './stanza-codec.ts';

testMailboxStore('memory', async () => {
  const store = new MemoryMailboxStore();
  return {
    store,
    removeDevice: async device => store.disk.removeDevice(device),
    withdraw: async device => store.disk.removeDevice(device, { provider: 1, optIns: [] }),
    close: async () => {},
  };
});

const turn = setImmediate;
/** All promises that can settle have. */
const settled = (): Promise<void> => new Promise(resolve => void turn(resolve));

const limits: MailboxLimits = {
  writeAfterMs: 40,
  maxEntries: 40,
  maxBytes: 12_000,
  maxEntriesPerSender: 20,
  maxBytesPerSender: 6_000,
  maxBytesPerPerson: 20_000,
  maxBytesPerProvider: 30_000,
  ttlMs: 100_000,
  maxUnwrittenBytes: 3_000,
  pageEntries: 4,
  pageBytes: 900,
};

/** A stanza's stored form: its number and padding. */
const codec: Codec = {
  encode: el => Buffer.from(`${attribute(el, 'id')}:`.padEnd(Number(attribute(el, 'size')), '.')),
  decode: bytes => {
    const text = Buffer.from(bytes).toString();
    return text.includes(':') ? element('message', NS_CLIENT, { id: text.split(':')[0] }) : undefined;
  },
};

const numberOf = (el: Element): number => Number(attribute(el, 'id'));

/** Every so often a message is not wanted any more when it has waited (an opt-out since). */
const isUnwanted = (number: number): boolean => number % 11 === 5;

type Message = {
  readonly number: number;
  readonly devices: readonly number[];
  readonly keep: boolean;
  /** The lowest reading of the wall clock since it came. */
  earliestMs: number;
  /** The clock has gone a lifetime ahead since then: it may be gone, as it should. */
  mayHaveExpired: boolean;
  outcome: 'open' | 'settled' | 'refused' | 'unknown';
  /** Devices that have acknowledged it, or whose mailbox was discarded. */
  readonly done: Set<number>;
};

class Session implements LiveDevice {
  readonly device: number;
  readonly unacknowledged: Entry[] = [];
  readonly numbers = new Map<Entry, number>();
  readonly seen: number[] = [];
  /** Messages that were passed over although nobody had acknowledged them yet. */
  readonly passedOver: Message[] = [];
  readonly #model: Model;
  room: number;
  suspended = false;

  constructor(model: Model, device: number, room: number) {
    this.#model = model;
    this.device = device;
    this.room = room;
  }

  hasRoom(): boolean {
    return !this.suspended && this.unacknowledged.length < this.room;
  }

  /** Every third answer has to be waited for. */
  wants(el: Element): boolean | Promise<boolean> {
    const number = numberOf(el);
    this.#model.note(() => assert(this.#model.messages[number]!.keep, 'what is not kept never waits'));
    const wanted = !isUnwanted(number);
    if (!wanted) {
      this.#model.messages[number]!.done.add(this.device);
      this.seen.push(number);
    }
    return number % 3 === 0 ? Promise.resolve(wanted) : wanted;
  }

  deliver(entry: Entry, el: Element): void {
    this.#model.note(() => this.#take(entry, el));
  }

  lost(because: 'replaced' | 'storage-failed'): void {
    this.#model.note(() => assert.equal(because, 'storage-failed', 'nobody else claims anything'));
    if (this.#model.sessions.get(this.device) === this) this.#model.sessions.delete(this.device);
  }

  leftWaiting(): void {
    this.#model.note(() => assert.fail('there are no other nodes'));
  }

  #take(entry: Entry, el: Element): void {
    const model = this.#model;
    const number = numberOf(el);
    const message = model.messages[number]!;
    assert(model.sessions.get(this.device) === this, 'only the live session is delivered to');
    assert(this.hasRoom(), 'only a session with room is delivered to');
    assert(message.devices.includes(this.device));
    assert(number > (this.seen.at(-1) ?? -1), `order: ${number} after ${this.seen.at(-1)}`);
    if (message.keep) {
      assert(
        !message.done.has(this.device) || model.mayRepeat.has(message),
        `${number} comes again after its acknowledgement`,
      );
    }
    for (let i = (this.seen.at(-1) ?? -1) + 1; i < number; i++) {
      const skipped = model.messages[i]!;
      if (skipped.keep && skipped.devices.includes(this.device) && !skipped.done.has(this.device))
        this.passedOver.push(skipped);
    }
    this.seen.push(number);
    this.unacknowledged.push(entry);
    this.numbers.set(entry, number);
    if (this.room === Number.POSITIVE_INFINITY) model.toAcknowledge.push(this);
  }

  acknowledge(at: number): void {
    const entry = this.unacknowledged.splice(at % Math.max(1, this.unacknowledged.length), 1)[0];
    if (entry === undefined) return;
    this.#model.messages[this.numbers.get(entry)!]!.done.add(this.device);
    this.#model.mailboxes.acknowledge(entry);
    this.#model.mailboxes.roomAgain(this.device);
  }
}

type Step =
  | { readonly kind: 'append'; readonly devices: readonly number[]; readonly size: number; readonly keep: boolean }
  | { readonly kind: 'attach'; readonly device: number; readonly room: number }
  | { readonly kind: 'detach' | 'suspend' | 'resume' | 'discard'; readonly device: number }
  | { readonly kind: 'acknowledge'; readonly device: number; readonly at: number }
  | { readonly kind: 'room'; readonly device: number; readonly room: number }
  | { readonly kind: 'store'; readonly choice: number; readonly fail: boolean }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'clock'; readonly ms: number }
  | { readonly kind: 'sweep' | 'crash' };

const device = fc.integer({ min: 1, max: 3 });
const room = fc.constantFrom(0, 1, 2, 3, 8, 100);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      devices: fc.constantFrom([1], [1], [2], [1, 2], [1, 2, 3]),
      size: fc.integer({ min: 8, max: 700 }),
      keep: fc.nat(6).map(n => n > 0),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('attach' as const), device, room }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('detach' as const, 'suspend' as const), device }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('resume' as const), device }) },
  {
    weight: 10,
    arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), device, at: fc.constantFrom(0, 0, 0, 1, 5) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('room' as const), device, room }) },
  {
    weight: 26,
    arbitrary: fc.record({ kind: fc.constant('store' as const), choice: fc.nat(5), fail: fc.nat(9).map(n => n === 0) }),
  },
  {
    weight: 10,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(0, 0, 0, 1, 20, 41, 60, 1_100) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('clock' as const),
      ms: fc.constantFrom(-3_600_000, -5_000, 60_000, 101_000),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'sweep' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'crash' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'discard', device: 3 }) },
);

class Model {
  wallMs = 1_790_000_000_000;
  monotonicMs = 0;
  readonly messages: Message[] = [];
  /** Acknowledged before a crash that may have forgotten it: allowed to come again. */
  readonly mayRepeat = new Set<Message>();
  readonly sessions = new Map<number, Session>();
  readonly everySession: Session[] = [];
  readonly congestion: boolean[] = [];
  toAcknowledge: Session[] = [];
  /** Discarded devices: their numbers are never used again. */
  readonly gone = new Set<number>();
  /** Of which the sender was told that nobody will have them. */
  readonly told = new Set<number>();
  crashes = 0;
  readonly sweeps = new Set<{ readonly sinceMs: number }>();
  store = new MemoryMailboxStore(undefined, true);
  mailboxes!: Mailboxes;
  /** Found where an exception would be lost. */
  violation: Error | undefined;

  open(): void {
    this.congestion.length = 0;
    this.mailboxes = new Mailboxes({
      store: this.store,
      node: 'a',
      codec,
      nowMs: () => this.wallMs,
      monotonicMs: () => this.monotonicMs,
      limits,
      events: {
        congested: congested => {
          assert.notEqual(congested, this.congestion.at(-1) ?? false, 'congestion begins and ends in turn');
          this.congestion.push(congested);
        },
        damaged: what => assert.equal(what, 'read', 'nothing is damaged'),
      },
      tellSender: el => {
        this.told.add(numberOf(el));
        return Promise.resolve();
      },
    });
  }

  note(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.violation ??= error as Error;
    }
  }

  append(devices: readonly number[], size: number, keep: boolean): void {
    const number = this.messages.length;
    const sender = `s${number % 3}`;
    if (keep && devices.some(each => this.mailboxes.refusal(each, sender, size) !== undefined)) return;
    const message: Message = {
      number,
      devices,
      keep,
      earliestMs: this.wallMs,
      mayHaveExpired: false,
      outcome: 'open',
      done: new Set(),
    };
    this.messages.push(message);
    this.judgeAge(message);
    let failed = false;
    const owner = this.mailboxes;
    const receipt: Receipt = {
      remaining: devices.length,
      failed: false,
      settled: () =>
        this.note(() => {
          assert(this.mailboxes === owner, 'a mailbox from before a crash is silent');
          assert.equal(message.outcome, 'open', 'settled once');
          message.outcome = failed ? 'refused' : 'settled';
          if (message.outcome === 'settled') this.checkKept(message);
        }),
      refused: () =>
        this.note(() => {
          assert(!failed && message.outcome === 'open', 'refused once, before it is settled');
          failed = true;
        }),
    };
    const el = element('message', NS_CLIENT, { id: String(number), size: String(size), from: `${sender}@x/1` });
    // The estimate is of another size than what is stored, as it is in truth.
    for (const each of devices) this.mailboxes.deliver(each, el, size + 100, keep, receipt);
  }

  /** The rule: what the sender was told is acknowledged or on disk, for every device. */
  checkKept(message: Message): void {
    if (!message.keep || message.outcome !== 'settled') return;
    if (message.mayHaveExpired && this.told.has(message.number)) return;
    for (const each of message.devices) {
      if (message.done.has(each)) continue;
      const rows = [...(this.store.rows.get(each)?.values() ?? [])];
      const isThere = rows.some(row => numberOf(codec.decode(row.stanza, 0)!) === message.number);
      assert(isThere, `${message.number} is neither acknowledged nor on disk for device ${each}`);
    }
  }

  run(each: Step): void {
    switch (each.kind) {
      case 'append':
        this.append(
          each.devices.filter(device => !this.gone.has(device)),
          each.size,
          each.keep,
        );
        return;
      case 'attach': {
        if (this.gone.has(each.device)) return;
        const session = new Session(this, each.device, each.room);
        this.sessions.set(each.device, session);
        this.everySession.push(session);
        this.mailboxes.attach(each.device, session);
        return;
      }
      case 'detach': {
        const session = this.sessions.get(each.device);
        this.sessions.delete(each.device);
        if (session !== undefined) this.mailboxes.detach(each.device, session);
        return;
      }
      case 'suspend': {
        const session = this.sessions.get(each.device);
        if (session === undefined) return;
        session.suspended = true;
        this.mailboxes.suspend(each.device, session);
        return;
      }
      case 'resume': {
        const session = this.sessions.get(each.device);
        if (session === undefined) return;
        session.suspended = false;
        this.mailboxes.roomAgain(each.device);
        return;
      }
      case 'acknowledge':
        this.sessions.get(each.device)?.acknowledge(each.at);
        return;
      case 'room': {
        const session = this.sessions.get(each.device);
        if (session === undefined) return;
        session.room = each.room;
        this.mailboxes.roomAgain(each.device);
        return;
      }
      case 'store':
        this.store.step(each.choice, each.fail);
        return;
      case 'wait':
        this.passTime(each.ms);
        return;
      case 'clock':
        this.moveWallClock(each.ms);
        return;
      case 'sweep': {
        const sweep = { sinceMs: this.wallMs };
        this.sweeps.add(sweep);
        void this.mailboxes
          .sweep()
          .catch(() => {})
          .finally(() => this.sweeps.delete(sweep));
        return;
      }
      case 'discard':
        // The rows go with the device, in the same transaction, before anybody is told.
        this.gone.add(each.device);
        this.store.disk.removeDevice(each.device);
        this.sessions.delete(each.device);
        for (const message of this.messages) if (message.devices.includes(each.device)) message.done.add(each.device);
        this.mailboxes.discard(each.device);
        return;
      case 'crash':
        this.crash();
    }
  }

  /** The process is gone; what had taken effect in storage is all there is. */
  crash(): void {
    this.crashes++;
    this.sweeps.clear();
    this.sessions.clear();
    this.store = new MemoryMailboxStore(this.store.disk, true);
    for (const message of this.messages) {
      if (message.outcome === 'open') message.outcome = 'unknown';
      this.mayRepeat.add(message);
    }
    mock.timers.reset();
    mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] });
    this.open();
  }

  moveWallClock(ms: number): void {
    this.wallMs += ms;
    for (const message of this.messages) this.judgeAge(message);
  }

  /** A sweep goes by the clock as it was when it began. */
  judgeAge(message: Message): void {
    message.earliestMs = Math.min(message.earliestMs, this.wallMs);
    const latestMs = Math.max(this.wallMs, ...Array.from(this.sweeps, sweep => sweep.sinceMs));
    if (latestMs >= message.earliestMs + limits.ttlMs) message.mayHaveExpired = true;
  }

  passTime(ms: number): void {
    this.moveWallClock(ms);
    this.monotonicMs += ms;
    mock.timers.tick(ms);
  }

  acknowledgeAll(): void {
    while (this.toAcknowledge.length > 0) {
      const sessions = this.toAcknowledge;
      this.toAcknowledge = [];
      for (const session of sessions) session.acknowledge(0);
    }
  }

  /** Storage works, everybody connects, reads and acknowledges: at the end nothing is owed and nothing is kept. */
  async comeToRest(): Promise<void> {
    await this.store.runFreely();
    await settled();
    for (const each of [1, 2, 3]) this.run({ kind: 'attach', device: each, room: Number.POSITIVE_INFINITY });
    for (let i = 0; i < 60; i++) {
      this.passTime(i < 5 ? 1_100 : 60);
      await settled();
      this.acknowledgeAll();
    }
    if (this.violation !== undefined) throw this.violation;
    for (const message of this.messages) {
      assert.notEqual(message.outcome, 'open', `${message.number} was never settled`);
      if (!message.keep || message.outcome !== 'settled') continue;
      if (message.mayHaveExpired) continue;
      for (const each of message.devices) assert(message.done.has(each), `${message.number} never came to ${each}`);
    }
    for (const session of this.everySession) {
      for (const message of session.passedOver) {
        const wasOwed = message.outcome === 'settled' && !message.mayHaveExpired;
        assert(!wasOwed, `${message.number} was passed over`);
      }
    }
    assert.equal(this.store.rows.size, 0, 'nothing is on disk');
    assert.equal(this.mailboxes.unwrittenBytes, 0, 'nothing is in memory only');
    assert.notEqual(this.congestion.at(-1), true, 'congestion has ended');
    assert(!this.mailboxes.isCongested);
    for (const [each, session] of this.sessions) this.mailboxes.detach(each, session);
    assert.equal(this.mailboxes.size, 0, 'no mailbox is in memory');
  }
}

test('no history loses, repeats or reorders anything, or leaves anything behind', { timeout: 60_000 }, async () => {
  const exercised = { messages: 0, settled: 0, refused: 0, crashes: 0 };
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 160, size: 'max' }), async steps => {
        mock.timers.reset();
        mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] });
        const model = new Model();
        model.open();
        for (const each of steps) {
          model.run(each);
          await settled();
          if (model.violation !== undefined) throw model.violation;
          for (const message of model.messages) model.checkKept(message);
        }
        await model.comeToRest();
        exercised.crashes += model.crashes;
        exercised.messages += model.messages.length;
        for (const { outcome } of model.messages)
          if (outcome === 'settled' || outcome === 'refused') exercised[outcome]++;
      }),
      { numRuns: Number(process.env['DRAWBRIDGE_RUNS'] ?? 400) },
    );
  } finally {
    mock.timers.reset();
  }
  assert(exercised.messages > 2_000 && exercised.refused > 50 && exercised.crashes > 100, JSON.stringify(exercised));
});

// Histories that one can read aloud, with storage that answers at once.

type Scene = {
  readonly mailboxes: Mailboxes;
  readonly store: MemoryMailboxStore;
  readonly clock: { wallMs: number; monotonicMs: number };
  readonly pass: (ms: number) => Promise<void>;
  /** What became of each message, by number. */
  readonly outcomes: Map<number, 'settled' | 'refused'>;
  readonly append: (number: number, options?: { size?: number; estimate?: number; keep?: boolean }) => void;
  readonly attach: (room?: number) => {
    readonly entries: Entry[];
    readonly numbers: number[];
    readonly device: LiveDevice;
  };
};

function scene(t: { readonly after: (done: () => void) => void }, store = new MemoryMailboxStore(), node = 'a'): Scene {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] });
  t.after(() => mock.timers.reset());
  const clock = { wallMs: 1_790_000_000_000, monotonicMs: 0 };
  const mailboxes = new Mailboxes({
    store,
    node,
    codec,
    nowMs: () => clock.wallMs,
    monotonicMs: () => clock.monotonicMs,
    limits,
    events: { congested: () => {}, damaged: () => {} },
    tellSender: () => Promise.resolve(),
  });
  const outcomes = new Map<number, 'settled' | 'refused'>();
  return {
    mailboxes,
    store,
    clock,
    outcomes,
    async pass(ms) {
      clock.wallMs += ms;
      clock.monotonicMs += ms;
      mock.timers.tick(ms);
      await settled();
      mock.timers.tick(0);
      await settled();
    },
    append(number, { size = 50, estimate = size, keep = true } = {}) {
      const el = element('message', NS_CLIENT, { id: String(number), size: String(size) });
      mailboxes.deliver(1, el, estimate, keep, {
        remaining: 1,
        failed: false,
        settled: () => outcomes.set(number, outcomes.get(number) ?? 'settled'),
        refused: () => outcomes.set(number, 'refused'),
      });
    },
    attach(room = 100) {
      const entries: Entry[] = [];
      const numbers: number[] = [];
      const device: LiveDevice = {
        hasRoom: () => entries.length < room,
        wants: () => true,
        deliver(entry, el) {
          entries.push(entry);
          numbers.push(numberOf(el));
        },
        lost: () => {},
        leftWaiting: () => {},
      };
      mailboxes.attach(1, device);
      return { entries, numbers, device };
    },
  };
}

test('what comes for a device that storage has removed is settled, and nothing of it stays', async t => {
  const { append, mailboxes, outcomes, store, pass } = scene(t);
  append(1);
  await pass(60);
  store.disk.removeDevice(1);
  append(2);
  await pass(60);
  assert.deepEqual(
    [...outcomes],
    [
      [1, 'settled'],
      [2, 'settled'],
    ],
  );
  assert.equal(mailboxes.unwrittenBytes, 0);
  assert.deepEqual(await store.devices(), []);
});

test('a device that acknowledges within 40 ms never costs a write', async t => {
  const { attach, append, mailboxes, outcomes, store, pass } = scene(t);
  const { entries } = attach();
  await pass(0);
  append(1);
  await pass(39);
  assert.deepEqual([outcomes.size, store.rows.size], [0, 0], 'the sender waits');
  mailboxes.acknowledge(entries[0]!);
  assert.equal(outcomes.get(1), 'settled');
  await pass(1_000);
  assert.equal(store.rows.size, 0);
});

test('a device that does not acknowledge has it on disk after 40 ms, and the sender is told then', async t => {
  const { attach, append, outcomes, store, pass } = scene(t);
  attach();
  await pass(0);
  append(1);
  await pass(41);
  assert.equal(outcomes.get(1), 'settled');
  assert.equal(store.rows.get(1)?.size, 1);
});

test('in a mailbox that is busy each entry has its own 40 ms, and at most half as long again', async t => {
  const { attach, append, mailboxes, outcomes, store, pass } = scene(t);
  const { entries } = attach(1_000);
  await pass(0);
  for (let i = 0; i < 3; i++) {
    const number = 2 * i;
    append(number);
    await pass(5);
    mailboxes.acknowledge(entries[number]!);
    await pass(25);
    append(number + 1);
    await pass(39);
    assert.equal(outcomes.has(number + 1), false, 'what came before it does not hurry it');
    await pass(22);
    assert.equal(outcomes.get(number + 1), 'settled');
    assert.equal(store.rows.get(1)?.size, i + 1);
  }
});

test('a stanza that is not kept goes to a live device or nowhere, and nobody waits for it', async t => {
  const { attach, append, outcomes, store, pass } = scene(t);
  append(1, { keep: false });
  const { numbers } = attach();
  await pass(0);
  append(2, { keep: false });
  await pass(1_000);
  assert.deepEqual(numbers, [2]);
  assert.deepEqual([...outcomes.values()], ['settled', 'settled']);
  assert.equal(store.rows.size, 0);
});

test('a mailbox that was emptied takes as much as before, however wrong the estimates were', async t => {
  const { append, attach, mailboxes, outcomes, pass } = scene(t);
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i <= limits.maxEntries; i++) append(round * 100 + i, { size: 60, estimate: 900 });
    await pass(50);
    const refused = [...outcomes].filter(([, outcome]) => outcome === 'refused');
    assert.equal(refused.length, round + 1, 'one too many each time');
    const { entries, device } = attach();
    await pass(0);
    assert.equal(entries.length, limits.maxEntries);
    for (const entry of entries) mailboxes.acknowledge(entry);
    assert.equal(mailboxes.refusal(1, 's', 60), undefined);
    await pass(60);
    mailboxes.detach(1, device);
    assert.equal(mailboxes.size, 0);
  }
});

test('what storage said is full is refused before it is taken, for a moment, and what is smaller is tried', async t => {
  const { append, mailboxes, outcomes, pass } = scene(t);
  append(1, { size: limits.maxBytes - 100 });
  append(2, { size: 200 });
  await pass(50);
  assert.deepEqual(
    [...outcomes],
    [
      [1, 'settled'],
      [2, 'refused'],
    ],
  );
  assert.equal(mailboxes.refusal(1, 'anybody', 200), 'full');
  assert.equal(mailboxes.refusal(1, 'anybody', 100), undefined);
  assert.equal(mailboxes.refusal(2, 'anybody', 200), undefined);
  await pass(5_001);
  assert.equal(mailboxes.refusal(1, 'anybody', 200), undefined, 'storage is asked again');
});

test('closing writes what is in memory and removes what is over', async t => {
  const { attach, append, mailboxes, store, outcomes, pass } = scene(t);
  append(1);
  await pass(50);
  const { entries } = attach();
  await pass(0);
  mailboxes.acknowledge(entries[0]!);
  append(2);
  await mailboxes.close();
  assert.equal(outcomes.get(2), 'settled');
  assert.deepEqual(
    [...store.rows.get(1)!.values()].map(row => numberOf(codec.decode(row.stanza, 0)!)),
    [2],
  );
});

test('damaged rows are counted and passed over', async t => {
  const { attach, append, mailboxes, store, pass } = scene(t);
  for (const number of [1, 2, 3]) append(number);
  await pass(50);
  const rows = store.rows.get(1)!;
  const [, second] = [...rows.keys()];
  rows.set(second!, { ...rows.get(second!)!, stanza: new Uint8Array(10) });
  const { numbers, entries, device } = attach();
  await pass(0);
  assert.deepEqual(numbers, [1, 3]);
  for (const entry of entries) mailboxes.acknowledge(entry);
  await pass(60);
  assert.equal(store.rows.size, 0);
  mailboxes.detach(1, device);
  assert.equal(mailboxes.size, 0);
});
