// Who is known by which name: people, and names that lead to them. Rows of the store, in a transaction of the caller.
// Knows nothing of the directory, nor of names that wait for a decision (`moved-names.ts`).
// Source: docs/protocol/09-content.md section 9.4.
import { type InteropId, providerNumberOf } from '@drawbridge/wire/jid';
import { decodeJson } from '../store/json-bytes.ts';
import { getJson, putJson } from '../store/json-rows.ts';
import type { Transaction } from '../store/store.ts';
import { isSameName, nameText, readUserName, type UserName } from './user-name.ts';

type ContactRow = {
  readonly provider: string;
  readonly providerNumber: number;
  readonly identifier: string;
  /** The name leads to somebody else since: nobody is shown under it but them. */
  readonly isGone?: true;
};

/** The provider of a person, also when their name is gone. */
export function providerOf(tx: Transaction, interopId: InteropId): string | undefined {
  return readRow(tx, interopId)?.name.provider;
}

/** What people see of somebody; undefined when it is not known, or leads to somebody else by now. */
export function readContact(tx: Transaction, interopId: InteropId): UserName | undefined {
  const row = readRow(tx, interopId);
  return row?.isGone === true ? undefined : row?.name;
}

/** The name that somebody had until it led to somebody else. */
export function readGoneName(tx: Transaction, interopId: InteropId): UserName | undefined {
  const row = readRow(tx, interopId);
  return row?.isGone === true ? row.name : undefined;
}

/**
 * Who a name leads to; undefined when that is not known, nobody was found by it when it was asked for last, or they are
 * shown under another by now: a person has one name.
 */
export function findContact(tx: Transaction, name: UserName): InteropId | undefined {
  const found = getJson<NameRow>(tx, 'contact', nameKey(name));
  if (typeof found !== 'string') return undefined;
  const shown = readContact(tx, found);
  return shown !== undefined && isSameName(shown, name) ? found : undefined;
}

/** Who a name led to last, also when nobody is found by it any more. */
export function lastKnownAs(tx: Transaction, name: UserName): InteropId | undefined {
  const found = getJson<NameRow>(tx, 'contact', nameKey(name));
  return typeof found === 'object' ? found.goneSince : found;
}

/** An InteropId, or the last one of a name by which nobody was found. */
type NameRow = InteropId | { readonly goneSince: InteropId };

/** People who had a name until it led to somebody else; the oldest go, each by a move that was told. */
export const maxFormerHolders = 100;

/** Whether a name led to this person before it led to somebody else, whatever they were called since. */
export function hadName(tx: Transaction, name: UserName, interopId: InteropId): boolean {
  const gone = readGoneName(tx, interopId);
  return readFormer(tx, name).includes(interopId) || (gone !== undefined && isSameName(gone, name));
}

/** They are shown under the name and found by it; whoever had it is shown under it no more. */
export function writeContact(tx: Transaction, interopId: InteropId, name: UserName): void {
  const before = lastKnownAs(tx, name);
  if (before !== undefined && before !== interopId) {
    const former = [...readFormer(tx, name).filter(each => each !== before && each !== interopId), before];
    putJson(tx, 'contact', formerKey(name), former.slice(-maxFormerHolders));
  }
  const shown = before === undefined || before === interopId ? undefined : readContact(tx, before);
  if (shown !== undefined && isSameName(shown, name)) putRow(tx, before!, { ...shown, isGone: true });
  putRow(tx, interopId, name);
  putJson(tx, 'contact', nameKey(name), interopId);
}

/** Everybody whose name is known, in the order in which they became known. */
export function listContacts(tx: Transaction): { readonly interopId: InteropId; readonly name: UserName }[] {
  const found: { readonly interopId: InteropId; readonly name: UserName }[] = [];
  for (let after: number | undefined; ; ) {
    const rows = tx.list('contact', after === undefined ? {} : { after });
    for (const { key: interopId, value } of rows) {
      // The other rows lead from a name to an InteropId.
      if (interopId.startsWith('@')) continue;
      const row = readRowOf(decodeJson(value) as ContactRow);
      if (row?.isGone === false) found.push({ interopId, name: row.name });
    }
    if (rows.length === 0) return found;
    after = rows.at(-1)!.sequence;
  }
}

/** Nobody is found by a name. Who it led to stays known, so that nobody else takes it unseen. */
export function forgetContact(tx: Transaction, name: UserName): void {
  const last = lastKnownAs(tx, name);
  if (last !== undefined) putJson(tx, 'contact', nameKey(name), { goneSince: last });
}

function readRow(tx: Transaction, interopId: InteropId): ReturnType<typeof readRowOf> {
  const row = getJson<ContactRow>(tx, 'contact', interopId);
  return row === undefined ? undefined : readRowOf(row);
}

/** A store of an earlier version may hold a name in another form: that is nobody's. */
function readRowOf(row: ContactRow): { readonly name: UserName; readonly isGone: boolean } | undefined {
  const name = readUserName(row.provider, row.identifier);
  if (name === undefined || name.provider !== row.provider || name.identifier !== row.identifier) return undefined;
  return { name, isGone: row.isGone === true };
}

function putRow(tx: Transaction, interopId: InteropId, row: UserName & { readonly isGone?: true }): void {
  const { provider, identifier, isGone } = row;
  const gone = isGone === true ? { isGone } : {};
  const providerNumber = providerNumberOf(interopId);
  putJson(tx, 'contact', interopId, { provider, providerNumber, identifier, ...gone });
}

function readFormer(tx: Transaction, name: UserName): readonly InteropId[] {
  return getJson<InteropId[]>(tx, 'contact', formerKey(name)) ?? [];
}

/** Beside the name's own row and those of `moved-names.ts`: no provider's name begins so. */
function formerKey(name: UserName): string {
  return `@@@@${nameText(name)}`;
}

function nameKey(name: UserName): string {
  return `@${nameText(name)}`;
}
