// What the records of a store look like, as `testing/stored-shapes.txt` has it for the present version: a change without a
// version is found, and so is one that says it is additive and is not. And a folder that later code of this version wrote is
// read, and loses nothing.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openClient } from '../client.ts';
import { openEncryptedStore } from './encrypted-store.ts';
import { decodeJson, encodeJson, isJson } from './json-bytes.ts';
import { SCHEMA_VERSION } from './migrations.ts';
import { type EncryptedStore, type StoreTable, tables } from './store.ts';

const source = join(import.meta.dirname, '..');
/** Types whose values are in rows, whole or as a part. */
const types: Readonly<Record<string, readonly string[]>> = {
  'account/renewal.ts': ['Aside'],
  'devices/linking.ts': ['Aside'],
  'devices/people-to-come.ts': ['PeopleToCome'],
  'directory/contact-records.ts': ['ContactRow', 'NameRow'],
  'directory/moved-names.ts': ['MoveRow'],
  'directory/manifest-records.ts': ['ManifestRecord'],
  'files/upload-records.ts': ['UploadRecord'],
  'history/acts.ts': ['Edit', 'Reaction', 'Vote', 'ActState', 'Act'],
  'history/chat-state.ts': ['Stamped', 'Timer', 'OwnDecision', 'Claim', 'ChatRecord', 'ProfileRecord'],
  'history/gaps.ts': ['Run', 'Heard'],
  'history/history-giving.ts': ['Outgoing'],
  'history/history-pieces.ts': ['Cursor', 'Start'],
  'history/history-receiving.ts': ['Arriving'],
  'history/stamp.ts': ['Stamp'],
  'history/message-log.ts': ['PostedBody', 'Quote', 'Posted', 'Progress', 'Try', 'LogEntry'],
  'notices/notice-change.ts': ['DevicesChange', 'NoticeChange'],
  'notices/notice-records.ts': ['Notice', 'NoticeRecord'],
  'outbox/asked-again.ts': ['AskedAgain'],
  'outbox/kept-sent.ts': ['Share', 'Kept', 'Shares'],
  'reports/evidence.ts': ['Evidence', 'EvidenceRecord'],
  'store/account-records.ts': ['AccountRecord', 'SettingName'],
  'store/inbox-records.ts': ['HeldRecord', 'UnreadRecord', 'ReceivedState'],
  'store/message-records.ts': ['ExpiryRecord'],
  'store/outbox-records.ts': ['OutboxCiphertext', 'OutboxRecord', 'SentRecord', 'Accepted', 'TranscriptRecord'],
};

/** Types that are one of several: what is added to them is another of these. */
const unions = /^(?:NoticeChange|DevicesChange|PostedBody|SettingName): /;

