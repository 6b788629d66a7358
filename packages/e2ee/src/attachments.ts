// Attachments: files of any size are encrypted and opened as streams, in constant memory; a cut, altered or swapped piece
// is caught at the first wrong chunk, and nothing of it is given out.
// Knows nothing of where encrypted files lie, how they get there, or what is in them.
// Source: docs/protocol/11-media.md sections 11.1-11.3; Signal's attachment form (IV, AES-256-CBC, HMAC-SHA256) with the
// cumulative incremental MACs of libsignal, which is the judge in the tests.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  type Hash,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { type FileHandle, open as openFile, rename, rm } from 'node:fs/promises';

/** Named limits. */
export const attachmentLimits = {
  /** Of the file itself; encrypted it is up to a twentieth larger. */
  maxSizeBytes: 2_147_483_648,
  minChunkBytes: 65_536,
  maxChunkBytes: 8_388_608,
  /** A sender makes chunks so large that there are no more of them: the MACs stay below 10 KiB. */
  maxChunks: 288,
  /** What is encrypted, decrypted or given out at once. */
  pieceBytes: 262_144,
} as const;

const keyBytes = 64;
const ivBytes = 16;
const macBytes = 32;
const digestBytes = 32;
const blockBytes = 16;
const smallestPaddedBytes = 541;
const zeros = new Uint8Array(attachmentLimits.pieceBytes + blockBytes);

/** What a receiver needs besides the URL: these members of `AttachmentPointer` (schema/content.proto). */
export type AttachmentSecrets = {
  /** 64 random bytes, for this file alone: 32 for AES-256, 32 for HMAC-SHA256. */
  readonly key: Uint8Array;
  /** SHA-256 of the encrypted file. */
  readonly digest: Uint8Array;
  /** HMAC-SHA256 of the encrypted file up to the end of each chunk, and of the whole: 32 bytes each. */
  readonly incrementalMac: Uint8Array;
  readonly incrementalMacChunkBytes: number;
  /** Of the file itself. */
  readonly sizeBytes: number;
};

/** What a sender keeps until the upload is done: with the same file it gives the same encrypted bytes again. */
export type SealedAttachment = AttachmentSecrets & {
  readonly iv: Uint8Array;
  /** Of the encrypted file: what is uploaded, and what a media grant is asked for. */
  readonly encryptedSizeBytes: number;
};

export type AttachmentErrorCode =
  | 'pointer-refused'
  | 'too-large'
  | 'source-failed'
  | 'source-changed'
  | 'truncated'
  | 'too-long'
  | 'altered'
  | 'digest-mismatch'
  | 'padding-refused'
  | 'write-failed';

/** For each code: does a later try help, and the sentence for a person or a log. */
export const attachmentErrors: Readonly<
  Record<AttachmentErrorCode, { readonly retry: boolean; readonly text: string }>
> = {
  'pointer-refused': { retry: false, text: 'The description of the file is malformed.' },
  'too-large': { retry: false, text: 'The file is larger than allowed.' },
  'source-failed': { retry: true, text: 'The file could not be read to its end.' },
  'source-changed': { retry: false, text: 'The file was changed while it was sent: send it again.' },
  truncated: { retry: true, text: 'The encrypted file ends too early.' },
  'too-long': { retry: false, text: 'The encrypted file is longer than its description says.' },
  altered: { retry: false, text: 'The encrypted file was altered, or the key is not its key.' },
  'digest-mismatch': { retry: false, text: 'The encrypted file is not the one that was described.' },
  'padding-refused': { retry: false, text: 'The encrypted file is not padded as it must be.' },
  'write-failed': { retry: true, text: 'The opened file could not be written.' },
};

/** Carries the code where only an error can end a stream. Thrown by iterators of this file alone. */
export class AttachmentFailure extends Error {
  readonly code: AttachmentErrorCode;
  constructor(code: AttachmentErrorCode, cause?: unknown) {
    super(attachmentErrors[code].text, { cause });
    this.code = code;
  }
}

