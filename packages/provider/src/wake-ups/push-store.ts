// Wake-ups that wait for the push service, and those that were given up, in the provider's database: what was accepted
// survives a killed process. One for each person and gatekeeper. Knows nothing of push services or of when to try.

import type { LiveDatabase } from '../storage/database-writer.ts';
import type { Statement } from '../storage/run-write.ts';

/** How many that were given up are kept for the operator to look at. */
export const maxGivenUp = 1_000;

export type KeptWakeUp = {
  readonly id: number;
  readonly identifier: string;
  readonly gatekeeper: string;
  /** Tries that failed. */
  readonly attempts: number;
  /** Grows with each wake-up that joined this one. */
  readonly generation: number;
};

/** For the operator's eyes, never for a log. */
export type GivenUpWakeUp = {
  readonly identifier: string;
  readonly gatekeeper: string;
  readonly attempts: number;
  readonly reason: string;
  readonly gaveUpAtMs: number;
};

export type UsedEvent = { readonly issuer: string; readonly jti: string; readonly expiresAtMs: number };

/** What changes is on the disk when it resolves; a DatabaseWriteError says that it isn't. */
export type PushStore = {
  readonly countByGatekeeper: () => ReadonlyMap<string, number>;
  /** With `event`, its id is used up in the same transaction: `repeated` when it was, and nothing is added then. */
  readonly add: (
    identifier: string,
    gatekeeper: string,
    nowMs: number,
    event?: UsedEvent,
  ) => Promise<'added' | 'joined' | 'repeated'>;
  /** The oldest first. A time too far ahead was noted before the clock was set back: it is due too. */
  readonly due: (nowMs: number, farthestMs: number, limit: number) => readonly KeptWakeUp[];
  /** When the first of those is due that aren't yet. */
  readonly nextAtMs: (nowMs: number) => number | undefined;
  /** The push service took it. False when another joined it meanwhile: that one waits on. */
  readonly remove: (wakeUp: KeptWakeUp) => Promise<boolean>;
  readonly postpone: (wakeUp: KeptWakeUp, atMs: number) => Promise<void>;
  /** False when it was deleted meanwhile: nothing is kept of it then. */
  readonly giveUp: (wakeUp: KeptWakeUp, reason: string, nowMs: number) => Promise<boolean>;
  /** The latest first. */
  readonly givenUp: () => readonly GivenUpWakeUp[];
  /** Lets all that were given up be tried again. Gives their number. */
  readonly revive: (nowMs: number) => Promise<number>;
};

/** The tables' SQL, version 2 of the provider's database. */
export const wakeUpTables = `CREATE TABLE wake_ups (
    id INTEGER PRIMARY KEY, gatekeeper TEXT NOT NULL, identifier TEXT NOT NULL, attempts INTEGER NOT NULL,
    generation INTEGER NOT NULL, next_at_ms INTEGER NOT NULL, UNIQUE (gatekeeper, identifier)
  ) STRICT;
  CREATE INDEX wake_ups_next ON wake_ups (next_at_ms);
  CREATE TABLE given_up_wake_ups (
    id INTEGER PRIMARY KEY, gatekeeper TEXT NOT NULL, identifier TEXT NOT NULL, attempts INTEGER NOT NULL,
    reason TEXT NOT NULL, gave_up_at_ms INTEGER NOT NULL
  ) STRICT`;

const insert = (
  condition: string,
): string => `INSERT INTO wake_ups (gatekeeper, identifier, attempts, generation, next_at_ms)
  SELECT ?, ?, 0, 1, ? WHERE ${condition}
  ON CONFLICT DO UPDATE SET generation = generation + 1 RETURNING generation`;

/** An id is given again when its wake-up was deleted with its person: it alone may be somebody else's. */
const itself = 'id = ? AND gatekeeper = ? AND identifier = ?';

