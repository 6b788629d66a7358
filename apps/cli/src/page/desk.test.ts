// What becomes of commands before somebody is signed in, of wrong ones, and of keys that come again.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Desk, type Outcome } from './desk.ts';
import { Intake } from './intake.ts';
import { MediaDesk } from './media-desk.ts';
import { Session } from './session.ts';

function open(t: TestContext): (key: string, name: string, given?: Record<string, unknown>) => Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-desk-'));
  const defects: unknown[] = [];
  const prefill = { gatekeeper: '', provider: '', identifier: '', demo: false };
  const onDefect = (error: unknown): void => void defects.push(error);
  const session = new Session({
    prefill,
    ca: undefined,
    relay: undefined,
    folderOf: () => folder,
    emit: () => undefined,
    onDefect,
  });
  t.after(async () => {
    await session.close();
    rmSync(folder, { recursive: true });
    assert.deepEqual(defects, []);
  });
  const desk = new Desk({
    session,
    media: new MediaDesk(() => session.client),
    intake: new Intake(() => session.client, onDefect),
    emit: () => undefined,
    onDefect,
  });
  const said = (outcome: Outcome): string => (outcome.ok ? 'done' : outcome.error.code);
  return async (key, name, given = {}) => said(await desk.obey({ key, name, arguments: given }));
}

test('a command that is none, or whose arguments are not its own, is refused', async t => {
  const obey = open(t);
  const page = { limit: 1, skip: 0, archived: false };
  assert.equal(await obey('a', 'chats.list', page), 'signed-out');
  const wrong: [string, Record<string, unknown>][] = [
    ['toString', {}],
    ['__proto__', {}],
    ['chats.list', {}],
    ['chats.list', { ...page, more: 1 }],
    ['chats.list', { ...page, limit: 201 }],
    ['chats.list', { ...page, limit: '1' }],
    ['chats.send', { chat: 'x', text: '' }],
    ['chats.send', { chat: 'x', text: 'x'.repeat(65_537) }],
    ['chats.delete', { id: '../x' }],
    ['people.decide', { chat: 'x', decision: 'constructor' }],
  ];
  for (const [name, given] of wrong) assert.equal(await obey('a', name, given), 'bad-command', JSON.stringify(given));
});

test('a key is one deed; reading is none', async t => {
  const obey = open(t);
  assert.equal(await obey('a', 'account.setName', { displayName: 'Anna' }), 'signed-out');
  assert.equal(await obey('a', 'account.setName', { displayName: 'Anna' }), 'signed-out');
  assert.equal(await obey('a', 'account.setName', { displayName: 'Bob' }), 'key-reused');
  assert.equal(await obey('a', 'chats.delete', { id: '0'.repeat(32) }), 'key-reused');
  assert.equal(await obey('b', 'notices.list'), 'signed-out');
  assert.equal(await obey('b', 'people.requests'), 'signed-out');
});

test('one sign-in at a time', async t => {
  const obey = open(t);
  const account = {
    gatekeeper: 'https://127.0.0.1:1',
    provider: 'https://127.0.0.1:1',
    identifier: 'anna',
    password: 'a password',
    passphrase: 'a long passphrase',
    replace: false,
  };
  const first = obey('a', 'session.signIn', account);
  assert.equal(await obey('b', 'session.signIn', account), 'signed-in');
  assert.equal(await obey('c', 'notices.list'), 'signed-out');
  const failed = await first;
  assert.equal(failed, 'unreachable');
  assert.equal(await obey('a', 'session.signIn', account), failed, 'the same deed');
  assert.equal(await obey('a', 'session.signIn', { ...account, replace: true }), 'key-reused');
});