export type Refused = { readonly kind: 'refused'; readonly code: AttachmentErrorCode };

/**
 * Gives the file from its beginning, each time it is called: it is read once to describe it and once for each upload. A
 * piece is used up before the next one is asked for.
 */
export type OpenSource = () => AsyncIterable<Uint8Array>;

/**
 * The size that is encrypted in place of `sizeBytes`: 541, or the first above it in the series where each is a twentieth
 * more than the last, rounded down. Sizes leak no more than their place in this series.
 */
export function paddedSizeBytes(sizeBytes: number): number {
  let padded = smallestPaddedBytes;
  while (padded < sizeBytes) padded = Math.floor((padded * 21) / 20);
  return padded;
}

/** Size of the encrypted file: IV, the padded file in whole blocks with PKCS #7, MAC. */
export function encryptedSizeBytes(sizeBytes: number): number {
  return ivBytes + (Math.floor(paddedSizeBytes(sizeBytes) / blockBytes) + 1) * blockBytes + macBytes;
}

function isSize(sizeBytes: number): boolean {
  return Number.isSafeInteger(sizeBytes) && sizeBytes >= 0;
}

function chunkBytesFor(encryptedBytes: number): number {
  let chunkBytes: number = attachmentLimits.minChunkBytes;
  while (encryptedBytes / chunkBytes > attachmentLimits.maxChunks) chunkBytes *= 2;
  return chunkBytes;
}

/** Whether a pointer can be one of ours; sizes are then what they must be. */
function fits(secrets: AttachmentSecrets): boolean {
  const { key, digest, incrementalMac, incrementalMacChunkBytes: chunkBytes, sizeBytes } = secrets;
  if (key.length !== keyBytes || digest.length !== digestBytes || !isSize(sizeBytes)) return false;
  if (sizeBytes > attachmentLimits.maxSizeBytes || !Number.isInteger(chunkBytes)) return false;
  if (chunkBytes < attachmentLimits.minChunkBytes || chunkBytes > attachmentLimits.maxChunkBytes) return false;
  return incrementalMac.length === (Math.floor(encryptedSizeBytes(sizeBytes) / chunkBytes) + 1) * macBytes;
}

/**
 * HMAC-SHA256 (RFC 2104) whose value can be had at any point: node:crypto can copy a running hash but not a running HMAC.
 * One pass serves all the chunk MACs and the MAC at the file's end.
 */
class RunningMac {
  readonly #outer: Hash;
  #inner: Hash;

  constructor(key: Uint8Array) {
    const pad = (byte: number): Uint8Array => Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ byte);
    this.#inner = createHash('sha256').update(pad(0x36));
    this.#outer = createHash('sha256').update(pad(0x5c));
  }

  update(bytes: Uint8Array): void {
    this.#inner.update(bytes);
  }

  value(): Buffer {
    return this.#outer.copy().update(this.#inner.copy().digest()).digest();
  }

  snapshot(): Hash {
    return this.#inner.copy();
  }

  restore(snapshot: Hash): void {
    this.#inner = snapshot.copy();
  }
}

/** Feeds bytes to a MAC and stops at the end of each chunk. */
class ChunkedMac {
  readonly mac: RunningMac;
  readonly #chunkBytes: number;
  #leftBytes: number;

  constructor(key: Uint8Array, chunkBytes: number) {
    this.mac = new RunningMac(key);
    this.#chunkBytes = chunkBytes;
    this.#leftBytes = chunkBytes;
  }

