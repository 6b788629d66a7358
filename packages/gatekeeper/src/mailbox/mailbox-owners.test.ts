// Two nodes over one storage, and a device whose streams move between them: what a node that was paused, replaced or
// killed still writes and acknowledges, as a property of random histories in virtual time; then cases to read aloud.
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { MemoryDisk, MemoryMailboxStore } from '../testing/memory-mailbox.ts';
import type { Entry, LiveDevice } from './device-mailbox.ts';
import { Mailboxes } from './mailbox.ts';
import { defaultMailboxLimits } from './mailbox-limits.ts';
import type { Codec } from './stanza-codec.ts';

const turn = setImmediate;
const settled = (): Promise<void> => new Promise(resolve => void turn(resolve));
const device = 1;

const codec: Codec = {
  encode: el => Buffer.from(`${attribute(el, 'id')}`),
  decode: bytes => element('message', NS_CLIENT, { id: Buffer.from(bytes).toString() }),
};

type Message = {
  readonly number: number;
  /** The node at which its sender is, for order: each sender has one stream. */
  readonly node: number;
  outcome: 'open' | 'settled' | 'refused' | 'unknown';
  isDone: boolean;
};

/** One stream of the device. Once the device has another one, what is sent on this one is never seen. */
class Stream implements LiveDevice {
  readonly world: World;
  readonly node: Node;
  readonly seen: { readonly entry: Entry; readonly message: Message }[] = [];
  readonly shown: number[] = [];
  #sent = 0;
  isEnded = false;
  readonly #room: number;

  constructor(world: World, node: Node, room: number) {
    this.world = world;
    this.node = node;
    this.#room = room;
  }

  hasRoom(): boolean {
    return !this.isEnded && this.#sent < this.#room;
  }

  wants(): boolean {
    return true;
  }

  leftWaiting(): void {
    this.world.note(() => assert.fail('nothing is told elsewhere here'));
  }

  deliver(entry: Entry, el: Element): void {
    this.#sent++;
    const { world } = this;
    if (world.newest !== this) return;
    world.note(() => {
      const message = world.messages[Number(attribute(el, 'id'))]!;
      assert(!this.shown.includes(message.number), `${message.number} is shown twice by one claim`);
      const before = this.shown.findLast(number => world.messages[number]!.node === message.node);
      assert(before === undefined || before < message.number, `${message.number} after ${before}`);
      this.shown.push(message.number);
      this.seen.push({ entry, message });
    });
  }

  lost(): void {
    this.isEnded = true;
  }

  /** What the device said about what it had seen arrives, perhaps long after it has gone to another node. */
  acknowledge(at: number): void {
    const [next] = this.seen.splice(at % Math.max(1, this.seen.length), 1);
    if (next === undefined) return;
    next.message.isDone = true;
    this.#sent--;
    this.node.mailboxes.acknowledge(next.entry);
    this.node.mailboxes.roomAgain(device);
  }
}

class Node {
  readonly store: MemoryMailboxStore;
  readonly mailboxes: Mailboxes;
  stream: Stream | undefined;
  isPaused = false;

  constructor(world: World, name: string) {
    this.store = new MemoryMailboxStore(world.disk, true);
    this.mailboxes = new Mailboxes({
      store: this.store,
      node: name,
      codec,
      nowMs: () => 1_790_000_000_000 + world.nowMs,
      monotonicMs: () => world.nowMs,
      limits: { ...defaultMailboxLimits, pageEntries: 3 },
      events: { congested: () => {}, damaged: () => {} },
      tellSender: () => Promise.resolve(),
    });
  }
}

class World {
  readonly disk = new MemoryDisk();
  nowMs = 0;
  readonly messages: Message[] = [];
  nodes: Node[] = [new Node(this, 'a0'), new Node(this, 'b0')];
  streams: Stream[] = [];
  newest: Stream | undefined;
  violation: Error | undefined;
  fenced = 0;

