// The way through a relay, against relays that answer oddly, slowly or not at all.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { callJson } from './http.ts';
import type { Place } from './connect-socket.ts';
import { openTunnel, parseRelay, relayFor, tunnelLimits } from './relay-tunnel.ts';

async function relayThat(t: TestContext, answer: (socket: Socket, asked: string) => void): Promise<Place> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', asked => answer(socket, asked.toString()));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** What came behind the answer, or the code of the failure. */
async function outcome(relay: Place, target: Place = { host: 'citadel.example', port: 5223 }): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = openTunnel(relay, target, () => socket.on('data', chunk => resolve(`open: ${String(chunk)}`)));
  socket.on('error', error => resolve('code' in error ? String(error.code) : error.message));
  socket.on('close', () => resolve('closed'));
  const result = await promise;
  socket.destroy();
  return result;
}

test('relays are host and port', () => {
  assert.deepEqual(parseRelay('relay.example:8444'), { host: 'relay.example', port: 8444 });
  assert.deepEqual(parseRelay('[2001:db8::7]:443'), { host: '2001:db8::7', port: 443 });
  for (const text of [
    '',
    'relay.example',
    ':8444',
    'relay.example:0',
    'relay.example:65536',
    'https://relay.example:1',
    'a@b:1',
    'a/b:1',
    'a:1/',
  ]) {
    assert.equal(parseRelay(text), undefined, text);
  }
});

test('with an origin a relay is for URLs of that origin alone', () => {
  const relay = { host: 'relay.example', port: 1 };
  assert.equal(relayFor(relay, 'https://anything.example/'), relay);
  const only = { ...relay, onlyOrigin: 'https://citadel.example' };
  assert.equal(relayFor(only, 'https://citadel.example/users'), only);
  for (const url of ['https://skylark.example/', 'https://citadel.example:444/', 'https://citadel.example.evil/']) {
    assert.equal(relayFor(only, url), undefined);
  }
  assert.equal(relayFor(undefined, 'https://citadel.example'), undefined);
});

test('the target is named, and what comes with or after the answer is the target’s', async t => {
  let asked = '';
  const whole = await relayThat(t, (socket, text) => {
    asked = text;
    socket.write('HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nhello');
  });
  assert.equal(await outcome(whole, { host: '2001:db8::7', port: 443 }), 'open: hello');
  assert.equal(asked, 'CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n\r\n');
  const inPieces = await relayThat(t, socket => {
    const pieces = ['HTTP/1.', '0 200 yes\r', '\n\r', '\n', 'late'];
    const timer = setInterval(() => (pieces.length === 0 ? clearInterval(timer) : socket.write(pieces.shift()!)), 10);
  });
  assert.equal(await outcome(inPieces), 'open: late');
});

test('whatever a relay answers instead is an error with its code, and no way is open', async t => {
  for (const [answer, code] of [
    ['HTTP/1.1 403 Forbidden\r\n\r\n', 'relay-refused'],
    ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', 'unreachable'],
    ['HTTP/1.1 502 Bad Gateway\r\n\r\nwords', 'unreachable'],
    ['HTTP/1.1 301 Moved\r\nLocation: http://evil.example\r\n\r\n', 'unreachable'],
    ['SSH-2.0-OpenSSH\r\n\r\n', 'unreachable'],
    ['x'.repeat(tunnelLimits.maxAnswerBytes + 1), 'unreachable'],
  ] as const) {
    assert.equal(await outcome(await relayThat(t, socket => socket.write(answer))), code, answer.slice(0, 30));
  }
  assert.equal(await outcome(await relayThat(t, socket => socket.end())), 'closed');
  assert.equal(await outcome(await relayThat(t, socket => socket.resetAndDestroy())), 'ECONNRESET');
});

test('a request over HTTPS ends with the relay’s fault, also when the relay dies half-way or says nothing', async t => {
  const call = { method: 'GET', url: 'https://citadel.example/', timeoutMs: 300 } as const;
  for (const [answer, code] of [
    [(socket: Socket) => socket.write('HTTP/1.1 403 Forbidden\r\n\r\n'), 'relay-refused'],
    [(socket: Socket) => socket.end(), 'unreachable'],
    [(socket: Socket) => socket.write('HTTP/1.1 2'), 'timed-out'],
    [(socket: Socket) => socket.end('HTTP/1.1 200 yes\r\n\r\n'), 'unreachable'],
  ] as const) {
    await assert.rejects(callJson(call, { relay: await relayThat(t, answer) }), { code });
  }
});
