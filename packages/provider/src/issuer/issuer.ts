// The provider's signing keys and their rotation: the next key is published long before it signs, the old one stays
// until the last proof it signed has ended. No login fails while keys change.
// Knows nothing of users, HTTP or where the keys lie.
// Source: docs/protocol/02 (Keys); OpenID Connect Core 1.0 section 10.1.1 (rotation).

import assert from 'node:assert/strict';
import { clockSkewSeconds, maxProofLifetimeSeconds } from '@drawbridge/identity/ownership-proof';
import {
  generateSigningKey,
  type PublicSigningJwk,
  publicJwk,
  type SignatureAlgorithm,
  type SigningKey,
  type VerificationKey,
  verificationKey,
} from '@drawbridge/identity/jwk';

/** A key and the moment from which it signs; it does so until the next one's moment. */
export type ScheduledKey = { readonly key: SigningKey; readonly signsFromMs: number };

/** Where the keys are kept. `save` is atomic and durable when it settles; the last one saved is loaded. */
export type IssuerKeyStore = {
  readonly load: () => Promise<readonly ScheduledKey[]>;
  readonly save: (keys: readonly ScheduledKey[]) => Promise<void>;
};

export type RotationTimes = {
  /** How long a key signs. */
  readonly signsForMs: number;
  /** How long it is published before it signs: more than the hour for which gatekeepers may keep a key set. */
  readonly publishAheadMs: number;
  /** How long it stays after it has signed: the longest life of a proof, and the forgiven skew. */
  readonly keepAfterMs: number;
};

export const defaultRotationTimes: RotationTimes = {
  signsForMs: 30 * 86_400_000,
  publishAheadMs: 2 * 3_600_000,
  keepAfterMs: (maxProofLifetimeSeconds.compact + clockSkewSeconds) * 1000,
};

/**
 * The keys as they should be at `nowMs`, in the order of signing: at most one that will sign, one that signs, and those
 * that some proof may still need. Gives back `keys` itself when nothing changes.
 */
export function planKeys(
  keys: readonly ScheduledKey[],
  nowMs: number,
  times: RotationTimes,
  makeKey: () => SigningKey,
): readonly ScheduledKey[] {
  const kept = keys.filter((_, index) => {
    const next = keys[index + 1];
    return next === undefined || nowMs < next.signsFromMs + times.keepAfterMs;
  });
  const last = kept.at(-1);
  if (last === undefined) return [{ key: makeKey(), signsFromMs: nowMs }];
  const endsMs = last.signsFromMs + times.signsForMs;
  if (last.signsFromMs <= nowMs && nowMs >= endsMs - times.publishAheadMs) {
    return [...kept, { key: makeKey(), signsFromMs: Math.max(endsMs, nowMs + times.publishAheadMs) }];
  }
  return kept.length === keys.length ? keys : kept;
}

export type Issuer = {
  /** The key that signs now. */
  readonly signingKey: () => SigningKey;
  /** What the key set publishes now. */
  readonly published: () => readonly PublicSigningJwk[];
  /** The same keys for a verifier in this process. */
  readonly verificationKeys: () => readonly VerificationKey[];
  /** Carries out the rotation that is due, if any. Call it every few minutes; calls don't overlap. */
  readonly rotateIfDue: () => Promise<void>;
  /** After a theft: throws away every key, makes a new one and signs with it at once. Older proofs end now. */
  readonly replaceAllKeys: () => Promise<void>;
};

export type IssuerOptions = {
  readonly store: IssuerKeyStore;
  readonly nowMs: () => number;
  readonly algorithm?: SignatureAlgorithm;
  readonly times?: RotationTimes;
};

/** Loads the keys, or makes the first one. Rejects when the store does. */
export async function createIssuer(options: IssuerOptions): Promise<Issuer> {
  const { store, nowMs } = options;
  const times = options.times ?? defaultRotationTimes;
  // ES256 costs every gatekeeper less at every login (docs/decisions/0017).
  const makeKey = (): SigningKey => generateSigningKey(options.algorithm ?? 'ES256');
  let keys: readonly ScheduledKey[] = (await store.load()).toSorted((a, b) => a.signsFromMs - b.signsFromMs);
  let turn: Promise<void> = Promise.resolve();

  /** One change at a time, and nothing is used that isn't saved. */
  function change(plan: () => readonly ScheduledKey[]): Promise<void> {
    const done = turn.then(async () => {
      const planned = plan();
      if (planned === keys) return;
      await store.save(planned);
      keys = planned;
    });
    turn = done.catch(() => undefined);
    return done;
  }
  const rotateIfDue = (): Promise<void> => change(() => planKeys(keys, nowMs(), times, makeKey));
  await rotateIfDue();

  return {
    signingKey: () => {
      const now = nowMs();
      // After a step of the clock backwards no key may have begun: the oldest then signs.
      const current = keys.findLast(each => each.signsFromMs <= now) ?? keys[0];
      assert(current !== undefined, 'an issuer always has a key');
      return current.key;
    },
    published: () => keys.map(each => publicJwk(each.key)),
    verificationKeys: () => keys.map(each => verificationKey(each.key)),
    rotateIfDue,
    replaceAllKeys: () => change(() => [{ key: makeKey(), signsFromMs: nowMs() }]),
  };
}
