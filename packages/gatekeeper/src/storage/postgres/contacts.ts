// What people have decided about each other, on PostgreSQL: the rules are those of sqlite/contact-commands.ts. Every change
// locks the accounts first. Knows nothing of stanzas or of who may reach whom; its arguments were checked at the edge.
import type { InteropId } from '@drawbridge/wire/jid';
import { type Contact, type ContactState, isShut, stateAfter } from '../../consent/contact.ts';
import type { Admitted, AdmitArgs, ContactParty, ContactStore, DecideArgs } from '../../consent/contact-store.ts';
import type { Database, Sql } from './database.ts';
import { raiseVersion } from './devices.ts';

type Row = { readonly state: ContactState; readonly isOpen: boolean; readonly loud: number; readonly silent: number };
type Change = {
  readonly account: number;
  readonly key: string;
  readonly provider: number;
  readonly state: ContactState;
  readonly isOpen: boolean;
  readonly interopId: InteropId | undefined;
  readonly nowMs: number;
};

async function find(sql: Sql, account: number, key: string): Promise<Row | undefined> {
  const text = 'SELECT state, is_open AS "isOpen", loud, silent FROM contact WHERE account = $1 AND person = $2';
  return (await sql.rows<Row>(text, [account, key]))[0];
}

/** Locks the accounts that are there until the transaction ends; the same order everywhere. */
async function lockAccounts(sql: Sql, rows: readonly number[]): Promise<number> {
  const text = 'SELECT row FROM account WHERE row = ANY ($1::bigint[]) ORDER BY row FOR UPDATE';
  return (await sql.rows(text, [rows])).length;
}

async function countOf(sql: Sql, account: number, which: string): Promise<number> {
  const text = `SELECT count(*) AS count FROM contact WHERE account = $1 AND ${which}`;
  return (await sql.rows<{ count: number }>(text, [account]))[0]!.count;
}

async function forgetOldest(sql: Sql, account: number, max: number, which: string): Promise<void> {
  const count = await countOf(sql, account, which);
  if (count <= max) return;
  await sql.change(
    `DELETE FROM contact WHERE account = $1 AND person IN
       (SELECT person FROM contact WHERE account = $1 AND ${which} ORDER BY sequence LIMIT $2)`,
    [account, count - max],
  );
}

async function put(sql: Sql, change: Change, maxContacts: number): Promise<void> {
  const { account, key, provider, state, isOpen, interopId, nowMs } = change;
  await sql.change(
    `INSERT INTO contact (account, person, provider, state, is_open, loud, silent, interop_id, changed_at, sequence)
     VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, (SELECT coalesce(max(sequence), 0) + 1 FROM contact WHERE account = $1))
     ON CONFLICT (account, person) DO UPDATE SET state = excluded.state, is_open = excluded.is_open,
       interop_id = coalesce(excluded.interop_id, contact.interop_id), changed_at = excluded.changed_at,
       sequence = excluded.sequence`,
    [account, key, provider, state, isOpen, interopId ?? null, nowMs],
  );
  await forgetOldest(sql, account, maxContacts, "state <> 'blocked'");
  await raiseVersion(sql, account);
}

async function isSharedBlock(sql: Sql, account: number, about: ContactParty): Promise<boolean> {
  const { sharedKey } = about.contacts;
  return sharedKey !== undefined && about.provider !== 0 && (await find(sql, account, sharedKey)) !== undefined;
}

async function count(sql: Sql, args: AdmitArgs): Promise<Pick<Admitted, 'kind' | 'requested'>> {
  const { from, to, isLoud, isSmall, nowMs } = args;
  const { key } = from.contacts;
  const row = await find(sql, to.row, key);
  const refused = (await isSharedBlock(sql, to.row, from)) || isShut(row as Contact | undefined);
  if (row?.isOpen === true) return { kind: refused ? 'shut' : 'open', requested: false };
  if (isLoud && !isSmall) return { kind: 'too-large', requested: false };
  const counted = (isLoud ? row?.loud : row?.silent) ?? 0;
  if (counted >= args.maxMessages) return { kind: isLoud ? 'too-many' : 'shut', requested: false };
  if (!isSmall || (!isLoud && row === undefined)) return { kind: 'shut', requested: false };
  const requested = row === undefined;
  if (requested) {
    const state = refused ? 'denied' : 'request';
    const { interopId, provider } = from;
    await put(sql, { account: to.row, key, provider, state, isOpen: false, interopId, nowMs }, args.maxContacts);
    await forgetOldest(sql, to.row, args.maxWaiting, "state = 'request'");
  }
  const column = isLoud ? 'loud' : 'silent';
  await sql.change(`UPDATE contact SET ${column} = ${column} + 1, interop_id = $1 WHERE account = $2 AND person = $3`, [
    from.interopId,
    to.row,
    key,
  ]);
  return { kind: refused ? 'shut' : 'open', requested: requested && !refused };
}

