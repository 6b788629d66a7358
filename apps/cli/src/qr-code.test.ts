// A QR code is what a reader makes of it: read back here as the standard says, without a line of what made it; and codes as
// another implementation makes them (python-qrcode 8.2, level L, byte mode), each with its eight masks.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { maxQrBytes, qrGrid, qrLines, qrPicture } from './qr-code.ts';

/** Without the margin. */
function squares(text: string, level: keyof typeof maxQrBytes): boolean[][] | undefined {
  return qrGrid(text, level)
    ?.slice(4, -4)
    .map(row => row.slice(4, -4));
}

/** Level M by mask, as table C.1 of the standard lists them. */
const formats = [0x5412, 0x5125, 0x5e7c, 0x5b4b, 0x45f9, 0x40ce, 0x4f97, 0x4aa0];
/** Error correction codewords and blocks of each version, level M (table 9): bytes of all, of one block, blocks. */
const table: readonly (readonly [number, number, number])[] = [
  [26, 10, 1],
  [44, 16, 1],
  [70, 26, 1],
  [100, 18, 2],
  [134, 24, 2],
  [172, 16, 4],
  [196, 18, 4],
  [242, 22, 4],
  [292, 22, 5],
  [346, 26, 5],
  [404, 30, 5],
  [466, 22, 8],
  [532, 22, 9],
  [581, 24, 9],
  [655, 24, 10],
  [733, 28, 10],
  [815, 28, 11],
  [901, 26, 13],
  [991, 26, 14],
  [1_085, 26, 16],
];
/** Where alignment patterns stand (table E.1). */
const aligned: readonly (readonly number[])[] = [
  [],
  [6, 18],
  [6, 22],
  [6, 26],
  [6, 30],
  [6, 34],
  [6, 22, 38],
  [6, 24, 42],
  [6, 26, 46],
  [6, 28, 50],
  [6, 30, 54],
  [6, 32, 58],
  [6, 34, 62],
  [6, 26, 46, 66],
  [6, 26, 48, 70],
  [6, 26, 50, 74],
  [6, 30, 54, 78],
  [6, 30, 56, 82],
  [6, 30, 58, 86],
  [6, 34, 62, 90],
];
const turned: readonly ((row: number, column: number) => boolean)[] = [
  (i, j) => (i + j) % 2 === 0,
  i => i % 2 === 0,
  (_, j) => j % 3 === 0,
  (i, j) => (i + j) % 3 === 0,
  (i, j) => (Math.floor(i / 2) + Math.floor(j / 3)) % 2 === 0,
  (i, j) => ((i * j) % 2) + ((i * j) % 3) === 0,
  (i, j) => (((i * j) % 2) + ((i * j) % 3)) % 2 === 0,
  (i, j) => (((i * j) % 3) + ((i + j) % 2)) % 2 === 0,
];

function isFixed(row: number, column: number, size: number, version: number): boolean {
  if (row === 6 || column === 6) return true;
  const isCorner = (r: number, c: number): boolean => r <= 8 && c <= 8;
  if (isCorner(row, column) || isCorner(row, size - 1 - column) || isCorner(size - 1 - row, column)) {
    // The last row and column of a corner hold format bits at two of them, and data at none.
    if (row <= 8 && column <= 8) return true;
    if (row <= 8 && column >= size - 8) return true;
    if (row >= size - 8 && column <= 8) return true;
  }
  if (version >= 7 && ((row < 6 && column >= size - 11) || (column < 6 && row >= size - 11))) return true;
  const places = aligned[version - 1]!;
  return places.some(r =>
    places.some(c => {
      const isInCorner = (r === 6 && c === 6) || (r === 6 && c === places.at(-1)) || (r === places.at(-1) && c === 6);
      return !isInCorner && Math.abs(row - r) <= 2 && Math.abs(column - c) <= 2;
    }),
  );
}

function multiply(a: number, b: number): number {
  let result = 0;
  for (let rest = b, power = a; rest > 0; rest >>= 1) {
    if ((rest & 1) === 1) result ^= power;
    power = (power << 1) ^ (power >= 128 ? 0x11d : 0);
  }
  return result;
}

/** What a reader finds, or why it finds nothing. */
function read(grid: readonly (readonly boolean[])[]): string {
  const size = grid.length;
  const version = (size - 17) / 4;
  const [total, ecc, blocks] = table[version - 1]!;
  const bit = (row: number, column: number): number => Number(grid[row]![column]);
  const first = [0, 1, 2, 3, 4, 5, 7, 8].map(row => bit(row, 8));
  const rest = [7, 5, 4, 3, 2, 1, 0].map(column => bit(8, column));
  const format = [...first, ...rest].reduce((bits, each, at) => bits | (each << at), 0);
  const mask = formats.indexOf(format);
  assert.notEqual(mask, -1, 'the format is none');
  assert.ok(grid[size - 8]![8], 'the dark square');
  const bits: number[] = [];
  let goesUp = true;
  for (let right = size - 1; right > 0; right -= 2) {
    if (right === 6) right--;
    for (let step = 0; step < size; step++) {
      const row = goesUp ? size - 1 - step : step;
      for (const column of [right, right - 1]) {
        if (isFixed(row, column, size, version)) continue;
        bits.push(bit(row, column) ^ Number(turned[mask]!(row, column)));
      }
    }
    goesUp = !goesUp;
  }
  const words = Array.from({ length: total }, (_, at) =>
    bits.slice(8 * at, 8 * at + 8).reduce((word, each) => word * 2 + each, 0),
  );
  const perBlock = Math.floor(total / blocks);
  const longBlocks = total % blocks;
  const lengths = Array.from({ length: blocks }, (_, at) => perBlock - ecc + (at >= blocks - longBlocks ? 1 : 0));
  const parts: number[][] = lengths.map(() => []);
  let next = 0;
  for (let at = 0; at <= perBlock - ecc; at++)
    for (const [block, length] of lengths.entries()) if (at < length) parts[block]!.push(words[next++]!);
  const data = parts.flatMap(part => [...part]);
  for (let at = 0; at < ecc; at++) for (const part of parts) part.push(words[next++]!);
  for (const part of parts) {
    // A codeword is a multiple of the generator: it is nothing at each of its roots.
    for (let power = 0, root = 1; power < ecc; power++, root = multiply(root, 2)) {
      assert.equal(
        part.reduce((value, word) => multiply(value, root) ^ word, 0),
        0,
        'a block does not add up',
      );
    }
  }
  const stream = data.map(byte => byte.toString(2).padStart(8, '0')).join('');
  assert.equal(stream.slice(0, 4), '0100', 'bytes');
  const countBits = version < 10 ? 8 : 16;
  const count = Number.parseInt(stream.slice(4, 4 + countBits), 2);
  const bytes = Array.from({ length: count }, (_, at) =>
    Number.parseInt(stream.slice(4 + countBits + 8 * at, 12 + countBits + 8 * at), 2),
  );
  return Buffer.from(bytes).toString();
}

