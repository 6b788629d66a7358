// Peers that mean harm to an HTTP port: silent, slow, deaf, too many. And WebSockets, which are not counted as HTTP.
import assert from 'node:assert/strict';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type TestContext, test } from 'node:test';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { WebSocket, WebSocketServer } from 'ws';
import { createHttpPort, type HttpPort, type HttpPortLimits } from './http-port.ts';
import type { TlsMaterial } from '../tls/certificate.ts';

const limits: HttpPortLimits = {
  maxConnections: 100,
  headersTimeoutMs: 400,
  requestTimeoutMs: 600,
  idleMs: 700,
};
const largeAnswer = Buffer.alloc(64 * 1024 * 1024, 'x');

async function open(
  t: TestContext,
  changed: Partial<HttpPortLimits> = {},
  isFull = () => false,
  tls?: TlsMaterial,
  isProxy = (_address: string) => false,
) {
  const port = createHttpPort(
    (request, response) => {
      request.resume();
      response.end(request.url === '/large' ? largeAnswer : 'hello');
    },
    { tls, alsoPlain: false, limits: { ...limits, ...changed }, isFull, isProxy },
  );
  await new Promise<void>(resolve => port.server.listen(0, '127.0.0.1', resolve));
  t.after(() => port.close());
  return { port, number: (port.server.address() as AddressInfo).port };
}

/** Connects and says this; `closed` is fulfilled when the other side has had enough. */
function say(port: number, text: string): { socket: Socket; closed: Promise<number> } {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  const began = performance.now();
  const closed = new Promise<number>(resolve => socket.once('close', () => resolve(performance.now() - began)));
  socket.write(text);
  return { socket, closed };
}

async function settled(port: HttpPort, connections: number): Promise<void> {
  for (let i = 0; i < 200 && port.connections() !== connections; i++) {
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  assert.equal(port.connections(), connections);
}

test('who says nothing, half a header, or half a body is cut; others are served meanwhile', {
  timeout: 20_000,
}, async t => {
  const { number } = await open(t);
  const slow = [
    say(number, ''),
    say(number, 'GET / HTTP/1.1\r\nHost: a'),
    say(number, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc'),
  ];
  const dripping = say(number, 'GET / HTTP/1.1\r\n');
  const drops = setInterval(() => dripping.socket.write('a: b\r\n'), 50);
  t.after(() => clearInterval(drops));
  for (const { socket } of slow) socket.resume();
  dripping.socket.resume();
  assert.equal(await (await fetch(`http://127.0.0.1:${number}/`)).text(), 'hello');
  const times = await Promise.all([...slow, dripping].map(each => each.closed));
  assert.ok(Math.max(...times) < 6_000, times.map(Math.round).join(' '));
});

test('who does not read the answer is cut', { timeout: 20_000 }, async t => {
  const { port, number } = await open(t);
  const deaf = say(number, 'GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
  deaf.socket.pause();
  await settled(port, 1);
  await settled(port, 0);
  deaf.socket.destroy();
});

test('whoever is too many makes the longest idle one give way; a request under way never does', {
  timeout: 20_000,
}, async t => {
  let isFull = false;
  const { port, number } = await open(
    t,
    { maxConnections: 2, headersTimeoutMs: 5_000, requestTimeoutMs: 5_000, idleMs: 5_000 },
    () => isFull,
  );
  const ask = async (): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${number}/`, { headers: { connection: 'close' } })).text();
  const first = say(number, '');
  await settled(port, 1);
  const second = say(number, '');
  await settled(port, 2);
  assert.equal(await ask(), 'hello');
  await first.closed;
  isFull = true;
  assert.equal(await ask(), 'hello');
  await second.closed;
  isFull = false;
  await settled(port, 0);
  // Both busy: nobody gives way, and the third is cut.
  const busy = [1, 2].map(() => say(number, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc'));
  for (const { socket } of busy) socket.pause();
  const deaf = [1, 2].map(() => say(number, ''));
  for (const { socket } of deaf) socket.resume();
  await settled(port, 2);
  for (const { socket } of [...busy, ...deaf]) socket.destroy();
});

test('one address has a share of the port, also over TLS; a reverse proxy has all of it', {
  timeout: 20_000,
}, async t => {
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const slow = { maxPerAddress: 3, headersTimeoutMs: 5_000, requestTimeoutMs: 5_000, idleMs: 5_000 };
  for (const tls of [undefined, authority.issue(['localhost'])]) {
    const { port, number } = await open(t, slow, undefined, tls);
    const many = Array.from({ length: 20 }, () => say(number, ''));
    await Promise.race(many.map(each => each.closed));
    await settled(port, 3);
    // Another address is served: ::1 is not 127.0.0.1, and the port has places left.
    assert.ok(port.connections() < limits.maxConnections);
    for (const { socket } of many) socket.destroy();
    await settled(port, 0);
  }
  const behind = await open(t, slow, undefined, undefined, address => address === '127.0.0.1');
  const proxied = Array.from({ length: 20 }, () => say(behind.number, ''));
  await settled(behind.port, 20);
  for (const { socket } of proxied) socket.destroy();
});

test('the same with TLS: floods above the limit leave it able to serve', { timeout: 20_000 }, async t => {
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const slow = { maxConnections: 3, headersTimeoutMs: 5_000, requestTimeoutMs: 5_000, idleMs: 5_000 };
  const { port, number } = await open(t, slow, undefined, authority.issue(['localhost']));
  const held = [say(number, ''), say(number, ''), say(number, '')];
  await settled(port, 3);
  const flood = Array.from({ length: 50 }, (_, i) => say(number, i % 2 === 0 ? '' : '\u0016\u0003\u0001\u0002'));
  for (const { socket } of flood) socket.resume();
  await Promise.all(held.map(each => each.closed));
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port: number, servername: 'localhost', ca: authority.ca }, () =>
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'),
    );
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
  assert.match(answer, /^HTTP\/1\.1 200 /);
  for (const { socket } of flood) socket.destroy();
  await settled(port, 0);
});

test('a WebSocket is no HTTP connection any more: it takes none of their places and is not cut for being silent', {
  timeout: 20_000,
}, async t => {
  const { port, number } = await open(t, { maxConnections: 2 });
  const sockets = new WebSocketServer({ noServer: true });
  for (const server of port.servers) {
    server.on('upgrade', (request, socket, head) => sockets.handleUpgrade(request, socket, head, () => {}));
  }
  const open5: WebSocket[] = [];
  let lost = 0;
  for (let i = 0; i < 5; i++) {
    const webSocket = new WebSocket(`ws://127.0.0.1:${number}/`);
    await new Promise((resolve, reject) => {
      webSocket.once('open', resolve);
      webSocket.once('error', reject);
    });
    webSocket.once('close', () => lost++);
    open5.push(webSocket);
  }
  await settled(port, 0);
  await new Promise(resolve => setTimeout(resolve, 1_500));
  assert.equal(lost, 0);
  for (const webSocket of open5) webSocket.terminate();
});
