// A page whose line breaks says its deeds again to the same process, where a key makes them one, and never to the next process,
// which knows none of its keys: another tab with a fresh address lets an old one in again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CommandFailed, Connection } from './connection.ts';

type Frame = { readonly kind: string; readonly id: number; readonly name: string; readonly key: string };

/** The browser's end of a socket, and what the process says on it. */
class FakeSocket extends EventTarget {
  static latest: FakeSocket;
  readonly sent: Frame[] = [];

  constructor() {
    super();
    FakeSocket.latest = this;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Frame);
  }

  says(frame: object): void {
    this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(frame) }));
  }

  breaks(code = 1006): void {
    this.dispatchEvent(Object.assign(new Event('close'), { code }));
  }

  get commands(): string[] {
    return this.sent.filter(({ kind }) => kind === 'command').map(({ name }) => name);
  }
}

function open(): Connection {
  const storage = { getItem: () => 'a token', setItem: () => undefined };
  const globals = { WebSocket: FakeSocket, localStorage: storage, location: { hash: '', host: '127.0.0.1:1' } };
  // Whether anybody answers at the port stays open here.
  const calls = { addEventListener: () => undefined, fetch: () => new Promise(() => undefined) };
  for (const [name, value] of Object.entries({ ...globals, ...calls }))
    Object.defineProperty(globalThis, name, { value, configurable: true });
  return new Connection({ onLine: () => undefined, onWelcome: () => undefined, onEvent: () => undefined });
}

const welcome = (epoch: string) => ({ kind: 'welcome', epoch, mode: 'reset', last: 0 });
const message = { chat: 'x', text: 'once' };

test('what a process may have done is never said to the next one, and what it was not told is', async () => {
  const connection = open();
  const comesBack = (epoch: string): FakeSocket => {
    connection.retry();
    FakeSocket.latest.says(welcome(epoch));
    return FakeSocket.latest;
  };
  await connection.start();
  FakeSocket.latest.says(welcome('first'));
  const sending = connection.call('chats.send', message);
  const [said] = FakeSocket.latest.sent;
  assert.equal(said?.name, 'chats.send');
  FakeSocket.latest.breaks();
  // The same process: the same deed under the same key.
  const same = comesBack('first');
  assert.deepEqual(same.sent, [said]);
  same.breaks();
  // Nobody has heard of this one yet; then another process answers at the same port.
  const reading = connection.call('notices.list', {});
  const refused = assert.rejects(sending, (error: unknown) => (error as CommandFailed).error.code === 'not-known');
  const next = comesBack('second');
  await refused;
  assert.deepEqual(next.commands, ['notices.list']);
  next.says({ kind: 'result', id: next.sent[0]?.id, ok: true, value: [] });
  assert.deepEqual(await reading, []);
});

test('what the process ends the line for is not said again, and the rest goes on', async () => {
  for (const code of [1008, 1009]) {
    const connection = open();
    await connection.start();
    FakeSocket.latest.says(welcome('first'));
    const refused = assert.rejects(
      connection.call('chats.send', message),
      (error: unknown) => (error as CommandFailed).error.code === 'not-known',
    );
    FakeSocket.latest.breaks(code);
    await refused;
    const reading = connection.call('notices.list', {});
    connection.retry();
    FakeSocket.latest.says(welcome('first'));
    assert.deepEqual(FakeSocket.latest.commands, ['notices.list'], String(code));
    FakeSocket.latest.says({ kind: 'result', id: 2, ok: true, value: [] });
    assert.deepEqual(await reading, []);
  }
});
