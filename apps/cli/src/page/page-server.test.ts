// Attacks on the page's server: other web pages, other users of the machine, secrets that are wrong, used, old or leaked.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { frameLimits } from './protocol.ts';
import { mediaPath } from './media-path.ts';
import { type PageServer, pageServerLimits, securityHeaders, startPageServer } from './page-server.ts';

type Server = PageServer & {
  readonly tabs: number[];
  readonly media: string[];
  readonly uploads: string[];
  nowMs: number;
};

async function start(
  t: TestContext,
  isFull = false,
  onTab = (socket: WebSocket): void => socket.close(),
): Promise<Server> {
  const tabs: number[] = [];
  const media: string[] = [];
  const uploads: string[] = [];
  const clock = { nowMs: 0 };
  const server = await startPageServer({
    port: 0,
    assets: new Map([['/', { type: 'text/html; charset=utf-8', body: Buffer.from('<!doctype html>') }]]),
    onTab: socket => {
      tabs.push(1);
      onTab(socket);
    },
    isFull: () => isFull,
    onMedia: async ({ use, id, index }, _, response) => {
      media.push(`${use} ${id} ${index}`);
      response.end('bytes');
    },
    onUpload: async (path, bytes) => {
      let text = '';
      for await (const piece of bytes) text += Buffer.from(piece).toString();
      uploads.push(`${path} ${text}`);
      return path === '/upload/none' ? undefined : { ok: false, error: { code: 'x', text: '', retry: false } };
    },
    nowMs: () => clock.nowMs,
  });
  t.after(() => server.close());
  return Object.assign(clock, server, { tabs, media, uploads });
}

type Answer = { readonly status: number; readonly headers: NodeJS.Dict<string | string[]>; readonly body: string };

