// The SDK's rows in the store: account, messages, chats, outbox, what was sent and what was received. Reads and writes them
// inside a transaction of the caller. Contacts, uploads, notices and manifests have files of their own beside their domains.
// Knows nothing of streams, encryption or who asks.
import type { CiphertextKind, SessionKind } from '@drawbridge/wire/envelope';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import type { DeviceCapabilities } from '../history/capabilities.ts';
import { type ChatRecord, newChat, type ProfileRecord } from '../history/chat-state.ts';
import type { ElapsedRecord } from '../history/elapsed-time.ts';
import type { LogEntry, ReceiptKind } from '../history/message-log.ts';
import { decodeJson, encodeJson } from './json-bytes.ts';
import { getJson, putJson } from './json-rows.ts';
import { MAX_VALUE_BYTES, type Transaction } from './store.ts';
import type { ChatId, MessageId } from '../history/message-names.ts';

/** This device's place at its gatekeeper. */
export type AccountRecord = {
  readonly gatekeeper: string;
  readonly interopId: InteropId;
  readonly deviceId: number;
  readonly domain: string;
  /** Full JID. */
  readonly jid: string;
  /** The gatekeeper's long-term key (pinned): base64url of 32 bytes. It moves only as it, or its backup, has signed. */
  readonly signingKey?: string;
  /** The key that may follow it, and the time of the statement that both come from. */
  readonly backupKey?: string;
  readonly keysSince?: number;
};

export type OutboxCiphertext = {
  readonly deviceId: number;
  readonly registrationId: number;
  readonly kind: SessionKind;
  /** Base64. */
  readonly bytes: string;
};

/** A message on its way; the row's key is the stanza's id, the scope its recipient. */
export type OutboxRecord = {
  readonly to: string;
  /** One device alone: a retry request, or the answer to one. */
  readonly toDevice?: number;
  /** Begin a new session with that device first. */
  readonly freshSession?: boolean;
  /** Fingerprint of the identity key that it may be encrypted to, and no other: what was sent before, for one device. */
  readonly onlyIdentity?: string;
  readonly payload:
    | { readonly kind: 'content'; readonly content: string }
    | { readonly kind: 'receipt'; readonly receipt: ReceiptKind; readonly messageIds: readonly MessageId[] };
  readonly silent: boolean;
  /** The own message in the history whose state follows this row. */
  readonly messageId?: MessageId;
  /** Device lists that were wrong so far. */
  readonly corrections: number;
  /** Refusals of type `wait` so far, and when to try again. */
  readonly waits: number;
  readonly notBeforeMs: number;
  /** Streams that the gatekeeper ended with an error while this was the first that it had not taken over. */
  readonly endedStreams?: number;
  /** Encrypted, and exactly this leaves the device, as often as needed; absent: not encrypted yet. */
  readonly ciphertexts?: readonly OutboxCiphertext[];
};

/** What was sent, for a recipient who could not read it; the key is the stanza's id. Bounded by `tableLimits` and by time. */
export type SentRecord = {
  readonly to: string;
  readonly content: string;
  readonly sentAtMs: number;
  /** Absent in rows of 0.1.0, which are not sent again. */
  readonly addressed?: {
    /** Fingerprint of the identity key that it was encrypted to. */
    readonly identity: string;
    readonly devices: readonly number[];
  };
};

/** Content sent longer ago than this is not sent again, and forgotten (docs/protocol/09-content.md section 9.7). */
export const sentKeptMs: number = 14 * 86_400_000;

export type HeldRecord = {
  readonly from: string;
  readonly stanzaId: StanzaId;
  readonly kind: CiphertextKind;
  readonly bytes: string;
};

/** A stanza that could not be read and that its sender was asked to send again. */
export type UnreadRecord = {
  readonly from: string;
  readonly stanzaId: StanzaId;
  readonly sinceMs: number;
  /** Where it came: what is sent again stands there. */
  readonly place?: number;
  /** A line says that it could not be read; it goes when it is read after all. */
  readonly isShown?: true;
};

