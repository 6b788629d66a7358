// The time that was believed last, in the embedded store. Runs in the storage workers. Knows no clock's rules.
import type { DatabaseSync } from 'node:sqlite';
import type { RememberedTime } from '@drawbridge/identity/believed-clock';
import type { ClockReading } from '../../clock/clock-store.ts';
import { writeAudit } from './audit-commands.ts';
import { prepared } from './prepared.ts';

const put = 'INSERT INTO clock (one, seen_at, leaps_paid_at) VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET';

function read(db: DatabaseSync): ClockReading {
  const row = prepared(db, 'SELECT seen_at AS seenMs, leaps_paid_at AS leapsPaidAtMs FROM clock').get();
  return { remembered: row && { ...(row as unknown as RememberedTime) }, storageMs: undefined };
}

export const clockWrites = {
  clockNote(db: DatabaseSync, { seenMs, leapsPaidAtMs }: RememberedTime): ClockReading {
    const later =
      'seen_at = max(seen_at, excluded.seen_at), leaps_paid_at = max(leaps_paid_at, excluded.leaps_paid_at)';
    prepared(db, `${put} ${later}`).run(seenMs, leapsPaidAtMs);
    return read(db);
  },

  clockConfirm(db: DatabaseSync, { nowMs, actor }: { nowMs: number; actor: string }): void {
    prepared(db, `${put} seen_at = excluded.seen_at, leaps_paid_at = excluded.leaps_paid_at`).run(nowMs, 0);
    writeAudit(db, { atMs: nowMs, actor, action: 'clock-confirmed', subject: 'clock' });
  },
};

export const clockReads = {
  clockRead: (db: DatabaseSync, _args: undefined): ClockReading => read(db),
};
