// What people have decided about each other, on PostgreSQL; what a message or a decision changes is said by
// consent/contact-rules.ts. Every change locks the accounts first. Knows nothing of stanzas or of who may reach whom; its arguments were checked at the edge.
import type { InteropId } from '@drawbridge/wire/jid';
import { type Contact, type ContactState, providerKey } from '../../consent/contact.ts';
import {
  admitChanges,
  type ContactChange,
  decideChanges,
  type KeptContact,
  sharedKeyOf,
} from '../../consent/contact-rules.ts';
import type { Admitted, AdmitArgs, ContactStore, DecideArgs } from '../../consent/contact-store.ts';
import type { Database, Sql } from './database.ts';
import { raiseVersion } from './devices.ts';

/** What one person has kept about whoever has this key. */
export async function findContact(
  sql: Sql,
  account: number,
  key: string | undefined,
): Promise<KeptContact | undefined> {
  if (key === undefined) return undefined;
  const [found] = await sql.rows<KeptContact>(
    `SELECT state, is_open AS "isOpen", loud, silent, carried AS "isCarried" FROM contact
     WHERE account = $1 AND person = $2`,
    [account, key],
  );
  return found;
}

/** Locks the accounts that are there until the transaction ends; the same order everywhere. */
export async function lockAccounts(sql: Sql, rows: readonly number[]): Promise<number> {
  const text = 'SELECT row FROM account WHERE row = ANY ($1::bigint[]) ORDER BY row FOR UPDATE';
  return (await sql.rows(text, [rows])).length;
}

const ownBlocks = "state = 'blocked' AND NOT carried";
const whichOf = { requests: "state = 'request'", decisions: "state <> 'blocked' AND NOT carried" } as const;

async function countOf(sql: Sql, account: number, which: string): Promise<number> {
  const text = `SELECT count(*) AS count FROM contact WHERE account = $1 AND ${which}`;
  return (await sql.rows<{ count: number }>(text, [account]))[0]!.count;
}

async function forgetOldest(sql: Sql, account: number, max: number, which: keyof typeof whichOf): Promise<void> {
  const count = await countOf(sql, account, whichOf[which]);
  if (count <= max) return;
  await sql.change(
    `DELETE FROM contact WHERE account = $1 AND person IN
       (SELECT person FROM contact WHERE account = $1 AND ${whichOf[which]} ORDER BY sequence LIMIT $2)`,
    [account, count - max],
  );
}

type Carried = Extract<ContactChange, { readonly kind: 'bound-carried' }>;

async function forgetOldestCarried(sql: Sql, { account, provider, state, max }: Carried): Promise<void> {
  const forgotten = await sql.change(
    `DELETE FROM contact WHERE account = $1 AND person IN
       (SELECT person FROM contact WHERE account = $1 AND carried AND provider = $2 AND state = $3
        ORDER BY sequence DESC OFFSET $4)`,
    [account, provider, state, max],
  );
  if (forgotten > 0) await raiseVersion(sql, account);
}

