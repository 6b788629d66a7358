// Videos as phones and editors leave them: place, names and times planted in every place that a container has for them.
// Judged by a search for the planted words, by the container's boxes, and by ffprobe and ffmpeg where they are installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isBlurhashValid } from 'blurhash';
import fc from 'fast-check';
import {
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedVideoPacketSource,
  FilePathSource,
  FilePathTarget,
  Input,
  MkvOutputFormat,
  MP4,
  Mp4OutputFormat,
  Output,
  type OutputFormat,
  WebMOutputFormat,
} from 'mediabunny';
import sharp from 'sharp';
import { ClientError } from '../errors.ts';
import { fileAt } from '../files/local-file.ts';
import { MediaPreparation, type MediaToSend, type PreparedMedia } from './media-preparation.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-videos-'));
const copies = join(folder, 'preparation');
const noFfmpeg = join(folder, 'no ffmpeg');
const preparation = new MediaPreparation(copies, { ffmpeg: noFfmpeg });
/** Some changed files keep a reader busy for ever: it is ended. */
const impatient = new MediaPreparation(copies, { ffmpeg: noFfmpeg, timeoutMs: 5_000 });
after(() => rmSync(folder, { recursive: true, force: true }));

const planted = 'PLANTED';
const never = new AbortController().signal;

async function prepare(path: string, options: Partial<MediaToSend> = {}): Promise<PreparedMedia> {
  return preparation.prepare({ file: await fileAt(path), kind: undefined, quality: 'standard', ...options }, never);
}

function leftovers(): string[] {
  return readdirSync(folder).includes('preparation') ? readdirSync(copies) : [];
}

/** A lossy WebP is one key frame of VP8. */
async function keyFrame(background: string): Promise<Uint8Array> {
  const webp = await sharp({ create: { width: 160, height: 96, channels: 3, background } })
    .webp()
    .toBuffer();
  const at = webp.indexOf('VP8 ');
  return Uint8Array.from(webp.subarray(at + 8, at + 8 + webp.readUInt32LE(at + 4)));
}

/** Three seconds of four frames each, turned by a quarter, with all tags that the library writes. */
async function makeVideo(name: string, format: OutputFormat, turned: boolean): Promise<string> {
  const path = join(folder, name);
  const output = new Output({ format, target: new FilePathTarget(path) });
  const source = new EncodedVideoPacketSource('vp8');
  output.addVideoTrack(source, { name: `${planted} track`, languageCode: 'deu', ...(turned ? { rotation: 90 } : {}) });
  output.setMetadataTags({
    title: `${planted} title`,
    artist: `${planted} artist`,
    comment: `${planted} comment`,
    date: new Date('2026-11-23'),
    raw: { 'com.apple.quicktime.location.ISO6709': `+51.5074-000.1278/${planted}`, LOCATION: `${planted} place` },
  });
  await output.start();
  const frames = await Promise.all(['red', 'green', 'blue'].map(keyFrame));
  const decoderConfig = { codec: 'vp8', codedWidth: 160, codedHeight: 96 };
  for (let at = 0; at < 12; at += 1) {
    await source.add(new EncodedPacket(frames[Math.floor(at / 4)]!, 'key', at / 4, 1 / 4), { decoderConfig });
  }
  await output.finalize();
  return path;
}

function box(type: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(body.length + 8);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, body]);
}

function boxes(bytes: Buffer): { type: string; at: number; size: number }[] {
  const found = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = bytes.readUInt32BE(at) === 1 ? Number(bytes.readBigUInt64BE(at + 8)) : bytes.readUInt32BE(at);
    found.push({ type: bytes.toString('latin1', at + 4, at + 8), at, size });
    at += Math.max(8, size);
  }
  return found;
}

/** Adds what phones and cameras write: `©xyz` and `loci` in `moov/udta`, XMP in a `uuid`, words in a `free`. */
async function phoneVideo(): Promise<string> {
  const path = await makeVideo('phone.mp4', new Mp4OutputFormat({ fastStart: false, metadataFormat: 'mdta' }), true);
  const bytes = readFileSync(path);
  const moov = boxes(bytes).at(-1)!;
  assert.equal(moov.type, 'moov', 'the test can add to it');
  const place = Buffer.from(`\0\x1c\x15\xc7+51.5074-000.1278/${planted}`, 'latin1');
  const udta = box('udta', box('\xa9xyz', place), box('loci', Buffer.from(`\0\0\0\0\x15\xc7${planted} loci\0`)));
  bytes.writeUInt32BE(moov.size + udta.length, moov.at);
  const xmp = box('uuid', Buffer.from('be7acfcb97a942e89c71999491e3afac', 'hex'), Buffer.from(`<x>${planted} xmp</x>`));
  writeFileSync(path, Buffer.concat([bytes, udta, xmp, box('free', Buffer.from(`${planted} free`))]));
  return path;
}

