// Kinds that go between a person's own devices alone: copies of what was sent, what was done, and history.
// Knows nothing of how devices agree, or of how history is cut into pieces.
// Source: docs/protocol/09-content.md sections 9.3, 9.9 and 9.10, schema/content.proto.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import {
  DeviceSync_NotApplied_What as NotApplied,
  DeviceSync_Progress_State,
  type DeviceSyncSchema,
} from '../gen/content_pb.ts';
import {
  checkRef,
  identifier,
  isText,
  type MessageRef,
  need,
  readRef,
  refMessage,
  time,
  uint32,
  wholeNumber,
} from './checks.ts';
import { type ActName, type BodyInit, type BodyValue, type KindRow, reads } from './kind.ts';
import { contentKindLimits as limits } from './limits.ts';
import { checkDecisions, readDecisions, type SyncedDecision, writeDecisions } from './own-decisions.ts';
import { type PeopleActs, peopleKinds } from './people.ts';
import { type PostActs, postKinds } from './posts.ts';
import { type SignalActs, signalKinds } from './signals.ts';
import { type TextActs, textKinds } from './text.ts';
import { type KnownPerson, personMessage, readPerson } from '../known-people.ts';

/** Content that has a transcript: leaves room for the transcript around it. */
export const MAX_TRANSCRIBED_BYTES = 57_344;

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
  /** For all chats: those with people of other services stand in an inbox of their own. */
  readonly separateInbox?: boolean;
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
  /** What became of this person's messages on the device that sends them; `reason` is a word for why they failed. */
  readonly progress?: readonly {
    readonly message: MessageRef;
    readonly chat: InteropId;
    readonly state: ProgressState;
    readonly reason?: string;
  }[];
  /**
   * What this person said that shows no message of its own, and that somebody's reader did not get or not apply; `message`:
   * a message whose time ran out before it was sent.
   */
  readonly notApplied?: readonly {
    readonly what: UnappliedKind | 'message';
    /** Absent for a timer and a profile, which are about no message. */
    readonly message?: MessageRef;
    readonly chat: InteropId;
  }[];
  /** A device that was linked with part of the people asks for everybody: behind this place, 0 for the beginning. */
  readonly peopleQuestion?: { readonly after: number };
  /** The answer; without `next` that was everybody. */
  readonly peoplePage?: { readonly after: number; readonly people: readonly KnownPerson[]; readonly next?: number };
  /** What this person has decided about others. */
  readonly decisions?: readonly SyncedDecision[];
  /** The other devices are to tell all decisions that they know. */
  readonly decisionsAsked?: boolean;
};

/** The kinds that others get and that show no message of their own. */
export type UnappliedKind = TextActs | SignalActs | PeopleActs | PostActs;

const kindsForOthers = { ...textKinds, ...signalKinds, ...peopleKinds, ...postKinds };
const actRows = new Map<UnappliedKind | 'message', ActName>(
  Object.entries<Pick<KindRow<never>, 'case' | 'notApplied'>>(kindsForOthers).flatMap(([kind, { notApplied }]) =>
    notApplied === undefined ? [] : [[kind as UnappliedKind, notApplied] as const],
  ),
);
actRows.set('message', { what: NotApplied.MESSAGE, isAboutMessage: true });
const unappliedKinds = new Map(Array.from(actRows, ([kind, { what }]) => [what, kind]));

export type ProgressState = 'held' | 'sent' | 'failed';

const stateCodes: Readonly<Record<ProgressState, DeviceSync_Progress_State>> = {
  held: DeviceSync_Progress_State.HELD,
  sent: DeviceSync_Progress_State.SENT,
  failed: DeviceSync_Progress_State.FAILED,
};
const stateNames = new Map<number, ProgressState>(
  (Object.keys(stateCodes) as ProgressState[]).map(name => [stateCodes[name], name]),
);

export type HistoryItem = {
  readonly author: InteropId;
  readonly chat: InteropId;
  readonly receivedAtMs: number;
  /** Serialised Content. */
  readonly content: Uint8Array;
};

export type OwnDeviceBodies = {
  /** `content` is the serialised Content as it was sent. */
  readonly 'sent-transcript': { readonly to: InteropId; readonly content: Uint8Array };
  readonly 'device-sync': DeviceSync;
  readonly 'history-piece': {
    readonly transferId: Uint8Array;
    readonly index: number;
    readonly items: readonly HistoryItem[];
    readonly messagesDone: number;
    readonly messagesTotal: number;
    readonly last: boolean;
  };
  /** Without a transfer id: begin. */
  readonly 'history-request': { readonly transferId?: Uint8Array; readonly nextIndex: number };
};

