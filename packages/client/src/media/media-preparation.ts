// What becomes of a picture, a video or a voice message before it is sealed: a copy that says nothing but what it shows,
// and the facts that go into its pointer. The copy lies in the client's own folder for as long as the transfer takes.
// Knows nothing of sealing, uploads or messages, and decodes nothing itself: that is done in a process of its own.
// Source: docs/protocol/11-media.md section 11.7.
import { fork } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClientError } from '../errors.ts';
import { fileAt, type LocalFile } from '../files/local-file.ts';
import { parseAnswer } from './answer.ts';
import {
  type MediaAnswer,
  type MediaFacts,
  type MediaJob,
  type MediaQuality,
  type MediaRefusal,
  movingAdvice,
  pictureAdvice,
  refused,
} from './job.ts';
import { pictureLimits, videoLimits, voiceLimits } from './media-limits.ts';
import { firstFrame } from './first-frame.ts';
import { mayMove, type RecognisedFormat, recogniseFormat, recognitionBytes } from './recognition.ts';

export const preparationLimits = {
  /** The media process is killed after so long, and so much longer for each MiB. Files of one client wait for each other. */
  timeoutMs: 60_000,
  timeoutMsPerMebibyte: 1_000,
  /** Sound and films above it take long: what is smaller does not wait for them. */
  quickBytes: 4_194_304,
  /** JavaScript memory of the media process; the decoders' own follows from the limits on what they are given. */
  heapMegabytes: 512,
} as const;

export type MediaToSend = {
  readonly file: LocalFile;
  /** Undefined: what the first bytes say, and `file` when they say nothing. `file`: it goes as it is. */
  readonly kind: 'file' | 'image' | 'video' | 'voice' | undefined;
  readonly quality: MediaQuality;
};

/** Disposing of it removes the copy. */
export type PreparedMedia = AsyncDisposable & {
  readonly kind: 'file' | 'image' | 'video' | 'voice';
  /** What is sealed and sent. */
  readonly file: LocalFile;
  /** Names the copy's bytes: the same source and quality give the same. Undefined: there is no copy. */
  readonly sha256: string | undefined;
  /** A name that says nothing; undefined for what goes as it is. */
  readonly fileName: string | undefined;
  readonly facts: Partial<MediaFacts>;
};

const extensions: Readonly<Record<string, string>> = {
  'image/jpeg': 'jpg',
  'image/png': 'png',
  'image/gif': 'gif',
  'image/webp': 'webp',
  'video/mp4': 'mp4',
  'video/webm': 'webm',
  'video/x-matroska': 'mkv',
  'audio/ogg': 'ogg',
};
const stems = { image: 'picture', video: 'video', voice: 'voice' } as const;
type MediaKind = keyof typeof stems;
type Lane = MediaKind | 'moving' | 'long voice' | 'long video';

const hashedBytes = 1_048_576;

const fromSource = import.meta.url.endsWith('.ts');
const processFile = fileURLToPath(new URL(fromSource ? './media-process.ts' : './media-process.js', import.meta.url));

export class MediaPreparation {
  readonly #folder: string;
  readonly #ffmpeg: string;
  readonly #timeoutMs: number;
  /** What is prepared last of each lane: what takes long keeps nothing waiting that does not. */
  readonly #last = new Map<Lane, Promise<unknown>>();

  /**
   * The folder is this object's alone: what a crash left in it is removed here. `ffmpeg` is the program that is asked for a
   * video's first frame; where there is none, videos have no preview.
   */
  constructor(folder: string, options: { readonly ffmpeg?: string; readonly timeoutMs?: number } = {}) {
    const { ffmpeg = 'ffmpeg', timeoutMs = preparationLimits.timeoutMs } = options;
    this.#folder = folder;
    this.#ffmpeg = ffmpeg;
    this.#timeoutMs = timeoutMs;
    rmSync(folder, { recursive: true, force: true });
  }

