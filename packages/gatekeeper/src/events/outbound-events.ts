// Tells providers what happened: what waits in storage is signed, posted and tried again with growing pauses; what is refused
// or too old is kept as dead. Each provider has its own turn and its own pause. Knows no HTTP and no rows.
// Source: docs/protocol/10 section 10.5; RFC 8417, RFC 8935.
import { randomBytes } from 'node:crypto';
import type { GatekeeperEvent } from '@drawbridge/identity/security-event-kinds';
import type { After } from '@drawbridge/identity/timers';
import type { Limits } from '../config-schema.ts';
import type { EventOutbox, NewEvent, WaitingEvent } from './event-outbox.ts';
import { type Poster, postSecurityEvent, type PostOutcome } from './post-event.ts';

/** Pauses after failures in a row, per provider; up to a quarter more or less of each is random. */
export const eventBackOffMs = [1_000, 5_000, 15_000, 60_000, 300_000, 900_000] as const;
/** Nobody else is given what is under way until then; more than a request may take. */
const leaseMs = 60_000;
const tickMs = 1_000;
const hourMs = 3_600_000;
const farthestMs = Math.max(...eventBackOffMs) * 2;

export type EventCounters = { sent: number; failed: number; buried: number };

export type OutboundEvents = {
  readonly counters: Readonly<EventCounters>;
  readonly hold: () => void;
  /** Waits for what is under way. */
  readonly close: () => Promise<void>;
};

/** Of a provider: who it is, and where it takes events. */
export type EventPlace = { readonly number: number; readonly issuer: string; readonly eventsUrl: string | undefined };

export type OutboundDeps = Poster & {
  readonly outbox: EventOutbox;
  /** Where a provider takes events by now. */
  readonly endpointOf: (provider: number) => EventPlace | undefined;
  readonly limits: Limits;
  readonly random: () => number;
  /** By which what waits grows old. */
  readonly judgeMs: () => number;
  /** From which what is given up is kept. */
  readonly stampMs: () => number;
  readonly monotonicMs: () => number;
  readonly after: After;
  readonly log: (event: OutboundLogEvent, provider: number, code: string) => void;
};

export type OutboundLogEvent = 'events-failing' | 'events-arrive-again' | 'event-not-taken' | 'events-not-read';

type Told = {
  readonly event: Exclude<GatekeeperEvent, 'urn:drawbridge:event:wake-up'>;
  /** A person of the provider; the provider itself when left out. */
  readonly subject?: string;
  readonly payload?: Readonly<Record<string, string | undefined>>;
  readonly nowMs: number;
};

/** What goes into the transaction of the change; undefined when the provider takes no events. */
export function composeEvent(
  provider: EventPlace | undefined,
  limits: Pick<Limits, 'eventsWaitingPerProvider' | 'deadEventsPerProvider'>,
  { event, subject, payload = {}, nowMs }: Told,
): NewEvent | undefined {
  if (provider?.eventsUrl === undefined) return undefined;
  const says = Object.entries(payload).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    provider: provider.number,
    url: provider.eventsUrl,
    audience: provider.issuer,
    tokenId: randomBytes(18).toString('base64url'),
    subject: subject ?? provider.issuer,
    event,
    payload: Object.fromEntries(says),
    occurredAtMs: nowMs,
    maxWaiting: limits.eventsWaitingPerProvider,
    maxDead: limits.deadEventsPerProvider,
  };
}

type Queue = { underWay: number; failures: number; pausedUntilMs: number; isTaking: boolean };

/** Starts with what waited before the restart. */
export function createOutboundEvents(deps: OutboundDeps): OutboundEvents {
  return new EventSender(deps);
}

class EventSender implements OutboundEvents {
  readonly counters: EventCounters = { sent: 0, failed: 0, buried: 0 };
  readonly #deps: OutboundDeps;
  readonly #queues = new Map<number, Queue>();
  readonly #running = new Set<Promise<void>>();
  #callOff: () => void;
  #isLooking = false;
  #isHeld = false;

  constructor(deps: OutboundDeps) {
    this.#deps = deps;
    this.#callOff = deps.after(tickMs, this.#lookAgain);
  }

  readonly hold = (): void => {
    this.#isHeld = true;
  };

  readonly close = async (): Promise<void> => {
    this.#isHeld = true;
    this.#callOff();
    await Promise.all(this.#running);
  };

  readonly #lookAgain = (): void => {
    this.#callOff = this.#deps.after(tickMs, this.#lookAgain);
    void this.#look();
  };

