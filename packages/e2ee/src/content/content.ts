// What people send each other, as typed values: encodes and decodes schema/content.proto, strictly on the way in.
// Knows nothing of encryption, padding, chats or who may do what: that an edit concerns the sender's own message is in
// its form (an edit names no author), the rest is the SDK's.
// Source: docs/protocol/09-content.md.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Content as ContentMessage, ContentSchema } from '../gen/content_pb.ts';
import type { Result } from '../suite.ts';
import { type Capability, capability, ownCapabilities } from './capabilities.ts';
import { bindContent, type Binding, checkBinding, MAX_BINDING_BYTES, readBinding } from './binding.ts';
import {
  checkRef,
  type ContentError,
  guarded,
  identifier,
  isText,
  MESSAGE_ID_BYTES,
  type MessageRef,
  need,
  readRef,
  refMessage,
  Refusal,
  refusal,
  time,
  uint32,
} from './checks.ts';
import { checkBody, type ContentBody, isOwnOnly, isQuietKind, readBody, writeBody } from './kinds.ts';
import { MAX_TRANSCRIBED_BYTES } from './own-devices.ts';
import { MAX_EXPIRY_SECONDS, MAX_TIMER_VERSION } from './signals.ts';
import type { LinkPreview, Mention, StyleRange, TextBody } from './text.ts';

export {
  type Capability,
  capability,
  type ContentBody,
  type ContentError,
  type LinkPreview,
  MAX_EXPIRY_SECONDS,
  MAX_TIMER_VERSION,
  type Mention,
  MESSAGE_ID_BYTES,
  type MessageRef,
  ownCapabilities,
  type StyleRange,
  type TextBody,
};

/** The version of this document that this code shows rightly. */
export const CONTENT_VERSION = 2;
/** Any serialised content; with padding and a prekey message around it, it stays below 64 KiB (docs/protocol/06). */
export const MAX_CONTENT_BYTES = 61_440;
export const MAX_EXCERPT_BYTES = 512;
export const MAX_FALLBACK_BYTES = 1_024;
/** Nested messages: nothing in the schema is deeper than this. */
export const MAX_DEPTH = 8;

/** A body that this code can't show: defined by the schema but not read here (`name`), or unknown altogether. */
export type UnsupportedBody = { readonly kind: 'unsupported'; readonly name?: string; readonly raw: Uint8Array };

type ContentFields = {
  readonly messageId: Uint8Array;
  readonly sentAtMs: number;
  readonly capabilities?: number;
  /** The author's hybrid logical stamp (hybrid-clock.ts): orders what changes one thing. Absent: `sentAtMs`. Never lower. */
  readonly stampMs?: number;
  /** Where it belongs (binding.ts); what comes from another device must have it. */
  readonly binding?: Binding;
  /** 16..32 bytes, groups only. */
  readonly chatId?: Uint8Array;
  readonly expiresAfterSeconds?: number;
  readonly replyTo?: { readonly target: MessageRef; readonly excerpt: string };
  readonly viewOnce?: boolean;
  /** Shown in place of a body that the reader can't show. */
  readonly fallbackText?: string;
  /** A reader that doesn't know the body shows nothing. Not given: as the kind is meant. */
  readonly quiet?: boolean;
};

export type Content = ContentFields & { readonly body: ContentBody };
/** `raw` is the content byte for byte, with fields that this code does not know: keep and pass on `raw`, never a re-encoding. */
export type DecodedContent = ContentFields & { readonly body: ContentBody | UnsupportedBody; readonly raw: Uint8Array };

/** The rules that hold for what is sent and for what is received. */
function checkFields(content: ContentFields): void {
  identifier(content.messageId, 'messageId');
  time(content.sentAtMs, 'sentAtMs');
  need(time(content.stampMs ?? content.sentAtMs, 'stampMs') >= content.sentAtMs, 'stampMs');
  if (content.binding !== undefined) checkBinding(content.binding);
  uint32(content.capabilities ?? 0, 'capabilities');
  need(uint32(content.expiresAfterSeconds ?? 0, 'expiresAfterSeconds') <= MAX_EXPIRY_SECONDS, 'expiresAfterSeconds');
  need(isText(content.fallbackText ?? '', MAX_FALLBACK_BYTES), 'fallbackText');
  if (content.chatId !== undefined) need(content.chatId.length >= 16 && content.chatId.length <= 32, 'chatId');
  if (content.replyTo !== undefined) {
    checkRef(content.replyTo.target, 'replyTo');
    need(isText(content.replyTo.excerpt, MAX_EXCERPT_BYTES), 'replyTo.excerpt');
  }
}

