// Files between a native person and one of a third-party provider, with the SDK alone, through the real gatekeeper: whole
// and right, or nothing and an error with a name.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import type { Client, FileSource, Message, SentFile, UnsentFile } from '@drawbridge/client';
import { systemClock } from '@drawbridge/client/clock';
import { fileLimits, Files } from '@drawbridge/client/files/files';
import type { FileProgress } from '@drawbridge/client/files/file-to-send';
import { spoolLimits } from '@drawbridge/client/files/spool';
import { MediaCopies } from '@drawbridge/client/files/media-copies';
import { ProviderSession } from '@drawbridge/client/account/provider-session';
import { encryptedSizeBytes } from '@drawbridge/e2ee/attachments';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
let anna: Client;
let bob: Client;
let sent: string;
let saved: string;

before(async () => {
  network = await startSdkNetwork();
  sent = join(network.folder, 'sent');
  saved = join(network.folder, 'saved');
  for (const folder of [sent, saved]) mkdirSync(folder);
  [anna, bob] = await Promise.all([network.open('anna', 'skylark'), network.open('bob', 'citadel')]);
  for (const client of [anna, bob]) {
    await client.account.enlist();
    await client.connect();
  }
  await bob.account.optIn('skylark.example');
});
after(() => network.close());

const bytes = randomBytes(300_000);
const spooled = (): string[] => {
  const spool = join(network.folder, 'people', 'anna', 'spool');
  return existsSync(spool) ? readdirSync(spool) : [];
};

async function* inPieces(all: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < all.length; at += 70_001) yield all.subarray(at, at + 70_001);
}

test('a File, a stream of the web, one of Node and a generator go like a path, and leave nothing', async () => {
  const hostile = new File([bytes], '../../..\\u202Eevil/report.pdf');
  const path = join(sent, 'stream of node');
  writeFileSync(path, bytes);
  const sources: readonly (SentFile & { readonly from: FileSource })[] = [
    { from: hostile },
    { from: new Blob([bytes]).stream(), name: 'of the web' },
    { from: createReadStream(path), name: 'of Node', sizeBytes: bytes.length },
    { from: inPieces(bytes), name: 'made as it goes' },
  ];
  for (const source of sources) {
    const arrived = await arrival(bob, (await anna.files.send(toBob, source)).id);
    assert.equal(pointerOf(arrived).fileName, source.name ?? 'report.pdf');
    const file = await bob.files.open(arrived, 0);
    assert.ok(Buffer.from(await (await file.blob()).arrayBuffer()).equals(bytes));
    await file.close();
    await bob.files.forget(arrived, 0);
    assert.deepEqual(spooled(), []);
  }
});

test('a source that breaks, lies about its size, hangs or is not a source is refused, and leaves nothing', async () => {
  const broken = new ReadableStream<Uint8Array>({ pull: controller => controller.error(new Error('gone')) });
  const texts = new ReadableStream({ start: controller => controller.enqueue('text') });
  let cancelled = 0;
  const hangs = (): ReadableStream<Uint8Array> => new ReadableStream({ cancel: () => void (cancelled += 1) });
  const nobody = { provider: 'citadel.example', identifier: 'nobody' };
  for (const [source, code] of [
    [{ from: broken }, 'file-unreadable'],
    [{ from: inPieces(bytes), sizeBytes: bytes.length + 1 }, 'file-changed'],
    [{ from: inPieces(bytes), sizeBytes: bytes.length - 1 }, 'file-changed'],
    [{ from: inPieces(bytes), sizeBytes: spoolLimits.maxBytes + 1 }, 'file-too-large'],
    [{ from: hangs(), signal: AbortSignal.timeout(500) }, 'cancelled'],
    [{ from: hangs(), signal: AbortSignal.abort() }, 'cancelled'],
    [{ from: hangs(), name: 'n'.repeat(513) }, 'content-refused'],
    [{ from: texts }, 'invalid-argument'],
    [{ from: texts }, 'invalid-argument'],
    [{ from: new Blob([bytes]), caption: 'x'.repeat(4_097) }, 'content-refused'],
  ] as const) {
    await assert.rejects(anna.files.send(toBob, source), { code });
  }
  await assert.rejects(anna.files.send(nobody, { from: hangs() }), { code: 'not-found' });
  assert.equal(cancelled, 4, 'its owner hears that nobody reads it any more');
  assert.deepEqual(spooled(), []);
  assert.deepEqual(anna.files.unsent(), []);
});

