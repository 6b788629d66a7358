// All that is kept of a person is shown to that person and deleted with the account; nothing of it comes back, whatever was
// under way.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { beginSessionOf } from './directory/begin-session.ts';
import { createSqliteDirectory } from './directory/sqlite-directory.ts';
import { createDiskMediaStore, MediaStoreError } from './media-origin/media-store.ts';
import { createProvider, type Provider, type ProviderOptions } from './provider.ts';
import { createPersonRecords } from './storage/person-records.ts';
import { createSessions, openProviderDatabase } from './storage/provider-database.ts';

const nowMs = 1_790_000_000_000;
const open: (() => unknown)[] = [];
after(async () => {
  for (const close of open.reverse()) await close();
});

type World = { readonly provider: Provider; readonly folder: string; readonly media: string };

async function world(change: Partial<ProviderOptions> = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-person-'));
  const server = createServer((request, response) => provider.handler(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = await createProvider({
    issuer,
    gatekeepers: [{ issuer: 'https://citadel.example' }],
    dataFolder: folder,
    media: {},
    nowMs: () => nowMs,
    expiry: { stampMs: () => nowMs, judgeMs: () => nowMs },
    ...change,
  });
  open.push(
    () => rmSync(folder, { recursive: true, force: true }),
    () => provider.close(),
    () => {
      server.closeAllConnections();
      server.close();
    },
  );
  return { provider, folder, media: `${issuer}/media` };
}

async function sessionOf(provider: Provider, identifier: string): Promise<string> {
  const begun = await provider.beginSession(identifier);
  assert.ok(begun.kind === 'begun');
  return begun.session;
}

async function upload(at: World, session: string, sizeBytes: number, bytes: Uint8Array): Promise<Response> {
  return await fetch(at.media, {
    method: 'POST',
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': String(sizeBytes),
      'content-type': 'application/offset+octet-stream',
      authorization: `Bearer ${session}`,
    },
    body: Buffer.from(bytes),
  });
}

/** Tables of the provider in which something still names the person. */
function rowsLeft(folder: string, identifier: string): string[] {
  return ['provider.sqlite', 'media/media.sqlite'].flatMap(file => {
    const database = new DatabaseSync(join(folder, file), { readOnly: true });
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const named = tables.filter(({ name }) =>
      database
        .prepare(`SELECT * FROM ${String(name)}`)
        .all()
        .some(row => Object.values(row).includes(identifier)),
    );
    database.close();
    return named.map(({ name }) => String(name));
  });
}

const filesIn = (folder: string): string[] =>
  readdirSync(join(folder, 'media', 'files'), { recursive: true, withFileTypes: true })
    .filter(each => each.isFile())
    .map(each => each.name);

test('what is kept of a person is shown without hashes, and goes with the account, from the disk too', async () => {
  const push = Promise.withResolvers<void>();
  const at = await world({ onWakeUp: () => push.promise });
  const { provider, folder } = at;
  for (const each of ['anna', 'bert']) await provider.directory.register?.(each, 'correct horse');
  const session = await sessionOf(provider, 'anna');
  const berts = await sessionOf(provider, 'bert');
  const whole = await upload(at, session, 4, new Uint8Array(4));
  await upload(at, session, 10, new Uint8Array(3));
  await upload(at, berts, 4, new Uint8Array(4));
  for (const each of ['anna', 'bert']) provider.wake(each);
  while (provider.wakeUps?.report().waiting !== 2) await new Promise(resolve => setTimeout(resolve, 2));
  while (rowsLeft(folder, 'bert').length < 4) await new Promise(resolve => setTimeout(resolve, 2));
  const database = new DatabaseSync(join(folder, 'provider.sqlite'), { readOnly: true });
  const hash = String(
    database.prepare("SELECT password_hash FROM users WHERE identifier = 'anna'").get()?.['password_hash'],
  );
  database.close();
  assert.match(hash, /^\$/);
  const day = 86_400_000;
  const shown = await provider.exportPerson('anna');
  assert.deepEqual(shown, {
    login: { registeredAtMs: nowMs, suspended: false },
    sessions: [{ expiresAtMs: nowMs + 30 * day }],
    wakeUps: [{ gatekeeper: 'https://citadel.example', attempts: 0, nextAtMs: nowMs }],
    givenUpWakeUps: [],
    files: [
      { sizeBytes: 10, keptBytes: 3, complete: false, expiresAtMs: nowMs + day },
      { sizeBytes: 4, keptBytes: 4, complete: true, expiresAtMs: nowMs + 45 * day },
    ],
  });
  assert.deepEqual(rowsLeft(folder, 'anna'), ['users', 'sessions', 'wake_ups', 'uploads'], 'each of these is shown');

  const removed = { login: true, sessions: 1, files: { count: 2, bytes: 7 }, wakeUps: 1 };
  assert.deepEqual(await provider.removePerson('anna'), removed);
  assert.deepEqual(rowsLeft(folder, 'anna'), []);
  assert.equal(filesIn(folder).length, 1);
  assert.equal((await fetch(String(whole.headers.get('location')))).status, 404);
  assert.equal((await upload(at, session, 4, new Uint8Array(4))).status, 401);
  assert.equal(provider.wakeUps?.report().waiting, 1);
  assert.equal(await provider.directory.exists('anna'), false);
  assert.deepEqual(await provider.removePerson('anna'), {
    login: false,
    sessions: 0,
    files: { count: 0, bytes: 0 },
    wakeUps: 0,
  });
  const nothing = { login: undefined, sessions: [], wakeUps: [], givenUpWakeUps: [], files: [] };
  assert.deepEqual(await provider.exportPerson('anna'), nothing);
  assert.deepEqual(rowsLeft(folder, 'bert'), ['users', 'sessions', 'wake_ups', 'uploads'], 'nobody else is touched');
  push.resolve();
  await provider.close();
  assert.ok(
    !readFileSync(join(folder, 'provider.sqlite')).includes(hash),
    'the hash is overwritten, not only unlinked',
  );
});

test('files that the storage would not remove are found again by the next call', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-person-store-'));
  const disk = createDiskMediaStore(folder);
  let isDown = true;
  const remove = async (name: string): Promise<void> => {
    if (isDown) throw new MediaStoreError('storage-unavailable', 'the bucket does not answer');
    await disk.remove(name);
  };
  const at = await world({ media: { store: { ...disk, remove } } });
  await at.provider.directory.register?.('anna', 'correct horse');
  await upload(at, await sessionOf(at.provider, 'anna'), 4, new Uint8Array(4));
  await assert.rejects(at.provider.removePerson('anna'), MediaStoreError);
  assert.equal(await at.provider.directory.exists('anna'), false);
  isDown = false;
  const removed = { login: false, sessions: 0, files: { count: 1, bytes: 4 }, wakeUps: 0 };
  assert.deepEqual(await at.provider.removePerson('anna'), removed);
  for await (const name of disk.names()) assert.fail(name);
  rmSync(folder, { recursive: true });
});

