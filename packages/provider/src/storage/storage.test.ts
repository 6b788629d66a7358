// Databases of version 0.1.0 come forward with all they hold; one process per folder; a backup of a provider that runs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { createSqliteDirectory } from '../directory/sqlite-directory.ts';
import { openUploads } from '../media-origin/uploads.ts';
import { createProvider, type Provider } from '../provider.ts';
import { createEventIds, createSessions, openProviderDatabase } from './provider-database.ts';
import { backupProvider, restoreProvider } from './backup.ts';
import { BackupError } from './database-copy.ts';
import { DatabaseVersionError, openDatabaseFile, versionOf } from './database-file.ts';
import { FolderInUseError, lockDataFolder } from './folder-lock.ts';

const nowMs = 1_795_000_000_001;
const now = (): number => nowMs;
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-provider-'));
  folders.push(folder);
  return folder;
}
const released = (name: string): URL => new URL(`../testing/${name}-0.1.0.sqlite`, import.meta.url);
const quota = { bytesPerUser: 1e9, uploadsPerUser: 100 };

test('the provider database of 0.1.0 opens with its people, sessions and used events', async () => {
  const file = join(newFolder(), 'provider.sqlite');
  copyFileSync(released('provider'), file);
  const database = openProviderDatabase(file);
  assert.equal((await createSqliteDirectory(database, now).authenticate('mia', 'correct horse')).kind, 'authenticated');
  assert.equal(
    createSessions(database, { stampMs: now, judgeMs: now }).find('0oDoQjdmum559jAC8OZkwJUcPkgT_VZUcy9h1FXeyDE'),
    'mia',
  );
  const event = { issuer: 'https://citadel.example', jti: 'A'.repeat(16), expiresAtMs: nowMs + 1 };
  assert.equal(await createEventIds(database)(event), false);
  await database.close();
});

test('the media database of 0.1.0 comes forward with whole and begun uploads', async () => {
  const file = join(newFolder(), 'media.sqlite');
  copyFileSync(released('media'), file);
  for (let round = 0; round < 2; round++) {
    const uploads = openUploads(file, quota, now);
    assert.equal(uploads.find('9kxKQki4rHLoz8iPjfoqXX3JL-BmNgPh5vHagnQmPzc')?.complete, true);
    assert.equal(uploads.find('lBGFrIkTOLO1DnpMiUkbB1eTohqnVvy6hjcRQJQn2D0')?.offsetBytes, 2_000);
    assert.equal(uploads.promisedBytes(), 3_000);
    await uploads.close();
  }
});

