// Words: text with styles, mentions and a link preview; and the kinds that are nothing but words.
// Knows nothing of who says them, or of what an edit concerns.
// Source: docs/protocol/09-content.md section 9.3, schema/content.proto `Text`, `Edit`.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import {
  DeviceSync_NotApplied_What as NotApplied,
  Style,
  type Text as TextMessage,
  type TextSchema,
} from '../gen/content_pb.ts';
import { type AttachmentPointer, checkPointer, pointerMessage, readPointer } from './attachment-pointer.ts';
import { Characters, type Range } from './characters.ts';
import { identifier, isText, need, range } from './checks.ts';
import { type KindTable, reads } from './kind.ts';

export const MAX_TEXT_BYTES = 32_768;
export const MAX_STYLES = 500;
export const MAX_MENTIONS = 100;
export const MAX_PREVIEW_BYTES = 2_048;

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

/** An edit names no author: it concerns the sender's own message by its form. */
export type TextBodies = {
  readonly text: TextBody;
  readonly edit: { readonly targetMessageId: Uint8Array; readonly text: TextBody };
};

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

export function checkText(body: TextBody): void {
  need(isText(body.text, MAX_TEXT_BYTES) && body.text.length > 0, 'text');
  need((body.styles?.length ?? 0) <= MAX_STYLES, 'text.styles');
  need((body.mentions?.length ?? 0) <= MAX_MENTIONS, 'text.mentions');
  checkRanges(body.styles ?? [], body.text, 'text.styles');
  checkRanges(body.mentions ?? [], body.text, 'text.mentions');
  for (const each of body.mentions ?? []) need(isInteropId(each.interopId), 'text.mentions');
  if (body.preview === undefined) return;
  need(isSoundPreview(body.preview, body.text), 'text.preview');
  if (body.preview.image !== undefined) checkPointer(body.preview.image, 'text.preview');
}

/** Each within the text, and none splits a character. */
function checkRanges(ranges: readonly Range[], text: string, field: string): void {
  if (ranges.length === 0) return;
  for (const { start, length } of ranges) range(start, length, text, field);
  const characters = new Characters(text);
  for (const each of ranges) need(characters.areWhole(each), field);
}

/** Makes ranges wider that split a character; what lies outside of the text stays, to be refused. */
function wholeRanges<R extends Range>(ranges: readonly R[], text: string): R[] {
  const characters = new Characters(text);
  return ranges.map(each => (each.start + each.length <= text.length ? { ...each, ...characters.whole(each) } : each));
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

function previewMessage({
  image,
  ...preview
}: LinkPreview): NonNullable<MessageInitShape<typeof TextSchema>['preview']> {
  return image === undefined ? preview : { ...preview, image: pointerMessage(image) };
}

export function textMessage(body: TextBody): MessageInitShape<typeof TextSchema> {
  return {
    text: body.text,
    styles: (body.styles ?? []).map(({ start, length, style }) => ({ start, length, style: styleCodes[style] })),
    mentions: (body.mentions ?? []).map(({ start, length, interopId }) => ({ start, length, interopId })),
    ...(body.preview === undefined ? {} : { preview: previewMessage(body.preview) }),
  };
}

export function readText(message: TextMessage | undefined): TextBody {
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
    ...(styles.length === 0 ? {} : { styles: wholeRanges(styles, text) }),
    ...(mentions.length === 0 ? {} : { mentions: wholeRanges(mentions, text) }),
    // A preview that does not belong to the text is a trick or a mistake: the words are shown without it.
    ...(preview !== undefined && isSoundPreview(preview, text) ? { preview: readPreview(preview) } : {}),
  };
}

function readPreview({ url, title, description, image }: NonNullable<TextMessage['preview']>): LinkPreview {
  return { url, title, description, ...(image === undefined ? {} : { image: readPointer(image, 'text.preview') }) };
}

/** Of these, what shows no message of its own. */
export type TextActs = 'edit';

export const textKinds: KindTable<TextBodies, TextActs> = {
  text: {
    case: 'text',
    capability: 'text',
    check: checkText,
    write: body => ({ case: 'text', value: textMessage(body) }),
    read: reads('text', readText),
  },
  edit: {
    case: 'edit',
    capability: 'edits',
    notApplied: { what: NotApplied.EDIT, isAboutMessage: true },
    check: body => {
      identifier(body.targetMessageId, 'edit.target');
      checkText(body.text);
    },
    write: body => ({
      case: 'edit',
      value: { targetMessageId: body.targetMessageId, text: textMessage(body.text) },
    }),
    read: reads('edit', ({ targetMessageId, text }) => ({ targetMessageId, text: readText(text) })),
  },
};
