// Receives what gatekeepers tell: verified, handed to the provider's hook, and used up when the hook is done with it, so that a
// crash in between loses nothing and the gatekeeper tells it again. Knows nothing of HTTP, or of what the hook does.
// Source: docs/protocol/10 section 10.5; RFC 8935.

import type { SecurityEvent } from '@drawbridge/identity/security-event';
import { gatekeeperEvents } from '@drawbridge/identity/security-event-kinds';
import { refusalOf, takeWakeUp, type WakeUpReceipt, type WakeUpTaker } from '../wake-ups/receiver.ts';
import { HookTooSlow, within } from '../within.ts';
import { type GatekeeperNotice, noticeOf } from './gatekeeper-notice.ts';
import type { TokenVerifier } from './gatekeeper-tokens.ts';
import type { HandledEvents } from './handled-events.ts';

/**
 * Called for each verified event, at least once: after a crash or a failure it may come again under the same `id`. A rejection
 * means "tell it again later".
 */
export type EventHook = (notice: GatekeeperNotice) => unknown;

export const eventReceiverLimits = {
  /** Hooks that run for one gatekeeper; beyond that it is told to come again. */
  atOnce: 32,
  /** A hook that takes longer has failed: the gatekeeper does not wait longer for the answer. */
  hookTimeoutMs: 4_000,
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

export function createEventReceiver(options: EventReceiverOptions): (token: string) => Promise<EventReceipt> {
  const { verify, hook, handled, wakeUps, limits, log } = options;
  /** By gatekeeper and id: one that comes again meanwhile gets the same answer. */
  const underWay = new Map<string, Map<string, Promise<EventReceipt>>>();

  async function handle(hear: EventHook, event: SecurityEvent, notice: GatekeeperNotice): Promise<EventReceipt> {
    try {
      await within(limits.hookTimeoutMs, async () => void (await hear(notice)));
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
    const ofGatekeeper = underWay.get(event.issuer) ?? new Map<string, Promise<EventReceipt>>();
    underWay.set(event.issuer, ofGatekeeper);
    const running = ofGatekeeper.get(event.jti);
    if (running !== undefined) return await running;
    if (ofGatekeeper.size >= limits.atOnce) {
      log('event-refused', 'busy');
      return refusalOf('replay-check-failed');
    }
    const receipt = handle(hook, event, notice).finally(() => ofGatekeeper.delete(event.jti));
    ofGatekeeper.set(event.jti, receipt);
    return await receipt;
  };
}
