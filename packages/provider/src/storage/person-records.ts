// What the provider's database keeps of one person: read for the person, and deleted when the account is closed.
// Knows nothing of files, open streams or HTTP. Source: docs/operations/running-a-provider.md.

import type { LiveDatabase } from './database-writer.ts';

/** Times are milliseconds since 1970. Neither the password's hash nor a token's is in it. */
export type KeptOfPerson = {
  /** Undefined when the person logs in elsewhere, or is unknown. */
  readonly login: { readonly registeredAtMs: number; readonly suspended: boolean } | undefined;
  readonly sessions: readonly { readonly expiresAtMs: number }[];
  readonly wakeUps: readonly { readonly gatekeeper: string; readonly attempts: number; readonly nextAtMs: number }[];
  readonly givenUpWakeUps: readonly {
    readonly gatekeeper: string;
    readonly attempts: number;
    readonly reason: string;
    readonly gaveUpAtMs: number;
  }[];
};

export type DeletedOfPerson = {
  readonly login: boolean;
  readonly sessions: number;
  /** The gatekeeper of each that waited. */
  readonly wakeUps: readonly string[];
  readonly givenUpWakeUps: number;
};

export type PersonRecords = {
  readonly read: (identifier: string) => KeptOfPerson;
  /** All or nothing, on the disk when it resolves; rejects with a DatabaseWriteError. Idempotent. */
  readonly remove: (identifier: string) => Promise<DeletedOfPerson>;
  /** No login and no proof until it is taken back; sessions end. False: there is no such login here. Idempotent. */
  readonly setSuspended: (identifier: string, suspended: boolean) => Promise<boolean>;
};

export function createPersonRecords({ reads, write }: LiveDatabase): PersonRecords {
  const login = reads.prepare('SELECT created_at_ms, suspended FROM users WHERE identifier = ?');
  const sessions = reads.prepare('SELECT expires_at_ms FROM sessions WHERE identifier = ? ORDER BY expires_at_ms');
  const wakeUps = reads.prepare(
    'SELECT gatekeeper, attempts, next_at_ms FROM wake_ups WHERE identifier = ? ORDER BY gatekeeper',
  );
  const givenUp = reads.prepare(
    'SELECT gatekeeper, attempts, reason, gave_up_at_ms FROM given_up_wake_ups WHERE identifier = ? ORDER BY id',
  );
  return {
    read(identifier) {
      const user = login.get(identifier);
      return {
        login:
          user === undefined
            ? undefined
            : { registeredAtMs: Number(user['created_at_ms']), suspended: user['suspended'] !== 0 },
        sessions: sessions.all(identifier).map(row => ({ expiresAtMs: Number(row['expires_at_ms']) })),
        wakeUps: wakeUps.all(identifier).map(row => ({
          gatekeeper: String(row['gatekeeper']),
          attempts: Number(row['attempts']),
          nextAtMs: Number(row['next_at_ms']),
        })),
        givenUpWakeUps: givenUp.all(identifier).map(row => ({
          gatekeeper: String(row['gatekeeper']),
          attempts: Number(row['attempts']),
          reason: String(row['reason']),
          gaveUpAtMs: Number(row['gave_up_at_ms']),
        })),
      };
    },
    async setSuspended(identifier, suspended) {
      const change = {
        sql: 'UPDATE users SET suspended = ? WHERE identifier = ?',
        values: [suspended ? 1 : 0, identifier],
      };
      const ending = { sql: 'DELETE FROM sessions WHERE identifier = ?', values: [identifier] };
      const [changed] = await write(change, ...(suspended ? [ending] : []));
      return changed?.changes === 1;
    },
    async remove(identifier) {
      const values = [identifier];
      const [user, ended, waiting, past] = await write(
        { sql: 'DELETE FROM users WHERE identifier = ?', values },
        { sql: 'DELETE FROM sessions WHERE identifier = ?', values },
        { sql: 'DELETE FROM wake_ups WHERE identifier = ? RETURNING gatekeeper', values, returning: true },
        { sql: 'DELETE FROM given_up_wake_ups WHERE identifier = ?', values },
      );
      return {
        login: user?.changes === 1,
        sessions: ended?.changes ?? 0,
        wakeUps: (waiting?.rows ?? []).map(row => String(row['gatekeeper'])),
        givenUpWakeUps: past?.changes ?? 0,
      };
    },
  };
}
