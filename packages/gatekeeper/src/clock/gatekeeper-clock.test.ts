// What a gatekeeper makes of its clock at a start and later: alone, and over a database that has a clock of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartError } from '../start-error.ts';
import type { ClockReading, ClockStore } from './clock-store.ts';
import { type GatekeeperClock, openClock } from './gatekeeper-clock.ts';

const dayMs = 86_400_000;
const rightMs = 1_790_000_000_000;

function scene({ wallMs = rightMs, seenMs = undefined as number | undefined, hasClock = false } = {}) {
  const at = { wallMs, monotonicMs: 100, seenMs, leapsPaidAtMs: 0, storageMs: hasClock ? rightMs : undefined };
  const read = async (): Promise<ClockReading> => ({
    remembered: at.seenMs === undefined ? undefined : { seenMs: at.seenMs, leapsPaidAtMs: at.leapsPaidAtMs },
    storageMs: at.storageMs,
  });
  const store: ClockStore = {
    read,
    async note(time) {
      at.seenMs = Math.max(at.seenMs ?? time.seenMs, time.seenMs);
      at.leapsPaidAtMs = Math.max(at.leapsPaidAtMs, time.leapsPaidAtMs);
      return await read();
    },
    async confirm({ nowMs }) {
      at.seenMs = at.storageMs ?? nowMs;
      at.leapsPaidAtMs = 0;
    },
  };
  const lines: string[] = [];
  const open = (): Promise<GatekeeperClock> =>
    openClock({
      store,
      nowMs: () => at.wallMs,
      monotonicMs: () => at.monotonicMs,
      log: (level, event, { code }) => lines.push([level, event, code].filter(Boolean).join(' ')),
    });
  const pass = (ms: number): void => {
    at.wallMs += ms;
    at.monotonicMs += ms;
    if (at.storageMs !== undefined) at.storageMs += ms;
  };
  return { at, store, lines, open, pass };
}

const isWrongClock = (word: RegExp) => (error: unknown) =>
  error instanceof StartError && error.code === 'clock-wrong' && word.test(error.message);

test('the first start believes its clock, and remembers it with the first look', async () => {
  const { at, open, lines, pass } = scene();
  const clock = await open();
  assert.equal(at.seenMs, undefined);
  pass(60_000);
  await clock.note();
  assert.equal(at.seenMs, rightMs + 60_000);
  assert.deepEqual(lines, []);
});

test('a start in 1970 is refused, in words', async () => {
  const { open } = scene({ wallMs: 3_600_000, seenMs: rightMs });
  await assert.rejects(open(), isWrongClock(/shows 1970-.* days before .*confirm-clock/));
});

test('a start in 2090 goes on, deletes nothing, and says so until the clock is right', async () => {
  const { at, open, lines, pass } = scene({ wallMs: rightMs + 64 * 365 * dayMs, seenMs: rightMs });
  const clock = await open();
  assert.equal(clock.state().kind, 'ahead');
  assert.equal(clock.judgeMs(), rightMs);
  pass(60_000);
  await clock.note();
  assert.equal(at.seenMs, rightMs + 60_000, 'what goes by is remembered, and not what the clock shows');
  at.wallMs = rightMs + 60_000;
  await clock.note();
  assert.deepEqual(lines, ['error clock-not-believed ahead', 'info clock-believed']);
  assert.equal(clock.state().kind, 'believed');
});

test('a person confirms a clock while the gatekeeper runs, in either direction', async () => {
  const { at, store, open, pass } = scene({ wallMs: rightMs + 7 * dayMs, seenMs: rightMs });
  const clock = await open();
  await store.confirm({ nowMs: at.wallMs, actor: 'command' });
  await clock.note();
  assert.equal(clock.judgeMs(), at.wallMs);
  // It was wrong after all, and is set back.
  at.wallMs -= 7 * dayMs;
  pass(60_000);
  await clock.note();
  assert.equal(clock.state().kind, 'behind');
  await store.confirm({ nowMs: at.wallMs, actor: 'command' });
  await clock.note();
  assert.equal(clock.state().kind, 'believed');
  assert.equal(clock.stampMs(), at.wallMs);
});

test('a node with a wrong clock does not start beside a database, and goes by the database when its clock is set later', async () => {
  for (const wrongMs of [-rightMs, 64 * 365 * dayMs, 3_600_000]) {
    const { open } = scene({ wallMs: rightMs + wrongMs, seenMs: rightMs, hasClock: true });
    await assert.rejects(open(), isWrongClock(/database/));
  }
  const { at, open, lines, pass } = scene({ seenMs: rightMs, hasClock: true });
  const clock = await open();
  at.wallMs += 20 * 3_600_000;
  pass(2 * dayMs);
  await clock.note();
  assert.equal(clock.judgeMs(), rightMs + 2 * dayMs, 'not by this machine');
  assert.equal(clock.state().kind, 'differs');
  assert.equal(at.seenMs, rightMs + 2 * dayMs);
  assert.deepEqual(lines, ['error clock-not-believed differs']);
});

test('what comes is counted from the later clock, also when that is this machine’s and not the database’s', async () => {
  const { at, open } = scene({ hasClock: true });
  const clock = await open();
  at.wallMs += 300_000;
  assert.deepEqual([clock.stampMs(), clock.judgeMs()], [rightMs + 300_000, rightMs]);
});

test('starts that each leap by almost a day are believed once, and again when that much has gone by or a person says so', async () => {
  const { at, store, open, pass } = scene({ seenMs: rightMs });
  const leapAndStart = async (): Promise<GatekeeperClock> => {
    at.wallMs += dayMs - 120_000;
    const clock = await open();
    pass(60_000);
    await clock.note();
    return clock;
  };
  assert.equal((await leapAndStart()).state().kind, 'believed');
  for (let start = 2; start <= 5; start++) assert.equal((await leapAndStart()).state().kind, 'ahead');
  assert.ok(at.seenMs! < rightMs + 1.1 * dayMs);
  // Beside a gatekeeper that runs and has told what it owes.
  const clock = await open();
  await store.confirm({ nowMs: at.wallMs, actor: 'command' });
  pass(60_000);
  await clock.note();
  assert.equal(at.leapsPaidAtMs, 0);
  assert.equal((await leapAndStart()).state().kind, 'believed');
});