test('what came goes to a stream, in parts as they are asked for, or as a Blob', async () => {
  const arrived = await arrival(bob, (await anna.files.send(toBob, { from: new Blob([bytes]), name: 'x' })).id);
  const parts: Uint8Array[] = [];
  const progress: FileProgress[] = [];
  const to = (): WritableStream<Uint8Array> => new WritableStream({ write: part => void parts.push(part) });
  await bob.files.save(arrived, 0, to(), { onProgress: each => void progress.push(each) });
  assert.ok(Buffer.concat(parts).equals(bytes));
  assert.deepEqual(progress.at(-1), { bytes: bytes.length, totalBytes: bytes.length });

  const full = new WritableStream({ write: () => Promise.reject(new Error('no room')) });
  await assert.rejects(bob.files.save(arrived, 0, full), { code: 'file-not-written' });
  const slow = new WritableStream({ write: () => new Promise(resolve => setTimeout(resolve, 100)) });
  await assert.rejects(bob.files.save(arrived, 0, slow, { signal: AbortSignal.timeout(20) }), { code: 'cancelled' });
  await assert.rejects(bob.files.save(arrived, 0, full), { code: 'file-not-written' });
  for (const none of [5, {}, undefined] as unknown[]) {
    await assert.rejects(bob.files.save(arrived, 0, none as WritableStream), { code: 'invalid-argument' });
  }

  const file = await bob.files.open(arrived, 0);
  const part = { startBytes: 100_001, endBytes: 200_000 };
  assert.ok((await collected(file.stream(part))).equals(bytes.subarray(100_001, 200_000)));
  const blob = await file.blob(part);
  assert.deepEqual([blob.size, blob.type], [99_999, '']);
  for (const startBytes of [-1, 0.5, NaN])
    await assert.rejects(file.blob({ startBytes }), { code: 'invalid-argument' });
  const reader = file.stream().getReader();
  await reader.read();
  await reader.cancel();
  assert.equal(await file.blob({ endBytes: 1 }).then(one => one.size), 1, 'the file is still open');
  await file.close();
  await assert.rejects(file.blob(), { code: 'closed' });
  await bob.files.forget(arrived, 0);
});

const toBob = { provider: 'citadel.example', identifier: 'bob' };
const toAnna = { provider: 'skylark.example', identifier: 'anna' };

function made(name: string, size: number): { path: string; bytes: Buffer } {
  const path = join(sent, name);
  const bytes = randomBytes(size);
  writeFileSync(path, bytes);
  return { path, bytes };
}

async function arrival(client: Client, id: string): Promise<Message> {
  for await (const message of client.messages()) if (message.id === id) return message;
  return assert.fail('the messages ended');
}

function pointerOf(message: Message): AttachmentPointer {
  assert(message.body?.kind === 'attachment');
  return message.body.attachments[0]!;
}

for (const [size, direction] of [0, 1, 5 * 1_048_576].flatMap(each => [
  [each, 'anna → bob'] as const,
  [each, 'bob → anna'] as const,
])) {
  test(`${size} bytes, ${direction}`, { timeout: 30_000 }, async () => {
    const [from, to, name] =
      direction === 'anna → bob' ? ([anna, bob, toBob] as const) : ([bob, anna, toAnna] as const);
    const { path, bytes } = made(`${size} ${direction}.bin`, size);
    const up: FileProgress[] = [];
    const down: FileProgress[] = [];
    const message = await from.files.send(name, {
      path,
      name: 'holiday.jpg',
      mimeType: 'image/jpeg',
      caption: 'look',
      kind: 'file',
      onProgress: progress => void up.push(progress),
    });
    const arrived = await arrival(to, message.id);
    assert.equal(arrived.text, 'look');
    const { fileName, mediaType, kind, sizeBytes } = pointerOf(arrived);
    assert.deepEqual(
      { fileName, mediaType, kind, sizeBytes },
      { fileName: 'holiday.jpg', mediaType: 'image/jpeg', kind: 'file', sizeBytes: size },
    );
    const target = join(saved, 'holiday.jpg');
    await to.files.save(arrived, 0, target, { onProgress: progress => void down.push(progress) });
    assert.ok(readFileSync(target).equals(bytes));
    const totalBytes = encryptedSizeBytes(size);
    assert.deepEqual(up.at(-1), { bytes: totalBytes, totalBytes });
    assert.deepEqual(down.at(-1), { bytes: totalBytes, totalBytes });
    // The sender's own copy lies there too.
    await from.files.save(message, 0, target);
    assert.ok(readFileSync(target).equals(bytes), 'replaced by the same');
    assert.deepEqual(readdirSync(saved), ['holiday.jpg']);
  });
}

