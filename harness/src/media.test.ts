// A file on its way from one person to another: sealed, uploaded to the sender's provider, fetched through the gatekeeper's
// proxy with a grant, opened. All over TLS on loopback, with every connection cut at random moments, in both directions.
//
// DRAWBRIDGE_BIG_MEDIA_BYTES=1073741824 sends one file of that size as well, and looks at the memory of the process.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '@drawbridge/client/clock';
import { downloadEncrypted, uploadAttachment } from '@drawbridge/client/files/media-transfer';
import {
  encodeSealed,
  encryptedSizeBytes,
  openAttachment,
  type OpenSource,
  parseSealed,
  saveAttachment,
  sealAttachment,
  type SealedAttachment,
} from '@drawbridge/e2ee/attachments';
import { buildPublicHttp } from '@drawbridge/gatekeeper/http/public';
import { iqKey } from '@drawbridge/gatekeeper/routing/iq';
import { type Fixture, openFixture } from '@drawbridge/gatekeeper/testing/control-fixture';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { createProvider, type Provider } from '@drawbridge/provider/provider';
import { attribute, element } from '@drawbridge/wire/element';
import { NS_MEDIA } from '@drawbridge/wire/namespaces';
import { type CutLine, openCutLine } from './cut-line.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-media-network-'));
const authority = createDevelopmentAuthority({ nowMs: Date.now() });
const certificate = authority.issue(['127.0.0.1']);
const trust = { ca: authority.ca };
const pace = { clock: systemClock, random: Math.random };
const closers: (() => Promise<unknown> | void)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
  rmSync(folder, { recursive: true, force: true });
});

const line = async (targetPort: () => number): Promise<CutLine> => {
  const opened = await openCutLine(targetPort);
  closers.push(opened.close);
  return opened;
};

let provider: Provider;
let fixture: Fixture;
let upLine: CutLine;
let originLine: CutLine;
let downLine: CutLine;
let session: string;
let anna: Awaited<ReturnType<Fixture['enlist']>>;

before(async () => {
  let providerPort = 0;
  let frontPort = 0;
  upLine = await line(() => providerPort);
  originLine = await line(() => providerPort);
  downLine = await line(() => frontPort);
  provider = await createProvider({
    issuer: `https://127.0.0.1:${upLine.port}`,
    gatekeepers: [],
    dataFolder: join(folder, 'skylark'),
    registration: 'open',
    media: {},
  });
  const listening = await provider.listen({ host: '127.0.0.1', port: 0, tls: certificate });
  providerPort = listening.port;
  const credentials = { identifier: 'bert', password: 'correct horse' };
  // Straight through the handler: what is tested is the files' way.
  const plain = createHttpServer(provider.handler).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const base = `http://127.0.0.1:${(plain.address() as AddressInfo).port}`;
  const headers = { 'content-type': 'application/json' };
  await fetch(`${base}/v1/users`, { method: 'POST', headers, body: JSON.stringify(credentials) });
  const answer = await fetch(`${base}/v1/sessions`, { method: 'POST', headers, body: JSON.stringify(credentials) });
  session = ((await answer.json()) as { session: string }).session;
  plain.close();
  plain.closeAllConnections();

  writeFileSync(join(folder, 'ca.pem'), authority.ca);
  fixture = await openFixture({
    config: {
      providers: [
        {
          number: 1,
          name: 'skylark.example',
          issuer: 'https://skylark.example',
          mediaOrigins: [`https://127.0.0.1:${originLine.port}`],
        },
      ],
      egress: { allowAddresses: ['127.0.0.1'], caFile: join(folder, 'ca.pem') },
    },
  });
  const api = await buildPublicHttp({
    config: fixture.config,
    control: fixture.control,
    people: fixture.stores.accounts,
    log: () => {},
    nowMs: () => fixture.clock.nowMs,
    endpoints: () => ({ http: fixture.config.issuer }),
  });
  const front = createHttpsServer(certificate, api.handler).listen(0, '127.0.0.1');
  await once(front, 'listening');
  frontPort = (front.address() as AddressInfo).port;
  anna = await fixture.enlist(0, 'anna');
  await fixture.control.enlistment.setOptIn(anna.account, 1, true);
  mkdirSync(join(folder, 'saved'));
  closers.push(async () => {
    front.closeAllConnections();
    front.close();
    await provider.close();
    await api.close();
    await fixture.close();
  });
});

