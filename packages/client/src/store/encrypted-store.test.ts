// The store as a stranger with the file sees it, as two processes see it, and after kill -9.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import { openSignalSuite } from '@drawbridge/e2ee/sessions';
import { openEncryptedStore } from './encrypted-store.ts';
import { SCHEMA_VERSION } from './migrations.ts';
import { openable, type SealedRow, sealedIn } from '../testing/raw-store.ts';
import { type EncryptedStore, MAX_VALUE_BYTES, type StoreTable, tableLimits } from './store.ts';
import type { KeySource } from './store-keys.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-store-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const freshPath = (): string => join(folder, `${++count}`, 'store.db');
const key: KeySource = { kind: 'key', key: randomBytes(32) };
const bytes = (text: string): Buffer => Buffer.from(text);

async function open(path: string, source: KeySource = key): Promise<EncryptedStore> {
  const opened = await openEncryptedStore({ path, key: source });
  assert(opened.ok, opened.ok ? '' : opened.error.message);
  return opened.value;
}

async function refusal(path: string, source: KeySource = key): Promise<string> {
  const opened = await openEncryptedStore({ path, key: source });
  assert(!opened.ok);
  return opened.error.code;
}

function put(store: EncryptedStore, table: StoreTable, name: string, value: Uint8Array, scope?: string): void {
  assert(store.transaction(tx => tx.put(table, name, value, scope)).ok);
}

function get(store: EncryptedStore, table: StoreTable, name: string): string | undefined {
  const got = store.transaction(tx => tx.get(table, name)?.toString());
  assert(got.ok, got.ok ? '' : got.error.message);
  return got.value;
}

test('rows last, in order, by scope, and are replaced in their place', async () => {
  const path = freshPath();
  let store = await open(path);
  for (let i = 0; i < 10; i++) put(store, 'message', `m${i}`, bytes(`text ${i}`), i % 2 === 0 ? 'even' : 'odd');
  put(store, 'message', 'm2', bytes('edited'), 'even');
  put(store, 'outbox', 'm2', bytes('another table'));
  store.close();
  store = await open(path);
  const read = store.transaction(tx => {
    const even = tx.list('message', { scope: 'even' });
    const newest = tx.list('message', { newest: true, limit: 3 });
    const before = tx.list('message', { newest: true, limit: 2, before: newest.at(-1)!.sequence });
    const later = tx.list('message', { scope: 'even', after: even[3]!.sequence });
    return [even, newest, before, later].map(rows => rows.map(row => `${row.key} ${row.value.toString()}`));
  });
  assert.deepEqual(read.ok && read.value, [
    ['m0 text 0', 'm2 edited', 'm4 text 4', 'm6 text 6', 'm8 text 8'],
    ['m9 text 9', 'm8 text 8', 'm7 text 7'],
    ['m6 text 6', 'm5 text 5'],
    ['m8 text 8'],
  ]);
  const changed = store.transaction(tx => {
    tx.deleteScope('message', 'odd');
    return [
      tx.count('message'),
      tx.count('message', 'even'),
      tx.delete('message', 'm0'),
      tx.delete('message', 'm0'),
      tx.count('outbox'),
    ];
  });
  assert.deepEqual(changed.ok && changed.value, [5, 5, true, false, 1]);
  store.close();
});

test('a transaction is done as a whole or not at all', async () => {
  const store = await open(freshPath());
  assert.throws(
    () =>
      store.transaction(tx => {
        tx.put('setting', 'a', bytes('1'));
        throw new Error('broken code');
      }),
    /broken code/,
  );
  assert.equal(get(store, 'setting', 'a'), undefined);
  const tooLarge = store.transaction(tx => {
    tx.put('setting', 'a', bytes('1'));
    tx.put('setting', 'b', new Uint8Array(MAX_VALUE_BYTES + 1));
  });
  assert(!tooLarge.ok && tooLarge.error.code === 'value-too-large');
  assert.equal(get(store, 'setting', 'a'), undefined);
  assert.throws(() => store.transaction(() => store.transaction(() => 1)), /under way/);
  assert.throws(() => store.transaction(async () => 1), /synchronous/);
  put(store, 'setting', 'a', bytes('2'));
  assert.equal(get(store, 'setting', 'a'), '2');
  store.close();
  const closed = store.transaction(() => 1);
  assert(!closed.ok && closed.error.code === 'closed');
});