test('an app whose service has a login of its own sends files: it brings proofs and the session', async () => {
  // Stands for the app's service, which would ask the kit for `issueProof` and `beginSession`.
  const service = new ProviderSession(
    { url: network.provider, identifier: 'dora', password: 'correct horse' },
    { ca: readFileSync(network.ca, 'utf8') },
  );
  await service.signUp();
  const asked: boolean[] = [];
  const dora = await network.open('dora', 'skylark', {
    proofSource: request => service.fetchProof(request),
    mediaSession: async ({ renew }) => {
      asked.push(renew);
      // The first has ended meanwhile, as sessions do.
      const session = renew ? await service.session() : 'A'.repeat(43);
      return { session, mediaUrl: (await service.mediaEndpoint())! };
    },
  });
  await dora.account.enlist();
  await dora.connect();
  const { path, bytes } = made('own login', 100_000);
  const arrived = await arrival(bob, (await dora.files.send(toBob, { path })).id);
  await bob.files.save(arrived, 0, join(saved, 'own login'));
  assert.ok(readFileSync(join(saved, 'own login')).equals(bytes));
  assert.deepEqual(asked, [false, true]);
  rmSync(join(saved, 'own login'));
});

test('a flipped byte at the origin is refused and leaves nothing', async () => {
  const { path, bytes } = made('flipped', 300_000);
  const origin = join(network.folder, 'skylark', 'media', 'files');
  const before = new Set(readdirSync(origin, { recursive: true, encoding: 'utf8' }));
  const message = await anna.files.send(toBob, { path });
  const arrived = await arrival(bob, message.id);
  const stored = readdirSync(origin, { recursive: true, encoding: 'utf8' })
    .filter(each => !before.has(each))
    .map(each => join(origin, each))
    .filter(each => statSync(each).isFile());
  assert.equal(stored.length, 1);
  const encrypted = readFileSync(stored[0]!);
  assert.ok(!encrypted.includes(bytes.subarray(0, 32)), 'the origin has ciphertext');
  encrypted[200_000]! ^= 1;
  writeFileSync(stored[0]!, encrypted);
  const files = readdirSync(saved);
  await assert.rejects(bob.files.save(arrived, 0, join(saved, 'flipped')), { code: 'file-altered' });
  writeFileSync(join(saved, 'kept'), 'what was there');
  await assert.rejects(bob.files.save(arrived, 0, join(saved, 'kept')), { code: 'file-altered' });
  assert.equal(readFileSync(join(saved, 'kept'), 'utf8'), 'what was there');
  assert.deepEqual(readdirSync(saved), [...files, 'kept'].sort());
  encrypted[200_000]! ^= 1;
  writeFileSync(stored[0]!, encrypted);
  await bob.files.save(arrived, 0, join(saved, 'kept'));
  assert.ok(readFileSync(join(saved, 'kept')).equals(bytes));
});

