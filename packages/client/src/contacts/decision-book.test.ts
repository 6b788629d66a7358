// What a gatekeeper's word about decisions does to a real store: how much of it is kept.
// Knows nothing of acknowledgements (`harness/src/cheating/attacks-on-decisions.ts`).
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { element } from '@drawbridge/wire/element';
import type { InteropId } from '@drawbridge/wire/jid';
import { NS_CLIENT, NS_CONSENT } from '@drawbridge/wire/namespaces';
import { newChat } from '../history/chat-state.ts';
import { historyLimits } from '../history/history.ts';
import { chatWith } from '../history/message-names.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';
import { DecisionBook } from './decision-book.ts';

const domain = 'citadel.example';
const person = (number: number): InteropId =>
  `1-${number.toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(26, 'a')}`;

test('people whom a gatekeeper invents fill no disk; decisions about those with a chat are heard all the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-decisions-'));
  const opened = await openEncryptedStore({
    path: join(folder, 'store.db'),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  const store = opened.value;
  const inStore = <T>(work: (tx: Transaction) => T): T => {
    const done = store.transaction(work);
    assert(done.ok);
    return done.value;
  };
  const room = 3;
  inStore(tx => {
    for (let at = 0; at < historyLimits.maxChats - room; at++) writeChat(tx, newChat(chatWith(person(at))));
  });
  const outbox = { add: () => '', wake: () => {}, hasRoom: () => true };
  const book = new DecisionBook({
    store,
    own: person(20_000),
    domain,
    request: () => assert.fail('nothing is asked'),
    outbox,
    deliveryReceipts: true,
    emit: () => {},
  });
  const hear = (number: number): void => {
    const contact = element('contact', NS_CONSENT, { jid: `${person(number)}@${domain}`, state: 'blocked' });
    assert(book.hear(element('message', NS_CLIENT, { from: domain }, [contact])));
  };
  const decision = (number: number): string | undefined =>
    inStore(tx => readChat(tx, chatWith(person(number)))).contact;
  for (let at = 0; at < 10; at++) hear(10_000 + at);
  assert.equal(
    inStore(tx => tx.count('chat')),
    historyLimits.maxChats,
  );
  assert.deepEqual([decision(10_002), decision(10_003)], ['blocked', undefined]);
  hear(5);
  assert.equal(decision(5), 'blocked');
  store.close();
  rmSync(folder, { recursive: true });
});
