// What people have decided about each other, kept; what a message or a decision changes is said by consent/contact-rules.ts.
// Runs in the storage workers. Knows nothing of stanzas or of who may reach whom; its arguments were checked at the edge.
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import { type ContactState, providerKey } from '../../consent/contact.ts';
import {
  admitChanges,
  type ContactChange,
  decideChanges,
  type KeptContact,
  sharedKeyOf,
} from '../../consent/contact-rules.ts';
import type { Admitted, AdmitArgs, DecideArgs, ListedContact } from '../../consent/contact-store.ts';
import { raiseVersion } from './account-commands.ts';
import { prepared } from './prepared.ts';

type Row = Omit<KeptContact, 'isOpen' | 'isCarried'> & { readonly isOpen: number; readonly isCarried: number };

/** What one person has kept about whoever has this key. */
export function findContact(db: DatabaseSync, account: number, key: string): KeptContact | undefined {
  const select = prepared(
    db,
    `SELECT state, is_open AS isOpen, loud, silent, carried AS isCarried FROM contact
     WHERE account = ? AND person = ?`,
  );
  const row = select.get(account, key) as Row | undefined;
  return row === undefined ? undefined : { ...row, isOpen: row.isOpen === 1, isCarried: row.isCarried === 1 };
}

function isThere(db: DatabaseSync, account: number): boolean {
  return prepared(db, 'SELECT 1 FROM account WHERE row = ?').get(account) !== undefined;
}

const ownBlocks = "state = 'blocked' AND carried = 0";
const whichOf = { requests: "state = 'request'", decisions: "state <> 'blocked' AND carried = 0" } as const;

function forgetOldest(db: DatabaseSync, account: number, max: number, which: keyof typeof whichOf): void {
  const count = countOf(db, account, whichOf[which]);
  if (count <= max) return;
  prepared(
    db,
    `DELETE FROM contact WHERE account = ?1 AND person IN
     (SELECT person FROM contact WHERE account = ?1 AND ${whichOf[which]} ORDER BY sequence LIMIT ?2)`,
  ).run(account, count - max);
}

function countOf(db: DatabaseSync, account: number, which: string): number {
  const select = prepared(db, `SELECT count(*) AS count FROM contact WHERE account = ? AND ${which}`);
  return (select.get(account) as { count: number }).count;
}

type Carried = Extract<ContactChange, { readonly kind: 'bound-carried' }>;

function forgetOldestCarried(db: DatabaseSync, { account, provider, state, max }: Carried): void {
  const { changes } = prepared(
    db,
    `DELETE FROM contact WHERE account = ?1 AND person IN
     (SELECT person FROM contact WHERE account = ?1 AND carried = 1 AND provider = ?2 AND state = ?3
      ORDER BY sequence DESC LIMIT -1 OFFSET ?4)`,
  ).run(account, provider, state, max);
  if (Number(changes) > 0) raiseVersion(db, account);
}

export function makeContactChange(db: DatabaseSync, change: ContactChange, nowMs: number): void {
  const { account } = change;
  switch (change.kind) {
    case 'put': {
      const { key, provider, state, isOpen, interopId, isCarried = false } = change;
      prepared(
        db,
        `INSERT INTO contact
           (account, person, provider, state, is_open, loud, silent, interop_id, changed_at, sequence, carried)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?7,
           (SELECT coalesce(max(sequence), 0) + 1 FROM contact WHERE account = ?1), ?8)
         ON CONFLICT (account, person) DO UPDATE SET state = ?4, is_open = ?5, interop_id = coalesce(?6, interop_id),
           changed_at = ?7, sequence = excluded.sequence, carried = ?8`,
      ).run(account, key, provider, state, isOpen ? 1 : 0, interopId ?? null, nowMs, isCarried ? 1 : 0);
      raiseVersion(db, account);
      return;
    }
    case 'carry': {
      const { key, provider, interopId } = change;
      prepared(
        db,
        `INSERT INTO contact
           (account, person, provider, state, is_open, loud, silent, interop_id, changed_at, sequence, carried)
         VALUES (?1, ?2, ?3, 'blocked', 0, 0, 0, ?4, ?5,
           (SELECT coalesce(max(sequence), 0) + 1 FROM contact WHERE account = ?1), 1)
         ON CONFLICT (account, person) DO UPDATE SET state = 'blocked', interop_id = ?4, changed_at = ?5,
           sequence = excluded.sequence, carried = 1`,
      ).run(account, key, provider, interopId, nowMs);
      raiseVersion(db, account);
      return;
    }
    case 'move':
      prepared(db, 'UPDATE contact SET person = ? WHERE account = ? AND person = ?').run(
        change.to,
        account,
        change.key,
      );
      raiseVersion(db, account);
      return;
    case 'bound-carried':
      forgetOldestCarried(db, change);
      return;
    case 'forget': {
      const { changes } = prepared(db, 'DELETE FROM contact WHERE account = ? AND person = ?').run(account, change.key);
      if (Number(changes) > 0) raiseVersion(db, account);
      return;
    }
    case 'count': {
      const column = change.isLoud ? 'loud' : 'silent';
      const text = `UPDATE contact SET ${column} = ${column} + 1, interop_id = ? WHERE account = ? AND person = ?`;
      prepared(db, text).run(change.interopId, account, change.key);
      return;
    }
    case 'bound':
      forgetOldest(db, account, change.max, change.which);
  }
}

export const contactWrites = {
  contactAdmit(db: DatabaseSync, args: AdmitArgs): Admitted {
    const { from, to, nowMs } = args;
    // Whoever went meanwhile is told by the mailbox.
    if (!isThere(db, from.row) || !isThere(db, to.row)) return { kind: 'open', accepted: false, requested: false };
    const sharedKey = sharedKeyOf(from);
    const { admitted, changes } = admitChanges(args, {
      theirs: findContact(db, to.row, from.contacts.key),
      isBlockedByIdentifier: sharedKey !== undefined && findContact(db, to.row, sharedKey) !== undefined,
      isBlockedByProvider: findContact(db, to.row, providerKey(from.provider)) !== undefined,
      mine: findContact(db, from.row, to.contacts.key),
    });
    for (const change of changes) makeContactChange(db, change, nowMs);
    return admitted;
  },

  contactDecide(db: DatabaseSync, args: DecideArgs): ContactState | 'full' | undefined {
    const { account, about, nowMs } = args;
    const kept = findContact(db, account, about.contacts.key);
    const { state, changes } = decideChanges(args, { kept, blocked: countOf(db, account, ownBlocks) });
    for (const change of changes) makeContactChange(db, change, nowMs);
    return state;
  },
};

export const contactReads = {
  contactPage(db: DatabaseSync, args: { account: number; after: number; limit: number }): ListedContact[] {
    const select = prepared(
      db,
      `SELECT interop_id AS interopId, state, sequence FROM contact
       WHERE account = ? AND sequence > ? AND interop_id IS NOT NULL AND NOT (carried = 1 AND state = 'denied')
       ORDER BY sequence LIMIT ?`,
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