test('what goes wrong has a name, and leaves nothing', async () => {
  const { path } = made('good', 1_000);
  const arrived = await arrival(bob, (await anna.files.send(toBob, { path })).id);
  const pointer = pointerOf(arrived);
  const as = (changes: Partial<AttachmentPointer>) => ({
    author: arrived.author,
    body: { kind: 'attachment' as const, attachments: [{ ...pointer, ...changes }] },
  });
  const files = readdirSync(saved);
  const to = join(saved, 'nothing');
  const elsewhere = pointer.url.replace(/[^/]+$/, 'A'.repeat(43));
  await assert.rejects(bob.files.save(arrived, 1, to), { code: 'unknown-message' });
  await assert.rejects(bob.files.save({ author: arrived.author }, 0, to), { code: 'unknown-message' });
  await assert.rejects(bob.files.save(as({ url: elsewhere }), 0, to), { code: 'file-unavailable' });
  await assert.rejects(bob.files.save(as({ url: 'https://elsewhere.example/x' }), 0, to), { code: 'file-unavailable' });
  await assert.rejects(bob.files.save(as({ key: new Uint8Array(64) }), 0, to), { code: 'file-altered' });
  await assert.rejects(bob.files.save(as({ sizeBytes: Number.MAX_SAFE_INTEGER }), 0, to), { code: 'file-altered' });
  await assert.rejects(bob.files.save(arrived, 0, join(saved, 'no folder', 'x')), { code: 'file-not-written' });
  await assert.rejects(bob.files.save(arrived, 0, sent), { code: 'file-not-written' });
  await assert.rejects(bob.files.save(arrived, 0, ''), { code: 'invalid-argument' });
  await assert.rejects(bob.files.save(arrived, 0, to, { signal: AbortSignal.abort() }), { code: 'cancelled' });
  await assert.rejects(anna.files.send(toBob, { path: join(sent, 'none') }), { code: 'file-unreadable' });
  await assert.rejects(anna.files.send(toBob, { path: sent }), { code: 'file-unreadable' });
  await assert.rejects(anna.files.send(toBob, { path: '' }), { code: 'invalid-argument' });
  await assert.rejects(anna.files.send(toBob, { path, name: 'n'.repeat(513) }), { code: 'content-refused' });
  await assert.rejects(anna.files.send(toBob, { path, signal: AbortSignal.abort() }), { code: 'cancelled' });
  // What could only not be written is here already, and needs nobody any more.
  await bob.files.forget(arrived, 0);
  await bob.account.optOut('skylark.example');
  await assert.rejects(bob.files.save(arrived, 0, to), { code: 'file-unavailable' });
  await bob.account.optIn('skylark.example');
  await bob.disconnect();
  await assert.rejects(bob.files.save(arrived, 0, to), { code: 'not-connected' });
  await bob.connect();
  await bob.files.save(arrived, 0, to);
  assert.deepEqual(readdirSync(saved), [...files, 'nothing'].sort());
});

test('a cancelled upload goes on where it was; a changed file is sent again under another key', async () => {
  const { path, bytes } = made('long', 24 * 1_048_576);
  const stop = new AbortController();
  const sending = anna.files.send(toBob, {
    path,
    signal: stop.signal,
    onProgress: ({ bytes: done }) => {
      if (done > 20_000_000) stop.abort();
    },
  });
  await assert.rejects(sending, { code: 'cancelled' });
  const first: number[] = [];
  const again = new AbortController();
  const resumed = anna.files.send(toBob, {
    path,
    signal: again.signal,
    onProgress: ({ bytes: done }) => {
      first.push(done);
      again.abort();
    },
  });
  await assert.rejects(resumed, { code: 'cancelled' });
  assert.ok(first[0]! > 1_000_000, `the origin had kept ${first[0]} bytes`);
  const message = await anna.files.send(toBob, { path });
  const arrived = await arrival(bob, message.id);
  await bob.files.save(arrived, 0, join(saved, 'long'));
  assert.ok(readFileSync(join(saved, 'long')).equals(bytes));

  // Same size and times, another text: the look of it does not tell, the sealing does.
  const times = statSync(path);
  const cut = new AbortController();
  const broken = anna.files.send(toBob, { path, signal: cut.signal, onProgress: () => cut.abort() });
  await assert.rejects(broken, { code: 'cancelled' });
  bytes[100]! ^= 1;
  writeFileSync(path, bytes);
  utimesSync(path, times.atime, times.mtime);
  if (statSync(path).mtimeMs === times.mtimeMs) {
    await assert.rejects(anna.files.send(toBob, { path }), { code: 'file-changed' });
  }
  const anew = await arrival(bob, (await anna.files.send(toBob, { path })).id);
  assert.notDeepEqual(pointerOf(anew).key, pointerOf(arrived).key);
  await bob.files.save(anew, 0, join(saved, 'long'));
  assert.ok(readFileSync(join(saved, 'long')).equals(bytes));

  const growing = anna.files.send(toBob, {
    path,
    onProgress: ({ bytes: done }) => {
      if (done < 1_000_000) appendFileSync(path, 'more');
    },
  });
  await assert.rejects(growing, { code: 'file-changed' });
});

