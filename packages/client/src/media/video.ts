// Videos, repacked: the moving pictures and the sound as they are, in a container that says nothing else. Nothing is
// decoded. Boxes and tags of the old container (place, maker, times, names), further tracks (places by the second, chapters,
// subtitles, stills) and what an edit list hides stay behind.
// Runs in the media process alone. Knows nothing of people, keys or uploads.
// Source: docs/protocol/11-media.md section 11.7.
import {
  EncodedAudioPacketSource,
  type EncodedPacket,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  FilePathSource,
  FilePathTarget,
  Input,
  type InputAudioTrack,
  type InputFormat,
  type InputVideoTrack,
  MATROSKA,
  MkvOutputFormat,
  MP4,
  Mp4OutputFormat,
  Output,
  type OutputFormat,
  QTFF,
  WEBM,
  WebMOutputFormat,
} from 'mediabunny';
import { readEditLists, type ShownPart } from './edit-list.ts';
import { type MediaAnswer, refused } from './job.ts';
import { videoLimits } from './media-limits.ts';

type Container = { readonly format: OutputFormat; readonly mediaType: string };

/** What leaves of a track: packets from one time to another, in seconds, moved so that the film begins at 0. */
type Cut = { readonly fromS: number; readonly toS: number; readonly shiftS: number };

/** MP4 with its index in front, so that it plays while it arrives; a WebM stays one, any other Matroska too. */
const containers: Readonly<Record<'mp4' | 'webm' | 'matroska', () => Container>> = {
  mp4: () => ({ format: new Mp4OutputFormat({ fastStart: 'reserve' }), mediaType: 'video/mp4' }),
  webm: () => ({ format: new WebMOutputFormat(), mediaType: 'video/webm' }),
  matroska: () => ({ format: new MkvOutputFormat(), mediaType: 'video/x-matroska' }),
};
const whole: Cut = { fromS: -Infinity, toS: Infinity, shiftS: 0 };
const editAdvice = 'save it as a new video in an editor, or send it as a file with all that it hides';

export async function prepareVideo(from: string, to: string): Promise<MediaAnswer> {
  using input = new Input({ source: new FilePathSource(from), formats: [MP4, QTFF, WEBM, MATROSKA] });
  const found = await input.getFormat();
  const other = found === MATROSKA ? 'matroska' : 'mp4';
  const { format, mediaType } = containers[found === WEBM ? 'webm' : other]();
  const video = await input.getPrimaryVideoTrack();
  const audio = await input.getPrimaryAudioTrack();
  if (video === null) return audio === null ? refused('there is no picture track in it') : { kind: 'sound-only' };
  const cuts = await cutsFor(from, found, video, audio);
  if (typeof cuts === 'string') return refused(cuts);
  const output = new Output({ format, target: new FilePathTarget(to) });
  const copies = [
    await videoCopy(output, video, cuts.video),
    ...(audio === null ? [] : [await audioCopy(output, audio, cuts.audio)]),
  ];
  const missing = copies.find(copy => typeof copy === 'string');
  if (missing !== undefined) return refused(missing);
  await output.start();
  await Promise.all(copies.map(async copy => (typeof copy === 'string' ? undefined : copy())));
  await output.finalize();
  const [width, height] = [await video.getDisplayWidth(), await video.getDisplayHeight()];
  using made = new Input({ source: new FilePathSource(to), formats: [MP4, WEBM, MATROSKA] });
  const madeVideo = await made.getPrimaryVideoTrack();
  if (madeVideo === null) return refused('nothing of its picture track is shown');
  const durationMs = Math.round((await made.computeDuration([madeVideo])) * 1_000);
  return { kind: 'prepared', facts: { mediaType, width, height, durationMs } };
}

/** What leaves of each track, or why nothing can. */
async function cutsFor(
  path: string,
  format: InputFormat,
  video: InputVideoTrack,
  audio: InputAudioTrack | null,
): Promise<{ readonly video: Cut; readonly audio: Cut } | string> {
  if (format === WEBM || format === MATROSKA) return { video: whole, audio: whole };
  const lists = await readEditLists(path);
  if (lists === undefined) return 'its index can’t be read';
  const parts = [lists.get(video.id), audio === null ? undefined : lists.get(audio.id)];
  if (parts.some(part => part?.kind === 'composed')) return `it is put together from several parts; ${editAdvice}`;
  const [shown, heard] = parts.map(part => (part?.kind === 'part' ? part : undefined));
  const cut = shown === undefined ? whole : await videoCut(video, shown);
  if (typeof cut === 'string') return cut;
  return { video: cut, audio: audio === null ? whole : await audioCut(audio, heard, cut) };
}

