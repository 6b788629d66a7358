// Guessing passwords from one place, from one network and from everywhere; the owner gets in all the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { providerLimits } from '../provider-limits.ts';
import { createAddressBudget } from './address-budget.ts';
import { createAttemptBudget } from './attempt-budget.ts';
import { createLoginAttempts, type LoginAttempts } from './login-attempts.ts';

function world(maxWaiting = 10): { attempts: LoginAttempts; waited: number[]; go: () => void } {
  const now = (): number => 0;
  const waited: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const attempts = createLoginAttempts({
    addresses: createAddressBudget({ address: providerLimits.addressAttempts, site: providerLimits.siteAttempts }, now),
    pairs: createAttemptBudget(providerLimits.pairAttempts, now),
    identifiers: createAttemptBudget(providerLimits.identifierAttempts, now),
    delayMs: 7,
    maxWaiting,
    wait: async ms => {
      waited.push(ms);
      await promise;
    },
  });
  return { attempts, waited, go: resolve };
}

test('wrong passwords from one address lock that address out of one identifier, and nobody else', async () => {
  const { attempts } = world();
  for (let n = 0; n < providerLimits.pairAttempts.burst; n++) {
    assert.equal((await attempts.admit('stranger', 'mia')).kind, 'admitted');
  }
  assert.equal((await attempts.admit('stranger', 'mia')).kind, 'refused');
  assert.equal((await attempts.admit('stranger', 'otto')).kind, 'admitted');
  assert.equal((await attempts.admit('home', 'mia')).kind, 'admitted');
  attempts.succeeded('home', 'mia');
  assert.equal((await attempts.admit('stranger', 'mia')).kind, 'refused', "another's success gives no new guesses");
});

test('one address that tries many identifiers is stopped', async () => {
  const { attempts } = world();
  for (let n = 0; n < providerLimits.addressAttempts.burst; n++) await attempts.admit('stranger', `user ${n}`);
  assert.equal((await attempts.admit('stranger', 'mia')).kind, 'refused');
});

test('guesses from everywhere slow the owner down and never refuse', async () => {
  const { attempts, waited, go } = world();
  for (let n = 0; n < providerLimits.identifierAttempts.burst; n++) await attempts.admit(`bot ${n}`, 'mia');
  assert.deepEqual(waited, []);
  const owner = attempts.admit('home', 'mia');
  assert.deepEqual(waited, [7]);
  go();
  assert.deepEqual(await owner, { kind: 'admitted' });
});

test('the number of logins that wait is bounded, and others are not kept waiting', async () => {
  const { attempts, go } = world(2);
  for (let n = 0; n < providerLimits.identifierAttempts.burst; n++) await attempts.admit(`bot ${n}`, 'mia');
  const slow = [attempts.admit('a', 'mia'), attempts.admit('b', 'mia')];
  assert.deepEqual(await attempts.admit('c', 'mia'), { kind: 'busy' });
  assert.deepEqual(await attempts.admit('d', 'otto'), { kind: 'admitted' });
  go();
  assert.deepEqual(await Promise.all(slow), [{ kind: 'admitted' }, { kind: 'admitted' }]);
});

test('a whole /48 is no crowd: it keeps nobody out, neither an owner nor those of other networks', async () => {
  const { attempts, waited, go } = world(providerLimits.slowedAttempts.maxWaiting);
  const outcomes: string[] = [];
  const tries: Promise<void>[] = [];
  for (let n = 0; n < 20_000; n++) {
    const attempt = attempts.admit(`2001:db8:1:${n.toString(16)}`, `user ${n % 10}`);
    tries.push(attempt.then(({ kind }) => void outcomes.push(kind)));
  }
  // What all of it leaves waiting is less than the room for those who wait.
  const owner = attempts.admit('2001:db8:2:1', 'user 1');
  assert.equal(waited.length, providerLimits.siteAttempts.burst - 10 * providerLimits.identifierAttempts.burst + 1);
  go();
  assert.deepEqual(await owner, { kind: 'admitted' });
  await Promise.all(tries);
  const admitted = outcomes.filter(kind => kind === 'admitted').length;
  assert.equal(admitted, providerLimits.siteAttempts.burst);
  assert.equal(outcomes.includes('busy'), false);
});

test('an address that goes on trying takes none of the attempts of its site', async () => {
  const { attempts } = world();
  for (let n = 0; n < 5_000; n++) void attempts.admit('2001:db8:1:1', `user ${n}`);
  assert.equal((await attempts.admit('2001:db8:1:2', 'mia')).kind, 'admitted');
});
