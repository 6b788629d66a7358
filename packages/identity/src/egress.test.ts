// The egress client against real servers: a listener counts every TCP connection, so "refused" means that not one was
// opened. Names go through an injected resolver.

import assert from 'node:assert/strict';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import * as fc from 'fast-check';
import { isPublicAddress } from './addresses.ts';
import { createDevelopmentAuthority } from './development-certificates.ts';
import { createEgress, type Egress, type EgressOptions, type EgressResponse } from './egress.ts';

type Listening = { readonly port: number; readonly connections: () => number; readonly close: () => void };

/** Listens on every local address of both families and counts connections. */
async function listen(server: Server, host?: string): Promise<Listening> {
  let count = 0;
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    count++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  await new Promise<void>(resolve => server.listen(0, host, resolve));
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, connections: () => count, close };
}

/** Answers by path; what each test asks for. */
const answers: Record<string, RequestListener> = {
  '/ok': (_request, response) => response.setHeader('x-seen', 'yes').end('hello'),
  '/echo': (request, response) => {
    response
      .setHeader('x-method', request.method ?? '')
      .setHeader('x-encoding', String(request.headers['accept-encoding']));
    request.pipe(response);
  },
  '/missing': (_request, response) => response.writeHead(404).end('no'),
  '/redirect': (_request, response) => response.writeHead(302, { location: 'https://127.0.0.1/' }).end(),
  '/redirect-inside': (_request, response) =>
    response.writeHead(307, { location: `http://127.0.0.1:${plain.port}/ok` }).end(),
  '/redirect-permanent': (_request, response) => response.writeHead(308, { location: '/ok' }).end(),
  '/large': (_request, response) => response.end(Buffer.alloc(1001)),
  '/just': (_request, response) => response.end(Buffer.alloc(1000)),
  '/large-unannounced': (_request, response) => {
    response.write(Buffer.alloc(600));
    response.end(Buffer.alloc(600));
  },
  '/endless': (_request, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
    };
    response.on('drain', more);
    more();
  },
  '/gzip': (_request, response) => response.setHeader('content-encoding', 'gzip').end('x'),
  '/headers': (_request, response) => response.setHeader('x-long', 'x'.repeat(20_000)).end(),
  '/silent': () => undefined,
  '/stalls': (_request, response) => void response.write('begin'),
  '/drips': (_request, response) => {
    const timer = setInterval(() => response.write('.'), 20);
    response.on('close', () => clearInterval(timer));
  },
  '/short': (_request, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('only this');
    setTimeout(() => response.destroy(), 20);
  },
};
const answer: RequestListener = (request, response) => {
  const found = answers[request.url ?? ''];
  if (found === undefined) response.writeHead(500).end();
  else found(request, response);
};

let tls: Listening;
let plain: Listening;
const authority = createDevelopmentAuthority({ nowMs: Date.now() });
const clients: Egress[] = [];

before(async () => {
  tls = await listen(createHttpsServer(authority.issue(['citadel.test', '127.0.0.1']), answer));
  plain = await listen(createHttpServer(answer));
});
after(() => {
  for (const client of clients) client.close();
  tls.close();
  plain.close();
});

function egress(options: EgressOptions = {}): Egress {
  const client = createEgress(options);
  clients.push(client);
  return client;
}

/** May reach the TLS server on loopback, and knows it as citadel.test. */
function development(limits: EgressOptions['limits'] = {}): Egress {
  return egress({
    allow: { addresses: ['127.0.0.1'], ca: authority.ca, ports: [tls.port] },
    limits: limits ?? {},
    resolve: async () => ['127.0.0.1'],
  });
}

const codeOf = (response: EgressResponse): string =>
  response.kind === 'failed' ? response.code : String(response.status);
const url = (path: string): string => `https://citadel.test:${tls.port}${path}`;

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** One or more of each class of the special-purpose registries, as plain addresses. */
const forbidden = words(`
  0.0.0.0 0.0.0.1 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.1.2.3
  127.255.255.255 168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192
  192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.175.48.1 198.18.0.1 198.19.255.255
  198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::8.8.8.8
  ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::8.8.8.8
  64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:20::1
  2001:db8::1 2002:7f00:1::1 2002:808:808::1 2620:4f:8000::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254
  fe80::1 fe80::1%lo fec0::1 ff02::1 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
`);
const allowed = words(`
  1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
  169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0
  198.17.255.255 198.20.0.0 223.255.255.255 2001:200::1 2606:4700:4700::1111 2a00:1450::1 2600::
`);

