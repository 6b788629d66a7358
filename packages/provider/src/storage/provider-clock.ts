// The clock by which a provider's files, sessions and used ids grow old when whoever embeds it gives none: what was believed last
// is remembered in the database, so that a clock that is wrong at a start, or is set, deletes nothing before its time.
// Knows nothing of what is kept. Source: docs/decisions/0068.

import {
  type BelievedClock,
  type ClockState,
  createBelievedClock,
  type ExpiryClock,
  type RememberedTime,
} from '@drawbridge/identity/believed-clock';
import type { LiveDatabase } from './database-writer.ts';
import type { Statement } from './run-write.ts';

/** The table's SQL, version 5 of the provider's database. */
export const clockTable = `CREATE TABLE clock (
    one INTEGER PRIMARY KEY CHECK (one = 1), seen_at_ms INTEGER NOT NULL, leaps_paid_at_ms INTEGER NOT NULL
  ) STRICT`;

export type ProviderClock = Pick<BelievedClock, keyof ExpiryClock | 'tellMs' | 'state'> & {
  /** To be called now and then: remembers the time, and hears of a person's word. Rejects with a DatabaseWriteError. */
  readonly note: () => Promise<void>;
};

const put = 'INSERT INTO clock VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET';

/** A person says that this clock is right; a provider that runs over the same database hears it with its next `note`. */
export async function confirmClock({ write }: Pick<LiveDatabase, 'write'>, nowMs: number): Promise<void> {
  await write({
    sql: `${put} seen_at_ms = excluded.seen_at_ms, leaps_paid_at_ms = excluded.leaps_paid_at_ms`,
    values: [nowMs, 0],
  });
}

/** `monotonicMs` only goes forward. */
export function openProviderClock(
  { reads, write }: LiveDatabase,
  nowMs: () => number,
  monotonicMs: () => number,
  log: (event: string, code: string) => void,
): ProviderClock {
  const select = reads.prepare('SELECT seen_at_ms AS seenMs, leaps_paid_at_ms AS leapsPaidAtMs FROM clock');
  let remembered = readTime(select.get());
  const clock = createBelievedClock(nowMs, monotonicMs, remembered);
  let said: ClockState['kind'] = 'believed';
  const say = (): void => {
    const { kind } = clock.state();
    if (kind === said) return;
    said = kind;
    log(kind === 'believed' ? 'clock-believed' : 'clock-not-believed', kind);
  };
  say();

  return {
    stampMs: clock.stampMs,
    judgeMs: clock.judgeMs,
    tellMs: clock.tellMs,
    state: clock.state,
    async note() {
      const before = remembered;
      await write(raised(clock.note(), before));
      remembered = readTime(select.get())!;
      hear(clock, before, remembered);
      say();
    },
  };
}

/** What is owed for leaps is told once: it may have been taken back since, with a person's word. */
function raised({ seenMs, leapsPaidAtMs }: RememberedTime, before: RememberedTime | undefined): Statement {
  const isNew = leapsPaidAtMs > (before?.leapsPaidAtMs ?? 0);
  return {
    sql: `${put} seen_at_ms = max(seen_at_ms, excluded.seen_at_ms),
      leaps_paid_at_ms = max(leaps_paid_at_ms, excluded.leaps_paid_at_ms)`,
    values: [seenMs, isNew ? leapsPaidAtMs : 0],
  };
}

/** A time that was taken back was taken back by a person. */
function hear(clock: BelievedClock, before: RememberedTime | undefined, now: RememberedTime): void {
  if (before !== undefined && now.seenMs < before.seenMs) clock.confirm();
  else clock.hear(now);
}

function readTime(row: Readonly<Record<string, unknown>> | undefined): RememberedTime | undefined {
  return row && { seenMs: Number(row['seenMs']), leapsPaidAtMs: Number(row['leapsPaidAtMs']) };
}
