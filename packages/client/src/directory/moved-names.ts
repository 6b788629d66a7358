// Names about which the directory says something that is not believed: each waits until a person decides, or was refused.
// Rows of the store, in a transaction of the caller.
// Knows nothing of why a name is not believed (`heard-names.ts`).
// Source: docs/protocol/09-content.md section 9.4.
import type { InteropId } from '@drawbridge/wire/jid';
import { ClientError } from '../errors.ts';
import { decodeJson } from '../store/json-bytes.ts';
import { getJson, putJson } from '../store/json-rows.ts';
import type { Transaction } from '../store/store.ts';
import { writeContact } from './contact-records.ts';
import { nameText, needUserName, readUserName, type UserName } from './user-name.ts';

export const movedNameLimits = {
  /** Answers about one name that a person has refused; the oldest go, and would be asked about again. */
  refused: 100,
  /** Further names of people that wait for a person; beyond these they are refused, and nobody is asked. */
  further: 100,
} as const;

/** A name that is said to lead to somebody; as in the notices `contact-moved` and `contact-renamed`. */
export type Move = { readonly provider: string; readonly identifier: string; readonly interopId: InteropId };

/** `before`: who has the name; undefined when it is a further name of somebody who is known. */
export type WaitingName = {
  readonly name: UserName;
  readonly before: InteropId | undefined;
  readonly interopId: InteropId;
};

type MoveRow = Move & { readonly before?: InteropId; readonly state: 'pending' | 'refused' };

/** What waits about a name: one answer at a time. */
export function readWaiting(tx: Transaction, name: UserName): WaitingName | undefined {
  const row = getJson<MoveRow>(tx, 'contact', moveKey(name));
  return row === undefined ? undefined : waitingOf(row);
}

/** All that waits for a decision, the oldest first. */
export function listWaiting(tx: Transaction): WaitingName[] {
  const found: WaitingName[] = [];
  for (let after: number | undefined; ; ) {
    const rows = tx.list('contact', { scope: moveScope, ...(after === undefined ? {} : { after }) });
    if (rows.length === 0) return found;
    for (const { value } of rows)
      found.push(...[waitingOf(decodeJson(value) as MoveRow)].filter(each => each !== undefined));
    after = rows.at(-1)!.sequence;
  }
}

/** Whether it waits now: a flood of further names has a bound. */
export function addWaiting(tx: Transaction, { name, before, interopId }: WaitingName): boolean {
  if (
    before === undefined &&
    listWaiting(tx).filter(each => each.before === undefined).length >= movedNameLimits.further
  )
    return false;
  const { provider, identifier } = name;
  // A store of an earlier version has one of them in the row that is written now.
  const refused = readRefused(tx, name);
  if (refused.length > 0) putJson(tx, 'contact', refusedKey(name), refused);
  const row = {
    provider,
    identifier,
    ...(before === undefined ? {} : { before }),
    interopId,
    state: 'pending' as const,
  };
  putJson(tx, 'contact', moveKey(name), row satisfies MoveRow, moveScope);
  return true;
}

export function isRefused(tx: Transaction, name: UserName, interopId: InteropId): boolean {
  return readRefused(tx, name).includes(interopId);
}

/** The name leads to that person from now on. */
export function acceptName(tx: Transaction, move: Move): void {
  const { name, interopId } = needWaiting(tx, move);
  tx.delete('contact', moveKey(name));
  writeContact(tx, interopId, name);
}

/** The name stays as it was; the same answer is not asked about again. */
export function refuseName(tx: Transaction, move: Move): void {
  const { name, interopId } = needWaiting(tx, move);
  const refused = [...readRefused(tx, name).filter(each => each !== interopId), interopId];
  tx.delete('contact', moveKey(name));
  putJson(tx, 'contact', refusedKey(name), refused.slice(-movedNameLimits.refused));
}

/** Whether a name waits that this person had, or is said to have taken from another. */
export function isMoving(tx: Transaction, interopId: InteropId): boolean {
  return moveOf(tx, interopId) !== undefined;
}

/** Nothing that a person says goes to either side of such a name. Throws `untrusted-identity`. */
export function refuseWhileMoved(tx: Transaction, interopId: InteropId): void {
  const move = moveOf(tx, interopId);
  if (move !== undefined) throw unbelieved(move.name);
}

export function unbelieved({ provider, identifier }: UserName): ClientError {
  const detail = `${identifier} at ${provider} is said to be another person than was known; decide about it in contacts.moves`;
  return new ClientError('untrusted-identity', { detail });
}

/** A further name takes nothing from anybody: its person is written to under the names that they have. */
function moveOf(tx: Transaction, interopId: InteropId): WaitingName | undefined {
  return listWaiting(tx).find(
    each => each.before !== undefined && (each.before === interopId || each.interopId === interopId),
  );
}

/** Exactly what the person was shown. */
function needWaiting(tx: Transaction, { provider, identifier, interopId }: Move): WaitingName {
  const waiting = readWaiting(tx, needUserName(provider, identifier));
  if (waiting?.interopId === interopId) return waiting;
  throw new ClientError('identity-unknown', { detail: 'no such name waits for a decision' });
}

/** A store of an earlier version keeps the last refused one in this row, and may hold another form of a name. */
function waitingOf({ provider, identifier, before, interopId, state }: MoveRow): WaitingName | undefined {
  const name = readUserName(provider, identifier);
  return name === undefined || state === 'refused' ? undefined : { name, before, interopId };
}

function readRefused(tx: Transaction, name: UserName): readonly InteropId[] {
  const row = getJson<MoveRow>(tx, 'contact', moveKey(name));
  const earlier = row?.state === 'refused' ? [row.interopId] : [];
  return [...earlier, ...(getJson<InteropId[]>(tx, 'contact', refusedKey(name)) ?? [])];
}

const moveScope = 'moves';

/** These keys begin as no name's do: a provider is called by its DNS name. */
function moveKey(name: UserName): string {
  return `@@${nameText(name)}`;
}

function refusedKey(name: UserName): string {
  return `@@@${nameText(name)}`;
}