test('a database of a later version is left alone, a step that fails changes nothing', () => {
  const file = join(newFolder(), 'x.sqlite');
  openDatabaseFile(file, 'x', ['CREATE TABLE a (b)', 'CREATE TABLE c (d)']).close();
  assert.throws(() => openDatabaseFile(file, 'x', ['CREATE TABLE a (b)']), DatabaseVersionError);
  assert.throws(
    () => openDatabaseFile(file, 'x', ['', '', 'CREATE TABLE e (f); CREATE TABLE a (b)']),
    /already exists/,
  );
  const database = new DatabaseSync(file);
  assert.equal(versionOf(database), 2);
  assert.equal(database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'e'").get()?.['n'], 0);
  database.close();
});

test('a folder has one provider, and can be taken again when that has ended', () => {
  const folder = newFolder();
  const unlock = lockDataFolder(folder);
  assert.throws(() => lockDataFolder(folder), FolderInUseError);
  unlock();
  lockDataFolder(folder)();
});

async function running(folder: string): Promise<Provider> {
  return await createProvider({
    issuer: 'https://skylark.example',
    gatekeepers: [{ issuer: 'https://citadel.example' }],
    dataFolder: folder,
    media: {},
  });
}

test('a second provider on one data folder is refused with a sentence, and the first goes on', async () => {
  const folder = newFolder();
  const first = await running(folder);
  await assert.rejects(running(folder), (error: unknown) => {
    assert.ok(error instanceof FolderInUseError);
    assert.match(error.message, /Another provider is using .*: stop it/);
    return true;
  });
  assert.equal(first.keySet().keys.length, 1);
  await first.close();
  await (await running(folder)).close();
});

test('a backup of a running provider is a provider: the same people and keys', async () => {
  const folder = newFolder();
  const provider = await running(folder);
  await provider.directory.register?.('mia', 'correct horse');
  const target = join(newFolder(), 'copy');
  // Somebody writes while it is taken.
  const writing = provider.directory.register?.('otto', 'correct horse');
  const { files } = await backupProvider(folder, target);
  await writing;
  const paths = files.map(file => file.path);
  assert.deepEqual(paths, ['provider.sqlite', 'media/media.sqlite', 'signing-keys.json']);
  for (const file of [...paths, 'backup.json']) assert.equal(statSync(join(target, file)).mode & 0o777, 0o600);
  await provider.directory.register?.('late', 'correct horse');
  const keys = provider.keySet();
  await provider.close();
  await assert.rejects(restoreProvider(target, folder), /is not empty/);
  const home = join(newFolder(), 'restored');
  await restoreProvider(target, home);
  const restored = await running(home);
  assert.deepEqual(restored.keySet(), keys);
  assert.equal(await restored.directory.exists('mia'), true);
  assert.equal(await restored.directory.exists('late'), false);
  await restored.close();
});

test('a backup that was changed, is none or is newer makes nothing', async () => {
  const folder = newFolder();
  await (await running(folder)).close();
  const backup = join(newFolder(), 'copy');
  await backupProvider(folder, backup);
  const home = join(newFolder(), 'restored');
  const codeOf = async (): Promise<unknown> => {
    const code = await restoreProvider(backup, home).catch((error: unknown) =>
      error instanceof BackupError ? error.code : error,
    );
    assert.equal(existsSync(home), false);
    assert.equal(existsSync(`${home}.part`), false);
    return code;
  };
  const file = join(backup, 'provider.sqlite');
  const newer = new DatabaseSync(file);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  assert.equal(await codeOf(), 'backup-damaged');
  const manifest = join(backup, 'backup.json');
  const text = readFileSync(manifest, 'utf8');
  const bytes = readFileSync(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const honest = JSON.parse(text) as { files: { path: string; sha256: string; sizeBytes: number }[] };
  const files = honest.files.map(each =>
    each.path === 'provider.sqlite' ? { ...each, sha256, sizeBytes: bytes.length } : each,
  );
  writeFileSync(manifest, JSON.stringify({ ...honest, files }));
  assert.equal(await codeOf(), 'backup-newer');
  writeFileSync(manifest, text.replace('provider.sqlite', '../provider.sqlite'));
  assert.equal(await codeOf(), 'not-a-backup');
  rmSync(manifest);
  assert.equal(await codeOf(), 'not-a-backup');
});

test('a backup overwrites nothing, and says when there is nothing to copy or the copy is damaged', async () => {
  const folder = newFolder();
  const codeOf = async (from: string, to: string): Promise<unknown> =>
    await backupProvider(from, to).catch((error: unknown) => (error instanceof BackupError ? error.code : error));
  assert.equal(await codeOf(folder, join(newFolder(), 'copy')), 'nothing-to-back-up');
  await (await running(folder)).close();
  const full = newFolder();
  writeFileSync(join(full, 'x'), 'x');
  assert.equal(await codeOf(folder, full), 'target-in-use');
  assert.equal(readFileSync(join(full, 'x'), 'utf8'), 'x');

  const broken = newFolder();
  mkdirSync(join(broken, 'media'));
  const file = join(broken, 'provider.sqlite');
  await openProviderDatabase(file).close();
  const database = new DatabaseSync(file);
  database.exec("INSERT INTO users (identifier, password_hash, created_at_ms) VALUES ('mia', 'x', 0)");
  // An index that no longer agrees with its table.
  database.enableDefensive(false);
  database.exec("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'sessions_end';");
  database.close();
  assert.equal(await codeOf(broken, join(newFolder(), 'copy')), 'copy-damaged');
});

test('a backup to where no folder can be made ends with a sentence', { timeout: 30_000 }, async () => {
  const folder = newFolder();
  const provider = await running(folder);
  await assert.rejects(backupProvider(folder, '/proc/drawbridge/copy'), (error: unknown) => {
    assert.ok(error instanceof BackupError);
    assert.equal(error.code, 'target-unusable');
    assert.match(error.message, /name a folder/);
    return true;
  });
  await provider.close();
});
