// The commitment to a content: shown beside the encryption, it fixes what was said without telling it, so that a later report
// can be believed (franking).
// Knows nothing of envelopes or reports.
// Source: docs/protocol/09-content.md section 9.11; Grubbs, Lu, Ristenpart: Message Franking via Committing Authenticated
// Encryption (2017), section 3: HMAC with a random key committed beside an encryption.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Binding } from './binding.ts';

export const COMMITMENT_BYTES = 32;

/** HMAC-SHA256 under the binding's salt of the whole content, binding and all, as it is encrypted (without padding). */
export function commitmentOf(binding: Binding, content: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac('sha256', binding.salt).update(content).digest());
}

/** Whether this commitment is for exactly this content. */
export function verifyCommitment(binding: Binding, content: Uint8Array, commitment: Uint8Array): boolean {
  return commitment.length === COMMITMENT_BYTES && timingSafeEqual(commitmentOf(binding, content), commitment);
}
