// Guessing passwords from one place, from one network and from everywhere; the owner gets in all the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { providerLimits } from '../provider-limits.ts';
import { createAttemptBudget } from './attempt-budget.ts';
import { createLoginAttempts, type LoginAttempts } from './login-attempts.ts';

function world(maxWaiting = 10): { attempts: LoginAttempts; waited: number[]; go: () => void } {
  const now = (): number => 0;
  const waited: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const attempts = createLoginAttempts({
    addresses: createAttemptBudget(providerLimits.addressAttempts, now),
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
