// Voice messages: one track of Opus in an Ogg of its own, without comments, and how loud it is over its length.
// Ogg and WebM with Opus are repacked; WAV is encoded; both read and written in a stream.
// Runs in the media process alone. Knows nothing of people, keys or uploads.
// Source: docs/protocol/11-media.md section 11.7; RFC 7845 (Ogg Opus).
import { Application, createDecoder, createEncoder, type OpusEncoderHandle, Signal } from 'libopus-wasm';
import {
  type AudioSample,
  AudioSampleSink,
  AudioSampleSource,
  CustomAudioEncoder,
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedPacketSink,
  FilePathSource,
  FilePathTarget,
  Input,
  type InputAudioTrack,
  OGG,
  OggOutputFormat,
  Output,
  QUALITY_MEDIUM,
  registerEncoder,
  WAVE,
  WEBM,
} from 'mediabunny';
import { type MediaAnswer, refused } from './job.ts';
import { voiceLimits } from './media-limits.ts';

/** Loudness needs no more than what telephones had. */
const listeningHz = 8_000;
const encodingHz = 48_000;
const frameSamples = 960;

const { advice } = voiceLimits;

export async function prepareVoice(from: string, to: string): Promise<MediaAnswer> {
  using input = new Input({ source: new FilePathSource(from), formats: [OGG, WEBM, WAVE] });
  const track = await input.getPrimaryAudioTrack();
  const codec = (await track?.getCodec()) ?? null;
  const tracks = await input.getTracks();
  if (track === null || codec === null || tracks.length !== 1) return refused(`it isn’t one track of sound; ${advice}`);
  if ((await track.getNumberOfChannels()) > 2) return refused('it has more than two channels');
  if ((await track.computeDuration()) * 1_000 > voiceLimits.maxDurationMs) {
    return refused(`longer than ${voiceLimits.maxDurationMs / 60_000} minutes`, 'media-too-large');
  }
  const output = new Output({ format: new OggOutputFormat(), target: new FilePathTarget(to) });
  if (codec === 'opus') await copyPackets(output, track);
  else if (codec.startsWith('pcm-')) {
    const rate = await track.getSampleRate();
    if (rate < voiceLimits.minSampleHz || rate > voiceLimits.maxSampleHz) return refused(`${rate} samples a second`);
    await encodeSamples(output, track);
  } else return refused(`its sound is ${codec}; ${advice}`);
  return { kind: 'prepared', facts: { mediaType: 'audio/ogg', ...(await listenTo(to)) } };
}

async function copyPackets(output: Output, track: InputAudioTrack): Promise<void> {
  const decoderConfig = (await track.getDecoderConfig())!;
  const source = new EncodedAudioPacketSource('opus');
  output.addAudioTrack(source);
  await output.start();
  for await (const packet of new EncodedPacketSink(track).packets()) await source.add(packet, { decoderConfig });
  await output.finalize();
}

async function encodeSamples(output: Output, track: InputAudioTrack): Promise<void> {
  registerEncoder(VoiceEncoder);
  // The encoder has its own bit rate; the library wants one to be named.
  const quality = QUALITY_MEDIUM;
  const source = new AudioSampleSource({
    codec: 'opus',
    quality,
    transform: { numberOfChannels: 1, sampleRate: encodingHz, sampleFormat: 'f32' },
  });
  output.addAudioTrack(source);
  await output.start();
  for await (const sample of new AudioSampleSink(track).samples()) {
    await source.add(sample);
    sample.close();
  }
  await output.finalize();
}

/** libopus as mediabunny's encoder: 48 kHz, one channel, 20 ms. */
class VoiceEncoder extends CustomAudioEncoder {
  #encoder: OpusEncoderHandle | undefined;
  readonly #frame = new Float32Array(frameSamples);
  #filled = 0;
  #frames = 0;

  static override supports(codec: string): boolean {
    return codec === 'opus';
  }