  note(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.violation ??= error as Error;
    }
  }

  send(at: number): void {
    const node = this.nodes[at]!;
    const message: Message = { number: this.messages.length, node: at, outcome: 'open', isDone: false };
    this.messages.push(message);
    const el = element('message', NS_CLIENT, { id: String(message.number), from: `s${at}@x/1` });
    node.mailboxes.deliver(device, el, 10, true, {
      remaining: 1,
      failed: false,
      settled: () =>
        this.note(() => {
          assert(this.nodes[at] === node, 'a node that was killed is silent');
          if (message.outcome === 'open') message.outcome = 'settled';
          this.checkKept(message);
        }),
      refused: because =>
        this.note(() => {
          assert.equal(because, 'storage-failed');
          message.outcome = 'refused';
        }),
    });
  }

  /** What the sender was told is acknowledged by the device or on disk. */
  checkKept(message: Message): void {
    if (message.outcome !== 'settled' || message.isDone) return;
    const rows = this.disk.sorted(device);
    const isThere = rows.some(row => Buffer.from(row.stanza).toString() === String(message.number));
    assert(isThere, `${message.number} is neither acknowledged nor on disk`);
  }

  connect(at: number, room: number): void {
    const node = this.nodes[at]!;
    node.mailboxes.detach(device, node.stream);
    const stream = new Stream(this, node, room);
    if (this.newest !== undefined && this.newest.node !== node) this.fenced++;
    node.stream = stream;
    this.newest = stream;
    this.streams.push(stream);
    node.mailboxes.attach(device, stream);
  }

  kill(at: number): void {
    this.streams = this.streams.filter(stream => stream.node !== this.nodes[at]);
    if (this.newest?.node === this.nodes[at]) this.newest = undefined;
    for (const message of this.messages) {
      if (message.node === at && message.outcome === 'open') message.outcome = 'unknown';
    }
    this.nodes[at] = new Node(this, `${at}${this.messages.length}`);
  }

  passTime(ms: number): void {
    this.nowMs += ms;
    mock.timers.tick(ms);
  }

  run(step: Step): void {
    const node = this.nodes[step.at]!;
    switch (step.kind) {
      case 'pause':
      case 'resume':
        node.isPaused = step.kind === 'pause';
        return;
      case 'wait':
        return this.passTime(step.ms);
      case 'kill':
        return this.kill(step.at);
      default:
        if (!node.isPaused) this.runAt(node, step);
    }
  }

  runAt(node: Node, step: Step): void {
    switch (step.kind) {
      case 'send':
        return this.send(step.at);
      case 'connect':
        return this.connect(step.at, step.room);
      case 'cut':
        return node.mailboxes.detach(device, node.stream);
      case 'nudge':
        return node.mailboxes.nudge(device);
      case 'store':
        node.store.step(step.choice, step.fail);
        return;
      case 'acknowledge': {
        const streams = this.streams.filter(stream => stream.node === node && stream.seen.length > 0);
        streams[step.stream % Math.max(1, streams.length)]?.acknowledge(step.choice);
      }
    }
  }

  /** Everything works, and the device reads at the last node until nothing is left. */
  async comeToRest(): Promise<void> {
    for (const node of this.nodes) await node.store.runFreely();
    await settled();
    this.connect(1, Number.POSITIVE_INFINITY);
    const last = this.newest!;
    for (let i = 0; i < 40; i++) {
      this.passTime(i < 6 ? 1_100 : 60);
      await settled();
      this.nodes[1]!.mailboxes.nudge(device);
      await settled();
      while (last.seen.length > 0) last.acknowledge(0);
    }
    if (this.violation !== undefined) throw this.violation;
    for (const message of this.messages) {
      assert.notEqual(message.outcome, 'open', `${message.number} was never settled`);
      if (message.outcome === 'settled') assert(message.isDone, `${message.number} never came`);
    }
    assert.equal(this.disk.rows.size, 0, 'nothing is on disk');
    for (const node of this.nodes) {
      assert.equal(node.mailboxes.unwrittenBytes, 0);
      node.mailboxes.detach(device, node.stream);
      assert.equal(node.mailboxes.size, 0, 'no mailbox is in memory');
    }
  }
}

type Step = { readonly at: number } & (
  | { readonly kind: 'send' | 'cut' | 'nudge' | 'pause' | 'resume' | 'kill' }
  | { readonly kind: 'connect'; readonly room: number }
  | { readonly kind: 'store'; readonly choice: number; readonly fail: boolean }
  | { readonly kind: 'acknowledge'; readonly stream: number; readonly choice: number }
  | { readonly kind: 'wait'; readonly ms: number }
);