export function readAccount(tx: Transaction): AccountRecord | undefined {
  return getJson(tx, 'setting', 'account');
}

export function writeAccount(tx: Transaction, account: AccountRecord): void {
  putJson(tx, 'setting', 'account', account);
}

export type SettingName =
  | 'manifest-due'
  | 'manifest-removals'
  | 'publication'
  | 'link'
  | 'link-aside'
  | 'restored'
  | 'renewal'
  | 'compact-withheld'
  | 'static-key'
  | 'store-count'
  | 'transport'
  | 'media-names';

export function readSetting(tx: Transaction, name: SettingName): string | undefined {
  return getJson(tx, 'setting', name);
}

export function writeSetting(tx: Transaction, name: SettingName, value: string | undefined): void {
  if (value === undefined) tx.delete('setting', name);
  else putJson(tx, 'setting', name, value);
}

/** Sequence of the newest message that an iterator has finished with. */
export function readCursor(tx: Transaction): number {
  return getJson<number>(tx, 'setting', 'cursor') ?? 0;
}

export function writeCursor(tx: Transaction, sequence: number): void {
  putJson(tx, 'setting', 'cursor', sequence);
}

/** The number of the last content that this device has said to somebody. */
export function readSaidNumber(tx: Transaction, to: string): number {
  return getJson<number>(tx, 'setting', `said ${to}`) ?? 0;
}

export function writeSaidNumber(tx: Transaction, to: string, number: number): void {
  putJson(tx, 'setting', `said ${to}`, number);
}

/** Numbers that were given to contents for somebody which failed, and that nobody has heard of yet. */
export function readUnsaid(tx: Transaction, to: string): readonly number[] {
  return getJson<number[]>(tx, 'setting', `unsaid ${to}`) ?? [];
}

export function writeUnsaid(tx: Transaction, to: string, numbers: readonly number[]): void {
  if (numbers.length === 0) tx.delete('setting', `unsaid ${to}`);
  else putJson(tx, 'setting', `unsaid ${to}`, numbers);
}

/** The last hybrid logical stamp given or heard. */
export function readStamp(tx: Transaction): number {
  return getJson<number>(tx, 'setting', 'stamp') ?? 0;
}

export function writeStamp(tx: Transaction, stampMs: number): void {
  putJson(tx, 'setting', 'stamp', stampMs);
}

export function messageKey(author: InteropId, id: MessageId): string {
  return `${author}:${id}`;
}

/** A message that has come, or facts about one that has not (`readOrphan`). */
export function readEntry(tx: Transaction, author: InteropId, id: MessageId): LogEntry | undefined {
  return getJson(tx, 'message', messageKey(author, id));
}

/** False, and nothing is written, when the entry would be larger than a row may be. With `first` a new row stands before all others. */
export function writeEntry(tx: Transaction, entry: LogEntry, first = false): boolean {
  const value = encodeJson(entry);
  if (value.length > MAX_VALUE_BYTES) return false;
  const key = messageKey(entry.author, entry.id);
  if (first) tx.putFirst('message', key, value, entry.chat);
  else tx.put('message', key, value, entry.chat);
  return true;
}

/** The gatekeeper has taken over the stanza that carries this own message: it may say later that nobody will have it. */
export function writeAccepted(tx: Transaction, stanzaId: StanzaId, messageId: MessageId): void {
  putJson(tx, 'accepted', stanzaId, messageId);
}

export function readAccepted(tx: Transaction, stanzaId: StanzaId): MessageId | undefined {
  return getJson<MessageId>(tx, 'accepted', stanzaId);
}

/** What this device has said, and the gatekeeper has not placed yet among what this person's devices receive. */
export type TranscriptRecord = {
  readonly chat: ChatId;
  readonly number: number;
  /** It is a message. */
  readonly messageId?: MessageId;
};