test('addresses: each class of the registries, and their neighbours', () => {
  for (const address of forbidden) assert.equal(isPublicAddress(address), false, address);
  for (const address of allowed) assert.equal(isPublicAddress(address), true, address);
  for (const nothing of [
    '',
    'localhost',
    '127.1',
    '0x7f000001',
    '2130706433',
    '[::1]',
    '1.1.1.1 ',
    '1.1.1.1/8',
    '01.1.1.1',
  ]) {
    assert.equal(isPublicAddress(nothing), false, nothing);
  }
});

test('addresses: every IPv4 address embedded in IPv6 is refused, whatever it is', () => {
  const octet = fc.nat(255);
  fc.assert(
    fc.property(octet, octet, octet, octet, (a, b, c, d) => {
      const high = ((a << 8) | b).toString(16);
      const low = ((c << 8) | d).toString(16);
      for (const embedded of [
        `::ffff:${a}.${b}.${c}.${d}`,
        `::ffff:${high}:${low}`,
        `::${high}:${low}`,
        `64:ff9b::${a}.${b}.${c}.${d}`,
        `64:ff9b:1::${high}:${low}`,
        `2002:${high}:${low}::1`,
        `2001:0:${high}:${low}::1`,
        `::ffff:0:${high}:${low}`,
      ]) {
        assert.equal(isPublicAddress(embedded), false, embedded);
      }
    }),
    { numRuns: 300 },
  );
});

test('no connection is opened to a forbidden address in any spelling of a URL', async () => {
  const port = tls.port;
  const client = egress({ allow: { ports: [port], ca: authority.ca }, resolve: () => assert.fail('no name here') });
  const spellings = words(`
  127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 017700000001 0x7f.1 %31%32%37.0.0.1
  １２７.０.０.１ 127。0。0。1 127.0.0.1. ①②⑦.0.0.1 0 0.0.0.0 0x0 00000000 [::1] [0:0:0:0:0:0:0:1] [::]
  [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1]
  [2002:7f00:1::] [::127.0.0.1] [fe80::1] [fd00:ec2::254] 169.254.169.254 2852039166 0xa9fea9fe
  0251.0376.0251.0376 10.0.0.1 192.168.1.1 172.16.0.1 169.254.43518 0xa9.254.43518 0251.254.0xa9.0376 169.254.169.254.
  169。254。169。254 ①⑥⑨.②⑤④.①⑥⑨.②⑤④ %31%36%39.254.169.254 [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
  [::169.254.169.254] [::ffff:0:a9fe:a9fe] [64:ff9b::a9fe:a9fe] [64:ff9b:1::a9fe:a9fe] [2002:a9fe:a9fe::1]
  [2001:0:a9fe:a9fe::1] [FD00:EC2::254] [fd00:0ec2:0000::0254] 100.64.0.1 100.100.100.200 1684301000 192.0.0.192
  192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.251 240.0.0.1 255.255.255.255 4294967295 0xffffffff
  [fec0::1] [ff02::1] [ff0e::1] [100::1] [2001:db8::1] [3fff::1] [5f00::1] [fe80:0:0:0:0:0:0:1] [febf::1]
`);
  const before = tls.connections() + plain.connections();
  for (const host of spellings) {
    assert.equal(codeOf(await client.fetch(`https://${host}:${port}/ok`)), 'address-refused', host);
  }
  // Slashes the wrong way round, and spaces and line ends that the URL standard takes away.
  for (const text of [`https:\\\\127.0.0.1:${port}\\ok`, `https:127.0.0.1:${port}/ok`, ` https://127.1:${port}/\n`]) {
    assert.equal(codeOf(await client.fetch(text)), 'address-refused', text);
  }
  // What looks like the host is a name to log in with.
  for (const text of [`https://citadel.test@127.0.0.1:${port}/`, `https://citadel.test:443@169.254.169.254/`]) {
    assert.equal(codeOf(await client.fetch(text)), 'url-refused', text);
  }
  // A zone is not a part of a URL's host.
  assert.equal(codeOf(await client.fetch(`https://[fe80::1%25lo]:${port}/ok`)), 'url-refused');
  assert.equal(tls.connections() + plain.connections(), before);
});