const collected = async (parts: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
};

/** What lies at anna's origin for the file that is sent in `work`. */
async function sentFile(work: () => Promise<Message>): Promise<{ message: Message; stored: string }> {
  const origin = join(network.folder, 'skylark', 'media', 'files');
  const before = new Set(readdirSync(origin, { recursive: true, encoding: 'utf8' }));
  const message = await work();
  const stored = readdirSync(origin, { recursive: true, encoding: 'utf8' })
    .filter(each => !before.has(each))
    .map(each => join(origin, each))
    .filter(each => statSync(each).isFile());
  assert.equal(stored.length, 1);
  return { message, stored: stored[0]! };
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}

test('plays while it arrives, from any place; the rest is fetched after a restart', { timeout: 60_000 }, async () => {
  const { path, bytes } = made('film', 24 * 1_048_576 + 5);
  const { message, stored } = await sentFile(() => anna.files.send(toBob, { path, kind: 'file' }));
  let arrived = await arrival(bob, message.id);
  const media = join(network.folder, 'people', 'bob', 'media');
  assert.ok(!existsSync(media) || readdirSync(media).length === 0);

  const film = await bob.files.open(arrived, 0);
  assert.equal(film.sizeBytes, bytes.length);
  const [copy] = readdirSync(media);
  const copyBytes = (): number => statSync(join(media, copy!)).size;
  assert.equal(copyBytes(), 0, 'nothing is fetched before something is read');
  assert.ok((await collected(film.read({ endBytes: 300_000 }))).equals(bytes.subarray(0, 300_000)));
  await new Promise(resolve => setTimeout(resolve, 200));
  const early = copyBytes();
  assert.ok(early >= 300_000 && early < 2_000_000, `${early} bytes have come`);
  const middle = await collected(film.read({ startBytes: 9_000_001, endBytes: 9_100_000 }));
  assert.ok(middle.equals(bytes.subarray(9_000_001, 9_100_000)));
  await new Promise(resolve => setTimeout(resolve, 200));
  assert.ok(copyBytes() < 11_000_000, 'the player takes its time, so the sender waits');
  const both = await Promise.all([
    collected(film.read({ startBytes: 5, endBytes: 2_000_000 })),
    collected(film.read({ startBytes: 8_500_000, endBytes: 9_000_000 })),
  ]);
  assert.ok(both[0].equals(bytes.subarray(5, 2_000_000)) && both[1].equals(bytes.subarray(8_500_000, 9_000_000)));
  assert.deepEqual([statSync(media).mode & 0o777, statSync(join(media, copy!)).mode & 0o777], [0o700, 0o600]);
  assert.ok(!readFileSync(join(media, copy!)).includes(bytes.subarray(0, 32)), 'it stays encrypted');
  assert.ok(!stored.includes(copy!), 'and does not tell which file of the origin it is');
  const reading = film.read({ startBytes: 20_000_000 });
  await film.close();
  await assert.rejects(reading.next(), { code: 'closed' });

  await bob.close();
  const kept = copyBytes();
  bob = await network.open('bob', 'citadel');
  await bob.connect();
  assert.equal(copyBytes(), kept);
  // What is there is not fetched again: at the origin it is spoilt by now.
  flip(stored, 1_000);
  arrived = (await bob.chats.messages({ limit: 1 }))[0]!.message;
  const target = join(saved, 'film');
  await bob.files.save(arrived, 0, target);
  assert.ok(readFileSync(target).equals(bytes));
  assert.deepEqual(readdirSync(media), [], 'nothing is kept of a file that was saved');
  await assert.rejects(bob.files.save(arrived, 0, target), { code: 'file-altered' });
  flip(stored, 1_000);

  // A copy that was changed on the disk while nothing ran is fetched again; a file that is altered leaves no copy.
  const again = await bob.files.open(arrived, 0);
  await collected(again.read({ endBytes: 1_000_000 }));
  await again.close();
  flip(join(media, readdirSync(media)[0]!), 70_000);
  await bob.files.save(arrived, 0, target);
  assert.ok(readFileSync(target).equals(bytes));
  flip(stored, 20_000_000);
  await assert.rejects(bob.files.save(arrived, 0, join(saved, 'altered')), { code: 'file-altered' });
  assert.deepEqual(readdirSync(media), []);
  const altered = await bob.files.open(arrived, 0);
  assert.ok((await collected(altered.read({ endBytes: 5_000_000 }))).equals(bytes.subarray(0, 5_000_000)));
  await assert.rejects(collected(altered.read()), { code: 'file-altered' });
  await altered.close();
  assert.ok(!readdirSync(saved).some(name => name.startsWith('altered')));
  flip(stored, 20_000_000);

  // Whole, it needs no network any more; forgotten, it does.
  const whole = await bob.files.open(arrived, 0);
  assert.ok((await collected(whole.read())).equals(bytes));
  await whole.close();
  await bob.disconnect();
  const offline = await bob.files.open(arrived, 0);
  assert.ok((await collected(offline.read({ startBytes: 24_000_000 }))).equals(bytes.subarray(24_000_000)));
  await offline.close();
  await bob.files.forget(arrived, 0);
  assert.deepEqual(readdirSync(media), []);
  const gone = await bob.files.open(arrived, 0);
  await assert.rejects(collected(gone.read()), { code: 'not-connected' });
  await gone.close();
  await bob.connect();
});

