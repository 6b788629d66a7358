// Checks that all parts of content share, and the one way in which they refuse.
// Knows nothing of what the parts mean.
// Source: docs/protocol/09-content.md section 9.3.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import type { MessageRef as MessageRefMessage, MessageRefSchema } from '../gen/content_pb.ts';
import type { Result } from '../suite.ts';

export const MESSAGE_ID_BYTES = 16;

export type ContentError =
  | { readonly code: 'content-too-large'; readonly maxBytes: number }
  /** Not this schema, or a field outside its limits; `field` names it. */
  | { readonly code: 'invalid-content'; readonly field: string };

/** Carries a refusal out of the checks; never leaves `guarded`. */
export class Refusal extends Error {
  readonly reason: ContentError;
  constructor(reason: ContentError) {
    super(reason.code);
    this.reason = reason;
  }
}

export function refusal(field: string): Refusal {
  return new Refusal({ code: 'invalid-content', field });
}

export function need(condition: boolean, field: string): asserts condition {
  if (!condition) throw refusal(field);
}

/** Applications without types give anything. */
export function isText(text: unknown, maxBytes: number): text is string {
  return typeof text === 'string' && text.isWellFormed() && Buffer.byteLength(text) <= maxBytes;
}

export function identifier(bytes: Uint8Array, field: string): void {
  need(bytes.length === MESSAGE_ID_BYTES, field);
}

/** The end of the year 9999: every time up to here can be written as a date. */
export const MAX_TIME_MS = 253_402_300_799_999;

export function time(ms: number | bigint, field: string): number {
  const value = wholeNumber(ms, field);
  need(value <= MAX_TIME_MS, field);
  return value;
}

export function wholeNumber(given: number | bigint, field: string): number {
  const value = typeof given === 'bigint' ? Number(given) : given;
  need(Number.isSafeInteger(value) && value >= 0, field);
  return value;
}

export function uint32(value: number, field: string): number {
  need(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, field);
  return value;
}

export function range(start: number, length: number, text: string, field: string): void {
  need(uint32(start, field) + uint32(length, field) <= text.length && length > 0, field);
}

/** Names a message: its author and its 16-byte identifier. */
export type MessageRef = { readonly messageId: Uint8Array; readonly author: InteropId; readonly sentAtMs: number };

export function refMessage(target: MessageRef): MessageInitShape<typeof MessageRefSchema> {
  return { messageId: target.messageId, author: target.author, sentAtMs: BigInt(target.sentAtMs) };
}

export function checkRef(target: MessageRef, field: string): MessageRef {
  identifier(target.messageId, field);
  need(isInteropId(target.author), field);
  time(target.sentAtMs, field);
  return target;
}

export function readRef(target: MessageRefMessage | undefined, field: string): MessageRef {
  need(target !== undefined, field);
  const ref = { messageId: target.messageId, author: target.author, sentAtMs: time(target.sentAtMs, field) };
  return checkRef(ref, field);
}

/** Runs what may refuse; a refusal becomes a value, anything else is broken code. */
export function guarded<T>(make: () => T): Result<T, ContentError> {
  try {
    return { ok: true, value: make() };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, error: error.reason };
    throw error;
  }
}
