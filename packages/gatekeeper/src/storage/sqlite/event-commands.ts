// Events that wait to be told to providers. Runs in the storage workers. Knows no endpoint.
import type { DatabaseSync } from 'node:sqlite';
import type { EventCount, EventOutbox, ListedEvent, NewEvent, WaitingEvent } from '../../events/event-outbox.ts';
import { writeAudit } from './audit-commands.ts';
import { prepared } from './prepared.ts';

const columns = `seq, provider, url, audience, token_id AS tokenId, subject, event, payload, occurred_at AS occurredAtMs,
  attempts, dead_at AS deadAtMs, code`;

function eventOf(row: Record<string, unknown>): ListedEvent {
  const { payload, deadAtMs, code, ...rest } = row;
  return {
    ...rest,
    payload: JSON.parse(String(payload)),
    deadAtMs: deadAtMs ?? undefined,
    code: code ?? undefined,
  } as ListedEvent;
}

/**
 * In the transaction of the change that it tells of. One that is dead at once is kept from the later of its time and the time
 * that was believed last.
 */
export function addEvent(db: DatabaseSync, event: NewEvent | undefined): void {
  if (event === undefined) return;
  const { provider, url, audience, tokenId, subject, event: kind, payload, occurredAtMs } = event;
  const count = prepared(db, 'SELECT count(*) AS count FROM outgoing_event WHERE provider = ? AND dead_at IS NULL');
  const isFull = (count.get(provider) as { count: number }).count >= event.maxWaiting;
  prepared(
    db,
    `INSERT INTO outgoing_event (provider, url, audience, token_id, subject, event, payload, occurred_at, next_at, dead_at, code)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, max(?, coalesce((SELECT seen_at FROM clock), 0)), ?)`,
  ).run(
    provider,
    url,
    audience,
    tokenId,
    subject,
    kind,
    JSON.stringify(payload),
    occurredAtMs,
    occurredAtMs,
    isFull ? occurredAtMs : null,
    isFull ? 'queue-full' : null,
  );
  if (isFull) trimDead(db, provider, event.maxDead);
}

function trimDead(db: DatabaseSync, provider: number, maxDead: number): void {
  prepared(
    db,
    `DELETE FROM outgoing_event WHERE provider = ?1 AND dead_at IS NOT NULL AND seq <=
       (SELECT seq FROM outgoing_event WHERE provider = ?1 AND dead_at IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?2)`,
  ).run(provider, maxDead);
}

const isDue = 'dead_at IS NULL AND (next_at <= ?1 OR next_at > ?2)';

export const eventWrites = {
  eventsTake(db: DatabaseSync, lease: Parameters<EventOutbox['take']>[0]): WaitingEvent[] {
    const { provider, nowMs, farthestMs, leaseUntilMs, limit } = lease;
    const rows = prepared(
      db,
      `SELECT ${columns} FROM outgoing_event AS mine WHERE provider = ?3 AND ${isDue} AND NOT EXISTS (
         SELECT 1 FROM outgoing_event AS earlier WHERE earlier.provider = ?3 AND earlier.dead_at IS NULL
           AND earlier.subject = mine.subject AND earlier.seq < mine.seq) ORDER BY seq LIMIT ?4`,
    ).all(nowMs, farthestMs, provider, limit);
    const update = prepared(db, 'UPDATE outgoing_event SET next_at = ? WHERE seq = ?');
    for (const { seq } of rows) update.run(leaseUntilMs, Number(seq));
    return rows.map(eventOf);
  },

  eventRemove(db: DatabaseSync, { seq }: { seq: number }): void {
    prepared(db, 'DELETE FROM outgoing_event WHERE seq = ?').run(seq);
  },

  eventPostpone(db: DatabaseSync, { seq, nextAtMs, code }: { seq: number; nextAtMs: number; code: string }): void {
    const text =
      'UPDATE outgoing_event SET attempts = attempts + 1, next_at = ?, code = ? WHERE seq = ? AND dead_at IS NULL';
    prepared(db, text).run(nextAtMs, code, seq);
  },

  eventBury(
    db: DatabaseSync,
    { seq, nowMs, code, maxDead }: { seq: number; nowMs: number; code: string; maxDead: number },
  ): void {
    const text = 'UPDATE outgoing_event SET dead_at = ?, code = ? WHERE seq = ? AND dead_at IS NULL RETURNING provider';
    const row = prepared(db, text).get(nowMs, code, seq) as { provider: number } | undefined;
    if (row !== undefined) trimDead(db, row.provider, maxDead);
  },

  eventsRevive(db: DatabaseSync, { seq, provider, actor, nowMs }: Parameters<EventOutbox['revive']>[0]): number {
    const rows = prepared(
      db,
      `UPDATE outgoing_event SET dead_at = NULL, attempts = 0, code = NULL, next_at = ?3
       WHERE dead_at IS NOT NULL AND (seq = ?1 OR provider = ?2) RETURNING provider`,
    ).all(seq ?? null, provider ?? null, nowMs) as unknown as { provider: number }[];
    const [first] = rows;
    if (first !== undefined)
      writeAudit(db, { atMs: nowMs, actor, action: 'events-told-again', subject: String(first.provider) });
    return rows.length;
  },

  eventsSweep(db: DatabaseSync, { beforeMs, limit }: { beforeMs: number; limit: number }): number {
    const text = 'DELETE FROM outgoing_event WHERE seq IN (SELECT seq FROM outgoing_event WHERE dead_at < ? LIMIT ?)';
    return Number(prepared(db, text).run(beforeMs, limit).changes);
  },
};

export const eventReads = {
  eventsDue(db: DatabaseSync, { nowMs, farthestMs }: { nowMs: number; farthestMs: number }): number[] {
    const rows = prepared(db, `SELECT DISTINCT provider FROM outgoing_event WHERE ${isDue}`).all(nowMs, farthestMs);
    return rows.map(row => Number(row['provider']));
  },

  eventsList(
    db: DatabaseSync,
    { provider, isDead, afterSeq, limit }: Parameters<EventOutbox['list']>[0],
  ): ListedEvent[] {
    const rows = prepared(
      db,
      `SELECT ${columns} FROM outgoing_event WHERE seq > ?1 AND (?2 IS NULL OR provider = ?2)
         AND (dead_at IS NOT NULL) = ?3 ORDER BY seq LIMIT ?4`,
    ).all(afterSeq, provider ?? null, isDead ? 1 : 0, limit);
    return rows.map(eventOf);
  },

  eventCounts(db: DatabaseSync): EventCount[] {
    const rows = prepared(
      db,
      'SELECT provider, count(*) - count(dead_at) AS waiting, count(dead_at) AS dead FROM outgoing_event GROUP BY provider',
    ).all();
    return rows.map(row => ({ ...(row as unknown as EventCount) }));
  },
};
