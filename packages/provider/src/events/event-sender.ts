// Tells gatekeepers what happened: kept first, then signed, posted, and tried again with growing pauses until it is taken; each
// gatekeeper at its own pace, one event after the other about one subject. Knows nothing of who calls.
// Source: docs/protocol/10 section 10.5; RFC 8417, RFC 8935.
import { randomBytes } from 'node:crypto';
import type { EgressFetch } from '@drawbridge/identity/egress';
import type { SigningKey } from '@drawbridge/identity/jwk';
import { clockSkewSeconds, isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { issueSecurityEvent } from '@drawbridge/identity/security-event';
import { isEventPayload } from '@drawbridge/identity/security-event-kinds';
import { type After, systemAfter } from '@drawbridge/identity/timers';
import type { DeadEvent, EventStore, WaitingEvent } from './event-store.ts';
import { type ProviderNotice, toldOf } from './provider-notice.ts';

export const eventSenderLimits = {
  /** Events that wait for one gatekeeper. */
  maxWaiting: 10_000,
  atOnce: 4,
  /** Pauses after failures in a row; a quarter more or less of each is random. */
  backOffMs: [1_000, 5_000, 15_000, 60_000, 300_000, 900_000],
  lifetimeMs: 72 * 3_600_000,
  lookEveryMs: 1_000,
  maxAnswerBytes: 4_096,
} as const;

export type EventReport = {
  readonly waiting: ReadonlyMap<string, number>;
  /** Refused, or not told in three days: the latest 1,000. */
  readonly dead: readonly DeadEvent[];
};

export type EventSender = {
  /** Kept for these gatekeepers when it resolves. Rejects, and keeps nothing, with an EventSendError or a DatabaseWriteError. */
  readonly send: (notice: ProviderNotice, gatekeepers: readonly string[]) => Promise<void>;
  readonly report: () => EventReport;
  /** Tells everything again that is dead. Gives their number. */
  readonly retryDead: () => Promise<number>;
  readonly close: () => Promise<void>;
};

export type EventSenderOptions = {
  readonly issuer: string;
  readonly gatekeepers: readonly string[];
  readonly store: EventStore;
  readonly signingKey: () => SigningKey;
  readonly fetch: EgressFetch;
  readonly random: () => number;
  /** What gatekeepers are told as the time. */
  readonly nowMs: () => number;
  /** By which what waits grows old. */
  readonly judgeMs: () => number;
  readonly monotonicMs: () => number;
  /** The system's when left out. */
  readonly after?: After;
  readonly log: (event: string, code: string) => void;
};

const sendErrors = {
  'gatekeeper-unknown': "a gatekeeper was named that is none of this provider's",
  'notice-refused': 'no gatekeeper would take it: check the identifier, the new one, the credential or the reason',
  'too-many-wait': 'too many events wait for a gatekeeper: see what report() says',
} as const;

/** Nothing was kept. */
export class EventSendError extends Error {
  readonly code: keyof typeof sendErrors;
  constructor(code: keyof typeof sendErrors) {
    super(sendErrors[code]);
    this.code = code;
  }
}

type Outcome = { readonly kind: 'sent' | 'refused' | 'failed'; readonly code: string };
type Queue = { readonly underWay: Map<number, Promise<void>>; failures: number; pausedUntilMs: number };

export function createEventSender(options: EventSenderOptions): EventSender {
  return new Sender(options);
}

class Sender implements EventSender {
  readonly #options: EventSenderOptions;
  readonly #queues: ReadonlyMap<string, Queue>;
  readonly #after: After;
  #callOff: () => void;
  #latestMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: EventSenderOptions) {
    this.#options = options;
    const empty = (): Queue => ({ underWay: new Map(), failures: 0, pausedUntilMs: 0 });
    this.#queues = new Map(options.gatekeepers.map(each => [each, empty()]));
    this.#after = options.after ?? systemAfter;
    this.#callOff = this.#after(eventSenderLimits.lookEveryMs, this.#lookAgain);
  }

  readonly send = async (notice: ProviderNotice, gatekeepers: readonly string[]): Promise<void> => {
    const { store, issuer, nowMs } = this.#options;
    const { event, identifier, payload } = toldOf(notice);
    const subject = identifier ?? issuer;
    if (identifier !== undefined && !isUserIdentifier(identifier)) throw new EventSendError('notice-refused');
    if (!isEventPayload(event, payload)) throw new EventSendError('notice-refused');
    const occurredAtMs = this.#occurredAt(nowMs());
    const events = gatekeepers.map(gatekeeper => {
      if (!this.#queues.has(gatekeeper)) throw new EventSendError('gatekeeper-unknown');
      if (store.waiting(gatekeeper) >= eventSenderLimits.maxWaiting) throw new EventSendError('too-many-wait');
      const tokenId = randomBytes(18).toString('base64url');
      return { gatekeeper, tokenId, subject, event, payload, occurredAtMs };
    });
    await store.add(events);
    this.#look();
  };

  /** A clock that is put right by a little must not make what happens now older than what was told: it would be passed over. */
  #occurredAt(nowMs: number): number {
    const aheadMs = this.#latestMs - nowMs;
    if (aheadMs <= 0 || aheadMs > clockSkewSeconds * 1000) this.#latestMs = nowMs;
    return this.#latestMs;
  }

  readonly report = (): EventReport => {
    const { store } = this.#options;
    const waiting = new Map(Array.from(this.#queues.keys(), each => [each, store.waiting(each)] as const));
    return { waiting, dead: store.dead() };
  };

  readonly retryDead = (): Promise<number> => this.#options.store.revive(this.#options.nowMs());

  readonly close = async (): Promise<void> => {
    this.#isClosed = true;
    this.#callOff();
    await Promise.all(Array.from(this.#queues.values(), ({ underWay }) => [...underWay.values()]).flat());
  };

  readonly #lookAgain = (): void => {
    this.#callOff = this.#after(eventSenderLimits.lookEveryMs, this.#lookAgain);
    this.#look();
  };

  #look(): void {
    for (const [gatekeeper, queue] of this.#queues) this.#pump(gatekeeper, queue);
  }

  #pump(gatekeeper: string, queue: Queue): void {
    const { store, nowMs, monotonicMs } = this.#options;
    const { atOnce, backOffMs } = eventSenderLimits;
    const most = queue.failures > 0 ? 1 : atOnce;
    if (this.#isClosed || queue.underWay.size >= most || queue.pausedUntilMs > monotonicMs()) return;
    const farthestMs = nowMs() + 2 * Math.max(...backOffMs);
    for (const event of store.due(gatekeeper, nowMs(), farthestMs, 2 * atOnce)) {
      if (queue.underWay.size >= most) return;
      if (queue.underWay.has(event.id)) continue;
      const done = this.#tell(queue, event)
        .catch(() => this.#options.log('events-not-kept', 'storage-failed'))
        .finally(() => {
          queue.underWay.delete(event.id);
          if (queue.failures === 0) this.#pump(gatekeeper, queue);
        });
      queue.underWay.set(event.id, done);
    }
  }

  async #tell(queue: Queue, event: WaitingEvent): Promise<void> {
    const { store, nowMs, judgeMs, monotonicMs, random, log } = this.#options;
    const { backOffMs, lifetimeMs } = eventSenderLimits;
    const { kind, code } = await this.#post(event).catch((): Outcome => ({ kind: 'failed', code: 'internal-error' }));
    if (kind === 'failed' && queue.failures === 0) log('events-failing', code);
    if (kind === 'refused') log('event-not-taken', code);
    if (kind !== 'failed') {
      queue.failures = 0;
      queue.pausedUntilMs = 0;
    }
    const isOld = event.attempts > 0 && judgeMs() - event.occurredAtMs > lifetimeMs;
    if (kind === 'sent') return await store.remove(event.id);
    if (kind === 'refused' || isOld) return await store.bury(event.id, code, nowMs());
    // Those of one burst that fail together count once.
    if (queue.pausedUntilMs <= monotonicMs()) {
      const pauseMs = backOffMs[Math.min(queue.failures++, backOffMs.length - 1)]!;
      queue.pausedUntilMs = monotonicMs() + pauseMs * (0.75 + random() / 2);
    }
    await store.postpone(event.id, nowMs() + queue.pausedUntilMs - monotonicMs());
  }

  async #post({ gatekeeper, tokenId, subject, event, payload, occurredAtMs }: WaitingEvent): Promise<Outcome> {
    const { issuer, signingKey, fetch, nowMs } = this.#options;
    const token = await issueSecurityEvent(signingKey(), {
      ...{ issuer, audience: gatekeeper, jti: tokenId, subject, event, payload, occurredAtMs },
      // Of this attempt: a receiver takes only young tokens, and tells a repeated one by its id.
      issuedAtSeconds: Math.floor(nowMs() / 1000),
    });
    const { port } = new URL(gatekeeper);
    const response = await fetch(`${gatekeeper}/v1/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/secevent+jwt', accept: 'application/json' },
      body: token,
      maxBodyBytes: eventSenderLimits.maxAnswerBytes,
      ...(port === '' ? {} : { ports: [Number(port)] }),
    });
    if (response.kind === 'failed') return { kind: 'failed', code: response.code };
    const { status, body } = response;
    if (status >= 200 && status < 300) return { kind: 'sent', code: '' };
    const err = /"err":"([a-z_]{1,40})"/.exec(Buffer.from(body).toString())?.[1];
    const code = err ?? `status-${status}`;
    // Suspended, or our keys are not at hand there, which only whoever has them is told: what is told then is heard afterwards.
    const isDeaf = err === 'access_denied' || err === 'authentication_failed';
    const isLater = status >= 500 || status === 408 || status === 429 || isDeaf;
    return { kind: isLater ? 'failed' : 'refused', code };
  }
}