/** The stanza that carries it to one's own devices: the gatekeeper tells where it placed that. */
export function writeTranscript(tx: Transaction, stanzaId: StanzaId, transcript: TranscriptRecord): void {
  putJson(tx, 'transcript', stanzaId, transcript);
}

/** Forgets it, too. Until 0.1.0 a row was the id of a message alone. */
export function takeTranscript(tx: Transaction, stanzaId: StanzaId): Partial<TranscriptRecord> | undefined {
  const transcript = getJson<TranscriptRecord | MessageId>(tx, 'transcript', stanzaId);
  tx.delete('transcript', stanzaId);
  return typeof transcript === 'string' ? { messageId: transcript } : transcript;
}

/** Where a message stands in its chat; without `place`: behind all that came. */
export function placeEntry(tx: Transaction, author: InteropId, id: MessageId, place = tx.newPlace()): void {
  tx.place('message', messageKey(author, id), place);
}

export type EntryRow = { readonly sequence: number; readonly entry: LogEntry };

/** By place; with `arrived` in the order in which they came to this device. */
export function listEntries(
  tx: Transaction,
  options: {
    readonly arrived?: boolean;
    readonly chat?: ChatId;
    readonly after?: number;
    readonly before?: number;
    readonly newest?: boolean;
    readonly limit: number;
  },
): EntryRow[] {
  const { chat, arrived = false, ...rest } = options;
  const list = { ...rest, ...(chat === undefined ? {} : { scope: chat }) };
  const rows = arrived ? tx.list('message', list) : tx.listByPlace('message', list);
  return rows.map(row => ({ sequence: row.sequence, entry: decodeJson(row.value) as LogEntry }));
}

/** Facts are kept with the chat in which they were said: said elsewhere, they are about nothing. */
function orphanKey(chat: ChatId, author: InteropId, id: MessageId): string {
  return `${chat}\n${messageKey(author, id)}`;
}

export function readOrphan(tx: Transaction, chat: ChatId, author: InteropId, id: MessageId): LogEntry | undefined {
  return getJson(tx, 'orphan', orphanKey(chat, author, id));
}

export function deleteOrphan(tx: Transaction, chat: ChatId, author: InteropId, id: MessageId): void {
  tx.delete('orphan', orphanKey(chat, author, id));
}

/** The oldest of a chat give way. */
export function writeOrphan(tx: Transaction, entry: LogEntry, maxPerChat: number): void {
  const value = encodeJson(entry);
  if (value.length > MAX_VALUE_BYTES) return;
  const key = orphanKey(entry.chat, entry.author, entry.id);
  tx.put('orphan', key, value, entry.chat);
  const excess = tx.count('orphan', entry.chat) - maxPerChat;
  if (excess <= 0) return;
  for (const row of tx.list('orphan', { scope: entry.chat, limit: excess })) tx.delete('orphan', row.key);
}

export function readChat(tx: Transaction, chat: ChatId): ChatRecord {
  return getJson(tx, 'chat', chat) ?? newChat(chat);
}

export function writeChat(tx: Transaction, record: ChatRecord): void {
  putJson(tx, 'chat', record.chat, record);
}

export type ChatRecordRow = { readonly sequence: number; readonly chat: ChatRecord };

/** In the order in which they began. */
export function listChats(
  tx: Transaction,
  options: { readonly after?: number; readonly limit: number },
): ChatRecordRow[] {
  return tx.list('chat', options).map(({ sequence, value }) => ({ sequence, chat: decodeJson(value) as ChatRecord }));
}

/** A message whose time runs: from when `dueMs` is set, and to that point of this device's elapsed time. */
export type ExpiryRecord = {
  readonly author: InteropId;
  readonly id: MessageId;
  /** How long it runs, from when this row was written. */
  readonly runMs: number;
  readonly dueMs?: number;
};

export function readExpiry(tx: Transaction, author: InteropId, id: MessageId): ExpiryRecord | undefined {
  return getJson(tx, 'expiry', messageKey(author, id));
}

