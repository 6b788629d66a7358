import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import {
  type ChatId,
  chatWith,
  type MessageId,
  messageIdOf,
  parseMessageId,
  parsePerson,
  personOf,
  type ShownMessageName,
} from './message-names.ts';

const anna: InteropId = '1-aaaaaaaaaaaaaaaaaaaaaaaaaa';

test('a chat of two is named by the other person, a message by its 16 bytes', () => {
  assert.equal(personOf(chatWith(anna)), anna);
  assert.equal(messageIdOf(Uint8Array.from({ length: 16 }, (_, i) => 16 * i + i)), '00112233445566778899aabbccddeeff');
});

// The compiler is what is tested: each marked line must not compile, and the check of types fails when one does.
function swapped(person: InteropId, chat: ChatId, message: MessageId, stanza: StanzaId): unknown[] {
  // @ts-expect-error a chat is not a person
  const author: InteropId = chat;
  // @ts-expect-error a person is not a chat: chatWith says where it becomes one
  const place: ChatId = person;
  // @ts-expect-error a stanza is not a message: receipts and resends name different things
  const id: MessageId = stanza;
  // @ts-expect-error nor the other way round
  const sent: StanzaId = message;
  // @ts-expect-error a message does not name a person
  const by: InteropId = message;
  // What comes as plain text was checked where it came.
  const read: MessageId = String(message);
  return [author, place, id, sent, by, read];
}

// What an application gives has been shown to it, or parsed: a plain text does not compile.
function given(text: string, name: ShownMessageName): ShownMessageName[] {
  // @ts-expect-error a text is not an id
  const id: ShownMessageName['id'] = text;
  // @ts-expect-error a text is not a person
  const author: ShownMessageName['author'] = text;
  // @ts-expect-error an id is not a person
  const by: ShownMessageName['author'] = name.id;
  // @ts-expect-error nor a person an id
  const of: ShownMessageName['id'] = name.author;
  return [
    { author, id },
    { author: by, id: of },
  ];
}

test('what an application kept as text is parsed: only an id is one, and only a person', () => {
  const id = '0f'.repeat(16);
  const name = { author: parsePerson(anna)!, id: parseMessageId(id)! };
  assert.deepEqual(name, { author: anna, id });
  for (const text of ['', id.slice(1), `${id}0`, id.toUpperCase(), anna]) assert.equal(parseMessageId(text), undefined);
  for (const text of ['', id, anna.slice(1), `${anna}@citadel.example`]) assert.equal(parsePerson(text), undefined);
  assert.equal(given('x', name).length, 2);
});

test('one kind of name is not taken for another, and at run time all are text', () => {
  assert.deepEqual(swapped(anna, chatWith(anna), 'm', 's'), [anna, anna, 's', 'm', 'm', 'm']);
});
