// Words that go from a message go from whatever quotes it: a real store is searched for them, row by row.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { bindContent } from '@drawbridge/e2ee/binding';
import { decodeContent, encodeContent } from '@drawbridge/e2ee/content';
import { contentPayload, repeatId } from '../outbox/rows.ts';
import { readEntry } from '../store/message-records.ts';
import { readOutbox, readSent, writeOutbox, writeSent } from '../store/outbox-records.ts';
import { type StoreTable, tables, type Transaction } from '../store/store.ts';
import { testStore } from '../testing/test-store.ts';
import { addSaid, factsOf } from './conversation.ts';
import { exportMessages, record, searchMessages } from './history.ts';
import type { Fact, Gone } from './message-log.ts';
import { chatWith } from './message-names.ts';

const anna = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;
const chat = chatWith(anna);
const words = 'words that are to go';
const { store, inStore, remove } = await testStore('quotes');
after(remove);

const hexId = (n: number): string => n.toString(16).padStart(32, '0');
const idBytes = (n: number): Uint8Array => Buffer.from(hexId(n), 'hex');

/** Tables whose rows have words in them, and whether these are there, base64 or not. */
function where(tx: Transaction): string[] {
  return (Object.keys(tables) as StoreTable[]).filter(table =>
    tx.list(table, { limit: 1_000 }).some(({ value }) => {
      const text = value.toString();
      const encoded = text.match(/[A-Za-z0-9+/]{24,}={0,2}/g) ?? [];
      return text.includes(words) || encoded.some(each => Buffer.from(each, 'base64').includes(words));
    }),
  );
}

function clear(tx: Transaction): void {
  for (const table of Object.keys(tables) as StoreTable[])
    for (const { key } of tx.list(table, { limit: 1_000 })) tx.delete(table, key);
}

/** A reply with a part that only later versions know, so that its bytes are kept too. */
function replyBytes(n: number, to: number, of: string): Uint8Array {
  const replyTo = { target: { messageId: idBytes(to), author: of, sentAtMs: 1 }, excerpt: words };
  const encoded = encodeContent({
    messageId: idBytes(n),
    sentAtMs: n,
    replyTo,
    body: { kind: 'text', text: `answer ${n}` },
  });
  assert(encoded.ok);
  const binding = { place: new Uint8Array(16), number: n, salt: new Uint8Array(16) };
  return Buffer.concat([bindContent(encoded.value, binding), Buffer.from([0x80, 0xfa, 0x01, 0x01])]);
}

function say(tx: Transaction, author: string, bytes: Uint8Array): void {
  const content = decodeContent(bytes);
  assert(content.ok);
  addSaid(tx, bob, { author, chat, content: content.value, receivedAtMs: 1 }, 1);
}

/** Anna's message 1. */
function original(
  tx: Transaction,
  given: { readonly viewOnce?: true; readonly expiresAfterSeconds?: number } = {},
): void {
  const encoded = encodeContent({ messageId: idBytes(1), sentAtMs: 1, ...given, body: { kind: 'text', text: words } });
  assert(encoded.ok);
  say(tx, anna, encoded.value);
}

function go(tx: Transaction, why: Gone): void {
  record(tx, bob, { author: anna, id: hexId(1), chat }, { kind: 'gone', why } satisfies Fact);
}

