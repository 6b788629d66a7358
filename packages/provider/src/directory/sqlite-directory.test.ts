// The embedded directory: passwords, equal time for unknown users, bounded work; sessions, event ids and budgets.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAttemptBudget } from '../http/attempt-budget.ts';
import { createPasswordHasher, isPassword, passwordHashLimits } from './password-hash.ts';
import {
  createEventIds,
  createSessions,
  openProviderDatabase,
  removeExpired,
  sessionLimits,
} from '../storage/provider-database.ts';
import { testUserDirectory } from '../testing/user-directory-contract.ts';
import { createSqliteDirectory } from './sqlite-directory.ts';
import type { UserDirectory } from './user-directory.ts';

const nowMs = 1_795_000_000_000;

testUserDirectory('sqlite', async () => {
  const directory = createSqliteDirectory(openProviderDatabase(':memory:'), () => nowMs);
  return { directory, remove: directory.remove };
});

// People of a service of its own: they register elsewhere, and the kit only asks.
testUserDirectory('memory', async () => {
  const people = new Map<string, string>();
  const directory: UserDirectory = {
    authenticate: async (identifier, password) => ({
      kind: people.has(identifier) && people.get(identifier) === password ? 'authenticated' : 'refused',
    }),
    exists: async identifier => people.has(identifier),
  };
  const add = async (identifier: string, password: string): Promise<void> => void people.set(identifier, password);
  return { directory, add, remove: async identifier => people.delete(identifier) };
});

test('an unknown user costs as much time as a wrong password', async () => {
  const directory = createSqliteDirectory(openProviderDatabase(':memory:'), () => nowMs);
  await directory.register('mia', 'correct horse');
  const medianMs = async (identifier: string): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < 9; i++) {
      const start = performance.now();
      await directory.authenticate(identifier, 'wrong horse');
      times.push(performance.now() - start);
    }
    return times.toSorted((a, b) => a - b)[4] ?? 0;
  };
  const [known, unknown] = [await medianMs('mia'), await medianMs('nobody')];
  // Without the work for nobody the ratio would be about 100.
  assert.ok(known / unknown < 3 && unknown / known < 3, `${known} ms and ${unknown} ms`);
});

