// Reading messages from a real store: where a reader begins, what counts as consumed, and that waiting can be ended.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MessageReader } from './message-reader.ts';
import { record as recordFact } from '../history/history.ts';
import type { Fact } from '../history/message-log.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

async function withStore(work: (store: EncryptedStore) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-reader-'));
  const opened = await openEncryptedStore({ path: join(folder, 'db'), key: { kind: 'key', key: new Uint8Array(32) } });
  assert.ok(opened.ok);
  try {
    await work(opened.value);
  } finally {
    opened.value.close();
    rmSync(folder, { recursive: true });
  }
}

type Told = { readonly id: string; readonly author: string; readonly fact: Fact };

const record = (id: number, author = 'her'): Told => {
  const body = { kind: 'text', text: `message ${id}` } as const;
  return { id: String(id), author, fact: { kind: 'posted', posted: { body, sentAtMs: id, receivedAtMs: id } } };
};

function put(store: EncryptedStore, ...told: Told[]): void {
  const done = store.transaction(tx =>
    told.forEach(({ fact, ...name }) => recordFact(tx, 'me', { ...name, chat: 'her' }, fact)),
  );
  assert.ok(done.ok);
}

function reader(store: EncryptedStore): MessageReader<string> {
  return new MessageReader<string>({
    transaction: <T>(work: (tx: Transaction) => T): T => {
      const result = store.transaction(work);
      assert.ok(result.ok);
      return result.value;
    },
    own: 'me',
    isWanted: message => message.author !== 'me' && message.kind !== 'deleted',
    present: message => Promise.resolve(message.text),
    onEnd: () => undefined,
  });
}

test('what was handed out is consumed by asking for the next, not before', () =>
  withStore(async store => {
    put(store, record(1), record(2, 'me'), record(3));
    const first = reader(store);
    assert.equal((await first.next()).value, 'message 1');
    assert.equal((await reader(store).next()).value, 'message 1');
    assert.equal((await first.next()).value, 'message 3');
    assert.equal((await reader(store).next()).value, 'message 3');
  }));

test('a message that was changed meanwhile comes as it is now; one that was taken back does not come', () =>
  withStore(async store => {
    put(store, record(1), record(2), record(3));
    const messages = reader(store);
    await messages.next();
    put(
      store,
      { ...record(2), fact: { kind: 'gone', why: 'deleted' } },
      { ...record(3), fact: { kind: 'edited', stamp: { atMs: 9, id: 'e' }, text: { text: 'better' } } },
    );
    assert.equal((await messages.next()).value, 'better');
  }));

test('a reader that waits is woken by a new message and by its end; those who ask at once each get another', () =>
  withStore(async store => {
    const messages = reader(store);
    const [a, b, c] = [messages.next(), messages.next(), messages.next()];
    put(store, record(1), record(2));
    messages.wake();
    assert.deepEqual([(await a).value, (await b).value], ['message 1', 'message 2']);
    await new Promise(resolve => setImmediate(resolve));
    await messages.return();
    assert.equal((await c).done, true);
    assert.equal((await messages.next()).done, true);
  }));

test('many messages are read in order, whatever is read at once', () =>
  withStore(async store => {
    put(store, ...Array.from({ length: 200 }, (_, i) => record(i)));
    const messages = reader(store);
    for (let i = 0; i < 200; i++) assert.equal((await messages.next()).value, `message ${i}`);
  }));
