// Asks a person's provider to wake their app: coalesced, signed, without content, sender or count; kept until it is sent.
// Knows nothing of messages or mailboxes. Source: docs/protocol/03 (Wake-up), RFC 8417, RFC 8935.
import { randomBytes } from 'node:crypto';
import type { After } from '@drawbridge/identity/timers';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Limits } from '../config-schema.ts';
import type { Account } from '../enlistment/account.ts';
import { type Poster, postSecurityEvent, type PostOutcome } from '../events/post-event.ts';
import type { Registry } from '../providers/registry.ts';
import type { WakeUpQueue, WakeUpWrite } from './wake-up-queue.ts';

/** Pauses after failures in a row, per provider: one person's failure says nothing about that person. */
export const wakeUpBackOffMs = [1_000, 5_000, 15_000, 60_000, 300_000] as const;

export type WakeUpCounters = {
  /** Asked for, coalesced ones included. */
  requested: number;
  sent: number;
  /** Answered with a refusal, too old, or their provider is gone. */
  givenUp: number;
  failed: number;
  /** Not taken because too many were waiting. */
  dropped: number;
};

export type WakeUps = {
  /** Asks; returns at once. The message that is the reason lies in the mailbox, so a lost wake-up loses no message. */
  readonly requestWakeUp: (account: Account) => void;
  /** Forgets what waits for people that are gone. */
  readonly forget: (interopId: InteropId) => void;
  /** Their provider knows them under another identifier from now on. */
  readonly rename: (interopId: InteropId, identifier: string) => void;
  readonly counters: Readonly<WakeUpCounters>;
  readonly waiting: () => number;
  /** Begins to send none; what is asked for from now on is written, and goes out after a restart. */
  readonly hold: () => void;
  /** Stops sending; what waits is in the store and goes on after a restart. */
  readonly close: () => Promise<void>;
};

export type WakeUpDeps = Poster & {
  readonly kept: WakeUpQueue;
  readonly registry: Registry;
  readonly limits: Limits;
  /** Wakes one of the embedded issuer's own people, in this process; undefined when there is no such issuer. */
  readonly wakeOwn: ((identifier: string) => void) | undefined;
  /** Once when a provider's endpoint begins to fail, when it refuses (at most once a minute), and when it is back. */
  readonly log: (event: WakeUpLogEvent, provider: number, code: string) => void;
  /** By which a wake-up grows old. */
  readonly judgeMs: () => number;
  /** From which it does. */
  readonly stampMs: () => number;
  readonly monotonicMs: () => number;
  readonly after: After;
};

export type WakeUpLogEvent = 'wake-ups-failing' | 'wake-ups-refused' | 'wake-ups-arrive-again' | 'wake-ups-not-written';

type Person = {
  readonly queue: Queue;
  readonly account: number;
  readonly interopId: InteropId;
  readonly identifier: string;
  readonly tokenId: string;
  readonly requestedAtMs: number;
};

/** One provider's people, and how its endpoint fares. A person stands in `ready`, in `underWay`, or waits for an interval. */
type Queue = {
  readonly number: number;
  readonly ready: Map<string, Person>;
  readonly underWay: Map<string, Person>;
  /** All of its people that wait, wherever they stand. */
  waiting: number;
  failures: number;
  pausedUntilMs: number;
  refusalLoggedAtMs: number;
};

const wakeUp = 'urn:drawbridge:event:wake-up';
const refusalLogMs = 60_000;

/** People whose interval has not passed are looked at this often. */
const tickMs = 500;

/** Starts with what waited before the restart. Rejects with StoreError. */
export async function createWakeUps(deps: WakeUpDeps): Promise<WakeUps> {
  const sender = new WakeUpSender(deps);
  await sender.load();
  return {
    counters: sender.counters,
    waiting: () => sender.waiting,
    requestWakeUp: account => sender.requestWakeUp(account),
    forget: interopId => sender.forget(interopId),
    rename: (interopId, identifier) => sender.rename(interopId, identifier),
    hold: () => sender.hold(),
    close: () => sender.close(),
  };
}

class WakeUpSender {
  readonly counters: WakeUpCounters = { requested: 0, sent: 0, givenUp: 0, failed: 0, dropped: 0 };
  readonly #deps: WakeUpDeps;
  readonly #queues = new Map<number, Queue>();
  /** People who were woken less than an interval ago and are to be woken again. */
  readonly #later = new Map<string, { readonly person: Person; readonly dueAtMs: number }>();
  /** When each person was last woken, oldest first; only the last interval is kept. */
  readonly #lastSentMs = new Map<string, number>();
  readonly #sending = new Set<Promise<void>>();
  #waiting = 0;
  #closed = false;
  #held = false;
  #callOff: (() => void) | undefined;
  #writes: WakeUpWrite[] = [];
  #writing: Promise<void> | undefined;

