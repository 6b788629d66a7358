// Kinds that are about messages or the chat and stand at no place of their own: reactions, deletions, receipts, typing, the
// timer, requests to send again, what is overruled.
// Knows nothing of what they change, or of who may say them.
// Source: docs/protocol/09-content.md sections 9.3 and 9.7, schema/content.proto.
import { type InteropId, isInteropId, type StanzaId } from '@drawbridge/wire/jid';
import { DeviceSync_NotApplied_What as NotApplied, ReceiptKind, TypingState } from '../gen/content_pb.ts';
import { checkRef, identifier, isText, type MessageRef, need, readRef, refMessage, time, uint32 } from './checks.ts';
import { type KindTable, reads } from './kind.ts';

export const MAX_RECEIPT_IDS = 500;
export const MAX_EMOJI_BYTES = 64;
/** Ten years. */
export const MAX_EXPIRY_SECONDS = 315_360_000;
export const MAX_TIMER_VERSION = 1_000_000;
const MAX_DECRYPTION_ERROR_BYTES = 256;

export type SignalBodies = {
  /** An empty emoji takes the reaction back. */
  readonly reaction: { readonly target: MessageRef; readonly emoji: string };
  readonly delete: { readonly targetMessageId: Uint8Array };
  readonly receipt: {
    readonly receipt: 'delivered' | 'read' | 'played';
    readonly messageIds: readonly Uint8Array[];
  };
  readonly typing: { readonly state: 'started' | 'stopped' };
  readonly 'expiry-timer': { readonly seconds: number; readonly version: number };
  readonly 'retry-request': {
    readonly stanzaId: StanzaId;
    readonly decryptionError: Uint8Array;
    readonly attempt: number;
  };
  readonly overruled: Overruled;
  readonly nothing: unknown;
};

/** What somebody said and what does not count here, since something else that they said has a later stamp. */
export type Overruled = {
  /** The content that does not count. */
  readonly overruledId: Uint8Array;
  /** Of what counts; `version` of votes alone. */
  readonly stampMs: number;
  readonly version?: number;
  /** The message that both are about. */
  readonly message?: MessageRef;
  /** Between one's own devices: the chat that was set up or decided about; absent: for all chats. */
  readonly chat?: InteropId;
};

const receiptCodes = { delivered: ReceiptKind.DELIVERED, read: ReceiptKind.READ, played: ReceiptKind.PLAYED } as const;
const receiptNames = new Map<number, 'delivered' | 'read' | 'played'>([
  [ReceiptKind.DELIVERED, 'delivered'],
  [ReceiptKind.READ, 'read'],
  [ReceiptKind.PLAYED, 'played'],
]);
const typingNames = new Map<number, 'started' | 'stopped'>([
  [TypingState.STARTED, 'started'],
  [TypingState.STOPPED, 'stopped'],
]);

/** Of these, what shows no message of its own. */
export type SignalActs = 'reaction' | 'delete' | 'expiry-timer';

