// What people have decided about each other: first contacts are counted, decisions kept, the oldest forgotten.
// Runs in the storage workers. Knows nothing of stanzas or of who may reach whom; its arguments were checked at the edge.
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import { type Contact, type ContactState, isShut, stateAfter } from '../../consent/contact.ts';
import type { Admitted, AdmitArgs, ContactParty, DecideArgs, ListedContact } from '../../consent/contact-store.ts';
import { raiseVersion } from './account-commands.ts';
import { prepared } from './prepared.ts';

type Row = { state: ContactState; isOpen: number; loud: number; silent: number };
type Change = {
  readonly account: number;
  readonly key: string;
  readonly provider: number;
  readonly state: ContactState;
  readonly isOpen: boolean;
  readonly interopId: InteropId | undefined;
  readonly nowMs: number;
};

function find(db: DatabaseSync, account: number, key: string): Row | undefined {
  const select = prepared(
    db,
    'SELECT state, is_open AS isOpen, loud, silent FROM contact WHERE account = ? AND person = ?',
  );
  return select.get(account, key) as Row | undefined;
}

/** Keeps what was counted. Each change stands behind all earlier ones in the list. */
function put(db: DatabaseSync, change: Change, maxContacts: number): void {
  const { account, key, provider, state, isOpen, interopId, nowMs } = change;
  prepared(
    db,
    `INSERT INTO contact (account, person, provider, state, is_open, loud, silent, interop_id, changed_at, sequence)
     VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?7, (SELECT coalesce(max(sequence), 0) + 1 FROM contact WHERE account = ?1))
     ON CONFLICT (account, person) DO UPDATE SET state = ?4, is_open = ?5, interop_id = coalesce(?6, interop_id),
       changed_at = ?7, sequence = excluded.sequence`,
  ).run(account, key, provider, state, isOpen ? 1 : 0, interopId ?? null, nowMs);
  forgetOldest(db, account, maxContacts, "state <> 'blocked'");
  raiseVersion(db, account);
}

function forgetOldest(db: DatabaseSync, account: number, max: number, which: string): void {
  const count = countOf(db, account, which);
  if (count <= max) return;
  prepared(
    db,
    `DELETE FROM contact WHERE account = ?1 AND person IN
     (SELECT person FROM contact WHERE account = ?1 AND ${which} ORDER BY sequence LIMIT ?2)`,
  ).run(account, count - max);
}

function countOf(db: DatabaseSync, account: number, which: string): number {
  const select = prepared(db, `SELECT count(*) AS count FROM contact WHERE account = ? AND ${which}`);
  return (select.get(account) as { count: number }).count;
}

function isSharedBlock(db: DatabaseSync, account: number, about: ContactParty): boolean {
  const { sharedKey } = about.contacts;
  return sharedKey !== undefined && about.provider !== 0 && find(db, account, sharedKey) !== undefined;
}

/** The recipient's side of a message of somebody whom they have not accepted. */
function count(db: DatabaseSync, args: AdmitArgs): Pick<Admitted, 'kind' | 'requested'> {
  const { from, to, isLoud, isSmall, nowMs } = args;
  const { key } = from.contacts;
  const row = find(db, to.row, key);
  const refused = isSharedBlock(db, to.row, from) || isShut(row as Contact | undefined);
  if (row?.isOpen === 1) return { kind: refused ? 'shut' : 'open', requested: false };
  if (isLoud && !isSmall) return { kind: 'too-large', requested: false };
  const counted = (isLoud ? row?.loud : row?.silent) ?? 0;
  if (counted >= args.maxMessages) return { kind: isLoud ? 'too-many' : 'shut', requested: false };
  // A silent one alone asks for nothing.
  if (!isSmall || (!isLoud && row === undefined)) return { kind: 'shut', requested: false };
  const requested = row === undefined;
  if (requested) {
    const { interopId, provider } = from;
    // Somebody whose identifier is blocked wherever it comes from asks for nothing.
    const state = refused ? 'denied' : 'request';
    put(db, { account: to.row, key, provider, state, isOpen: false, interopId, nowMs }, args.maxContacts);
    forgetOldest(db, to.row, args.maxWaiting, "state = 'request'");
  }
  const column = isLoud ? 'loud' : 'silent';
  prepared(db, `UPDATE contact SET ${column} = ${column} + 1, interop_id = ? WHERE account = ? AND person = ?`).run(
    from.interopId,
    to.row,
    key,
  );
  return { kind: refused ? 'shut' : 'open', requested: requested && !refused };
}