test('the file shows neither identifiers nor content, and only its owner may read it', async () => {
  const path = freshPath();
  const store = await open(path);
  const [person, address, words, chat] = [
    '0-aaaaaaaaaaaaaaaaaaaaaaaaaa',
    'alice@skylark.example',
    'meet me at noon',
    'chat-with-bob',
  ];
  put(store, 'message', person, bytes(words), chat);
  put(store, 'contact', address, bytes(person));
  for (const name of readdirSync(join(path, '..'))) {
    const file = join(path, '..', name);
    const content = readFileSync(file);
    for (const secret of [person, address, words, chat]) assert(!content.includes(secret), `${name} shows ${secret}`);
    assert.equal(statSync(file).mode & 0o077, 0, `${name} is private`);
  }
  assert(readFileSync(`${path}-wal`).length > 0, 'the check above has seen the rows');
  store.close();
});

test('one length hides in another: sizes are rounded', async () => {
  const path = freshPath();
  const store = await open(path);
  for (const length of [0, 1, 50, 100]) put(store, 'message', `m-${length}`.padEnd(6), new Uint8Array(length));
  store.close();
  const db = new DatabaseSync(path, { readOnly: true });
  const sizes = db.prepare('SELECT DISTINCT length(value) AS n FROM row').all();
  db.close();
  assert.equal(sizes.length, 1);
});

test('a wrong key, passphrase or kind of key does not open it', async () => {
  const path = freshPath();
  const passphrase: KeySource = { kind: 'passphrase', passphrase: 'correct horse é' };
  const store = await open(path, passphrase);
  put(store, 'setting', 'a', bytes('1'));
  store.close();
  assert.equal(await refusal(path, { kind: 'passphrase', passphrase: 'correct horse' }), 'wrong-key');
  assert.equal(await refusal(path, key), 'wrong-key');
  const again = await open(path, { kind: 'passphrase', passphrase: 'correct horse é'.normalize('NFD') });
  assert.equal(get(again, 'setting', 'a'), '1');
  assert((await again.changeKey(key)).ok);
  again.close();
  assert.equal(await refusal(path, passphrase), 'wrong-key');
  assert.equal(await refusal(path, { kind: 'key', key: new Uint8Array(32) }), 'wrong-key');
  assert.equal(await refusal(path, { kind: 'key', key: new Uint8Array(31) }), 'wrong-key');
  const changed = await open(path, key);
  assert.equal(get(changed, 'setting', 'a'), '1');
  changed.close();
});

test('a key file is made once, private, and must stay so', async () => {
  const path = freshPath();
  const file: KeySource = { kind: 'key-file', path: join(folder, 'key') };
  const store = await open(path, file);
  put(store, 'setting', 'a', bytes('1'));
  store.close();
  assert.equal(statSync(file.path).mode & 0o777, 0o600);
  chmodSync(file.path, 0o644);
  assert.equal(await refusal(path, file), 'key-file-unsafe');
  chmodSync(file.path, 0o600);
  (await open(path, file)).close();
  writeFileSync(file.path, 'short');
  assert.equal(await refusal(path, file), 'key-file-unsafe');
  rmSync(file.path);
  assert.equal(await refusal(path, file), 'key-missing');
});

test('a row that was changed, moved or put elsewhere is told, not read', async () => {
  const path = freshPath();
  const store = await open(path);
  put(store, 'setting', 'a', bytes('1'));
  put(store, 'setting', 'b', bytes('2'));
  put(store, 'message', 'm', bytes('3'), 'chat');
  store.close();
  const tamper = async (sql: string): Promise<(string | undefined)[]> => {
    const original = readFileSync(path);
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
    const opened = await open(path);
    const codes = (['a', 'b'] as const).map(name => {
      const got = opened.transaction(tx => tx.get('setting', name));
      return got.ok ? got.value?.toString() : `${got.error.code} ${got.error.table}`;
    });
    const listed = opened.transaction(tx => tx.list('message'));
    opened.close();
    writeFileSync(path, original);
    return [...codes, listed.ok ? 'listed' : listed.error.code];
  };
  assert.deepEqual(await tamper('UPDATE row SET value = zeroblob(200) WHERE sequence = 1'), [
    'corrupt-row setting',
    '2',
    'listed',
  ]);
  assert.deepEqual(
    await tamper('UPDATE row SET value = (SELECT value FROM row WHERE sequence = 2) WHERE sequence = 1'),
    ['corrupt-row setting', '2', 'listed'],
  );
  assert.deepEqual(await tamper('UPDATE row SET scope = zeroblob(32) WHERE sequence = 3'), ['1', '2', 'corrupt-row']);
  assert.deepEqual(await tamper('UPDATE row SET kind = 14 WHERE sequence = 1'), [undefined, '2', 'corrupt-row']);
});

