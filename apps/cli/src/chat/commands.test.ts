// What a typed line does, with a client that notes what it is asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Client, type Message, parseMessageId, parsePerson } from '@drawbridge/client';
import { obey } from './commands.ts';
import { Conversation } from './conversation.ts';
import { localTime } from './shown-message.ts';
import { parseSpan, spanWords } from './spans.ts';

/** A chat with bob: `said` is what stands on the screen, `done` what the client was asked; `failed` are failed messages. */
function conversation(
  failed: { id: string; text: string }[] = [],
  shown: readonly Message[] = [],
  toCome?: { deviceId: number; count: number },
) {
  const said: string[] = [];
  const done: unknown[] = [];
  const note =
    (name: string) =>
    (...args: unknown[]) => {
      done.push([name, ...args]);
      return Promise.resolve();
    };
  const messages = () => Promise.resolve([...shown, ...failed.map(failedMessage)].map(message => ({ message })));
  const client = {
    chats: {
      messages,
      setTimer: (_: unknown, seconds: number) => note('setTimer')(seconds),
      setDefaults: note('setDefaults'),
      resend: note('resend'),
      drop: note('drop'),
      vote: (_: unknown, options: number[]) => note('vote')(options),
      edit: note('edit'),
      react: note('react'),
    },
    contacts: { list: () => [{ interopId: 'b', identifier: 'bob', provider: 'citadel.example' }] },
    account: { setProfile: note('setProfile'), optIn: note('optIn'), optOut: note('optOut') },
    devices: { remove: note('remove'), peopleToCome: () => toCome, forgoPeople: note('forgoPeople') },
    files: { save: note('save') },
    send: (_: unknown, outgoing: Message) => note('send')(outgoing).then(() => outgoing),
  };
  const screen = { say: (line: string) => said.push(line) };
  const chat = new Conversation(client as unknown as Client, screen as unknown as Conversation['screen']);
  chat.peer = { provider: 'citadel.example', identifier: 'bob' };
  return { chat, said, done, failed };
}

const failedMessage = ({ id, text }: { id: string; text: string }): Message =>
  ({ id, text, chat: 'b', sentAtMs: 0, state: 'failed', failure: { code: 'unreachable' } }) as unknown as Message;

const poll = { author: parsePerson(`0-${'b'.repeat(26)}`)!, id: parseMessageId('0f'.repeat(16))! };

test('a command without its words, or with others, asks for nothing and says what it takes', async () => {
  for (const line of [
    ...['/disappear', '/disappear 1e3', '/disappear 0x10', '/disappear -5', '/disappear soon'],
    ...['/receipts', '/receipts OFF', '/receipts of', '/name', '/vote', '/resend 1', '/drop 1', '/drop'],
    ...['/vote 0x1', '/vote 1e0', '/vote 1 +2', '/vote 1.0', '/vote 0', '/vote 21', '/vote one'],
    ...['/place', '/place 48.2', '/place 0x10 16', '/place 4e1 16', '/place 48,2 16', '/place 91 16', '/place 48 181'],
    ...['/place Infinity 1', '/place 1. 1', '/place .5 1', '/place +1 1'],
    ...['/poll', '/poll when?', '/poll when? | now', '/poll | a | b', '/poll when? | a | ', '/poll when? | a | a'],
    ...['/history 0', '/history 501', '/history 0x10', '/history 1e1', '/history all', '/history 1 2'],
    ...[
      '/remove',
      '/remove 0x2',
      '/remove 2e0',
      '/remove 128',
      '/remove 2 now',
      '/save',
      '/save 0x1 /tmp/a',
      '/save 33 /tmp/a',
    ],
    ...['/reply', '/edit', '/once', '/react', '/search', '/optin', '/optout'],
  ]) {
    const { chat, said, done } = conversation();
    chat.lastPoll = poll;
    chat.lastFiles = failedMessage({ id: 'f', text: '' });
    await obey(chat, line);
    assert.deepEqual(done, [], line);
    assert.match(said.join('\n'), new RegExp(line.split(' ')[0]!), line);
  }
});

test('a place is degrees with a point, and a poll a question with its answers', async () => {
  const { chat, done } = conversation();
  for (const line of ['/place -8.6110 41 Porto by the sea', '/place 90 -180', '/poll when? | now | at five'])
    await obey(chat, line);
  assert.deepEqual(done, [
    ['send', { kind: 'location', latitude: -8.611, longitude: 41, name: 'Porto by the sea' }],
    ['send', { kind: 'location', latitude: 90, longitude: -180 }],
    ['send', { kind: 'poll', question: 'when?', options: ['now', 'at five'] }],
  ]);
});