/** Pictures can only begin with one that stands by itself: the first such one of those that are shown. */
async function videoCut(track: InputVideoTrack, shown: ShownPart & { kind: 'part' }): Promise<Cut | string> {
  const { startS, endS } = shown;
  const sink = new EncodedPacketSink(track);
  const first = await sink.getFirstPacket({ metadataOnly: true });
  if (first === null) return 'there are no pictures in it';
  const tolerance = videoLimits.editToleranceS;
  if (first.timestamp >= startS - tolerance && (await track.computeDuration()) <= endS + tolerance) return whole;
  let key = (await sink.getKeyPacket(startS, { metadataOnly: true })) ?? (await sink.getFirstKeyPacket());
  while (key !== null && key.timestamp < startS - tolerance) key = await sink.getNextKeyPacket(key);
  if (key === null || key.timestamp >= endS || key.timestamp - startS > videoLimits.maxTrimLossS) {
    return `it was trimmed where it can’t be cut without showing what is hidden; ${editAdvice}`;
  }
  return { fromS: key.timestamp, toS: endS, shiftS: key.timestamp };
}

/** Sound follows its own edit list and begins with the pictures. A codec's few packets of run-up are not a hidden part. */
async function audioCut(
  track: InputAudioTrack,
  heard: (ShownPart & { kind: 'part' }) | undefined,
  pictures: Cut,
): Promise<Cut> {
  const startS = heard?.startS ?? -Infinity;
  const firstS = await track.getFirstTimestamp();
  const runUpS = startS - firstS <= videoLimits.audioRunUpS ? videoLimits.audioRunUpS : 0;
  const fromS = Math.max(startS - runUpS, pictures.fromS);
  return { fromS, toS: Math.min(heard?.endS ?? Infinity, pictures.toS), shiftS: pictures.shiftS };
}

/** The packets of a cut, in decoding order. Pictures end with the first one that is not shown: later ones may need it. */
async function* packetsOf(track: InputVideoTrack | InputAudioTrack, cut: Cut): AsyncGenerator<EncodedPacket> {
  for await (const packet of new EncodedPacketSink(track).packets()) {
    if (packet.timestamp < cut.fromS) continue;
    if (packet.timestamp >= cut.toS) return;
    yield cut.shiftS === 0 ? packet : packet.clone({ timestamp: packet.timestamp - cut.shiftS });
  }
}

/** Gives what copies a track's packets in their order, or why it can't be. */
async function videoCopy(output: Output, track: InputVideoTrack, cut: Cut): Promise<(() => Promise<void>) | string> {
  const codec = await track.getCodec();
  const decoderConfig = await track.getDecoderConfig();
  if (codec === null || decoderConfig === null) return 'its picture track is of a form that is not known here';
  if (!output.format.getSupportedVideoCodecs().includes(codec)) return `${codec} doesn't fit its container`;
  const source = new EncodedVideoPacketSource(codec);
  const rotation = await track.getRotation();
  const maximumPacketCount = (await track.computePacketStats()).packetCount;
  output.addVideoTrack(source, { rotation, maximumPacketCount });
  return async () => {
    for await (const packet of packetsOf(track, cut)) await source.add(packet, { decoderConfig });
    source.close();
  };
}

async function audioCopy(output: Output, track: InputAudioTrack, cut: Cut): Promise<(() => Promise<void>) | string> {
  const codec = await track.getCodec();
  const decoderConfig = await track.getDecoderConfig();
  if (codec === null || decoderConfig === null) return 'its sound is of a form that is not known here';
  if (!output.format.getSupportedAudioCodecs().includes(codec)) return `${codec} doesn't fit its container`;
  const source = new EncodedAudioPacketSource(codec);
  const maximumPacketCount = (await track.computePacketStats()).packetCount;
  output.addAudioTrack(source, { maximumPacketCount });
  return async () => {
    for await (const packet of packetsOf(track, cut)) await source.add(packet, { decoderConfig });
    source.close();
  };
}
