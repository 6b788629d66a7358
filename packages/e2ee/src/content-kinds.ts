// Kinds of content beyond text: profile, contacts, location, sticker, poll, votes; and what a person's own devices tell
// each other. Typed values, their limits, and their form on the wire.
// Knows nothing of what is done with them.
// Source: docs/protocol/09-content.md section 9.3, schema/content.proto.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from './addresses.ts';
import { type AttachmentPointer, checkPointer, pointerMessage, readPointer } from './content-attachment.ts';
import {
  checkRef,
  identifier,
  isText,
  MESSAGE_ID_BYTES,
  type MessageRef,
  need,
  readRef,
  refMessage,
  time,
  uint32,
} from './content-checks.ts';
import type { Content as ContentMessage, ContentSchema } from './gen/content_pb.ts';

export const contentKindLimits = {
  maxNameBytes: 256,
  maxAboutBytes: 1_024,
  maxContacts: 20,
  /** Telephone numbers, and addresses, of one contact. */
  maxContactEntries: 20,
  maxContactEntryBytes: 256,
  maxPlaceBytes: 512,
  maxEmojiBytes: 64,
  maxQuestionBytes: 1_024,
  maxOptions: 20,
  maxOptionBytes: 512,
  maxVoteVersion: 1_000_000,
  /** Reads, hidden messages, and chats in one sync: each. */
  maxSyncEntries: 200,
  maxHistoryItems: 500,
} as const;

export type Profile = {
  /** May be empty: no name of one's own. */
  readonly displayName: string;
  readonly about?: string;
  readonly avatar?: AttachmentPointer;
};

export type ContactCard = {
  readonly displayName: string;
  readonly phones?: readonly string[];
  readonly emails?: readonly string[];
  readonly interopId?: InteropId;
  readonly avatar?: AttachmentPointer;
};

/** WGS 84, degrees and metres. */
export type Location = {
  readonly latitude: number;
  readonly longitude: number;
  readonly accuracyMeters?: number;
  readonly name?: string;
  readonly address?: string;
  /** The sender's place is shared until then. */
  readonly liveUntilMs?: number;
  readonly liveSequence?: number;
};

export type Sticker = { readonly image: AttachmentPointer; readonly emoji?: string; readonly pack?: string };

export type Poll = {
  readonly question: string;
  /** 2..20, all different. */
  readonly options: readonly string[];
  /** How many options one person may choose; absent: all. */
  readonly choices?: number;
  readonly anonymous?: boolean;
};

export type ChatSettingsChange = {
  /** Absent: for all chats that say nothing of their own. */
  readonly chat?: InteropId;
  readonly pinned?: boolean;
  /** 0: not muted. */
  readonly mutedUntilMs?: number;
  readonly archived?: boolean;
  readonly sendDelivered?: boolean;
  readonly sendRead?: boolean;
  readonly sendPlayed?: boolean;
  readonly sendTyping?: boolean;
};

export type DeviceSync = {
  readonly reads?: readonly {
    readonly message: MessageRef;
    readonly chat: InteropId;
    readonly readAtMs: number;
    readonly opened?: boolean;
  }[];
  readonly hidden?: readonly { readonly message: MessageRef; readonly chat: InteropId }[];
  readonly chats?: readonly ChatSettingsChange[];
};

export type HistoryItem = {
  readonly author: InteropId;
  readonly chat: InteropId;
  readonly receivedAtMs: number;
  /** Serialised Content. */
  readonly content: Uint8Array;
};

export type KindBody =
  | ({ readonly kind: 'profile' } & Profile)
  | { readonly kind: 'contacts'; readonly contacts: readonly ContactCard[] }
  | ({ readonly kind: 'location' } & Location)
  | ({ readonly kind: 'sticker' } & Sticker)
  | ({ readonly kind: 'poll' } & Poll)
  /** `options` are places in the poll's list, ascending; none takes the vote back. Among one person's votes the higher version holds. */
  | {
      readonly kind: 'poll-vote';
      readonly poll: MessageRef;
      readonly options: readonly number[];
      readonly version: number;
    }
  | { readonly kind: 'poll-close'; readonly pollMessageId: Uint8Array }
  | ({ readonly kind: 'device-sync' } & DeviceSync)
  | {
      readonly kind: 'history-piece';
      readonly transferId: Uint8Array;
      readonly index: number;
      readonly items: readonly HistoryItem[];
      readonly messagesDone: number;
      readonly messagesTotal: number;
      readonly last: boolean;
    }
  /** Without a transfer id: begin. */
  | { readonly kind: 'history-request'; readonly transferId?: Uint8Array; readonly nextIndex: number };

