// The audit log of a data folder or of a copy of it, for a command that checks it without a gatekeeper. Writes nothing.
// Knows nothing of what a fault means.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { versionOf } from '@drawbridge/provider/database-file';
import type { AuditEntry, AuditHead } from '../../audit/audit-log.ts';
import { AdminStoreError } from '../admin-store-error.ts';
import { auditReads } from './audit-commands.ts';
import { schemaVersion } from './schema.ts';

export type OpenAuditLog = {
  readonly page: (afterSeq: number, limit: number) => readonly AuditEntry[];
  readonly head: () => AuditHead | undefined;
  readonly close: () => void;
};

/** Throws an AdminStoreError when there is no database, or one of another version. The gatekeeper may run. */
export function openAuditLog(dataFolder: string): OpenAuditLog {
  const file = join(dataFolder, 'gatekeeper.sqlite');
  if (!existsSync(file)) throw new AdminStoreError('no-database', `${file} is not there: name a data folder`);
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    db.exec('PRAGMA busy_timeout=5000; PRAGMA query_only=1;');
    if (versionOf(db) !== schemaVersion) {
      const message = `${file} is of another version: start the gatekeeper of this version once`;
      throw new AdminStoreError('other-version', message);
    }
  } catch (error) {
    db.close();
    throw error;
  }
  return {
    page: (afterSeq, limit) => auditReads.auditPage(db, { afterSeq, limit }),
    head: () => auditReads.auditHead(db),
    close: () => db.close(),
  };
}
