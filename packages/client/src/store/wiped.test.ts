// Wiped is wiped: what was deleted, expired, seen once, given up or replaced opens with nothing that is in any file, also for those
// who have the store's key. Each kind goes the way that it goes in use; the files are read raw, main file and log.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import { record } from '../history/history.ts';
import type { Fact } from '../history/message-log.ts';
import { keepSent, keptSentLimits } from '../outbox/kept-sent.ts';
import { isInFiles, openable, type SealedRow, sealedIn } from '../testing/raw-store.ts';
import { openEncryptedStore } from './encrypted-store.ts';
import { forgetHeld, writeHeld } from './inbox-records.ts';
import { forgetSent, sentKeptMs, writeOutbox } from './outbox-records.ts';
import { readChat, writeChat } from './message-records.ts';
import { deleteUpload, writeUpload } from '../files/upload-records.ts';
import type { EncryptedStore, Transaction } from './store.ts';

const root = mkdtempSync(join(tmpdir(), 'drawbridge-wiped-'));
after(() => rmSync(root, { recursive: true }));
const own = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;
/** Longer than a page: what overflows must go, too. */
const secret = 'a secret that goes away '.repeat(600);
const id = (n: number): string => n.toString(16).padStart(32, '0');

function posted(tx: Transaction, n: number, more: object = {}): void {
  const body = { kind: 'text', text: secret } as const;
  const fact: Fact = { kind: 'posted', posted: { body, sentAtMs: 1, receivedAtMs: 1, ...more } };
  record(tx, own, { author: bob, id: id(n), chat: bob }, fact);
}

const gone = (n: number, why: 'deleted' | 'expired' | 'opened' | 'hidden') => (tx: Transaction) =>
  void record(tx, own, { author: bob, id: id(n), chat: bob }, { kind: 'gone', why });

const sent = { to: bob, content: secret, sentAtMs: 1 };
const outboxRow = {
  to: bob,
  payload: { kind: 'content', content: secret },
  silent: false,
  corrections: 0,
  waits: 0,
  notBeforeMs: 0,
} as const;

type Kind = {
  readonly name: string;
  readonly write: (tx: Transaction) => void;
  readonly wipe: (tx: Transaction) => void;
};

const kinds: readonly Kind[] = [
  { name: 'a deleted message', write: tx => posted(tx, 1), wipe: gone(1, 'deleted') },
  { name: 'an expired message', write: tx => posted(tx, 2, { expiresAfterSeconds: 5 }), wipe: gone(2, 'expired') },
  { name: 'a message seen once', write: tx => posted(tx, 3, { viewOnce: true }), wipe: gone(3, 'opened') },
  { name: 'a message deleted for oneself', write: tx => posted(tx, 4), wipe: gone(4, 'hidden') },
  {
    name: 'a used ratchet state',
    write: tx => tx.put('session', `${bob}.1`, Buffer.from(secret), bob),
    wipe: tx => tx.put('session', `${bob}.1`, Buffer.from('the next one'), bob),
  },
  {
    name: 'content kept for retries, by its age',
    write: tx => keepSent(tx, 'aged', sent),
    wipe: tx => forgetSent(tx, sentKeptMs + 10, 100),
  },
  {
    name: 'content kept for retries, by its number',
    write: tx => keepSent(tx, 'crowded-out', { ...sent, to: own }),
    wipe: tx => {
      for (let i = 0; i < keptSentLimits.perPerson.rows; i++)
        keepSent(tx, `new-${i}`, { ...sent, to: own, content: 'x' });
    },
  },
  {
    name: 'a message in the outbox',
    write: tx => writeOutbox(tx, 'waiting', outboxRow),
    wipe: tx => void tx.delete('outbox', 'waiting'),
  },
  {
    name: 'what was held for a person’s decision',
    write: tx => writeHeld(tx, bob, { from: `${bob}/1`, stanzaId: 'held', kind: 'session', bytes: secret }),
    wipe: tx => forgetHeld(tx, bob),
  },
  {
    name: 'a file to be sent, with its key',
    write: tx => writeUpload(tx, 'upload', { path: '/tmp/x', looks: 'x', sealed: secret, atMs: 1 }),
    wipe: tx => deleteUpload(tx, 'upload'),
  },
  {
    name: 'a draft',
    write: tx => writeChat(tx, { ...readChat(tx, bob), draft: secret }),
    wipe: tx => {
      const { draft: _, ...rest } = readChat(tx, bob);
      writeChat(tx, rest);
    },
  },
];

