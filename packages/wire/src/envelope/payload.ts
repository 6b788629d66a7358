// Bytes in a message: raw, or their canonical base64, whichever arrived. Knows nothing of what they are.
// Source: RFC 4648 sections 3.5 and 4.

import { isCanonicalBase64 } from '../canonical-base64.ts';
import { type Element, isElement } from '../element.ts';
import { digestBytes } from '../limits.ts';
import type { Digest } from './messages.ts';

const digestTextLength = Math.ceil(digestBytes / 3) * 4;

/** Bytes of a payload; a string is canonical base64 already. */
export function payloadSize(payload: string | Uint8Array): number {
  if (typeof payload !== 'string') return payload.length;
  const length = payload.length;
  if (length === 0) return 0;
  const whole = (length / 4) * 3;
  if (payload.charCodeAt(length - 1) !== equals) return whole;
  return payload.charCodeAt(length - 2) === equals ? whole - 2 : whole - 1;
}

const equals = 0x3d;
/** The bytes of a payload; of a string, those it is the base64 of (it must be canonical, as every parsed one is). */
export function ciphertextBytes(payload: string | Uint8Array): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload, 'base64') : payload;
}

/** 32 bytes, alone in their element. */
export function readDigest(el: Element): Digest | undefined {
  const [digest] = el.children;
  if (digest === undefined || el.children.length !== 1 || isElement(digest)) return undefined;
  if (typeof digest !== 'string') return digest.length === digestBytes ? digest : undefined;
  return digest.length === digestTextLength && isCanonicalBase64(digest) && payloadSize(digest) === digestBytes
    ? digest
    : undefined;
}

export function textOfDigest(digest: Digest): string {
  return typeof digest === 'string' ? digest : base64(digest);
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
