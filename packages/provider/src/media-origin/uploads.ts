// What the media origin knows of each upload: whose, how large, how far, until when. Never a name, a type or a reader.
// Knows nothing of HTTP or of where the bytes lie.
// Source: docs/protocol/11-media.md section 11.5.

import { createHash, randomBytes } from 'node:crypto';
import { openLiveDatabase } from '../storage/database-writer.ts';

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

export type UploadCreation =
  | { readonly kind: 'created'; readonly id: string; readonly upload: Upload }
  | { readonly kind: 'quota-used-up' };

/** What changes is on the disk when it resolves; a DatabaseWriteError says that it isn't. */
export type Uploads = {
  /** Reserves the whole size. The id has 256 random bits: who knows it may read the file. */
  readonly create: (owner: string, sizeBytes: number, expiresAtMs: number) => Promise<UploadCreation>;
  /** By the identifier in the URL; undefined when it is unknown or has expired. */
  readonly find: (id: string) => Upload | undefined;
  /** False when it was removed meanwhile. */
  readonly advance: (name: string, offsetBytes: number, complete: boolean, expiresAtMs: number) => Promise<boolean>;
  readonly remove: (name: string) => Promise<void>;
  /** What uploads that have begun have still to send. */
  readonly promisedBytes: () => number;
  /** Names that have expired, at most `limit`. */
  readonly expired: (limit: number) => readonly string[];
  readonly has: (name: string) => boolean;
  /** All of this person that still have a row, the expired ones too. */
  readonly ofOwner: (owner: string) => readonly Upload[];
  readonly close: () => Promise<void>;
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

export const uploadsVersion = versions.length;

/** In one statement, so that of two at once only those succeed that fit together. */
const insert = `INSERT INTO uploads SELECT ?1, ?2, ?3, 0, 0, ?4 FROM (
    SELECT count(*) AS uploads, coalesce(sum(size_bytes), 0) AS bytes FROM uploads WHERE owner = ?2 AND expires_at_ms > ?5
  ) WHERE uploads < ?6 AND bytes + ?3 <= ?7`;

/** Opens the file, made with mode 0600. Throws a DatabaseVersionError on a file of a later version. */
export function openUploads(path: string, quota: UploadQuota, nowMs: () => number): Uploads {
  const { reads, write, close } = openLiveDatabase(path, 'media', versions);
  const columns =
    'name, owner, size_bytes AS sizeBytes, offset_bytes AS offsetBytes, complete, expires_at_ms AS expiresAtMs';
  const select = reads.prepare(`SELECT ${columns} FROM uploads WHERE name = ? AND expires_at_ms > ?`);
  const owned = reads.prepare(`SELECT ${columns} FROM uploads WHERE owner = ? ORDER BY expires_at_ms`);
  const expired = reads.prepare('SELECT name FROM uploads WHERE expires_at_ms <= ? LIMIT ?');
  const known = reads.prepare('SELECT 1 FROM uploads WHERE name = ?');
  const promised = reads.prepare(
    'SELECT coalesce(sum(size_bytes - offset_bytes), 0) AS bytes FROM uploads WHERE complete = 0 AND expires_at_ms > ?',
  );
  const namesOf = (rows: readonly Readonly<Record<string, unknown>>[]): string[] =>
    rows.map(row => String(row['name']));

  return {
    async create(owner, sizeBytes, expiresAtMs) {
      const id = randomBytes(32).toString('base64url');
      const name = nameOf(id);
      const { uploadsPerUser, bytesPerUser } = quota;
      const values = [name, owner, sizeBytes, expiresAtMs, nowMs(), uploadsPerUser, bytesPerUser];
      const [written] = await write({ sql: insert, values });
      if (written?.changes !== 1) return { kind: 'quota-used-up' };
      return {
        kind: 'created',
        id,
        upload: { name, owner, sizeBytes, offsetBytes: 0, complete: false, expiresAtMs },
      };
    },
    find(id) {
      const row = select.get(nameOf(id), nowMs()) as UploadRow | undefined;
      return row === undefined ? undefined : readUpload(row);
    },
    async advance(name, offsetBytes, complete, expiresAtMs) {
      const [written] = await write({
        sql: 'UPDATE uploads SET offset_bytes = ?, complete = ?, expires_at_ms = ? WHERE name = ? AND complete = 0',
        values: [offsetBytes, complete ? 1 : 0, expiresAtMs, name],
      });
      return written?.changes === 1;
    },
    remove: async name => void (await write({ sql: 'DELETE FROM uploads WHERE name = ?', values: [name] })),
    promisedBytes: () => Number(promised.get(nowMs())?.['bytes']),
    expired: limit => namesOf(expired.all(nowMs(), limit)),
    has: name => known.get(name) !== undefined,
    ofOwner: owner => (owned.all(owner) as UploadRow[]).map(readUpload),
    close,
  };
}

type UploadRow = Omit<Upload, 'complete'> & { readonly complete: number };

function readUpload(row: UploadRow): Upload {
  return { ...row, complete: row.complete === 1 };
}

function nameOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}
