// Who is known by which name: people, names that lead to them, and names that moved. Rows of the store, in a transaction of the
// caller.
// Knows nothing of the directory, nor of who decides about a move.
import type { InteropId } from '@drawbridge/wire/jid';
import { decodeJson } from '../store/json-bytes.ts';
import { getJson, putJson } from '../store/json-rows.ts';
import type { Transaction } from '../store/store.ts';

/** What people see of somebody. */
export type ContactRecord = { readonly provider: string; readonly providerNumber: number; readonly identifier: string };

export function readContact(tx: Transaction, interopId: InteropId): ContactRecord | undefined {
  return getJson(tx, 'contact', interopId);
}

/** Who a name leads to; undefined when that is not known, or nobody was found by it when it was asked for last. */
export function findContact(tx: Transaction, provider: string, identifier: string): InteropId | undefined {
  const found = getJson<NameRecord>(tx, 'contact', nameKey(provider, identifier));
  return typeof found === 'string' ? found : undefined;
}

/** Who a name led to last, also when nobody is found by it any more. */
export function lastKnownAs(tx: Transaction, provider: string, identifier: string): InteropId | undefined {
  const found = getJson<NameRecord>(tx, 'contact', nameKey(provider, identifier));
  return typeof found === 'object' ? found.goneSince : found;
}

/** An InteropId, or the last one of a name by which nobody was found. */
type NameRecord = InteropId | { readonly goneSince: InteropId };

/** Also under its name, so that it is found by it. */
export function writeContact(tx: Transaction, interopId: InteropId, contact: ContactRecord): void {
  putJson(tx, 'contact', interopId, contact);
  putJson(tx, 'contact', nameKey(contact.provider, contact.identifier), interopId);
}

/** Everybody whose name is known, in the order in which they became known. */
export function listContacts(tx: Transaction): (ContactRecord & { readonly interopId: InteropId })[] {
  const found: (ContactRecord & { readonly interopId: InteropId })[] = [];
  for (let after: number | undefined; ; ) {
    const rows = tx.list('contact', after === undefined ? {} : { after });
    for (const { key, value } of rows) {
      // The other rows lead from a name to an InteropId.
      if (!key.startsWith('@')) found.push({ ...(decodeJson(value) as ContactRecord), interopId: key });
    }
    if (rows.length === 0) return found;
    after = rows.at(-1)!.sequence;
  }
}

/** Nobody is found by a name. Who it led to stays known, so that nobody else takes it unseen. */
export function forgetContact(tx: Transaction, provider: string, identifier: string): void {
  const last = lastKnownAs(tx, provider, identifier);
  if (last !== undefined) putJson(tx, 'contact', nameKey(provider, identifier), { goneSince: last });
}

/** A name of somebody who was verified leads to somebody else, and a person has to say, or has said no. */
export type MoveRecord = {
  readonly provider: string;
  readonly identifier: string;
  readonly before: InteropId;
  readonly interopId: InteropId;
  readonly state: 'pending' | 'refused';
};

/** The last move of a name. */
export function readMove(tx: Transaction, provider: string, identifier: string): MoveRecord | undefined {
  return getJson(tx, 'contact', moveKey(provider, identifier));
}

/** Those that wait for a decision. */
export function pendingMoves(tx: Transaction): MoveRecord[] {
  const moves = tx.list('contact', { scope: moveScope }).map(({ value }) => decodeJson(value) as MoveRecord);
  return moves.filter(each => each.state === 'pending');
}

/** A move that waits for a decision about this person: they had the name, or are said to have it. */
export function pendingMoveOf(tx: Transaction, interopId: InteropId): MoveRecord | undefined {
  return pendingMoves(tx).find(each => each.before === interopId || each.interopId === interopId);
}

/** One for each name: the latest. */
export function writeMove(tx: Transaction, move: MoveRecord): void {
  putJson(tx, 'contact', moveKey(move.provider, move.identifier), move, moveScope);
}

export function deleteMove(tx: Transaction, move: MoveRecord): void {
  tx.delete('contact', moveKey(move.provider, move.identifier));
}

const moveScope = 'moves';

/** Begins as no name does: a provider is called by its DNS name. */
function moveKey(provider: string, identifier: string): string {
  return `@${nameKey(provider, identifier)}`;
}

function nameKey(provider: string, identifier: string): string {
  return `@${provider}\n${identifier}`;
}
