// Events that wait to be told to providers, on PostgreSQL. Nodes share them: what one has taken no other is given. Knows no
// endpoint.
import type { EventCount, EventOutbox, ListedEvent, NewEvent } from '../../events/event-outbox.ts';
import { writeAudit } from './audit.ts';
import type { Database, Sql } from './database.ts';

const columns = `seq, provider, url, audience, token_id AS "tokenId", subject, event, payload, occurred_at AS "occurredAtMs",
  attempts, dead_at AS "deadAtMs", code`;
type Row = Omit<ListedEvent, 'payload' | 'deadAtMs' | 'code'> & {
  readonly payload: string;
  readonly deadAtMs: number | null;
  readonly code: string | null;
};

function eventOf({ payload, deadAtMs, code, ...rest }: Row): ListedEvent {
  const says = JSON.parse(payload) as ListedEvent['payload'];
  return { ...rest, payload: says, deadAtMs: deadAtMs ?? undefined, code: code ?? undefined };
}

/** In the transaction of the change that it tells of. */
export async function addEvent(sql: Sql, event: NewEvent | undefined): Promise<void> {
  if (event === undefined) return;
  const { provider, url, audience, tokenId, subject, event: kind, payload, occurredAtMs } = event;
  const [waiting] = await sql.rows<{ count: number }>(
    'SELECT count(*) AS count FROM outgoing_event WHERE provider = $1 AND dead_at IS NULL',
    [provider],
  );
  const isFull = waiting!.count >= event.maxWaiting;
  await sql.change(
    `INSERT INTO outgoing_event
       (provider, url, audience, token_id, subject, event, payload, occurred_at, next_at, dead_at, code)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8,
       CASE WHEN $9 THEN greatest($8, (SELECT seen_at FROM clock)) END, $10)`,
    [
      provider,
      url,
      audience,
      tokenId,
      subject,
      kind,
      JSON.stringify(payload),
      occurredAtMs,
      isFull,
      isFull ? 'queue-full' : null,
    ],
  );
  if (isFull) await trimDead(sql, provider, event.maxDead);
}

async function trimDead(sql: Sql, provider: number, maxDead: number): Promise<void> {
  await sql.change(
    `DELETE FROM outgoing_event WHERE provider = $1 AND dead_at IS NOT NULL AND seq <=
       (SELECT seq FROM outgoing_event WHERE provider = $1 AND dead_at IS NOT NULL ORDER BY seq DESC OFFSET $2 LIMIT 1)`,
    [provider, maxDead],
  );
}

const isDue = 'dead_at IS NULL AND (next_at <= $1 OR next_at > $2)';

async function take(
  sql: Sql,
  { provider, nowMs, farthestMs, leaseUntilMs, limit }: Parameters<EventOutbox['take']>[0],
): Promise<ListedEvent[]> {
  const rows = await sql.rows<Row>(
    `UPDATE outgoing_event SET next_at = $5 WHERE seq IN (
       SELECT seq FROM outgoing_event AS mine WHERE provider = $3 AND ${isDue} AND NOT EXISTS (
         SELECT 1 FROM outgoing_event AS earlier WHERE earlier.provider = $3 AND earlier.dead_at IS NULL
           AND earlier.subject = mine.subject AND earlier.seq < mine.seq)
       ORDER BY seq LIMIT $4 FOR UPDATE SKIP LOCKED) RETURNING ${columns}`,
    [nowMs, farthestMs, provider, limit, leaseUntilMs],
  );
  return rows.map(eventOf).toSorted((a, b) => a.seq - b.seq);
}

async function bury(sql: Sql, seq: number, nowMs: number, code: string, maxDead: number): Promise<void> {
  const [row] = await sql.rows<{ provider: number }>(
    'UPDATE outgoing_event SET dead_at = $2, code = $3 WHERE seq = $1 AND dead_at IS NULL RETURNING provider',
    [seq, nowMs, code],
  );
  if (row !== undefined) await trimDead(sql, row.provider, maxDead);
}

async function revive(
  sql: Sql,
  { seq, provider, actor, nowMs: atMs }: Parameters<EventOutbox['revive']>[0],
): Promise<number> {
  const rows = await sql.rows<{ provider: number }>(
    `UPDATE outgoing_event SET dead_at = NULL, attempts = 0, code = NULL, next_at = $3
     WHERE dead_at IS NOT NULL AND (seq = $1 OR provider = $2) RETURNING provider`,
    [seq ?? null, provider ?? null, atMs],
  );
  const [first] = rows;
  if (first !== undefined) {
    await writeAudit(sql, { atMs, actor, action: 'events-told-again', subject: String(first.provider) });
  }
  return rows.length;
}

export function postgresEvents(database: Database): EventOutbox {
  const change = async (text: string, values: readonly (string | number)[]): Promise<void> => {
    await database.transaction(sql => sql.change(text, values));
  };
  return {
    async due(nowMs, farthestMs) {
      const text = `SELECT DISTINCT provider FROM outgoing_event WHERE ${isDue}`;
      return (await database.rows<{ provider: number }>(text, [nowMs, farthestMs])).map(({ provider }) => provider);
    },
    take: lease => database.transaction(sql => take(sql, lease)),
    remove: seq => change('DELETE FROM outgoing_event WHERE seq = $1', [seq]),
    postpone: (seq, nextAtMs, code) =>
      change(
        'UPDATE outgoing_event SET attempts = attempts + 1, next_at = $2, code = $3 WHERE seq = $1 AND dead_at IS NULL',
        [seq, nextAtMs, code],
      ),
    bury: (seq, nowMs, code, maxDead) => database.transaction(sql => bury(sql, seq, nowMs, code, maxDead)),
    async list({ provider, isDead, afterSeq, limit }) {
      const rows = await database.rows<Row>(
        `SELECT ${columns} FROM outgoing_event WHERE seq > $1 AND ($2::integer IS NULL OR provider = $2)
           AND (dead_at IS NOT NULL) = $3 ORDER BY seq LIMIT $4`,
        [afterSeq, provider ?? null, isDead, limit],
      );
      return rows.map(eventOf);
    },
    revive: which => database.transaction(sql => revive(sql, which)),
    counts: () =>
      database.rows<EventCount>(
        'SELECT provider, count(*) - count(dead_at) AS waiting, count(dead_at) AS dead FROM outgoing_event GROUP BY provider',
      ),
    sweep: (beforeMs, limit) =>
      database.transaction(sql =>
        sql.change(
          'DELETE FROM outgoing_event WHERE seq IN (SELECT seq FROM outgoing_event WHERE dead_at < $1 LIMIT $2)',
          [beforeMs, limit],
        ),
      ),
  };
}
