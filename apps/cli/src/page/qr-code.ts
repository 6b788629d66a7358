// A QR code of bytes, as the squares of a picture: byte mode, error correction level M, versions 1 to 20. Pure.
// Source: ISO/IEC 18004:2015.

/** By version, from 1: error correction codewords of a block, and blocks (table 9, level M). */
const eccBytes = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26] as const;
const blockCounts = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16] as const;

/** Light squares around it, which readers need. */
const quiet = 4;

type Layout = { readonly version: number; readonly eccBytes: number; readonly blocks: number; readonly bytes: number };

/** What a code of that version holds beside what every code has (clause 7.1 and annex E). */
function layoutOf(version: number): Layout {
  const aligned = version === 1 ? 0 : Math.floor(version / 7) + 2;
  const patterns = aligned === 0 ? 0 : (25 * aligned - 10) * aligned - 55;
  const bits = (16 * version + 128) * version + 64 - patterns - (version >= 7 ? 36 : 0);
  return {
    version,
    eccBytes: eccBytes[version - 1]!,
    blocks: blockCounts[version - 1]!,
    bytes: Math.floor(bits / 8),
  };
}

const dataBytes = ({ bytes, eccBytes: ecc, blocks }: Layout): number => bytes - ecc * blocks;
const countBytes = (version: number): number => (version <= 9 ? 1 : 2);

/** As an SVG path within a square of `size`, the light edge included; undefined: it is more than a code of version 20 holds. */
export function qrCode(text: string): { readonly size: number; readonly path: string } | undefined {
  const bytes = Buffer.from(text);
  for (let version = 1; version <= eccBytes.length; version++) {
    const layout = layoutOf(version);
    // Four bits say that these are bytes, and four end it.
    if (bytes.length + countBytes(version) + 1 > dataBytes(layout)) continue;
    const grid = bestGrid(layout, codewords(layout, bytes));
    return { size: grid.length + 2 * quiet, path: pathOf(grid) };
  }
  return undefined;
}

/** Dark squares by row and column, without the edge. For tests. */
export function qrGrid(text: string): readonly (readonly boolean[])[] | undefined {
  const code = qrCode(text);
  if (code === undefined) return undefined;
  const grid = Array.from({ length: code.size - 2 * quiet }, () => Array<boolean>(code.size - 2 * quiet).fill(false));
  for (const [, x, y, run] of code.path.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g)) {
    for (let at = 0; at < Number(run); at++) grid[Number(y) - quiet]![Number(x) - quiet + at] = true;
  }
  return grid;
}

/** Data and what corrects it, in the order in which they are drawn (clauses 7.4 and 7.6). */
function codewords(layout: Layout, bytes: Uint8Array): Uint8Array {
  const { version, blocks } = layout;
  const head = countBytes(version) === 1 ? [bytes.length] : [bytes.length >> 8, bytes.length & 0xff];
  const whole = Buffer.alloc(dataBytes(layout));
  // Everything stands half a byte further back.
  const shifted = [0x4, ...[...head, ...bytes].flatMap(byte => [byte >> 4, byte & 0xf]), 0];
  for (let at = 0; at * 2 < shifted.length; at++) whole[at] = (shifted[2 * at]! << 4) | shifted[2 * at + 1]!;
  for (let at = shifted.length / 2, pad = 0xec; at < whole.length; at++, pad ^= 0xec ^ 0x11) whole[at] = pad;
  const shortBytes = Math.floor(layout.bytes / blocks);
  const longBlocks = layout.bytes % blocks;
  const generator = generatorOf(layout.eccBytes);
  const parts: { readonly data: Uint8Array; readonly ecc: readonly number[] }[] = [];
  for (let block = 0, from = 0; block < blocks; block++) {
    const length = shortBytes - layout.eccBytes + (block < blocks - longBlocks ? 0 : 1);
    const data = whole.subarray(from, from + length);
    parts.push({ data, ecc: remainder(data, generator) });
    from += length;
  }
  const drawn: number[] = [];
  const longest = shortBytes - layout.eccBytes + 1;
  for (let at = 0; at < longest; at++) for (const { data } of parts) if (at < data.length) drawn.push(data[at]!);
  for (let at = 0; at < layout.eccBytes; at++) for (const { ecc } of parts) drawn.push(ecc[at]!);
  return Uint8Array.from(drawn);
}

/** In the field of 256 elements over x⁸ + x⁴ + x³ + x² + 1. */
function product(a: number, b: number): number {
  let sum = 0;
  for (let bit = 7; bit >= 0; bit--) sum = (sum << 1) ^ ((sum >> 7) * 0x11d) ^ (((b >> bit) & 1) * a);
  return sum;
}

function generatorOf(degree: number): number[] {
  const generator = [...Array<number>(degree - 1).fill(0), 1];
  for (let power = 0, root = 1; power < degree; power++, root = product(root, 2)) {
    for (let at = 0; at < degree; at++) generator[at] = product(generator[at]!, root) ^ (generator[at + 1] ?? 0);
  }
  return generator;
}

function remainder(data: Uint8Array, generator: readonly number[]): number[] {
  const rest = Array<number>(generator.length).fill(0);
  for (const byte of data) {
    const factor = byte ^ rest.shift()!;
    rest.push(0);
    for (const [at, coefficient] of generator.entries()) rest[at]! ^= product(coefficient, factor);
  }
  return rest;
}

