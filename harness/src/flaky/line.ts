// A TCP port that passes everything on to another, badly, as a seed says: late, only for a while, not at all, or it takes
// in and gives nothing out. Knows nothing of what travels on it.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Random } from '../durability/random.ts';

export type FlakyLine = {
  /** New connections and those that are open suffer by chance while this is on. */
  bad: boolean;
  /** Nothing passes and nobody gets in while this is on; what was sent passes afterwards, as TCP does it. */
  partitioned: boolean;
  /** Connections that are made while this is above 0 are late by so much, each way, and suffer nothing else. */
  delayMs: number;
  readonly faults: Record<'late' | 'reset' | 'refused' | 'held' | 'lost', number>;
  /** Passes on what was held back, as when a network comes back. Lost connections stay lost. */
  heal(): void;
  resetAll(): void;
  close(): Promise<void>;
};

/** What a connection has before it; each is drawn when it is made. */
type Fate = {
  readonly kind: 'good' | 'late' | 'reset' | 'held' | 'lost';
  readonly afterBytes: number;
  readonly lateMs: number;
};

/** `lost` connections never come back and never say so, as behind a router that was started again. */
export async function openFlakyLine(
  port: number,
  target: { readonly host: string; readonly port: number },
  random: Random,
  mayLose: boolean,
): Promise<FlakyLine> {
  const wires = new Set<Wire>();
  const server = createServer(inner => {
    if (line.partitioned || (line.bad && random.share() < 0.15)) {
      line.faults.refused++;
      return inner.resetAndDestroy();
    }
    const fate = line.delayMs > 0 ? lateBy(line.delayMs) : drawFate(line.bad, random, mayLose);
    const wire = new Wire(inner, connect(target), line, fate);
    wires.add(wire);
    wire.ended = () => wires.delete(wire);
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const line: FlakyLine = {
    bad: false,
    partitioned: false,
    delayMs: 0,
    faults: { late: 0, reset: 0, refused: 0, held: 0, lost: 0 },
    heal() {
      line.bad = false;
      line.partitioned = false;
      for (const wire of wires) wire.heal();
    },
    resetAll() {
      for (const wire of wires) wire.reset();
    },
    async close() {
      for (const wire of wires) wire.reset();
      await new Promise(resolve => server.close(resolve));
    },
  };
  return line;
}

const lateBy = (lateMs: number): Fate => ({ kind: 'late', afterBytes: Number.POSITIVE_INFINITY, lateMs });

function drawFate(bad: boolean, random: Random, mayLose: boolean): Fate {
  const share = random.share();
  // Most logins come through, and some are cut in the middle.
  const afterBytes = random.integer(0, random.share() < 0.4 ? 4_000 : 60_000);
  const lateMs = random.integer(1, 80);
  if (!bad || share < 0.15) return { kind: 'good', afterBytes, lateMs };
  if (share < 0.45) return { kind: 'late', afterBytes, lateMs };
  if (share < 0.8) return { kind: 'reset', afterBytes, lateMs };
  return { kind: mayLose && share > 0.95 ? 'lost' : 'held', afterBytes, lateMs };
}

/** One connection: both directions keep their order, whatever happens. */
class Wire {
  readonly #inner: Socket;
  readonly #outer: Socket;
  readonly #line: FlakyLine;
  readonly #fate: Fate;
  #leftBytes: number;
  #isHeld = false;
  #isOver = false;
  /** What is held back, in order of arrival. */
  #held: (() => void)[] = [];
  /** What is late and has not passed yet; nothing overtakes it. */
  #late = 0;
  ended: () => void = () => {};

  constructor(inner: Socket, outer: Socket, line: FlakyLine, fate: Fate) {
    this.#inner = inner;
    this.#outer = outer;
    this.#line = line;
    this.#fate = fate;
    this.#leftBytes = fate.afterBytes;
    if (fate.kind === 'late') line.faults.late++;
    this.#pass(inner, outer);
    this.#pass(outer, inner);
  }

  heal(): void {
    if (this.#fate.kind === 'lost' && this.#isHeld) return;
    this.#isHeld = false;
    this.#leftBytes = Number.POSITIVE_INFINITY;
    const held = this.#held;
    this.#held = [];
    for (const pass of held) pass();
  }

  reset(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#held = [];
    // A socket that is ending can't be reset: its handle would stay open.
    for (const socket of [this.#inner, this.#outer])
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    this.ended();
  }

  #pass(from: Socket, to: Socket): void {
    from.setNoDelay(true);
    from.on('error', () => this.reset());
    from.on('data', chunk => {
      this.#spend(chunk.length);
      this.#forward(() => {
        if (to.writable) to.write(chunk);
      });
    });
    from.on('end', () => this.#forward(() => to.end()));
    from.on('close', () => {
      if (!from.readableEnded) this.reset();
    });
  }

  #forward(pass: () => void): void {
    if (this.#isOver) return;
    const isStopped = (): boolean => this.#isHeld || this.#line.partitioned || this.#held.length > 0;
    if (this.#late === 0 && isStopped()) {
      this.#held.push(pass);
      return;
    }
    if (this.#late === 0 && this.#fate.kind !== 'late') return pass();
    // Timers of one length fire in the order in which they were set.
    this.#late++;
    setTimeout(() => {
      this.#late--;
      if (isStopped()) this.#held.push(pass);
      else pass();
    }, this.#fate.lateMs);
  }

  #spend(bytes: number): void {
    this.#leftBytes -= bytes;
    if (this.#leftBytes >= 0 || this.#isHeld) return;
    const { kind } = this.#fate;
    if (kind === 'good' || kind === 'late' || !this.#line.bad) return;
    this.#line.faults[kind]++;
    if (kind === 'reset') this.reset();
    else this.#isHeld = true;
  }
}
