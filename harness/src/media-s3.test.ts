// The media origin on an S3-compatible bucket: the port's contract, and whole uploads over HTTP, while the origin's process
// or the store is killed. The S3 server is OpenStack Swift.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { CreateBucketCommand, ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { freePorts } from '@drawbridge/cli/dev-config';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { parseConfig } from '@drawbridge/gatekeeper/config';
import { type Gatekeeper, startGatekeeper } from '@drawbridge/gatekeeper/main';
import { createMediaOrigin, type MediaOrigin } from '@drawbridge/provider/media-origin';
import type { S3StoreOptions } from '@drawbridge/provider/media-origin/s3/options';
import { openS3MediaStore, type S3Store } from '@drawbridge/provider/media-origin/s3-store';
import { MediaStoreError } from '@drawbridge/provider/media-origin/media-store';
import { namesIn, testMediaStore } from '@drawbridge/provider/testing/media-store-contract';
import type { OriginJob } from './media-s3-origin.ts';
import { startSwift, type Swift, swiftCredentials, swiftRegion, withoutSwift } from './foreign/swift.ts';

const skip = withoutSwift;
if (skip !== false) console.error(`media-s3: ${skip}`);

const bucket = 'media';
/** The least that S3 takes. */
const partBytes = 5_242_880;
const folder = mkdtempSync(join(tmpdir(), 'drawbridge-media-s3-'));
const closers: (() => Promise<void> | void)[] = [];
let swift: Swift;
let client: S3Client;