function checkClean(path: string): void {
  const bytes = readFileSync(path);
  assert.ok(!bytes.includes(planted), 'a planted word is in it');
  assert.ok(!bytes.includes('+51.5'), 'a place is in it');
}

test('an MP4 of a phone: no place, no names, no times; upright; its index in front', async () => {
  const path = await phoneVideo();
  await using prepared = await prepare(path);
  assert.equal(prepared.kind, 'video');
  assert.equal(prepared.fileName, 'video.mp4');
  assert.deepEqual(prepared.facts, { mediaType: 'video/mp4', width: 96, height: 160, durationMs: 3_000 });
  checkClean(prepared.file.path);
  const bytes = readFileSync(prepared.file.path);
  const types = boxes(bytes).map(each => each.type);
  assert.ok(types.indexOf('moov') >= 0 && types.indexOf('moov') < types.indexOf('mdat'), types.join(' '));
  assert.deepEqual([bytes.includes('udta'), bytes.includes('meta'), bytes.includes('uuid')], [false, false, false]);
  const header = bytes.indexOf('mvhd');
  assert.deepEqual([...bytes.subarray(header + 8, header + 16)], Array(8).fill(0), 'created and changed: not known');
  using input = new Input({ source: new FilePathSource(prepared.file.path), formats: [MP4] });
  assert.deepEqual(await input.getMetadataTags(), {});
  const track = await input.getPrimaryVideoTrack();
  assert.deepEqual([await track?.getRotation(), (await track?.computePacketStats())?.packetCount], [90, 12]);

  // Later, elsewhere in the file system, the same bytes.
  await new Promise(resolve => setTimeout(resolve, 1_100));
  await using again = await prepare(path);
  assert.equal(again.sha256, prepared.sha256);
});

test('a WebM stays one, and says nothing', async () => {
  const path = await makeVideo('a.webm', new WebMOutputFormat(), false);
  assert.ok(readFileSync(path).includes(planted));
  await using prepared = await prepare(path);
  // Nothing says how long the last frame stands.
  assert.deepEqual(prepared.facts, { mediaType: 'video/webm', width: 160, height: 96, durationMs: 2_750 });
  checkClean(prepared.file.path);
  await using again = await prepare(path);
  assert.equal(again.sha256, prepared.sha256);
});

/** Three seconds, red, green and blue, of which an edit list shows `parts`, in milliseconds of the film. */
async function edited(name: string, parts: readonly (readonly [atMs: number, lengthMs: number])[], rate = 1) {
  const path = await makeVideo(name, new Mp4OutputFormat({ fastStart: false }), false);
  const bytes = readFileSync(path);
  const moov = boxes(bytes).at(-1)!;
  const inside = bytes.subarray(moov.at + 8);
  const header = boxes(inside).find(each => each.type === 'mvhd')!;
  const track = boxes(inside).find(each => each.type === 'trak')!;
  const media = inside.subarray(track.at + 8);
  const timescale = (at: number): number => inside.readUInt32BE(at + 8 + 12);
  const mdhd = media.indexOf('mdhd');
  const list = Buffer.alloc(8 + 12 * parts.length);
  list.writeUInt32BE(parts.length, 4);
  for (const [entry, [atMs, lengthMs]] of parts.entries()) {
    const at = 8 + 12 * entry;
    list.writeUInt32BE((lengthMs * timescale(header.at)) / 1_000, at);
    list.writeInt32BE(atMs < 0 ? -1 : (atMs * media.readUInt32BE(mdhd + 4 + 12)) / 1_000, at + 4);
    list.writeInt32BE(rate * 0x1_0000, at + 8);
  }
  const edits = box('edts', box('elst', list));
  inside.writeUInt32BE(track.size + edits.length, track.at);
  bytes.writeUInt32BE(moov.size + edits.length, moov.at);
  const end = moov.at + 8 + track.at + track.size;
  writeFileSync(path, Buffer.concat([bytes.subarray(0, end), edits, bytes.subarray(end)]));
  return path;
}