test('a code of each version is read as what it was made of', () => {
  const versions = new Set<number>();
  for (let length = 1; length <= 666; length += 3) {
    const text = 'Zugbrücke '.repeat(70).slice(0, length);
    const grid = squares(text, 'medium');
    if (grid === undefined) break;
    versions.add((grid.length - 17) / 4);
    assert.equal(read(grid), text);
  }
  assert.deepEqual(
    [...versions],
    Array.from({ length: 20 }, (_, at) => at + 1),
  );
});

test('whatever text, and the most that there is room for', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 120 }),
      text => read(squares(text, 'medium')!) === text.toWellFormed(),
    ),
    { numRuns: 60 },
  );
  assert.equal(read(squares('x'.repeat(666), 'medium')!), 'x'.repeat(666));
  assert.equal(squares('x'.repeat(667), 'medium'), undefined);
});

test('three corners are found, and nothing stands at the edge', () => {
  const { size, path } = qrPicture('corner')!;
  assert.match(path, /^(?:M\d+ \d+h\d+v1h-\d+z)+$/);
  for (const [, x, y, run] of path.matchAll(/M(\d+) (\d+)h(\d+)/g)) {
    assert.ok(Number(x) >= 4 && Number(y) >= 4 && Number(x) + Number(run) <= size - 4 && Number(y) < size - 4);
  }
  const grid = squares('corner', 'medium')!;
  const end = grid.length - 7;
  for (const [row, column] of [
    [0, 0],
    [0, end],
    [end, 0],
  ] as const) {
    const corner = grid.slice(row, row + 7).map(line =>
      line
        .slice(column, column + 7)
        .map(Number)
        .join(''),
    );
    assert.deepEqual(corner, ['1111111', '1000001', '1011101', '1011101', '1011101', '1000001', '1111111']);
  }
});

/** The beginning of SHA-256 of all modules, row by row, by mask. */
const vectors: readonly { readonly text: string; readonly version: number; readonly masks: readonly string[] }[] = [
  {
    text: 'a',
    version: 1,
    masks: [
      'c8b94007197ad57d',
      '98ac86431c415eca',
      '641125bded80d614',
      '2a29499fa66525ef',
      '0690556ff7a460a5',
      'd6c4f28b3a2f609e',
      '6b854c01f5f5ebfc',
      '94b395feca9defed',
    ],
  },
  {
    text: `drawbridge:meet?at=citadel.example&of=skylark.example&name=anna&secret=${'s'.repeat(22)}&key=${'k'.repeat(44)}`,
    version: 7,
    masks: [
      'b7614b1c18c63249',
      '7af8b917ad5999eb',
      'e9bbd44ee014c505',
      'b0edeea7ab11364e',
      'd7d42c5083484bb5',
      '8c60d182fb1a635e',
      'eb0ee2e6c2743242',
      'ad056d0db2e19efc',
    ],
  },
  {
    text: 'x'.repeat(400),
    version: 13,
    masks: [
      'defd450cf62e87ff',
      'b1e4e65e930b8028',
      '47a3a20093314eb0',
      '8cd36069388abcd4',
      'b810b367a331453e',
      '1efdf8cee268b8ff',
      'ce84ab130a04fef0',
      '5b6c9902b75515b3',
    ],
  },
];

test('a code is one of those that another implementation makes', () => {
  for (const { text, version, masks } of vectors) {
    const code = squares(text, 'low')!;
    assert.equal(code.length, 17 + 4 * version);
    const modules = code.map(row => row.map(isDark => (isDark ? '1' : '0')).join('')).join('');
    assert.ok(masks.includes(createHash('sha256').update(modules).digest('hex').slice(0, 16)), `version ${version}`);
  }
});

test('the longest that fits, and not one above; every version between is made', () => {
  assert.equal(squares('x'.repeat(maxQrBytes.low), 'low')!.length, 97);
  assert.equal(squares('x'.repeat(maxQrBytes.low + 1), 'low'), undefined);
  let before = 0;
  for (let bytes = 0; bytes <= maxQrBytes.low; bytes += 33) {
    const { length } = squares('x'.repeat(bytes), 'low')!;
    assert.ok(length >= before && (length - 17) % 4 === 0);
    before = length;
  }
});

test('two rows stand in one line', () => {
  const grid = [
    [false, true, false],
    [false, false, true],
    [true, false, false],
  ];
  assert.deepEqual(qrLines(grid), ['█▄▀', ' ▀▀']);
});
