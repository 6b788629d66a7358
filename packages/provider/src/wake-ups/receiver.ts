// Receives wake-ups from the gatekeepers that this provider works with. Idempotent: a repeated token wakes nobody twice.
// Knows nothing of HTTP or apps.
// Source: docs/protocol/03 (Wake-up); RFC 8935.

import type { EgressFetch } from '@drawbridge/identity/egress';
import { createKeySet, type KeySetEvent } from '@drawbridge/identity/key-set';
import {
  type SecurityEventErrorCode,
  securityEventErrors,
  verifySecurityEvent,
} from '@drawbridge/identity/security-event';
import type { KeySource, ProofId } from '@drawbridge/identity/verify-ownership-proof';

/** A gatekeeper that this provider works with. */
export type KnownGatekeeper = {
  /** Its issuer URL: the audience of proofs for it and the `iss` of its events. */
  readonly issuer: string;
  /** Its published keys; `<issuer>/.well-known/jwks.json` when left out. */
  readonly keySetUrl?: string;
};

export type WakeUpReceipt =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly retry: boolean; readonly err: string; readonly description: string };

export type WakeUpReceiverOptions = {
  readonly audience: string;
  readonly gatekeepers: readonly KnownGatekeeper[];
  readonly fetch: EgressFetch;
  readonly nowMs: () => number;
  /** For key sets: only goes forward. */
  readonly monotonicMs: () => number;
  /**
   * True for the first caller with this id, until it expires. Who keeps wake-ups keeps this one, for `identifier`, in the
   * same transaction: a crash in between would lose it. When it rejects the gatekeeper comes again.
   */
  readonly takeEventId: (id: ProofId, identifier: string) => Promise<boolean>;
  readonly onWakeUp: (identifier: string, gatekeeper: string) => void;
  readonly log: (event: string, code: string) => void;
};

export function createWakeUpReceiver(options: WakeUpReceiverOptions): (token: string) => Promise<WakeUpReceipt> {
  const keySets: (readonly [string, KeySource])[] = options.gatekeepers.map(({ issuer, keySetUrl }) => [
    issuer,
    createKeySet({
      issuer,
      keySetUrl: keySetUrl ?? `${issuer}/.well-known/jwks.json`,
      fetch: options.fetch,
      nowMs: options.monotonicMs,
      onEvent: (event: KeySetEvent) => {
        if (event.kind === 'failed') options.log('gatekeeper-keys-not-fetched', event.code);
      },
    }),
  ]);

  return async token => {
    let code: SecurityEventErrorCode = 'issuer-unknown';
    // `iss` is compared before anything costs: at most one gatekeeper gets beyond it.
    for (const [issuer, keys] of keySets) {
      const verdict = await verifySecurityEvent(token, {
        issuer,
        audience: options.audience,
        keys,
        nowMs: options.nowMs(),
        accepts: ['urn:drawbridge:event:wake-up'],
        takeEventId: (id, { subject }) => options.takeEventId(id, subject),
      });
      if (verdict.kind === 'verified') {
        options.onWakeUp(verdict.event.subject, issuer);
        return { kind: 'accepted' };
      }
      code = verdict.code;
      if (code !== 'issuer-unknown') break;
    }
    if (code === 'repeated') return { kind: 'accepted' };
    options.log('wake-up-refused', code);
    const { err, retry, text } = securityEventErrors[code];
    return { kind: 'refused', retry, err, description: text };
  };
}
