// Why a message is not carried, and what its sender is told. Knows nothing of how it was found.
// Source: docs/protocol/06-stanzas.md section 6.1.

import { type Element, element } from '../element.ts';
import { NS_ERRORS } from '../namespaces.ts';
import { type StanzaErrorCondition, stanzaErrorElement } from '../stanza-error.ts';

export type EnvelopeRefusalCode =
  | 'not-a-message'
  | 'error-message'
  | 'type-refused'
  | 'attribute-refused'
  | 'id-refused'
  | 'to-malformed'
  | 'to-nobody'
  | 'from-malformed'
  | 'text-refused'
  | 'child-refused'
  | 'child-repeated'
  | 'envelope-missing'
  | 'suite-malformed'
  | 'device-malformed'
  | 'device-repeated'
  | 'registration-malformed'
  | 'kind-refused'
  | 'ciphertext-count'
  | 'ciphertext-malformed'
  | 'ciphertext-too-large'
  | 'envelope-too-large'
  | 'commitment-malformed'
  | 'delay-malformed';

/** Why a message is not carried. `code` is for logs and counters; the sender learns what `envelopeRefusalElement` says. */
export type EnvelopeRefusal = { readonly kind: 'refused'; readonly code: EnvelopeRefusalCode };

const gateAnswer: StanzaErrorCondition = 'policy-violation';

/** For each refusal the stanza condition its sender gets; undefined: nothing answers it. */
export const envelopeRefusals: Readonly<Record<EnvelopeRefusalCode, StanzaErrorCondition | undefined>> = {
  'not-a-message': gateAnswer,
  'error-message': undefined,
  'type-refused': gateAnswer,
  'attribute-refused': gateAnswer,
  'id-refused': gateAnswer,
  'to-malformed': 'jid-malformed',
  // As for everybody who can't be reached.
  'to-nobody': 'service-unavailable',
  'from-malformed': gateAnswer,
  'text-refused': gateAnswer,
  'child-refused': gateAnswer,
  'child-repeated': gateAnswer,
  'envelope-missing': gateAnswer,
  'suite-malformed': gateAnswer,
  'device-malformed': gateAnswer,
  'device-repeated': gateAnswer,
  'registration-malformed': gateAnswer,
  'kind-refused': gateAnswer,
  'ciphertext-count': gateAnswer,
  'ciphertext-malformed': gateAnswer,
  'ciphertext-too-large': gateAnswer,
  'envelope-too-large': gateAnswer,
  'commitment-malformed': gateAnswer,
  'delay-malformed': gateAnswer,
};

/** The `<error/>` for a refusal, or undefined when nothing may answer it. */
export function envelopeRefusalElement(code: EnvelopeRefusalCode): Element | undefined {
  const condition = envelopeRefusals[code];
  if (condition === undefined) return undefined;
  if (condition !== gateAnswer) return stanzaErrorElement(condition);
  return stanzaErrorElement(condition, { type: 'modify', application: element('envelope-required', NS_ERRORS) });
}

export function refused(code: EnvelopeRefusalCode): EnvelopeRefusal {
  return { kind: 'refused', code };
}
