// Verifies security event tokens of the gatekeepers that this provider works with: wake-ups and all other events alike.
// Knows nothing of HTTP, or of what an event does.
// Source: docs/protocol/03 (Wake-up), 10 section 10.5; RFC 8417.

import type { EgressFetch } from '@drawbridge/identity/egress';
import { createKeySet, type KeySetEvent } from '@drawbridge/identity/key-set';
import {
  type SecurityEvent,
  type SecurityEventErrorCode,
  verifySecurityEvent,
} from '@drawbridge/identity/security-event';
import type { GatekeeperEvent } from '@drawbridge/identity/security-event-kinds';
import type { KeySource } from '@drawbridge/identity/verify-ownership-proof';

/** A gatekeeper that this provider works with. */
export type KnownGatekeeper = {
  /** Its issuer URL: the audience of proofs for it and the `iss` of its events. */
  readonly issuer: string;
  /** Its published keys; `<issuer>/.well-known/jwks.json` when left out. */
  readonly keySetUrl?: string;
};

export type TokenVerdict =
  | { readonly kind: 'verified'; readonly event: SecurityEvent }
  | { readonly kind: 'refused'; readonly code: SecurityEventErrorCode };

/** Whether this is a token of one of the gatekeepers, with an event of these kinds. Uses up no id: the caller does. */
export type TokenVerifier = (token: string, accepts: readonly GatekeeperEvent[]) => Promise<TokenVerdict>;

export type TokenVerifierOptions = {
  readonly audience: string;
  readonly gatekeepers: readonly KnownGatekeeper[];
  readonly fetch: EgressFetch;
  readonly nowMs: () => number;
  /** For key sets: only goes forward. */
  readonly monotonicMs: () => number;
  readonly log: (event: string, code: string) => void;
};

export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { audience, fetch, nowMs, monotonicMs, log } = options;
  const keySets: (readonly [string, KeySource])[] = options.gatekeepers.map(({ issuer, keySetUrl }) => [
    issuer,
    createKeySet({
      issuer,
      keySetUrl: keySetUrl ?? `${issuer}/.well-known/jwks.json`,
      fetch,
      nowMs: monotonicMs,
      onEvent: (event: KeySetEvent) => {
        if (event.kind === 'failed') log('gatekeeper-keys-not-fetched', event.code);
      },
    }),
  ]);

  return async (token, accepts) => {
    let verdict: TokenVerdict = { kind: 'refused', code: 'issuer-unknown' };
    // `iss` is compared before anything costs: at most one gatekeeper gets beyond it.
    for (const [issuer, keys] of keySets) {
      const context = { issuer, audience, provider: audience, keys, nowMs: nowMs(), accepts };
      verdict = await verifySecurityEvent(token, context);
      if (verdict.kind === 'verified' || verdict.code !== 'issuer-unknown') break;
    }
    return verdict;
  };
}