async function admit(sql: Sql, args: AdmitArgs): Promise<Admitted> {
  const { from, to } = args;
  if ((await lockAccounts(sql, [from.row, to.row])) < 2) return { kind: 'open', accepted: false, requested: false };
  const judged = args.isFirst ? await count(sql, args) : ({ kind: 'open', requested: false } as const);
  if (!args.accepts || judged.kind === 'too-many' || judged.kind === 'too-large') return { ...judged, accepted: false };
  const { key } = to.contacts;
  const row = await find(sql, from.row, key);
  if (row?.state === 'accepted' || row?.state === 'blocked') return { ...judged, accepted: false };
  const { interopId, provider } = to;
  const change = { account: from.row, key, provider, state: 'accepted', isOpen: true, interopId } as const;
  await put(sql, { ...change, nowMs: args.nowMs }, args.maxContacts);
  return { ...judged, accepted: true };
}

async function decide(sql: Sql, args: DecideArgs): Promise<ContactState | 'full' | undefined> {
  const { account, about, decision, maxContacts, nowMs } = args;
  const { interopId, provider } = about;
  const { key, sharedKey } = about.contacts;
  await lockAccounts(sql, [account]);
  const row = await find(sql, account, key);
  if (decision === 'unblock' && row?.state !== 'blocked') return row?.state;
  if (decision === 'block' && row?.state !== 'blocked') {
    if ((await countOf(sql, account, "state = 'blocked'")) >= maxContacts) return 'full';
  }
  const isOpen = decision === 'accept' || (row === undefined ? args.isOpen : row.isOpen);
  const change = { account, key, provider, isOpen, interopId, nowMs };
  const forget = async (person: string): Promise<void> => {
    await sql.change('DELETE FROM contact WHERE account = $1 AND person = $2', [account, person]);
    await raiseVersion(sql, account);
  };
  if (sharedKey !== undefined && (decision === 'accept' || decision === 'unblock')) await forget(sharedKey);
  if (sharedKey !== undefined && decision === 'block') {
    await put(sql, { ...change, key: sharedKey, state: 'blocked', interopId: undefined }, maxContacts);
  }
  if (decision === 'unblock' && !isOpen) {
    await forget(key);
    return undefined;
  }
  const state = stateAfter[decision];
  if (row?.state !== state) await put(sql, { ...change, state }, maxContacts);
  return state;
}

/** All decisions of one person, by whom they are about. */
export async function decisionsOf(database: Database, account: number): Promise<ReadonlyMap<string, Contact>> {
  const rows = await database.rows<{
    person: string;
    state: ContactState;
    isOpen: boolean;
    interopId: InteropId | null;
  }>('SELECT person, state, is_open AS "isOpen", interop_id AS "interopId" FROM contact WHERE account = $1', [account]);
  return new Map(
    rows.map(({ person, interopId, ...rest }) => [person, { ...rest, interopId: interopId ?? undefined }]),
  );
}

export function postgresContacts(database: Database): ContactStore {
  return {
    admit: args => database.transaction(sql => admit(sql, args)),
    decide: args => database.transaction(sql => decide(sql, args)),
    page: (account, after, limit) =>
      database.rows(
        `SELECT interop_id AS "interopId", state, sequence FROM contact
         WHERE account = $1 AND sequence > $2 AND interop_id IS NOT NULL ORDER BY sequence LIMIT $3`,
        [account, after, limit],
      ),
    findKey: (account, interopId) =>
      database.row('SELECT person AS key, provider FROM contact WHERE account = $1 AND interop_id = $2', [
        account,
        interopId,
      ]),
  };
}