before(async () => {
  if (skip !== false) return;
  swift = await startSwift(join(folder, 'swift'), await freePort());
  client = new S3Client({
    endpoint: swift.endpoint,
    region: swiftRegion,
    forcePathStyle: true,
    credentials: { ...swiftCredentials },
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
});
after(async () => {
  for (const close of closers.reverse()) await close();
  if (skip === false) await swift.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

let stores = 0;
/** Everything of one origin's store, under a prefix of its own. */
function newPlace(): S3StoreOptions {
  stores += 1;
  return {
    endpoint: swift.endpoint,
    region: swiftRegion,
    bucket,
    prefix: `origin-${stores}/`,
    pathStyle: true,
    credentials: swiftCredentials,
    spoolFolder: join(folder, `spool-${stores}`),
    limits: { partBytes, connectTimeoutMs: 500, attempts: 2 },
  };
}

function openStore(place: S3StoreOptions): S3Store {
  const store = openS3MediaStore(place);
  closers.push(() => store.close());
  return store;
}

testMediaStore('S3', {
  skip,
  partBytes,
  open: async () => {
    const place = newPlace();
    return { store: openStore(place), reopen: async () => openStore(place) };
  },
});

type Place = S3StoreOptions & { readonly folder: string };
type World = {
  readonly origin: MediaOrigin;
  readonly url: string;
  readonly log: string[];
  readonly close: () => Promise<void>;
};

const clock = { nowMs: 1_790_000_000_000 };

async function world(place: Place): Promise<World> {
  const log: string[] = [];
  let origin: MediaOrigin | undefined;
  const server = createServer((request, response) => origin!.handler(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/media`;
  const store = openStore(place);
  origin = createMediaOrigin({
    folder: place.folder,
    store,
    url,
    path: '/media',
    authenticate: async () => 'anna',
    nowMs: () => clock.nowMs,
    log: (event, code) => log.push(`${event} ${code}`),
    limits: { checkpointBytes: 2_000_000 },
  });
  const close = async (): Promise<void> => {
    await origin.close();
    server.closeAllConnections();
    server.close();
  };
  closers.push(close);
  return { origin, url, log, close };
}

const headers = {
  authorization: `Bearer ${'a'.repeat(43)}`,
  'tus-resumable': '1.0.0',
  'content-type': 'application/offset+octet-stream',
};

async function begin(at: Pick<World, 'url'>, sizeBytes: number): Promise<string> {
  const { 'content-type': _none, ...rest } = headers;
  const answer = await fetch(at.url, { method: 'POST', headers: { ...rest, 'upload-length': String(sizeBytes) } });
  assert.equal(answer.status, 201);
  return answer.headers.get('location')!;
}

/** The status; undefined when the connection broke, or was cut by `signal`. */
async function append(url: string, offset: number, body: Buffer, signal?: AbortSignal): Promise<number | undefined> {
  try {
    const init = {
      method: 'PATCH',
      headers: { ...headers, 'upload-offset': String(offset) },
      body: new Uint8Array(body),
    };
    return (await fetch(url, signal === undefined ? init : { ...init, signal })).status;
  } catch {
    return undefined;
  }
}

async function offsetOf(url: string): Promise<number | { readonly status: number }> {
  const { status, headers: told } = await fetch(url, { method: 'HEAD', headers });
  return status === 200 ? Number(told.get('upload-offset')) : { status };
}

async function readWhole(url: string): Promise<Buffer> {
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  return Buffer.from(await answer.arrayBuffer());
}

async function keysUnder(prefix: string): Promise<string[]> {
  const objects = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
  const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
  return [...(objects.Contents ?? []), ...(uploads.Uploads ?? [])].map(each => each.Key!.slice(prefix.length));
}

const newWorldPlace = (): Place => ({ ...newPlace(), folder: join(folder, `origin-${stores}`) });

test('an upload that is cut at random moments, and whose origin starts again, is whole', { skip }, async () => {
  const place = newWorldPlace();
  let at = await world(place);
  const bytes = randomBytes(4 * partBytes + 123_456);
  let url = await begin(at, bytes.length);
  let offset = 0;
  for (let cuts = 0; offset < bytes.length; cuts += 1) {
    const signal = cuts < 8 ? AbortSignal.timeout(randomInt(5, 120)) : undefined;
    await append(url, offset, bytes.subarray(offset), signal);
    if (cuts % 3 === 2) {
      await at.close();
      at = await world(place);
      url = `${at.url}/${url.split('/').at(-1)!}`;
    }
    const known = await offsetOf(url);
    assert.ok(typeof known === 'number' && known >= offset, JSON.stringify(known));
    if (known < bytes.length) assert.equal((await fetch(url)).status, 404);
    offset = known;
  }
  assert.ok((await readWhole(url)).equals(bytes));
  const part = await fetch(url, { headers: { range: `bytes=${partBytes - 10}-${partBytes + 9}` } });
  assert.equal(part.status, 206);
  assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(partBytes - 10, partBytes + 10)));
  const [id] = url.split('/').slice(-1);
  const keys = await keysUnder(place.prefix);
  assert.equal(keys.length, 1, 'one object, and no mark before garbage is collected');
  assert.ok(!keys[0]!.includes(id!), 'the bucket does not know the URL');
  await at.origin.collectGarbage();
  assert.ok((await readWhole(url)).equals(bytes), 'known files stay');
  clock.nowMs += 46 * 86_400_000;
  assert.equal((await fetch(url)).status, 404);
  await at.origin.collectGarbage();
  assert.deepEqual(await keysUnder(place.prefix), ['drawbridge-media-origin']);
});

test('while the store is down nothing acknowledged is lost, and uploads go on when it is back', { skip }, async () => {
  const place = newWorldPlace();
  const at = await world(place);
  const bytes = randomBytes(4 * partBytes);
  const small = randomBytes(50_000);
  const url = await begin(at, bytes.length);
  const smallUrl = await begin(at, small.length);
  const first = partBytes + 300_000;
  assert.equal(await append(url, 0, bytes.subarray(0, first)), 204);
  await swift.kill();
  // What stays below a part is kept on disk; what fills one is refused, and what was synced before stays.
  assert.equal(await append(url, first, bytes.subarray(first, first + 100_000)), 204);
  const refused = await append(url, first + 100_000, bytes.subarray(first + 100_000));
  assert.ok(refused === 503 || refused === undefined, String(refused));
  const known = await offsetOf(url);
  assert.ok(typeof known === 'number' && known >= first + 100_000 && known < bytes.length, JSON.stringify(known));
  assert.equal(await append(smallUrl, 0, small), 503);
  assert.deepEqual(await offsetOf(smallUrl), { status: 503 }, 'all bytes are here, the file is not');
  assert.equal((await fetch(smallUrl)).status, 404);
  assert.ok(at.log.includes('media-failed storage-unavailable'), at.log.join());
  assert.equal((await fetch(url, { method: 'DELETE', headers })).status, 503);
  await swift.start();
  assert.equal(await offsetOf(smallUrl), small.length, 'made a file now');
  assert.ok((await readWhole(smallUrl)).equals(small));
  assert.equal(await append(url, known, bytes.subarray(known)), 204);
  assert.ok((await readWhole(url)).equals(bytes));
  await swift.kill();
  assert.equal((await fetch(url)).status, 503);
  await swift.start();
});

/** A process with an origin; `url` as long as the port is the same. */
async function startOrigin(job: OriginJob): Promise<ChildProcess> {
  const file = join(import.meta.dirname, 'media-s3-origin.ts');
  const child = fork(file, [JSON.stringify(job)], { execArgv: ['--conditions=drawbridge-source'] });
  closers.push(() => void child.kill('SIGKILL'));
  await once(child, 'message');
  return child;
}

async function killProcess(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

test('the process is killed in the middle of an upload, again and again: what it acknowledged is there', {
  skip,
}, async () => {
  const { folder: data, ...store } = newWorldPlace();
  const job = { store, folder: data, port: await freePort() };
  let child = await startOrigin(job);
  const bytes = randomBytes(10 * partBytes + 54_321);
  const at = { url: `http://127.0.0.1:${job.port}/media` };
  const url = await begin(at, bytes.length);
  let offset = 0;
  for (let kills = 0; offset < bytes.length; kills += 1) {
    assert.ok(kills < 20, 'it comes to an end when it is left alone');
    // In requests of 1 MiB, so that much is acknowledged before each end.
    const killed = kills < 8 ? setTimeout(() => child.kill('SIGKILL'), randomInt(20, 250)) : undefined;
    const gone = kills < 8 ? once(child, 'exit') : undefined;
    let alive = true;
    while (alive && offset < bytes.length) {
      const piece = bytes.subarray(offset, offset + randomInt(1, 2_000_000));
      alive = (await append(url, offset, piece)) === 204;
      if (alive) offset += piece.length;
    }
    if (offset === bytes.length && killed !== undefined) child.kill('SIGKILL');
    clearTimeout(killed);
    if (gone !== undefined) {
      await gone;
      child = await startOrigin(job);
    }
    const known = await offsetOf(url);
    assert.ok(typeof known === 'number' && known >= offset, `${JSON.stringify(known)} of ${offset}`);
    offset = known;
  }
  assert.ok((await readWhole(url)).equals(bytes));
  await killProcess(child);
});

test('a file of 256 MiB passes in bounded memory, both ways', { skip }, async () => {
  const { folder: data, ...store } = newWorldPlace();
  const child = await startOrigin({ store: { ...store, limits: {} }, folder: data, port: await freePort() });
  const { port } = JSON.parse(child.spawnargs.at(-1)!) as OriginJob;
  const at = { url: `http://127.0.0.1:${port}/media` };
  const mebibytes = (field: 'VmRSS' | 'VmHWM'): number =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))?.[1]) / 1_024;
  // The S3 library is loaded and used once.
  const warm = await begin(at, 10);
  assert.equal(await append(warm, 0, randomBytes(10)), 204);
  const idle = mebibytes('VmRSS');
  const piece = randomBytes(1_048_576);
  const size = 256 * piece.length;
  const url = await begin(at, size);
  const body = Readable.from(
    (function* () {
      for (let sent = 0; sent < size; sent += piece.length) yield piece;
    })(),
  );
  const sent = request(url, { method: 'PATCH', headers: { ...headers, 'upload-offset': '0', 'content-length': size } });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  await pipeline(body, sent);
  const [response] = await answered;
  assert.equal(response.statusCode, 204);
  response.resume();
  const uploaded = mebibytes('VmHWM');
  let readBytes = 0;
  for await (const chunk of (await fetch(url)).body!) readBytes += chunk.length;
  assert.equal(readBytes, size);
  const peak = mebibytes('VmHWM');
  console.log(
    `idle ${idle.toFixed(0)} MiB, after the upload ${uploaded.toFixed(0)}, after the download ${peak.toFixed(0)}`,
  );
  // Two parts and their copies on the way out; the rest is what Node's collector leaves lying, whatever the size.
  assert.ok(peak - idle < 128, `${(peak - idle).toFixed(0)} MiB above idle`);
  await killProcess(child);
});

test('files of a crash that no upload knows are found and removed, unfinished ones too', { skip }, async () => {
  const place = newWorldPlace();
  const stray = openStore(place);
  for (const size of [1_000, partBytes + 1]) {
    const name = randomBytes(32).toString('hex');
    const writer = await stray.openWriter(name, 0);
    await writer.write([randomBytes(size)]);
    await writer.sync();
    await writer.close();
  }
  assert.equal((await namesIn(stray)).length, 2);
  const at = await world(place);
  await at.origin.collectGarbage();
  assert.deepEqual(await namesIn(stray), []);
  assert.deepEqual(await keysUnder(place.prefix), ['drawbridge-media-origin']);
});

test('a gatekeeper keeps the files of its own users in the bucket that its configuration names', { skip }, async () => {
  const [data, pkiFolder] = [join(folder, 'gatekeeper'), join(folder, 'pki')];
  const pki = await ensureDevPki(pkiFolder, ['citadel.test']);
  const credentialsFile = join(folder, 'credentials.json');
  writeFileSync(credentialsFile, JSON.stringify(swiftCredentials));
  const mediaStorage = { endpoint: swift.endpoint, region: swiftRegion, bucket, prefix: 'citadel/', credentialsFile };
  const [http = 0, admin = 0] = await freePorts(2);
  const at = (port: number): object => ({ host: '127.0.0.1', port });
  const start = async (storage: object): Promise<Gatekeeper> => {
    const parsed = parseConfig(
      {
        mode: 'development',
        domain: 'citadel.test',
        issuer: `https://localhost:${http}`,
        dataFolder: data,
        listeners: { http: at(http), admin: at(admin) },
        ownUsers: { kind: 'embedded', registration: 'open', mediaStorage: storage },
        egress: { allowAddresses: ['127.0.0.1'], caFile: pki.caFile },
      },
      folder,
    );
    assert.ok(parsed.kind === 'loaded', JSON.stringify(parsed));
    return await startGatekeeper({ config: parsed.config, log: () => {} });
  };
  await assert.rejects(start({ ...mediaStorage, bucket: 'no-such-bucket' }), /check bucket/);
  const gatekeeper = await start(mediaStorage);
  closers.push(async () => await gatekeeper.close());
  const front = `http://127.0.0.1:${http}`;
  const json = { method: 'POST', headers: { 'content-type': 'application/json' } };
  const body = JSON.stringify({ identifier: 'anna', password: 'a long enough password' });
  await fetch(`${front}/users/v1/users`, { ...json, body });
  const { session } = (await (await fetch(`${front}/users/v1/sessions`, { ...json, body })).json()) as {
    session: string;
  };
  const bytes = randomBytes(partBytes + 1_000);
  const created = await fetch(`${front}/users/media`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${session}`, 'upload-length': String(bytes.length) },
    body: new Uint8Array(bytes),
  });
  assert.equal(created.status, 201);
  const id = created.headers.get('location')!.split('/').at(-1)!;
  const found = gatekeeper.control.ownUsers?.media?.find(id);
  const read = await found?.read(5, bytes.length);
  assert.ok(read !== undefined);
  assert.ok((await buffer(read)).equals(bytes.subarray(5)));
  const keys = await keysUnder('citadel/');
  assert.deepEqual([keys.length, keys.includes('drawbridge-media-origin')], [2, true]);
});

test('the check says what is wrong: credentials, bucket, another origin, nobody there', { skip }, async () => {
  const place = newPlace();
  const fails = async (change: Partial<S3StoreOptions>, code: string, words: RegExp): Promise<void> => {
    await assert.rejects(openStore({ ...place, ...change }).check(), error => {
      assert.ok(error instanceof MediaStoreError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, words);
      assert.ok(!error.message.includes('wrong secret'));
      return true;
    });
  };
  const mine = openStore(place);
  await mine.check();
  await mine.check();
  await fails(
    { credentials: { ...swiftCredentials, secretAccessKey: 'wrong secret' } },
    'storage-refused',
    /credentials/,
  );
  await fails({ bucket: 'no-such-bucket' }, 'storage-refused', /bucket/);
  await fails({ spoolFolder: join(folder, 'another') }, 'storage-not-ours', /choose another prefix/);
  await fails({ endpoint: 'http://127.0.0.1:9' }, 'storage-unavailable', /endpoint/);
  // Its names are asked for by who removes what it doesn't know.
  const other = openStore({ ...place, spoolFolder: join(folder, 'another') });
  await assert.rejects(namesIn(other), { code: 'storage-not-ours' });
});