test('no connection is opened to a name that leads to a forbidden address, alone or among public ones', async () => {
  const before = tls.connections();
  for (const address of [...forbidden, '', 'localhost', '127.1', '[::1]', '0x7f000001', 'é']) {
    for (const addresses of [[address], ['8.8.8.8', address], [address, '2606:4700:4700::1111']]) {
      const client = egress({ allow: { ports: [tls.port] }, resolve: async () => addresses });
      assert.equal(codeOf(await client.fetch(url('/ok'))), 'address-refused', addresses.join());
    }
  }
  const system = egress({ allow: { ports: [tls.port] } });
  for (const name of ['localhost', 'LOCALHOST', 'ｌｏｃａｌｈｏｓｔ', 'loc%61lhost']) {
    assert.equal(codeOf(await system.fetch(`https://${name}:${tls.port}/ok`)), 'address-refused', name);
  }
  // Whether the system knows it is the system's affair.
  const dotted = codeOf(await system.fetch(`https://localhost.:${tls.port}/ok`));
  assert.ok(['address-refused', 'name-not-found'].includes(dotted), dotted);
  assert.equal(tls.connections(), before);
});

test('rebinding: the name is asked once, and the connection goes to that answer', async () => {
  const server = await listen(createTcpServer(), '127.0.0.1');
  let asked = 0;
  // First an address that may be reached and where nobody listens, then one where our server is and that may not.
  const client = egress({
    allow: { addresses: ['127.0.0.2'], ports: [server.port] },
    resolve: async () => (asked++ === 0 ? ['127.0.0.2'] : ['127.0.0.1']),
  });
  const target = `https://citadel.test:${server.port}/`;
  assert.equal(codeOf(await client.fetch(target)), 'connect-failed');
  assert.equal(asked, 1);
  assert.equal(codeOf(await client.fetch(target)), 'address-refused');
  assert.equal(asked, 2);
  assert.equal(server.connections(), 0);
  server.close();
});

test('rebinding: a second name look-up by the socket would reach loopback; the pinned answer does', async () => {
  // The resolver's answer is the only way to our server: the system knows no citadel.test.
  let asked = 0;
  const client = egress({
    allow: { addresses: ['127.0.0.1'], ports: [tls.port], ca: authority.ca },
    resolve: async () => (asked++, ['127.0.0.1']),
  });
  assert.equal(codeOf(await client.fetch(url('/ok'))), '200');
  assert.equal(asked, 1);
});

test('names that cannot be resolved, or lead to too many places', async () => {
  const failing = egress({ allow: { ports: [tls.port] }, resolve: () => Promise.reject(new Error('NXDOMAIN')) });
  assert.equal(codeOf(await failing.fetch(url('/ok'))), 'name-not-found');
  const empty = egress({ allow: { ports: [tls.port] }, resolve: async () => [] });
  assert.equal(codeOf(await empty.fetch(url('/ok'))), 'name-not-found');
  const many = egress({
    allow: { ports: [tls.port] },
    resolve: async () => Array.from({ length: 17 }, () => '8.8.8.8'),
  });
  assert.equal(codeOf(await many.fetch(url('/ok'))), 'address-refused');
  const slow = egress({
    allow: { ports: [tls.port] },
    limits: { totalTimeoutMs: 50 },
    resolve: () => new Promise(() => undefined),
  });
  assert.equal(codeOf(await slow.fetch(url('/ok'))), 'timed-out');
});

test('URLs that are refused before any name is asked', async () => {
  const client = egress({ resolve: () => assert.fail('no name is asked') });
  for (const [text, code] of [
    ['', 'url-refused'],
    ['/path', 'url-refused'],
    ['https://', 'url-refused'],
    ['http://citadel.test/', 'url-refused'],
    ['ftp://citadel.test/', 'url-refused'],
    ['file:///etc/passwd', 'url-refused'],
    ['data:text/plain,x', 'url-refused'],
    ['javascript:1', 'url-refused'],
    ['unix:/run/docker.sock', 'url-refused'],
    ['https://user@citadel.test/', 'url-refused'],
    ['https://user:secret@citadel.test/', 'url-refused'],
    ['https://:secret@citadel.test/', 'url-refused'],
    ['https://256.1.1.1/', 'url-refused'],
    ['https://citadel.test:22/', 'port-refused'],
    ['https://citadel.test:8443/', 'port-refused'],
  ] as const) {
    assert.equal(codeOf(await client.fetch(text)), code, text);
  }
});