/** The lines of a type, as the formatter leaves them, without comments. */
function linesOf(file: string, type: string): string[] {
  const text = readFileSync(join(source, file), 'utf8').replaceAll(/\/\*\*?[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const found = new RegExp(
    `^(?:export )?type ${type}(?:<\\w+>)? =([\\s\\S]*?;)\\n(?=\\n|export |type |const |$)`,
    'm',
  ).exec(text);
  assert(found !== null, `${file} has no type ${type}: name it here as it is called now`);
  return found[1]!
    .replace(/ & ActState;$/, ';')
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '');
}

/** Where a type stands may change; two are called alike, and one is a part of another. */
function labelOf(file: string, type: string): string {
  if (type === 'ActState') return 'LogEntry';
  return type === 'Aside' ? `${type} of ${basename(file, '.ts')}` : type;
}

const shapesFile = join(source, 'testing/stored-shapes.txt');
const shapes = readFileSync(shapesFile, 'utf8').trimEnd().split('\n');
const rule = 'testing/stores/README.md says what may be added without a version';

test('what is stored has the shape that is written down for its version', () => {
  const numbers = Object.entries(tables).map(([table, number]) => `${number} ${table}`);
  const now = [
    `version ${SCHEMA_VERSION}`,
    ...numbers.map(line => `tables: ${line}`),
    ...Object.entries(types).flatMap(([file, names]) =>
      names.flatMap(type => linesOf(file, type).map(line => `${labelOf(file, type)}: ${line}`)),
    ),
  ];
  const gone = shapes.filter(line => !now.includes(line));
  const added = now.filter(line => !shapes.includes(line));
  const isNewVersion = shapes[0] !== now[0];
  assert.deepEqual(isNewVersion ? [] : gone, [], `this is stored differently now: it needs a version (${rule})`);
  const isAdditive = (line: string): boolean =>
    line.startsWith('tables: ') || /: readonly \w+\?: /.test(line) || / \| /.test(line) || unions.test(line);
  const needed = added.filter(line => !isAdditive(line));
  assert.deepEqual(isNewVersion ? [] : needed, [], `this is not optional: it needs a version (${rule})`);
  // Once the rule is followed: WRITE_STORED_SHAPES=1 with this test.
  if (process.env['WRITE_STORED_SHAPES'] === '1') writeFileSync(shapesFile, `${now.join('\n')}\n`);
  else assert.deepEqual([added, gone], [[], []], `stored-shapes.txt is to be written again (${rule})`);
});

async function opened(path: string): Promise<EncryptedStore> {
  const store = await openEncryptedStore({ path, key: { kind: 'passphrase', passphrase: 'a long passphrase' } });
  assert(store.ok);
  return store.value;
}

const later = { kind: 'later', of: [1, 2, 3] };
/** Tables whose rows change while a person goes on, and the scope of a row in them. */
const scopes: { readonly [Table in StoreTable]?: (record: Readonly<Record<string, string>>) => string | undefined } = {
  setting: () => undefined,
  chat: () => undefined,
  contact: () => undefined,
  message: record => record['chat'],
  outbox: record => record['to'],
  sent: () => undefined,
};

function isRecord(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Rows that are objects, and whether each has the field that nobody here knows. */
function recordsOf(
  store: EncryptedStore,
): { table: StoreTable; key: string; record: Readonly<Record<string, string>> }[] {
  const read = store.transaction(tx =>
    (Object.keys(scopes) as StoreTable[]).flatMap(table =>
      tx.list(table, { limit: 1_000 }).flatMap(({ key, value }) => {
        const record: unknown = isJson(value) ? decodeJson(value) : undefined;
        return isRecord(record) ? [{ table, key, record }] : [];
      }),
    ),
  );
  assert(read.ok);
  return read.value;
}

test('what later code of this version added is kept while this one reads, changes and writes the records', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-later-'));
  const path = join(folder, 'drawbridge.db');
  copyFileSync(join(source, 'testing/stores/0.1.0-version-5.db'), path);
  let store = await opened(path);
  const before = recordsOf(store);
  assert.deepEqual([...new Set(before.map(({ table }) => table))].toSorted(), [
    'chat',
    'contact',
    'message',
    'sent',
    'setting',
  ]);
  const written = store.transaction(tx => {
    for (const { table, key, record } of before) {
      tx.put(table, key, encodeJson({ ...record, laterField: later }), scopes[table]!(record));
    }
  });
  assert(written.ok);
  store.close();
  // A table of later code, sealed or not.
  const db = new DatabaseSync(path);
  db.prepare('INSERT INTO row (kind, key, scope, value) VALUES (250, ?, NULL, ?)').run(
    Buffer.alloc(32, 1),
    Buffer.alloc(64, 2),
  );
  db.close();

  const bob = await openClient({ folder, passphrase: 'a long passphrase', gatekeeper: 'https://localhost:35697' });
  const anna = { provider: 'skylark.example', identifier: 'anna' };
  const shown = (await bob.chats.messages({ limit: 100 })).map(({ message }) => message);
  assert.equal(shown.length, 60);
  const named = (text: string) => shown.find(message => message.text === text)!;
  await bob.chats.markRead(anna);
  await bob.chats.edit(named('to anna 4, edited').id, { text: 'edited once more' });
  await bob.chats.react(named('anna 3'), '');
  await bob.chats.delete(named('to anna 6').id);
  await bob.chats.setTimer(anna, 60);
  await bob.chats.set(anna, { pinned: true });
  await bob.send(anna, { text: 'goes on' });
  await bob.close();

  store = await opened(path);
  const after = recordsOf(store);
  const lost = before
    .filter(({ table, key }) => {
      const record: Readonly<Record<string, unknown>> | undefined = after.find(
        each => each.table === table && each.key === key,
      )?.record;
      // What is deleted, or replaced as a whole, is not there to be kept.
      return record !== undefined && record['laterField'] === undefined;
    })
    .map(({ table, key }) => `${table} ${key}`);
  // What is measured again is written as a whole.
  assert.deepEqual(lost, ['setting elapsed']);
  assert.equal(after.filter(({ table }) => table === 'outbox').length, 13, 'what was said and done waits to be sent');
  store.close();
  const again = new DatabaseSync(path);
  assert.equal(again.prepare('SELECT count(*) AS n FROM row WHERE kind = 250').get()?.['n'], 1);
  again.close();
  rmSync(folder, { recursive: true });
});