function checkSync(sync: DeviceSync): void {
  const { reads = [], hidden = [], chats = [], progress = [], notApplied = [], decisions = [] } = sync;
  checkDecisions(decisions);
  for (const entries of [reads, hidden, chats, progress, notApplied]) {
    need(entries.length <= limits.maxSyncEntries, 'deviceSync');
  }
  for (const { what, message, chat } of notApplied) {
    need(isInteropId(chat), 'deviceSync.chat');
    need((message !== undefined) === actRows.get(what)?.isAboutMessage, 'deviceSync.message');
    if (message !== undefined) checkRef(message, 'deviceSync.message');
  }
  for (const { reason = '' } of progress) need(isText(reason, limits.maxReasonBytes), 'deviceSync.reason');
  for (const { message, chat } of [...reads, ...hidden, ...progress]) {
    checkRef(message, 'deviceSync.message');
    need(isInteropId(chat), 'deviceSync.chat');
  }
  for (const { readAtMs } of reads) time(readAtMs, 'deviceSync.readAtMs');
  for (const { chat, mutedUntilMs, ...flags } of chats) {
    if (chat !== undefined) need(isInteropId(chat), 'deviceSync.chat');
    if (mutedUntilMs !== undefined) wholeNumber(mutedUntilMs, 'deviceSync.mutedUntilMs');
    for (const flag of Object.values(flags)) need(flag === undefined || typeof flag === 'boolean', 'deviceSync.chats');
  }
  const { peopleQuestion, peoplePage } = sync;
  if (peopleQuestion !== undefined) wholeNumber(peopleQuestion.after, 'deviceSync.people');
  if (peoplePage === undefined) return;
  const { after, people, next = after + 1 } = peoplePage;
  for (const place of [after, next]) wholeNumber(place, 'deviceSync.people');
  need(people.length <= limits.maxPeople && next > after, 'deviceSync.people');
}

function writeSync(sync: DeviceSync): BodyInit {
  const { reads: read = [], hidden = [], chats = [], progress = [], notApplied = [], decisions = [] } = sync;
  return {
    case: 'deviceSync',
    value: {
      reads: read.map(({ message, chat, readAtMs, opened = false }) => ({
        message: refMessage(message),
        chat,
        readAtMs: BigInt(readAtMs),
        opened,
      })),
      hidden: hidden.map(({ message, chat }) => ({ message: refMessage(message), chat })),
      chats: chats.map(({ chat = '', mutedUntilMs, ...rest }) => ({
        chat,
        ...rest,
        ...(mutedUntilMs === undefined ? {} : { mutedUntilMs: BigInt(mutedUntilMs) }),
      })),
      progress: progress.map(({ message, chat, state, reason = '' }) => ({
        message: refMessage(message),
        chat,
        state: stateCodes[state],
        reason,
      })),
      notApplied: notApplied.map(({ what, message, chat }) => ({
        what: actRows.get(what)!.what,
        ...(message === undefined ? {} : { message: refMessage(message) }),
        chat,
      })),
      decisions: writeDecisions(decisions),
      decisionsAsked: sync.decisionsAsked ?? false,
      ...peopleInit(sync),
    },
  };
}

function peopleInit({ peopleQuestion, peoplePage }: DeviceSync): MessageInitShape<typeof DeviceSyncSchema> {
  const question = peopleQuestion === undefined ? {} : { peopleQuestion: { after: BigInt(peopleQuestion.after) } };
  if (peoplePage === undefined) return question;
  const { after, people, next = 0 } = peoplePage;
  const page = { after: BigInt(after), people: people.map(personMessage), next: BigInt(next) };
  return { ...question, peoplePage: page };
}

function readPeople({ peopleQuestion, peoplePage }: BodyValue<'deviceSync'>): DeviceSync {
  const place = (value: bigint): number => wholeNumber(value, 'deviceSync.people');
  const question = peopleQuestion === undefined ? {} : { peopleQuestion: { after: place(peopleQuestion.after) } };
  if (peoplePage === undefined) return question;
  const { after, next } = peoplePage;
  const people = peoplePage.people.map(readPerson).filter(person => person !== undefined);
  need(people.length === peoplePage.people.length, 'deviceSync.people');
  const goesOn = next === 0n ? {} : { next: place(next) };
  return { ...question, peoplePage: { after: place(after), people, ...goesOn } };
}

