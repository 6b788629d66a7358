// Load balancers before every port of a gatekeeper, over real sockets: who is counted, who is served, and what becomes of
// those who don't speak the protocol or have no business to.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { WebSocket } from 'ws';
import { parseConfig } from '../config.ts';
import { startGatekeeper } from '../main.ts';
import { localHeader, proxyHeader } from '../testing/proxy-header.ts';
import { peerAddress } from './peer-address.ts';
import { expectProxyHeaders, type ProxyFrontOptions } from './proxy-front.ts';

/** An echo behind a front; says who came, and why others were sent away. */
async function open(t: TestContext, options: Partial<ProxyFrontOptions> = {}) {
  const came: string[] = [];
  const refused: string[] = [];
  const server = createServer(socket => {
    came.push(peerAddress(socket));
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const stop = expectProxyHeaders(server, {
    isProxy: address => address === '127.0.0.1',
    onRefused: code => refused.push(code),
    ...options,
  });
  const port = await listening(t, server);
  t.after(stop);
  return { port, came, refused, stop };
}

async function listening(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Writes pieces, each in a packet of its own, and gives what comes back until `wanted` bytes or the end. */
async function say(t: TestContext, port: number, pieces: readonly Uint8Array[], wanted = Infinity): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  let heard = '';
  const over = new Promise<void>(resolve => {
    socket.on('close', () => resolve());
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      if (heard.length >= wanted) resolve();
    });
  });
  for (const piece of pieces) {
    await new Promise(resolve => socket.write(piece, resolve));
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  await over;
  return heard;
}

test('the header is taken off, in one packet or byte by byte, and what follows arrives whole and in order', async t => {
  const { port, came, refused } = await open(t);
  const header = proxyHeader('198.51.100.7');
  const bytes = (buffer: Buffer): Buffer[] => Array.from(buffer, byte => Buffer.from([byte]));
  assert.equal(await say(t, port, [Buffer.concat([header, Buffer.from('hello')])], 5), 'hello');
  assert.equal(await say(t, port, [...bytes(header), Buffer.from('hello')], 5), 'hello');
  assert.equal(await say(t, port, [header, Buffer.from('hel'), Buffer.from('lo')], 5), 'hello');
  const long = Buffer.alloc(300_000, 'x');
  assert.equal((await say(t, port, [Buffer.concat([header, long])], long.length)).length, long.length);
  assert.equal(
    await say(t, port, [Buffer.concat([proxyHeader('2001:db8:1:2:0:0:0:3'), Buffer.from('six')])], 3),
    'six',
  );
  assert.equal(await say(t, port, [Buffer.concat([localHeader, Buffer.from('mine')])], 4), 'mine');
  const [first, , , , six, own] = came;
  assert.deepEqual([first, six, own], ['198.51.100.7', '2001:db8:1:2:0:0:0:3', '127.0.0.1']);
  assert.deepEqual(refused, []);
});

test('no header, a broken one, a late one, one from somebody else: the connection ends and nothing was read of it', {
  timeout: 20_000,
}, async t => {
  const { port, came, refused } = await open(t, { headerMs: 300 });
  const header = proxyHeader('198.51.100.7');
  assert.equal(await say(t, port, [Buffer.from('GET / HTTP/1.1\r\n\r\n')]), '');
  assert.equal(await say(t, port, [header.subarray(0, 20)]), '', 'half a header');
  assert.equal(await say(t, port, []), '', 'nothing at all');
  const wrong = Buffer.from(header);
  wrong[13] = 0x12;
  assert.equal(await say(t, port, [wrong]), '');
  assert.deepEqual(refused, ['not-version-2', 'late', 'late', 'family-refused']);
  const strangers = await open(t, { isProxy: () => false });
  assert.equal(await say(t, strangers.port, [header]), '');
  assert.deepEqual(strangers.refused, ['untrusted-source']);
  const crowded = await open(t, { maxWaiting: 2, headerMs: 10_000 });
  const held: Socket[] = [1, 2].map(() => connect({ host: '127.0.0.1', port: crowded.port }));
  for (const socket of held) {
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    await new Promise(resolve => socket.once('connect', resolve));
  }
  assert.equal(await say(t, crowded.port, []), '');
  assert.deepEqual(crowded.refused, ['too-many']);
  const cut = Promise.all(held.map(socket => new Promise(resolve => socket.once('close', resolve))));
  for (const socket of held) socket.resume();
  crowded.stop();
  await cut;
  // A health check that connects and goes is not an event.
  const checked = await open(t);
  const check = connect({ host: '127.0.0.1', port: checked.port });
  await new Promise<void>(resolve => check.once('connect', () => check.end(resolve)));
  check.destroy();
  assert.deepEqual([...came, ...strangers.came, ...crowded.came, ...checked.came, ...checked.refused], []);
});

/** A gatekeeper whose every port is behind load balancers on loopback. */
async function gatekeeperBehind(t: TestContext, limits: Record<string, number>, budgets: object = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-admin-proxy-'));
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const { cert, key } = authority.issue(['localhost', 'citadel.example']);
  writeFileSync(join(folder, 'cert.pem'), cert);
  writeFileSync(join(folder, 'key.pem'), key);
  const at = { host: '127.0.0.1', port: 0, proxyProtocol: true };
  const parsed = parseConfig(
    {
      mode: 'development',
      domain: 'citadel.example',
      issuer: 'https://localhost',
      tls: { certFile: 'cert.pem', keyFile: 'key.pem' },
      listeners: {
        xmpp: at,
        xmpps: at,
        compact: at,
        http: at,
        websocket: at,
        admin: { host: '127.0.0.1', port: 0 },
        health: { host: '127.0.0.1', port: 0 },
      },
      trustedProxies: ['127.0.0.0/8'],
      limits,
      budgets,
    },
    folder,
  );
  assert(parsed.kind === 'loaded', JSON.stringify(parsed));
  const lines: string[] = [];
  const gatekeeper = await startGatekeeper({
    config: parsed.config,
    log: (level, event, data) => lines.push(`${level} ${event} ${JSON.stringify(data)}`),
  });
  t.after(async () => {
    await gatekeeper.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { ports: gatekeeper.ports, ca: authority.ca, lines };
}

/** A TLS connection through a load balancer, for a client at this address. */
async function tlsFor(t: TestContext, port: number, address: string, ca: string): Promise<Socket> {
  const tcp = connect({ host: '127.0.0.1', port });
  t.after(() => tcp.destroy());
  tcp.on('error', () => {});
  await new Promise(resolve => tcp.once('connect', resolve));
  tcp.write(proxyHeader(address));
  const socket = connectTls({ socket: tcp, servername: 'localhost', ca });
  socket.on('error', () => {});
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('close', reject));
  return socket;
}

async function ask(socket: Socket, path: string): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  let text = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
  return text;
}

test('every port of a gatekeeper serves behind a load balancer, and counts clients, not the balancer', {
  timeout: 60_000,
}, async t => {
  const { ports, ca, lines } = await gatekeeperBehind(t, { connectionsPerAddress: 2, connectionsPerSite: 2 });
  const header =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='citadel.example' version='1.0'>";
  const starttls = async (address: string): Promise<{ socket: Socket; said: () => string; over: Promise<void> }> => {
    const socket = connect({ host: '127.0.0.1', port: ports.xmpp! });
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const over = new Promise<void>(resolve => socket.once('close', () => resolve()));
    socket.write(Buffer.concat([proxyHeader(address), Buffer.from(header)]));
    while (!/<\/stream:features>|<\/stream:stream>/.test(text)) await new Promise(resolve => setTimeout(resolve, 5));
    return { socket, said: () => text, over };
  };
  // One /64 takes its two places; its third is refused, its neighbour is served.
  for (const last of ['1', '2']) assert.match((await starttls(`2001:db8:1:1:0:0:0:${last}`)).said(), /<starttls/);
  assert.match((await starttls('2001:db8:1:1:0:0:0:3')).said(), /resource-constraint/);
  assert.match((await starttls('2001:db8:2:1:0:0:0:1')).said(), /<starttls/);
  assert.match((await starttls('198.51.100.7')).said(), /<starttls/);

  const xmpps = await tlsFor(t, ports.xmpps!, '203.0.113.1', ca);
  xmpps.write(header);
  const features = await new Promise<Buffer>(resolve => xmpps.once('data', resolve));
  assert.match(features.toString(), /OAUTHBEARER/);

  assert.match(await ask(await tlsFor(t, ports.http, '203.0.113.2', ca), '/openapi.json'), /^HTTP\/1\.1 200 /);
  const webSocket = new WebSocket(`wss://localhost:${ports.websocket}/xmpp`, 'xmpp', {
    createConnection: (() => {
      const tcp = connect({ host: '127.0.0.1', port: ports.websocket! });
      tcp.write(proxyHeader('203.0.113.3'));
      return connectTls({ socket: tcp, servername: 'localhost', ca });
    }) as never,
  });
  await new Promise((resolve, reject) => webSocket.once('open', resolve).once('error', reject));
  webSocket.terminate();

  // The compact port knows the two of one address from others by the same header.
  const compact = (): Promise<string> =>
    say(t, ports.compact!, [Buffer.concat([proxyHeader('203.0.113.9'), Buffer.from('DB\x02\x01', 'latin1')])]);
  assert.equal(await compact(), '', 'a version that nobody speaks ends the connection');
  assert.deepEqual(
    lines.filter(line => line.includes('proxy-header-refused')),
    [],
  );
  assert.equal(await say(t, ports.compact!, [Buffer.from('DB\x01\x01', 'latin1')]), '');
  assert.match(lines.join('\n'), /warn proxy-header-refused \{"code":"not-version-2"\}/);
  // The operator's ports have no balancer before them.
  assert.equal((await fetch(`http://127.0.0.1:${ports.admin}/healthz`)).status, 200);
});

test("the HTTP port's share and the budget of requests are each client's own, also over TLS", {
  timeout: 60_000,
}, async t => {
  const budgets = { requestsPerAddress: { burst: 2, refillSeconds: 600 } };
  const places = { httpConnectionsPerAddress: 2, httpConnectionsPerSite: 2 };
  const { ports, ca } = await gatekeeperBehind(t, places, budgets);
  const held = [await tlsFor(t, ports.http, '198.51.100.7', ca), await tlsFor(t, ports.http, '198.51.100.7', ca)];
  const firstCut = new Promise(resolve => held[0]!.once('close', resolve));
  held[0]!.resume();
  assert.match(await ask(await tlsFor(t, ports.http, '198.51.100.8', ca), '/openapi.json'), /^HTTP\/1\.1 200 /);
  assert.equal(held[0]!.destroyed || held[1]!.destroyed, false, 'another client took nothing from this one');
  assert.match(await ask(await tlsFor(t, ports.http, '198.51.100.7', ca), '/openapi.json'), /^HTTP\/1\.1 200 /);
  await firstCut;
  const again = async (address: string): Promise<string> =>
    (await ask(await tlsFor(t, ports.http, address, ca), '/openapi.json')).slice(0, 12);
  assert.equal(await again('198.51.100.7'), 'HTTP/1.1 200');
  assert.equal(await again('198.51.100.7'), 'HTTP/1.1 429');
  assert.equal(await again('198.51.100.8'), 'HTTP/1.1 200');
});

test('half-sent bodies have a budget of an address, a site and all, and keep nobody else out; a refusal says when to come again', {
  timeout: 60_000,
}, async t => {
  const limits = { httpBodyMebibytes: 3, httpBodyMebibytesPerAddress: 1, httpBodyMebibytesPerSite: 2 };
  const { ports, ca } = await gatekeeperBehind(t, limits);
  const head = (path: string, length: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${length}\r\n`;
  /** Sends a body but for its end. That it may come is said when the request is in the gatekeeper's hands. */
  const hold = async (address: string, length: string): Promise<Socket> => {
    const socket = await tlsFor(t, ports.http, address, ca);
    socket.write(`${head('/v1/enlistments', length)}Expect: 100-continue\r\n\r\n`);
    await new Promise(resolve => socket.once('data', resolve));
    const most = 512 * 1024 - 1;
    const size = length === chunked ? `${most.toString(16)}\r\n` : '';
    socket.write(`${size}${'x'.repeat(most)}`);
    // It is read by the time that this one has been answered.
    await new Promise(resolve => setTimeout(resolve, 50));
    return socket;
  };
  const whole = `Content-Length: ${512 * 1024}`;
  const chunked = 'Transfer-Encoding: chunked';
  /** What becomes of a small whole request. */
  const post = async (
    address: string,
    length = 'Content-Length: 2',
    body = '{}',
    path = '/v1/enlistments',
  ): Promise<string> => {
    const socket = await tlsFor(t, ports.http, address, ca);
    socket.write(`${head(path, length)}Connection: close\r\n\r\n${body}`);
    let text = '';
    for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
    const later = /retry-after: 5\r\n/i.test(text) ? ' later' : '';
    return `${text.slice(9, 12)} ${/"code":"([a-z-]+)"/.exec(text)?.[1]}${later}`;
  };
  assert.equal(await post('2001:db8:1:1:0:0:0:1'), '400 request-refused');
  const first = await hold('2001:db8:1:1:0:0:0:1', whole);
  // One whose length nobody knows counts alike; own users' issuer has the same budget.
  await hold('2001:db8:1:1:0:0:0:2', chunked);
  assert.equal(await post('2001:db8:1:1:0:0:0:3'), '429 budget-spent later');
  const inChunks = '2\r\n{}\r\n0\r\n\r\n';
  const users = '/users/v1/sessions';
  assert.equal(await post('2001:db8:1:1:0:0:0:3', chunked, inChunks, users), '429 budget-spent later');
  // Its neighbours have the other half of the site; then all of the /48 wait.
  for (const last of [1, 2]) await hold(`2001:db8:1:2:0:0:0:${last}`, whole);
  assert.equal(await post('2001:db8:1:3:0:0:0:1'), '429 budget-spent later');
  // When the whole is full the party that holds most gives way to one that holds less, with its oldest.
  await hold('198.51.100.1', whole);
  const small = await hold('198.51.100.2', whole);
  const cut = new Promise(resolve => first.once('close', resolve));
  assert.equal(await post('198.51.100.3'), '400 request-refused');
  await cut;
  assert.equal(small.destroyed, false);
  // Among parties that hold alike a body that hardly moves gives way to one that does; what has no body is always served.
  for (const last of [3, 4, 5]) await hold(`198.51.100.${last}`, whole);
  await new Promise(resolve => setTimeout(resolve, 1_100));
  const padded = '{}'.padEnd(512 * 1024);
  assert.equal(await post('198.51.100.6', whole, padded), '400 request-refused');
  assert.match(await ask(await tlsFor(t, ports.http, '198.51.100.7', ca), '/openapi.json'), /^HTTP\/1\.1 200 /);
});

test('/healthz and /readyz have a port of their own, and nothing else is there', async t => {
  const { ports } = await gatekeeperBehind(t, {});
  const at = `http://127.0.0.1:${ports.health}`;
  assert.deepEqual(await (await fetch(`${at}/healthz`)).json(), { status: 'ok' });
  const ready = await fetch(`${at}/readyz`);
  assert.equal(ready.status, 200);
  assert.equal(((await ready.json()) as { storage: string }).storage, 'works');
  for (const path of ['/metrics', '/admin/v1/providers', '/openapi.json', '/']) {
    assert.equal((await fetch(`${at}${path}`)).status, 404, path);
  }
});
