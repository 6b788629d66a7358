// What the media origin knows of each upload: whose, how large, how far, until when. Never a name, a type or a reader.
// Knows nothing of HTTP or of where the bytes lie.
// Source: docs/protocol/11-media.md section 11.5.

import { createHash, randomBytes } from 'node:crypto';
import { openDatabaseFile } from '../storage/database-file.ts';

export type UploadQuota = {
  /** Bytes of one person's uploads that have not expired, begun ones at their full size. */
  readonly bytesPerUser: number;
  readonly uploadsPerUser: number;
};

export type Upload = {
  /** SHA-256 of the identifier in the URL, as hexadecimal: the disk and its thief don't know the URLs. */
  readonly name: string;
  /** The person at this provider who may go on with it and remove it. */
  readonly owner: string;
  readonly sizeBytes: number;
  /** The number of bytes that are on disk for sure. */
  readonly offsetBytes: number;
  readonly complete: boolean;
  readonly expiresAtMs: number;
};

export type Uploads = {
  /** Reserves the whole size. The id has 256 random bits: who knows it may read the file. */
  readonly create: (
    owner: string,
    sizeBytes: number,
    expiresAtMs: number,
  ) => { readonly kind: 'created'; readonly id: string; readonly upload: Upload } | { readonly kind: 'quota-used-up' };
  /** By the identifier in the URL; undefined when it is unknown or has expired. */
  readonly find: (id: string) => Upload | undefined;
  /** False when it was removed meanwhile. */
  readonly advance: (name: string, offsetBytes: number, complete: boolean, expiresAtMs: number) => boolean;
  readonly remove: (name: string) => void;
  /** What uploads that have begun have still to send. */
  readonly promisedBytes: () => number;
  /** Names that have expired, at most `limit`. */
  readonly expired: (limit: number) => readonly string[];
  readonly has: (name: string) => boolean;
  readonly removeAllOf: (owner: string) => readonly string[];
  readonly close: () => void;
};

const versions = [
  // 0.1.0
  `CREATE TABLE uploads (
    name TEXT PRIMARY KEY, owner TEXT NOT NULL, size_bytes INTEGER NOT NULL, offset_bytes INTEGER NOT NULL,
    complete INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX uploads_of ON uploads (owner, expires_at_ms, size_bytes);
  CREATE INDEX uploads_end ON uploads (expires_at_ms)`,
  // What begun uploads were promised is added up before each new one.
  'CREATE INDEX uploads_begun ON uploads (expires_at_ms, size_bytes, offset_bytes) WHERE complete = 0',
];

/** Opens the file, made with mode 0600. Throws a DatabaseVersionError on a file of a later version. */
export function openUploads(path: string, quota: UploadQuota, nowMs: () => number): Uploads {
  const database = openDatabaseFile(path, 'media', versions);
  const used = database.prepare(
    'SELECT count(*) AS uploads, coalesce(sum(size_bytes), 0) AS bytes FROM uploads WHERE owner = ? AND expires_at_ms > ?',
  );
  const insert = database.prepare('INSERT INTO uploads VALUES (?, ?, ?, 0, 0, ?)');
  const select = database.prepare(`SELECT name, owner, size_bytes AS sizeBytes, offset_bytes AS offsetBytes, complete,
    expires_at_ms AS expiresAtMs FROM uploads WHERE name = ? AND expires_at_ms > ?`);
  const update = database.prepare(
    'UPDATE uploads SET offset_bytes = ?, complete = ?, expires_at_ms = ? WHERE name = ? AND complete = 0',
  );
  const remove = database.prepare('DELETE FROM uploads WHERE name = ?');
  const expired = database.prepare('SELECT name FROM uploads WHERE expires_at_ms <= ? LIMIT ?');
  const known = database.prepare('SELECT 1 FROM uploads WHERE name = ?');
  const removeAll = database.prepare('DELETE FROM uploads WHERE owner = ? RETURNING name');
  const promised = database.prepare(
    'SELECT coalesce(sum(size_bytes - offset_bytes), 0) AS bytes FROM uploads WHERE complete = 0 AND expires_at_ms > ?',
  );
  const namesOf = (rows: readonly Record<string, unknown>[]): string[] => rows.map(row => String(row['name']));

  return {
    create(owner, sizeBytes, expiresAtMs) {
      // One process, and nothing waits between the question and the answer: no other upload comes between.
      const { uploads, bytes } = used.get(owner, nowMs()) as { uploads: number; bytes: number };
      if (uploads >= quota.uploadsPerUser || bytes + sizeBytes > quota.bytesPerUser) return { kind: 'quota-used-up' };
      const id = randomBytes(32).toString('base64url');
      const name = nameOf(id);
      insert.run(name, owner, sizeBytes, expiresAtMs);
      return {
        kind: 'created',
        id,
        upload: { name, owner, sizeBytes, offsetBytes: 0, complete: false, expiresAtMs },
      };
    },
    find(id) {
      const row = select.get(nameOf(id), nowMs()) as (Omit<Upload, 'complete'> & { complete: number }) | undefined;
      return row === undefined ? undefined : { ...row, complete: row.complete === 1 };
    },
    advance: (name, offsetBytes, complete, expiresAtMs) =>
      update.run(offsetBytes, complete ? 1 : 0, expiresAtMs, name).changes === 1,
    remove: name => void remove.run(name),
    promisedBytes: () => Number(promised.get(nowMs())?.['bytes']),
    expired: limit => namesOf(expired.all(nowMs(), limit)),
    has: name => known.get(name) !== undefined,
    removeAllOf: owner => namesOf(removeAll.all(owner)),
    close: () => database.close(),
  };
}

function nameOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}
