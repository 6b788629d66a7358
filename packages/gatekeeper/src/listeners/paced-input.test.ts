// Input that comes faster than its stream's turns: in order, a piece at a time, in bounded memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { HeldMemory, maxWaitingInputBytes } from '../routing/held-memory.ts';
import { PacedInput, type PacedStream, pieceBytes } from './paced-input.ts';

function scene({ memory = new HeldMemory(1), isDivisible = true, piecesPerTurn = 1 } = {}) {
  const read: number[] = [];
  const sizes: number[] = [];
  const soon: (() => void)[] = [];
  const state = { isPaused: false, isClosed: false, links: 0, left: piecesPerTurn };
  const stream: PacedStream<Uint8Array> = {
    get mayRead() {
      return !state.isPaused && !state.isClosed;
    },
    readPiece(input) {
      if (state.isClosed) return undefined;
      const piece = isDivisible ? input.subarray(0, pieceBytes) : input;
      read.push(...piece);
      sizes.push(piece.length);
      if (--state.left <= 0) state.isPaused = true;
      return piece.length < input.length ? input.subarray(piece.length) : undefined;
    },
    heldBytes: input => input.buffer.byteLength,
    resumeLink: () => void state.links++,
    inputWaits: bytes => memory.changeWaitingInput(bytes),
    readSoon: () => void soon.push(() => paced.readOn()),
  };
  const paced = new PacedInput(stream);
  /** The turn is over: the stream may be read again. */
  const turn = (): void => {
    state.left = piecesPerTurn;
    state.isPaused = false;
    if (!paced.resume()) state.links++;
    for (const work of soon.splice(0)) work();
  };
  return { paced, read, sizes, state, turn, soon };
}

const bytes = (from: number, length: number) => Uint8Array.from({ length }, (_, i) => (from + i) % 251);

test('a large read is taken a piece for each turn, and what comes meanwhile waits behind it', () => {
  const { paced, read, sizes, state, turn } = scene();
  const first = bytes(0, 3 * pieceBytes + 5);
  paced.take(first);
  paced.take(bytes(7, 10));
  assert.deepEqual(sizes, [pieceBytes]);
  for (let i = 0; i < 2; i++) turn();
  assert.equal(state.links, 0, 'nothing more is read while something waits');
  for (let i = 0; i < 3; i++) turn();
  assert.deepEqual(sizes, [pieceBytes, pieceBytes, pieceBytes, 5, 10]);
  assert.deepEqual(read, [...first, ...bytes(7, 10)]);
  assert.equal(state.links, 1);
});

test('whatever comes, in whatever turns, is read once and in its order', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(3 * pieceBytes), fc.constant('turn' as const)), { maxLength: 30 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 3 }),
      (steps, isDivisible, piecesPerTurn) => {
        const { paced, read, turn } = scene({ isDivisible, piecesPerTurn });
        const sent: number[] = [];
        for (const step of steps) {
          if (step === 'turn') {
            turn();
            continue;
          }
          const input = bytes(sent.length, step);
          sent.push(...input);
          paced.take(input);
        }
        for (let i = 0; i < 200; i++) turn();
        assert.equal(read.length, sent.length);
        assert.ok(read.every((byte, i) => byte === sent[i]));
      },
    ),
    { numRuns: 60 },
  );
});

test('streams together may let so much wait; beyond it input is read as it comes, and a stream that is over holds nothing', () => {
  const memory = new HeldMemory(1);
  const size = 64 * 1024;
  const scenes = Array.from({ length: maxWaitingInputBytes / size }, () => scene({ memory }));
  for (const { paced } of scenes) paced.take(bytes(0, size));
  assert.ok(scenes.every(({ read }) => read.length === pieceBytes));
  const late = scene({ memory });
  late.paced.take(bytes(0, size));
  assert.equal(late.read.length, size, 'there is no room for it to wait');
  const [gone] = scenes;
  gone!.state.isClosed = true;
  gone!.paced.drop();
  gone!.turn();
  assert.equal(gone!.read.length, pieceBytes);
  const next = scene({ memory });
  next.paced.take(bytes(0, size));
  assert.equal(next.read.length, pieceBytes);
});