/** What anna's device does with the URL of a pointer. */
async function locate(url: string, sizeBytes: number): Promise<string> {
  // The pointer names the provider; the proxy reaches it on a line of its own.
  const seen = url.replace(`:${upLine.port}/`, `:${originLine.port}/`);
  const payload = element('grant', NS_MEDIA, { url: seen, size: String(sizeBytes) });
  const account = (await fixture.control.accounts.find(anna.account.interopId))!;
  const request = { type: 'get', payload, account, device: anna.device, nowMs: fixture.clock.nowMs } as const;
  const answer = await fixture.control.iqHandlers.get(iqKey('get', NS_MEDIA, 'grant'))!(request);
  assert(answer.kind === 'result' && answer.payload !== undefined, JSON.stringify(answer));
  return attribute(answer.payload, 'href')!.replace(fixture.config.issuer, `https://127.0.0.1:${downLine.port}`);
}

const upload = async (open: OpenSource, sealed: SealedAttachment, url?: string): Promise<string> => {
  const result = await uploadAttachment({
    endpoint: `https://127.0.0.1:${upLine.port}/media`,
    session: async () => session,
    sealed,
    open,
    pace,
    trust,
    ...(url === undefined ? {} : { url }),
  });
  assert(result.kind === 'uploaded', JSON.stringify(result));
  return result.url;
};

test('files of many sizes arrive byte for byte though every connection breaks', { timeout: 240_000 }, async t => {
  const sizes = [0, 1, 541, 65_536, 1_000_000, randomInt(2_000_000, 8_000_000), 64 * 1_048_576];
  const lines = [upLine, originLine, downLine];
  t.after(() => {
    for (const each of lines) each.cutAfterBytes = undefined;
  });
  for (const size of sizes) {
    const file = randomBytes(size);
    async function* open(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < size; at += 65_536) yield file.subarray(at, at + 65_536);
    }
    const sealing = await sealAttachment(open, size);
    assert(sealing.kind === 'sealed');
    const { sealed } = sealing;
    // Connections live for a random number of bytes: some die in the handshake, some near the end, some live on. Of a
    // larger file, the first that carry it break for sure. A busy machine may read late, and a reset throws away what was
    // not read: four connections of eight, of all lines together, live on, so that not all tries end without progress.
    let connections = 0;
    const cutAfterBytes = (): number => {
      connections += 1;
      if ((connections - 1) % 8 >= 4) return Number.POSITIVE_INFINITY;
      if (size > 900_000 && connections <= 4) return randomInt(50_000, size >> 1);
      if (Math.random() < 0.5) return Number.POSITIVE_INFINITY;
      return randomInt(0, Math.max(20_000, Math.floor(sealed.encryptedSizeBytes * 0.8)));
    };
    for (const each of lines) each.cutAfterBytes = cutAfterBytes;
    const url = await upload(open, parseSealed(encodeSealed(sealed))!);
    connections = 0;
    const path = join(folder, 'saved', String(size));
    const encrypted = downloadEncrypted({
      locate: () => locate(url, sealed.encryptedSizeBytes),
      sizeBytes: encryptedSizeBytes(size),
      pace,
      trust,
    });
    assert.deepEqual(await saveAttachment(encrypted, sealed, path), { kind: 'opened' });
    assert.ok(readFileSync(path).equals(file), `${size} bytes`);
    rmSync(path);
  }
  assert.deepEqual(readdirSync(join(folder, 'saved')), [], 'nothing half-written');
  assert.ok(upLine.cuts >= 3 && originLine.cuts + downLine.cuts >= 3, 'connections were cut');
});