  /** `atEnd` is called with the part of `bytes` that ends a chunk; what is left over is given back. */
  update(bytes: Uint8Array, atEnd: (part: Uint8Array, mac: Buffer) => void): Uint8Array {
    let rest = bytes;
    while (rest.length >= this.#leftBytes) {
      const part = rest.subarray(0, this.#leftBytes);
      rest = rest.subarray(this.#leftBytes);
      this.#leftBytes = this.#chunkBytes;
      this.mac.update(part);
      atEnd(part, this.mac.value());
    }
    this.mac.update(rest);
    this.#leftBytes -= rest.length;
    return rest;
  }
}

/**
 * Frees the memory of bytes that nobody reads any more. The garbage collector would let 64 MiB of them pile up first. Does
 * nothing when they are a part of something larger: others may read that.
 */
export function discard({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached && byteLength === buffer.byteLength) buffer.transfer(0);
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += attachmentLimits.pieceBytes) {
    yield bytes.subarray(at, at + attachmentLimits.pieceBytes);
  }
}

/** The padded file, exactly as long as it must be. */
async function* paddedPieces(open: OpenSource, sizeBytes: number): AsyncGenerator<Uint8Array> {
  let leftBytes = sizeBytes;
  try {
    for await (const bytes of open()) {
      leftBytes -= bytes.length;
      if (leftBytes < 0) break;
      yield* pieces(bytes);
    }
  } catch (error) {
    throw new AttachmentFailure('source-failed', error);
  }
  if (leftBytes !== 0) throw new AttachmentFailure('source-changed');
  for (let left = paddedSizeBytes(sizeBytes) - sizeBytes; left > 0; left -= zeros.length) {
    yield zeros.subarray(0, left);
  }
}

type Recipe = { readonly key: Uint8Array; readonly iv: Uint8Array; readonly sizeBytes: number };

/** The encrypted file. `mac` must be fed with every piece before the next is asked for. */
async function* encryptedPieces(open: OpenSource, recipe: Recipe, mac: RunningMac): AsyncGenerator<Uint8Array> {
  const cipher = createCipheriv('aes-256-cbc', createSecretKey(recipe.key.subarray(0, 32)), recipe.iv);
  yield recipe.iv;
  for await (const piece of paddedPieces(open, recipe.sizeBytes)) yield cipher.update(piece);
  yield cipher.final();
  yield mac.value();
}

/**
 * Describes a file under a fresh key: reads it once and keeps nothing of it.
 *
 * Refuses with `too-large`, `source-failed`, or `source-changed` (not exactly `sizeBytes` long).
 */
export async function sealAttachment(
  open: OpenSource,
  sizeBytes: number,
): Promise<{ readonly kind: 'sealed'; readonly sealed: SealedAttachment } | Refused> {
  if (!isSize(sizeBytes) || sizeBytes > attachmentLimits.maxSizeBytes) return { kind: 'refused', code: 'too-large' };
  const recipe = { key: new Uint8Array(randomBytes(keyBytes)), iv: new Uint8Array(randomBytes(ivBytes)), sizeBytes };
  const encryptedBytes = encryptedSizeBytes(sizeBytes);
  const chunkBytes = chunkBytesFor(encryptedBytes);
  const chunked = new ChunkedMac(recipe.key.subarray(32), chunkBytes);
  const digest = createHash('sha256');
  const macs: Buffer[] = [];
  try {
    for await (const piece of encryptedPieces(open, recipe, chunked.mac)) {
      digest.update(piece);
      chunked.update(piece, (_part, mac) => void macs.push(mac));
      if (piece !== recipe.iv) discard(piece);
    }
  } catch (error) {
    return { kind: 'refused', code: failureCode(error, 'source-failed') };
  }
  macs.push(chunked.mac.value());
  const sealed = {
    ...recipe,
    digest: new Uint8Array(digest.digest()),
    incrementalMac: new Uint8Array(Buffer.concat(macs)),
    incrementalMacChunkBytes: chunkBytes,
    encryptedSizeBytes: encryptedBytes,
  };
  return { kind: 'sealed', sealed };
}

/**
 * The encrypted file from byte `fromBytes` to its end: for an upload, and for going on with one. One chunk after the other,
 * the caller's to `discard`.
 *
 * Everything before is encrypted again, since CBC chains. A chunk is given out only when it is the one that was
 * described: a file that was changed since never goes out under the old key. Ends with `AttachmentFailure`
 * (`source-changed`, `source-failed`, `pointer-refused`). A chunk has at most 8 MiB.
 */
export async function* readSealed(
  open: OpenSource,
  sealed: SealedAttachment,
  fromBytes = 0,
): AsyncGenerator<Uint8Array> {
  if (!fits(sealed) || sealed.iv.length !== ivBytes) throw new AttachmentFailure('pointer-refused');
  const check = new MacCheck(sealed);
  let atBytes = 0;
  for await (const piece of encryptedPieces(open, sealed, check.mac)) {
    const ready = check.update(piece);
    if (piece !== sealed.iv) discard(piece);
    if (ready === undefined) throw new AttachmentFailure('source-changed');
    for (const part of ready) {
      const skipBytes = Math.min(part.length, Math.max(0, fromBytes - atBytes));
      atBytes += part.length;
      if (skipBytes < part.length) yield part.subarray(skipBytes);
    }
  }
}

/** Holds what comes back until the MAC of its chunk was found right; copies it, so that its source may go. */
class MacCheck {
  readonly #macs: Uint8Array;
  readonly #chunked: ChunkedMac;
  readonly #chunkBytes: number;
  readonly #encryptedBytes: number;
  #leftBytes: number;
  #chunk = 0;
  #held: Buffer | undefined;
  #heldBytes = 0;

