// Folders that earlier code made, on disk in `testing/stores`: today's code opens them and shows everything.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openClient } from '../client.ts';
import { isInFiles, unkeyedIn } from '../testing/raw-store.ts';
import { openEncryptedStore } from './encrypted-store.ts';
import { SCHEMA_VERSION } from './migrations.ts';
import { forgetSent, sentKeptMs } from './outbox-records.ts';
import type { Posted } from '../history/message-log.ts';
import { listUnread } from './inbox-records.ts';
import { listChats, listEntries, listExpiries } from './message-records.ts';
import { readAccount, readStamp } from './account-records.ts';

const stores = [
  { file: '0.1.0-flat-messages.db', gatekeeper: 'https://localhost:45191', version: 1, digits: '346560307599983956' },
  { file: '0.1.0-log-entries.db', gatekeeper: 'https://localhost:36045', version: 1, digits: '256041880823697091' },
  { file: '0.1.0-version-2.db', gatekeeper: 'https://localhost:45191', version: 2, digits: '346560307599983956' },
  { file: '0.1.0-version-4.db', gatekeeper: 'https://localhost:36045', version: 4, digits: '256041880823697091' },
  { file: '0.1.0-version-5.db', gatekeeper: 'https://localhost:35697', version: 5, digits: '180190410920775797' },
  { file: '0.1.0-version-7.db', gatekeeper: 'https://localhost:35697', version: 7, digits: '180190410920775797' },
];

function textOf(posted: Posted | undefined): string | undefined {
  return posted?.body.kind === 'text' ? posted.body.text : undefined;
}

function versionOf(path: string): number {
  using db = new DatabaseSync(path);
  return Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
}

/** Content that was kept for retries without a time counts from its migration. */
async function keepsWhatWasSent(path: string): Promise<void> {
  const store = await openEncryptedStore({ path, key: { kind: 'passphrase', passphrase: 'a long passphrase' } });
  assert(store.ok);
  const counts = store.value.transaction(tx => {
    const before = tx.count('sent');
    forgetSent(tx, Date.now() + sentKeptMs - 60_000, 1_000);
    const within = tx.count('sent');
    forgetSent(tx, Date.now() + sentKeptMs + 60_000, 1_000);
    return [before === within, before > 60, tx.count('sent')];
  });
  assert.deepEqual(counts, { ok: true, value: [true, true, 0] });
  store.value.close();
}