export const signalKinds: KindTable<SignalBodies, SignalActs> = {
  reaction: {
    case: 'reaction',
    capability: 'reactions',
    notApplied: { what: NotApplied.REACTION, isAboutMessage: true },
    check: ({ target, emoji }) => {
      checkRef(target, 'reaction.target');
      need(isText(emoji, MAX_EMOJI_BYTES), 'reaction.emoji');
    },
    write: ({ target, emoji }) => ({ case: 'reaction', value: { target: refMessage(target), emoji } }),
    read: reads('reaction', ({ target, emoji }) => ({ target: readRef(target, 'reaction.target'), emoji })),
  },
  delete: {
    case: 'delete',
    capability: 'deletes',
    notApplied: { what: NotApplied.DELETE, isAboutMessage: true },
    check: ({ targetMessageId }) => identifier(targetMessageId, 'delete.target'),
    write: ({ targetMessageId }) => ({ case: 'delete', value: { targetMessageId } }),
    read: reads('delete', ({ targetMessageId }) => ({ targetMessageId })),
  },
  receipt: {
    case: 'receipt',
    capability: 'receipts',
    isQuiet: true,
    check: ({ messageIds }) => {
      need(messageIds.length > 0 && messageIds.length <= MAX_RECEIPT_IDS, 'receipt.messageIds');
      for (const id of messageIds) identifier(id, 'receipt.messageIds');
    },
    write: ({ receipt, messageIds }) => ({
      case: 'receipt',
      value: { kind: receiptCodes[receipt], messageIds: [...messageIds] },
    }),
    read: reads('receipt', ({ kind, messageIds }) => {
      const receipt = receiptNames.get(kind);
      return receipt === undefined ? undefined : { receipt, messageIds };
    }),
  },
  typing: {
    case: 'typing',
    capability: 'typing',
    isQuiet: true,
    check: () => undefined,
    write: ({ state }) => ({
      case: 'typing',
      value: { state: state === 'started' ? TypingState.STARTED : TypingState.STOPPED },
    }),
    read: reads('typing', value => {
      const state = typingNames.get(value.state);
      return state === undefined ? undefined : { state };
    }),
  },
  'expiry-timer': {
    case: 'expiryTimer',
    capability: 'disappearing',
    notApplied: { what: NotApplied.EXPIRY_TIMER, isAboutMessage: false },
    check: ({ seconds, version }) => {
      need(uint32(seconds, 'expiryTimer.seconds') <= MAX_EXPIRY_SECONDS, 'expiryTimer.seconds');
      need(uint32(version, 'expiryTimer.version') <= MAX_TIMER_VERSION, 'expiryTimer.version');
    },
    write: ({ seconds, version }) => ({ case: 'expiryTimer', value: { seconds, version } }),
    read: reads('expiryTimer', ({ seconds, version }) => ({ seconds, version })),
  },
  'retry-request': {
    case: 'retryRequest',
    isQuiet: true,
    check: ({ stanzaId, decryptionError, attempt }) => {
      need(/^[A-Za-z0-9._~:+/=-]{1,64}$/.test(stanzaId), 'retryRequest.stanzaId');
      need(decryptionError.length <= MAX_DECRYPTION_ERROR_BYTES, 'retryRequest.decryptionError');
      need(uint32(attempt, 'retryRequest.attempt') >= 1, 'retryRequest.attempt');
    },
    write: ({ stanzaId, decryptionError, attempt }) => ({
      case: 'retryRequest',
      value: { stanzaId, decryptionError, attempt },
    }),
    read: reads('retryRequest', ({ stanzaId, decryptionError, attempt }) => ({ stanzaId, decryptionError, attempt })),
  },
  overruled: {
    case: 'overruled',
    isQuiet: true,
    check: ({ overruledId, stampMs, version = 1, message, chat }) => {
      identifier(overruledId, 'overruled.messageId');
      time(stampMs, 'overruled.stampMs');
      need(uint32(version, 'overruled.version') >= 1, 'overruled.version');
      if (message !== undefined) checkRef(message, 'overruled.message');
      need(chat === undefined || isInteropId(chat), 'overruled.chat');
    },
    write: ({ overruledId, stampMs, version = 0, message, chat = '' }) => ({
      case: 'overruled',
      value: {
        messageId: overruledId,
        stampMs: BigInt(stampMs),
        version,
        chat,
        ...(message === undefined ? {} : { message: refMessage(message) }),
      },
    }),
    read: reads('overruled', ({ messageId, stampMs, version, message, chat }) => ({
      overruledId: messageId,
      stampMs: time(stampMs, 'overruled.stampMs'),
      ...(version === 0 ? {} : { version }),
      ...(message === undefined ? {} : { message: readRef(message, 'overruled.message') }),
      ...(chat === '' ? {} : { chat }),
    })),
  },
  nothing: {
    case: 'nothing',
    isQuiet: true,
    check: () => undefined,
    write: () => ({ case: 'nothing', value: {} }),
    read: reads('nothing', () => ({})),
  },
};