  constructor(secrets: AttachmentSecrets) {
    this.#macs = secrets.incrementalMac;
    this.#chunked = new ChunkedMac(secrets.key.subarray(32), secrets.incrementalMacChunkBytes);
    this.#chunkBytes = secrets.incrementalMacChunkBytes;
    this.#encryptedBytes = encryptedSizeBytes(secrets.sizeBytes);
    this.#leftBytes = this.#encryptedBytes;
  }

  get mac(): RunningMac {
    return this.#chunked.mac;
  }

  /** How many bytes are still to come. */
  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** The chunks that can be given out now, in order; undefined when one is wrong, after which nothing may be asked. */
  update(bytes: Uint8Array): readonly Uint8Array[] | undefined {
    const ready: Uint8Array[] = [];
    let right = true;
    const hold = (part: Uint8Array): void => {
      const heldBefore = this.#chunk * this.#chunkBytes;
      this.#held ??= Buffer.allocUnsafeSlow(Math.min(this.#chunkBytes, this.#encryptedBytes - heldBefore));
      this.#held.set(part, this.#heldBytes);
      this.#heldBytes += part.length;
    };
    const judge = (mac: Buffer): void => {
      const at = this.#chunk * macBytes;
      right &&= timingSafeEqual(mac, this.#macs.subarray(at, at + macBytes));
      this.#chunk += 1;
      if (right && this.#held !== undefined) ready.push(this.#held);
      this.#held = undefined;
      this.#heldBytes = 0;
    };
    this.#leftBytes -= bytes.length;
    const rest = this.#chunked.update(bytes, (part, mac) => {
      hold(part);
      judge(mac);
    });
    if (rest.length > 0) hold(rest);
    if (this.#leftBytes === 0) judge(this.mac.value());
    return right ? ready : undefined;
  }
}

/** Where a piece of the encrypted file lies: gives its part of the encrypted blocks. */
function blocksOf(piece: Uint8Array, atBytes: number, encryptedBytes: number): Uint8Array {
  const start = Math.min(piece.length, Math.max(0, ivBytes - atBytes));
  const end = Math.max(start, Math.min(piece.length, encryptedBytes - macBytes - atBytes));
  return piece.subarray(start, end);
}

/**
 * Checks and decrypts an encrypted file; `write` gets the file in order, each part only when its chunk was found right,
 * and the next part when its promise is done: until then the part may be read, not longer. Holds one chunk in memory, at
 * most 8 MiB; a piece of the source is used up before the next one is asked for.
 *
 * Refuses with every code of `AttachmentErrorCode` but `source-changed`; what was written before is a true beginning of
 * the file. The last chunk is given out only when the whole is right: MACs, digest, length.
 */
export async function openAttachment(
  source: AsyncIterable<Uint8Array>,
  secrets: AttachmentSecrets,
  write: (part: Uint8Array) => Promise<void> | void,
): Promise<{ readonly kind: 'opened' } | Refused> {
  const refused = (code: AttachmentErrorCode): Refused => ({ kind: 'refused', code });
  if (!fits(secrets)) return refused('pointer-refused');
  const encryptedBytes = encryptedSizeBytes(secrets.sizeBytes);
  const check = new MacCheck(secrets);
  const digest = createHash('sha256');
  const first = new Uint8Array(ivBytes);
  const last = Buffer.alloc(macBytes);
  let lastMac: Buffer | undefined;
  let decipher: ReturnType<typeof createDecipheriv> | undefined;
  let atBytes = 0;
  let leftBytes = secrets.sizeBytes;

  /** Plaintext without the padding; undefined when the padding isn't zeros. */
  const withoutPadding = (plain: Uint8Array): Uint8Array | undefined => {
    const part = plain.subarray(0, leftBytes);
    leftBytes -= part.length;
    const padding = plain.subarray(part.length);
    return Buffer.compare(padding, zeros.subarray(0, padding.length)) === 0 ? part : undefined;
  };
  const give = async (plain: Uint8Array): Promise<void> => {
    const part = withoutPadding(plain);
    if (part === undefined) throw new AttachmentFailure('padding-refused');
    if (part.length === 0) return;
    try {
      await write(part);
    } catch (error) {
      throw new AttachmentFailure('write-failed', error);
    }
  };

  let receivedBytes = 0;
  try {
    for await (const bytes of failingAs(source, 'source-failed')) {
      if (bytes.length > check.leftBytes) return refused('too-long');
      digest.update(bytes);
      // The MAC at the end covers everything before it: its value is taken when the running one gets there.
      const beforeMac = bytes.subarray(0, Math.max(0, encryptedBytes - macBytes - receivedBytes));
      const ready: Uint8Array[] = [];
      for (const part of [beforeMac, bytes.subarray(beforeMac.length)]) {
        if (receivedBytes === encryptedBytes - macBytes) lastMac ??= check.mac.value();
        if (receivedBytes >= encryptedBytes - macBytes) last.set(part, receivedBytes - encryptedBytes + macBytes);
        receivedBytes += part.length;
        if (part.length === 0) continue;
        const right = check.update(part);
        if (right === undefined) return refused('altered');
        ready.push(...right);
      }
      if (check.leftBytes === 0) {
        if (lastMac === undefined || !timingSafeEqual(last, lastMac)) return refused('altered');
        if (!timingSafeEqual(digest.copy().digest(), secrets.digest)) return refused('digest-mismatch');
      }
      for (const part of ready) {
        if (atBytes < ivBytes) first.set(part.subarray(0, ivBytes - atBytes), atBytes);
        const blocks = blocksOf(part, atBytes, encryptedBytes);
        atBytes += part.length;
        if (blocks.length === 0) continue;
        decipher ??= createDecipheriv('aes-256-cbc', createSecretKey(secrets.key.subarray(0, 32)), first);
        for (const piece of pieces(blocks)) {
          const plain = decipher.update(piece);
          await give(plain);
          discard(plain);
        }
        discard(part);
      }
    }
    if (check.leftBytes > 0 || decipher === undefined) return refused('truncated');
    await give(finalBlock(decipher));
  } catch (error) {
    return refused(failureCode(error, 'source-failed'));
  }
  return { kind: 'opened' };
}

function finalBlock(decipher: ReturnType<typeof createDecipheriv>): Buffer {
  try {
    return decipher.final();
  } catch (error) {
    throw new AttachmentFailure('padding-refused', error);
  }
}

/** Passes on what comes; an error of the source gets this code, so that it can't be taken for one of ours. */
async function* failingAs(source: AsyncIterable<Uint8Array>, code: AttachmentErrorCode): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    throw error instanceof AttachmentFailure ? error : new AttachmentFailure(code, error);
  }
}