test('what is not a store, or a later one, is not opened and not changed', async () => {
  const text = freshPath();
  (await open(text)).close();
  writeFileSync(text, 'just some notes, long enough to be a page header of something else '.repeat(4));
  assert.equal(await refusal(text), 'not-a-store');
  assert.match(readFileSync(text, 'utf8'), /^just some notes/);
  const foreign = freshPath();
  (await open(foreign)).close();
  rmSync(foreign);
  const db = new DatabaseSync(foreign);
  db.exec('CREATE TABLE notes (a)');
  db.close();
  assert.equal(await refusal(foreign), 'not-a-store');
  const later = freshPath();
  (await open(later)).close();
  const newer = new DatabaseSync(later);
  newer.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
  newer.close();
  assert.equal(await refusal(later), 'schema-too-new');
  // A version that no code gives: its steps are not taken from the end.
  for (const version of [-1, -2, -2_147_483_648]) {
    const odd = new DatabaseSync(later);
    odd.exec(`PRAGMA user_version = ${version}`);
    odd.close();
    assert.equal(await refusal(later), 'not-a-store');
  }
});

test('bounded tables forget the oldest', async () => {
  const store = await open(freshPath());
  const limit = tableLimits.sent!;
  const written = store.transaction(tx => {
    for (let i = 0; i < limit + 500; i++) tx.put('sent', `s${i}`, bytes(`${i}`));
    return tx.count('sent');
  });
  assert(written.ok && written.value >= limit && written.value <= limit + limit / 16 + 1, JSON.stringify(written));
  assert.equal(get(store, 'sent', 's0'), undefined);
  assert.equal(get(store, 'sent', `s${limit + 400}`), `${limit + 400}`);
  store.close();
});

test('serves the encryption suite: committed together with the outbox, the same after reopening', async () => {
  const path = freshPath();
  let store = await open(path);
  const made = createDevice({ nowMs: 1 });
  assert(made.ok && store.transaction(tx => tx.apply(made.value.changes)).ok);
  const other = createDevice({ nowMs: 1 });
  assert(other.ok);
  const local = { interopId: `0-${'a'.repeat(26)}`, deviceId: 1 };
  const address = { interopId: `1-${'b'.repeat(26)}`, deviceId: 1 };
  const { keys, publication } = other.value;
  const bundle = {
    address,
    registrationId: keys.registrationId,
    identityKey: keys.identityKey,
    signedPrekey: publication.signedPrekey!,
    kemPrekey: publication.kemPrekeys[0]!,
  };
  const suite = async () => {
    const opened = await openSignalSuite({ local, store: store.e2ee, nowMs: () => 1 });
    assert(opened.ok);
    return opened.value;
  };
  const commit = (staged: {
    changes: Parameters<Parameters<typeof store.transaction>[0]>[0] extends { apply(c: infer C): void } ? C : never;
  }) => {
    const done = store.transaction(tx => {
      tx.put('outbox', `o${tx.count('outbox')}`, bytes('stanza'));
      tx.apply(staged.changes);
    });
    if (!done.ok) throw done.error;
  };
  assert((await (await suite()).startSession(bundle, commit)).ok);
  store.close();
  store = await open(path);
  const sent = await (await suite()).encryptFor(
    [{ to: address.interopId, devices: [{ deviceId: 1 }], content: bytes('hi') }],
    commit,
  );
  assert(sent.ok);
  assert.equal(sent.value.ciphertexts.length, 1);
  const outbox = store.transaction(tx => tx.count('outbox'));
  assert.deepEqual(outbox, { ok: true, value: 2 });
  const afterClose = await suite();
  store.close();
  const failed = await afterClose.readIdentity(address.interopId);
  assert(!failed.ok && failed.error.code === 'store-failed');
});

/** A process that writes pairs of rows, each pair in one transaction, and says after each commit how far it is. */
const writer = `
  import { openEncryptedStore } from ${JSON.stringify(new URL('./encrypted-store.ts', import.meta.url).href)};
  const opened = await openEncryptedStore({ path: process.argv[1], key: { kind: 'key', key: Buffer.from(process.argv[2], 'hex') } });
  if (!opened.ok) { console.log(opened.error.code); process.exit(3); }
  for (let i = 0; ; i++) {
    const done = opened.value.transaction(tx => {
      tx.put('outbox', 'o' + i, Buffer.alloc(3000, i));
      tx.put('session', 'the session', Buffer.from(String(i)));
    });
    if (!done.ok) process.exit(4);
    process.stdout.write(i + '\\n');
    if (i % 8 === 7) await new Promise(resolve => setImmediate(resolve));
  }
`;