const at = fc.nat(1);
const plain = (kind: 'send' | 'cut' | 'nudge' | 'pause' | 'resume' | 'kill'): fc.Arbitrary<Step> =>
  fc.record({ kind: fc.constant(kind), at });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: plain('send') },
  { weight: 1, arbitrary: plain('cut') },
  { weight: 4, arbitrary: plain('nudge') },
  { weight: 1, arbitrary: plain('pause') },
  { weight: 2, arbitrary: plain('resume') },
  { weight: 1, arbitrary: plain('kill') },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('connect' as const), at, room: fc.constantFrom(1, 3, 100, 100) }),
  },
  {
    weight: 30,
    arbitrary: fc.record({
      kind: fc.constant('store' as const),
      at,
      choice: fc.nat(5),
      fail: fc.nat(14).map(n => n === 0),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('acknowledge' as const),
      at,
      stream: fc.nat(3),
      choice: fc.constantFrom(0, 0, 0, 1, 4),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      at,
      ms: fc.constantFrom(0, 0, 0, 1, 20, 41, 60, 1_100),
    }),
  },
);

test('two owners: nothing acknowledged is lost, nothing shown twice by a claim, order holds', {
  timeout: 60_000,
}, async () => {
  const exercised = { messages: 0, settled: 0, moves: 0 };
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 160, size: 'max' }), async steps => {
        mock.timers.reset();
        mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] });
        const world = new World();
        for (const each of steps) {
          world.run(each);
          await settled();
          for (const message of world.messages) world.note(() => world.checkKept(message));
          if (world.violation !== undefined) throw world.violation;
        }
        await world.comeToRest();
        exercised.messages += world.messages.length;
        exercised.settled += world.messages.filter(message => message.outcome === 'settled').length;
        exercised.moves += world.fenced;
      }),
      { numRuns: Number(process.env['DRAWBRIDGE_RUNS'] ?? 300) },
    );
  } finally {
    mock.timers.reset();
  }
  assert(exercised.settled > 500 && exercised.moves > 100, JSON.stringify(exercised));
});

/** Two nodes whose storage answers at once. */
function twoNodes(t: { readonly after: (done: () => void) => void }): {
  world: World;
  pass: (ms: number) => Promise<void>;
} {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] });
  t.after(() => mock.timers.reset());
  const world = new World();
  for (const node of world.nodes) void node.store.runFreely();
  const pass = async (ms: number): Promise<void> => {
    world.passTime(ms);
    for (let i = 0; i < 5; i++) {
      await settled();
      mock.timers.tick(0);
    }
    if (world.violation !== undefined) throw world.violation;
  };
  return { world, pass };
}

test('a node that was replaced writes what it has under no claim, in its order, and its stream ends', async t => {
  const { world, pass } = twoNodes(t);
  world.connect(0, 100);
  await pass(0);
  const old = world.newest!;
  for (let i = 0; i < 3; i++) world.send(0);
  world.connect(1, 100);
  await pass(0);
  const now = world.newest!;
  assert.deepEqual([old.shown, now.shown], [[0, 1, 2], []]);
  await pass(41);
  assert.equal(old.isEnded, true);
  world.send(0);
  await pass(41);
  world.nodes[1]!.mailboxes.nudge(device);
  await pass(0);
  assert.deepEqual(now.shown, [0, 1, 2, 3]);
  assert.deepEqual(
    world.messages.map(message => message.outcome),
    ['settled', 'settled', 'settled', 'settled'],
  );
});

test('an acknowledgement that comes late, to a node that was replaced, removes nothing', async t => {
  const { world, pass } = twoNodes(t);
  world.send(0);
  await pass(41);
  world.connect(0, 100);
  await pass(0);
  const old = world.newest!;
  assert.deepEqual(old.shown, [0]);
  world.connect(1, 0);
  await pass(0);
  old.acknowledge(0);
  await pass(60);
  assert.equal(world.disk.rows.get(device)?.size, 1);
});

test("the late end of an old stream leaves the new one's claim, at another node or the same", async t => {
  const { world, pass } = twoNodes(t);
  world.connect(0, 100);
  await pass(0);
  const old = world.newest!;
  world.connect(1, 100);
  await pass(0);
  world.nodes[0]!.mailboxes.detach(device, old);
  await pass(60);
  assert.equal(world.disk.head(device).node, 'b0');
  world.send(1);
  await pass(0);
  assert.deepEqual(world.newest?.shown, [0], 'the new stream lives on');
});

test('a number that another node gave is read without a nudge, as soon as this one writes', async t => {
  const { world, pass } = twoNodes(t);
  world.connect(1, 100);
  await pass(0);
  world.send(0);
  await pass(41);
  assert.deepEqual(world.newest?.shown, []);
  world.send(1);
  await pass(41);
  assert.deepEqual(world.newest?.shown, [1, 0]);
});
