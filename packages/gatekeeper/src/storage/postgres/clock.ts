// The time that was believed last, on PostgreSQL, whose own clock all nodes share. Knows no clock's rules.
import type { ClockReading, ClockStore } from '../../clock/clock-store.ts';
import { writeAudit } from './audit.ts';
import type { Database } from './database.ts';

const now = 'floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

export function postgresClock(database: Database): ClockStore {
  const read = async (): Promise<ClockReading> => {
    const row = await database.row<{ seenMs: number | null; storageMs: number }>(
      `SELECT (SELECT seen_at FROM clock) AS "seenMs", ${now} AS "storageMs"`,
    );
    const { seenMs, storageMs } = row!;
    return { seenMs: seenMs ?? undefined, storageMs };
  };
  return {
    read,
    async note(seenMs) {
      await database.rows(
        `INSERT INTO clock (one, seen_at) VALUES (true, $1)
         ON CONFLICT (one) DO UPDATE SET seen_at = greatest(clock.seen_at, excluded.seen_at)`,
        [seenMs],
      );
      return await read();
    },
    confirm: ({ actor }) =>
      database.transaction(async sql => {
        const [row] = await sql.rows<{ atMs: number }>(
          `INSERT INTO clock (one, seen_at) VALUES (true, ${now}) ON CONFLICT (one) DO UPDATE SET seen_at = excluded.seen_at
           RETURNING seen_at AS "atMs"`,
        );
        await writeAudit(sql, { atMs: row!.atMs, actor, action: 'clock-confirmed', subject: 'clock' });
      }),
  };
}