test('a login that is judged while its account is closed begins no session', async () => {
  const database = openProviderDatabase(':memory:');
  const sessions = createSessions(database, { stampMs: () => nowMs, judgeMs: () => nowMs });
  const directory = createSqliteDirectory(database, () => nowMs);
  const records = createPersonRecords(database);
  await directory.register('anna', 'correct horse');
  assert.equal((await directory.authenticate('anna', 'correct horse')).kind, 'authenticated');
  await records.remove('anna');
  assert.equal(await beginSessionOf(sessions, directory, 'anna'), undefined);
  assert.deepEqual(records.read('anna').sessions, []);
  await directory.register('anna', 'another horse');
  assert.equal(typeof (await beginSessionOf(sessions, directory, 'anna')), 'string');
  await database.close();
});

test('an upload that is created while its account is closed is not kept', async () => {
  let asked = 0;
  const at = await world({
    directory: {
      authenticate: async () => ({ kind: 'refused' }),
      // There for the session and for the first look at the upload, and gone then.
      exists: async () => ++asked <= 3,
    },
  });
  const session = await sessionOf(at.provider, 'anna');
  assert.equal((await upload(at, session, 4, new Uint8Array(4))).status, 401);
  assert.deepEqual((await at.provider.exportPerson('anna')).files, []);
});