function startWriter(path: string, keyBytes: Uint8Array) {
  return spawn(
    process.execPath,
    [
      '--conditions=drawbridge-source',
      '--input-type=module',
      '-e',
      writer,
      path,
      Buffer.from(keyBytes).toString('hex'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
}

test('kill -9 in the middle of writes: everything committed is there, nothing half, and the lock is free', async () => {
  const path = freshPath();
  const keyBytes = randomBytes(32);
  let committed = -1;
  for (const killAfter of [3, 17, 40]) {
    rmSync(path, { force: true });
    rmSync(`${path}-wal`, { force: true });
    const child = startWriter(path, keyBytes);
    let output = '';
    const ended = new Promise<NodeJS.Signals | null>(resolve => child.once('close', (_, signal) => resolve(signal)));
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const lines = output.split('\n');
      committed = Number(lines[lines.length - 2] ?? -1);
      if (committed >= killAfter) child.kill('SIGKILL');
    });
    assert.equal(await ended, 'SIGKILL');
    const store = await open(path, { kind: 'key', key: keyBytes });
    const found = store.transaction(tx => ({
      rows: tx.list('outbox').map(row => row.key),
      last: Number(tx.get('session', 'the session')?.toString()),
    }));
    store.close();
    assert(found.ok);
    assert(found.value.last >= committed, `${found.value.last} of ${committed}`);
    assert.deepEqual(
      found.value.rows,
      Array.from({ length: found.value.last + 1 }, (_, i) => `o${i}`),
    );
  }
});

test('what was deleted or replaced opens with nothing that is in any file, also for those who have the key of the store', {
  timeout: 60_000,
}, async () => {
  const path = freshPath();
  let store = await open(path);
  const ratchet = randomBytes(64);
  put(store, 'message', 'm1', bytes('a secret that disappears'));
  put(store, 'session', 's1', ratchet);
  store.close();
  const rows = sealedIn(join(path, '..'), 'store.db');
  assert.equal(rows.length, 2);
  const found = (): SealedRow[] => openable(join(path, '..'), rows);
  assert.deepEqual(found(), rows);

  store = await open(path);
  put(store, 'session', 's1', randomBytes(64));
  assert(store.transaction(tx => tx.delete('message', 'm1')).ok);
  assert.notDeepEqual(found(), [], 'the log or the file still has it: the search finds what is there');
  while (found().length > 0) await new Promise(resolve => setTimeout(resolve, 100));
  store.close();
});

test('a value opens with the key of the store and its own, and with neither alone', async () => {
  const path = freshPath();
  const store = await open(path);
  put(store, 'setting', 'a', bytes('1'));
  put(store, 'setting', 'b', bytes('2'));
  store.close();
  const db = new DatabaseSync(path);
  const slotOf = (sequence: number) => `(SELECT slot FROM row WHERE sequence = ${sequence})`;
  db.exec(`UPDATE row_key SET key = zeroblob(32) WHERE slot = ${slotOf(1)}`);
  db.close();
  const again = await open(path);
  const read = again.transaction(tx => tx.get('setting', 'a'));
  assert(!read.ok && read.error.code === 'corrupt-row');
  assert.equal(get(again, 'setting', 'b'), '2');
  // It is written like any other, also when its place for a key is gone.
  put(again, 'setting', 'a', bytes('3'));
  again.close();
  const damaged = new DatabaseSync(path);
  damaged.exec(`DELETE FROM row_key WHERE slot = ${slotOf(2)}`);
  damaged.close();
  const last = await open(path);
  put(last, 'setting', 'b', bytes('4'));
  assert.deepEqual([get(last, 'setting', 'a'), get(last, 'setting', 'b')], ['3', '4']);
  last.close();
});

test('a second process, and a second opening in this one, are told that the store is in use', async () => {
  const path = freshPath();
  const store = await open(path);
  put(store, 'setting', 'a', bytes('1'));
  assert.equal(await refusal(path), 'store-in-use');
  assert(key.kind === 'key');
  const child = startWriter(path, key.key);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise(resolve => child.once('close', resolve));
  assert.deepEqual([code, output.trim()], [3, 'store-in-use']);
  assert.equal(get(store, 'setting', 'a'), '1');
  store.close();
  (await open(path)).close();
});
