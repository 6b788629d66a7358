// A relay between real sockets: what passes, what is refused, and that nobody uses up what is everybody's.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, test, type TestContext } from 'node:test';
import { parseRelayConfig, type RelayFile } from './relay-config.ts';
import { metricsOf } from './relay-health.ts';
import { Relay } from './relay-server.ts';

const servers: Server[] = [];
after(() => servers.forEach(server => server.close()));

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

/** A server, and a relay in front of it. */
async function relayTo(
  t: TestContext,
  serve: (socket: Socket) => void,
  limits: Partial<RelayFile['limits']> = {},
): Promise<{ relay: Relay; port: number; upstream: string }> {
  const server = createServer({ allowHalfOpen: true }, socket => serve(socket.on('error', () => socket.destroy())));
  const upstream = `127.0.0.1:${await portOf(server)}`;
  const relay = new Relay(parseRelayConfig({ upstreams: [upstream], limits }, 'the test'));
  t.after(() => relay.close());
  return { relay, port: await portOf(relay.server), upstream };
}

/** Asks for an upstream; gives the socket behind the answer, and its first line. */
async function ask(port: number, upstream: string, more = ''): Promise<{ socket: Socket; status: string }> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => socket.destroy());
  socket.write(`CONNECT ${upstream} HTTP/1.1\r\nHost: ${upstream}\r\n\r\n${more}`);
  let head = Buffer.alloc(0);
  while (!head.includes('\r\n\r\n')) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) head = Buffer.concat([head, chunk]);
    else if (socket.readableEnded || socket.destroyed) return { socket, status: 'ended' };
    else await Promise.race(['readable', 'end', 'close'].map(event => once(socket, event).catch(() => undefined)));
  }
  const end = head.indexOf('\r\n\r\n') + 4;
  if (end < head.length) socket.unshift(head.subarray(end));
  return { socket, status: head.toString('latin1').slice(9, 12) };
}

const echo = (socket: Socket): void => void socket.pipe(socket);
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const until = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 500 && !holds(); i++) await sleep(10);
  assert(holds());
};

test('bytes pass both ways as they are, also those that come with the question, and an end on one side does not end the other', async t => {
  const { relay, port, upstream } = await relayTo(t, echo);
  const { socket, status } = await ask(port, upstream.toUpperCase(), 'first');
  assert.equal(status, '200');
  const bytes = randomBytes(8 * 1024 * 1024);
  const got = buffer(socket);
  socket.end(bytes);
  assert.equal(digest(await got), digest(Buffer.concat([Buffer.from('first'), bytes])));
  await until(() => relay.tunnels === 0 && relay.counts.connections === 0);
  assert.equal(relay.counts.bytes, 2 * (5 + bytes.length));
});

test('the last bytes of one side arrive when the other has ended long before', async t => {
  const bytes = randomBytes(3_000_000);
  const { port, upstream } = await relayTo(t, socket => {
    socket.resume();
    socket.on('end', () => socket.end(bytes));
  });
  const { socket } = await ask(port, upstream);
  socket.end('bye');
  await sleep(200);
  assert.equal(digest(await buffer(socket)), digest(bytes));
});

test('nothing but the upstreams that are named is reached: it is not an open proxy', async t => {
  let reached = 0;
  const other = await portOf(createServer(() => reached++));
  const { relay, port, upstream } = await relayTo(t, echo);
  for (const target of [
    `127.0.0.1:${other}`,
    `localhost:${other}`,
    `${upstream}0`,
    `x@${upstream}`,
    'a.example:443',
    '*',
  ]) {
    const { socket, status } = await ask(port, target);
    assert.equal(status, '403', target);
    socket.destroy();
  }
  for (const request of [
    `GET http://127.0.0.1:${other}/ HTTP/1.1\r\nHost: a\r\n\r\n`,
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
  ]) {
    const socket = connect(port, '127.0.0.1');
    socket.write(request);
    assert.match((await buffer(socket)).toString(), /^HTTP\/1\.1 405 .*\r\nallow: CONNECT/s);
  }
  const garbage = connect(port, '127.0.0.1').on('error', () => {});
  garbage.write(randomBytes(20_000));
  await once(garbage, 'close');
  assert.equal(reached, 0);
  assert.deepEqual([relay.counts.refused['not-an-upstream'], relay.counts.refused['not-connect']], [6, 2]);
  assert.match(metricsOf(relay), /^drawbridge_relay_refused_total\{reason="not-an-upstream"\} 6$/m);
});

