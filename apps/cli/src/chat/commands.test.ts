// What a typed line does, with a client that notes what it is asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client, Message } from '@drawbridge/client';
import { obey } from './commands.ts';
import { Conversation } from './conversation.ts';
import { parseSpan, spanWords } from './spans.ts';

/** A chat with bob: `said` is what stands on the screen, `done` what the client was asked; `failed` are failed messages. */
function conversation(failed: { id: string; text: string }[] = []) {
  const said: string[] = [];
  const done: unknown[] = [];
  const note =
    (name: string) =>
    (...args: unknown[]) => {
      done.push([name, ...args]);
      return Promise.resolve();
    };
  const messages = () => Promise.resolve(failed.map(each => ({ message: failedMessage(each) })));
  const client = {
    chats: {
      messages,
      setTimer: (_: unknown, seconds: number) => note('setTimer')(seconds),
      setDefaults: note('setDefaults'),
      resend: note('resend'),
      drop: note('drop'),
      vote: (_: unknown, options: number[]) => note('vote')(options),
    },
    contacts: { list: () => [{ interopId: 'b', identifier: 'bob', provider: 'citadel.example' }] },
    account: { setProfile: note('setProfile') },
  };
  const screen = { say: (line: string) => said.push(line) };
  const chat = new Conversation(client as unknown as Client, screen as unknown as Conversation['screen']);
  chat.peer = { provider: 'citadel.example', identifier: 'bob' };
  return { chat, said, done, failed };
}

const failedMessage = ({ id, text }: { id: string; text: string }): Message =>
  ({ id, text, chat: 'b', sentAtMs: 0, state: 'failed', failure: { code: 'unreachable' } }) as unknown as Message;

test('a command without its words, or with others, asks for nothing and says what it takes', async () => {
  for (const line of [
    ...['/disappear', '/disappear 1e3', '/disappear 0x10', '/disappear -5', '/disappear soon'],
    ...['/receipts', '/receipts OFF', '/receipts of', '/name', '/vote', '/resend 1', '/drop 1', '/drop'],
  ]) {
    const { chat, said, done } = conversation();
    chat.lastPoll = { author: 'b', id: 'p' };
    await obey(chat, line);
    assert.deepEqual(done, [], line);
    assert.match(said.join('\n'), new RegExp(line.split(' ')[0]!), line);
  }
});

test('a timer is a span or off; receipts are on or off; a vote is taken back by a word', async () => {
  const { chat, done } = conversation();
  chat.lastPoll = { author: 'b', id: 'p' };
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

test('spans are typed with a unit and read in words', () => {
  assert.deepEqual(
    ['0', '30s', '5m', '12h', '3d', '2w', 'off'].map(parseSpan),
    [0, 30, 300, 43_200, 259_200, 1_209_600, 0],
  );
  assert.deepEqual(['', '1y', '1.5h', '-1', '1 h', '9999999999'].map(parseSpan), Array(6).fill(undefined));
  assert.deepEqual([0, 1, 90, 86_400, 129_600].map(spanWords), [
    '0 seconds',
    '1 second',
    '1 minute 30 seconds',
    '1 day',
    '1 day 12 hours',
  ]);
});