async function open(folder: string): Promise<EncryptedStore> {
  const opened = await openEncryptedStore({
    path: join(folder, 'store.db'),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  return opened.value;
}

function mkdtempCopy(folder: string): string {
  const copy = mkdtempSync(join(root, 'copy-'));
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** The same rows in each run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const pause = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 200));

describe('wiped', { concurrency: true }, () => {
  for (const { name, write, wipe } of kinds) {
    test(`${name} opens with nothing that is in a file`, { timeout: 60_000 }, async () => {
      const folder = mkdtempSync(join(root, 'store-'));
      const store = await open(folder);
      assert(store.transaction(write).ok);
      const before = sealedIn(folder, 'store.db');
      assert(store.transaction(wipe).ok);
      const left = sealedIn(folder, 'store.db');
      const wiped = before.filter(({ value }) => !left.some(other => other.value.equals(value)));
      assert(
        wiped.some(({ value }) => value.length > secret.length),
        'the secret was there',
      );
      assert.notDeepEqual(openable(folder, wiped), [], 'the log has their keys still: the search finds what is there');
      while (openable(folder, wiped).length > 0) await pause();
      store.close();
      assert.deepEqual(openable(folder, wiped), []);
    });
  }

  test('of thousands of rows of all sizes, none that was replaced or deleted opens', { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(root, 'store-'));
    let store = await open(folder);
    const random = seeded(7);
    const were = new Map<string, SealedRow>();
    const note = (): void => {
      for (const row of sealedIn(folder, 'store.db')) were.set(row.key.toString('hex'), row);
    };
    for (let round = 0; round < 12; round++) {
      const done = store.transaction(tx => {
        for (let i = 0; i < 250; i++) {
          const value = Buffer.alloc(Math.floor(10 ** (1 + 3.3 * random())), round);
          tx.put('message', `m${Math.floor(random() * 1_200)}`, value, `c${i % 9}`);
        }
        for (let i = 0; i < 60; i++) tx.delete('message', `m${Math.floor(random() * 1_200)}`);
        if (round % 4 === 3) tx.deleteScope('message', `c${round % 9}`);
      });
      assert(done.ok);
      note();
      if (round !== 6) continue;
      store.close();
      store = await open(folder);
    }
    store.close();
    const left = new Set(sealedIn(folder, 'store.db').map(({ key }) => key.toString('hex')));
    const wiped = [...were.values()].filter(({ key }) => !left.has(key.toString('hex')));
    assert(left.size > 400 && wiped.length > 1_200, `${left.size} rows, ${wiped.length} before them`);
    assert.deepEqual(openable(folder, wiped), []);
  });

  test('who knows an earlier passphrase opens nothing: the key that it wrapped is in no file', async () => {
    const folder = mkdtempSync(join(root, 'store-'));
    const store = await open(folder);
    const wrapped = (): Buffer => {
      using db = new DatabaseSync(join(mkdtempCopy(folder), 'store.db'));
      return Buffer.from(db.prepare('SELECT wrapped FROM header').get()!['wrapped'] as Uint8Array);
    };
    const before = wrapped();
    assert(isInFiles(folder, [before]), 'the search finds what is there');
    assert((await store.changeKey({ kind: 'key', key: new Uint8Array(32).fill(1) })).ok);
    assert(!isInFiles(folder, [before]));
    store.close();
    assert(!isInFiles(folder, [before]));
  });
});