test('an upstream that is out of reach is said once, and once more when it is back', async t => {
  const server = createServer(echo);
  const upstreamPort = await portOf(server);
  server.close();
  const upstream = `127.0.0.1:${upstreamPort}`;
  const told: unknown[] = [];
  const relay = new Relay({
    ...parseRelayConfig({ upstreams: [upstream] }, 'the test'),
    onUpstream: (_at, fault) => told.push(fault),
  });
  t.after(() => relay.close());
  const port = await portOf(relay.server);
  for (let i = 0; i < 2; i++) assert.equal((await ask(port, upstream)).status, '502');
  server.listen(upstreamPort, '127.0.0.1');
  await once(server, 'listening');
  const { socket, status } = await ask(port, upstream);
  assert.equal(status, '200');
  socket.destroy();
  assert.deepEqual(told, ['ECONNREFUSED', undefined]);
});

test('one address has so many connections; silent ones and idle tunnels end, and give their places back', async t => {
  const { relay, port, upstream } = await relayTo(t, echo, {
    connectionsPerAddress: 2,
    openingSeconds: 1,
    idleSeconds: 1,
  });
  const silent = connect(port, '127.0.0.1').on('error', () => {});
  const { socket, status } = await ask(port, upstream);
  assert.equal(status, '200');
  assert.equal((await ask(port, upstream)).status, 'ended');
  assert.equal(relay.counts.refused.places, 1);
  await Promise.all([once(silent.resume(), 'close'), once(socket.resume(), 'end')]);
  await until(() => relay.counts.connections === 0);
  assert.equal((await ask(port, upstream)).status, '200');
});

test('who does not read holds up the other side, and the relay keeps none of it', async t => {
  let written = 0;
  const { relay, port, upstream } = await relayTo(t, socket => {
    const piece = Buffer.alloc(65_536);
    const write = (): void => {
      while (socket.writable && socket.write(piece)) written += piece.length;
    };
    socket.on('drain', write);
    write();
  });
  const { socket } = await ask(port, upstream);
  socket.pause();
  await sleep(300);
  const passed = relay.counts.bytes;
  const before = written;
  await sleep(300);
  assert.equal(relay.counts.bytes, passed, 'nothing moves');
  assert.equal(written, before);
  assert(passed < 16 * 1024 * 1024, `${passed}`);
  socket.destroy();
});

test('an address that moves more than its share goes slower, and loses nothing', async t => {
  const limits = { mebibyteBurstPerAddress: 1, kibibytesPerSecondPerAddress: 2_048 };
  const { port, upstream } = await relayTo(t, echo, limits);
  const { socket } = await ask(port, upstream);
  const bytes = randomBytes(1_500_000);
  const startedAtMs = performance.now();
  const got = buffer(socket);
  socket.end(bytes);
  assert.equal(digest(await got), digest(bytes));
  // 3 MB in all, 1 MiB at once: the rest takes 0.95 s, the last pause aside.
  assert(performance.now() - startedAtMs > 700, `${performance.now() - startedAtMs}`);
});

test('a drain takes nobody new and ends the tunnels within its time', async t => {
  const { relay, port, upstream } = await relayTo(t, echo);
  const tunnels = await Promise.all(Array.from({ length: 20 }, () => ask(port, upstream)));
  let ended = 0;
  for (const { socket } of tunnels) socket.resume().once('end', () => ended++);
  const startedAtMs = performance.now();
  await relay.drain(600);
  const tookMs = performance.now() - startedAtMs;
  assert(tookMs > 200 && tookMs < 2_000, `${tookMs}`);
  await until(() => ended === 20);
  assert.equal((await ask(port, upstream)).status, 'ended');
});

test('an address that opens way after way is told when to come again; others are not', async t => {
  const limits = { tunnelBurstPerAddress: 3, tunnelsPerMinutePerAddress: 60 };
  const { relay, port, upstream } = await relayTo(t, echo, limits);
  for (let i = 0; i < 3; i++) assert.equal((await ask(port, upstream)).status, '200');
  const refused = connect({ port, host: '127.0.0.1' }).on('error', () => {});
  refused.write(`CONNECT ${upstream} HTTP/1.1\r\nHost: ${upstream}\r\n\r\n`);
  assert.match(String(await buffer(refused)), /^HTTP\/1\.1 429 .*\r\nRetry-After: 1\r\n/);
  assert.equal(relay.counts.refused['too-often'], 1);
  const other = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' }).on('error', () => {});
  other.write(`CONNECT ${upstream} HTTP/1.1\r\nHost: ${upstream}\r\n\r\n`);
  assert.match(String((await once(other, 'data'))[0]), / 200 /);
  relay.reconfigure(parseRelayConfig({ upstreams: [upstream] }, 'the test'));
  assert.equal((await ask(port, upstream)).status, '200', 'another limit holds at once');
  other.destroy();
});
