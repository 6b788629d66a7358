// Videos, packed anew: the moving pictures and the sound as they are, in a container that says nothing else. Nothing is
// decoded. Boxes and tags of the old container (place, maker, times, names), further tracks (places by the second, chapters,
// subtitles, stills) stay behind.
// Runs in the media process alone. Knows nothing of people, keys or uploads.
// Source: docs/protocol/11-media.md section 11.7.
import {
  EncodedAudioPacketSource,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  FilePathSource,
  FilePathTarget,
  Input,
  type InputAudioTrack,
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
import { type MediaAnswer, refused } from './job.ts';

type Container = { readonly format: OutputFormat; readonly mediaType: string };

/** MP4 with its index in front, so that it plays while it arrives; a WebM stays one, any other Matroska too. */
const containers: Readonly<Record<'mp4' | 'webm' | 'matroska', () => Container>> = {
  mp4: () => ({ format: new Mp4OutputFormat({ fastStart: 'reserve' }), mediaType: 'video/mp4' }),
  webm: () => ({ format: new WebMOutputFormat(), mediaType: 'video/webm' }),
  matroska: () => ({ format: new MkvOutputFormat(), mediaType: 'video/x-matroska' }),
};

export async function prepareVideo(from: string, to: string): Promise<MediaAnswer> {
  using input = new Input({ source: new FilePathSource(from), formats: [MP4, QTFF, WEBM, MATROSKA] });
  const found = await input.getFormat();
  const { format, mediaType } = containers[found === WEBM ? 'webm' : found === MATROSKA ? 'matroska' : 'mp4']();
  const video = await input.getPrimaryVideoTrack();
  if (video === null) return refused('there is no picture track in it');
  const audio = await input.getPrimaryAudioTrack();
  const output = new Output({ format, target: new FilePathTarget(to) });
  const copies = [await videoCopy(output, video), ...(audio === null ? [] : [await audioCopy(output, audio)])];
  const missing = copies.find(copy => typeof copy === 'string');
  if (missing !== undefined) return refused(missing);
  await output.start();
  await Promise.all(copies.map(async copy => (typeof copy === 'string' ? undefined : copy())));
  await output.finalize();
  const [width, height] = [await video.getDisplayWidth(), await video.getDisplayHeight()];
  const durationMs = Math.round((await input.computeDuration([video])) * 1_000);
  return { kind: 'prepared', facts: { mediaType, width, height, durationMs } };
}

/** Gives what copies a track's packets in their order, or why it can't be. */
async function videoCopy(output: Output, track: InputVideoTrack): Promise<(() => Promise<void>) | string> {
  const codec = await track.getCodec();
  const decoderConfig = await track.getDecoderConfig();
  if (codec === null || decoderConfig === null) return 'its picture track is of a form that is not known here';
  if (!output.format.getSupportedVideoCodecs().includes(codec)) return `${codec} doesn't fit its container`;
  const source = new EncodedVideoPacketSource(codec);
  const rotation = await track.getRotation();
  const maximumPacketCount = (await track.computePacketStats()).packetCount;
  output.addVideoTrack(source, { rotation, maximumPacketCount });
  return async () => {
    for await (const packet of new EncodedPacketSink(track).packets()) await source.add(packet, { decoderConfig });
    source.close();
  };
}

async function audioCopy(output: Output, track: InputAudioTrack): Promise<(() => Promise<void>) | string> {
  const codec = await track.getCodec();
  const decoderConfig = await track.getDecoderConfig();
  if (codec === null || decoderConfig === null) return 'its sound is of a form that is not known here';
  if (!output.format.getSupportedAudioCodecs().includes(codec)) return `${codec} doesn't fit its container`;
  const source = new EncodedAudioPacketSource(codec);
  const maximumPacketCount = (await track.computePacketStats()).packetCount;
  output.addAudioTrack(source, { maximumPacketCount });
  return async () => {
    for await (const packet of new EncodedPacketSink(track).packets()) await source.add(packet, { decoderConfig });
    source.close();
  };
}
