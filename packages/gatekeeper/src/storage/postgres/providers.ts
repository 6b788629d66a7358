// What is kept of providers on PostgreSQL: number, name, status, key set, and what their people take. Knows no keys and no
// configuration.
import type { ProviderStates, ProviderStatus, RegisterResult } from '../../providers/provider-states.ts';
import { writeAudit } from './audit.ts';
import type { Database, Sql } from './database.ts';
import { addEvent } from './events.ts';

async function register(
  sql: Sql,
  providers: readonly { readonly number: number; readonly name: string }[],
  nowMs: number,
): Promise<RegisterResult> {
  const known = await sql.rows<{ number: number; name: string; status: ProviderStatus }>(
    'SELECT number, name, status FROM provider WHERE number = ANY ($1::integer[]) OR name = ANY ($2::text[])',
    [providers.map(each => each.number), providers.map(each => each.name)],
  );
  for (const { number, name } of providers) {
    const other = known.find(row => (row.number === number) !== (row.name === name));
    if (other !== undefined) {
      return { kind: 'refused', number, storedName: other.name, storedNumber: other.number };
    }
  }
  const statuses: ProviderStatus[] = [];
  for (const { number, name } of providers) {
    const row = known.find(each => each.number === number);
    statuses.push(row?.status ?? 'live');
    if (row !== undefined) continue;
    await sql.change("INSERT INTO provider (number, name, status, changed_at) VALUES ($1, $2, 'live', $3)", [
      number,
      name,
      nowMs,
    ]);
    await writeAudit(sql, {
      atMs: nowMs,
      actor: 'configuration',
      action: 'provider-registered',
      subject: String(number),
    });
  }
  return { kind: 'registered', statuses };
}

async function setStatus(
  sql: Sql,
  { number, status, actor, reason, nowMs: atMs, event }: Parameters<ProviderStates['setStatus']>[0],
): Promise<'changed' | 'same' | 'unknown'> {
  const text = 'SELECT status FROM provider WHERE number = $1 FOR UPDATE';
  const [row] = await sql.rows<{ status: ProviderStatus }>(text, [number]);
  if (row === undefined) return 'unknown';
  if (row.status === status) return 'same';
  await sql.change('UPDATE provider SET status = $2, changed_at = $3 WHERE number = $1', [number, status, atMs]);
  const action = status === 'live' ? 'provider-resumed' : 'provider-suspended';
  await writeAudit(sql, { atMs, actor, action, subject: String(number), reason });
  await addEvent(sql, event);
  return 'changed';
}

export function postgresProviders(database: Database): ProviderStates {
  return {
    register: (providers, nowMs) => database.transaction(sql => register(sql, providers, nowMs)),
    setStatus: change => database.transaction(sql => setStatus(sql, change)),
    noteKeysRevoked: ({ number, actor, reason, nowMs: atMs, event }) =>
      database.transaction(async sql => {
        await writeAudit(sql, { atMs, actor, action: 'provider-keys-revoked', subject: String(number), reason });
        await addEvent(sql, event);
      }),
    async keepKeySet({ number, places, body, fetchedAtMs }) {
      await database.rows(
        `INSERT INTO key_set (provider, places, body, fetched_at) SELECT number, $2, $3, $4 FROM provider WHERE number = $1
         ON CONFLICT (provider) DO UPDATE SET places = excluded.places, body = excluded.body, fetched_at = excluded.fetched_at`,
        [number, places, body, fetchedAtMs],
      );
    },
    keptKeySets: () =>
      database.rows('SELECT provider AS number, places, body, fetched_at AS "fetchedAtMs" FROM key_set'),
    listUse: () =>
      database.rows(
        `SELECT number, enlistments, coalesce((SELECT sum(bytes) FROM mailbox_provider WHERE provider = number), 0)
           AS "mailboxBytes" FROM provider ORDER BY number`,
      ),
  };
}