test('the history says of each message whether it vanishes, and when', async () => {
  const message = { kind: 'text', text: 'hello', author: 'b', chat: 'b', sentAtMs: 0, from: { identifier: 'bob' } };
  const stays = message as unknown as Message;
  const { chat, said } = conversation(
    [],
    [
      { ...stays, expiresAfterSeconds: 5_400, expiresAtMs: Date.UTC(2026, 10, 30, 12) },
      { ...stays, expiresAfterSeconds: 5_400 },
      stays,
    ],
  );
  await obey(chat, '/history');
  await obey(chat, '/history 3');
  assert.deepEqual(
    said.slice(0, 3).map(line => line.slice(line.indexOf('bob'))),
    [
      'bob: hello',
      'bob: hello (vanishes 90 minutes after it was read)',
      `bob: hello (vanishes about ${localTime(Date.UTC(2026, 10, 30, 12))})`,
    ],
  );
  assert.deepEqual(said.slice(3), said.slice(0, 3));
});

test('a timer is a span or off; receipts are on or off; a vote is taken back by a word', async () => {
  const { chat, done } = conversation();
  chat.lastPoll = poll;
  for (const line of ['/disappear 1h', '/disappear 90', '/disappear off', '/receipts off', '/vote 2', '/vote none'])
    await obey(chat, line);
  assert.deepEqual(done, [
    ['setTimer', 3600],
    ['setTimer', 90],
    ['setTimer', 0],
    ['setDefaults', { sendRead: false, sendPlayed: false }],
    ['vote', [1]],
    ['vote', []],
  ]);
});

test('numbers mean the list of failed messages that was shown, whatever fails after it', async () => {
  const { chat, said, done, failed } = conversation([{ id: 'A', text: 'hello' }]);
  await obey(chat, '/failed');
  assert.match(said[0]!, /1 .* to bob: hello \(unreachable/);
  failed.unshift({ id: 'B', text: 'important' });
  await obey(chat, '/drop');
  assert.deepEqual(done, [], 'of two it is not said which');
  for (const number of ['0x1', '1e0', '01', '1.0', '+1', '0', '2', '1 1', '-1']) await obey(chat, `/drop ${number}`);
  assert.deepEqual(done, [], 'these are no numbers of the list');
  await obey(chat, '/drop 1');
  assert.deepEqual(done, [['drop', 'A']]);
  assert.equal(said.at(-1), 'let go: hello');
});

test('without a failed message /failed says so; of one alone no number is needed', async () => {
  const none = conversation();
  await obey(none.chat, '/failed');
  assert.deepEqual(none.said, ['nothing of yours has failed']);
  const one = conversation([{ id: 'A', text: 'hello' }]);
  await obey(one.chat, '/resend');
  assert.deepEqual(one.done, [['resend', 'A']]);
});

test('/missing says who is to come, and goes on without them by a word alone', async () => {
  const nobody = conversation();
  await obey(nobody.chat, '/missing');
  await obey(nobody.chat, '/missing without');
  assert.deepEqual([nobody.done, nobody.said.length], [[], 2]);
  for (const line of nobody.said) assert.match(line, /nobody is missing/);
  const { chat, said, done } = conversation([], [], { deviceId: 3, count: 700 });
  for (const line of ['/missing', '/missing now', '/missing without them']) {
    said.length = 0;
    await obey(chat, line);
    assert.match(said.join('\n'), /device 3 .* 700 people[^]*\/missing without, when it is lost/, line);
  }
  assert.deepEqual(done, []);
  await obey(chat, '/missing without');
  assert.deepEqual(done, [['forgoPeople']]);
  assert.match(said.at(-1)!, /compare safety numbers again/);
});

test('spans are typed with a unit and read in words', () => {
  assert.deepEqual(
    ['0', '30s', '5m', '12h', '3d', '2w', 'off'].map(parseSpan),
    [0, 30, 300, 43_200, 259_200, 1_209_600, 0],
  );
  assert.deepEqual(['', '1y', '1.5h', '-1', '1 h', '9999999999'].map(parseSpan), Array(6).fill(undefined));
  assert.deepEqual([0, 1, 90, 86_400, 129_600].map(spanWords), [
    '0 seconds',
    '1 second',
    '90 seconds',
    '1 day',
    '36 hours',
  ]);
});