  /**
   * Gives what to seal in place of `media.file`, and what to say of it.
   *
   * Rejects with `media-unreadable` (broken, or of a form that can't be cleaned), `media-too-large`, `file-unreadable`,
   * `file-not-written`, and with the signal's reason. Nothing is left behind then.
   */
  async prepare(media: MediaToSend, signal: AbortSignal): Promise<PreparedMedia> {
    const { file, kind: wanted } = media;
    const asItIs: PreparedMedia = {
      kind: 'file',
      file,
      sha256: undefined,
      fileName: undefined,
      facts: {},
      [Symbol.asyncDispose]: async () => {},
    };
    if (wanted === 'file') return asItIs;
    const { format, moves } = await look(file, signal);
    const kind = wanted ?? kindOf(format);
    if (kind === 'file') return asItIs;
    const lane = laneOf(kind, moves, file.sizeBytes);
    const before = this.#last.get(lane) ?? Promise.resolve();
    const made = before.then(() => this.#make(kind, format, media, signal));
    this.#last.set(
      lane,
      made.catch(() => {}),
    );
    return (await made) ?? asItIs;
  }

  /** Gives undefined for sound in a video's container that nobody said was a video: it goes as it is. */
  async #make(
    kind: MediaKind,
    format: RecognisedFormat | undefined,
    { file, kind: wanted, quality }: MediaToSend,
    signal: AbortSignal,
  ): Promise<PreparedMedia | undefined> {
    signal.throwIfAborted();
    const to = join(this.#folder, randomUUID());
    // Decoders read paths: what lies encrypted lies in the open beside the copy while it is decoded.
    const from = file.isOpen ? file.path : `${to}.source`;
    const job = jobFor(kind, format, file.sizeBytes, { from, to, quality });
    if (job.kind === 'refused') throw new ClientError(job.code, { detail: job.detail });
    const removeCopy = (): Promise<void> => rm(to, { force: true });
    try {
      await makePrivate(this.#folder, to);
      if (!file.isOpen) await writeDown(file, from, signal);
      const answer = await inMediaProcess(job, this.#folder, this.#timeoutFor(file.sizeBytes), signal);
      if (answer.kind === 'refused') throw new ClientError(answer.code, { detail: answer.detail });
      if (answer.kind === 'sound-only') {
        await removeCopy();
        if (wanted === undefined) return undefined;
        throw new ClientError('media-unreadable', { detail: 'there is no picture track in it' });
      }
      const facts = { ...answer.facts, ...(kind === 'video' ? await this.#preview(to, answer.facts, signal) : {}) };
      const fileName = `${stems[kind]}.${extensions[facts.mediaType] ?? 'bin'}`;
      const sha256 = await sha256Of(to);
      return { kind, file: await fileAt(to), sha256, fileName, facts, [Symbol.asyncDispose]: removeCopy };
    } catch (error) {
      await removeCopy();
      throw error;
    } finally {
      if (!file.isOpen) await rm(from, { force: true });
    }
  }

  #timeoutFor(sizeBytes: number): number {
    return this.#timeoutMs + Math.ceil(sizeBytes / 1_048_576) * preparationLimits.timeoutMsPerMebibyte;
  }

  /** A video without a preview is still one. */
  async #preview(path: string, { mediaType }: MediaFacts, signal: AbortSignal): Promise<Partial<MediaFacts>> {
    const picture = await firstFrame(this.#ffmpeg, path, mediaType, signal);
    if (picture === undefined) return {};
    const answer = await inMediaProcess(
      { kind: 'preview', picture },
      this.#folder,
      this.#timeoutFor(picture.length),
      signal,
    );
    if (answer.kind !== 'prepared') return {};
    const { thumbnail, blurhash } = answer.facts;
    return { ...(thumbnail === undefined ? {} : { thumbnail }), ...(blurhash === undefined ? {} : { blurhash }) };
  }
}

function laneOf(kind: MediaKind, moves: boolean, sizeBytes: number): Lane {
  if (kind === 'image') return moves ? 'moving' : kind;
  return sizeBytes > preparationLimits.quickBytes ? `long ${kind}` : kind;
}

type Look = { readonly format: RecognisedFormat | undefined; readonly moves: boolean };

async function look(file: LocalFile, signal: AbortSignal): Promise<Look> {
  let head = Buffer.alloc(0);
  try {
    for await (const bytes of file.source(signal)()) {
      head = Buffer.concat([head, bytes.subarray(0, recognitionBytes)]);
      if (head.length >= recognitionBytes) break;
    }
  } catch (cause) {
    throw signal.aborted ? signal.reason : new ClientError('file-unreadable', { cause });
  }
  const format = recogniseFormat(head);
  return { format, moves: format !== undefined && mayMove(head, format.format) };
}

/** Sound that nobody calls a voice message is a file: what music says of itself is wanted. */
function kindOf(format: RecognisedFormat | undefined): 'file' | 'image' | 'video' {
  if (format?.family === 'picture') return 'image';
  return format?.family === 'video' ? 'video' : 'file';
}

/** Pictures that no decoder here reads. */
const unreadable: Readonly<Partial<Record<RecognisedFormat['format'], string>>> = {
  heif: 'HEIC',
  jxl: 'JPEG XL',
  raw: 'a raw photograph',
};

/** What is asked of the media process, or why nothing is. */
function jobFor(
  kind: MediaKind,
  format: RecognisedFormat | undefined,
  sizeBytes: number,
  rest: { readonly from: string; readonly to: string; readonly quality: MediaQuality },
): MediaJob | MediaRefusal {
  const tooLarge = (maxInputBytes: number): MediaRefusal =>
    refused(`more than ${Math.floor(maxInputBytes / 1_048_576)} MiB`, 'media-too-large');
  switch (kind) {
    case 'image':
      if (format?.family !== 'picture') return refused('it is not a picture of a form that is known here');
      if (format.format === 'avif-sequence') return refused(movingAdvice('a moving AVIF'));
      if (unreadable[format.format] !== undefined) return refused(pictureAdvice(unreadable[format.format]!));
      return sizeBytes > pictureLimits.maxInputBytes
        ? tooLarge(pictureLimits.maxInputBytes)
        : { kind: 'picture', ...rest };
    case 'video':
      if (format?.family !== 'video') return refused('it is no MP4, MOV, WebM or Matroska');
      return sizeBytes > videoLimits.maxInputBytes ? tooLarge(videoLimits.maxInputBytes) : { kind: 'video', ...rest };
    case 'voice':
      if (format?.format !== 'ogg' && format?.format !== 'wav' && format?.format !== 'matroska') {
        return refused(voiceLimits.advice);
      }
      return sizeBytes > voiceLimits.maxInputBytes ? tooLarge(voiceLimits.maxInputBytes) : { kind: 'voice', ...rest };
  }
}

async function makePrivate(folder: string, path: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await (await open(path, 'wx', 0o600)).close();
  } catch (cause) {
    throw new ClientError('file-not-written', { cause });
  }
}

async function writeDown(file: LocalFile, path: string, signal: AbortSignal): Promise<void> {
  await using written = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    throw new ClientError('file-not-written', { cause });
  });
  let isWriting = false;
  try {
    for await (const bytes of file.source(signal)()) {
      isWriting = true;
      await written.writeFile(bytes);
      isWriting = false;
    }
  } catch (cause) {
    throw signal.aborted
      ? signal.reason
      : new ClientError(isWriting ? 'file-not-written' : 'file-unreadable', { cause });
  }
}