export function readElapsed(tx: Transaction): ElapsedRecord | undefined {
  return getJson(tx, 'setting', 'elapsed');
}

export function writeElapsed(tx: Transaction, elapsed: ElapsedRecord): void {
  putJson(tx, 'setting', 'elapsed', elapsed);
}

export function writeExpiry(tx: Transaction, expiry: ExpiryRecord): void {
  putJson(tx, 'expiry', messageKey(expiry.author, expiry.id), expiry);
}

export function deleteExpiry(tx: Transaction, author: InteropId, id: MessageId): void {
  tx.delete('expiry', messageKey(author, id));
}

/** All of them: as many as messages are about to disappear. */
export function listExpiries(tx: Transaction): ExpiryRecord[] {
  const found: ExpiryRecord[] = [];
  for (let after = 0; ; ) {
    const rows = tx.list('expiry', { after });
    if (rows.length === 0) return found;
    for (const row of rows) found.push(decodeJson(row.value) as ExpiryRecord);
    after = rows.at(-1)!.sequence;
  }
}

export function readProfile(tx: Transaction, interopId: InteropId): ProfileRecord | undefined {
  return getJson(tx, 'profile', interopId);
}

export function writeProfile(tx: Transaction, interopId: InteropId, record: ProfileRecord): void {
  putJson(tx, 'profile', interopId, record);
}

export function readCapabilities(tx: Transaction, person: InteropId, deviceId: number): DeviceCapabilities | undefined {
  return getJson(tx, 'device-list', `${person}/${deviceId}`);
}

export function writeCapabilities(
  tx: Transaction,
  person: InteropId,
  deviceId: number,
  record: DeviceCapabilities,
): void {
  putJson(tx, 'device-list', `${person}/${deviceId}`, record, person);
}