  async #look(): Promise<void> {
    if (this.#isLooking || this.#isHeld) return;
    this.#isLooking = true;
    try {
      const now = this.#deps.nowMs();
      for (const provider of await this.#deps.outbox.due(now, now + farthestMs)) this.#pump(provider);
    } catch {
      this.#deps.log('events-not-read', 0, 'store-failed');
    } finally {
      this.#isLooking = false;
    }
  }

  #pump(provider: number): void {
    let queue = this.#queues.get(provider);
    if (queue === undefined) {
      queue = { underWay: 0, failures: 0, pausedUntilMs: 0, isTaking: false };
      this.#queues.set(provider, queue);
    }
    // After a failure one goes ahead alone; the others follow when it has arrived.
    const most = queue.failures > 0 ? 1 : this.#deps.limits.eventsAtOnce;
    const room = most - queue.underWay;
    if (this.#isHeld || queue.isTaking || room <= 0 || queue.pausedUntilMs > this.#deps.monotonicMs()) return;
    queue.isTaking = true;
    this.#run(this.#takeAndSend(provider, queue, room));
  }

  #run(work: Promise<void>): void {
    const done = work
      .catch(() => this.#deps.log('events-not-read', 0, 'store-failed'))
      .finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  async #takeAndSend(provider: number, queue: Queue, limit: number): Promise<void> {
    const now = this.#deps.nowMs();
    let taken: readonly WaitingEvent[];
    try {
      taken = await this.#deps.outbox.take({
        provider,
        nowMs: now,
        farthestMs: now + farthestMs,
        leaseUntilMs: now + leaseMs,
        limit,
      });
    } finally {
      queue.isTaking = false;
    }
    for (const event of taken) {
      queue.underWay++;
      this.#run(
        this.#send(queue, event).finally(() => {
          queue.underWay--;
          if (queue.failures === 0) this.#pump(provider);
        }),
      );
    }
  }

  async #send(queue: Queue, event: WaitingEvent): Promise<void> {
    const { outbox, limits, nowMs, judgeMs, stampMs } = this.#deps;
    const outcome = await this.#post(event);
    this.#note(queue, event.provider, outcome);
    if (outcome.kind === 'sent') {
      this.counters.sent++;
      await outbox.remove(event.seq);
      return;
    }
    const isOld = event.attempts > 0 && judgeMs() - event.occurredAtMs > limits.eventLifetimeHours * hourMs;
    if (outcome.kind === 'refused' || isOld) {
      this.counters.buried++;
      await outbox.bury(event.seq, stampMs(), outcome.code, limits.deadEventsPerProvider);
      return;
    }
    this.counters.failed++;
    await outbox.postpone(event.seq, nowMs() + this.#pause(queue), outcome.code);
  }

  async #post({ provider, url, audience, tokenId, ...event }: WaitingEvent): Promise<PostOutcome> {
    const endpoint = this.#deps.endpointOf(provider);
    const { subject, event: kind, payload } = event;
    // A clock that was put right since must not make it one that is still to come, which nobody takes.
    const occurredAtMs = Math.min(event.occurredAtMs, this.#deps.nowMs());
    const claims = {
      audience: endpoint?.issuer ?? audience,
      jti: tokenId,
      subject,
      event: kind,
      payload,
      occurredAtMs,
    };
    return await postSecurityEvent(this.#deps, endpoint?.eventsUrl ?? url, claims).catch(
      (): PostOutcome => ({ kind: 'failed', code: 'internal-error' }),
    );
  }

  /** Those of one burst that fail together count once. */
  #pause(queue: Queue): number {
    const { monotonicMs, random } = this.#deps;
    if (queue.pausedUntilMs <= monotonicMs()) {
      const pauseMs = eventBackOffMs[Math.min(queue.failures, eventBackOffMs.length - 1)]!;
      queue.failures++;
      queue.pausedUntilMs = monotonicMs() + pauseMs * (0.75 + random() / 2);
    }
    return Math.ceil(queue.pausedUntilMs - monotonicMs());
  }

  #note(queue: Queue, provider: number, { kind, code }: PostOutcome): void {
    const { log } = this.#deps;
    if (kind === 'failed' && queue.failures === 0) log('events-failing', provider, code);
    if (kind === 'refused') log('event-not-taken', provider, code);
    if (kind === 'failed') return;
    if (queue.failures > 0) log('events-arrive-again', provider, code);
    queue.failures = 0;
    queue.pausedUntilMs = 0;
  }
}