test('a registered port is for the request that names it', async () => {
  const client = egress({
    allow: { addresses: ['127.0.0.1'], ca: authority.ca },
    resolve: async () => ['127.0.0.1'],
  });
  assert.equal(codeOf(await client.fetch(url('/ok'))), 'port-refused');
  assert.equal(codeOf(await client.fetch(url('/ok'), { ports: [tls.port] })), '200');
});

test('answers come whole, with status, headers and body', async () => {
  const client = development();
  const ok = await client.fetch(url('/ok'));
  assert.ok(ok.kind === 'response');
  assert.equal(ok.headers['x-seen'], 'yes');
  assert.equal(Buffer.from(ok.body).toString(), 'hello');
  const echo = await client.fetch(url('/echo'), {
    method: 'POST',
    body: 'body',
    headers: { 'accept-encoding': 'gzip' },
  });
  assert.ok(echo.kind === 'response');
  assert.equal(Buffer.from(echo.body).toString(), 'body');
  assert.equal(echo.headers['x-method'], 'POST');
  assert.equal(echo.headers['x-encoding'], 'identity');
  assert.equal(codeOf(await client.fetch(url('/missing'))), '404');
});

test('a redirect is refused and not followed', async () => {
  const client = development();
  const before = plain.connections();
  for (const path of ['/redirect', '/redirect-permanent', '/redirect-inside']) {
    assert.equal(codeOf(await client.fetch(url(path))), 'redirect-refused');
  }
  assert.equal(plain.connections(), before, 'nobody went where it led');
});

test('limits on body, headers and encoding', async () => {
  const client = development();
  const limited = (path: string): Promise<EgressResponse> => client.fetch(url(path), { maxBodyBytes: 1000 });
  assert.equal(codeOf(await limited('/just')), '200');
  assert.equal(codeOf(await limited('/large')), 'body-too-large');
  assert.equal(codeOf(await limited('/large-unannounced')), 'body-too-large');
  assert.equal(
    codeOf(await client.fetch(url('/endless'), { maxBodyBytes: Number.MAX_SAFE_INTEGER })),
    'body-too-large',
  );
  assert.equal(codeOf(await client.fetch(url('/headers'))), 'headers-too-large');
  assert.equal(codeOf(await client.fetch(url('/gzip'))), 'encoding-refused');
  assert.equal(codeOf(await client.fetch(url('/short'))), 'response-broken');
  assert.equal(codeOf(await client.fetch(url('/ok'), { headers: { 'x-bad': 'a\r\nb: c' } })), 'request-refused');
});

test('limits on time: silence, a stall in the body, a slow drip, a handshake that never ends', async () => {
  const client = development({ idleTimeoutMs: 150, totalTimeoutMs: 400, connectTimeoutMs: 150 });
  const timed = async (text: string): Promise<readonly [string, number]> => {
    const start = performance.now();
    return [codeOf(await client.fetch(text)), performance.now() - start];
  };
  for (const path of ['/silent', '/stalls', '/drips']) {
    const [code, ms] = await timed(url(path));
    assert.equal(code, 'timed-out', path);
    assert.ok(ms < 1500, `${path} took ${ms} ms`);
  }
  const mute = await listen(createTcpServer());
  const quick = egress({
    allow: { addresses: ['127.0.0.1'], ports: [mute.port], ca: authority.ca },
    limits: { connectTimeoutMs: 100 },
  });
  assert.equal(codeOf(await quick.fetch(`https://127.0.0.1:${mute.port}/`)), 'timed-out');
  mute.close();
});

test('a body that drips is cut however long the whole may take; one whose reader is slow is not', async () => {
  const limits = { idleTimeoutMs: 60_000, totalTimeoutMs: 60_000, rateWindowMs: 100, minBytesPerSecond: 2_000 };
  const client = development(limits);
  const dripping = await client.open(url('/drips'));
  assert(dripping.kind === 'response');
  await assert.rejects(async () => {
    for await (const chunk of dripping.stream) assert.ok(chunk.length < 100);
  }, /took too long/);
  const endless = await client.open(url('/endless'));
  assert(endless.kind === 'response');
  await new Promise(resolve => setTimeout(resolve, 500));
  assert.equal(endless.stream.destroyed, false, 'nobody has read yet');
  endless.stream.destroy();
});