const limits = contentKindLimits;

function checkProfile(profile: Profile): void {
  need(isText(profile.displayName, limits.maxNameBytes), 'profile.displayName');
  need(isText(profile.about ?? '', limits.maxAboutBytes), 'profile.about');
  if (profile.avatar !== undefined) checkPointer(profile.avatar, 'profile.avatar');
}

function checkContact(card: ContactCard): void {
  need(card.displayName.length > 0 && isText(card.displayName, limits.maxNameBytes), 'contacts.displayName');
  for (const entries of [card.phones ?? [], card.emails ?? []]) {
    need(
      entries.length <= limits.maxContactEntries && entries.every(each => isText(each, limits.maxContactEntryBytes)),
      'contacts.entries',
    );
  }
  if (card.interopId !== undefined) need(isInteropId(card.interopId), 'contacts.interopId');
  if (card.avatar !== undefined) checkPointer(card.avatar, 'contacts.avatar');
}

function checkLocation(place: Location): void {
  need(Math.abs(place.latitude) <= 90, 'location.latitude');
  need(Math.abs(place.longitude) <= 180, 'location.longitude');
  const accuracy = place.accuracyMeters ?? 0;
  need(Number.isFinite(accuracy) && accuracy >= 0, 'location.accuracyMeters');
  need(isText(place.name ?? '', limits.maxPlaceBytes), 'location.name');
  need(isText(place.address ?? '', limits.maxPlaceBytes), 'location.address');
  time(place.liveUntilMs ?? 0, 'location.liveUntilMs');
  uint32(place.liveSequence ?? 0, 'location.liveSequence');
}

function checkPoll(poll: Poll): void {
  need(poll.question.length > 0 && isText(poll.question, limits.maxQuestionBytes), 'poll.question');
  need(poll.options.length >= 2 && poll.options.length <= limits.maxOptions, 'poll.options');
  need(new Set(poll.options).size === poll.options.length, 'poll.options');
  need(
    poll.options.every(option => option.length > 0 && isText(option, limits.maxOptionBytes)),
    'poll.options',
  );
  need(uint32(poll.choices ?? 0, 'poll.choices') <= poll.options.length, 'poll.choices');
}

function checkSync(sync: DeviceSync): void {
  const { reads = [], hidden = [], chats = [] } = sync;
  for (const entries of [reads, hidden, chats]) need(entries.length <= limits.maxSyncEntries, 'deviceSync');
  for (const { message, chat } of [...reads, ...hidden]) {
    checkRef(message, 'deviceSync.message');
    need(isInteropId(chat), 'deviceSync.chat');
  }
  for (const { readAtMs } of reads) time(readAtMs, 'deviceSync.readAtMs');
  for (const { chat, mutedUntilMs } of chats) {
    if (chat !== undefined) need(isInteropId(chat), 'deviceSync.chat');
    time(mutedUntilMs ?? 0, 'deviceSync.mutedUntilMs');
  }
}

export function checkKind(body: KindBody): void {
  switch (body.kind) {
    case 'profile':
      return checkProfile(body);
    case 'contacts':
      need(body.contacts.length > 0 && body.contacts.length <= limits.maxContacts, 'contacts');
      return body.contacts.forEach(checkContact);
    case 'location':
      return checkLocation(body);
    case 'sticker':
      checkPointer(body.image, 'sticker.image');
      need(isText(body.emoji ?? '', limits.maxEmojiBytes), 'sticker.emoji');
      return need(isText(body.pack ?? '', limits.maxNameBytes), 'sticker.pack');
    case 'poll':
      return checkPoll(body);
    case 'poll-vote': {
      checkRef(body.poll, 'pollVote.poll');
      const { options } = body;
      const ascends = options.every((option, at) => uint32(option, 'pollVote.options') > (options[at - 1] ?? -1));
      need(ascends && (options.at(-1) ?? 0) < limits.maxOptions, 'pollVote.options');
      return need(
        uint32(body.version, 'pollVote.version') >= 1 && body.version <= limits.maxVoteVersion,
        'pollVote.version',
      );
    }
    case 'poll-close':
      return identifier(body.pollMessageId, 'pollClose.poll');
    case 'device-sync':
      return checkSync(body);
    case 'history-piece': {
      need(body.transferId.length === MESSAGE_ID_BYTES, 'historyPiece.transferId');
      for (const count of [body.index, body.messagesDone, body.messagesTotal]) uint32(count, 'historyPiece');
      need(body.items.length <= limits.maxHistoryItems, 'historyPiece.items');
      for (const item of body.items) {
        need(isInteropId(item.author) && isInteropId(item.chat), 'historyPiece.items');
        time(item.receivedAtMs, 'historyPiece.items');
      }
      return;
    }
    case 'history-request':
      if (body.transferId !== undefined) identifier(body.transferId, 'historyRequest.transferId');
      uint32(body.nextIndex, 'historyRequest.nextIndex');
  }
}