for (const { file, gatekeeper, version, digits } of stores) {
  test(`a folder of an earlier version shows all its messages: ${file}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'drawbridge-earlier-'));
    const path = join(folder, 'drawbridge.db');
    copyFileSync(join(import.meta.dirname, '../testing/stores', file), path);
    assert.equal(versionOf(path), version);
    const unkeyed = unkeyedIn(folder, 'drawbridge.db');
    assert(isInFiles(folder, unkeyed));
    // The second opening finds a store that is migrated already.
    for (const opening of [1, 2]) {
      const bob = await openClient({ folder, passphrase: 'a long passphrase', gatekeeper });
      try {
        const shown = (await bob.chats.messages({ limit: 1_000 })).map(({ message }) => message).reverse();
        assert.equal(shown.length, 60, `opening ${opening}`);
        const texts = Array.from({ length: 15 }, (_, i) => [
          `anna ${i}`,
          i === 4 ? 'to anna 4, edited' : `to anna ${i}`,
          `carla ${i}`,
          i === 5 ? '' : `to carla ${i}`,
        ]).flat();
        assert.deepEqual(
          shown.map(({ text }) => text),
          texts,
        );
        const said = (text: string) => shown.find(message => message.text === text)!;
        assert.equal(shown[23]!.kind, 'deleted');
        assert.equal(said('to anna 4, edited').edited, true);
        assert.deepEqual(Object.values(said('anna 3').reactions ?? {}), ['👍']);
        assert.deepEqual(Object.values(said('to carla 2').reactions ?? {}), ['🎉']);
        assert.equal(said('to anna 1').state, 'delivered');
        assert.equal(said('anna 9').read, true);
        assert.equal(said('anna 10').read, undefined);
        const chats = await bob.chats.list();
        const listed = chats.map(chat => [chat.with.identifier, chat.unread, chat.lastMessage?.text]);
        assert.deepEqual(listed, [
          ['carla', 15, 'to carla 14'],
          ['anna', 5, 'to anna 14'],
        ]);
        const anna = { provider: 'skylark.example', identifier: 'anna' };
        assert.equal((await bob.identities.get(anna)).verified, true);
        assert.ok((await bob.identities.safetyNumber(anna)).digits.startsWith(digits));
        assert.equal((await bob.messages().next()).value?.text, 'anna 0', 'nothing was consumed');
      } finally {
        await bob.close();
      }
      assert.equal(versionOf(path), SCHEMA_VERSION);
      assert(!isInFiles(folder, unkeyed), 'what opened with the key of the store alone is gone');
    }
    // What an earlier migration gave a time runs from that.
    if (version < 3) await keepsWhatWasSent(path);
    rmSync(folder, { recursive: true });
  });
}

test('timers that went by the clock go by elapsed time, and no longer than they were given', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-earlier-'));
  const path = join(folder, 'drawbridge.db');
  copyFileSync(join(import.meta.dirname, '../testing/stores/0.1.0-version-3.db'), path);
  assert.equal(versionOf(path), 3);
  const store = await openEncryptedStore({ path, key: { kind: 'passphrase', passphrase: 'a long passphrase' } });
  assert(store.ok);
  const found = store.value.transaction(tx => ({
    runMs: listExpiries(tx).map(each => each.runMs),
    stamp: readStamp(tx),
  }));
  // It was read, and the chat pinned, by a clock that stood in 2036: the message had two hours, and has no more.
  assert.deepEqual(found, { ok: true, value: { runMs: [7_200_000], stamp: Date.parse('2036-01-01T00:00:00Z') } });
  store.value.close();
  rmSync(folder, { recursive: true });
});

test('of the settings of a timer that were kept the last of each person is left, and the one in force stays', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-earlier-'));
  const path = join(folder, 'drawbridge.db');
  copyFileSync(join(import.meta.dirname, '../testing/stores/0.1.0-version-5.db'), path);
  const store = await openEncryptedStore({ path, key: { kind: 'passphrase', passphrase: 'a long passphrase' } });
  assert(store.ok);
  const found = store.value.transaction(tx => {
    const own = readAccount(tx)!.interopId;
    return listChats(tx, { limit: 10 }).map(({ chat: { timer, otherTimer, draft, settings, ...rest } }) => ({
      timers: [timer, otherTimer].map(each => each && [each.seconds, each.version, each.by === own]),
      kept: [draft, settings.mutedUntilMs?.value],
      isOfVersion5: 'otherTimers' in rest,
    }));
  });
  assert.deepEqual(found, {
    ok: true,
    value: [
      // Anna set a day, and bob has switched it off by name.
      { timers: [[0, 2, true], undefined], kept: ['a draft', undefined], isOfVersion5: false },
      // Bob and carla set one at once; his is later.
      {
        timers: [
          [1_800, 2, true],
          [1_200, 2, false],
        ],
        kept: [undefined, 4_102_444_800_000],
        isOfVersion5: false,
      },
    ],
  });
  store.value.close();
  rmSync(folder, { recursive: true });
});

test('words that had gone leave what quoted them, and what waits to be sent again stands under whom it is from', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-earlier-'));
  const path = join(folder, 'drawbridge.db');
  copyFileSync(join(import.meta.dirname, '../testing/stores/0.1.0-version-6.db'), path);
  assert.equal(versionOf(path), 6);
  const store = await openEncryptedStore({ path, key: { kind: 'passphrase', passphrase: 'a long passphrase' } });
  assert(store.ok);
  const found = store.value.transaction(tx => {
    const entries = listEntries(tx, { limit: 1_000 }).map(({ entry }) => entry);
    const carla = entries.find(({ posted }) => textOf(posted) === 'carla 1')!.author;
    return {
      excerpts: entries.flatMap(({ posted }) =>
        posted?.replyTo === undefined ? [] : [[textOf(posted), posted.replyTo.excerpt]],
      ),
      quoting: tx.count('quoting'),
      unread: listUnread(tx, 10, carla).map(({ stanzaId, asked, isShown }) => [stanzaId, asked, isShown]),
      left: tx.list('retry', { scope: 'unread' }).length,
      all: entries.length,
    };
  });
  assert.deepEqual(found, {
    ok: true,
    value: {
      excerpts: [
        ['an answer to what stays', 'anna 3'],
        ['an answer to what went', ''],
        ['an answer to what was hidden', ''],
      ],
      quoting: 1,
      unread: [
        ['one', 1, undefined],
        ['two', 1, undefined],
        ['three', 2, true],
      ],
      left: 0,
      all: 63,
    },
  });
  store.value.close();
  rmSync(folder, { recursive: true });
});

test('every earlier version has a folder here that its code made', () => {
  const files = readdirSync(join(import.meta.dirname, '../testing/stores')).filter(name => name.endsWith('.db'));
  const versions = new Set(files.map(name => versionOf(join(import.meta.dirname, '../testing/stores', name))));
  assert.deepEqual(
    [...versions].toSorted((a, b) => a - b),
    Array.from({ length: SCHEMA_VERSION - 1 }, (_, at) => at + 1),
  );
});
