// The media origin over real HTTP on loopback, with connections that are cut wherever it hurts.

import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import type { DiskFigures } from './disk-room.ts';
import { createMediaOrigin, type MediaLimits, type MediaOrigin } from './media-origin.ts';
import { mediaProblems } from './media-problems.ts';
import { rangeAsked, readRange } from './range.ts';
import { createDiskMediaStore, type MediaStore } from './media-store.ts';
import { createProvider } from '../provider.ts';

const folders: string[] = [];
const open: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const close of open.reverse()) await close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-media-'));
  folders.push(folder);
  return folder;
}

type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer };
type World = {
  readonly origin: MediaOrigin;
  readonly url: string;
  readonly folder: string;
  readonly clock: { nowMs: number };
  readonly log: string[];
  readonly close: () => Promise<void>;
};

async function world(
  more: {
    limits?: Partial<MediaLimits>;
    folder?: string;
    store?: MediaStore;
    clock?: { nowMs: number };
    disk?: DiskFigures;
  } = {},
): Promise<World> {
  const folder = more.folder ?? newFolder();
  const clock = more.clock ?? { nowMs: 1_790_000_000_000 };
  const log: string[] = [];
  let origin: MediaOrigin | undefined;
  const server = createServer((request, response) => {
    if (origin?.serves(request) === true) origin.handler(request, response);
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/kit/media`;
  origin = createMediaOrigin({
    folder,
    url,
    path: '/kit/media',
    // A token is a name, filled up.
    authenticate: async token => (token.startsWith('user-') ? token.replace(/_+$/, '') : undefined),
    nowMs: () => clock.nowMs,
    log: (event, code) => log.push(`${event} ${code}`),
    ...(more.limits === undefined ? {} : { limits: more.limits }),
    disk: async () => more.disk ?? { freeBytes: 1e12, sizeBytes: 1e12 },
    ...(more.store === undefined ? {} : { store: more.store }),
  });
  const close = async (): Promise<void> => {
    await origin.close();
    server.closeAllConnections();
    server.close();
  };
  open.push(close);
  return { origin, url, folder, clock, log, close };
}

type Call = {
  readonly headers?: Record<string, string>;
  readonly user?: string;
  readonly body?: Uint8Array;
  /** Cuts the connection when this number of bytes of the body was sent. */
  readonly cutAfterBytes?: number;
};

const tus = { 'tus-resumable': '1.0.0' };
const uploading = { ...tus, 'content-type': 'application/offset+octet-stream' };
const bearer = (user: string): Record<string, string> => ({ authorization: `Bearer ${user.padEnd(43, '_')}` });

function call(method: string, url: string, { headers = {}, user, body, cutAfterBytes }: Call = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = {
      ...(user === undefined ? {} : bearer(user)),
      ...(body === undefined || 'transfer-encoding' in headers ? {} : { 'content-length': String(body.length) }),
      ...headers,
    };
    const sent = httpRequest(url, { method, headers: all, agent: false }, response => {
      const chunks: Buffer[] = [];
      response.on('data', chunk => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    sent.on('error', reject);
    if (cutAfterBytes === undefined) sent.end(body);
    else sent.write(body!.subarray(0, cutAfterBytes), () => setTimeout(() => sent.destroy(), 5));
  });
}

const codeOf = (answer: Answer): unknown => (JSON.parse(answer.body.toString()) as { code?: unknown }).code;

async function begin(at: World, sizeBytes: number, user = 'user-anna'): Promise<string> {
  const answer = await call('POST', at.url, { user, headers: { ...tus, 'upload-length': String(sizeBytes) } });
  assert.equal(answer.status, 201);
  return String(answer.headers.location);
}

function append(url: string, offset: number, body: Uint8Array, more: Call = {}): Promise<Answer> {
  const headers = { ...uploading, 'upload-offset': String(offset), ...more.headers };
  return call('PATCH', url, { user: 'user-anna', body, ...more, headers });
}

async function upload(at: World, bytes: Uint8Array): Promise<string> {
  const url = await begin(at, bytes.length);
  const answer = await append(url, 0, bytes);
  assert.equal(answer.status, 204);
  assert.equal(answer.headers['upload-offset'], String(bytes.length));
  return url;
}

test('an upload of one piece, read whole, in ranges and by its head', async () => {
  const at = await world();
  const bytes = randomBytes(300_000);
  const url = await upload(at, bytes);
  assert.match(url, /\/kit\/media\/[A-Za-z0-9_-]{43}$/);
  const whole = await call('GET', url);
  assert.equal(whole.status, 200);
  assert.ok(whole.body.equals(bytes));
  assert.equal(whole.headers['content-type'], 'application/octet-stream');
  assert.equal(whole.headers['x-content-type-options'], 'nosniff');
  assert.equal(whole.headers['content-disposition'], 'attachment');
  const head = await call('HEAD', url);
  assert.equal(head.headers['content-length'], '300000');
  for (const [range, start, end] of [
    ['bytes=0-0', 0, 1],
    ['bytes=100000-', 100_000, 300_000],
    ['bytes=-5', 299_995, 300_000],
    ['bytes=5-999999', 5, 300_000],
  ] as const) {
    const part = await call('GET', url, { headers: { range } });
    assert.equal(part.status, 206);
    assert.equal(part.headers['content-range'], `bytes ${start}-${end - 1}/300000`);
    assert.ok(part.body.equals(bytes.subarray(start, end)));
  }
  const unknownTag = await call('GET', url, { headers: { range: 'bytes=0-9', 'if-range': '"some-tag"' } });
  assert.deepEqual([unknownTag.status, unknownTag.body.length], [200, 300_000]);
  const behind = await call('GET', url, { headers: { range: 'bytes=300000-' } });
  assert.equal(behind.status, 416);
  assert.equal(behind.headers['content-range'], 'bytes */300000');
  const empty = await begin(at, 0);
  assert.equal((await call('GET', empty)).body.length, 0);
});

test('cut at random moments, an upload goes on where it was, and nothing is lost or doubled', async () => {
  const at = await world({ limits: { checkpointBytes: 65_536 } });
  for (let round = 0; round < 6; round += 1) {
    const bytes = randomBytes(randomInt(1, 4_000_000));
    const url = await begin(at, bytes.length);
    let offset = 0;
    for (let cuts = 0; offset < bytes.length; cuts += 1) {
      const rest = bytes.subarray(offset);
      // A cut behind the last byte is none.
      const cutAfterBytes = cuts < 8 ? randomInt(0, rest.length) : undefined;
      if (cutAfterBytes === undefined) await append(url, offset, rest);
      else await assert.rejects(append(url, offset, rest, { cutAfterBytes }));
      // The old connection may still be held: asking for the offset ends it.
      const head = await call('HEAD', url, { user: 'user-anna', headers: tus });
      assert.equal(head.status, 200);
      const known = Number(head.headers['upload-offset']);
      assert.ok(known >= offset && known <= bytes.length);
      if (known < bytes.length) assert.equal((await call('GET', url)).status, 404, 'not whole: nobody reads it');
      offset = known;
    }
    assert.ok((await call('GET', url)).body.equals(bytes));
  }
});

test('an upload whose end falls on a checkpoint is whole', async () => {
  const at = await world({ limits: { checkpointBytes: 1_048_576 } });
  const bytes = randomBytes(4 * 1_048_576);
  // Small writes, so that pieces of 1 MiB are gathered exactly.
  const url = await begin(at, bytes.length);
  const sent = httpRequest(url, {
    method: 'PATCH',
    headers: { ...bearer('user-anna'), ...uploading, 'upload-offset': '0', 'content-length': bytes.length },
  });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  for (let from = 0; from < bytes.length; from += 16_384) {
    sent.write(bytes.subarray(from, from + 16_384));
    await new Promise(resolve => setImmediate(resolve));
  }
  sent.end();
  const [response] = await answered;
  response.resume();
  assert.equal(response.statusCode, 204);
  assert.ok((await call('GET', url)).body.equals(bytes));
});

test('a second request for the same upload takes over from one that hangs', async () => {
  const at = await world();
  const bytes = randomBytes(100_000);
  const url = await begin(at, bytes.length);
  const hanging = httpRequest(url, {
    method: 'PATCH',
    headers: { ...bearer('user-anna'), ...uploading, 'upload-offset': '0', 'content-length': '100000' },
  });
  const ended = once(hanging, 'error');
  hanging.write(bytes.subarray(0, 40_000));
  for (let known = ''; known !== '40000'; ) {
    const head = await call('HEAD', url, { user: 'user-anna', headers: tus });
    known = String(head.headers['upload-offset']);
    if (known === '0') {
      hanging.destroy();
      break;
    }
  }
  await ended;
  const { headers } = await call('HEAD', url, { user: 'user-anna', headers: tus });
  const offset = Number(headers['upload-offset']);
  assert.equal((await append(url, offset, bytes.subarray(offset))).status, 204);
  assert.ok((await call('GET', url)).body.equals(bytes));
});

test('what was acknowledged survives a restart; what was not is written again', async () => {
  const first = await world();
  const bytes = randomBytes(200_000);
  const url = await begin(first, bytes.length);
  assert.equal((await append(url, 0, bytes.subarray(0, 120_000))).status, 204);
  const whole = await upload(first, bytes);
  await first.close();
  // Bytes that a crash left behind the last point that was noted.
  const file = filesOf(first.folder).find(name => statSync(name).size === 120_000)!;
  writeFileSync(file, Buffer.concat([readFileSync(file), randomBytes(9_000)]));

  const second = await world({ folder: first.folder });
  const moved = (old: string): string => `${second.url}/${old.split('/').at(-1)!}`;
  const { headers } = await call('HEAD', moved(url), { user: 'user-anna', headers: tus });
  assert.equal(headers['upload-offset'], '120000');
  assert.equal((await append(moved(url), 120_000, bytes.subarray(120_000))).status, 204);
  assert.ok((await call('GET', moved(url))).body.equals(bytes));
  assert.ok((await call('GET', moved(whole))).body.equals(bytes));
});

function filesOf(folder: string): string[] {
  return readdirSync(join(folder, 'files'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name));
}

test('refused: strangers, other people, other versions, wrong offsets, too much', async () => {
  const at = await world({ limits: { maxUploadBytes: 1_000 } });
  const url = await begin(at, 500);
  const body = randomBytes(100);
  const length = { ...tus, 'upload-length': '10' };
  const user = 'user-anna';
  const refusals: readonly (readonly [number, Promise<Answer>])[] = [
    [401, call('POST', at.url, { headers: length })],
    [401, call('POST', at.url, { headers: { ...length, authorization: 'Bearer x' } })],
    [401, append(url, 0, body, { user: 'nobody' })],
    [404, append(url, 0, body, { user: 'user-berta' })],
    [404, call('DELETE', url, { user: 'user-berta', headers: tus })],
    [404, call('HEAD', url, { user: 'user-berta', headers: tus })],
    [404, append(`${at.url}/${'A'.repeat(43)}`, 0, body)],
    [404, call('GET', `${at.url}/${'A'.repeat(43)}`)],
    [404, call('GET', `${at.url}/../../etc/passwd`)],
    [404, call('GET', `${at.url}/%2e%2e%2f`)],
    [409, append(url, 7, body)],
    [400, append(url, -1, body)],
    [413, append(url, 0, randomBytes(501))],
    [415, append(url, 0, body, { headers: { 'content-type': 'image/png' } })],
    [412, call('POST', at.url, { user, headers: { 'upload-length': '10' } })],
    [412, append(url, 0, body, { headers: { 'tus-resumable': '0.2.2' } })],
    [413, call('POST', at.url, { user, headers: { ...tus, 'upload-length': '1001' } })],
    [400, call('POST', at.url, { user, headers: { ...tus, 'upload-defer-length': '1' } })],
    [400, call('POST', at.url, { user, headers: { ...tus, 'upload-length': '1e2' } })],
    [405, call('PUT', at.url, { user, headers: tus })],
    [405, call('POST', at.url, { user, headers: { ...tus, 'x-http-method-override': 'constructor' } })],
  ];
  for (const [index, [status, refused]] of refusals.entries()) {
    const answer = await refused;
    assert.equal(answer.status, status, `case ${index}`);
    if (answer.headers['content-type'] === undefined) continue;
    assert.equal(answer.headers['content-type'], 'application/problem+json');
    if (answer.body.length > 0) assert.ok(String(codeOf(answer)) in mediaProblems);
  }
  // More than was announced, without saying so: what fits is not taken for the whole.
  const chunked = await call('PATCH', url, {
    user,
    headers: { ...uploading, 'upload-offset': '0', 'transfer-encoding': 'chunked' },
    body: randomBytes(700),
  }).catch(() => undefined);
  assert.ok(chunked === undefined || chunked.status === 413);
  const { headers } = await call('HEAD', url, { user, headers: tus });
  assert.equal(headers['upload-offset'], '0');
  assert.equal((await call('GET', url)).status, 404);
});

test('a checksum that differs leaves the upload as it was', async () => {
  const at = await world();
  const bytes = randomBytes(3_000_000);
  const url = await begin(at, bytes.length);
  const sum = (algorithm: string, of: Uint8Array): Record<string, string> => ({
    'upload-checksum': `${algorithm} ${createHash(algorithm).update(of).digest('base64')}`,
  });
  const wrong = await append(url, 0, bytes, { headers: sum('sha256', bytes.subarray(1)) });
  assert.equal(wrong.status, 460);
  assert.equal((await append(url, 0, bytes, { headers: { 'upload-checksum': 'md5 AAAA' } })).status, 400);
  await assert.rejects(append(url, 0, bytes, { headers: sum('sha1', bytes), cutAfterBytes: 2_000_000 }));
  const { headers } = await call('HEAD', url, { user: 'user-anna', headers: tus });
  assert.equal(headers['upload-offset'], '0');
  assert.equal(
    (await append(url, 0, bytes.subarray(0, 9), { headers: sum('sha1', bytes.subarray(0, 9)) })).status,
    204,
  );
  assert.equal((await append(url, 9, bytes.subarray(9), { headers: sum('sha256', bytes.subarray(9)) })).status, 204);
  assert.ok((await call('GET', url)).body.equals(bytes));
});

test('quota: begun uploads count whole, removed and expired ones no more', async () => {
  const at = await world({ limits: { bytesPerUser: 1_000, uploadsPerUser: 3 } });
  const first = await begin(at, 600);
  const length = (bytes: number): Call => ({ user: 'user-anna', headers: { ...tus, 'upload-length': String(bytes) } });
  const refused = await call('POST', at.url, length(401));
  assert.equal(refused.status, 403);
  assert.equal(codeOf(refused), 'quota-used-up');
  await begin(at, 600, 'user-berta');
  assert.equal((await call('DELETE', first, { user: 'user-anna', headers: tus })).status, 204);
  assert.equal((await call('HEAD', first, { user: 'user-anna', headers: tus })).status, 404);
  await begin(at, 1_000);
  at.clock.nowMs += 86_400_000;
  for (let i = 0; i < 3; i += 1) await begin(at, 1);
  assert.equal((await call('POST', at.url, length(1))).status, 403);
});

test('expired files are gone for readers at once and from the disk at the next collection', async () => {
  const at = await world();
  const bytes = randomBytes(1_000);
  const whole = await upload(at, bytes);
  const begun = await begin(at, 1_000);
  await append(begun, 0, bytes.subarray(0, 10));
  assert.equal(filesOf(at.folder).length, 2);
  const stray = join(at.folder, 'files', '00');
  mkdirSync(stray, { recursive: true });
  writeFileSync(join(stray, `00${'e'.repeat(62)}`), 'left behind');
  at.clock.nowMs += 86_400_001;
  assert.equal((await call('HEAD', begun, { user: 'user-anna', headers: tus })).status, 404);
  assert.equal((await call('GET', whole)).status, 200);
  await at.origin.collectGarbage();
  assert.equal(filesOf(at.folder).length, 1);
  at.clock.nowMs += 45 * 86_400_000;
  assert.equal((await call('GET', whole)).status, 404);
  await at.origin.collectGarbage();
  assert.deepEqual(filesOf(at.folder), []);
  const mine = await upload(at, bytes);
  await at.origin.removeAllOf('user-anna');
  assert.equal((await call('GET', mine)).status, 404);
  assert.deepEqual(filesOf(at.folder), []);
});

test('neither disk nor database knows URLs, names or types', async () => {
  const at = await world();
  const metadata = `filename ${Buffer.from('holiday.jpg').toString('base64')},filetype ${Buffer.from('image/jpeg').toString('base64')}`;
  const created = await call('POST', at.url, {
    user: 'user-anna',
    headers: { ...uploading, 'upload-length': '5', 'upload-metadata': metadata },
    body: Buffer.from('hello'),
  });
  assert.equal(created.status, 201);
  assert.equal(created.headers['upload-offset'], '5');
  const url = String(created.headers.location);
  assert.equal((await call('GET', url)).body.toString(), 'hello');
  const id = url.split('/').at(-1)!;
  await at.close();
  const all = [...filesOf(at.folder), ...readdirSync(at.folder).map(name => join(at.folder, name))].filter(
    name => existsSync(name) && statSync(name).isFile(),
  );
  for (const name of all) {
    assert.ok(!name.includes(id));
    const text = readFileSync(name).toString('latin1');
    for (const secret of [id, 'holiday', 'image/jpeg', Buffer.from('holiday.jpg').toString('base64')]) {
      assert.ok(!text.includes(secret), `${secret} in a file`);
    }
    assert.equal(statSync(name).mode & 0o077, 0);
  }
});

test('a full disk is said so, and the upload goes on when there is room', async () => {
  const folder = newFolder();
  const disk = createDiskMediaStore(join(folder, 'files'));
  let roomBytes = 1_500_000;
  const store: MediaStore = {
    ...disk,
    openWriter: async (name, offset) => {
      const writer = await disk.openWriter(name, offset);
      return {
        ...writer,
        write: async pieces => {
          for (const piece of pieces) {
            roomBytes -= piece.length;
            if (roomBytes < 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
            await writer.write([piece]);
          }
        },
      };
    },
  };
  const at = await world({ folder, store, limits: { checkpointBytes: 1_048_576 } });
  const bytes = randomBytes(5_000_000);
  const url = await begin(at, bytes.length);
  const refused = await append(url, 0, bytes).catch(() => undefined);
  assert.ok(refused === undefined || refused.status === 507);
  const { headers } = await call('HEAD', url, { user: 'user-anna', headers: tus });
  const offset = Number(headers['upload-offset']);
  assert.ok(offset >= 1_000_000 && offset < 1_500_000, String(offset));
  assert.deepEqual(at.log, ['media-failed ENOSPC']);
  roomBytes = Number.POSITIVE_INFINITY;
  assert.equal((await append(url, offset, bytes.subarray(offset))).status, 204);
  assert.ok((await call('GET', url)).body.equals(bytes));
});

test('files leave the reserve of the disk free: when an upload begins, next to others, and while bytes come', async () => {
  const disk = { freeBytes: 100_000_000, sizeBytes: 400_000_000 };
  // A small disk keeps a fifth: 80 MB of 400, so 20 MB are left.
  const at = await world({ disk });
  const create = (sizeBytes: number): Promise<Answer> =>
    call('POST', at.url, { user: 'user-anna', headers: { ...tus, 'upload-length': String(sizeBytes) } });
  const tooLarge = await create(20_000_001);
  assert.deepEqual([tooLarge.status, codeOf(tooLarge)], [507, 'storage-full']);
  const url = await begin(at, 15_000_000);
  assert.equal((await create(5_000_001)).status, 507, 'what an upload was promised is taken');
  const other = await begin(at, 5_000_000);
  // Something else fills the disk meanwhile.
  disk.freeBytes = 80_500_000;
  const refused = await append(url, 0, randomBytes(2_000_000)).catch(() => undefined);
  assert.ok(refused === undefined || refused.status === 507);
  disk.freeBytes = 79_000_000;
  assert.equal((await create(0)).status, 507);
  disk.freeBytes = 200_000_000;
  assert.equal((await append(other, 0, randomBytes(5_000_000))).status, 204);
  assert.ok(at.log.includes('media-refused storage-full'));
});

test('a sender or reader that stops is let go, others go on', async () => {
  const at = await world({ limits: { idleTimeoutMs: 150, transfersPerUser: 1 } });
  const url = await begin(at, 1_000);
  const other = await begin(at, 1_000);
  const hanging = httpRequest(url, {
    method: 'PATCH',
    headers: { ...bearer('user-anna'), ...uploading, 'upload-offset': '0', 'content-length': '1000' },
  });
  const ended = once(hanging, 'error');
  hanging.write(randomBytes(10));
  let answer: Answer | undefined;
  for (let tries = 0; tries < 50 && answer?.status !== 429; tries += 1) {
    answer = await append(other, 0, randomBytes(1));
    if (answer.status === 204) {
      await call('DELETE', other, { user: 'user-anna', headers: tus });
      break;
    }
  }
  await ended;
  assert.equal((await append(url, 10, randomBytes(990))).status, 204);

  const big = await world({ limits: { idleTimeoutMs: 150 } });
  const large = await upload(big, randomBytes(16_000_000));
  const reader = httpRequest(large);
  reader.end();
  const [response] = (await once(reader, 'response')) as [IncomingMessage];
  // Nothing is read: the origin must not wait for ever, nor hold the file in memory.
  const lost = once(response, 'error');
  setTimeout(() => response.resume(), 600);
  await lost;
});

test('ranges', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(1_000), (text, size) => {
      const range = readRange(text, size);
      assert.ok(range === 'whole' || range === 'unsatisfiable' || range.startBytes < range.endBytes);
    }),
  );
  const number = fc.nat(2_000);
  fc.assert(
    fc.property(number, fc.option(number), fc.integer({ min: 0, max: 1_500 }), (first, last, size) => {
      const range = readRange(`bytes=${first}-${last ?? ''}`, size);
      if (last !== null && last < first) assert.equal(range, 'whole');
      else if (first >= size) assert.equal(range, 'unsatisfiable');
      else assert.deepEqual(range, { startBytes: first, endBytes: last === null ? size : Math.min(last + 1, size) });
    }),
  );
  assert.equal(rangeAsked({ range: 'bytes=0-1' }), 'bytes=0-1');
  assert.equal(rangeAsked({ range: 'bytes=0-1', 'if-range': '"x"' }), undefined);
  assert.equal(readRange('bytes=-0', 10), 'unsatisfiable');
  assert.equal(readRange('bytes=0-1,3-4', 10), 'whole');
});

test('inside the kit: the session token uploads, the URL reads', async () => {
  const folder = newFolder();
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const issuer = `http://127.0.0.1:${port}/users`;
  const provider = await createProvider({
    issuer,
    gatekeepers: [],
    dataFolder: folder,
    registration: 'open',
    media: {},
  });
  open.push(provider.close);
  await provider.listen({ host: '127.0.0.1', port });
  const credentials = Buffer.from(JSON.stringify({ identifier: 'anna', password: 'correct horse' }));
  const json = { headers: { 'content-type': 'application/json' }, body: credentials };
  assert.equal((await call('POST', `${issuer}/v1/users`, json)).status, 201);
  const session = await call('POST', `${issuer}/v1/sessions`, json);
  const token = (JSON.parse(session.body.toString()) as { session: string }).session;
  const created = await call('POST', `${issuer}/media`, {
    headers: { ...uploading, 'upload-length': '5', authorization: `Bearer ${token}` },
    body: Buffer.from('hello'),
  });
  assert.equal(created.status, 201);
  const url = String(created.headers.location);
  assert.ok(url.startsWith(`${issuer}/media/`));
  assert.equal((await call('GET', url)).body.toString(), 'hello');
  await provider.endSessions('anna');
  const late = await call('POST', `${issuer}/media`, {
    headers: { ...tus, 'upload-length': '5', authorization: `Bearer ${token}` },
  });
  assert.equal(late.status, 401);
});

test('a reader who leaves before the answer leaves no file open', async () => {
  const folder = newFolder();
  const disk = createDiskMediaStore(join(folder, 'files'));
  const streams: { readonly closed: boolean }[] = [];
  const store: MediaStore = {
    ...disk,
    read: async (name, start, end) => {
      const stream = await disk.read(name, start, end);
      if (stream !== undefined) streams.push(stream);
      await new Promise(resolve => setTimeout(resolve, 60));
      return stream;
    },
  };
  const at = await world({ folder, store });
  const url = await upload(at, randomBytes(2_000_000));
  for (let i = 0; i < 5; i += 1) {
    const sent = httpRequest(url, { agent: false }).end();
    sent.on('error', () => {});
    await new Promise(resolve => setTimeout(resolve, 20));
    sent.destroy();
  }
  for (let tries = 0; tries < 100 && !(streams.length === 5 && streams.every(each => each.closed)); tries += 1) {
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  assert.deepEqual(
    streams.map(each => each.closed),
    [true, true, true, true, true],
  );
});