/** Serialises content. Refuses what a reader would refuse. */
export function encodeContent(content: Content): Result<Uint8Array, ContentError> {
  return guarded(() => {
    checkFields(content);
    checkBody(content.body);
    const unbound = toBinary(
      ContentSchema,
      create(ContentSchema, {
        messageId: content.messageId,
        sentAtMs: BigInt(content.sentAtMs),
        stampAheadMs: BigInt((content.stampMs ?? content.sentAtMs) - content.sentAtMs),
        capabilities: content.capabilities ?? ownCapabilities,
        chatId: content.chatId ?? new Uint8Array(),
        expiresAfterSeconds: content.expiresAfterSeconds ?? 0,
        viewOnce: content.viewOnce ?? false,
        fallbackText: content.fallbackText ?? '',
        quiet: content.quiet ?? isQuietKind(content.body.kind),
        ...(content.replyTo === undefined
          ? {}
          : { replyTo: { target: refMessage(content.replyTo.target), excerpt: content.replyTo.excerpt } }),
        body: writeBody(content.body),
      }),
    );
    const maxBytes = isOwnOnly(content.body.kind) ? MAX_CONTENT_BYTES : MAX_TRANSCRIBED_BYTES;
    const { binding } = content;
    if (unbound.length > maxBytes - MAX_BINDING_BYTES) throw new Refusal({ code: 'content-too-large', maxBytes });
    const bytes = binding === undefined ? unbound : bindContent(unbound, binding);
    return bytes;
  });
}

/**
 * Reads serialised content (already without padding).
 *
 * Bodies of a later version, or of kinds that this code does not show, come as `unsupported`. Anything that breaks a
 * limit is refused as a whole: it came from a broken or hostile sender, inside authentic encryption.
 */
export function decodeContent(raw: Uint8Array): Result<DecodedContent, ContentError> {
  return guarded(() => {
    if (raw.length > MAX_CONTENT_BYTES) throw new Refusal({ code: 'content-too-large', maxBytes: MAX_CONTENT_BYTES });
    let message: ContentMessage;
    try {
      message = fromBinary(ContentSchema, raw, { recursionLimit: MAX_DEPTH });
    } catch {
      throw refusal('encoding');
    }
    const { replyTo, binding } = message;
    const sentAtMs = time(message.sentAtMs, 'sentAtMs');
    const fields: ContentFields = {
      messageId: message.messageId,
      sentAtMs,
      ...(message.stampAheadMs === 0n ? {} : { stampMs: time(message.sentAtMs + message.stampAheadMs, 'stampMs') }),
      ...(binding === undefined ? {} : { binding: readBinding(binding) }),
      capabilities: message.capabilities,
      ...(message.chatId.length === 0 ? {} : { chatId: message.chatId }),
      ...(message.expiresAfterSeconds === 0 ? {} : { expiresAfterSeconds: message.expiresAfterSeconds }),
      ...(replyTo === undefined
        ? {}
        : { replyTo: { target: readRef(replyTo.target, 'replyTo'), excerpt: replyTo.excerpt } }),
      ...(message.viewOnce ? { viewOnce: true } : {}),
      ...(message.fallbackText === '' ? {} : { fallbackText: message.fallbackText }),
      ...(message.quiet ? { quiet: true } : {}),
    };
    checkFields(fields);
    if (message.requiredVersion > CONTENT_VERSION) return { ...fields, body: { kind: 'unsupported', raw }, raw };
    const body = readBody(message.body);
    if (body === undefined) {
      const { case: name } = message.body;
      return { ...fields, body: { kind: 'unsupported', ...(name === undefined ? {} : { name }), raw }, raw };
    }
    checkBody(body);
    return { ...fields, body, raw };
  });
}
