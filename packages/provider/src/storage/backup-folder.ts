// A backup's folder: every file with its hash in `backup.json`, there whole or not at all; and the way back, which checks all of
// it first. Knows nothing of what is backed up.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { BackupError, exists, isSound, protect, syncFolder } from './database-copy.ts';
import { versionOf } from './database-file.ts';

const manifestFile = 'backup.json';
const maxManifestBytes = 65_536;

type BackedUpFile = { readonly path: string; readonly sizeBytes: number; readonly sha256: string };
/** What `backup.json` says: when, and each file with its hash. */
export type BackupManifest = {
  readonly format: 1;
  readonly takenAt: string;
  readonly files: readonly BackedUpFile[];
};

export type BackupKind = {
  /** Nothing else is taken back, whatever a manifest says. */
  readonly files: readonly string[];
  /** A backup without it is none of this kind. */
  readonly mainFile: string;
  /** The newest version of databases that this program reads, by file. */
  readonly versions: Readonly<Record<string, number>>;
};

/**
 * Fills `target`, which must not exist or be empty, by `copy`, which gives the paths of what it put there. The target appears
 * only when all of it is on disk, each file its owner's alone. Rejects with a BackupError.
 */
export async function takeBackup(
  target: string,
  nowMs: number,
  copy: (draft: string) => Promise<readonly string[]>,
): Promise<BackupManifest> {
  return await fillFolder(target, async draft => {
    const paths = await copy(draft);
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
export async function restoreBackup(backup: string, dataFolder: string, kind: BackupKind): Promise<BackupManifest> {
  const manifest = await readManifest(backup, kind);
  return await fillFolder(dataFolder, async draft => {
    for (const { path, sizeBytes, sha256 } of manifest.files) {
      const copy = join(draft, path);
      makeFolder(dirname(copy));
      await copyFile(join(backup, path), copy).catch(() => {
        throw new BackupError('backup-damaged', `${path} of ${backup} can't be read: take another backup.`);
      });
      const found = await digest(copy);
      if (found.sizeBytes !== sizeBytes || found.sha256 !== sha256) {
        throw new BackupError('backup-damaged', `${path} of ${backup} was changed or damaged: take another backup.`);
      }
      if (path.endsWith('.sqlite')) checkDatabase(copy, path, kind);
    }
    return { result: manifest, paths: manifest.files.map(file => file.path) };
  });
}

function checkDatabase(file: string, path: string, { versions }: BackupKind): void {
  const copy = new DatabaseSync(file, { readOnly: true });
  try {
    if (!isSound(copy)) throw new BackupError('backup-damaged', `${path} is damaged: take another backup.`);
    const newest = versions[path];
    if (newest !== undefined && versionOf(copy) > newest) {
      throw new BackupError('backup-newer', `${path} was written by a newer version: restore it with that version.`);
    }
  } finally {
    copy.close();
  }
}

function manifestSchema({ files }: BackupKind) {
  const closed = { additionalProperties: false };
  const file = Type.Object(
    {
      path: Type.Union(files.map(each => Type.Literal(each))),
      sizeBytes: Type.Integer({ minimum: 0 }),
      sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    },
    closed,
  );
  return Type.Object(
    {
      format: Type.Literal(1),
      takenAt: Type.String({ maxLength: 40 }),
      files: Type.Array(file, { minItems: 1, maxItems: files.length }),
    },
    closed,
  );
}

async function readManifest(backup: string, kind: BackupKind): Promise<BackupManifest> {
  const file = join(backup, manifestFile);
  const size = await stat(file).then(
    found => found.size,
    () => undefined,
  );
  if (size === undefined || size > maxManifestBytes) {
    throw new BackupError('not-a-backup', `${backup} holds no ${manifestFile}: name a folder that a backup made.`);
  }
  const parsed = parseJson(await readFile(file, 'utf8'));
  if (!Value.Check(manifestSchema(kind), parsed) || !parsed.files.some(each => each.path === kind.mainFile)) {
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
  makeDraft(draft);
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

function makeDraft(draft: string): void {
  try {
    makeFolder(draft);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
    throw new BackupError(
      'target-unusable',
      `${draft} can't be made (${code}): name a folder that this user may make.`,
    );
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
