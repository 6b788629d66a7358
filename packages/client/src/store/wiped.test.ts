// Wiped is wiped: what was deleted, expired, seen once, given up or replaced is in no file any more, also for those who have the
// key. Each kind goes the way that it goes in use; the files are read raw, main file and log.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { record } from '../history/history.ts';
import type { Fact } from '../history/message-log.ts';
import { keepSent, keptSentLimits } from '../outbox/kept-sent.ts';
import { isInFiles, sealedIn } from '../testing/raw-store.ts';
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

describe('wiped', { concurrency: true }, () => {
  for (const { name, write, wipe } of kinds) {
    test(`${name} is in no file any more`, { timeout: 60_000 }, async () => {
      const folder = mkdtempSync(join(root, 'store-'));
      const store = await open(folder);
      assert(store.transaction(write).ok);
      const before = sealedIn(folder, 'store.db');
      assert(store.transaction(wipe).ok);
      const left = sealedIn(folder, 'store.db');
      const wiped = before.filter(value => !left.some(other => other.equals(value)));
      assert(
        wiped.some(value => value.length > secret.length),
        'the secret was there',
      );
      assert(isInFiles(folder, wiped), 'the log has it still: the search finds what is there');
      while (isInFiles(folder, wiped)) await new Promise(resolve => setTimeout(resolve, 200));
      store.close();
      assert(!isInFiles(folder, wiped));
    });
  }
});
