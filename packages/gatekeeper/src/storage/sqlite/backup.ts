// A copy of all that a gatekeeper keeps, taken while it runs and checked before it counts; and the way back.
// Files of own users' media origin are not in it: they never change, and are copied afterwards by other means.
// Knows nothing of tables. Source: docs/operations/running-a-gatekeeper.md (Backup and restore).
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { backupProvider } from '@drawbridge/provider/backup';
import { BackupError, copyDatabase, exists, isSound, protect, syncFolder } from '@drawbridge/provider/database-copy';
import { versionOf } from '@drawbridge/provider/database-file';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { schemaVersion } from './schema.ts';

const database = 'gatekeeper.sqlite';
/** Those that are there: a gatekeeper makes what it lacks. */
const keyFiles = ['compact-keys.json', 'compact-backup-key.json', 'event-keys.json', 'media-grant-key', 'admin-token'];
const ownUsers = 'users';
const manifestFile = 'backup.json';
const maxManifestBytes = 65_536;
/** Nothing else is taken back, whatever a manifest says. */
const knownFiles = [
  database,
  ...keyFiles,
  ...['provider.sqlite', 'signing-keys.json', 'media/media.sqlite'].map(file => `${ownUsers}/${file}`),
];

const manifestSchema = Type.Object(
  {
    format: Type.Literal(1),
    takenAt: Type.String({ maxLength: 40 }),
    files: Type.Array(
      Type.Object(
        {
          path: Type.Union(knownFiles.map(file => Type.Literal(file))),
          sizeBytes: Type.Integer({ minimum: 0 }),
          sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: knownFiles.length },
    ),
  },
  { additionalProperties: false },
);
type BackedUpFile = { readonly path: string; readonly sizeBytes: number; readonly sha256: string };
/** What `backup.json` says: when, and each file with its hash. */
export type BackupManifest = {
  readonly format: 1;
  readonly takenAt: string;
  readonly files: readonly BackedUpFile[];
};

/**
 * Copies databases and keys of a data folder to `target`, which must not exist or be empty. The gatekeeper may run: what it
 * had acknowledged before the call is in the copy. Each database copy passes SQLite's integrity check. The target appears
 * only when all of it is on disk. It holds keys: guard it like the data folder. Rejects with a BackupError.
 */
export async function backupGatekeeper(dataFolder: string, target: string, nowMs: number): Promise<BackupManifest> {
  if (!(await exists(join(dataFolder, database)))) {
    throw new BackupError('nothing-to-back-up', `${dataFolder} holds no gatekeeper: name its configuration.`);
  }
  return await fillFolder(target, async draft => {
    await copyDatabase(join(dataFolder, database), join(draft, database));
    const paths = [database];
    for (const file of keyFiles) {
      if (!(await exists(join(dataFolder, file)))) continue;
      await copyFile(join(dataFolder, file), join(draft, file));
      paths.push(file);
    }
    if (await exists(join(dataFolder, ownUsers, 'provider.sqlite'))) {
      const { files } = await backupProvider(join(dataFolder, ownUsers), join(draft, ownUsers));
      paths.push(...files.map(file => `${ownUsers}/${file}`));
    }
    const files: BackedUpFile[] = [];
    for (const path of paths) files.push({ path, ...(await digest(join(draft, path))) });
    const manifest: BackupManifest = { format: 1, takenAt: new Date(nowMs).toISOString(), files };
    await writeFile(join(draft, manifestFile), `${JSON.stringify(manifest, undefined, 2)}\n`, { mode: 0o600 });
    return { result: manifest, paths: [...paths, manifestFile] };
  });
}

/**
 * Makes a data folder, which must not exist or be empty, from a backup. Every file is compared with the hash that was taken
 * with it and every database is checked; nothing appears before all of it is on disk. The backup is left as it is.
 * Rejects with a BackupError.
 */
export async function restoreGatekeeper(backup: string, dataFolder: string): Promise<BackupManifest> {
  const manifest = await readManifest(backup);
  return await fillFolder(dataFolder, async draft => {
    for (const { path, sizeBytes, sha256 } of manifest.files) {
      const copy = join(draft, path);
      await mkdir(dirname(copy), { recursive: true, mode: 0o700 });
      await copyFile(join(backup, path), copy).catch(() => {
        throw new BackupError('backup-damaged', `${path} of ${backup} can't be read: take another backup.`);
      });
      const found = await digest(copy);
      if (found.sizeBytes !== sizeBytes || found.sha256 !== sha256) {
        throw new BackupError('backup-damaged', `${path} of ${backup} was changed or damaged: take another backup.`);
      }
      if (path.endsWith('.sqlite')) checkDatabase(copy, path);
    }
    return { result: manifest, paths: manifest.files.map(file => file.path) };
  });
}

function checkDatabase(file: string, path: string): void {
  const copy = new DatabaseSync(file, { readOnly: true });
  try {
    if (!isSound(copy)) throw new BackupError('backup-damaged', `${path} is damaged: take another backup.`);
    if (path === database && versionOf(copy) > schemaVersion) {
      throw new BackupError('backup-newer', `${path} was written by a newer version: restore it with that version.`);
    }
  } finally {
    copy.close();
  }
}

async function readManifest(backup: string): Promise<BackupManifest> {
  const file = join(backup, manifestFile);
  const size = await stat(file).then(
    found => found.size,
    () => undefined,
  );
  if (size === undefined || size > maxManifestBytes) {
    throw new BackupError('not-a-backup', `${backup} holds no ${manifestFile}: name a folder that a backup made.`);
  }
  const parsed = parseJson(await readFile(file, 'utf8'));
  if (!Value.Check(manifestSchema, parsed) || !parsed.files.some(each => each.path === database)) {
    throw new BackupError('not-a-backup', `${file} is not of this form: it is damaged, or of a newer version.`);
  }
  return parsed;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Fills a folder that appears whole or not at all; what an interrupted call left beside it is removed. */
async function fillFolder<T>(
  folder: string,
  fill: (draft: string) => Promise<{ readonly result: T; readonly paths: readonly string[] }>,
): Promise<T> {
  const target = resolve(folder);
  if ((await exists(target)) && (await readdir(target)).length > 0) {
    throw new BackupError('target-in-use', `${target} is not empty: name a folder that does not exist yet.`);
  }
  const draft = `${target}.part`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  try {
    const { result, paths } = await fill(draft);
    for (const path of paths) await protect(join(draft, path));
    for (const path of paths) await syncFolder(dirname(join(draft, path)));
    await rm(target, { recursive: true, force: true });
    await rename(draft, target);
    await syncFolder(dirname(target));
    return result;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

async function digest(file: string): Promise<{ readonly sizeBytes: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    hash.update(chunk);
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}
