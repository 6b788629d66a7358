// A QR code of bytes, as rows of dark and light: byte mode, error correction level L, the smallest version that fits. Pure.
// Source: ISO/IEC 18004:2015, sections 7.3 to 7.10.

/** By version: error correction codewords in each block, and blocks (ISO/IEC 18004 table 9, level L). */
const eccPerBlock = [7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28];
const blockCount = [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8];
/** Bytes of the largest version that is made here. */
export const maxQrBytes = 858;

type Grid = { readonly size: number; readonly dark: boolean[][]; readonly fixed: boolean[][] };

/** Undefined when it is too long. */
export function qrCode(bytes: Uint8Array): readonly (readonly boolean[])[] | undefined {
  for (let version = 1; version <= eccPerBlock.length; version++) {
    const data = dataCodewords(bytes, version);
    if (data === undefined) continue;
    const grid = emptyGrid(version);
    placeCodewords(grid, interleaved(data, version));
    return masked(grid);
  }
  return undefined;
}

/** Modules that are not function patterns (section 7.4.10), in whole codewords. */
function codewordsOf(version: number): number {
  const aligned = version < 2 ? 0 : Math.floor(version / 7) + 2;
  const ofPatterns = version < 2 ? 0 : (25 * aligned - 10) * aligned - 55;
  const modules = (16 * version + 128) * version + 64 - ofPatterns - (version < 7 ? 0 : 36);
  return Math.floor(modules / 8);
}

function dataCodewords(bytes: Uint8Array, version: number): number[] | undefined {
  const room = codewordsOf(version) - eccPerBlock[version - 1]! * blockCount[version - 1]!;
  const countBits = version < 10 ? 8 : 16;
  if (bytes.length >= 2 ** countBits || 4 + countBits + 8 * bytes.length > 8 * room) return undefined;
  const bits: number[] = [];
  const put = (value: number, length: number): void => {
    for (let at = length - 1; at >= 0; at--) bits.push((value >>> at) & 1);
  };
  put(0b0100, 4);
  put(bytes.length, countBits);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, 8 * room - bits.length));
  while (bits.length % 8 !== 0) bits.push(0);
  const codewords = Array.from({ length: bits.length / 8 }, (_, at) =>
    bits.slice(8 * at, 8 * at + 8).reduce((value, bit) => (value << 1) | bit, 0),
  );
  for (let pad = 0xec; codewords.length < room; pad ^= 0xec ^ 0x11) codewords.push(pad);
  return codewords;
}

/** In GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) product = (product << 1) ^ ((product >>> 7) * 0x11d) ^ (((b >>> bit) & 1) * a);
  return product;
}

function generator(degree: number): number[] {
  const result = [...Array.from({ length: degree - 1 }, () => 0), 1];
  let root = 1;
  for (let i = 0; i < degree; i++) {
    for (let j = 0; j < degree; j++) result[j] = multiply(result[j]!, root) ^ (result[j + 1] ?? 0);
    root = multiply(root, 2);
  }
  return result;
}

function remainder(data: readonly number[], divisor: readonly number[]): number[] {
  const rest = divisor.map(() => 0);
  for (const codeword of data) {
    const factor = codeword ^ rest.shift()!;
    rest.push(0);
    for (const [at, each] of divisor.entries()) rest[at]! ^= multiply(each, factor);
  }
  return rest;
}

/** Data and error correction of all blocks, taken in turns (section 7.6). */
function interleaved(data: readonly number[], version: number): number[] {
  const blocks = blockCount[version - 1]!;
  const divisor = generator(eccPerBlock[version - 1]!);
  const short = Math.floor(data.length / blocks);
  const longs = data.length % blocks;
  const parts: { readonly data: readonly number[]; readonly ecc: readonly number[] }[] = [];
  for (let block = 0, at = 0; block < blocks; block++) {
    const length = short + (block < blocks - longs ? 0 : 1);
    const part = data.slice(at, at + length);
    at += length;
    parts.push({ data: part, ecc: remainder(part, divisor) });
  }
  const turns = (of: (part: (typeof parts)[number]) => readonly number[]): number[] =>
    Array.from({ length: Math.max(...parts.map(part => of(part).length)) }, (_, at) =>
      parts.flatMap(part => of(part).slice(at, at + 1)),
    ).flat();
  return [...turns(part => part.data), ...turns(part => part.ecc)];
}

function emptyGrid(version: number): Grid {
  const size = 17 + 4 * version;
  const rows = (): boolean[][] => Array.from({ length: size }, () => Array.from({ length: size }, () => false));
  const grid = { size, dark: rows(), fixed: rows() };
  for (let at = 0; at < size; at++) {
    setFixed(grid, at, 6, at % 2 === 0);
    setFixed(grid, 6, at, at % 2 === 0);
  }
  for (const [x, y] of [[3, 3] as const, [size - 4, 3] as const, [3, size - 4] as const]) square(grid, x, y, 4);
  const places = alignmentPlaces(version);
  for (const x of places) {
    for (const y of places) {
      const isFinder = (x === 6 && (y === 6 || y === size - 7)) || (x === size - 7 && y === 6);
      if (!isFinder) square(grid, x, y, 2);
    }
  }
  placeVersion(grid, version);
  placeFormat(grid, 0);
  return grid;
}

function setFixed({ dark, fixed, size }: Grid, x: number, y: number, isDark: boolean): void {
  if (x < 0 || y < 0 || x >= size || y >= size) return;
  dark[y]![x] = isDark;
  fixed[y]![x] = true;
}

