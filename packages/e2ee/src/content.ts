// What people send each other, as typed values: encodes and decodes schema/content.proto, strictly on the way in.
// Knows nothing of encryption, padding, chats or who may do what: that an edit concerns the sender's own message is in
// its form (an edit names no author), the rest is the SDK's.
// Source: docs/protocol/09-content.md.
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from './addresses.ts';
import { type AttachmentPointer, checkPointer, pointerMessage, readPointer } from './content-attachment.ts';
import {
  checkRef,
  type ContentError,
  guarded,
  identifier,
  isText,
  MESSAGE_ID_BYTES,
  type MessageRef,
  need,
  range,
  readRef,
  refMessage,
  Refusal,
  refusal,
  time,
  uint32,
} from './content-checks.ts';
import { checkKind, type KindBody, kindMessage, readKind } from './content-kinds.ts';
import {
  type Content as ContentMessage,
  ContentSchema,
  ReceiptKind,
  Style,
  type Text as TextMessage,
  type TextSchema,
  TypingState,
} from './gen/content_pb.ts';
import type { Result } from './suite.ts';

export { type ContentError, MESSAGE_ID_BYTES, type MessageRef };

/** The version of this document that this code shows rightly. */
export const CONTENT_VERSION = 1;
/** Any serialised content; with padding and a prekey message around it, it stays below 64 KiB (docs/protocol/06). */
export const MAX_CONTENT_BYTES = 61_440;
/** Content that has a transcript: leaves room for the transcript around it. */
export const MAX_TRANSCRIBED_BYTES = 57_344;
export const MAX_TEXT_BYTES = 32_768;
export const MAX_EXCERPT_BYTES = 512;
export const MAX_STYLES = 500;
export const MAX_MENTIONS = 100;
export const MAX_RECEIPT_IDS = 500;
export const MAX_EMOJI_BYTES = 64;
export const MAX_PREVIEW_BYTES = 2_048;
export const MAX_FALLBACK_BYTES = 1_024;
export const MAX_ATTACHMENTS = 32;
/** Ten years. */
export const MAX_EXPIRY_SECONDS = 315_360_000;
export const MAX_TIMER_VERSION = 1_000_000;
/** Nested messages: nothing in the schema is deeper than this. */
const MAX_DEPTH = 8;

/** Capability bits of the sending device (docs/protocol/09 section 9.3). */
export const capability = {
  text: 1 << 0,
  reactions: 1 << 1,
  replies: 1 << 2,
  edits: 1 << 3,
  deletes: 1 << 4,
  typing: 1 << 5,
  receipts: 1 << 6,
  attachments: 1 << 7,
  contacts: 1 << 8,
  locations: 1 << 9,
  stickers: 1 << 10,
  polls: 1 << 11,
  profiles: 1 << 12,
  viewOnce: 1 << 13,
  disappearing: 1 << 14,
  history: 1 << 15,
} as const;

export const ownCapabilities: number = Object.values(capability).reduce((all, bit) => all | bit, 0);

export type TextStyle = 'bold' | 'italic' | 'strikethrough' | 'monospace' | 'spoiler';
/** `start` and `length` count UTF-16 code units and lie within the text. */
export type StyleRange = { readonly start: number; readonly length: number; readonly style: TextStyle };
export type Mention = { readonly start: number; readonly length: number; readonly interopId: InteropId };
export type LinkPreview = {
  readonly url: string;
  readonly title: string;
  readonly description: string;
  readonly image?: AttachmentPointer;
};

export type TextBody = {
  readonly text: string;
  readonly styles?: readonly StyleRange[];
  readonly mentions?: readonly Mention[];
  readonly preview?: LinkPreview;
};

export type ContentBody =
  | ({ readonly kind: 'text' } & TextBody)
  /** An empty emoji takes the reaction back. */
  | { readonly kind: 'reaction'; readonly target: MessageRef; readonly emoji: string }
  | { readonly kind: 'edit'; readonly targetMessageId: Uint8Array; readonly text: TextBody }
  | { readonly kind: 'delete'; readonly targetMessageId: Uint8Array }
  | {
      readonly kind: 'receipt';
      readonly receipt: 'delivered' | 'read' | 'played';
      readonly messageIds: readonly Uint8Array[];
    }
  | { readonly kind: 'typing'; readonly state: 'started' | 'stopped' }
  | { readonly kind: 'expiry-timer'; readonly seconds: number; readonly version: number }
  /** `content` is the serialised Content as it was sent. */
  | { readonly kind: 'sent-transcript'; readonly to: InteropId; readonly content: Uint8Array }
  | {
      readonly kind: 'retry-request';
      readonly stanzaId: string;
      readonly decryptionError: Uint8Array;
      readonly attempt: number;
    }
  | { readonly kind: 'nothing' }
  | {
      readonly kind: 'attachment';
      readonly attachments: readonly AttachmentPointer[];
      readonly caption?: TextBody;
    }
  | KindBody;