test('what an edit list hides does not leave', async () => {
  // Refusals first: their check wants no copy of another test step.
  assert.equal(
    await refusal(
      await edited('two.mp4', [
        [0, 1_000],
        [2_000, 1_000],
      ]),
    ),
    'media-unreadable',
  );
  assert.equal(await refusal(await edited('slow.mp4', [[0, 3_000]], 0.5)), 'media-unreadable');
  const frames = await Promise.all(['red', 'green', 'blue'].map(keyFrame));
  await using trimmed = await prepare(await edited('trimmed.mp4', [[1_000, 1_000]]));
  assert.deepEqual([trimmed.facts.durationMs, trimmed.kind], [1_000, 'video']);
  const held = readFileSync(trimmed.file.path);
  assert.deepEqual(
    frames.map(frame => held.includes(frame)),
    [false, true, false],
  );

  await using delayed = await prepare(
    await edited('delayed.mp4', [
      [-1, 500],
      [2_000, 1_000],
    ]),
  );
  const later = readFileSync(delayed.file.path);
  assert.deepEqual(
    frames.map(frame => later.includes(frame)),
    [false, false, true],
  );

  await using whole = await prepare(await edited('whole.mp4', [[0, 3_000]]));
  assert.equal(whole.facts.durationMs, 3_000);
});

test('sound alone in a video’s container goes as a file, and is refused as a video', async () => {
  for (const [name, format] of [
    ['sound.mp4', new Mp4OutputFormat()],
    ['sound.m4a', new Mp4OutputFormat()],
    ['sound.webm', new WebMOutputFormat()],
    ['sound.mka', new MkvOutputFormat()],
  ] as const) {
    const path = join(folder, name);
    const output = new Output({ format, target: new FilePathTarget(path) });
    const source = new EncodedAudioPacketSource('opus');
    output.addAudioTrack(source);
    await output.start();
    const decoderConfig = { codec: 'opus', sampleRate: 48_000, numberOfChannels: 1 };
    for (let at = 0; at < 10; at += 1) {
      const silence = Uint8Array.of(0xf8, 0xff, 0xfe);
      await source.add(new EncodedPacket(silence, 'key', at / 50, 1 / 50), { decoderConfig });
    }
    await output.finalize();
    // As players of music name it; others leave it at a brand of the whole family.
    if (name === 'sound.m4a') {
      const bytes = readFileSync(path);
      bytes.write('M4A ', 8, 'latin1');
      writeFileSync(path, bytes);
    }
    await using prepared = await prepare(path);
    assert.deepEqual([prepared.kind, prepared.file.path], ['file', path]);
    assert.equal(await refusal(path, { kind: 'video' }), 'media-unreadable');
  }
});

const hasFfmpeg = spawnSync('ffmpeg', ['-version']).status === 0 && spawnSync('ffprobe', ['-version']).status === 0;

test('ffmpeg gives the first frame, and can play all of it', {
  skip: hasFfmpeg ? false : 'no ffmpeg here',
}, async () => {
  const withFfmpeg = new MediaPreparation(copies);
  for (const path of [await phoneVideo(), await makeVideo('b.webm', new WebMOutputFormat(), false)]) {
    const media = { file: await fileAt(path), kind: 'video', quality: 'standard' } as const;
    await using prepared = await withFfmpeg.prepare(media, never);
    const { thumbnail, blurhash, width, height } = prepared.facts;
    assert.ok(thumbnail !== undefined && blurhash !== undefined && isBlurhashValid(blurhash).result);
    const small = await sharp(thumbnail).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    assert.equal(small.info.width > small.info.height, width! > height!, 'upright');
    assert.ok(small.data[0]! > 200 && small.data[2]! < 60, 'the first frame is red');
    const played = spawnSync('ffmpeg', ['-v', 'error', '-i', prepared.file.path, '-f', 'null', '-'], {
      encoding: 'utf8',
    });
    assert.equal(played.stderr, '');
    const entries = ['-show_entries', 'format_tags:stream_tags', '-of', 'json'];
    const said = spawnSync('ffprobe', ['-v', 'error', ...entries, prepared.file.path], { encoding: 'utf8' }).stdout;
    assert.doesNotMatch(said, /creation_time|location|title|PLANTED|deu/);
  }
});

