// Links by which strangers come to a person. Runs in the storage workers. Knows no secrets.
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { ContactLink, ContactLinkStore } from '../../consent/contact-link-store.ts';
import { redeemChanges } from '../../consent/contact-rules.ts';
import { raiseVersion } from './account-commands.ts';
import { findContact, makeContactChange } from './contact-commands.ts';
import { prepared } from './prepared.ts';

type Args<Name extends keyof ContactLinkStore> = Parameters<ContactLinkStore[Name]>[0];

const inForce = 'uses_left > 0 AND expires_at > ?';

export const linkReads = {
  linkList(db: DatabaseSync, args: { account: number; judgeMs: number }): ContactLink[] {
    const text = `SELECT digest, uses_left AS usesLeft, expires_at AS expiresAtMs FROM contact_link
      WHERE account = ? AND ${inForce} ORDER BY expires_at, digest`;
    return prepared(db, text)
      .all(args.account, args.judgeMs)
      .map(row => ({ ...(row as unknown as ContactLink) }));
  },

  linkOwner(db: DatabaseSync, args: { digest: Uint8Array; judgeMs: number }): InteropId | undefined {
    const text = `SELECT interop_id AS owner FROM contact_link JOIN account ON account.row = contact_link.account
      WHERE digest = ? AND ${inForce}`;
    return prepared(db, text).get(args.digest, args.judgeMs)?.['owner'] as InteropId | undefined;
  },
};

export const linkWrites = {
  linkAdd(db: DatabaseSync, link: Args<'add'>): 'added' | 'full' | 'taken' {
    const { account, digest, usesLeft, expiresAtMs, judgeMs, max } = link;
    const known = prepared(db, 'SELECT account FROM contact_link WHERE digest = ?').get(digest);
    if (known !== undefined) return known['account'] === account ? 'added' : 'taken';
    prepared(db, `DELETE FROM contact_link WHERE account = ? AND NOT (${inForce})`).run(account, judgeMs);
    const count = prepared(db, 'SELECT count(*) AS count FROM contact_link WHERE account = ?').get(account);
    if (Number(count?.['count']) >= max) return 'full';
    prepared(
      db,
      `INSERT INTO contact_link (digest, account, uses_left, expires_at)
       SELECT ?, row, ?, ? FROM account WHERE row = ?`,
    ).run(digest, usesLeft, expiresAtMs, account);
    return 'added';
  },

  linkRemove(db: DatabaseSync, args: { account: number; digest: Uint8Array }): void {
    prepared(db, 'DELETE FROM contact_link WHERE account = ? AND digest = ?').run(args.account, args.digest);
  },

  linkRedeem(db: DatabaseSync, redemption: Args<'redeem'>): 'accepted' | 'same' | 'gone' {
    const { digest, owner, by, nowMs, judgeMs } = redemption;
    const text = `SELECT 1 FROM contact_link WHERE digest = ? AND account = ? AND ${inForce}`;
    if (prepared(db, text).get(digest, owner, judgeMs) === undefined) return 'gone';
    const { outcome, changes } = redeemChanges(redemption, findContact(db, owner, by.contacts.key));
    if (outcome === 'same') return 'same';
    prepared(db, 'UPDATE contact_link SET uses_left = uses_left - 1 WHERE digest = ?').run(digest);
    for (const change of changes) makeContactChange(db, change, nowMs);
    return changes.length > 0 ? 'accepted' : 'same';
  },

  linkOnlySet(db: DatabaseSync, args: { account: number; linkOnly: boolean }): boolean {
    const row = prepared(db, 'SELECT link_only AS linkOnly FROM account WHERE row = ?').get(args.account);
    if (row === undefined) return false;
    const linkOnly = args.linkOnly ? 1 : 0;
    if (row['linkOnly'] === linkOnly) return true;
    prepared(db, 'UPDATE account SET link_only = ? WHERE row = ?').run(linkOnly, args.account);
    raiseVersion(db, args.account);
    return true;
  },

  linksSweep(db: DatabaseSync, args: { judgeMs: number; limit: number }): number {
    const text = `DELETE FROM contact_link WHERE digest IN (SELECT digest FROM contact_link WHERE expires_at <= ? LIMIT ?)`;
    return Number(prepared(db, text).run(args.judgeMs, args.limit).changes);
  },
};