/** Sends a file and closes the client when this number of its bytes has left; the client is opened again, not connected. */
async function interrupted(file: SentFile, afterBytes: number): Promise<void> {
  const closing = Promise.withResolvers<void>();
  const sending = anna.files.send(toBob, {
    ...file,
    caption: 'at last',
    onProgress: ({ bytes }) => {
      if (bytes > afterBytes) closing.resolve(anna.close());
    },
  });
  await assert.rejects(sending, { code: 'closed' });
  await closing.promise;
  anna = await network.open('anna', 'skylark');
}

/** What is reported about unsent files until one is sent or has failed. */
async function toldOf(client: Client, work: () => Promise<unknown>): Promise<UnsentFile[]> {
  const events = client.events();
  await work();
  const told: UnsentFile[] = [];
  for await (const event of events) {
    if (event.kind !== 'file') continue;
    told.push(event.file);
    if (event.file.state !== 'sending') break;
  }
  return told;
}

test('a file that was being sent goes on by itself after a restart, once', { timeout: 60_000 }, async () => {
  const { path, bytes } = made('interrupted', 24 * 1_048_576);
  await interrupted({ path }, 12_000_000);
  assert.deepEqual(
    anna.files.unsent().map(({ name, state }) => [name, state]),
    [['interrupted', 'waiting']],
  );
  const told = await toldOf(anna, () => anna.connect());
  assert.equal(told.at(-1)!.state, 'sent');
  assert.ok(told[0]!.progress!.bytes > 5_000_000, 'where the upload broke off');
  assert.deepEqual(anna.files.unsent(), []);
  const [last] = await anna.chats.messages({ limit: 1 });
  const arrived = await arrival(bob, last!.message.id);
  assert.equal(arrived.text, 'at last');
  await bob.files.save(arrived, 0, join(saved, 'interrupted'));
  assert.ok(readFileSync(join(saved, 'interrupted')).equals(bytes));

  // A person who sends the same file again, because they don't know, doesn't send it twice.
  await interrupted({ path }, 12_000_000);
  const count = (await anna.chats.messages()).length;
  await anna.connect();
  const progress: number[] = [];
  const again = await anna.files.send(toBob, {
    path,
    caption: 'at last',
    onProgress: each => progress.push(each.bytes),
  });
  assert.ok(progress[0]! > 5_000_000);
  await arrival(bob, again.id);
  assert.equal((await anna.chats.messages()).length, count + 1);
  assert.deepEqual(anna.files.unsent(), []);

  // Changed meanwhile: nothing of it is sent, and a person hears of it. Sent again, it has another key.
  await interrupted({ path }, 12_000_000);
  bytes[0]! ^= 1;
  writeFileSync(path, bytes);
  utimesSync(path, new Date(), new Date(Date.now() + 5_000));
  const [failed] = await toldOf(anna, () => anna.connect());
  assert.equal(failed!.failure?.code, 'file-changed');
  assert.deepEqual(
    anna.files.unsent().map(({ state, failure }) => [state, failure?.code]),
    [['failed', 'file-changed']],
  );
  const anew = await anna.files.send(toBob, { path, caption: 'at last' });
  assert.deepEqual(anna.files.unsent(), [], 'this is what became of it');
  assert.notDeepEqual(pointerOf(anew).key, pointerOf(again).key);
  await bob.files.save(await arrival(bob, anew.id), 0, join(saved, 'interrupted'));
  assert.ok(readFileSync(join(saved, 'interrupted')).equals(bytes));

  // Gone meanwhile; then given up.
  await interrupted({ path }, 12_000_000);
  rmSync(path);
  const [lost] = await toldOf(anna, () => anna.connect());
  assert.equal(lost!.failure?.code, 'file-unreadable');
  await anna.files.dropUnsent(lost!.id);
  assert.deepEqual(anna.files.unsent(), []);
});

