// Numbers that were given to contents which never leave: they are said as `nothing`, so that nobody takes them for withheld.
// Knows nothing of rows or streams.
// Source: docs/protocol/09-content.md section 9.11.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { bindContent, type Binding, SALT_BYTES } from '@drawbridge/e2ee/binding';
import { type Content, decodeContent, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';

/** The number of a bound content; 0: it is not counted. */
export function numberOf(content: Uint8Array): number {
  const decoded = decodeContent(content);
  return decoded.ok ? (decoded.value.binding?.number ?? 0) : 0;
}

/**
 * What is said in place of a counted content, or of the copy of one for one's own devices, that is wiped: nothing, under the
 * same number. Undefined: nobody misses it.
 */
export function unsaid(content: Uint8Array): Uint8Array | undefined {
  const decoded = decodeContent(content);
  if (!decoded.ok || decoded.value.binding === undefined) return undefined;
  const { sentAtMs, binding, body } = decoded.value;
  if (body.kind !== 'sent-transcript') return binding.number === 0 ? undefined : nothing(sentAtMs, binding);
  const inner = unsaid(body.content);
  return inner === undefined ? undefined : again({ ...fresh(sentAtMs), body: { ...body, content: inner } }, binding);
}

/** The number itself as a content, bound to a place. */
export function nothing(sentAtMs: number, { place, number }: Pick<Binding, 'place' | 'number'>): Uint8Array {
  return again({ ...fresh(sentAtMs), body: { kind: 'nothing' } }, { place, number });
}

function fresh(sentAtMs: number): Pick<Content, 'messageId' | 'sentAtMs'> {
  return { messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs };
}

function again(content: Content, { place, number }: Pick<Binding, 'place' | 'number'>): Uint8Array {
  const encoded = encodeContent(content);
  assert(encoded.ok, 'a content of our own is sound');
  return bindContent(encoded.value, { place, number, salt: randomBytes(SALT_BYTES) });
}
