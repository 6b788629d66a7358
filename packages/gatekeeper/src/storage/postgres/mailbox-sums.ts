// Bytes that wait for people, and for all people of a provider, as sums. A provider's sum lies in slices, one of which each
// person adds to: nodes that write for different people of one provider rarely wait for one another. Knows no entries.
import type { Sql } from './database.ts';

export const slices = 64;

/** `bytes` is what came, or with a minus what went. */
export type AddedBytes = { readonly account: number; readonly provider: number; readonly bytes: number };

/** In the order of accounts, then of slices, as everybody does: so nobody waits in a circle. */
export async function addBytes(sql: Sql, added: readonly AddedBytes[]): Promise<void> {
  const people = new Map<number, number>();
  const providers = new Map<string, { provider: number; slice: number; bytes: number }>();
  for (const { account, provider, bytes } of added) {
    people.set(account, (people.get(account) ?? 0) + bytes);
    const slice = account % slices;
    const key = `${provider}/${slice}`;
    const sum = providers.get(key);
    if (sum === undefined) providers.set(key, { provider, slice, bytes });
    else sum.bytes += bytes;
  }
  const accounts = [...people.keys()].toSorted((a, b) => a - b);
  if (accounts.length === 0) return;
  const sums = [...providers.values()].toSorted((a, b) => a.provider - b.provider || a.slice - b.slice);
  await Promise.all([
    sql.change(
      `UPDATE mailbox_person SET bytes = mailbox_person.bytes + added.bytes
       FROM unnest($1::bigint[], $2::bigint[]) AS added (account, bytes) WHERE mailbox_person.account = added.account`,
      [accounts, accounts.map(account => people.get(account)!)],
    ),
    sql.change(
      `INSERT INTO mailbox_provider (provider, slice, bytes) SELECT * FROM unnest($1::integer[], $2::smallint[], $3::bigint[])
       ON CONFLICT (provider, slice) DO UPDATE SET bytes = mailbox_provider.bytes + excluded.bytes`,
      [sums.map(sum => sum.provider), sums.map(sum => sum.slice), sums.map(sum => sum.bytes)],
    ),
  ]);
}
