// The port for events that wait to be told to providers, and for those that could not be told. Knows no endpoint and no keys.
import type { GatekeeperEvent } from '@drawbridge/identity/security-event-kinds';

/** Goes into the transaction of the change that it tells of. */
export type NewEvent = {
  readonly provider: number;
  /** Where it is told and to whom, unless the provider has moved by then. */
  readonly url: string;
  readonly audience: string;
  /** The same for every try. */
  readonly tokenId: string;
  /** A person's identifier, or the provider's issuer URL. */
  readonly subject: string;
  readonly event: GatekeeperEvent;
  readonly payload: Readonly<Record<string, string>>;
  readonly occurredAtMs: number;
  /** Of this provider: beyond the first it is dead at once, beyond the second the oldest dead ones go. */
  readonly maxWaiting: number;
  readonly maxDead: number;
};

export type WaitingEvent = Omit<NewEvent, 'maxWaiting' | 'maxDead'> & {
  readonly seq: number;
  /** Tries that failed. */
  readonly attempts: number;
};

export type ListedEvent = WaitingEvent & {
  /** When it was given up. */
  readonly deadAtMs: number | undefined;
  /** Why the last try failed, or why it is dead. */
  readonly code: string | undefined;
};

export type EventCount = { readonly provider: number; readonly waiting: number; readonly dead: number };

/** Every write is one transaction, durable when it resolves; rejects with StoreError alone. */
export interface EventOutbox {
  /** Providers with events that are due. A time beyond `farthestMs` was noted before a clock was set back: it is due too. */
  due(nowMs: number, farthestMs: number): Promise<readonly number[]>;
  /**
   * Takes what is due of one provider for as long as the lease: nobody else is given it until then. About one subject only
   * the oldest that waits is given, so that later ones never arrive first.
   */
  take(lease: {
    readonly provider: number;
    readonly nowMs: number;
    readonly farthestMs: number;
    readonly leaseUntilMs: number;
    readonly limit: number;
  }): Promise<readonly WaitingEvent[]>;
  /** It was taken at the other end. */
  remove(seq: number): Promise<void>;
  postpone(seq: number, nextAtMs: number, code: string): Promise<void>;
  /** It is given up, and kept from then on to be looked at and told again. */
  bury(seq: number, stampMs: number, code: string, maxDead: number): Promise<void>;
  /** Oldest first, after `afterSeq`. */
  list(which: {
    readonly provider?: number | undefined;
    readonly isDead: boolean;
    readonly afterSeq: number;
    readonly limit: number;
  }): Promise<readonly ListedEvent[]>;
  /** Lets dead ones be tried again, with an audit entry: one, or all of a provider. Gives how many. */
  revive(which: {
    readonly seq?: number;
    readonly provider?: number;
    readonly actor: string;
    readonly nowMs: number;
  }): Promise<number>;
  counts(): Promise<readonly EventCount[]>;
  /** Forgets what is dead since before then, at most `limit`; gives how many. */
  sweep(beforeMs: number, limit: number): Promise<number>;
}
