// Voice messages: what a recorder writes becomes Ogg Opus without a word about who, where and with what.
// Judged by reading the Ogg pages by hand (RFC 3533, RFC 7845), and by opusinfo where it is installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  EncodedAudioPacketSource,
  EncodedPacketSink,
  FilePathSource,
  FilePathTarget,
  Input,
  OGG,
  OggOutputFormat,
  Output,
  type OutputFormat,
  WebMOutputFormat,
} from 'mediabunny';
import { ClientError } from '../errors.ts';
import { fileAt } from '../files/local-file.ts';
import { voiceLimits } from './media-limits.ts';
import { MediaPreparation, type PreparedMedia } from './media-preparation.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-voices-'));
const copies = join(folder, 'preparation');
const preparation = new MediaPreparation(copies);
/** Some changed files keep a reader busy for ever: it is ended. */
const impatient = new MediaPreparation(copies, { timeoutMs: 5_000 });
after(() => rmSync(folder, { recursive: true, force: true }));

const planted = 'PLANTED';
const never = new AbortController().signal;

async function prepare(path: string): Promise<PreparedMedia> {
  return preparation.prepare({ file: await fileAt(path), kind: 'voice', quality: 'standard' }, never);
}

function leftovers(): string[] {
  return readdirSync(folder).includes('preparation') ? readdirSync(copies) : [];
}

function write(name: string, bytes: Uint8Array): string {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
}

/** A WAV of 16 bits with a LIST chunk; `loudness` of 0..1 at each moment of 0..1. */
function wav(seconds: number, rate: number, channels: number, loudness: (moment: number) => number): Buffer {
  const count = Math.round(seconds * rate);
  const data = Buffer.alloc(count * channels * 2);
  for (let at = 0; at < count; at += 1) {
    const value = Math.round(Math.sin((at / rate) * 440 * 2 * Math.PI) * loudness(at / count) * 32_000);
    for (let channel = 0; channel < channels; channel += 1) data.writeInt16LE(value, (at * channels + channel) * 2);
  }
  const chunk = (id: string, content: Buffer): Buffer => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(content.length);
    return Buffer.concat([Buffer.from(id), size, content]);
  };
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt32LE(rate * channels * 2, 8);
  format.writeUInt16LE(channels * 2, 12);
  format.writeUInt16LE(16, 14);
  const list = Buffer.concat([Buffer.from('INFO'), chunk('IART', Buffer.from(`${planted} artists\0`))]);
  const chunks = [chunk('fmt ', format), chunk('LIST', list), chunk('data', data)];
  return chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...chunks]));
}

/** The packets of an Ogg of one stream that are whole on their page, and the last granule position. */
function oggPackets(bytes: Buffer): { packets: Buffer[]; granule: bigint } {
  const packets: Buffer[] = [];
  let granule = 0n;
  for (let at = 0; at < bytes.length; ) {
    assert.equal(bytes.toString('latin1', at, at + 4), 'OggS');
    granule = bytes.readBigInt64LE(at + 6);
    const lacing = bytes.subarray(at + 27, at + 27 + bytes[at + 26]!);
    at += 27 + lacing.length;
    let start = at;
    for (const length of lacing) {
      at += length;
      if (length === 255) continue;
      packets.push(bytes.subarray(start, at));
      start = at;
    }
  }
  return { packets, granule };
}

function checkClean(path: string): { durationMs: number } {
  const bytes = readFileSync(path);
  assert.ok(!bytes.includes(planted));
  const { packets, granule } = oggPackets(bytes);
  const [head, tags] = packets;
  assert.equal(head?.toString('latin1', 0, 8), 'OpusHead');
  assert.equal(tags?.toString('latin1', 0, 8), 'OpusTags');
  const vendorBytes = tags.readUInt32LE(8);
  assert.match(tags.toString('utf8', 12, 12 + vendorBytes), /^Mediabunny/);
  assert.equal(tags.readUInt32LE(12 + vendorBytes), 0, 'no comments');
  assert.equal(tags.length, 16 + vendorBytes, 'and nothing behind them');
  return { durationMs: Number(granule - BigInt(head.readUInt16LE(10))) / 48 };
}