for (const why of ['deleted', 'expired', 'hidden', 'opened'] as const) {
  test(`what quotes a message that is ${why} keeps none of its words, also not on its way`, () => {
    inStore(tx => {
      clear(tx);
      original(tx);
      say(tx, anna, replyBytes(2, 1, anna));
      say(tx, bob, replyBytes(3, 1, anna));
      // Bob's own reply: kept to be sent again, as it is and as the copy for his own devices, and on its way twice.
      const own = replyBytes(3, 1, anna);
      const copy = encodeContent({
        messageId: idBytes(9),
        sentAtMs: 9,
        body: { kind: 'sent-transcript', to: anna, content: own },
      });
      assert(copy.ok);
      record(tx, bob, { author: bob, id: hexId(3), chat }, { kind: 'carried', stanzas: ['sent', 'copied'] });
      for (const [stanza, bytes, to] of [
        ['sent', own, anna],
        ['copied', copy.value, bob],
      ] as const) {
        writeSent(tx, stanza, { to, content: contentPayload(bytes).content, sentAtMs: 1 });
        for (const id of [stanza, repeatId(stanza, 127)])
          writeOutbox(tx, id, {
            ...{ to, payload: contentPayload(bytes), silent: false, corrections: 0, waits: 0, notBeforeMs: 0 },
            ciphertexts: [{ deviceId: 1, registrationId: 1, kind: 'session', bytes: 'AAAA' }],
          });
      }
      assert.deepEqual(where(tx), ['outbox', 'message', 'sent']);
      go(tx, why);
      assert.deepEqual(where(tx), []);
      assert.equal(tx.count('quoting'), 0);
      // All else of them is there.
      for (const id of ['sent', 'copied', repeatId('sent', 127), repeatId('copied', 127)]) {
        const row = readOutbox(tx, id);
        if (row !== undefined) assert.equal(row.ciphertexts, undefined, 'it is encrypted anew');
      }
      const kept = decodeContent(Buffer.from(readSent(tx, 'sent', 1)!.content, 'base64'));
      assert(kept.ok && kept.value.binding?.number === 3 && kept.value.body.kind === 'text');
      assert.equal(readEntry(tx, anna, hexId(2))?.posted?.body.kind, 'text');
      assert.equal(
        Buffer.from(readEntry(tx, anna, hexId(2))!.posted!.raw!)
          .subarray(-4)
          .toString('hex'),
        '80fa0101',
      );
    });
  });
}

test('a reply that comes when the words are gone is kept without them, also when only that they are gone was heard', () => {
  inStore(tx => {
    clear(tx);
    original(tx);
    go(tx, 'deleted');
    say(tx, anna, replyBytes(2, 1, anna));
    assert.deepEqual(where(tx), []);
    clear(tx);
    go(tx, 'deleted');
    say(tx, anna, replyBytes(2, 1, anna));
    assert.deepEqual(where(tx), []);
    clear(tx);
    say(tx, anna, replyBytes(2, 1, anna));
    assert.deepEqual(where(tx), ['message'], 'of a message that is not here its own author may say it');
    go(tx, 'deleted');
    assert.deepEqual(where(tx), []);
  });
});

test('what may be seen once is quoted nowhere, whichever comes first', () => {
  inStore(tx => {
    for (const isFirst of [true, false]) {
      clear(tx);
      if (isFirst) original(tx, { viewOnce: true });
      say(tx, anna, replyBytes(2, 1, anna));
      if (!isFirst) original(tx, { viewOnce: true });
      const entry = readEntry(tx, anna, hexId(2))!;
      assert.equal(entry.posted?.replyTo?.excerpt, '');
      assert(!Buffer.from(entry.posted.raw!).includes(words));
    }
  });
});

test('a reply that goes itself is noted no longer, and others keep what they quote', () => {
  inStore(tx => {
    clear(tx);
    original(tx);
    say(tx, anna, replyBytes(2, 1, anna));
    say(tx, anna, replyBytes(3, 4, anna));
    record(tx, bob, { author: anna, id: hexId(2), chat }, { kind: 'gone', why: 'deleted' });
    assert.equal(tx.count('quoting'), 1);
    go(tx, 'deleted');
    assert.equal(readEntry(tx, anna, hexId(3))?.posted?.replyTo?.excerpt, words);
  });
});

test('an export and a search hold nothing of them', async () => {
  inStore(tx => {
    clear(tx);
    original(tx, { expiresAfterSeconds: 10 });
    say(tx, anna, replyBytes(2, 1, anna));
    go(tx, 'expired');
  });
  const scan = { transaction: inStore, own: bob };
  const lines: string[] = [];
  for await (const line of exportMessages(scan, chat)) lines.push(line);
  assert.equal(lines.length, 1);
  assert(lines[0]!.includes('answer 2') && !lines[0]!.includes('words'));
  for await (const row of searchMessages(scan, ['words'], {})) assert.fail(row.message.text);
  assert(store.transaction(() => {}).ok);
});

test('facts are as they were said: what is kept is the store’s', () => {
  const content = decodeContent(replyBytes(2, 1, anna));
  assert(content.ok);
  const [about] = factsOf({ author: anna, chat, content: content.value, receivedAtMs: 1 }, bob);
  assert(about?.fact.kind === 'posted' && about.fact.posted.replyTo?.excerpt === words);
});
