// The SDK's rows in the store: account, contacts, messages, outbox, what was sent and what was received. Reads and writes
// them inside a transaction of the caller.
// Knows nothing of streams, encryption or who asks.
import type { Mention, StyleRange } from '@drawbridge/e2ee/content';
import type { StoreTable, Transaction } from './store/encrypted-store.ts';
import type { ClientErrorCode } from './errors.ts';

/** This device's place at its gatekeeper. */
export type AccountRecord = {
  readonly gatekeeper: string;
  readonly interopId: string;
  readonly deviceId: number;
  readonly domain: string;
  /** Full JID. */
  readonly jid: string;
  /** The gatekeeper's long-term key as it was at enlistment (pinned): base64url of 32 bytes. */
  readonly signingKey?: string;
};

/** What people see of somebody. */
export type ContactRecord = { readonly provider: string; readonly providerNumber: number; readonly identifier: string };

/**
 * How far an own message is: `queued` on this disk, `sent` taken over by the gatekeeper, then what the other side says;
 * `held` until a changed identity is accepted; `failed` for good.
 */
export type MessageState = 'queued' | 'held' | 'sent' | 'delivered' | 'read' | 'failed';

/**
 * - `text`: `text` holds the words.
 * - `unsupported`: of a kind that this version can't show; `raw` keeps it for one that can.
 * - `lost`: something arrived that could not be read, and its sender did not help.
 * - `deleted`: its author took it back.
 */
export type MessageKind = 'text' | 'unsupported' | 'lost' | 'deleted';

export type MessageRecord = {
  /** 16 bytes, hex. With the author it names the message. */
  readonly id: string;
  readonly author: string;
  /** InteropId of the other person of the chat. */
  readonly chat: string;
  readonly kind: MessageKind;
  readonly text: string;
  readonly styles?: readonly StyleRange[];
  readonly mentions?: readonly Mention[];
  readonly replyTo?: { readonly id: string; readonly author: string; readonly excerpt: string };
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  readonly edited?: boolean;
  /** Author to emoji. */
  readonly reactions?: Readonly<Record<string, string>>;
  /** Own messages only. */
  readonly state?: MessageState;
  readonly failure?: { readonly code: ClientErrorCode; readonly detail?: string };
  /** Incoming only: `markRead` was called. */
  readonly read?: boolean;
  /** Base64 of the serialised content, for `unsupported`. */
  readonly raw?: string;
};

export type OutboxCiphertext = {
  readonly deviceId: number;
  readonly registrationId: number;
  readonly kind: 'prekey' | 'session';
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
  readonly payload:
    | { readonly kind: 'content'; readonly content: string }
    | { readonly kind: 'receipt'; readonly receipt: 'delivered' | 'read'; readonly messageIds: readonly string[] };
  readonly silent: boolean;
  /** The own message in the history whose state follows this row. */
  readonly messageId?: string;
  /** Device lists that were wrong so far. */
  readonly corrections: number;
  /** Refusals of type `wait` so far, and when to try again. */
  readonly waits: number;
  readonly notBeforeMs: number;
  /** Encrypted, and exactly this leaves the device, as often as needed; absent: not encrypted yet. */
  readonly ciphertexts?: readonly OutboxCiphertext[];
};

/** What was sent, for a recipient who could not read it; the key is the stanza's id. */
export type SentRecord = { readonly to: string; readonly content: string };

export type HeldRecord = {
  readonly from: string;
  readonly stanzaId: string;
  readonly kind: 'prekey' | 'session' | 'plaintext-retry';
  readonly bytes: string;
};

/** A stanza that could not be read and that its sender was asked to send again. */
export type UnreadRecord = { readonly from: string; readonly stanzaId: string; readonly sinceMs: number };

