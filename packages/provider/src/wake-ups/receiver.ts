// Receives wake-ups from the gatekeepers that this provider works with. Idempotent: a repeated token wakes nobody twice.
// Knows nothing of HTTP or apps.
// Source: docs/protocol/03 (Wake-up); RFC 8935.

import {
  type SecurityEvent,
  type SecurityEventErrorCode,
  securityEventErrors,
} from '@drawbridge/identity/security-event';
import type { ProofId } from '@drawbridge/identity/verify-ownership-proof';
import { createTokenVerifier, type TokenVerifier, type TokenVerifierOptions } from '../events/gatekeeper-tokens.ts';

export type WakeUpReceipt =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly retry: boolean; readonly err: string; readonly description: string };

/** What a verified wake-up does. */
export type WakeUpTaker = {
  /**
   * True for the first caller with this id, until it expires. A receiver that keeps wake-ups keeps this one, for `identifier`, in the
   * same transaction: a crash in between would lose it. When it rejects the gatekeeper comes again.
   */
  readonly takeEventId: (id: ProofId, identifier: string) => Promise<boolean>;
  readonly onWakeUp: (identifier: string, gatekeeper: string) => void;
  readonly log: (event: string, code: string) => void;
};

export type WakeUpReceiverOptions = TokenVerifierOptions & WakeUpTaker;

export function createWakeUpReceiver(options: WakeUpReceiverOptions): (token: string) => Promise<WakeUpReceipt> {
  return receiveWakeUps(createTokenVerifier(options), options);
}

/** The same with a verifier that others use too. */
export function receiveWakeUps(verify: TokenVerifier, taker: WakeUpTaker): (token: string) => Promise<WakeUpReceipt> {
  return async token => {
    const verdict = await verify(token, ['urn:drawbridge:event:wake-up']);
    if (verdict.kind === 'verified') return await takeWakeUp(taker, verdict.event);
    taker.log('wake-up-refused', verdict.code);
    return refusalOf(verdict.code);
  };
}

export async function takeWakeUp(taker: WakeUpTaker, event: SecurityEvent): Promise<WakeUpReceipt> {
  const { issuer, jti, subject } = event;
  try {
    const isFirst = await taker.takeEventId({ issuer, jti, expiresAtMs: event.usableUntilMs }, subject);
    if (isFirst) taker.onWakeUp(subject, issuer);
    return { kind: 'accepted' };
  } catch {
    taker.log('wake-up-refused', 'replay-check-failed');
    return refusalOf('replay-check-failed');
  }
}

/** As RFC 8935 section 2.4 says it. */
export function refusalOf(code: SecurityEventErrorCode): WakeUpReceipt {
  const { err, retry, text } = securityEventErrors[code];
  return { kind: 'refused', retry, err, description: text };
}
