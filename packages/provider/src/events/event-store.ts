// Events that wait to be told to gatekeepers, and those that could not be told, in the provider's database. Knows no HTTP.
import type { ProviderEvent } from '@drawbridge/identity/security-event-kinds';
import type { LiveDatabase } from '../storage/database-writer.ts';

/** The table's SQL, version 4 of the provider's database. */
export const eventTables = `CREATE TABLE outgoing_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, gatekeeper TEXT NOT NULL, token_id TEXT NOT NULL, subject TEXT NOT NULL,
    event TEXT NOT NULL, payload TEXT NOT NULL, occurred_at_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,
    next_at_ms INTEGER NOT NULL, dead_at_ms INTEGER, reason TEXT
  ) STRICT;
  CREATE INDEX outgoing_events_of ON outgoing_events (gatekeeper, subject, id)`;

export type NewEvent = {
  readonly gatekeeper: string;
  readonly tokenId: string;
  /** A person's identifier, or the provider's issuer URL. */
  readonly subject: string;
  readonly event: ProviderEvent;
  readonly payload: Readonly<Record<string, string>>;
  readonly occurredAtMs: number;
};
export type WaitingEvent = NewEvent & { readonly id: number; readonly attempts: number };

/** For the operator's eyes, never for a log. */
export type DeadEvent = Omit<WaitingEvent, 'tokenId'> & { readonly reason: string; readonly deadAtMs: number };

/** What changes is on the disk when it resolves; a DatabaseWriteError says that it isn't. */
export type EventStore = {
  /** All or none. */
  readonly add: (events: readonly NewEvent[]) => Promise<void>;
  readonly waiting: (gatekeeper: string) => number;
  /**
   * Of each person the oldest that waits, when it is due; who is renamed is the same under both names. A time too far ahead was
   * noted before the clock was set back.
   */
  readonly due: (gatekeeper: string, nowMs: number, farthestMs: number, limit: number) => readonly WaitingEvent[];
  readonly remove: (id: number) => Promise<void>;
  readonly postpone: (id: number, atMs: number) => Promise<void>;
  readonly bury: (id: number, reason: string, nowMs: number) => Promise<void>;
  /** The latest first. */
  readonly dead: () => readonly DeadEvent[];
  readonly revive: (nowMs: number) => Promise<number>;
};

/** How many that could not be told are kept for the operator to look at. */
export const maxDeadEvents = 1_000;

const identifierChanged =
  'https://schemas.openid.net/secevent/risc/event-type/identifier-changed' satisfies ProviderEvent;
/** To which an event renames its subject; nothing for other events. */
const newName = (row: string): string => `coalesce(json_extract(${row}.payload, '$.new-value'), '')`;

const columns = `id, gatekeeper, token_id AS tokenId, subject, event, payload, occurred_at_ms AS occurredAtMs, attempts`;

export function createEventStore({ reads, write }: LiveDatabase): EventStore {
  const waiting = reads.prepare(
    'SELECT count(*) AS n FROM outgoing_events WHERE gatekeeper = ? AND dead_at_ms IS NULL',
  );
  const due = reads.prepare(`SELECT ${columns} FROM outgoing_events AS mine
    WHERE gatekeeper = ?1 AND dead_at_ms IS NULL AND (next_at_ms <= ?2 OR next_at_ms > ?3) AND NOT EXISTS (
      SELECT 1 FROM outgoing_events AS earlier WHERE earlier.gatekeeper = ?1 AND earlier.dead_at_ms IS NULL
        AND earlier.subject IN (mine.subject, ${newName('mine')}) AND earlier.id < mine.id)
      AND NOT EXISTS (SELECT 1 FROM outgoing_events AS renamed WHERE renamed.gatekeeper = ?1 AND renamed.dead_at_ms IS NULL
        AND renamed.event = '${identifierChanged}' AND ${newName('renamed')} IN (mine.subject, ${newName('mine')})
        AND renamed.id < mine.id) ORDER BY id LIMIT ?4`);
  const dead = reads.prepare(`SELECT ${columns}, dead_at_ms AS deadAtMs, reason FROM outgoing_events
    WHERE dead_at_ms IS NOT NULL ORDER BY dead_at_ms DESC, id DESC`);
  return {
    async add(events) {
      await write(
        ...events.map(({ gatekeeper, tokenId, subject, event, payload, occurredAtMs }) => ({
          sql: `INSERT INTO outgoing_events
            (gatekeeper, token_id, subject, event, payload, occurred_at_ms, attempts, next_at_ms) VALUES (?, ?, ?, ?, ?, ?, 0, 0)`,
          values: [gatekeeper, tokenId, subject, event, JSON.stringify(payload), occurredAtMs],
        })),
      );
    },
    waiting: gatekeeper => Number(waiting.get(gatekeeper)?.['n']),
    due: (...args) => due.all(...args).map(row => read(row) as WaitingEvent),
    remove: async id => void (await write({ sql: 'DELETE FROM outgoing_events WHERE id = ?', values: [id] })),
    async postpone(id, atMs) {
      const sql = 'UPDATE outgoing_events SET attempts = attempts + 1, next_at_ms = ? WHERE id = ?';
      await write({ sql, values: [Math.ceil(atMs), id] });
    },
    async bury(id, reason, nowMs) {
      await write(
        { sql: 'UPDATE outgoing_events SET dead_at_ms = ?, reason = ? WHERE id = ?', values: [nowMs, reason, id] },
        {
          sql: `DELETE FROM outgoing_events WHERE id IN (SELECT id FROM outgoing_events WHERE dead_at_ms IS NOT NULL
            ORDER BY dead_at_ms DESC, id DESC LIMIT -1 OFFSET ?)`,
          values: [maxDeadEvents],
        },
      );
    },
    dead: () =>
      dead.all().map(row => {
        const { tokenId: _tokenId, ...shown } = read(row) as DeadEvent & { tokenId: string };
        return shown;
      }),
    async revive(nowMs) {
      const sql = `UPDATE outgoing_events SET dead_at_ms = NULL, reason = NULL, attempts = 0, next_at_ms = ?
        WHERE dead_at_ms IS NOT NULL`;
      const [written] = await write({ sql, values: [nowMs] });
      return written?.changes ?? 0;
    },
  };
}

function read(row: Record<string, unknown>): unknown {
  return { ...row, payload: JSON.parse(String(row['payload'])) };
}
