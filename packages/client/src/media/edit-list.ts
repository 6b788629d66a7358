// What a container shows of its tracks: an editor that trims a video without coding it again leaves everything in the file
// and writes an edit list, which says what is shown. What is hidden must not leave.
// Knows nothing of packets, codecs or copies: it reads boxes. Source: ISO/IEC 14496-12 sections 8.6.5 and 8.6.6.
import { type FileHandle, open } from 'node:fs/promises';

export const editListLimits = {
  /** The index of a longer film is read by nobody here. */
  maxIndexBytes: 134_217_728,
  maxEntries: 64,
} as const;

/** What is shown of one track, in seconds of the film's time. `endS` is infinite when the file doesn't say it. */
export type ShownPart =
  | { readonly kind: 'part'; readonly startS: number; readonly endS: number }
  /** Several parts, or another speed. */
  | { readonly kind: 'composed' };

type Box = { readonly type: string; readonly body: Buffer };

/**
 * Gives what is shown of each track with an edit list, by track id. Tracks without one are shown whole.
 * Gives undefined when the file has no index that can be read.
 */
export async function readEditLists(path: string): Promise<ReadonlyMap<number, ShownPart> | undefined> {
  await using file = await open(path, 'r');
  const index = await findIndex(file);
  if (index === undefined) return undefined;
  const film = boxes(index);
  const header = film.find(each => each.type === 'mvhd')?.body;
  if (header === undefined) return undefined;
  const timescale = timescaleOf(header);
  if (timescale === undefined) return undefined;
  const shown = new Map<number, ShownPart>();
  for (const { type, body } of film) {
    if (type !== 'trak') continue;
    const track = boxes(body);
    const id = trackId(track.find(each => each.type === 'tkhd')?.body);
    const edits = track.find(each => each.type === 'edts')?.body;
    const list = edits === undefined ? undefined : boxes(edits).find(each => each.type === 'elst')?.body;
    if (id === undefined || list === undefined) continue;
    const part = shownPart(list, timescale);
    if (part !== undefined) shown.set(id, part);
  }
  return shown;
}

/** The body of `moov`, wherever it stands. */
async function findIndex(file: FileHandle): Promise<Buffer | undefined> {
  const { size: sizeBytes } = await file.stat();
  const head = Buffer.alloc(16);
  for (let at = 0; at + 8 <= sizeBytes; ) {
    const { bytesRead } = await file.read(head, 0, 16, at);
    if (bytesRead < 8) return undefined;
    const short = head.readUInt32BE(0);
    if (short === 1 && bytesRead < 16) return undefined;
    const size = boxBytes(short, sizeBytes - at, () => head.readBigUInt64BE(8));
    const headBytes = short === 1 ? 16 : 8;
    if (size < headBytes || at + size > sizeBytes) return undefined;
    if (head.toString('latin1', 4, 8) === 'moov') {
      if (size - headBytes > editListLimits.maxIndexBytes) return undefined;
      const body = Buffer.alloc(size - headBytes);
      await file.read(body, 0, body.length, at + headBytes);
      return body;
    }
    at += size;
  }
  return undefined;
}

/** A box is as long as it says, in four bytes or (1) in eight; 0: up to the end. */
function boxBytes(short: number, leftBytes: number, long: () => bigint): number {
  if (short === 1) return Number(long());
  return short === 0 ? leftBytes : short;
}

/** The boxes in a body, as far as they are whole. */
function boxes(body: Buffer): Box[] {
  const found: Box[] = [];
  for (let at = 0; at + 8 <= body.length; ) {
    const short = body.readUInt32BE(at);
    if (short === 1 && at + 16 > body.length) break;
    const size = boxBytes(short, body.length - at, () => body.readBigUInt64BE(at + 8));
    const headBytes = short === 1 ? 16 : 8;
    if (size < headBytes || at + size > body.length) break;
    found.push({ type: body.toString('latin1', at + 4, at + 8), body: body.subarray(at + headBytes, at + size) });
    at += size;
  }
  return found;
}

function timescaleOf(header: Buffer): number | undefined {
  const at = header[0] === 1 ? 20 : 12;
  const timescale = header.length >= at + 4 ? header.readUInt32BE(at) : 0;
  return timescale === 0 ? undefined : timescale;
}

function trackId(header: Buffer | undefined): number | undefined {
  const at = header?.[0] === 1 ? 20 : 12;
  return header !== undefined && header.length >= at + 4 ? header.readUInt32BE(at) : undefined;
}

/** Empty edits in front delay the track; then one edit at normal speed shows a part of it. Undefined: nothing is said. */
function shownPart(list: Buffer, timescale: number): ShownPart | undefined {
  const long = list[0] === 1;
  const entryBytes = long ? 20 : 12;
  const count = list.length >= 8 ? list.readUInt32BE(4) : 0;
  if (count === 0) return undefined;
  if (count > editListLimits.maxEntries || list.length < 8 + count * entryBytes) return { kind: 'composed' };
  let startTicks = 0;
  let shownTicks: number | undefined;
  for (let entry = 0; entry < count; entry += 1) {
    const at = 8 + entry * entryBytes;
    const ticks = long ? Number(list.readBigUInt64BE(at)) : list.readUInt32BE(at);
    const mediaTime = long ? list.readBigInt64BE(at + 8) : list.readInt32BE(at + 4);
    const rate = list.readInt32BE(at + (long ? 16 : 8));
    if (mediaTime === -1 || mediaTime === -1n) {
      if (shownTicks === undefined) startTicks += ticks;
      continue;
    }
    if (shownTicks !== undefined || rate !== 0x1_0000) return { kind: 'composed' };
    shownTicks = ticks;
  }
  if (shownTicks === undefined) return { kind: 'composed' };
  const startS = startTicks / timescale;
  return { kind: 'part', startS, endS: shownTicks === 0 ? Infinity : startS + shownTicks / timescale };
}