type BodyInit = NonNullable<MessageInitShape<typeof ContentSchema>['body']>;

function avatar(pointer: AttachmentPointer | undefined): { avatar?: ReturnType<typeof pointerMessage> } {
  return pointer === undefined ? {} : { avatar: pointerMessage(pointer) };
}

export function kindMessage(body: KindBody): BodyInit {
  switch (body.kind) {
    case 'profile': {
      const { displayName, about = '' } = body;
      return { case: 'profile', value: { displayName, about, ...avatar(body.avatar) } };
    }
    case 'contacts': {
      const contacts = body.contacts.map(({ displayName, phones = [], emails = [], interopId = '', ...card }) => ({
        displayName,
        phones: [...phones],
        emails: [...emails],
        interopId,
        ...avatar(card.avatar),
      }));
      return { case: 'contacts', value: { contacts } };
    }
    case 'location': {
      const { kind: _, liveUntilMs = 0, ...place } = body;
      return { case: 'location', value: { ...place, liveUntilMs: BigInt(liveUntilMs) } };
    }
    case 'sticker':
      return {
        case: 'sticker',
        value: { image: pointerMessage(body.image), emoji: body.emoji ?? '', pack: body.pack ?? '' },
      };
    case 'poll': {
      const { question, options, choices = 0, anonymous = false } = body;
      return { case: 'poll', value: { question, options: [...options], choices, anonymous } };
    }
    case 'poll-vote':
      return {
        case: 'pollVote',
        value: { poll: refMessage(body.poll), options: [...body.options], version: body.version },
      };
    case 'poll-close':
      return { case: 'pollClose', value: { pollMessageId: body.pollMessageId } };
    case 'device-sync':
      return {
        case: 'deviceSync',
        value: {
          reads: (body.reads ?? []).map(({ message, chat, readAtMs, opened = false }) => ({
            message: refMessage(message),
            chat,
            readAtMs: BigInt(readAtMs),
            opened,
          })),
          hidden: (body.hidden ?? []).map(({ message, chat }) => ({ message: refMessage(message), chat })),
          chats: (body.chats ?? []).map(({ chat = '', mutedUntilMs, ...rest }) => ({
            chat,
            ...rest,
            ...(mutedUntilMs === undefined ? {} : { mutedUntilMs: BigInt(mutedUntilMs) }),
          })),
        },
      };
    case 'history-piece': {
      const { kind: _, items, ...rest } = body;
      const sent = items.map(({ receivedAtMs, ...item }) => ({ ...item, receivedAtMs: BigInt(receivedAtMs) }));
      return { case: 'historyPiece', value: { ...rest, items: sent } };
    }
    case 'history-request': {
      const { transferId = new Uint8Array(), nextIndex } = body;
      return { case: 'historyRequest', value: { transferId, nextIndex } };
    }
  }
}

function readAvatar(
  pointer: Parameters<typeof readPointer>[0] | undefined,
  field: string,
): { avatar?: AttachmentPointer } {
  return pointer === undefined ? {} : { avatar: readPointer(pointer, field) };
}