const halfSilent = (moment: number): number => {
  if (moment < 0.5) return 0;
  return moment < 0.75 ? 0.4 : 0.8;
};

for (const [rate, channels] of [
  [8_000, 1],
  [44_100, 2],
  [48_000, 1],
] as const) {
  test(`a WAV of ${rate} Hz and ${channels} channels becomes Opus`, async () => {
    const source = wav(4.1, rate, channels, halfSilent);
    const path = write('recorded.wav', source);
    await using prepared = await prepare(path);
    assert.deepEqual([prepared.kind, prepared.fileName, prepared.facts.mediaType], ['voice', 'voice.ogg', 'audio/ogg']);
    const { durationMs = 0, waveform = new Uint8Array() } = prepared.facts;
    assert.ok(Math.abs(durationMs - 4_100) <= 40, `${durationMs} ms`);
    assert.ok(Math.abs(checkClean(prepared.file.path).durationMs - durationMs) <= 21);
    assert.equal(waveform.length, voiceLimits.waveformSteps);
    const quarter = waveform.length / 4;
    assert.ok(
      waveform.subarray(0, 2 * quarter - 2).every(step => step < 12),
      'silence',
    );
    assert.ok(
      waveform.subarray(2 * quarter + 2, 3 * quarter - 2).every(step => step > 100 && step < 155),
      'half',
    );
    assert.ok(
      waveform.subarray(3 * quarter + 2, -2).every(step => step > 225),
      'loud',
    );
    assert.equal(Math.max(...waveform), 255);
    assert.ok(readFileSync(prepared.file.path).length < source.length / 3);
    await using again = await prepare(path);
    assert.equal(again.sha256, prepared.sha256);
  });
}

/** Somebody else's Opus, with comments. */
async function opusFile(name: string, format: OutputFormat): Promise<string> {
  await using prepared = await prepare(
    write(
      'source.wav',
      wav(2, 48_000, 1, () => 0.5),
    ),
  );
  using input = new Input({ source: new FilePathSource(prepared.file.path), formats: [OGG] });
  const track = (await input.getPrimaryAudioTrack())!;
  const output = new Output({ format, target: new FilePathTarget(join(folder, name)) });
  const source = new EncodedAudioPacketSource('opus');
  output.addAudioTrack(source, { name: `${planted} track` });
  output.setMetadataTags({ title: `${planted} title`, raw: { LOCATION: `${planted} place` } });
  await output.start();
  const decoderConfig = (await track.getDecoderConfig())!;
  for await (const packet of new EncodedPacketSink(track).packets()) await source.add(packet, { decoderConfig });
  await output.finalize();
  return join(folder, name);
}

for (const [name, format] of [
  ['voice.opus', new OggOutputFormat()],
  ['voice.webm', new WebMOutputFormat()],
] as const) {
  test(`${name}: the same sound, without its comments`, async () => {
    const path = await opusFile(name, format);
    const source = readFileSync(path);
    assert.ok(source.includes(planted));
    await using prepared = await prepare(path);
    assert.ok(Math.abs(prepared.facts.durationMs! - 2_000) <= 40);
    assert.ok(prepared.facts.waveform!.subarray(1, -2).every(step => step > 190));
    checkClean(prepared.file.path);
    const sound = oggPackets(readFileSync(prepared.file.path)).packets.slice(2);
    assert.ok(sound.length >= 100 && sound.every(packet => source.includes(packet)), 'packet for packet');
    if (spawnSync('opusinfo', ['-h']).error === undefined) {
      const said = spawnSync('opusinfo', [prepared.file.path], { encoding: 'utf8' });
      assert.doesNotMatch(said.stdout + said.stderr, /WARNING|ERROR|PLANTED/);
    }
  });
}

async function refusal(path: string): Promise<{ code: string; message: string }> {
  const error = await prepare(path).then(
    async prepared => prepared[Symbol.asyncDispose]().then(() => assert.fail(`${path} was prepared`)),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ClientError, String(error));
  assert.deepEqual(leftovers(), []);
  return error;
}