export async function makeContactChange(sql: Sql, change: ContactChange, nowMs: number): Promise<void> {
  const { account } = change;
  switch (change.kind) {
    case 'put': {
      const { key, provider, state, isOpen, interopId, isCarried = false } = change;
      await sql.change(
        `INSERT INTO contact
           (account, person, provider, state, is_open, loud, silent, interop_id, changed_at, sequence, carried)
         VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7,
           (SELECT coalesce(max(sequence), 0) + 1 FROM contact WHERE account = $1), $8)
         ON CONFLICT (account, person) DO UPDATE SET state = excluded.state, is_open = excluded.is_open,
           interop_id = coalesce(excluded.interop_id, contact.interop_id), changed_at = excluded.changed_at,
           sequence = excluded.sequence, carried = excluded.carried`,
        [account, key, provider, state, isOpen, interopId ?? null, nowMs, isCarried],
      );
      await raiseVersion(sql, account);
      return;
    }
    case 'carry': {
      const { key, provider, interopId } = change;
      await sql.change(
        `INSERT INTO contact
           (account, person, provider, state, is_open, loud, silent, interop_id, changed_at, sequence, carried)
         VALUES ($1, $2, $3, 'blocked', false, 0, 0, $4, $5,
           (SELECT coalesce(max(sequence), 0) + 1 FROM contact WHERE account = $1), true)
         ON CONFLICT (account, person) DO UPDATE SET state = 'blocked', interop_id = excluded.interop_id,
           changed_at = excluded.changed_at, sequence = excluded.sequence, carried = true`,
        [account, key, provider, interopId, nowMs],
      );
      await raiseVersion(sql, account);
      return;
    }
    case 'move': {
      const values = [account, change.key, change.to];
      await sql.change('UPDATE contact SET person = $3 WHERE account = $1 AND person = $2', values);
      await raiseVersion(sql, account);
      return;
    }
    case 'bound-carried':
      await forgetOldestCarried(sql, change);
      return;
    case 'forget': {
      const values = [account, change.key];
      if ((await sql.change('DELETE FROM contact WHERE account = $1 AND person = $2', values)) > 0) {
        await raiseVersion(sql, account);
      }
      return;
    }
    case 'count': {
      const column = change.isLoud ? 'loud' : 'silent';
      await sql.change(
        `UPDATE contact SET ${column} = ${column} + 1, interop_id = $1 WHERE account = $2 AND person = $3`,
        [change.interopId, account, change.key],
      );
      return;
    }
    case 'bound':
      await forgetOldest(sql, account, change.max, change.which);
  }
}

async function admit(sql: Sql, args: AdmitArgs): Promise<Admitted> {
  const { from, to, nowMs } = args;
  // Whoever went meanwhile is told by the mailbox.
  if ((await lockAccounts(sql, [from.row, to.row])) < 2) return { kind: 'open', accepted: false, requested: false };
  const { admitted, changes } = admitChanges(args, {
    theirs: await findContact(sql, to.row, from.contacts.key),
    isBlockedByIdentifier: (await findContact(sql, to.row, sharedKeyOf(from))) !== undefined,
    isBlockedByProvider: (await findContact(sql, to.row, providerKey(from.provider))) !== undefined,
    mine: await findContact(sql, from.row, to.contacts.key),
  });
  for (const change of changes) await makeContactChange(sql, change, nowMs);
  return admitted;
}

async function decide(sql: Sql, args: DecideArgs): Promise<ContactState | 'full' | undefined> {
  const { account, about, nowMs } = args;
  await lockAccounts(sql, [account]);
  const kept = await findContact(sql, account, about.contacts.key);
  const { state, changes } = decideChanges(args, { kept, blocked: await countOf(sql, account, ownBlocks) });
  for (const change of changes) await makeContactChange(sql, change, nowMs);
  return state;
}

/** Decisions of one person, by whom they are about; with `onlyAbout` the one alone that is kept under this key. */
export async function decisionsOf(
  database: Database,
  account: number,
  onlyAbout: string | undefined,
): Promise<ReadonlyMap<string, Contact>> {
  const rows = await database.rows<{
    person: string;
    state: ContactState;
    isOpen: boolean;
    interopId: InteropId | null;
  }>(
    `SELECT person, state, is_open AS "isOpen", interop_id AS "interopId" FROM contact
     WHERE account = $1${onlyAbout === undefined ? '' : ' AND person = $2'}`,
    onlyAbout === undefined ? [account] : [account, onlyAbout],
  );
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
         WHERE account = $1 AND sequence > $2 AND interop_id IS NOT NULL AND NOT (carried AND state = 'denied')
         ORDER BY sequence LIMIT $3`,
        [account, after, limit],
      ),
    findKey: (account, interopId) =>
      database.row('SELECT person AS key, provider FROM contact WHERE account = $1 AND interop_id = $2', [
        account,
        interopId,
      ]),
  };
}
