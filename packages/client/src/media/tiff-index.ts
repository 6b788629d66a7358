// Which pictures a TIFF holds: its own, smaller copies of it, further pages, or the data of a camera's sensor behind a preview.
// Runs in the media process. Knows nothing of pixels.
// Source: TIFF 6.0 sections 2 and 8; BigTIFF; Adobe PageMaker 6.0 TIFF Technical Notes (SubIFDs); DNG 1.7 chapter 2.
import { type FileHandle, open } from 'node:fs/promises';

/** `one`: a picture, with smaller copies of it or without. Undefined: it can't be told. */
export type TiffContents = 'one' | 'several' | 'raw' | undefined;

const limits = { directories: 64, entries: 4_096, subDirectories: 16 } as const;
const tag = { newSubfileType: 254, subfileType: 255, width: 256, height: 257, subDirectories: 330, dngVersion: 50_706 };
/** Sizes of the types of a value that are read here: BYTE, SHORT, LONG, IFD, LONG8, IFD8. */
const typeBytes = new Map([
  [1, 1],
  [3, 2],
  [4, 4],
  [13, 4],
  [16, 8],
  [18, 8],
]);

type Directory = {
  readonly isReduced: boolean;
  readonly isDng: boolean;
  readonly pixels: number;
  readonly sub: readonly number[];
  readonly next: number;
};

export async function readTiffContents(path: string): Promise<TiffContents> {
  await using file = await open(path, 'r');
  const index = await TiffIndex.of(file);
  if (index === undefined) return undefined;
  const chain: Directory[] = [];
  const seen = new Set<number>();
  for (let at = index.firstAt; at !== 0 && !seen.has(at) && chain.length < limits.directories; ) {
    seen.add(at);
    const directory = await index.directory(at);
    if (directory === undefined) break;
    chain.push(directory);
    at = directory.next;
  }
  const [first] = chain;
  if (first === undefined) return undefined;
  const sub = await Promise.all(first.sub.map(at => index.directory(at)));
  const isLarger = sub.some(each => each === undefined || (!each.isReduced && each.pixels > first.pixels));
  if (first.isDng || isLarger || (first.isReduced && sub.length > 0)) return 'raw';
  return chain.slice(1).some(({ isReduced }) => !isReduced) ? 'several' : 'one';
}

class TiffIndex {
  readonly #file: FileHandle;
  readonly #isBig: boolean;
  readonly #isLittle: boolean;
  readonly firstAt: number;

  private constructor(file: FileHandle, head: Buffer) {
    this.#file = file;
    this.#isLittle = head.toString('latin1', 0, 2) === 'II';
    this.#isBig = this.#number(head, 2, 2) === 43;
    this.firstAt = this.#isBig ? this.#number(head, 8, 8) : this.#number(head, 4, 4);
  }

  static async of(file: FileHandle): Promise<TiffIndex | undefined> {
    const head = await read(file, 0, 16);
    return head === undefined || !/^(?:II|MM)/.test(head.toString('latin1')) ? undefined : new TiffIndex(file, head);
  }

  async directory(at: number): Promise<Directory | undefined> {
    const [countBytes, entryBytes, offsetBytes] = this.#isBig ? [8, 20, 8] : [2, 12, 4];
    const head = await read(this.#file, at, countBytes);
    const count = head === undefined ? 0 : this.#number(head, 0, countBytes);
    if (count === 0 || count > limits.entries) return undefined;
    const entries = await read(this.#file, at + countBytes, count * entryBytes + offsetBytes);
    if (entries === undefined) return undefined;
    const found = new Map<number, readonly number[]>();
    for (let each = 0; each < count; each++) {
      const entry = entries.subarray(each * entryBytes, (each + 1) * entryBytes);
      const name = this.#number(entry, 0, 2);
      if (Object.values(tag).includes(name)) found.set(name, await this.#values(entry));
    }
    const one = (name: number): number => found.get(name)?.[0] ?? 0;
    return {
      // Bit 0, and in the older tag 2: a smaller copy of another picture here.
      isReduced: one(tag.newSubfileType) % 2 === 1 || one(tag.subfileType) === 2,
      isDng: found.has(tag.dngVersion),
      pixels: one(tag.width) * one(tag.height),
      sub: found.get(tag.subDirectories) ?? [],
      next: this.#number(entries, count * entryBytes, offsetBytes),
    };
  }

  /** None where the values are of another type, or can't be read. */
  async #values(entry: Buffer): Promise<readonly number[]> {
    const size = typeBytes.get(this.#number(entry, 2, 2));
    if (size === undefined) return [];
    const inline = this.#isBig ? 8 : 4;
    const count = Math.min(this.#number(entry, 4, inline), limits.subDirectories);
    const bytes =
      count * size <= inline
        ? entry.subarray(entry.length - inline)
        : await read(this.#file, this.#number(entry, entry.length - inline, inline), count * size);
    return bytes === undefined ? [] : Array.from({ length: count }, (_, at) => this.#number(bytes, at * size, size));
  }

  #number(bytes: Buffer, at: number, size: number): number {
    if (size === 8) return Number(this.#isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
    return this.#isLittle ? bytes.readUIntLE(at, size) : bytes.readUIntBE(at, size);
  }
}

async function read(file: FileHandle, at: number, length: number): Promise<Buffer | undefined> {
  if (!Number.isSafeInteger(at)) return undefined;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
  return bytesRead === length ? buffer : undefined;
}