test('what was given as a stream lies encrypted, and goes on by itself after a restart, once', {
  timeout: 60_000,
}, async () => {
  const long = randomBytes(24 * 1_048_576);
  await interrupted({ from: inPieces(long), name: 'given' }, 12_000_000);
  assert.deepEqual(
    anna.files.unsent().map(({ name, state, path }) => [name, state, path]),
    [['given', 'waiting', undefined]],
  );
  const [lying, ...others] = spooled();
  assert.deepEqual(others, []);
  const path = join(network.folder, 'people', 'anna', 'spool', lying!);
  assert.ok(!readFileSync(path).includes(long.subarray(0, 16)) && statSync(path).size > long.length);
  const told = await toldOf(anna, () => anna.connect());
  assert.equal(told.at(-1)!.state, 'sent');
  assert.ok(told[0]!.progress!.bytes > 5_000_000, 'where the upload broke off');
  const [last] = await anna.chats.messages({ limit: 1 });
  const target = join(saved, 'given');
  await bob.files.save(await arrival(bob, last!.message.id), 0, target);
  assert.ok(readFileSync(target).equals(long));
  assert.deepEqual([anna.files.unsent(), spooled()], [[], []]);

  // Given again while the first waits: the same bytes are the same file, wherever they came from.
  await interrupted({ from: new Blob([long]), name: 'given' }, 12_000_000);
  const count = (await anna.chats.messages()).length;
  await anna.connect();
  const progress: number[] = [];
  const onProgress = ({ bytes }: FileProgress): void => void progress.push(bytes);
  await anna.files.send(toBob, { from: inPieces(long), name: 'given', caption: 'at last', onProgress });
  assert.ok(progress[0]! > 5_000_000);
  assert.equal((await anna.chats.messages()).length, count + 1);
  assert.deepEqual([anna.files.unsent(), spooled()], [[], []]);

  // Cancelled: nothing lies there any more, and yet the upload goes on when the same bytes are given again.
  const stop = new AbortController();
  const cut = anna.files.send(toBob, {
    ...{ from: inPieces(long), signal: stop.signal },
    onProgress: ({ bytes }) => void (bytes > 12_000_000 && stop.abort()),
  });
  await assert.rejects(cut, { code: 'cancelled' });
  assert.deepEqual([anna.files.unsent(), spooled()], [[], []]);
  progress.length = 0;
  await anna.files.send(toBob, { from: inPieces(long), onProgress });
  assert.ok(progress[0]! > 5_000_000);

  // Changed on the disk while nothing ran: nothing of it is sent.
  await interrupted({ from: inPieces(long) }, 1_000_000);
  flip(join(network.folder, 'people', 'anna', 'spool', spooled()[0]!), 20_000_000);
  const [failed] = await toldOf(anna, () => anna.connect()).then(all => all.slice(-1));
  assert.equal(failed!.failure?.code, 'file-unreadable');
  await anna.files.dropUnsent(failed!.id);
  assert.deepEqual([anna.files.unsent(), spooled()], [[], []]);
});

