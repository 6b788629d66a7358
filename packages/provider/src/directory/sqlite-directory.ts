// The embedded user directory: identifiers and password hashes in the provider's database.
// Knows nothing of sessions, proofs or HTTP; attempts are counted where addresses are known (`attempt-budget.ts`).

import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import type { LiveDatabase } from '../storage/database-writer.ts';
import { createPasswordHasher, isPassword } from './password-hash.ts';
import type { UserDirectory } from './user-directory.ts';

export type SqliteDirectory = UserDirectory &
  Required<Pick<UserDirectory, 'register'>> & {
    /** Removes a user: no session of theirs gives a proof any more. True when there was one. */
    readonly remove: (identifier: string) => Promise<boolean>;
  };

export function createSqliteDirectory({ reads, write }: LiveDatabase, nowMs: () => number): SqliteDirectory {
  const hasher = createPasswordHasher();
  const select = reads.prepare('SELECT password_hash, suspended FROM users WHERE identifier = ?');
  return {
    authenticate: async (identifier, password) => {
      const row = select.get(identifier);
      const stored = row?.['password_hash'];
      const verified = await hasher.verify(password, typeof stored === 'string' ? stored : undefined);
      if (verified.kind !== 'matches') return { kind: verified.kind };
      return { kind: row?.['suspended'] === 0 ? 'authenticated' : 'refused' };
    },
    exists: async identifier => select.get(identifier)?.['suspended'] === 0,
    register: async (identifier, password) => {
      if (!isUserIdentifier(identifier)) return { kind: 'refused', code: 'identifier-refused' };
      if (!isPassword(password)) return { kind: 'refused', code: 'password-refused' };
      const hashed = await hasher.hash(password);
      if (hashed.kind === 'busy') return hashed;
      const [written] = await write({
        sql: 'INSERT INTO users (identifier, password_hash, created_at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
        values: [identifier, hashed.phc, nowMs()],
      });
      return written?.changes === 1 ? { kind: 'registered' } : { kind: 'refused', code: 'identifier-taken' };
    },
    remove: async identifier => {
      const [written] = await write({ sql: 'DELETE FROM users WHERE identifier = ?', values: [identifier] });
      return written?.changes === 1;
    },
  };
}