  constructor(deps: WakeUpDeps) {
    this.#deps = deps;
  }

  get waiting(): number {
    return this.#waiting;
  }

  async load(): Promise<void> {
    for (let afterAccount = 0; ; ) {
      const page = await this.#deps.kept.page(afterAccount, 1_000);
      for (const { provider, ...rest } of page) {
        const queue = this.#queueOf(provider);
        queue.ready.set(rest.interopId, { queue, ...rest });
        this.#count(queue, 1);
      }
      const last = page.at(-1);
      if (last === undefined) break;
      afterAccount = last.account;
    }
    if (this.#waiting > 0) this.#wakeTimer();
  }

  requestWakeUp({ row, interopId, provider, identifier }: Account): void {
    if (this.#closed || this.#deps.registry.find(provider)?.wakeUpUrl === undefined) return;
    this.counters.requested++;
    const queue = this.#queueOf(provider);
    if (queue.ready.has(interopId) || this.#later.has(interopId)) return;
    // A share for each provider: one whose endpoint is dead fills its own.
    if (
      this.#waiting >= this.#deps.limits.wakeUpsWaiting ||
      queue.waiting >= this.#deps.limits.wakeUpsWaitingPerProvider
    ) {
      this.counters.dropped++;
      return;
    }
    const person: Person = {
      queue,
      account: row,
      interopId,
      identifier,
      tokenId: randomBytes(18).toString('base64url'),
      requestedAtMs: this.#deps.stampMs(),
    };
    this.#count(queue, 1);
    this.#write({ account: row, tokenId: person.tokenId, requestedAtMs: person.requestedAtMs });
    const sentMs = this.#lastSentMs.get(interopId);
    if (sentMs !== undefined && sentMs + this.#intervalMs() > this.#deps.monotonicMs()) {
      // One that is under way may arrive before the new message does: another has to follow it.
      this.#later.set(interopId, { person, dueAtMs: sentMs + this.#intervalMs() });
      this.#wakeTimer();
    } else {
      queue.ready.set(interopId, person);
      // Not at once: what is asked for in one go is one wake-up.
      if (queue.ready.size === 1) setImmediate(() => this.#pump(queue));
    }
  }

  forget(interopId: InteropId): void {
    for (const queue of this.#queues.values()) if (queue.ready.delete(interopId)) this.#count(queue, -1);
    const waits = this.#later.get(interopId);
    if (waits !== undefined) this.#count(waits.person.queue, -1);
    this.#later.delete(interopId);
    this.#lastSentMs.delete(interopId);
  }

  rename(interopId: InteropId, identifier: string): void {
    for (const { ready, underWay } of this.#queues.values()) {
      // What is under way under the old name may fail, and is sent again under the new one.
      for (const people of [ready, underWay]) {
        const person = people.get(interopId);
        if (person !== undefined) people.set(interopId, { ...person, identifier });
      }
    }
    const waits = this.#later.get(interopId);
    if (waits !== undefined) this.#later.set(interopId, { ...waits, person: { ...waits.person, identifier } });
  }

  /** Begins to send none. */
  hold(): void {
    this.#held = true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#callOff?.();
    await Promise.all(this.#sending);
    await this.#writing;
  }

  #intervalMs(): number {
    return this.#deps.limits.wakeUpIntervalSeconds * 1000;
  }

  #queueOf(number: number): Queue {
    let queue = this.#queues.get(number);
    if (queue === undefined) {
      queue = {
        number,
        ready: new Map(),
        underWay: new Map(),
        waiting: 0,
        failures: 0,
        pausedUntilMs: 0,
        refusalLoggedAtMs: Number.NEGATIVE_INFINITY,
      };
      this.#queues.set(number, queue);
    }
    return queue;
  }

  /** Everything of one tick is one write. When it fails, wake-ups are less durable and go on all the same. */
  #write(entry: WakeUpWrite): void {
    this.#writes.push(entry);
    this.#writing ??= Promise.resolve().then(async () => {
      while (this.#writes.length > 0) {
        const list = this.#writes;
        this.#writes = [];
        try {
          await this.#deps.kept.write(list);
        } catch {
          this.counters.failed += list.length;
          this.#deps.log('wake-ups-not-written', 0, 'store-failed');
        }
      }
      this.#writing = undefined;
    });
  }

  #count(queue: Queue, by: 1 | -1): void {
    this.#waiting += by;
    queue.waiting += by;
  }