test('an upload goes on after the sender was restarted, and a file changed meanwhile is not sent', async () => {
  const file = randomBytes(6_000_000);
  async function* open(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < file.length; at += 65_536) yield file.subarray(at, at + 65_536);
  }
  const sealing = await sealAttachment(open, file.length);
  assert(sealing.kind === 'sealed');
  const { sealed } = sealing;
  const stop = new AbortController();
  let begun = '';
  upLine.cutAfterBytes = () => 3_000_000;
  const stopped = await uploadAttachment({
    endpoint: `https://127.0.0.1:${upLine.port}/media`,
    session: async () => session,
    sealed,
    open,
    pace,
    trust,
    signal: stop.signal,
    onBegun: url => {
      begun = url;
    },
    onProgress: () => stop.abort(),
  });
  assert.deepEqual(stopped, { kind: 'failed', code: 'aborted' });
  upLine.cutAfterBytes = undefined;
  const kept = parseSealed(encodeSealed(sealed));
  assert(kept !== undefined && begun !== '');
  file[5_900_000]! ^= 1;
  const changed = await uploadAttachment({
    endpoint: `https://127.0.0.1:${upLine.port}/media`,
    session: async () => session,
    sealed: kept,
    open,
    pace,
    trust,
    url: begun,
  });
  assert.deepEqual(changed, { kind: 'failed', code: 'source-changed' });
  file[5_900_000]! ^= 1;
  const url = await upload(open, kept, begun);
  assert.equal(url, begun, 'the same upload');
  const parts: Uint8Array[] = [];
  const opened = await openAttachment(
    downloadEncrypted({
      locate: () => locate(url, kept.encryptedSizeBytes),
      sizeBytes: kept.encryptedSizeBytes,
      pace,
      trust,
    }),
    kept,
    part => void parts.push(Uint8Array.from(part)),
  );
  assert.deepEqual(opened, { kind: 'opened' });
  assert.ok(Buffer.concat(parts).equals(file));
});

test('what is refused is said in words', async () => {
  const sealing = await sealAttachment(async function* () {}, 0);
  assert(sealing.kind === 'sealed');
  const { sealed } = sealing;
  async function* open(): AsyncGenerator<Uint8Array> {}
  const at = { endpoint: `https://127.0.0.1:${upLine.port}/media`, sealed, open, pace, trust };
  assert.deepEqual(await uploadAttachment({ ...at, session: async () => 'A'.repeat(43) }), {
    kind: 'failed',
    code: 'not-authorised',
  });
  assert.deepEqual(await uploadAttachment({ ...at, endpoint: 'http://127.0.0.1/', session: async () => session }), {
    kind: 'failed',
    code: 'invalid-argument',
  });
  const url = `https://127.0.0.1:${upLine.port}/media/${'A'.repeat(43)}`;
  const missing = downloadEncrypted({ locate: () => locate(url, 600), sizeBytes: 600, pace, trust });
  await assert.rejects(async () => await missing.next(), { code: 'not-found' });
  const nowhere = downloadEncrypted({
    locate: async () => `https://127.0.0.1:${downLine.port}/media/x`,
    sizeBytes: 600,
    pace,
    trust,
  });
  await assert.rejects(async () => await nowhere.next(), { code: 'not-found' });
});

const bigBytes = Number(process.env['DRAWBRIDGE_BIG_MEDIA_BYTES'] ?? 0);
test('one big file', { skip: bigBytes === 0, timeout: 600_000 }, async () => {
  const block = randomBytes(65_536);
  const hash = createHash('sha256');
  async function* open(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bigBytes; at += block.length) yield block.subarray(0, Math.min(block.length, bigBytes - at));
  }
  for await (const part of open()) hash.update(part);
  const expected = hash.digest('hex');
  const idleBytes = process.memoryUsage().rss;
  let peakBytes = 0;
  const watch = setInterval(() => (peakBytes = Math.max(peakBytes, process.memoryUsage().rss)), 20);
  const lines = [upLine, originLine, downLine];
  for (const each of lines) each.cutAfterBytes = () => randomInt(0, bigBytes);
  const cuts = upLine.cuts + originLine.cuts + downLine.cuts;
  const startMs = performance.now();
  const sealing = await sealAttachment(open, bigBytes);
  assert(sealing.kind === 'sealed');
  const { sealed } = sealing;
  const sealedMs = performance.now();
  const url = await upload(open, sealed);
  const uploadedMs = performance.now();
  const opened = createHash('sha256');
  const result = await openAttachment(
    downloadEncrypted({
      locate: () => locate(url, sealed.encryptedSizeBytes),
      sizeBytes: sealed.encryptedSizeBytes,
      pace,
      trust,
    }),
    sealed,
    part => void opened.update(part),
  );
  clearInterval(watch);
  assert.deepEqual(result, { kind: 'opened' });
  assert.equal(opened.digest('hex'), expected);
  const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
  console.log(
    `sealed ${seconds(sealedMs - startMs)} s, uploaded ${seconds(uploadedMs - sealedMs)} s, ` +
      `fetched and opened ${seconds(performance.now() - uploadedMs)} s, ` +
      `${upLine.cuts + originLine.cuts + downLine.cuts - cuts} cuts, ` +
      `client + origin + proxy in one process: ${Math.round((peakBytes - idleBytes) / 1_048_576)} MiB above idle`,
  );
  assert.ok(peakBytes - idleBytes < 3 * 64 * 1_048_576);
});
