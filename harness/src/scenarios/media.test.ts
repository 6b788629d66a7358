// Pictures and voice messages between a person of a third-party provider and a native one, through the real gatekeeper:
// what arrives shows and sounds as it should, and says nothing that was in the file.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Client, Message } from '@drawbridge/client';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import { noisePng, plantedWord, recordedWav } from '../media-files.ts';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
let anna: Client;
let bob: Client;
let files: string;

before(async () => {
  network = await startSdkNetwork();
  files = join(network.folder, 'files');
  mkdirSync(files);
  // What a crash of an earlier run left in the open.
  const leftover = join(network.folder, 'people', 'anna', 'preparation');
  mkdirSync(leftover, { recursive: true });
  writeFileSync(join(leftover, 'half a picture'), 'pixels');
  [anna, bob] = await Promise.all([network.open('anna', 'skylark'), network.open('bob', 'citadel')]);
  assert.ok(!existsSync(leftover), 'removed when the folder is opened');
  for (const client of [anna, bob]) {
    await client.account.enlist();
    await client.connect();
  }
  await bob.account.optIn('skylark.example');
});
after(() => network.close());

const toBob = { provider: 'citadel.example', identifier: 'bob' };
const toAnna = { provider: 'skylark.example', identifier: 'anna' };

function write(name: string, bytes: Uint8Array): string {
  writeFileSync(join(files, name), bytes);
  return join(files, name);
}

async function arrival(client: Client, id: string): Promise<Message> {
  for await (const message of client.messages()) if (message.id === id) return message;
  return assert.fail('the messages ended');
}

function pointerOf(message: Message): AttachmentPointer {
  assert(message.body?.kind === 'attachment');
  return message.body.attachments[0]!;
}

async function fetched(client: Client, message: Message): Promise<Buffer> {
  const path = join(files, 'fetched');
  await client.files.save(message, 0, path);
  return readFileSync(path);
}

function copiesLeft(): string[] {
  return ['anna', 'bob'].flatMap(name => {
    return ['preparation', 'spool'].flatMap(place => {
      const folder = join(network.folder, 'people', name, place);
      return existsSync(folder) ? readdirSync(folder) : [];
    });
  });
}

function atOrigin(): string[] {
  const origin = join(network.folder, 'skylark', 'media', 'files');
  return existsSync(origin) ? readdirSync(origin, { recursive: true, encoding: 'utf8' }) : [];
}

for (const direction of ['anna → bob', 'bob → anna'] as const) {
  const ends = () => (direction === 'anna → bob' ? ([anna, bob, toBob] as const) : ([bob, anna, toAnna] as const));

  for (const as of ['path', 'File'] as const) {
    test(`a picture from a ${as}, ${direction}`, { timeout: 60_000 }, async () => {
      const [from, to, name] = ends();
      const path = write('me at home.png', noisePng(300, 200));
      assert.ok(readFileSync(path).includes(plantedWord));
      const source = as === 'path' ? { path } : { from: new File([readFileSync(path)], 'me at home.png') };
      const sent = await from.files.send(name, { ...source, caption: 'look' });
      const arrived = await arrival(to, sent.id);
      assert.equal(arrived.text, 'look');
      const { kind, mediaType, fileName, width, height, blurhash, thumbnail } = pointerOf(arrived);
      assert.deepEqual(
        { kind, mediaType, fileName, width, height },
        { kind: 'image', mediaType: 'image/png', fileName: 'picture.png', width: 300, height: 200 },
      );
      assert.match(blurhash ?? '', /^[0-9A-Za-z#$%*+,\-.:;=?@[\]^_{|}~]{28}$/);
      assert.ok(thumbnail !== undefined && thumbnail.length <= 16_384);
      assert.match(Buffer.from(thumbnail.subarray(0, 12)).toString('latin1'), /^RIFF[^]{4}WEBP$/);
      const bytes = await fetched(to, arrived);
      assert.deepEqual([bytes.readUInt32BE(16), bytes.readUInt32BE(20)], [300, 200]);
      assert.ok(!bytes.includes('PLANTED') && !bytes.includes('tEXt'));
      assert.deepEqual(copiesLeft(), []);
    });
  }

  test(`a voice message, ${direction}`, { timeout: 60_000 }, async () => {
    const [from, to, name] = ends();
    const path = write('recorded.wav', recordedWav(2));
    const sent = await from.files.send(name, { path, kind: 'voice' });
    const arrived = await arrival(to, sent.id);
    const { kind, mediaType, fileName, durationMs, waveform } = pointerOf(arrived);
    assert.deepEqual({ kind, mediaType, fileName }, { kind: 'voice', mediaType: 'audio/ogg', fileName: 'voice.ogg' });
    assert.ok(Math.abs(durationMs! - 2_000) <= 40, `${durationMs} ms`);
    assert.equal(waveform?.length, 64);
    assert.ok(waveform.subarray(2, 30).every(step => step < 12) && waveform.subarray(34, 62).every(step => step > 200));
    const bytes = await fetched(to, arrived);
    assert.ok(bytes.includes('OpusHead') && !bytes.includes('PLANTED'));
    assert.deepEqual(copiesLeft(), []);
  });
}

test('what can’t be cleaned leaves nothing anywhere; as a file it goes as it is', { timeout: 60_000 }, async () => {
  const broken = write('cut.png', noisePng(300, 200).subarray(0, 20_000));
  const before = atOrigin();
  await assert.rejects(anna.files.send(toBob, { path: broken }), { code: 'media-unreadable' });
  await assert.rejects(anna.files.send(toBob, { path: broken, kind: 'video' }), { code: 'media-unreadable' });
  await assert.rejects(anna.files.send(toBob, { path: broken, kind: 'voice' }), { code: 'media-unreadable' });
  assert.deepEqual(atOrigin(), before);
  assert.deepEqual(copiesLeft(), []);
  const sent = await anna.files.send(toBob, { path: broken, kind: 'file' });
  const arrived = await arrival(bob, sent.id);
  assert.deepEqual([pointerOf(arrived).kind, pointerOf(arrived).fileName], ['file', 'cut.png']);
  assert.ok((await fetched(bob, arrived)).equals(readFileSync(broken)), 'byte for byte');
});

test('a cancelled upload of a picture goes on where it was', { timeout: 60_000 }, async () => {
  const path = write('large.png', noisePng(2_048, 2_048));
  const stop = new AbortController();
  const cut = anna.files.send(toBob, {
    path,
    signal: stop.signal,
    onProgress: ({ bytes }) => {
      if (bytes > 6_000_000) stop.abort();
    },
  });
  await assert.rejects(cut, { code: 'cancelled' });
  assert.deepEqual(copiesLeft(), []);
  const seen: number[] = [];
  const sent = await anna.files.send(toBob, { path, onProgress: ({ bytes }) => void seen.push(bytes) });
  assert.ok(seen[0]! > 1_000_000, `the origin had kept ${seen[0]} bytes`);
  const bytes = await fetched(bob, await arrival(bob, sent.id));
  assert.deepEqual([bytes.readUInt32BE(16), bytes.includes('PLANTED')], [2_048, false]);
});