  async init(): Promise<void> {
    this.#encoder = await createEncoder({
      channels: 1,
      sampleRate: encodingHz,
      application: Application.Voip,
      signal: Signal.Voice,
      bitrate: voiceLimits.bitRate,
      complexity: voiceLimits.complexity,
    });
  }

  encode(sample: AudioSample): void {
    const samples = new Float32Array(sample.numberOfFrames);
    sample.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
    for (let at = 0; at < samples.length; ) {
      const part = samples.subarray(at, at + frameSamples - this.#filled);
      this.#frame.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === frameSamples) this.#encodeFrame();
    }
  }

  flush(): void {
    // What the encoder holds back comes out with the silence that fills the last frames.
    const held = this.#filled + this.#encoder!.getLookahead();
    for (let left = held; left > 0; left -= frameSamples) this.#encodeFrame();
  }

  close(): void {
    this.#encoder?.free();
  }

  #encodeFrame(): void {
    const data = this.#encoder!.encodeFloat(this.#frame);
    const duration = frameSamples / encodingHz;
    const packet = new EncodedPacket(Uint8Array.from(data), 'key', this.#frames * duration, duration);
    const description = opusHead(this.#encoder!.getLookahead());
    const decoderConfig = { codec: 'opus', numberOfChannels: 1, sampleRate: encodingHz, description };
    this.onPacket(packet, { decoderConfig });
    this.#frames += 1;
    this.#filled = 0;
    this.#frame.fill(0);
  }
}

/** RFC 7845 section 5.1. */
function opusHead(preSkip: number): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(19);
  head.set(Buffer.from('OpusHead'));
  head.set([1, 1], 8);
  const view = new DataView(head.buffer);
  view.setUint16(10, preSkip, true);
  view.setUint32(12, encodingHz, true);
  return head;
}

/** Of a long message only runs of packets, evenly spread, are decoded: an hour costs what a few minutes do. */
function listening(number: number, packetCount: number): 'heard' | 'run-up' | 'skipped' {
  const { waveformSteps, maxPacketsPerStep, packetsPerRun, runUpPackets } = voiceLimits;
  const every = Math.ceil(packetCount / (waveformSteps * maxPacketsPerStep));
  if (every <= 1) return 'heard';
  const run = Math.floor(number / packetsPerRun);
  if (run % every !== 0) return 'skipped';
  return run > 0 && number % packetsPerRun < runUpPackets ? 'run-up' : 'heard';
}

/**
 * Decodes what is sent, or evenly spread parts of it. Gives its length and a fixed number of steps, each a byte: 255 for the loudest step, 0
 * for silence, in between in proportion to the root of the mean square. All are 0 when nothing is to be heard.
 */
async function listenTo(path: string): Promise<{ durationMs: number; waveform: Uint8Array }> {
  using input = new Input({ source: new FilePathSource(path), formats: [OGG] });
  const track = (await input.getPrimaryAudioTrack())!;
  using decoder = await createDecoder({ channels: 1, sampleRate: listeningHz });
  const durationMs = Math.round((await track.computeDuration()) * 1_000);
  const steps = voiceLimits.waveformSteps;
  const squares = new Float64Array(steps);
  const counts = new Float64Array(steps);
  const { packetCount } = await track.computePacketStats();
  let number = 0;
  for await (const packet of new EncodedPacketSink(track).packets()) {
    const listened = listening(number++, packetCount);
    if (listened === 'skipped') continue;
    const samples = decoder.decodeFloat(packet.data);
    if (listened === 'run-up') continue;
    const step = Math.floor((Math.max(0, packet.timestamp) * 1_000 * steps) / Math.max(1, durationMs));
    const at = Math.min(step, steps - 1);
    for (const sample of samples) squares[at]! += sample * sample;
    counts[at]! += samples.length;
  }
  const loudness = squares.map((sum, at) => Math.sqrt(sum / Math.max(1, counts[at]!)));
  // Messages of less steps than packets leave some empty: they sound on.
  for (let at = 1; at < steps; at += 1) if (counts[at] === 0) loudness[at] = loudness[at - 1]!;
  const loudest = Math.max(...loudness);
  const waveform = Uint8Array.from(loudness, each =>
    loudest < voiceLimits.silence ? 0 : Math.round((each / loudest) * 255),
  );
  return { durationMs, waveform };
}