test('ffmpeg: a trimmed H.264 film begins with the first picture that stands by itself', {
  skip: hasFfmpeg ? false : 'no ffmpeg here',
}, async () => {
  const make = (name: string, ...args: string[]): string => {
    const path = join(folder, name);
    const made = spawnSync('ffmpeg', ['-v', 'error', '-y', ...args, path], { encoding: 'utf8' });
    assert.equal(made.stderr, '');
    return path;
  };
  const test = ['-f', 'lavfi', '-i', 'testsrc=size=160x120:rate=25:duration=12'];
  const sound = ['-f', 'lavfi', '-i', 'sine=duration=12', '-c:a', 'aac', '-shortest', '-c:v', 'libx264'];
  const film = make('film.mp4', ...test, ...sound, '-g', '12');
  const rarely = make('rarely.mp4', ...test, ...sound, '-g', '250');
  const cut = make('cut-rarely.mp4', '-ss', '3.2', '-i', rarely, '-t', '5', '-c', 'copy');
  assert.equal(await refusal(cut), 'media-unreadable');

  await using prepared = await prepare(make('cut-film.mp4', '-ss', '3.2', '-i', film, '-t', '5', '-c', 'copy'));
  assert.ok(Math.abs(prepared.facts.durationMs! - 5_000) < 300, String(prepared.facts.durationMs));
  const entries = ['-show_entries', 'packet=pts_time,stream_index', '-of', 'csv=p=0', '-ignore_editlist', '1'];
  const packets = spawnSync('ffprobe', ['-v', 'error', ...entries, prepared.file.path], { encoding: 'utf8' }).stdout;
  const pictures = packets.split('\n').filter(line => line.startsWith('0,'));
  assert.ok(pictures.length <= 126 && pictures.length >= 115, `${pictures.length} pictures`);
  const played = spawnSync('ffmpeg', ['-v', 'error', '-i', prepared.file.path, '-f', 'null', '-'], {
    encoding: 'utf8',
  });
  assert.equal(played.stderr, '');
});

async function refusal(path: string, options: Partial<MediaToSend> = {}): Promise<string> {
  const error = await prepare(path, options).then(
    async prepared => prepared[Symbol.asyncDispose]().then(() => assert.fail(`${path} was prepared`)),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ClientError, String(error));
  assert.deepEqual(leftovers(), []);
  return error.code;
}

test('what is not a video is refused, and leaves nothing', async () => {
  const good = readFileSync(await phoneVideo());
  const write = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  assert.equal(await refusal(write('cut.mp4', good.subarray(0, good.length / 2))), 'media-unreadable');
  assert.equal(await refusal(write('empty.webm', Buffer.from('1a45dfa3', 'hex'))), 'media-unreadable');
  assert.equal(await refusal(write('none', Buffer.alloc(0)), { kind: 'video' }), 'media-unreadable');
  assert.equal(await refusal(write('text.mp4', Buffer.from('no video')), { kind: 'video' }), 'media-unreadable');
  await using plain = await prepare(write('cut.mp4', good.subarray(0, 100)), { kind: 'file' });
  assert.equal(plain.kind, 'file');
});

test('any bytes give a video or a refusal', { timeout: 240_000 }, async () => {
  const starts = [
    readFileSync(await phoneVideo()),
    readFileSync(await makeVideo('c.webm', new WebMOutputFormat(), false)),
  ];
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...starts), changes, fc.nat(), async (start, changes, cut) => {
      const bytes = Buffer.from(start);
      for (const [place, value] of changes) bytes[8 + (place % (bytes.length - 8))] = value;
      const path = join(folder, 'any');
      writeFileSync(path, cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes);
      try {
        await using prepared = await impatient.prepare(
          { file: await fileAt(path), kind: 'video', quality: 'standard' },
          never,
        );
        assert.equal(prepared.kind, 'video');
      } catch (error) {
        assert.ok(error instanceof ClientError && error.code.startsWith('media-'), String(error));
      }
      assert.deepEqual(leftovers(), []);
    }),
    { numRuns: 15, endOnFailure: true },
  );
});
