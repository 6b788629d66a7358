// Where an issuer's keys come from, as whoever verifies a token sees it. Knows nothing of tokens or fetching.
import type { VerificationKey } from './jwk.ts';

/** An issuer's keys by key id. `unavailable`: no set is held that may still be used. Never rejects. */
export type KeySource = {
  readonly findKey: (kid: string) => Promise<KeyLookup>;
};

export type KeyLookup =
  | { readonly kind: 'found'; readonly key: VerificationKey }
  | { readonly kind: 'unknown' }
  /** `lastKnown`: the key of this id in the last set that was had, however old it is. */
  | { readonly kind: 'unavailable'; readonly lastKnown?: VerificationKey | undefined };