/** Undefined: none of these kinds. The values are not checked yet. */
export function readKind(body: ContentMessage['body']): KindBody | undefined {
  switch (body.case) {
    case 'profile': {
      const { displayName, about } = body.value;
      const rest = readAvatar(body.value.avatar, 'profile.avatar');
      return { kind: 'profile', displayName, ...(about === '' ? {} : { about }), ...rest };
    }
    case 'contacts': {
      const contacts = body.value.contacts.map(({ displayName, phones, emails, interopId, ...card }) => ({
        displayName,
        ...(phones.length === 0 ? {} : { phones }),
        ...(emails.length === 0 ? {} : { emails }),
        ...(interopId === '' ? {} : { interopId }),
        ...readAvatar(card.avatar, 'contacts.avatar'),
      }));
      return { kind: 'contacts', contacts };
    }
    case 'location': {
      const { latitude, longitude, accuracyMeters, name, address, liveSequence } = body.value;
      const liveUntilMs = time(body.value.liveUntilMs, 'location.liveUntilMs');
      return {
        kind: 'location',
        latitude,
        longitude,
        ...(accuracyMeters === 0 ? {} : { accuracyMeters }),
        ...(name === '' ? {} : { name }),
        ...(address === '' ? {} : { address }),
        ...(liveUntilMs === 0 ? {} : { liveUntilMs }),
        ...(liveSequence === 0 ? {} : { liveSequence }),
      };
    }
    case 'sticker': {
      const { image, emoji, pack } = body.value;
      need(image !== undefined, 'sticker.image');
      const read = readPointer(image, 'sticker.image');
      return { kind: 'sticker', image: read, ...(emoji === '' ? {} : { emoji }), ...(pack === '' ? {} : { pack }) };
    }
    case 'poll': {
      const { question, options, choices, anonymous } = body.value;
      const rest = { ...(choices === 0 ? {} : { choices }), ...(anonymous ? { anonymous } : {}) };
      return { kind: 'poll', question, options, ...rest };
    }
    case 'pollVote': {
      const { options, version } = body.value;
      return { kind: 'poll-vote', poll: readRef(body.value.poll, 'pollVote.poll'), options, version };
    }
    case 'pollClose':
      return { kind: 'poll-close', pollMessageId: body.value.pollMessageId };
    case 'deviceSync':
      return { kind: 'device-sync', ...readSync(body.value) };
    case 'historyPiece': {
      const { transferId, index, messagesDone, messagesTotal, last } = body.value;
      const items = body.value.items.map(({ author, chat, receivedAtMs, content }) => {
        return { author, chat, receivedAtMs: time(receivedAtMs, 'historyPiece.items'), content };
      });
      return { kind: 'history-piece', transferId, index, items, messagesDone, messagesTotal, last };
    }
    case 'historyRequest': {
      const { transferId, nextIndex } = body.value;
      return { kind: 'history-request', ...(transferId.length === 0 ? {} : { transferId }), nextIndex };
    }
    default:
      return undefined;
  }
}

type SyncMessage = Extract<ContentMessage['body'], { case: 'deviceSync' }>['value'];

function readSync(sync: SyncMessage): DeviceSync {
  const reads = sync.reads.map(({ message, chat, readAtMs, opened }) => ({
    message: readRef(message, 'deviceSync.message'),
    chat,
    readAtMs: time(readAtMs, 'deviceSync.readAtMs'),
    ...(opened ? { opened } : {}),
  }));
  const hidden = sync.hidden.map(({ message, chat }) => ({ message: readRef(message, 'deviceSync.message'), chat }));
  const chats = sync.chats.map(({ chat, mutedUntilMs, ...each }): ChatSettingsChange => {
    const { pinned, archived, sendDelivered, sendRead, sendPlayed, sendTyping } = each;
    return {
      ...(chat === '' ? {} : { chat }),
      ...(pinned === undefined ? {} : { pinned }),
      ...(mutedUntilMs === undefined ? {} : { mutedUntilMs: time(mutedUntilMs, 'deviceSync.mutedUntilMs') }),
      ...(archived === undefined ? {} : { archived }),
      ...(sendDelivered === undefined ? {} : { sendDelivered }),
      ...(sendRead === undefined ? {} : { sendRead }),
      ...(sendPlayed === undefined ? {} : { sendPlayed }),
      ...(sendTyping === undefined ? {} : { sendTyping }),
    };
  });
  return {
    ...(reads.length === 0 ? {} : { reads }),
    ...(hidden.length === 0 ? {} : { hidden }),
    ...(chats.length === 0 ? {} : { chats }),
  };
}
