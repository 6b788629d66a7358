// The provider's embedded database: opens it, makes its tables, and keeps sessions and used event ids.
// Knows nothing of passwords, keys or HTTP. Reads touch one row each, so they run on the event loop.
// Source: docs/protocol/03 (Provider HTTP).

import { createHash, randomBytes } from 'node:crypto';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import { eventTables } from '../events/event-store.ts';
import { wakeUpTables } from '../wake-ups/push-store.ts';
import { type LiveDatabase, openLiveDatabase } from './database-writer.ts';
import { clockTable } from './provider-clock.ts';

export const sessionLimits = { lifetimeMs: 30 * 86_400_000, maxPerUser: 32 };

const versions = [
  // 0.1.0
  `CREATE TABLE users (
    identifier TEXT PRIMARY KEY, password_hash TEXT NOT NULL, created_at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY, identifier TEXT NOT NULL, expires_at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sessions_of ON sessions (identifier, expires_at_ms);
  CREATE INDEX sessions_end ON sessions (expires_at_ms);
  CREATE TABLE event_ids (
    issuer TEXT NOT NULL, jti TEXT NOT NULL, expires_at_ms INTEGER NOT NULL, PRIMARY KEY (issuer, jti)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX event_ids_end ON event_ids (expires_at_ms)`,
  wakeUpTables,
  // Whom the operator has suspended: no login, no proof.
  'ALTER TABLE users ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0',
  eventTables,
  clockTable,
];

export const providerDatabaseVersion = versions.length;

/** Opens the file, made with mode 0600, or `:memory:`. Throws a DatabaseVersionError on a file of a later version. */
export function openProviderDatabase(path: string): LiveDatabase {
  return openLiveDatabase(path, 'provider', versions);
}

/** What changes is on the disk when it resolves; a DatabaseWriteError says that it isn't. */
export type Sessions = {
  /** Begins a session: 256 random bits as base64url, of which only the hash is kept. The oldest beyond 32 end. */
  readonly begin: (identifier: string) => Promise<string>;
  /** Whose session this is; `undefined` when there is none or it has ended. */
  readonly find: (token: string) => string | undefined;
  readonly end: (token: string) => Promise<void>;
  /** Ends all sessions of one person: password changed, account closed. */
  readonly endAll: (identifier: string) => Promise<void>;
};

export function createSessions({ reads, write }: LiveDatabase, expiry: ExpiryClock): Sessions {
  const select = reads.prepare('SELECT identifier FROM sessions WHERE token_hash = ? AND expires_at_ms > ?');
  const trim = `DELETE FROM sessions WHERE token_hash IN (
    SELECT token_hash FROM sessions WHERE identifier = ? ORDER BY expires_at_ms DESC LIMIT -1 OFFSET ?)`;
  return {
    begin: async identifier => {
      const token = randomBytes(32).toString('base64url');
      await write(
        { sql: trim, values: [identifier, sessionLimits.maxPerUser - 1] },
        {
          sql: 'INSERT INTO sessions VALUES (?, ?, ?)',
          values: [hashOf(token), identifier, expiry.stampMs() + sessionLimits.lifetimeMs],
        },
      );
      return token;
    },
    find: token => {
      const identifier = select.get(hashOf(token), expiry.judgeMs())?.['identifier'];
      return typeof identifier === 'string' ? identifier : undefined;
    },
    end: async token =>
      void (await write({ sql: 'DELETE FROM sessions WHERE token_hash = ?', values: [hashOf(token)] })),
    endAll: async identifier =>
      void (await write({ sql: 'DELETE FROM sessions WHERE identifier = ?', values: [identifier] })),
  };
}

/** A token of 256 random bits needs no slow hash: it can't be guessed, only read from a stolen file. */
function hashOf(token: string): Uint8Array {
  return createHash('sha256').update(token).digest();
}

/** Takes an event id: true for the first caller, until it expires. */
export function createEventIds({
  write,
}: LiveDatabase): (id: {
  readonly issuer: string;
  readonly jti: string;
  readonly expiresAtMs: number;
}) => Promise<boolean> {
  return async ({ issuer, jti, expiresAtMs }) => {
    const sql = 'INSERT INTO event_ids VALUES (?, ?, ?) ON CONFLICT DO NOTHING';
    const [written] = await write({ sql, values: [issuer, jti, expiresAtMs] });
    return written?.changes === 1;
  };
}

/** Removes what has expired. */
export async function removeExpired({ write }: LiveDatabase, nowMs: number): Promise<void> {
  await write(
    { sql: 'DELETE FROM sessions WHERE expires_at_ms <= ?', values: [nowMs] },
    { sql: 'DELETE FROM event_ids WHERE expires_at_ms <= ?', values: [nowMs] },
  );
}