/** Headers as given, also those that `fetch` sets by itself. */
function ask(
  port: number,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const host = ({ port }: PageServer): string => `127.0.0.1:${port}`;
const origin = (server: PageServer): string => `http://${host(server)}`;
const secretOf = (url: string): string => new URL(url).hash.slice(1);

function exchange(server: PageServer, secret: unknown, more: Record<string, string> = {}): Promise<Answer> {
  const headers = { host: host(server), origin: origin(server), 'content-type': 'application/json', ...more };
  return ask(server.port, 'POST', '/session', headers, JSON.stringify({ secret }));
}

async function session(server: PageServer): Promise<{ cookie: string; token: string }> {
  const answer = await exchange(server, secretOf(server.launchUrl()));
  assert.equal(answer.status, 200);
  const cookie = String(answer.headers['set-cookie']?.[0]).split(';')[0]!;
  return { cookie, token: (JSON.parse(answer.body) as { token: string }).token };
}

/** What a handshake comes to: 101, or the status that refuses it. */
function handshake(
  server: PageServer,
  given: {
    readonly cookie?: string;
    readonly token?: string;
    readonly headers?: Record<string, string>;
    readonly path?: string;
  },
): Promise<number> {
  const { cookie, token, headers = {}, path = '/tab' } = given;
  return new Promise((resolve, reject) => {
    const protocols = ['drawbridge-page-1', ...(token === undefined ? [] : [`token.${token}`])];
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, protocols, {
      headers: { origin: origin(server), ...(cookie === undefined ? {} : { cookie }), ...headers },
    });
    socket.on('open', () => {
      socket.close();
      resolve(101);
    });
    socket.on('unexpected-response', (_, response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    socket.on('error', error => reject(error));
  });
}

test('the page comes with headers that let it load, run and send nothing else', async t => {
  const server = await start(t);
  const { status, headers } = await ask(server.port, 'GET', '/', { host: host(server) });
  assert.equal(status, 200);
  for (const [name, value] of Object.entries(securityHeaders)) assert.equal(headers[name], value);
  const policy = String(headers['content-security-policy']);
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /require-trusted-types-for 'script'; trusted-types 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
  // Refusals have them, too.
  const lost = await ask(server.port, 'GET', '/nothing', { host: host(server) });
  assert.equal(lost.status, 404);
  assert.equal(lost.headers['x-content-type-options'], 'nosniff');
});

test('a name that leads here is not this page: DNS rebinding gets nothing, not even the page', async t => {
  const server = await start(t);
  const { cookie, token } = await session(server);
  const names = [
    'attacker.example',
    `attacker.example:${server.port}`,
    `localhost:${server.port}`,
    '127.0.0.1',
    '127.0.0.1:1',
    `[::1]:${server.port}`,
    `127.0.0.1.:${server.port}`,
  ];
  for (const name of names) {
    assert.equal((await ask(server.port, 'GET', '/', { host: name })).status, 421, name);
    assert.equal((await exchange(server, secretOf(server.launchUrl()), { host: name })).status, 421, name);
    assert.equal(await handshake(server, { cookie, token, headers: { host: name } }), 421, name);
  }
  assert.equal(server.tabs.length, 0);
});

test('another web page can neither exchange a secret nor open a socket', async t => {
  const server = await start(t);
  const { cookie, token } = await session(server);
  const others = [
    'https://attacker.example',
    'null',
    `http://127.0.0.1:${server.port + 1}`,
    `http://localhost:${server.port}`,
    `https://127.0.0.1:${server.port}`,
    `http://127.0.0.1:${server.port}.attacker.example`,
  ];
  for (const other of others) {
    assert.equal((await exchange(server, secretOf(server.launchUrl()), { origin: other })).status, 403, other);
    assert.equal(await handshake(server, { cookie, token, headers: { origin: other } }), 403, other);
  }
  const withoutOrigin = { host: host(server), 'content-type': 'application/json' };
  const body = JSON.stringify({ secret: secretOf(server.launchUrl()) });
  assert.equal((await ask(server.port, 'POST', '/session', withoutOrigin, body)).status, 403);
  // A form can be sent by any page; its type is none of ours.
  const form = await exchange(server, secretOf(server.launchUrl()), { 'content-type': 'text/plain' });
  assert.equal(form.status, 415);
  assert.equal(server.tabs.length, 0);
});

test('a secret opens one session, once, within its time, and the next one ends it', async t => {
  const server = await start(t);
  const secret = secretOf(server.launchUrl());
  assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
  for (const wrong of ['', 'x', `${secret}x`, secret.toLowerCase(), undefined, 7, {}, null, 'x'.repeat(5_000)]) {
    assert.equal((await exchange(server, wrong)).status, 403, JSON.stringify(wrong)?.slice(0, 20));
  }
  assert.equal((await exchange(server, secret)).status, 200, 'wrong ones cost the right one nothing');
  assert.equal((await exchange(server, secret)).status, 403, 'used');
  const old = secretOf(server.launchUrl());
  const fresh = secretOf(server.launchUrl());
  assert.equal((await exchange(server, old)).status, 403, 'another one was printed since');
  server.nowMs += 600_000;
  assert.equal((await exchange(server, fresh)).status, 403, 'too old');
});

test('neither scripts nor other sites get the cookie, and neither half of a session opens anything alone', async t => {
  const server = await start(t);
  const answer = await exchange(server, secretOf(server.launchUrl()));
  const set = String(answer.headers['set-cookie']?.[0]);
  assert.match(set, /^drawbridge-[0-9a-f]{16}=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
  const { cookie, token } = await session(server);
  const other = await session(server);
  assert.equal(await handshake(server, { cookie, token }), 101);
  const [, value] = cookie.split('=');
  const halves = [
    {},
    { cookie },
    { token },
    { cookie, token: value! },
    { cookie: other.cookie, token },
    { cookie: cookie.replace(/.$/, end => (end === 'A' ? 'B' : 'A')), token },
    { cookie: `drawbridge=${value}`, token },
  ];
  for (const half of halves) assert.equal(await handshake(server, half), 401, JSON.stringify(half));
  // A cookie and a token of one process open nothing of another.
  const elsewhere = await start(t);
  assert.equal(await handshake(elsewhere, { cookie, token }), 401);
  assert.equal(elsewhere.tabs.length, 0);
  assert.equal(await handshake(server, { cookie, token, path: '/other' }), 404);
});

test('only so many browsers hold a session; the oldest goes', async t => {
  const server = await start(t);
  const first = await session(server);
  for (let count = 0; count < 8; count++) await session(server);
  assert.equal(await handshake(server, first), 401);
});

/** A socket of somebody who is refused: asks for an upgrade that no page asks for. */
async function refusedUpgrade(server: PageServer): Promise<Socket> {
  const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  await new Promise<void>(resolve => socket.once('connect', resolve));
  const lines = ['GET /tab HTTP/1.1', `Host: ${host(server)}`, 'Connection: Upgrade', 'Upgrade: websocket', '', ''];
  await new Promise<void>(resolve => socket.write(lines.join('\r\n'), () => resolve()));
  return socket;
}

test('who is refused and resets the connection at once ends nothing but it', async t => {
  const server = await start(t);
  // An error that nobody hears ends the process, and this test.
  for (let count = 0; count < 200; count++) (await refusedUpgrade(server)).resetAndDestroy();
  assert.equal(await handshake(server, await session(server)), 101);
});

test('who is refused and never closes their side holds no place', async t => {
  const server = await start(t);
  const own = await session(server);
  const held: Socket[] = [];
  t.after(() => held.forEach(socket => socket.destroy()));
  for (let count = 0; count < 2 * pageServerLimits.maxConnections; count++) {
    const socket = await refusedUpgrade(server);
    held.push(socket);
    await new Promise(resolve => socket.resume().once('end', resolve));
  }
  assert.equal(await handshake(server, own), 101);
});

test('a file is for an element of the page alone: right address, right browser, and nothing that somebody opened', async t => {
  const server = await start(t);
  const { cookie } = await session(server);
  const id = 'a'.repeat(32);
  const place = { author: '1-abc', id, index: 0 };
  const show = mediaPath({ use: 'show', ...place });
  const save = mediaPath({ use: 'save', ...place });
  const element = { host: host(server), cookie, 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'image' };
  const status = async (path: string, headers: Record<string, string>, method = 'GET'): Promise<number> =>
    (await ask(server.port, method, path, headers)).status;
  const { cookie: _, ...stranger } = element;
  const refused: [number, string, Record<string, string>, string?][] = [
    [421, show, { ...element, host: 'attacker.example' }],
    [405, show, element, 'POST'],
    [401, show, stranger],
    [401, show, { ...element, cookie: cookie.replace(/.$/, end => (end === 'A' ? 'B' : 'A')) }],
    [403, show, { ...element, 'sec-fetch-dest': 'document' }],
    [403, show, { ...element, 'sec-fetch-dest': 'iframe' }],
    [403, show, { ...element, 'sec-fetch-dest': 'script' }],
    [403, show, { ...element, 'sec-fetch-dest': 'empty' }],
    [403, show, { ...element, 'sec-fetch-site': 'same-site' }],
    [403, show, { ...element, 'sec-fetch-site': 'cross-site' }],
    [403, show, { host: host(server), cookie }],
    [403, save, element],
    [404, show.replace('/show/', '/save/'), { ...element, 'sec-fetch-dest': 'document' }],
    [404, show.replace('/0/', '/1/'), element],
    [404, show.replace('1-abc', '1-abd'), element],
    [404, show.replace(/.$/, ''), element],
    [404, '/media/show/1-abc/../../x', element],
    [404, '/media/', element],
  ];
  for (const [wanted, path, headers, method] of refused) {
    assert.equal(await status(path, headers, method), wanted, `${path} ${JSON.stringify(headers)}`);
  }
  assert.deepEqual(server.media, []);
  assert.equal(await status(show, element), 200);
  assert.equal(await status(show, { ...element, 'sec-fetch-dest': 'video' }), 200);
  assert.equal(await status(save, { ...element, 'sec-fetch-dest': 'document' }), 200);
  assert.deepEqual(server.media, [`show ${id} 0`, `show ${id} 0`, `save ${id} 0`]);
});

test('bytes are taken from the page with both halves of a session, and from nobody else', async t => {
  const server = await start(t);
  const { cookie, token } = await session(server);
  const other = await session(server);
  const whole = { host: host(server), origin: origin(server), cookie, authorization: `Bearer ${token}` };
  const status = async (headers: Record<string, string>, path = '/upload/x', method = 'POST'): Promise<number> =>
    (await ask(server.port, method, path, headers, 'abc')).status;
  const without = (name: keyof typeof whole): Record<string, string> =>
    Object.fromEntries(Object.entries(whole).filter(([each]) => each !== name));
  assert.equal(await status({ ...whole, host: 'attacker.example' }), 421);
  assert.equal(await status({ ...whole, origin: 'https://attacker.example' }), 403);
  assert.equal(await status(without('origin')), 403);
  assert.equal(await status(without('cookie')), 401);
  assert.equal(await status(without('authorization')), 401);
  assert.equal(await status({ ...whole, authorization: `Bearer ${other.token}` }), 401);
  assert.equal(await status({ ...whole, authorization: token }), 401);
  assert.equal(await status(whole, '/upload/x', 'PUT'), 405);
  assert.deepEqual(server.uploads, []);
  assert.equal(await status(whole, '/upload/none'), 404);
  assert.equal(await status(whole), 200);
  assert.deepEqual(server.uploads, ['/upload/none abc', '/upload/x abc']);
});

test('so many tabs and no more', async t => {
  const server = await start(t, true);
  assert.equal(await handshake(server, await session(server)), 503);
});

test('a frame, a body and the connections have their limits', async t => {
  const server = await start(t, false, socket => void socket.on('error', () => undefined));
  const { cookie, token } = await session(server);
  const tab = new WebSocket(`ws://${host(server)}/tab`, ['drawbridge-page-1', `token.${token}`], {
    headers: { origin: origin(server), cookie },
  });
  tab.on('error', () => undefined);
  await once(tab, 'open');
  tab.send('x'.repeat(frameLimits.maxFrameBytes + 1));
  assert.equal((await once(tab, 'close'))[0], 1009);
  // A right secret in a body that is too long is not even looked at.
  const secret = secretOf(server.launchUrl());
  const headers = { host: host(server), origin: origin(server), 'content-type': 'application/json' };
  const long = JSON.stringify({ secret, more: 'x'.repeat(pageServerLimits.maxBodyBytes) });
  const status = await ask(server.port, 'POST', '/session', headers, long).then(
    answer => answer.status,
    () => 0,
  );
  assert.notEqual(status, 200);
  assert.equal((await exchange(server, secret)).status, 200);
  const held = Array.from({ length: pageServerLimits.maxConnections + 8 }, () =>
    connect(server.port, '127.0.0.1').on('error', () => undefined),
  );
  t.after(() => held.forEach(socket => socket.destroy()));
  const gone = (): number => held.filter(socket => socket.resume().destroyed).length;
  for (let tries = 0; gone() < 8; tries++) {
    assert.ok(tries < 400, 'none was turned away');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  assert.ok(gone() < 16, 'the others stay');
});

test('nobody reaches the port but over loopback', async t => {
  const server = await start(t);
  const addresses = Object.values(networkInterfaces()).flatMap(each => each ?? []);
  const outside = addresses
    .filter(({ internal }) => !internal)
    .map(({ address, family, scopeid }) => (family === 'IPv6' && scopeid ? `${address}%${scopeid}` : address));
  for (const address of [...outside, '::1']) {
    const outcome = await new Promise<string>(resolve => {
      const socket = connect({ host: address, port: server.port, timeout: 2_000 });
      socket.on('connect', () => {
        socket.destroy();
        resolve('connected');
      });
      socket.on('timeout', () => {
        socket.destroy();
        resolve('silent');
      });
      socket.on('error', () => resolve('refused'));
    });
    assert.notEqual(outcome, 'connected', address);
  }
});