test('providers without room, without a place, and without sense', async () => {
  const pki = await ensureDevPki(join(network.folder, 'pki'), ['citadel.example', 'skylark.example']);
  const trust = { ca: readFileSync(pki.caFile, 'utf8') };
  const copies = new MediaCopies({ folder: saved, nameKey: () => new Uint8Array(32), nowMs: Date.now });
  const preparationFolder = join(network.folder, 'preparation');
  const pace = { clock: systemClock, random: Math.random };
  const common = { trust, placeTrust: trust, nowMs: Date.now, pace, copies, preparationFolder, noteSaving: () => {} };
  const { path } = made('anything', 3_000);
  const account = { identifier: 'carol', password: 'correct horse' };
  const sendAt = async (url: string, password = account.password): Promise<unknown> => {
    const files = new Files({ place: new ProviderSession({ ...account, url, password }, trust), ...common });
    return files.send({ path }, async pointer => pointer).finally(() => files.close());
  };
  for (const [media, code] of [
    ['none', 'no-media-origin'],
    [{ limits: { bytesPerUser: 2_000 } }, 'quota-used-up'],
    [{ limits: { maxUploadBytes: 2_000 } }, 'file-too-large'],
  ] as const) {
    const provider = await startDevProvider({ folder: join(network.folder, code), pki, gatekeepers: [], media });
    try {
      await new ProviderSession({ ...account, url: provider.issuer }, trust).signUp();
      await assert.rejects(sendAt(provider.issuer), { code });
      await assert.rejects(sendAt(provider.issuer, 'wrong'), { code: 'sign-in-refused' });
    } finally {
      await provider.close();
    }
  }

  // Its first path segment says what it answers to an upload.
  const answers: RequestListener = (request, response) => {
    request.resume();
    const [, place = '', rest] = /^\/([0-9]+)(.*)$/.exec(request.url ?? '') ?? [];
    if (rest !== '/v1/sessions') return response.writeHead(Number(place)).end();
    const media = place === '599' ? 'http://localhost/media' : `https://localhost:${port}/${place}/media`;
    return response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ session: 's', media }));
  };
  const tls = { cert: readFileSync(pki.certFile), key: readFileSync(pki.keyFile) };
  const odd = createServer(tls, answers).listen(0, '127.0.0.1');
  await new Promise(resolve => odd.once('listening', resolve));
  const { port } = odd.address() as AddressInfo;
  try {
    for (const [status, code] of [
      [418, 'provider-refused'],
      [404, 'no-media-origin'],
      [401, 'sign-in-refused'],
      [599, 'protocol-error'],
    ] as const) {
      await assert.rejects(sendAt(`https://localhost:${port}/${status}`), { code });
    }
  } finally {
    odd.close();
    odd.closeAllConnections();
  }

  const files = new Files({ place: undefined, ...common });
  await assert.rejects(
    files.send({ path }, async pointer => pointer),
    { code: 'no-media-origin' },
  );
  files.close();
  await assert.rejects(
    files.send({ path }, async pointer => pointer),
    { code: 'closed' },
  );
});

test('a bounded number of transfers at once', async () => {
  const { path } = made('many', 2_000_000);
  const sends = Array.from({ length: fileLimits.transfers + 2 }, () => anna.files.send(toBob, { path }));
  const results = await Promise.allSettled(sends);
  const refused = results.filter(each => each.status === 'rejected');
  assert.deepEqual(
    refused.map(each => (each.reason as { code?: unknown }).code),
    ['too-many-requests', 'too-many-requests'],
  );
});
