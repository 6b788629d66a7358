// Receives what gatekeepers tell: verified, handed to the provider's hook, and used up when the hook is done with it, so that a
// crash in between loses nothing and the gatekeeper tells it again. Knows nothing of HTTP, or of what the hook does.
// Source: docs/protocol/10 section 10.5; RFC 8935.

import type { SecurityEvent } from '@drawbridge/identity/security-event';
import { gatekeeperEvents } from '@drawbridge/identity/security-event-kinds';
import { refusalOf, takeWakeUp, type WakeUpReceipt, type WakeUpTaker } from '../wake-ups/receiver.ts';
import { Hooks, HookTooSlow } from '../within.ts';
import { type GatekeeperNotice, noticeOf } from './gatekeeper-notice.ts';
import type { TokenVerifier } from './gatekeeper-tokens.ts';
import type { HandledEvents } from './handled-events.ts';

/**
 * Called for each verified event, at least once: after a crash or a failure it may come again under the same `id`. A rejection
 * means "tell it again later". `signal` is aborted when the call has failed by its time: a hook that runs on then takes one
 * of few places of that gatekeeper until it ends.
 */
export type EventHook = (notice: GatekeeperNotice, signal: AbortSignal) => unknown;

export const eventReceiverLimits = {
  /** Hooks that run for one gatekeeper; beyond that it is told to come again. */
  atOnce: 32,
  /** A hook that takes longer has failed: the gatekeeper does not wait longer for the answer. */
  timeoutMs: 4_000,
  /** Hooks of one gatekeeper that run on after that; with so many it is told to come again. */
  maxLate: 32,
};

/** `failed`: the hook did not take it, and the gatekeeper comes again. */
export type EventReceipt = WakeUpReceipt | { readonly kind: 'failed' };

export type EventReceiverOptions = {
  readonly verify: TokenVerifier;
  /** Without it none but wake-ups is taken: what nobody hears is not acknowledged. */
  readonly hook: EventHook | undefined;
  readonly handled: HandledEvents;
  /** Wake-ups come here too, from gatekeepers that know no other place. */
  readonly wakeUps: WakeUpTaker;
  readonly limits: typeof eventReceiverLimits;
  readonly log: (event: string, code: string) => void;
};

/** Of one gatekeeper. */
type Calls = {
  /** By id: one that comes again meanwhile gets the same answer. */
  readonly underWay: Map<string, Promise<EventReceipt>>;
  readonly hooks: Hooks;
};

export function createEventReceiver(options: EventReceiverOptions): (token: string) => Promise<EventReceipt> {
  const { verify, hook, handled, wakeUps, limits, log } = options;
  const gatekeepers = new Map<string, Calls>();

  function callsOf(gatekeeper: string): Calls {
    const calls = gatekeepers.get(gatekeeper) ?? { underWay: new Map(), hooks: new Hooks(limits) };
    gatekeepers.set(gatekeeper, calls);
    return calls;
  }

  async function handle(
    hooks: Hooks,
    hear: EventHook,
    event: SecurityEvent,
    notice: GatekeeperNotice,
  ): Promise<EventReceipt> {
    try {
      await hooks.run(signal => hear(notice, signal));
    } catch (error) {
      log('event-hook-failed', error instanceof HookTooSlow ? 'timed-out' : 'failed');
      return { kind: 'failed' };
    }
    try {
      await handled.note(event);
      return { kind: 'accepted' };
    } catch {
      log('event-refused', 'storage-failed');
      return refusalOf('replay-check-failed');
    }
  }

  return async token => {
    const verdict = await verify(token, hook === undefined ? ['urn:drawbridge:event:wake-up'] : gatekeeperEvents);
    if (verdict.kind === 'refused') {
      log('event-refused', verdict.code);
      return refusalOf(verdict.code);
    }
    const { event } = verdict;
    const notice = noticeOf(event);
    if (notice === undefined || hook === undefined) return await takeWakeUp(wakeUps, event);
    if (handled.has(event)) return { kind: 'accepted' };
    const { underWay, hooks } = callsOf(event.issuer);
    const running = underWay.get(event.jti);
    if (running !== undefined) return await running;
    if (underWay.size >= limits.atOnce || !hooks.hasRoom) {
      log('event-refused', hooks.hasRoom ? 'busy' : 'all-hang');
      return refusalOf('replay-check-failed');
    }
    const receipt = handle(hooks, hook, event, notice).finally(() => underWay.delete(event.jti));
    underWay.set(event.jti, receipt);
    return await receipt;
  };
}
