// Rows of what came: what was seen, what waits for a person's decision, what was asked for again. Reads and writes them in a
// transaction of the caller. Knows nothing of streams, decryption or contents.
import type { CiphertextKind } from '@drawbridge/wire/envelope';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import { decodeJson } from './json-bytes.ts';
import { getJson, putJson } from './json-rows.ts';
import { MAX_LIST, type Transaction } from './store.ts';

export type HeldRecord = {
  readonly from: string;
  readonly stanzaId: StanzaId;
  readonly kind: CiphertextKind;
  readonly bytes: string;
  /** Base64: what its sender committed to, and the gatekeeper's stamp. */
  readonly commitment?: string;
  readonly stamp?: { readonly atMs: number; readonly mac: string };
  /** It came in a session that brings neither. */
  readonly unstamped?: true;
  /** It came while its author was denied or blocked. */
  readonly refused?: true;
};

/** A stanza that could not be read and that its sender was asked to send again. */
export type UnreadRecord = {
  readonly from: string;
  readonly stanzaId: StanzaId;
  readonly sinceMs: number;
  /** Where it came: what is sent again stands there. */
  readonly place?: number;
  /** How often its sender was asked. */
  readonly asked?: number;
  /** A session was begun then to ask for it in. */
  readonly sessionAtMs?: number;
  /** The stanza in which its sender was asked last, that stanza's content (base64), and how often it was said again. */
  readonly request?: StanzaId;
  readonly requestContent?: string;
  readonly requestRepeats?: number;
  /** A line says that it could not be read; it goes when it is read after all. */
  readonly isShown?: true;
  /** There is no line of its own: a notice counts it, and one fewer when it is read after all. */
  readonly isCounted?: true;
};

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

function unreadKey(from: string, stanzaId: StanzaId): string {
  return `${from}\n${stanzaId}`;
}

export function readUnread(tx: Transaction, from: string, stanzaId: StanzaId): UnreadRecord | undefined {
  return getJson(tx, 'unread', unreadKey(from, stanzaId));
}

export function writeUnread(tx: Transaction, unread: UnreadRecord): void {
  putJson(tx, 'unread', unreadKey(unread.from, unread.stanzaId), unread, senderOf(unread));
}

export function deleteUnread(tx: Transaction, from: string, stanzaId: StanzaId): void {
  tx.delete('unread', unreadKey(from, stanzaId));
}

/** Whose device it is from. */
export function senderOf({ from }: Pick<UnreadRecord, 'from'>): InteropId {
  return from.split('/')[0]!;
}

/** A person has seen the count: what it counted is not taken from the next one. */
export function forgetCounted(tx: Transaction): void {
  for (const { isCounted, ...unread } of listUnread(tx, MAX_LIST)) if (isCounted === true) writeUnread(tx, unread);
}

/** Oldest first; of this person's devices alone, when one is given. */
export function listUnread(tx: Transaction, limit: number, person?: InteropId): UnreadRecord[] {
  const rows = tx.list('unread', { limit, ...(person === undefined ? {} : { scope: person }) });
  return rows.map(row => JSON.parse(row.value.toString()) as UnreadRecord);
}

/** Version 6 to 7: they lay among the counts of retries, all under one scope. At most as many as may wait. */
export function toUnreadTable(tx: Transaction): void {
  for (const { key, value } of tx.list('retry', { scope: 'unread' })) {
    writeUnread(tx, decodeJson(value) as UnreadRecord);
    tx.delete('retry', key);
  }
}
