import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Budget, createBudgets, maxKeysPerSite, personKey, siteRates } from './budgets.ts';
import { parseConfig } from './config.ts';

let clockMs = 0;
/** What is asked at this time. */
function at<T>(nowMs: number, ask: () => T): T {
  clockMs = nowMs;
  return ask();
}

function budgetConfig(budgets: Record<string, unknown>) {
  const parsed = parseConfig(
    {
      mode: 'development',
      domain: 'a.example',
      issuer: 'https://a.example',
      listeners: { http: { port: 1 } },
      budgets,
    },
    '/',
  );
  assert(parsed.kind === 'loaded');
  return parsed.config.budgets;
}

test('the burst at once, then one for each refill', () => {
  const budgets = createBudgets(budgetConfig({ bundlesPerPair: { burst: 6, refillSeconds: 600 } }), () => clockMs);
  const charge = [{ budget: 'bundlesPerPair', key: 'a' }] as const;
  for (let i = 0; i < 6; i++)
    assert.equal(
      at(1_000, () => budgets.take(charge)),
      0,
    );
  assert.equal(
    at(1_000, () => budgets.take(charge)),
    600,
  );
  assert.equal(
    at(1_000 + 599_000, () => budgets.take(charge)),
    1,
  );
  assert.equal(
    at(1_000 + 600_000, () => budgets.take(charge)),
    0,
  );
  assert.equal(
    at(1_000 + 600_000, () => budgets.take(charge)),
    600,
  );
  assert.equal(
    at(1_000, () => budgets.take([{ budget: 'bundlesPerPair', key: 'b' }])),
    0,
    'others have their own',
  );
});

test('all charges are spent or none', () => {
  const budgets = createBudgets(
    budgetConfig({
      bundlesPerPair: { burst: 1, refillSeconds: 60 },
      bundlesPerTarget: { burst: 2, refillSeconds: 60 },
    }),
    () => clockMs,
  );
  const both = (pair: string) =>
    [
      { budget: 'bundlesPerTarget', key: 't' },
      { budget: 'bundlesPerPair', key: pair },
    ] as const;
  assert.equal(
    at(0, () => budgets.take(both('a'))),
    0,
  );
  assert.equal(
    at(0, () => budgets.take(both('a'))),
    60,
  );
  assert.equal(
    at(0, () => budgets.take(both('b'))),
    0,
    'the refused one took nothing of the target',
  );
  assert.equal(
    at(0, () => budgets.take(both('c'))),
    60,
  );
});

test('unlimited refuses nothing', () => {
  const budgets = createBudgets(budgetConfig({ unlimited: true }), () => clockMs);
  for (let i = 0; i < 10_000; i++)
    assert.equal(
      at(0, () => budgets.take([{ budget: 'bundlesPerPair', key: 'a' }])),
      0,
    );
});

test('memory is bounded, and a person is the same to budgets after enlisting again', () => {
  const budget = new Budget({ burst: 2, refillSeconds: 10 }, 100);
  for (let i = 0; i < 10_000; i++) budget.spend(String(i), 0);
  assert(budget.size <= 101);
  const anna = { provider: 1, identifier: 'anna', row: 1 };
  const again = { ...anna, row: 2 };
  assert.equal(personKey(anna), personKey(again));
  assert.notEqual(personKey(anna), personKey({ ...anna, provider: 2 }));
  assert.ok(!personKey(anna).includes('anna'));
});

test('a /48 with all its addresses is a few parties: it makes nobody be forgotten, and gets no more by having more', () => {
  const rate = { burst: 10, refillSeconds: 60 };
  const budget = new Budget(rate, 1_000);
  const honest = '198.51.100.7';
  for (let i = 0; i < 10; i++) budget.spend(honest, 0);
  assert.ok(budget.waitMs(honest, 0) > 0);
  let spent = 0;
  // Each /64 of the site, over and over.
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 65_536; i += 7) {
      const key = `2001:db8:1:${i.toString(16)}`;
      if (budget.waitMs(key, 0) > 0) continue;
      budget.spend(key, 0);
      spent++;
    }
  }
  assert.equal(spent, maxKeysPerSite * rate.burst + siteRates * rate.burst);
  assert.ok(budget.waitMs(honest, 0) > 0, 'who has spent all is remembered');
  assert.ok(budget.size <= maxKeysPerSite + 2);
  // Another site and an IPv4 address have theirs.
  assert.equal(budget.waitMs('2001:db8:2:1', 0), 0);
  assert.equal(budget.waitMs('203.0.113.9', 0), 0);
  // It is like new when it is full again.
  assert.equal(budget.waitMs('2001:db8:1:1', 600_000), 0);
  for (let i = 0; i < 200; i++) budget.spend('203.0.113.9', 600_000 + i * 60_000);
  budget.spend('2001:db8:1:fff', 20_000_000);
  assert.ok(budget.size <= 3, `${budget.size} parties are remembered`);
});

test('never more than burst + elapsed / refill, whatever the times and costs', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(5_000), fc.integer({ min: 1, max: 3 })), { maxLength: 60 }), steps => {
      const budget = new Budget({ burst: 5, refillSeconds: 1 }, 10);
      let nowMs = 0;
      let spent = 0;
      for (const [stepMs, cost] of steps) {
        nowMs += stepMs;
        if (budget.waitMs('k', nowMs, cost) > 0) continue;
        budget.spend('k', nowMs, cost);
        spent += cost;
        if (spent > 5 + nowMs / 1000) return false;
      }
      return true;
    }),
  );
});