/** A body that this code can't show: defined by the schema but not read here (`name`), or unknown altogether. */
export type UnsupportedBody = { readonly kind: 'unsupported'; readonly name?: string; readonly raw: Uint8Array };

type ContentFields = {
  readonly messageId: Uint8Array;
  readonly sentAtMs: number;
  readonly capabilities?: number;
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

const styleCodes: Readonly<Record<TextStyle, Style>> = {
  bold: Style.BOLD,
  italic: Style.ITALIC,
  strikethrough: Style.STRIKETHROUGH,
  monospace: Style.MONOSPACE,
  spoiler: Style.SPOILER,
};
const styleNames = new Map<number, TextStyle>(
  (Object.keys(styleCodes) as TextStyle[]).map(name => [styleCodes[name], name]),
);
const receiptCodes = { delivered: ReceiptKind.DELIVERED, read: ReceiptKind.READ, played: ReceiptKind.PLAYED } as const;
const receiptNames = new Map<number, 'delivered' | 'read' | 'played'>([
  [ReceiptKind.DELIVERED, 'delivered'],
  [ReceiptKind.READ, 'read'],
  [ReceiptKind.PLAYED, 'played'],
]);

function checkText(body: TextBody): void {
  need(body.text.length > 0 && isText(body.text, MAX_TEXT_BYTES), 'text');
  need((body.styles?.length ?? 0) <= MAX_STYLES, 'text.styles');
  need((body.mentions?.length ?? 0) <= MAX_MENTIONS, 'text.mentions');
  for (const each of body.styles ?? []) range(each.start, each.length, body.text, 'text.styles');
  for (const each of body.mentions ?? []) {
    range(each.start, each.length, body.text, 'text.mentions');
    need(isInteropId(each.interopId), 'text.mentions');
  }
  if (body.preview === undefined) return;
  need(isSoundPreview(body.preview, body.text), 'text.preview');
  if (body.preview.image !== undefined) checkPointer(body.preview.image, 'text.preview');
}

/** A preview shows only a web link that stands in the text: it can't take the reader somewhere else. */
function isSoundPreview(preview: Omit<LinkPreview, 'image'>, text: string): boolean {
  return (
    /^https?:/.test(preview.url) &&
    URL.canParse(preview.url) &&
    text.includes(preview.url) &&
    [preview.url, preview.title, preview.description].every(part => isText(part, MAX_PREVIEW_BYTES))
  );
}

function checkBody(body: ContentBody): void {
  switch (body.kind) {
    case 'text':
      checkText(body);
      return;
    case 'reaction':
      checkRef(body.target, 'reaction.target');
      need(isText(body.emoji, MAX_EMOJI_BYTES), 'reaction.emoji');
      return;
    case 'edit':
      identifier(body.targetMessageId, 'edit.target');
      checkText(body.text);
      return;
    case 'delete':
      identifier(body.targetMessageId, 'delete.target');
      return;
    case 'receipt':
      need(body.messageIds.length > 0 && body.messageIds.length <= MAX_RECEIPT_IDS, 'receipt.messageIds');
      for (const id of body.messageIds) identifier(id, 'receipt.messageIds');
      return;
    case 'expiry-timer':
      need(uint32(body.seconds, 'expiryTimer.seconds') <= MAX_EXPIRY_SECONDS, 'expiryTimer.seconds');
      need(uint32(body.version, 'expiryTimer.version') <= MAX_TIMER_VERSION, 'expiryTimer.version');
      return;
    case 'sent-transcript':
      need(isInteropId(body.to), 'sentTranscript.to');
      need(body.content.length > 0 && body.content.length <= MAX_TRANSCRIBED_BYTES, 'sentTranscript.content');
      return;
    case 'retry-request':
      need(/^[A-Za-z0-9._~:+/=-]{1,64}$/.test(body.stanzaId), 'retryRequest.stanzaId');
      need(body.decryptionError.length <= 256, 'retryRequest.decryptionError');
      need(uint32(body.attempt, 'retryRequest.attempt') >= 1, 'retryRequest.attempt');
      return;
    case 'attachment':
      need(body.attachments.length > 0 && body.attachments.length <= MAX_ATTACHMENTS, 'attachments');
      for (const pointer of body.attachments) checkPointer(pointer, 'attachments');
      if (body.caption !== undefined) checkText(body.caption);
      return;
    case 'typing':
    case 'nothing':
      return;
    default:
      checkKind(body);
  }
}

/** The rules that hold for what is sent and for what is received. */
function checkFields(content: ContentFields): void {
  identifier(content.messageId, 'messageId');
  time(content.sentAtMs, 'sentAtMs');
  uint32(content.capabilities ?? 0, 'capabilities');
  need(uint32(content.expiresAfterSeconds ?? 0, 'expiresAfterSeconds') <= MAX_EXPIRY_SECONDS, 'expiresAfterSeconds');
  need(isText(content.fallbackText ?? '', MAX_FALLBACK_BYTES), 'fallbackText');
  if (content.chatId !== undefined) need(content.chatId.length >= 16 && content.chatId.length <= 32, 'chatId');
  if (content.replyTo !== undefined) {
    checkRef(content.replyTo.target, 'replyTo');
    need(isText(content.replyTo.excerpt, MAX_EXCERPT_BYTES), 'replyTo.excerpt');
  }
}

function previewMessage({
  image,
  ...preview
}: LinkPreview): NonNullable<MessageInitShape<typeof TextSchema>['preview']> {
  return image === undefined ? preview : { ...preview, image: pointerMessage(image) };
}

function textMessage(body: TextBody): MessageInitShape<typeof TextSchema> {
  return {
    text: body.text,
    styles: (body.styles ?? []).map(({ start, length, style }) => ({ start, length, style: styleCodes[style] })),
    mentions: (body.mentions ?? []).map(({ start, length, interopId }) => ({ start, length, interopId })),
    ...(body.preview === undefined ? {} : { preview: previewMessage(body.preview) }),
  };
}

function bodyMessage(body: ContentBody): NonNullable<MessageInitShape<typeof ContentSchema>['body']> {
  switch (body.kind) {
    case 'text':
      return { case: 'text', value: textMessage(body) };
    case 'reaction':
      return { case: 'reaction', value: { target: refMessage(body.target), emoji: body.emoji } };
    case 'edit':
      return { case: 'edit', value: { targetMessageId: body.targetMessageId, text: textMessage(body.text) } };
    case 'delete':
      return { case: 'delete', value: { targetMessageId: body.targetMessageId } };
    case 'receipt':
      return { case: 'receipt', value: { kind: receiptCodes[body.receipt], messageIds: [...body.messageIds] } };
    case 'typing':
      return { case: 'typing', value: { state: body.state === 'started' ? TypingState.STARTED : TypingState.STOPPED } };
    case 'expiry-timer':
      return { case: 'expiryTimer', value: { seconds: body.seconds, version: body.version } };
    case 'sent-transcript':
      return { case: 'sentTranscript', value: { to: body.to, content: body.content } };
    case 'retry-request':
      return {
        case: 'retryRequest',
        value: { stanzaId: body.stanzaId, decryptionError: body.decryptionError, attempt: body.attempt },
      };
    case 'nothing':
      return { case: 'nothing', value: {} };
    case 'attachment': {
      const attachments = body.attachments.map(pointerMessage);
      const caption = body.caption === undefined ? {} : { caption: textMessage(body.caption) };
      return { case: 'attachments', value: { attachments, ...caption } };
    }
    default:
      return kindMessage(body);
  }
}

/** Sent to one's own devices alone, and hence without a transcript. */
const ownKinds: ReadonlySet<ContentBody['kind']> = new Set([
  'sent-transcript',
  'device-sync',
  'history-piece',
  'history-request',
]);

/** Not messages: nothing is lost for a reader who sees nothing of them. */
const quietKinds: ReadonlySet<ContentBody['kind']> = new Set([
  'receipt',
  'typing',
  'profile',
  'poll-vote',
  'poll-close',
  'sent-transcript',
  'device-sync',
  'history-piece',
  'history-request',
  'retry-request',
  'nothing',
]);

/** Serialises content. Refuses what a reader would refuse. */
export function encodeContent(content: Content): Result<Uint8Array, ContentError> {
  return guarded(() => {
    checkFields(content);
    checkBody(content.body);
    const bytes = toBinary(
      ContentSchema,
      create(ContentSchema, {
        messageId: content.messageId,
        sentAtMs: BigInt(content.sentAtMs),
        capabilities: content.capabilities ?? ownCapabilities,
        chatId: content.chatId ?? new Uint8Array(),
        expiresAfterSeconds: content.expiresAfterSeconds ?? 0,
        viewOnce: content.viewOnce ?? false,
        fallbackText: content.fallbackText ?? '',
        quiet: content.quiet ?? quietKinds.has(content.body.kind),
        ...(content.replyTo === undefined
          ? {}
          : { replyTo: { target: refMessage(content.replyTo.target), excerpt: content.replyTo.excerpt } }),
        body: bodyMessage(content.body),
      }),
    );
    const maxBytes = ownKinds.has(content.body.kind) ? MAX_CONTENT_BYTES : MAX_TRANSCRIBED_BYTES;
    if (bytes.length > maxBytes) throw new Refusal({ code: 'content-too-large', maxBytes });
    return bytes;
  });
}

function readText(message: TextMessage | undefined): TextBody {
  need(message !== undefined, 'text');
  const { text, preview } = message;
  // A style of a later version is left out: the words stay readable.
  const styles = message.styles.flatMap(({ start, length, style }) => {
    const name = styleNames.get(style);
    return name === undefined ? [] : [{ start, length, style: name }];
  });
  const mentions = message.mentions.map(({ start, length, interopId }) => ({ start, length, interopId }));
  return {
    text,
    ...(styles.length === 0 ? {} : { styles }),
    ...(mentions.length === 0 ? {} : { mentions }),
    // A preview that does not belong to the text is a trick or a mistake: the words are shown without it.
    ...(preview !== undefined && isSoundPreview(preview, text) ? { preview: readPreview(preview) } : {}),
  };
}

function readPreview({ url, title, description, image }: NonNullable<TextMessage['preview']>): LinkPreview {
  return { url, title, description, ...(image === undefined ? {} : { image: readPointer(image, 'text.preview') }) };
}

function readBody(body: ContentMessage['body'], raw: Uint8Array): ContentBody | UnsupportedBody {
  switch (body.case) {
    case 'text':
      return { kind: 'text', ...readText(body.value) };
    case 'reaction':
      return { kind: 'reaction', target: readRef(body.value.target, 'reaction.target'), emoji: body.value.emoji };
    case 'edit':
      return { kind: 'edit', targetMessageId: body.value.targetMessageId, text: readText(body.value.text) };
    case 'delete':
      return { kind: 'delete', targetMessageId: body.value.targetMessageId };
    case 'receipt': {
      const receipt = receiptNames.get(body.value.kind);
      if (receipt === undefined) return { kind: 'unsupported', name: body.case, raw };
      return { kind: 'receipt', receipt, messageIds: body.value.messageIds };
    }
    case 'typing':
      if (body.value.state === TypingState.STARTED) return { kind: 'typing', state: 'started' };
      if (body.value.state === TypingState.STOPPED) return { kind: 'typing', state: 'stopped' };
      return { kind: 'unsupported', name: body.case, raw };
    case 'expiryTimer':
      return { kind: 'expiry-timer', seconds: body.value.seconds, version: body.value.version };
    case 'sentTranscript':
      return { kind: 'sent-transcript', to: body.value.to, content: body.value.content };
    case 'retryRequest':
      return {
        kind: 'retry-request',
        stanzaId: body.value.stanzaId,
        decryptionError: body.value.decryptionError,
        attempt: body.value.attempt,
      };
    case 'nothing':
      return { kind: 'nothing' };
    case 'attachments': {
      const { attachments, caption } = body.value;
      return {
        kind: 'attachment',
        attachments: attachments.map(pointer => readPointer(pointer, 'attachments')),
        ...(caption === undefined || caption.text === '' ? {} : { caption: readText(caption) }),
      };
    }
    default: {
      const kind = readKind(body);
      if (kind !== undefined) return kind;
      return { kind: 'unsupported', ...(body.case === undefined ? {} : { name: body.case }), raw };
    }
  }
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
    const { replyTo } = message;
    const fields: ContentFields = {
      messageId: message.messageId,
      sentAtMs: time(message.sentAtMs, 'sentAtMs'),
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
    const body = readBody(message.body, raw);
    if (body.kind !== 'unsupported') checkBody(body);
    return { ...fields, body, raw };
  });
}