/** Rows are authentic: nobody but this file wrote them, and each table holds one type. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the table's type
function getJson<T>(tx: Transaction, table: StoreTable, key: string): T | undefined {
  const value = tx.get(table, key);
  return value === undefined ? undefined : (JSON.parse(value.toString()) as T);
}

function putJson(tx: Transaction, table: StoreTable, key: string, value: unknown, scope?: string): void {
  tx.put(table, key, Buffer.from(JSON.stringify(value)), scope);
}

export function readAccount(tx: Transaction): AccountRecord | undefined {
  return getJson(tx, 'setting', 'account');
}

export function writeAccount(tx: Transaction, account: AccountRecord): void {
  putJson(tx, 'setting', 'account', account);
}

export type SettingName = 'publication' | 'link' | 'static-key' | 'transport';

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

export function readContact(tx: Transaction, interopId: string): ContactRecord | undefined {
  return getJson(tx, 'contact', interopId);
}

export function findContact(tx: Transaction, provider: string, identifier: string): string | undefined {
  return getJson(tx, 'contact', nameKey(provider, identifier));
}

/** Also under its name, so that it is found by it. */
export function writeContact(tx: Transaction, interopId: string, contact: ContactRecord): void {
  putJson(tx, 'contact', interopId, contact);
  putJson(tx, 'contact', nameKey(contact.provider, contact.identifier), interopId);
}

export function forgetContact(tx: Transaction, provider: string, identifier: string): void {
  tx.delete('contact', nameKey(provider, identifier));
}

function nameKey(provider: string, identifier: string): string {
  return `@${provider}\n${identifier}`;
}

export function messageKey(author: string, id: string): string {
  return `${author}:${id}`;
}

export function readMessage(tx: Transaction, author: string, id: string): MessageRecord | undefined {
  return getJson(tx, 'message', messageKey(author, id));
}

export function writeMessage(tx: Transaction, message: MessageRecord): void {
  putJson(tx, 'message', messageKey(message.author, message.id), message, message.chat);
}

export type MessageRow = { readonly sequence: number; readonly message: MessageRecord };

export function listMessages(
  tx: Transaction,
  options: {
    readonly chat?: string;
    readonly after?: number;
    readonly before?: number;
    readonly newest?: boolean;
    readonly limit: number;
  },
): MessageRow[] {
  const { chat, ...rest } = options;
  const rows = tx.list('message', { ...rest, ...(chat === undefined ? {} : { scope: chat }) });
  return rows.map(row => ({ sequence: row.sequence, message: JSON.parse(row.value.toString()) as MessageRecord }));
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

export function readSent(tx: Transaction, stanzaId: string): SentRecord | undefined {
  return getJson(tx, 'sent', stanzaId);
}

export function writeSent(tx: Transaction, stanzaId: string, sent: SentRecord): void {
  putJson(tx, 'sent', stanzaId, sent);
}

/** `done`: never look at it again. `unread`: it could not be decrypted; the sender may send it once more. */
export type ReceivedState = 'done' | 'unread';

export function readReceived(tx: Transaction, from: string, stanzaId: string): ReceivedState | undefined {
  return getJson(tx, 'received', `${from}\n${stanzaId}`);
}

export function writeReceived(tx: Transaction, from: string, stanzaId: string, state: ReceivedState): void {
  putJson(tx, 'received', `${from}\n${stanzaId}`, state);
}

export function writeHeld(tx: Transaction, person: string, held: HeldRecord): void {
  putJson(tx, 'held', `${held.from}\n${held.stanzaId}`, held, person);
}

/** Takes the ciphertexts of a person that wait for their identity, oldest first. */
export function listHeld(tx: Transaction, person: string, limit: number): { key: string; held: HeldRecord }[] {
  const rows = tx.list('held', { scope: person, limit });
  return rows.map(row => ({ key: row.key, held: JSON.parse(row.value.toString()) as HeldRecord }));
}

/** Stanzas that wait to be sent again by their senders share the scope of the retry counts' own table. */
function unreadKey(from: string, stanzaId: string): string {
  return `unread\n${from}\n${stanzaId}`;
}

export function readUnread(tx: Transaction, from: string, stanzaId: string): UnreadRecord | undefined {
  return getJson(tx, 'retry', unreadKey(from, stanzaId));
}

export function writeUnread(tx: Transaction, unread: UnreadRecord): void {
  putJson(tx, 'retry', unreadKey(unread.from, unread.stanzaId), unread, 'unread');
}

export function deleteUnread(tx: Transaction, from: string, stanzaId: string): void {
  tx.delete('retry', unreadKey(from, stanzaId));
}

/** Oldest first. */
export function listUnread(tx: Transaction, limit: number): UnreadRecord[] {
  return tx.list('retry', { scope: 'unread', limit }).map(row => JSON.parse(row.value.toString()) as UnreadRecord);
}