  #finish(person: Person): void {
    this.#count(person.queue, -1);
    this.#write({ account: person.account, tokenId: person.tokenId });
  }

  #remember(interopId: InteropId): void {
    const now = this.#deps.monotonicMs();
    for (const [oldest, atMs] of this.#lastSentMs) {
      if (now - atMs < this.#intervalMs()) break;
      this.#lastSentMs.delete(oldest);
    }
    this.#lastSentMs.delete(interopId);
    this.#lastSentMs.set(interopId, now);
  }

  async #post({ queue, identifier, tokenId }: Person): Promise<PostOutcome> {
    const provider = this.#deps.registry.find(queue.number);
    const url = provider?.wakeUpUrl;
    if (provider === undefined || url === undefined || provider.status === 'suspended')
      return { kind: 'refused', code: 'provider-not-live' };
    if (queue.number === 0 && this.#deps.wakeOwn !== undefined) {
      // Not over the network: a machine may well not reach its own public name.
      this.#deps.wakeOwn(identifier);
      return { kind: 'sent', code: '' };
    }
    const claims = { audience: provider.issuer, jti: tokenId, subject: identifier, event: wakeUp } as const;
    return await postSecurityEvent(this.#deps, url, claims);
  }

  #note(queue: Queue, { kind, code }: PostOutcome): void {
    if (kind === 'failed' && queue.failures === 0) this.#deps.log('wake-ups-failing', queue.number, code);
    if (kind === 'sent' && queue.failures > 0) this.#deps.log('wake-ups-arrive-again', queue.number, code);
    if (kind !== 'refused' || this.#deps.monotonicMs() - queue.refusalLoggedAtMs < refusalLogMs) return;
    queue.refusalLoggedAtMs = this.#deps.monotonicMs();
    this.#deps.log('wake-ups-refused', queue.number, code);
  }

  async #send(person: Person): Promise<void> {
    const { queue, interopId } = person;
    const outcome = await this.#post(person).catch((): PostOutcome => ({ kind: 'failed', code: 'internal-error' }));
    const latest = queue.underWay.get(interopId) ?? person;
    queue.underWay.delete(interopId);
    this.#note(queue, outcome);
    if (outcome.kind === 'failed') {
      this.counters.failed++;
      const pauseMs = wakeUpBackOffMs[Math.min(queue.failures, wakeUpBackOffMs.length - 1)]!;
      queue.failures++;
      queue.pausedUntilMs = this.#deps.monotonicMs() + pauseMs;
      this.#lastSentMs.delete(interopId);
      // A newer one stands for both.
      if (this.#later.has(interopId)) this.#count(queue, -1);
      else queue.ready.set(interopId, latest);
      return;
    }
    queue.failures = 0;
    queue.pausedUntilMs = 0;
    if (outcome.kind === 'sent') this.counters.sent++;
    else this.counters.givenUp++;
    this.#finish(person);
  }

  /** Starts what may start. After a failure one goes ahead alone; the others follow when it has arrived. */
  #pump(queue: Queue): void {
    const most = queue.failures > 0 ? 1 : this.#deps.limits.wakeUpsAtOnce;
    for (const [interopId, person] of queue.ready) {
      if (this.#closed || this.#held || queue.underWay.size >= most || queue.pausedUntilMs > this.#deps.monotonicMs())
        break;
      queue.ready.delete(interopId);
      if (this.#deps.judgeMs() - person.requestedAtMs > this.#deps.limits.wakeUpLifetimeSeconds * 1000) {
        this.counters.givenUp++;
        this.#finish(person);
        continue;
      }
      queue.underWay.set(interopId, person);
      this.#remember(interopId);
      const done = this.#send(person).finally(() => {
        this.#sending.delete(done);
        this.#pump(queue);
      });
      this.#sending.add(done);
    }
    if (queue.ready.size > 0 && queue.pausedUntilMs > 0 && !this.#held) this.#wakeTimer();
  }

  #wakeTimer(): void {
    if (this.#closed || this.#callOff !== undefined) return;
    this.#callOff = this.#deps.after(tickMs, this.#tick);
  }

  readonly #tick = (): void => {
    this.#callOff = undefined;
    const now = this.#deps.monotonicMs();
    for (const [interopId, { person, dueAtMs }] of this.#later) {
      if (dueAtMs > now || person.queue.underWay.has(interopId)) continue;
      this.#later.delete(interopId);
      person.queue.ready.set(interopId, person);
    }
    for (const queue of this.#queues.values()) if (queue.ready.size > 0) this.#pump(queue);
    if (this.#later.size > 0) this.#wakeTimer();
  };
}