export const contactWrites = {
  contactAdmit(db: DatabaseSync, args: AdmitArgs): Admitted {
    const { from, to } = args;
    const there = prepared(db, 'SELECT 1 FROM account WHERE row = ?');
    // Whoever went meanwhile is told by the mailbox.
    if (there.get(from.row) === undefined || there.get(to.row) === undefined) {
      return { kind: 'open', accepted: false, requested: false };
    }
    const judged = args.isFirst ? count(db, args) : ({ kind: 'open', requested: false } as const);
    if (!args.accepts || judged.kind === 'too-many' || judged.kind === 'too-large')
      return { ...judged, accepted: false };
    const { key } = to.contacts;
    const { interopId, provider } = to;
    const row = find(db, from.row, key);
    if (row?.state === 'accepted' || row?.state === 'blocked') return { ...judged, accepted: false };
    const change = { account: from.row, key, provider, state: 'accepted', isOpen: true, interopId } as const;
    put(db, { ...change, nowMs: args.nowMs }, args.maxContacts);
    return { ...judged, accepted: true };
  },

  contactDecide(db: DatabaseSync, args: DecideArgs): ContactState | 'full' | undefined {
    const { account, about, decision, maxContacts, nowMs } = args;
    const { interopId, provider } = about;
    const { key, sharedKey } = about.contacts;
    const row = find(db, account, key);
    if (decision === 'unblock' && row?.state !== 'blocked') return row?.state;
    if (decision === 'block' && row?.state !== 'blocked' && countOf(db, account, "state = 'blocked'") >= maxContacts) {
      return 'full';
    }
    const isOpen = decision === 'accept' || (row === undefined ? args.isOpen : row.isOpen === 1);
    const change = { account, key, provider, isOpen, interopId, nowMs };
    if (sharedKey !== undefined) {
      if (decision === 'accept' || decision === 'unblock') {
        prepared(db, 'DELETE FROM contact WHERE account = ? AND person = ?').run(account, sharedKey);
      } else if (decision === 'block') {
        put(db, { ...change, key: sharedKey, state: 'blocked', interopId: undefined }, maxContacts);
      }
    }
    if (decision === 'unblock' && !isOpen) {
      prepared(db, 'DELETE FROM contact WHERE account = ? AND person = ?').run(account, key);
      raiseVersion(db, account);
      return undefined;
    }
    const state = stateAfter[decision];
    if (row?.state !== state) put(db, { ...change, state }, maxContacts);
    return state;
  },
};

export const contactReads = {
  contactPage(db: DatabaseSync, args: { account: number; after: number; limit: number }): ListedContact[] {
    const select = prepared(
      db,
      `SELECT interop_id AS interopId, state, sequence FROM contact
       WHERE account = ? AND sequence > ? AND interop_id IS NOT NULL ORDER BY sequence LIMIT ?`,
    );
    return select.all(args.account, args.after, args.limit).map(row => ({ ...(row as unknown as ListedContact) }));
  },

  contactFindKey(
    db: DatabaseSync,
    args: { account: number; interopId: InteropId },
  ): { key: string; provider: number } | undefined {
    const select = prepared(db, 'SELECT person AS key, provider FROM contact WHERE account = ? AND interop_id = ?');
    const row = select.get(args.account, args.interopId) as { key: string; provider: number } | undefined;
    return row === undefined ? undefined : { ...row };
  },
};
