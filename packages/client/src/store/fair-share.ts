// Rows that are kept for a person's decision, with a share for each person they are from: who sends much pushes out what came from
// others only while they have the larger share.
// Knows nothing of what the rows are.
// Source: docs/protocol/09-content.md section 9.7.
import type { InteropId } from '@drawbridge/wire/jid';
import { putJson } from './json-rows.ts';
import { getSound } from './sound-rows.ts';
import type { Transaction } from './store.ts';

type SharedTable = 'held' | 'asked' | 'evidence';
export type FairBound = { readonly perPerson: number; readonly inAll: number };

/** After a row of this person was written, with them as its scope. Gives the keys of the rows that went for it, oldest first. */
export function keepFairShares(
  tx: Transaction,
  table: SharedTable,
  person: InteropId,
  { perPerson, inAll }: FairBound,
): string[] {
  const name = `people ${table}`;
  const known = getSound<readonly InteropId[]>(tx, 'setting', name) ?? peopleOf(tx, table);
  const people = known.includes(person) ? known : [...known, person];
  const gone = evict(tx, table, person, perPerson);
  let shares = people.map(each => ({ person: each, rows: 0 }));
  // The names of people of whom nothing waits any more stand there until then.
  if (tx.count(table) > inAll || people.length > inAll) {
    shares = people.map(each => ({ person: each, rows: tx.count(table, each) })).filter(({ rows }) => rows > 0);
    while (shares.reduce((sum, { rows }) => sum + rows, 0) > inAll) {
      const largest = shares.reduce((a, b) => (b.rows > a.rows ? b : a));
      // A sixteenth of it at once, so that this is not done for each row.
      const left = Math.floor((largest.rows * 15) / 16);
      gone.push(...evict(tx, table, largest.person, left));
      shares = shares.map(each => (each === largest ? { ...each, rows: left } : each));
    }
  }
  const now = shares.map(each => each.person);
  if (now.length !== known.length || now.at(-1) !== known.at(-1)) putJson(tx, 'setting', name, now);
  return gone;
}

/** A store of an earlier version names nobody yet. */
function peopleOf(tx: Transaction, table: SharedTable): InteropId[] {
  const people = new Set<InteropId>();
  for (let after = 0; ; ) {
    const rows = tx.list(table, { after });
    for (const { key } of rows) people.add(key.split(/[/:]/)[0]!);
    if (rows.length === 0) return [...people];
    after = rows.at(-1)!.sequence;
  }
}

function evict(tx: Transaction, table: SharedTable, person: InteropId, left: number): string[] {
  const excess = tx.count(table, person) - left;
  if (excess <= 0) return [];
  const keys = tx.list(table, { scope: person, limit: excess }).map(({ key }) => key);
  for (const key of keys) tx.delete(table, key);
  return keys;
}
