import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBudgets, personKey } from './budgets.ts';
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

test('a person is the same to budgets after enlisting again', () => {
  const anna = { provider: 1, identifier: 'anna', row: 1 };
  const again = { ...anna, row: 2 };
  assert.equal(personKey(anna), personKey(again));
  assert.notEqual(personKey(anna), personKey({ ...anna, provider: 2 }));
  assert.ok(!personKey(anna).includes('anna'));
});
