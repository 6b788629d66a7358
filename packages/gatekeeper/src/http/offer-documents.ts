// The reference offer in its other forms: a page for people, a signed token to keep, and the schema. Knows nothing of what it
// says.
import { Offer } from './discovery-schemas.ts';
import { offerPage } from './offer-page.ts';
import type { PublicHttpDeps } from './public-deps.ts';
import { referenceOffer } from './reference-offer.ts';

export type OfferDocuments = {
  readonly page: () => Promise<string>;
  /** Undefined where there is no long-term key. */
  readonly signed: () => Promise<string | undefined>;
};

/** Signed again after this, so that its time says that it is still in force. */
const signedForMs = 3_600_000;

/** JSON Schema (2020-12) of the offer; `schema/interop-gatekeeper.json` in the repository. */
export const offerSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'urn:drawbridge:schema:interop-gatekeeper:1',
  title: 'Reference offer of a Drawbridge gatekeeper',
  ...Offer,
};

export function createOfferDocuments(deps: PublicHttpDeps): OfferDocuments {
  // Signing costs, and strangers may ask as often as they like.
  let last: { readonly text: string; readonly key: string; readonly token: string; readonly atMs: number } | undefined;
  return {
    async page() {
      return offerPage(await referenceOffer(deps), await deps.control.lifecycle.agreement());
    },
    async signed() {
      const keys = deps.compactKeys?.();
      if (keys === undefined) return undefined;
      const offer = await referenceOffer(deps);
      const text = JSON.stringify(offer);
      const key = keys.signingJwk.x;
      const nowMs = deps.nowMs();
      const age = last === undefined ? Number.NaN : nowMs - last.atMs;
      if (last === undefined || last.text !== text || last.key !== key || !(age >= 0 && age < signedForMs)) {
        const token = keys.signOffer(offer, deps.config.issuer, Math.floor(nowMs / 1000));
        last = { text, key, token, atMs: nowMs };
      }
      return last.token;
    },
  };
}
