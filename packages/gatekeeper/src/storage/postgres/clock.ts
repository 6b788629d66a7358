// The time that was believed last, on PostgreSQL, whose own clock all nodes share. Knows no clock's rules.
import type { RememberedTime } from '@drawbridge/identity/believed-clock';
import type { ClockReading, ClockStore } from '../../clock/clock-store.ts';
import { writeAudit } from './audit.ts';
import type { Database } from './database.ts';

const now = 'floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

export function postgresClock(database: Database): ClockStore {
  const read = async (): Promise<ClockReading> => {
    const row = await database.row<{ storageMs: number }>(`SELECT ${now} AS "storageMs"`);
    const [remembered] = await database.rows<RememberedTime>(
      'SELECT seen_at AS "seenMs", leaps_paid_at AS "leapsPaidAtMs" FROM clock',
    );
    return { remembered, storageMs: row!.storageMs };
  };
  return {
    read,
    async note({ seenMs, leapsPaidAtMs }) {
      await database.rows(
        `INSERT INTO clock (one, seen_at, leaps_paid_at) VALUES (true, $1, $2)
         ON CONFLICT (one) DO UPDATE SET seen_at = greatest(clock.seen_at, excluded.seen_at),
           leaps_paid_at = greatest(clock.leaps_paid_at, excluded.leaps_paid_at)`,
        [seenMs, leapsPaidAtMs],
      );
      return await read();
    },
    confirm: ({ actor }) =>
      database.transaction(async sql => {
        const [row] = await sql.rows<{ atMs: number }>(
          `INSERT INTO clock (one, seen_at, leaps_paid_at) VALUES (true, ${now}, 0)
           ON CONFLICT (one) DO UPDATE SET seen_at = excluded.seen_at, leaps_paid_at = 0
           RETURNING seen_at AS "atMs"`,
        );
        await writeAudit(sql, { atMs: row!.atMs, actor, action: 'clock-confirmed', subject: 'clock' });
      }),
  };
}