test('a long message: only parts are listened to, and its waveform is right all the same', async () => {
  const source = wav(420, 8_000, 1, moment => (moment < 0.5 ? 0.1 : 0.8));
  await using prepared = await prepare(write('long.wav', source));
  const { durationMs = 0, waveform = new Uint8Array() } = prepared.facts;
  assert.ok(Math.abs(durationMs - 420_000) < 100, String(durationMs));
  const packets = 420 * 50;
  assert.ok(
    packets > voiceLimits.waveformSteps * voiceLimits.maxPacketsPerStep,
    'it is longer than what is listened to',
  );
  assert.ok(
    waveform.subarray(1, 31).every(step => step > 20 && step < 45),
    waveform.join(' '),
  );
  assert.ok(
    waveform.subarray(33, 63).every(step => step > 225),
    waveform.join(' '),
  );
});

test('a short message does not wait for a long one', async () => {
  const sound = async (name: string, seconds: number) =>
    fileAt(
      write(
        name,
        wav(seconds, 8_000, 1, () => 0.1),
      ),
    );
  const stop = new AbortController();
  const [long, short] = [await sound('long.wav', 280), await sound('short.wav', 0.1)];
  const prepared = preparation.prepare({ file: long, kind: 'voice', quality: 'standard' }, stop.signal);
  const ended = assert.rejects(prepared, 'it was still at work when the short one was ready');
  await using made = await prepare(short.path);
  assert.equal(made.kind, 'voice');
  stop.abort(new ClientError('cancelled'));
  await ended;
});

test('other sound is refused with the command that makes the right one', async () => {
  const mp3 = await refusal(write('a.mp3', Buffer.from('ID3\x04\0\0')));
  assert.equal(mp3.code, 'media-unreadable');
  assert.match(mp3.message, /ffmpeg -i FILE -c:a libopus/);
  assert.equal((await refusal(write('empty.ogg', Buffer.from('OggS')))).code, 'media-unreadable');
  assert.equal((await refusal(write('empty', Buffer.alloc(0)))).code, 'media-unreadable');
  const slow = wav(1, 8_000, 1, () => 0.1);
  slow.writeUInt32LE(1, slow.indexOf('fmt ') + 12);
  // One second would be over two hours, 48,000 samples for each that is there.
  assert.equal((await refusal(write('slow.wav', slow))).code, 'media-too-large');
  slow.writeUInt32LE(100, slow.indexOf('fmt ') + 12);
  assert.equal((await refusal(write('slow.wav', slow))).code, 'media-unreadable');
  const hours = wav(1, 8_000, 1, () => 0.1);
  // Says that it holds two hours, of which one second is there: what is there is sent.
  hours.writeUInt32LE(8_000 * 2 * 7_200, hours.indexOf('data') + 4);
  await using short = await prepare(write('hours.wav', hours));
  assert.ok(short.facts.durationMs! <= 1_040);
  const silent = await prepare(
    write(
      'silent.wav',
      wav(1, 8_000, 1, () => 0),
    ),
  );
  assert.ok(silent.facts.waveform!.every(step => step === 0));
  await silent[Symbol.asyncDispose]();
  const tiny = await prepare(
    write(
      'tiny.wav',
      wav(0.05, 8_000, 1, () => 0.5),
    ),
  );
  assert.equal(tiny.facts.waveform!.length, voiceLimits.waveformSteps);
  await tiny[Symbol.asyncDispose]();
});

test('any bytes give a voice message or a refusal', { timeout: 240_000 }, async () => {
  const starts = [
    readFileSync(await opusFile('any.opus', new OggOutputFormat())),
    readFileSync(await opusFile('any.webm', new WebMOutputFormat())),
    wav(0.5, 16_000, 2, () => 0.5),
  ];
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...starts), changes, fc.nat(), async (start, changes, cut) => {
      const bytes = Buffer.from(start);
      for (const [place, value] of changes) bytes[8 + (place % (bytes.length - 8))] = value;
      const path = write('any', cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes);
      try {
        await using prepared = await impatient.prepare(
          { file: await fileAt(path), kind: 'voice', quality: 'standard' },
          never,
        );
        checkClean(prepared.file.path);
      } catch (error) {
        assert.ok(error instanceof ClientError && error.code.startsWith('media-'), String(error));
      }
      assert.deepEqual(leftovers(), []);
    }),
    { numRuns: 15, endOnFailure: true },
  );
});