test('TLS: the certificate must be of a trusted authority and for the name', async () => {
  const resolve = async (): Promise<readonly string[]> => ['127.0.0.1'];
  const untrusting = egress({ allow: { addresses: ['127.0.0.1'], ports: [tls.port] }, resolve });
  assert.equal(codeOf(await untrusting.fetch(url('/ok'))), 'tls-failed');
  const client = development();
  assert.equal(codeOf(await client.fetch(`https://evil.test:${tls.port}/ok`)), 'tls-failed');
  const noTls = egress({ allow: { addresses: ['127.0.0.1'], ports: [plain.port], ca: authority.ca } });
  assert.equal(codeOf(await noTls.fetch(`https://127.0.0.1:${plain.port}/ok`)), 'tls-failed');
});

test('nobody there: a typed failure', async () => {
  const gone = await listen(createTcpServer());
  gone.close();
  const client = egress({ allow: { addresses: ['127.0.0.1'], ports: [gone.port] } });
  assert.equal(codeOf(await client.fetch(`https://127.0.0.1:${gone.port}/`)), 'connect-failed');
});

test('plain HTTP only to loopback origins that are named, and to nothing else', async () => {
  const origin = `http://127.0.0.1:${plain.port}`;
  const client = egress({ allow: { plainHttpOrigins: [origin, `http://localhost:${plain.port}`] } });
  assert.equal(codeOf(await client.fetch(`${origin}/ok`)), '200');
  assert.equal(codeOf(await client.fetch(`http://localhost:${plain.port}/ok`)), '200');
  assert.equal(codeOf(await client.fetch(`http://127.0.0.1:${tls.port}/ok`)), 'url-refused');
  assert.equal(codeOf(await client.fetch(`http://127.0.0.2:${plain.port}/ok`)), 'url-refused');
  const rebound = egress({
    allow: { plainHttpOrigins: [`http://localhost:${plain.port}`] },
    resolve: async () => ['10.0.0.1'],
  });
  assert.equal(codeOf(await rebound.fetch(`http://localhost:${plain.port}/ok`)), 'address-refused');
  for (const bad of ['http://10.0.0.1:80', 'http://evil.test:8080', 'https://127.0.0.1:1', 'http://127.0.0.1:8080/']) {
    assert.throws(() => createEgress({ allow: { plainHttpOrigins: [bad] } }));
  }
});

test('connections are kept and used again; the number under way is bounded; closing ends everything', async () => {
  const client = development({ maxConcurrent: 2 });
  const before = tls.connections();
  for (let i = 0; i < 5; i++) assert.equal(codeOf(await client.fetch(url('/ok'))), '200');
  assert.equal(tls.connections(), before + 1);
  const silent = [client.fetch(url('/silent')), client.fetch(url('/stalls'))];
  assert.equal(codeOf(await client.fetch(url('/ok'))), 'busy');
  await new Promise(resolve => setTimeout(resolve, 100));
  client.close();
  assert.deepEqual((await Promise.all(silent)).map(codeOf), ['closed', 'closed']);
  assert.equal(codeOf(await client.fetch(url('/ok'))), 'closed');
});

test('a stream is handed over unread, and counts as under way until it closes', async () => {
  const client = development({ maxConcurrent: 1 });
  const opened = await client.open(url('/endless'));
  assert.ok(opened.kind === 'response');
  assert.equal(codeOf(await client.fetch(url('/ok'))), 'busy');
  let sizeBytes = 0;
  for await (const chunk of opened.stream as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > 200_000) break;
  }
  // An aborted response also emits an error, so `once` would reject.
  if (!opened.stream.closed) await new Promise(resolve => opened.stream.once('close', resolve));
  assert.equal(codeOf(await client.fetch(url('/ok'))), '200');
});

test('any text is an answer or a failure, never an exception, and opens nothing', async () => {
  const before = tls.connections() + plain.connections();
  const client = egress({ resolve: async () => ['127.0.0.1'] });
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.webUrl(), fc.webUrl({ validSchemes: ['https'] })), async text => {
      assert.equal((await client.fetch(text)).kind, 'failed');
    }),
    { numRuns: 300 },
  );
  assert.equal(tls.connections() + plain.connections(), before);
});