/** Rings of dark and light around a centre: a finder pattern with its separator (4), or an alignment pattern (2). */
function square(grid: Grid, centreX: number, centreY: number, reach: number): void {
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const ring = Math.max(Math.abs(x), Math.abs(y));
      setFixed(grid, centreX + x, centreY + y, reach === 2 ? ring !== 1 : ring !== 2 && ring !== 4);
    }
  }
}

function alignmentPlaces(version: number): number[] {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((4 * version + 4) / (2 * count - 2)) * 2;
  return [6, ...Array.from({ length: count - 1 }, (_, at) => 4 * version + 10 - step * (count - 2 - at))];
}

/** The bits with those of a BCH code behind them (sections 7.9 and 7.10). */
function withCheck(value: number, polynomial: number, checkBits: number): number {
  let rest = value;
  for (let i = 0; i < checkBits; i++) rest = (rest << 1) ^ ((rest >>> (checkBits - 1)) * polynomial);
  return (value << checkBits) | rest;
}

function placeVersion(grid: Grid, version: number): void {
  if (version < 7) return;
  const bits = withCheck(version, 0x1f25, 12);
  for (let at = 0; at < 18; at++) {
    const isDark = ((bits >>> at) & 1) === 1;
    const [a, b] = [grid.size - 11 + (at % 3), Math.floor(at / 3)];
    setFixed(grid, a, b, isDark);
    setFixed(grid, b, a, isDark);
  }
}

/** Of each format bit beside the finder pattern at the top left: around the timing pattern. */
const nearPlaces = [0, 1, 2, 3, 4, 5, 7, 8, 7, 5, 4, 3, 2, 1, 0];

/** Level L is 01. */
function placeFormat(grid: Grid, mask: number): void {
  const bits = withCheck((0b01 << 3) | mask, 0x537, 10) ^ 0x5412;
  const isDark = (at: number): boolean => ((bits >>> at) & 1) === 1;
  const { size } = grid;
  for (let at = 0; at < 15; at++) {
    const near = nearPlaces[at]!;
    if (at < 8) {
      setFixed(grid, 8, near, isDark(at));
      setFixed(grid, size - 1 - at, 8, isDark(at));
    } else {
      setFixed(grid, near, 8, isDark(at));
      setFixed(grid, 8, size - 15 + at, isDark(at));
    }
  }
  setFixed(grid, 8, size - 8, true);
}

/** Upwards and downwards in columns of two, from the right (section 7.7.3). */
function placeCodewords({ size, dark, fixed }: Grid, codewords: readonly number[]): void {
  let bit = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    const column = right <= 6 ? right - 1 : right;
    const isUp = ((column + 1) & 2) === 0;
    for (let step = 0; step < size; step++) {
      const y = isUp ? size - 1 - step : step;
      for (const x of [column, column - 1]) {
        if (fixed[y]![x] === true || bit >= codewords.length * 8) continue;
        dark[y]![x] = ((codewords[bit >>> 3]! >>> (7 - (bit & 7))) & 1) === 1;
        bit++;
      }
    }
  }
}

const masks: readonly ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_x, y) => y % 2 === 0,
  x => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** The mask with the least to confuse a reader (section 7.8.3). */
function masked(grid: Grid): readonly (readonly boolean[])[] {
  const tried = masks.map((isFlipped, mask) => {
    const copy = { ...grid, dark: grid.dark.map(row => [...row]) };
    for (let y = 0; y < grid.size; y++) {
      for (let x = 0; x < grid.size; x++) {
        if (grid.fixed[y]![x] === false && isFlipped(x, y)) copy.dark[y]![x] = copy.dark[y]![x] === false;
      }
    }
    placeFormat(copy, mask);
    return copy.dark;
  });
  return tried.reduce((best, each) => (penalty(each) < penalty(best) ? each : best));
}

function penalty(dark: readonly (readonly boolean[])[]): number {
  const size = dark.length;
  const columns = dark.map((_, x) => dark.map(row => row[x]!));
  let sum = 0;
  for (const line of [...dark, ...columns]) {
    const text = line.map(each => (each ? '1' : '0')).join('');
    for (const run of text.match(/0{5,}|1{5,}/g) ?? []) sum += run.length - 2;
    sum += 40 * [...text.matchAll(/(?=00001011101|10111010000)/g)].length;
  }
  for (let y = 0; y < size - 1; y++) {
    for (let x = 0; x < size - 1; x++) {
      const corner = dark[y]![x];
      if (corner === dark[y]![x + 1] && corner === dark[y + 1]![x] && corner === dark[y + 1]![x + 1]) sum += 3;
    }
  }
  const share = dark.flat().filter(Boolean).length / size ** 2;
  return sum + 10 * Math.floor(Math.abs(share - 0.5) * 20);
}

/** Two rows in one line of text, with the light margin that a reader needs; light is drawn, for terminals are dark. */
export function qrLines(code: readonly (readonly boolean[])[]): string[] {
  const margin = 4;
  const isDark = (x: number, y: number): boolean => code[y - margin]?.[x - margin] === true;
  const size = code.length + 2 * margin;
  const lines: string[] = [];
  for (let y = 0; y < size; y += 2) {
    let line = '';
    for (let x = 0; x < size; x++) {
      const [upper, lower] = [isDark(x, y), y + 1 < size ? isDark(x, y + 1) : true];
      line += '█▀▄ '[(upper ? 2 : 0) + (lower ? 1 : 0)]!;
    }
    lines.push(line);
  }
  return lines;
}
