// A provider whose host's clock is wrong at the start or is set while it runs: what it keeps goes when its time has gone by.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { confirmClock, openProviderClock, type ProviderClock } from './provider-clock.ts';
import {
  createEventIds,
  createSessions,
  openProviderDatabase,
  removeExpired,
  sessionLimits,
} from './provider-database.ts';

const dayMs = 86_400_000;
const startMs = 1_790_000_000_000;

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function scene() {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-clock-'));
  folders.push(folder);
  const at = { wallMs: startMs, monotonicMs: 0 };
  const log: string[] = [];
  const open = () => {
    const database = openProviderDatabase(join(folder, 'provider.sqlite'));
    const say = (event: string, code: string): void => void log.push(`${event} ${code}`);
    const clock: ProviderClock = openProviderClock(
      database,
      () => at.wallMs,
      () => at.monotonicMs,
      say,
    );
    return { database, clock, sessions: createSessions(database, clock), takeEventId: createEventIds(database) };
  };
  const pass = (ms: number): void => {
    at.wallMs += ms;
    at.monotonicMs += ms;
  };
  return { at, log, open, pass };
}

test('a start in 2090 ends no session and forgets no used event, and its time passes by what goes by', async () => {
  const { at, log, open, pass } = scene();
  const event = { issuer: 'https://citadel.example', jti: 'A'.repeat(24), expiresAtMs: startMs + 600_000 };
  const before = open();
  const token = await before.sessions.begin('mia');
  assert.equal(await before.takeEventId(event), true);
  await before.clock.note();
  await before.database.close();

  at.wallMs += 64 * 365 * dayMs;
  const wrong = open();
  assert.deepEqual(log, ['clock-not-believed ahead']);
  await removeExpired(wrong.database, wrong.clock.judgeMs());
  assert.equal(wrong.sessions.find(token), 'mia');
  assert.equal(await wrong.takeEventId(event), false, 'it is not used again');
  pass(sessionLimits.lifetimeMs - 1);
  assert.equal(wrong.sessions.find(token), 'mia');
  pass(1);
  await wrong.clock.note();
  await removeExpired(wrong.database, wrong.clock.judgeMs());
  assert.equal(wrong.sessions.find(token), undefined);
  at.wallMs -= 64 * 365 * dayMs;
  await wrong.clock.note();
  assert.deepEqual(log, ['clock-not-believed ahead', 'clock-believed believed']);
  await wrong.database.close();
});

test('starts that each leap by almost a day end no session of thirty', async () => {
  const { at, open, pass } = scene();
  const first = open();
  const token = await first.sessions.begin('mia');
  await first.clock.note();
  await first.database.close();
  for (let start = 1; start <= 40; start++) {
    at.wallMs += dayMs - 300_000;
    const { database, clock, sessions } = open();
    pass(60_000);
    await clock.note();
    await removeExpired(database, clock.judgeMs());
    assert.equal(sessions.find(token), 'mia', `start ${start}`);
    await database.close();
  }
});

test('a person says that the clock is right, also beside a provider that runs', async () => {
  const { at, log, open } = scene();
  const before = open();
  const token = await before.sessions.begin('mia');
  await before.clock.note();
  await before.database.close();
  at.wallMs += 40 * dayMs;
  const running = open();
  const command = open();
  await confirmClock(command.database, at.wallMs);
  await command.database.close();
  assert.equal(running.sessions.find(token), 'mia');
  await running.clock.note();
  assert.equal(running.sessions.find(token), undefined);
  assert.equal(log.at(-1), 'clock-believed believed');
  // It was wrong after all, and is set back.
  at.wallMs -= 20 * dayMs;
  await running.clock.note();
  assert.equal(log.at(-1), 'clock-not-believed behind');
  await confirmClock(running.database, at.wallMs);
  await running.clock.note();
  assert.equal(running.clock.stampMs(), at.wallMs);
  await running.database.close();
});