/**
 * Runs a job in a process that knows nothing of this one: no environment, no descriptors but its channel, writing to
 * `folder` alone. Native decoders are not held by Node's permissions; they keep honest code honest.
 */
function inMediaProcess(job: MediaJob, folder: string, timeoutMs: number, signal: AbortSignal): Promise<MediaAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<MediaAnswer>();
  const child = fork(processFile, [], {
    execArgv: [
      ...(fromSource ? ['--conditions=drawbridge-source'] : []),
      `--max-old-space-size=${preparationLimits.heapMegabytes}`,
      '--permission',
      '--allow-addons',
      '--allow-fs-read=*',
      `--allow-fs-write=${join(folder, '*')}`,
    ],
    env: {},
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  let answer: MediaAnswer = refused('its decoder stopped');
  const timer = setTimeout(() => {
    answer = refused('it takes too long', 'media-too-large');
    child.kill('SIGKILL');
  }, timeoutMs);
  const stop = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', stop);
  child.once('message', given => {
    answer = parseAnswer(given);
  });
  child.once('error', cause => reject(new ClientError('media-unreadable', { detail: 'no decoder', cause })));
  child.once('close', () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    if (signal.aborted) reject(signal.reason);
    else resolve(answer);
  });
  child.send(job, () => {});
  return promise;
}

/** One buffer for all of it: what a stream leaves to the collector would be as large as the file. */
async function sha256Of(path: string): Promise<string> {
  await using file = await open(path, 'r');
  const buffer = Buffer.alloc(hashedBytes);
  const hash = createHash('sha256');
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytesRead));
  }
}