test('a stored hash is Argon2id with its parameters, salted; a damaged one matches nothing', async () => {
  const hasher = createPasswordHasher();
  const [one, two] = [await hasher.hash('correct horse'), await hasher.hash('correct horse')];
  assert.ok(one.kind === 'hashed' && two.kind === 'hashed');
  assert.match(one.phc, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  assert.notEqual(one.phc, two.phc);
  // One password, typed composed and decomposed.
  const composed = await hasher.hash('Schl\u00fcssel!');
  assert.ok(composed.kind === 'hashed');
  assert.equal((await hasher.verify('Schlu\u0308ssel!', composed.phc)).kind, 'matches');
  for (const bad of [
    '',
    'correct horse',
    one.phc.slice(0, -1),
    one.phc.replace('m=19456', 'm=9999999'),
    one.phc.replace('t=2', 't=0'),
  ]) {
    assert.equal((await hasher.verify('correct horse', bad)).kind, 'refused', bad);
  }
});

test('an independent Argon2id made this hash', async () => {
  // The reference implementation's own test vector (argon2id, v=19, t=2, m=2^8, p=1, "password", "somesalt").
  const phc = '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4';
  const hasher = createPasswordHasher();
  assert.equal((await hasher.verify('password', phc)).kind, 'matches');
  assert.equal((await hasher.verify('passwore', phc)).kind, 'refused');
});

test('hashing is bounded: more than may wait are told so, and the rest are served', async () => {
  const hasher = createPasswordHasher();
  const { maxConcurrent, maxWaiting } = passwordHashLimits;
  const phc = '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4';
  const all = await Promise.all(Array.from({ length: 100 }, () => hasher.verify('password', phc)));
  assert.equal(all.filter(each => each.kind === 'busy').length, 100 - maxConcurrent - maxWaiting);
  assert.equal((await hasher.verify('password', phc)).kind, 'refused');
});

test('passwords have limits', () => {
  assert.ok(isPassword('12345678') && isPassword('😀'.repeat(8)) && isPassword('x'.repeat(512)));
  assert.ok(
    !isPassword('1234567') &&
      !isPassword('😀'.repeat(7)) &&
      !isPassword('x'.repeat(513)) &&
      !isPassword('\ud83d1234567890'),
  );
});

test('sessions: only hashes are kept, they end, and there are at most 32', async () => {
  let now = nowMs;
  const folder = mkdtempSync(join(tmpdir(), 'provider-'));
  const path = join(folder, 'provider.sqlite');
  try {
    const database = openProviderDatabase(path);
    const sessions = createSessions(database, { stampMs: () => now, judgeMs: () => now });
    const token = await sessions.begin('mia');
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(sessions.find(token), 'mia');
    assert.equal(sessions.find(token.slice(1)), undefined);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    for (const file of [path, `${path}-wal`])
      assert.ok(!readFileSync(file).includes(token), 'the token is not on disk');
    now += sessionLimits.lifetimeMs;
    assert.equal(sessions.find(token), undefined);
    await removeExpired(database, now);
    assert.equal(database.reads.prepare('SELECT count(*) AS n FROM sessions').get()?.['n'], 0);

    const tokens: string[] = [];
    for (let n = 0; n <= sessionLimits.maxPerUser; n++) {
      now++;
      tokens.push(await sessions.begin('mia'));
    }
    assert.equal(tokens.filter(each => sessions.find(each) === 'mia').length, sessionLimits.maxPerUser);
    assert.equal(sessions.find(tokens[0] ?? ''), undefined);
    const [, second = '', third = ''] = tokens;
    await sessions.end(second);
    assert.equal(sessions.find(second), undefined);
    assert.equal(sessions.find(third), 'mia');
    const other = await sessions.begin('otto');
    await sessions.endAll('mia');
    assert.equal(sessions.find(third), undefined);
    assert.equal(sessions.find(other), 'otto');
    await database.close();

    const later = new DatabaseSync(path);
    later.exec('PRAGMA user_version = 99');
    later.close();
    assert.throws(() => openProviderDatabase(path), /run the newer program/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('an event id is taken once', async () => {
  const database = openProviderDatabase(':memory:');
  const take = createEventIds(database);
  const id = { issuer: 'https://citadel.example', jti: 'AAAAAAAAAAAAAAAA', expiresAtMs: nowMs + 1000 };
  const all = await Promise.all(Array.from({ length: 20 }, () => take(id)));
  assert.equal(all.filter(Boolean).length, 1);
  assert.equal(await take({ ...id, issuer: 'https://heron.example' }), true);
  await removeExpired(database, nowMs + 1000);
  assert.equal(await take(id), true);
});

test('budgets: a burst, a steady refill, restored by success, bounded in keys', () => {
  let now = 0;
  const budget = createAttemptBudget({ burst: 3, refillMs: 30_000, maxKeys: 2 }, () => now);
  assert.deepEqual([budget.take('a'), budget.take('a'), budget.take('a')], [0, 0, 0]);
  assert.equal(budget.take('a'), 10);
  now += 9_000;
  assert.equal(budget.take('a'), 1);
  now += 1_000;
  assert.equal(budget.take('a'), 0);
  assert.equal(budget.take('a'), 10);
  budget.restore('a');
  assert.equal(budget.take('a'), 0);
  now += 3_600_000;
  assert.deepEqual([budget.take('a'), budget.take('a'), budget.take('a')], [0, 0, 0]);
  assert.equal(budget.take('b'), 0);
  assert.ok(budget.take('a') > 0, 'two keys are remembered');
  budget.take('c');
  assert.equal(budget.take('a'), 10, 'the one unused for longest was forgotten, not this one');
});