function failureCode(error: unknown, otherwise: AttachmentErrorCode): AttachmentErrorCode {
  return error instanceof AttachmentFailure ? error.code : otherwise;
}

/**
 * Opens an encrypted file into `path`, whole or not at all: until everything is right and on disk, the bytes lie in a
 * file of mode 0600 beside it, which is removed when anything is wrong. A file that is at `path` already is replaced. Who
 * must remove what a killed process left behind names that file (`temporaryPath`) and keeps the name.
 */
export async function saveAttachment(
  source: AsyncIterable<Uint8Array>,
  secrets: AttachmentSecrets,
  path: string,
  temporary: string = temporaryPath(path),
): Promise<{ readonly kind: 'opened' } | Refused> {
  let file: FileHandle | undefined;
  try {
    file = await openFile(temporary, 'wx', 0o600);
    const handle = file;
    const result = await openAttachment(source, secrets, async part => {
      for (let at = 0; at < part.length; ) at += (await handle.write(part, at)).bytesWritten;
    });
    if (result.kind === 'opened') {
      await handle.sync();
      await rename(temporary, path);
    }
    return result;
  } catch {
    return { kind: 'refused', code: 'write-failed' };
  } finally {
    await file?.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** A new name in the same folder. */
export function temporaryPath(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.part`;
}

/** Whether `temporaryPath` gives such names. */
export function isTemporaryPath(path: string): boolean {
  return /\.[0-9a-f]{12}\.part$/.test(path);
}

/** Reads from a local copy of the encrypted file; gives how many bytes: less than fit where it ends or hasn't arrived. */
export type ReadEncrypted = (atBytes: number, into: Uint8Array) => Promise<number>;

export type AttachmentReader = {
  /**
   * The file from `startBytes`: at least one byte and at most 256 KiB, none at its end. `not-yet`: this part, or one
   * before it, has not arrived. Calls may overlap; they run one after the other.
   */
  readonly read: (
    startBytes: number,
  ) => Promise<{ readonly kind: 'plaintext'; readonly bytes: Uint8Array } | { readonly kind: 'not-yet' } | Refused>;
};

/**
 * Plays a file while it still arrives, and any part of what has arrived, from a local copy that stays encrypted.
 *
 * The MACs are cumulative: a chunk can be judged when everything before it was there once. From then on any chunk is
 * judged alone, each time it is read, so that a changed copy on the disk is noticed. Holds one chunk, at most 8 MiB. The
 * digest isn't checked here: the MACs already cover every byte.
 */
export function createAttachmentReader(secrets: AttachmentSecrets, readEncrypted: ReadEncrypted): AttachmentReader {
  const usable = fits(secrets);
  const encryptedBytes = usable ? encryptedSizeBytes(secrets.sizeBytes) : 0;
  const chunkBytes = secrets.incrementalMacChunkBytes;
  const mac = new RunningMac(secrets.key.subarray(32));
  /** The running hash at the beginning of each chunk that was reached. */
  const beginnings: Hash[] = [mac.snapshot()];
  let held: { readonly chunk: number; readonly bytes: Buffer } | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  async function chunkAt(chunk: number): Promise<Buffer | 'not-yet'> {
    if (held?.chunk === chunk) return held.bytes;
    for (let next = Math.min(chunk, beginnings.length - 1); next <= chunk; next += 1) {
      const atBytes = next * chunkBytes;
      const bytes = Buffer.alloc(Math.min(chunkBytes, encryptedBytes - atBytes));
      for (let got = 0; got < bytes.length; ) {
        const came = await failing(readEncrypted(atBytes + got, bytes.subarray(got)));
        if (came === 0) return 'not-yet';
        got += came;
      }
      mac.restore(beginnings[next]!);
      mac.update(bytes);
      const expected = secrets.incrementalMac.subarray(next * macBytes, (next + 1) * macBytes);
      if (!timingSafeEqual(mac.value(), expected)) throw new AttachmentFailure('altered');
      if (beginnings.length === next + 1) beginnings.push(mac.snapshot());
      if (held !== undefined) discard(held.bytes);
      held = { chunk: next, bytes };
    }
    return held!.bytes;
  }

  /** Encrypted bytes from here to the end of their chunk, at most one piece and the block before it. */
  async function encryptedAt(atBytes: number, endBytes: number): Promise<Uint8Array | 'not-yet'> {
    const parts: Uint8Array[] = [];
    for (let at = atBytes; at < endBytes; ) {
      const chunk = Math.floor(at / chunkBytes);
      const bytes = await chunkAt(chunk);
      if (bytes === 'not-yet') return parts.length > 0 && at - atBytes > 2 * blockBytes ? Buffer.concat(parts) : bytes;
      const part = bytes.subarray(at - chunk * chunkBytes, endBytes - chunk * chunkBytes);
      // A copy: the next chunk takes the place of this one.
      parts.push(Buffer.from(part));
      at += part.length;
    }
    return Buffer.concat(parts);
  }

  async function readNow(startBytes: number): ReturnType<AttachmentReader['read']> {
    if (!usable || !isSize(startBytes)) return { kind: 'refused', code: 'pointer-refused' };
    if (startBytes >= secrets.sizeBytes) return { kind: 'plaintext', bytes: new Uint8Array(0) };
    // The block before the first one is its IV: for the first of all it is the IV itself.
    const from = Math.floor(startBytes / blockBytes) * blockBytes;
    const to = Math.min(from + blockBytes + attachmentLimits.pieceBytes, encryptedBytes - macBytes);
    try {
      const encrypted = await encryptedAt(from, to);
      if (encrypted === 'not-yet') return { kind: 'not-yet' };
      const iv = encrypted.subarray(0, ivBytes);
      const whole = encrypted.length - (encrypted.length % blockBytes);
      const decipher = createDecipheriv('aes-256-cbc', createSecretKey(secrets.key.subarray(0, 32)), iv);
      const plain = decipher.setAutoPadding(false).update(encrypted.subarray(ivBytes, whole));
      return { kind: 'plaintext', bytes: plain.subarray(startBytes - from, secrets.sizeBytes - from) };
    } catch (error) {
      return { kind: 'refused', code: failureCode(error, 'source-failed') };
    }
  }

  return {
    read: startBytes => {
      const reading = queue.then(() => readNow(startBytes));
      queue = reading;
      return reading;
    },
  };
}

async function failing(reading: Promise<number>): Promise<number> {
  try {
    return await reading;
  } catch (error) {
    throw new AttachmentFailure('source-failed', error);
  }
}

/** What has to be kept to go on with an upload after a restart, as text. It holds the file's key: keep it encrypted. */
export function encodeSealed(sealed: SealedAttachment): string {
  const { key, iv, digest, incrementalMac, incrementalMacChunkBytes, sizeBytes } = sealed;
  const bytes = [key, iv, digest, incrementalMac].map(each => Buffer.from(each).toString('base64url'));
  return ['1', sizeBytes, incrementalMacChunkBytes, ...bytes].join('.');
}

/** Reads what `encodeSealed` wrote; undefined for anything else. */
export function parseSealed(text: string): SealedAttachment | undefined {
  const match = /^1\.([0-9]{1,10})\.([0-9]{1,7})\.([\w-]{86})\.([\w-]{22})\.([\w-]{43})\.([\w-]{43,12400})$/.exec(text);
  if (match === null) return undefined;
  const bytes = (index: number): Uint8Array => new Uint8Array(Buffer.from(match[index]!, 'base64url'));
  const sizeBytes = Number(match[1]);
  const sealed: SealedAttachment = {
    sizeBytes,
    incrementalMacChunkBytes: Number(match[2]),
    key: bytes(3),
    iv: bytes(4),
    digest: bytes(5),
    incrementalMac: bytes(6),
    encryptedSizeBytes: encryptedSizeBytes(Math.min(sizeBytes, attachmentLimits.maxSizeBytes)),
  };
  return fits(sealed) ? sealed : undefined;
}