export function createPushStore({ reads, write }: LiveDatabase): PushStore {
  const counts = reads.prepare('SELECT gatekeeper, count(*) AS n FROM wake_ups GROUP BY gatekeeper');
  const due = reads.prepare(`SELECT id, identifier, gatekeeper, attempts, generation FROM wake_ups
    WHERE next_at_ms <= ? OR next_at_ms > ? ORDER BY next_at_ms LIMIT ?`);
  const next = reads.prepare('SELECT min(next_at_ms) AS at FROM wake_ups WHERE next_at_ms > ?');
  const givenUp = reads.prepare(`SELECT identifier, gatekeeper, attempts, reason, gave_up_at_ms AS gaveUpAtMs
    FROM given_up_wake_ups ORDER BY id DESC`);

  return {
    countByGatekeeper: () => new Map(counts.all().map(row => [String(row['gatekeeper']), Number(row['n'])])),
    async add(identifier, gatekeeper, nowMs, event) {
      const values = [gatekeeper, identifier, nowMs];
      const used: Statement[] =
        event === undefined
          ? []
          : [
              {
                sql: 'INSERT INTO event_ids VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
                values: [event.issuer, event.jti, event.expiresAtMs],
              },
            ];
      // `changes()` is that of the event's id: nothing is added for one that was used.
      const condition = event === undefined ? 'true' : 'changes() = 1';
      const written = await write(...used, { sql: insert(condition), values, returning: true });
      const generation = written.at(-1)?.rows[0]?.['generation'];
      if (generation === undefined) return 'repeated';
      return generation === 1 ? 'added' : 'joined';
    },
    due: (nowMs, farthestMs, limit) => due.all(nowMs, farthestMs, limit).map(readWakeUp),
    nextAtMs: nowMs => {
      const at = next.get(nowMs)?.['at'];
      return typeof at === 'number' ? at : undefined;
    },
    async remove({ id, gatekeeper, identifier, generation }) {
      const [written] = await write({
        sql: `DELETE FROM wake_ups WHERE ${itself} AND generation = ?`,
        values: [id, gatekeeper, identifier, generation],
      });
      return written?.changes === 1;
    },
    async postpone({ id, gatekeeper, identifier, attempts }, atMs) {
      const sql = `UPDATE wake_ups SET attempts = ?, next_at_ms = ? WHERE ${itself}`;
      await write({ sql, values: [attempts + 1, Math.ceil(atMs), id, gatekeeper, identifier] });
    },
    async giveUp({ id, gatekeeper, identifier, attempts }, reason, nowMs) {
      const [removed] = await write(
        { sql: `DELETE FROM wake_ups WHERE ${itself}`, values: [id, gatekeeper, identifier] },
        {
          sql: `INSERT INTO given_up_wake_ups (gatekeeper, identifier, attempts, reason, gave_up_at_ms)
            SELECT ?, ?, ?, ?, ? WHERE changes() = 1`,
          values: [gatekeeper, identifier, attempts + 1, reason, nowMs],
        },
        {
          sql: `DELETE FROM given_up_wake_ups WHERE id <= (
            SELECT id FROM given_up_wake_ups ORDER BY id DESC LIMIT 1 OFFSET ?)`,
          values: [maxGivenUp],
        },
      );
      return removed?.changes === 1;
    },
    givenUp: () => givenUp.all().map(readGivenUp),
    async revive(nowMs) {
      const [, removed] = await write(
        {
          sql: `INSERT INTO wake_ups (gatekeeper, identifier, attempts, generation, next_at_ms)
            SELECT gatekeeper, identifier, 0, 1, ? FROM given_up_wake_ups WHERE true
            ON CONFLICT DO UPDATE SET generation = generation + 1`,
          values: [nowMs],
        },
        { sql: 'DELETE FROM given_up_wake_ups', values: [] },
      );
      return removed?.changes ?? 0;
    },
  };
}

type Row = Readonly<Record<string, unknown>>;

function readWakeUp(row: Row): KeptWakeUp {
  return {
    id: Number(row['id']),
    identifier: String(row['identifier']),
    gatekeeper: String(row['gatekeeper']),
    attempts: Number(row['attempts']),
    generation: Number(row['generation']),
  };
}

function readGivenUp(row: Row): GivenUpWakeUp {
  return {
    identifier: String(row['identifier']),
    gatekeeper: String(row['gatekeeper']),
    attempts: Number(row['attempts']),
    reason: String(row['reason']),
    gaveUpAtMs: Number(row['gaveUpAtMs']),
  };
}