function readSync(sync: BodyValue<'deviceSync'>): DeviceSync {
  const read = sync.reads.map(({ message, chat, readAtMs, opened }) => ({
    message: readRef(message, 'deviceSync.message'),
    chat,
    readAtMs: time(readAtMs, 'deviceSync.readAtMs'),
    ...(opened ? { opened } : {}),
  }));
  const hidden = sync.hidden.map(({ message, chat }) => ({ message: readRef(message, 'deviceSync.message'), chat }));
  const chats = sync.chats.map(({ chat, mutedUntilMs, ...each }): ChatSettingsChange => {
    const { pinned, archived, sendDelivered, sendRead, sendPlayed, sendTyping, separateInbox } = each;
    return {
      ...(chat === '' ? {} : { chat }),
      ...(pinned === undefined ? {} : { pinned }),
      ...(mutedUntilMs === undefined ? {} : { mutedUntilMs: wholeNumber(mutedUntilMs, 'deviceSync.mutedUntilMs') }),
      ...(archived === undefined ? {} : { archived }),
      ...(sendDelivered === undefined ? {} : { sendDelivered }),
      ...(sendRead === undefined ? {} : { sendRead }),
      ...(sendPlayed === undefined ? {} : { sendPlayed }),
      ...(sendTyping === undefined ? {} : { sendTyping }),
      ...(separateInbox === undefined ? {} : { separateInbox }),
    };
  });
  // A state of a later version says nothing to this one.
  const progress = sync.progress.flatMap(({ message, chat, state, reason }) => {
    const name = stateNames.get(state);
    const ref = readRef(message, 'deviceSync.message');
    return name === undefined ? [] : [{ message: ref, chat, state: name, ...(reason === '' ? {} : { reason }) }];
  });
  // The same holds for what was said.
  const notApplied = sync.notApplied.flatMap(({ what, message, chat }) => {
    const kind = unappliedKinds.get(what);
    const ref = message === undefined ? undefined : readRef(message, 'deviceSync.message');
    return kind === undefined ? [] : [{ what: kind, chat, ...(ref === undefined ? {} : { message: ref }) }];
  });
  const decisions = readDecisions(sync.decisions);
  return {
    ...(read.length === 0 ? {} : { reads: read }),
    ...(hidden.length === 0 ? {} : { hidden }),
    ...(chats.length === 0 ? {} : { chats }),
    ...(progress.length === 0 ? {} : { progress }),
    ...(notApplied.length === 0 ? {} : { notApplied }),
    ...readPeople(sync),
    ...(decisions.length === 0 ? {} : { decisions }),
    ...(sync.decisionsAsked ? { decisionsAsked: true } : {}),
  };
}

function checkPiece(piece: OwnDeviceBodies['history-piece']): void {
  identifier(piece.transferId, 'historyPiece.transferId');
  for (const count of [piece.index, piece.messagesDone, piece.messagesTotal]) uint32(count, 'historyPiece');
  need(piece.items.length <= limits.maxHistoryItems, 'historyPiece.items');
  for (const item of piece.items) {
    need(isInteropId(item.author) && isInteropId(item.chat), 'historyPiece.items');
    time(item.receivedAtMs, 'historyPiece.items');
  }
}

export const ownDeviceKinds: { readonly [K in keyof OwnDeviceBodies]: KindRow<OwnDeviceBodies[K]> } = {
  'sent-transcript': {
    case: 'sentTranscript',
    isQuiet: true,
    isOwnOnly: true,
    check: ({ to, content }) => {
      need(isInteropId(to), 'sentTranscript.to');
      need(content.length > 0 && content.length <= MAX_TRANSCRIBED_BYTES, 'sentTranscript.content');
    },
    write: ({ to, content }) => ({ case: 'sentTranscript', value: { to, content } }),
    read: reads('sentTranscript', ({ to, content }) => ({ to, content })),
  },
  'device-sync': {
    case: 'deviceSync',
    isQuiet: true,
    isOwnOnly: true,
    check: checkSync,
    write: writeSync,
    read: reads('deviceSync', readSync),
  },
  'history-piece': {
    case: 'historyPiece',
    capability: 'history',
    isQuiet: true,
    isOwnOnly: true,
    check: checkPiece,
    write: ({ items, transferId, index, messagesDone, messagesTotal, last }) => ({
      case: 'historyPiece',
      value: {
        transferId,
        index,
        items: items.map(({ receivedAtMs, ...item }) => ({ ...item, receivedAtMs: BigInt(receivedAtMs) })),
        messagesDone,
        messagesTotal,
        last,
      },
    }),
    read: reads('historyPiece', ({ transferId, index, items, messagesDone, messagesTotal, last }) => ({
      transferId,
      index,
      items: items.map(({ author, chat, receivedAtMs, content }) => ({
        author,
        chat,
        receivedAtMs: time(receivedAtMs, 'historyPiece.items'),
        content,
      })),
      messagesDone,
      messagesTotal,
      last,
    })),
  },
  'history-request': {
    case: 'historyRequest',
    capability: 'history',
    isQuiet: true,
    isOwnOnly: true,
    check: ({ transferId, nextIndex }) => {
      if (transferId !== undefined) identifier(transferId, 'historyRequest.transferId');
      uint32(nextIndex, 'historyRequest.nextIndex');
    },
    write: ({ transferId = new Uint8Array(), nextIndex }) => ({
      case: 'historyRequest',
      value: { transferId, nextIndex },
    }),
    read: reads('historyRequest', ({ transferId, nextIndex }) => ({
      ...(transferId.length === 0 ? {} : { transferId }),
      nextIndex,
    })),
  },
};