export function listCapabilities(tx: Transaction, person: InteropId): DeviceCapabilities[] {
  return tx.list('device-list', { scope: person }).map(row => decodeJson(row.value) as DeviceCapabilities);
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the record's type
export function readTransfer<T>(tx: Transaction, name: string): T | undefined {
  return getJson<T>(tx, 'transfer', name);
}

export function writeTransfer(tx: Transaction, name: string, value: unknown): void {
  if (value === undefined) tx.delete('transfer', name);
  else putJson(tx, 'transfer', name, value);
}

export type OutboxRow = { readonly id: string; readonly record: OutboxRecord };

export function readOutbox(tx: Transaction, id: string): OutboxRecord | undefined {
  return getJson(tx, 'outbox', id);
}

export function writeOutbox(tx: Transaction, id: string, record: OutboxRecord): void {
  putJson(tx, 'outbox', id, record, record.to);
}

/** Oldest first: the order in which they must leave. */
export function listOutbox(tx: Transaction, options: { readonly to?: string; readonly limit: number }): OutboxRow[] {
  const rows = tx.list('outbox', { limit: options.limit, ...(options.to === undefined ? {} : { scope: options.to }) });
  return rows.map(row => ({ id: row.key, record: JSON.parse(row.value.toString()) as OutboxRecord }));
}

/** Undefined: never sent, or too long ago. */
export function readSent(tx: Transaction, stanzaId: StanzaId, nowMs: number): SentRecord | undefined {
  const sent = getJson<SentRecord>(tx, 'sent', stanzaId);
  return sent === undefined || nowMs - sent.sentAtMs > sentKeptMs ? undefined : sent;
}

export function writeSent(tx: Transaction, stanzaId: StanzaId, sent: SentRecord): void {
  putJson(tx, 'sent', stanzaId, sent);
}

/** Forgets what was sent too long ago, of the oldest `limit` rows. */
export function forgetSent(tx: Transaction, nowMs: number, limit: number): void {
  for (const { key, value } of tx.list('sent', { limit })) {
    const { sentAtMs } = decodeJson(value) as SentRecord;
    if (nowMs - sentAtMs > sentKeptMs) tx.delete('sent', key);
  }
}

/** Version 2 to 3: what was kept without a time counts from now. At most as many as `tableLimits` lets stand. */
export function addSentTimes(tx: Transaction, nowMs: number): void {
  for (let after: number | undefined; ; ) {
    const rows = tx.list('sent', after === undefined ? {} : { after });
    for (const { key, value } of rows) {
      putJson(tx, 'sent', key, { sentAtMs: nowMs, ...(decodeJson(value) as Omit<SentRecord, 'sentAtMs'>) });
    }
    if (rows.length === 0) return;
    after = rows.at(-1)!.sequence;
  }
}

/** `done`: never look at it again. `unread`: it could not be decrypted; the sender may send it once more. */
export type ReceivedState = 'done' | 'unread';

export function readReceived(tx: Transaction, from: string, stanzaId: StanzaId): ReceivedState | undefined {
  return getJson(tx, 'received', `${from}\n${stanzaId}`);
}

export function writeReceived(tx: Transaction, from: string, stanzaId: StanzaId, state: ReceivedState): void {
  putJson(tx, 'received', `${from}\n${stanzaId}`, state);
}

export function writeHeld(tx: Transaction, person: InteropId, held: HeldRecord): void {
  putJson(tx, 'held', `${held.from}\n${held.stanzaId}`, held, person);
}

export type HeldRow = { readonly sequence: number; readonly key: string; readonly held: HeldRecord };

/** The ciphertexts that wait for somebody's identity, or for anybody's, oldest first. */
export function listHeld(
  tx: Transaction,
  person: InteropId | undefined,
  options: { readonly after?: number; readonly newest?: boolean; readonly limit?: number },
): HeldRow[] {
  const rows = tx.list('held', { ...options, ...(person === undefined ? {} : { scope: person }) });
  return rows.map(({ sequence, key, value }) => ({ sequence, key, held: JSON.parse(value.toString()) as HeldRecord }));
}

/** Rows of one reading, until none are left. */
const heldPage = 200;

export function forgetHeld(tx: Transaction, person: InteropId): void {
  for (;;) {
    const rows = tx.list('held', { scope: person, limit: heldPage });
    if (rows.length === 0) return;
    for (const { key } of rows) tx.delete('held', key);
  }
}

/** Counts about single stanzas that are kept for one person, whatever others do. */
export const retryCountsPerPerson = 128;

/** Rows of `decideRetry`. A device's own count stays; of those about single stanzas of a person the oldest give way. */
export function keepRetryCounts(
  tx: Transaction,
  person: InteropId,
  rows: readonly { readonly key: string; readonly value: Uint8Array }[],
): void {
  for (const { key, value } of rows) tx.put('retry', key, value, person);
  if (tx.count('retry', person) <= retryCountsPerPerson) return;
  const ofStanzas = tx.list('retry', { scope: person }).filter(({ key }) => key.split(' ').length > 2);
  for (const { key } of ofStanzas.slice(0, Math.max(0, ofStanzas.length - retryCountsPerPerson)))
    tx.delete('retry', key);
}

/** Stanzas that wait to be sent again by their senders share the scope of the retry counts' own table. */
function unreadKey(from: string, stanzaId: StanzaId): string {
  return `unread\n${from}\n${stanzaId}`;
}

export function readUnread(tx: Transaction, from: string, stanzaId: StanzaId): UnreadRecord | undefined {
  return getJson(tx, 'retry', unreadKey(from, stanzaId));
}

export function writeUnread(tx: Transaction, unread: UnreadRecord): void {
  putJson(tx, 'retry', unreadKey(unread.from, unread.stanzaId), unread, 'unread');
}

export function deleteUnread(tx: Transaction, from: string, stanzaId: StanzaId): void {
  tx.delete('retry', unreadKey(from, stanzaId));
}

/** Oldest first. */
export function listUnread(tx: Transaction, limit: number): UnreadRecord[] {
  return tx.list('retry', { scope: 'unread', limit }).map(row => JSON.parse(row.value.toString()) as UnreadRecord);
}
