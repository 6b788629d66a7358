// The first frame of a video, by an ffmpeg that is on the machine. No library decodes what phones record (H.264, HEVC) and
// ships in the package registry.
// Knows nothing of previews. Source: docs/decisions/0014-media-is-made-anew-in-a-process-of-its-own.md.
import { spawn } from 'node:child_process';

export const firstFrameLimits = {
  timeoutMs: 20_000,
  maxPngBytes: 4_194_304,
  edgePixels: 512,
} as const;

/**
 * Gives a PNG, or undefined when there is no ffmpeg, or it can't or won't. The file was packed by us, so that the demuxer
 * is known: ffmpeg's own guess, its playlists and its network stay out of it.
 */
export function firstFrame(
  program: string,
  path: string,
  mediaType: string,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { timeoutMs, maxPngBytes, edgePixels } = firstFrameLimits;
  const scale = `scale=w=${edgePixels}:h=${edgePixels}:force_original_aspect_ratio=decrease`;
  const quiet = ['-nostdin', '-hide_banner', '-loglevel', 'quiet', '-threads', '1'];
  const input = [
    '-protocol_whitelist',
    'file',
    '-f',
    mediaType === 'video/mp4' ? 'mov' : 'matroska',
    '-i',
    `file:${path}`,
  ];
  const output = ['-map', '0:v:0', '-frames:v', '1', '-vf', scale, '-c:v', 'png', '-f', 'image2pipe', 'pipe:1'];
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const child = spawn(program, [...quiet, ...input, ...output], {
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    signal,
  });
  const parts: Uint8Array[] = [];
  let bytes = 0;
  child.stdout.on('data', (part: Uint8Array) => {
    bytes += part.length;
    if (bytes > maxPngBytes) child.kill('SIGKILL');
    else parts.push(part);
  });
  child.once('error', () => resolve(undefined));
  child.once('close', code => resolve(code === 0 && bytes > 0 ? Buffer.concat(parts) : undefined));
  return promise;
}
