// Links by which strangers come to a person, on PostgreSQL. Every change locks the account first. Knows no secrets.
import type { InteropId } from '@drawbridge/wire/jid';
import type { ContactLink, ContactLinkStore } from '../../consent/contact-link-store.ts';
import { redeemChanges } from '../../consent/contact-rules.ts';
import { findContact, lockAccounts, makeContactChange } from './contacts.ts';
import type { Database, Sql } from './database.ts';
import { raiseVersion } from './devices.ts';

type Args<Name extends keyof ContactLinkStore> = Parameters<ContactLinkStore[Name]>[0];

async function add(
  sql: Sql,
  { account, digest, usesLeft, expiresAtMs, judgeMs, max }: Args<'add'>,
): Promise<'added' | 'full' | 'taken'> {
  if ((await lockAccounts(sql, [account])) === 0) return 'full';
  const [known] = await sql.rows<{ account: number }>('SELECT account FROM contact_link WHERE digest = $1', [digest]);
  if (known !== undefined) return known.account === account ? 'added' : 'taken';
  await sql.change('DELETE FROM contact_link WHERE account = $1 AND (uses_left <= 0 OR expires_at <= $2)', [
    account,
    judgeMs,
  ]);
  const text = 'SELECT count(*) AS count FROM contact_link WHERE account = $1';
  const [{ count } = { count: 0 }] = await sql.rows<{ count: number }>(text, [account]);
  if (count >= max) return 'full';
  await sql.change('INSERT INTO contact_link (digest, account, uses_left, expires_at) VALUES ($1, $2, $3, $4)', [
    digest,
    account,
    usesLeft,
    expiresAtMs,
  ]);
  return 'added';
}

async function redeem(sql: Sql, redemption: Args<'redeem'>): Promise<'accepted' | 'same' | 'gone'> {
  const { digest, owner, by, nowMs, judgeMs } = redemption;
  await lockAccounts(sql, [owner]);
  const there = await sql.rows(
    'SELECT 1 FROM contact_link WHERE digest = $1 AND account = $2 AND uses_left > 0 AND expires_at > $3',
    [digest, owner, judgeMs],
  );
  if (there.length === 0) return 'gone';
  const { outcome, changes } = redeemChanges(redemption, await findContact(sql, owner, by.contacts.key));
  if (outcome === 'same') return 'same';
  await sql.change('UPDATE contact_link SET uses_left = uses_left - 1 WHERE digest = $1', [digest]);
  for (const change of changes) await makeContactChange(sql, change, nowMs);
  return changes.length > 0 ? 'accepted' : 'same';
}

async function setLinkOnly(sql: Sql, account: number, linkOnly: boolean): Promise<boolean> {
  if ((await lockAccounts(sql, [account])) === 0) return false;
  const changed = await sql.change('UPDATE account SET link_only = $2 WHERE row = $1 AND link_only <> $2', [
    account,
    linkOnly,
  ]);
  if (changed > 0) await raiseVersion(sql, account);
  return true;
}

export function postgresLinks(database: Database): ContactLinkStore {
  return {
    add: link => database.transaction(sql => add(sql, link)),
    async remove(account, digest) {
      await database.rows('DELETE FROM contact_link WHERE account = $1 AND digest = $2', [account, digest]);
    },
    list: (account, judgeMs) =>
      database.rows<ContactLink>(
        `SELECT digest, uses_left AS "usesLeft", expires_at AS "expiresAtMs" FROM contact_link
         WHERE account = $1 AND uses_left > 0 AND expires_at > $2 ORDER BY expires_at, digest`,
        [account, judgeMs],
      ),
    async ownerOf(digest, judgeMs) {
      const row = await database.row<{ owner: InteropId }>(
        `SELECT interop_id AS owner FROM contact_link JOIN account ON account.row = contact_link.account
         WHERE digest = $1 AND uses_left > 0 AND expires_at > $2`,
        [digest, judgeMs],
      );
      return row?.owner;
    },
    redeem: redemption => database.transaction(sql => redeem(sql, redemption)),
    setLinkOnly: (account, linkOnly) => database.transaction(sql => setLinkOnly(sql, account, linkOnly)),
    sweep: (judgeMs, limit) =>
      database.transaction(sql =>
        sql.change(
          'DELETE FROM contact_link WHERE digest IN (SELECT digest FROM contact_link WHERE expires_at <= $1 LIMIT $2)',
          [judgeMs, limit],
        ),
      ),
  };
}