type Grid = boolean[][];

/** Squares that mean something by themselves; undefined: data. */
type Frame = (boolean | undefined)[][];

function frameOf({ version }: Layout): Frame {
  const size = 17 + 4 * version;
  const frame: Frame = Array.from({ length: size }, () => Array<boolean | undefined>(size).fill(undefined));
  const set = (x: number, y: number, dark: boolean): void => {
    if (x >= 0 && y >= 0 && x < size && y < size) frame[y]![x] = dark;
  };
  for (let at = 0; at < size; at++) {
    set(6, at, at % 2 === 0);
    set(at, 6, at % 2 === 0);
  }
  for (const [left, top] of [
    [0, 0],
    [size - 7, 0],
    [0, size - 7],
  ] as const) {
    for (let dy = -1; dy <= 7; dy++) {
      for (let dx = -1; dx <= 7; dx++) {
        const ring = Math.max(Math.abs(dx - 3), Math.abs(dy - 3));
        set(left + dx, top + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const places = alignments(version, size);
  const last = places.at(-1);
  for (const x of places) {
    for (const y of places) {
      if ((x === 6 && (y === 6 || y === last)) || (y === 6 && x === last)) continue;
      for (let dy = -2; dy <= 2; dy++)
        for (let dx = -2; dx <= 2; dx++) set(x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }
  }
  if (version >= 7) {
    let rest = version;
    for (let at = 0; at < 12; at++) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let at = 0; at < 18; at++) {
      const dark = ((bits >> at) & 1) === 1;
      set(size - 11 + (at % 3), Math.floor(at / 3), dark);
      set(Math.floor(at / 3), size - 11 + (at % 3), dark);
    }
  }
  drawFormat(set, size, 0);
  return frame;
}

function alignments(version: number, size: number): number[] {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  const later = Array.from({ length: count - 1 }, (_, at) => size - 7 - at * step);
  return [6, ...later.reverse()];
}

/** Level M and the mask, twice (clause 7.9). */
function drawFormat(set: (x: number, y: number, dark: boolean) => void, size: number, mask: number): void {
  let rest = mask;
  for (let at = 0; at < 10; at++) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const dark = (at: number): boolean => ((bits >> at) & 1) === 1;
  for (let at = 0; at < 6; at++) set(8, at, dark(at));
  set(8, 7, dark(6));
  set(8, 8, dark(7));
  set(7, 8, dark(8));
  for (let at = 9; at < 15; at++) set(14 - at, 8, dark(at));
  for (let at = 0; at < 8; at++) set(size - 1 - at, 8, dark(at));
  for (let at = 8; at < 15; at++) set(8, size - 15 + at, dark(at));
  set(8, size - 8, true);
}

const masks: readonly ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  x => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** The mask under which there are fewest long runs and large squares of one colour: readers take any, and read this best. */
function bestGrid(layout: Layout, words: Uint8Array): Grid {
  const frame = frameOf(layout);
  const order = dataSquares(frame);
  const drawn = masks.map((isTurned, mask) => {
    const grid: Grid = frame.map(row => row.map(square => square ?? false));
    for (const [at, { x, y }] of order.entries()) {
      const bit = ((words[at >> 3] ?? 0) >> (7 - (at & 7))) & 1;
      grid[y]![x] = (bit === 1) !== isTurned(x, y);
    }
    drawFormat((x, y, dark) => void (grid[y]![x] = dark), grid.length, mask);
    return { grid, faults: faultsOf(grid) };
  });
  return drawn.reduce((best, each) => (each.faults < best.faults ? each : best)).grid;
}

/** In columns of two from the right, up and down in turn (clause 7.7.3). */
function dataSquares(frame: Frame): { readonly x: number; readonly y: number }[] {
  const size = frame.length;
  const squares: { x: number; y: number }[] = [];
  for (let right = size - 1, isUp = true; right >= 1; right -= 2, isUp = !isUp) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++) {
      const y = isUp ? size - 1 - step : step;
      for (const x of [right, right - 1]) if (frame[y]![x] === undefined) squares.push({ x, y });
    }
  }
  return squares;
}

function faultsOf(grid: Grid): number {
  let faults = 0;
  const columns = grid.map((_, at) => grid.map(row => row[at]!));
  for (const lineOf of [...grid, ...columns]) {
    let run = 0;
    for (const [at, dark] of lineOf.entries()) {
      run = dark === lineOf[at - 1] ? run + 1 : 1;
      if (run === 5) faults += 3;
      else if (run > 5) faults++;
    }
  }
  for (let y = 1; y < grid.length; y++) {
    for (let x = 1; x < grid.length; x++) {
      const dark = grid[y]![x];
      if (dark === grid[y - 1]![x] && dark === grid[y]![x - 1] && dark === grid[y - 1]![x - 1]) faults += 3;
    }
  }
  const share = grid.flat().filter(Boolean).length / grid.length ** 2;
  return faults + Math.floor(Math.abs(share - 0.5) * 20) * 10;
}

function pathOf(grid: Grid): string {
  let path = '';
  for (const [y, row] of grid.entries()) {
    for (let x = 0; x < row.length; ) {
      const from = x;
      while (row[x] === true) x++;
      const run = x - from;
      if (run > 0) path += `M${from + quiet} ${y + quiet}h${run}v1h-${run}z`;
      else x++;
    }
  }
  return path;
}
