// Whom a budget remembers, when parties come by the hundred thousand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  Budget,
  maxKeysPerSite,
  networkRates,
  networksInFull,
  newcomerBuckets,
  newcomerRates,
  siteRates,
} from './budget.ts';

/** How much this party gets just now. */
function spendAll(budget: Budget, party: string, nowMs = 0): number {
  let spent = 0;
  for (; budget.waitMs(party, nowMs) === 0; spent++) budget.spend(party, nowMs);
  return spent;
}

test('memory is bounded, whoever comes', () => {
  const budget = new Budget({ burst: 2, refillSeconds: 10 }, 100);
  for (let i = 0; i < 10_000; i++) budget.spend(String(i), 0);
  assert.ok(budget.size <= 100 + newcomerBuckets);
  for (let i = 0; i < 10_000; i++) budget.spend(String(i), 1_000_000 + i * 20_000);
  assert.ok(budget.size < 100, `${budget.size} parties are remembered`);
});

test('a /48 with all its addresses is a few parties: it makes nobody be forgotten, and gets no more by having more', () => {
  const rate = { burst: 10, refillSeconds: 60 };
  const budget = new Budget(rate, 10_000);
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

test('networks with all their /48s make nobody be forgotten, get no more by having more, and leave room for newcomers', () => {
  const [burst, places] = [10, 10_000];
  const budget = new Budget({ burst, refillSeconds: 60 }, places);
  const honest = '198.51.100.7';
  assert.equal(spendAll(budget, honest), burst);
  const networks = networksInFull + 4;
  for (let network = 0; network < networks; network++) {
    let spent = 0;
    for (let i = 0; i < 1_500; i++) spent += spendAll(budget, `2001:${network.toString(16)}:${i.toString(16)}:1`);
    const most = places / networksInFull + networkRates + newcomerRates;
    assert.ok(spent <= most * burst, `${spent} of network ${network}`);
    if (network > 0) continue;
    assert.equal(
      spent,
      (places / networksInFull + networkRates) * burst,
      'what is its own, and what its neighbours share',
    );
    assert.ok(budget.size < places / networksInFull + 3, 'it has its share of the places');
  }
  assert.ok(budget.size >= places, 'all places are taken');
  assert.ok(budget.waitMs(honest, 0) > 0, 'who has spent all is remembered');
  assert.ok(budget.size <= places + networks);
  const newcomers = ['203.0.113.9', '192.0.2.1', '100.64.0.1', '2a00:1:1:1', 'a-person'];
  const served = newcomers.filter(each => spendAll(budget, each) >= burst);
  // By chance two may share a bucket with a network.
  assert.ok(served.length >= 3, `${served.length} newcomers are served`);
  const neighbours = Array.from({ length: 256 }, (_, i) => spendAll(budget, `203.0.9.${i}`));
  assert.ok(neighbours.reduce((a, b) => a + b) <= newcomerRates * burst, 'neighbours share one bucket');
});

test('a site whose addresses were forgotten has buckets for others of them', () => {
  const budget = new Budget({ burst: 2, refillSeconds: 10 }, 10_000);
  for (const nowMs of [0, 100_000, 200_000]) {
    for (let i = 0; i < 2 * maxKeysPerSite; i++) budget.spend('198.51.100.7', nowMs);
    let spent = 0;
    for (let i = 0; i < 4 * maxKeysPerSite; i++)
      spent += spendAll(budget, `2001:db8:1:${(nowMs / 100 + i).toString(16)}`, nowMs);
    assert.equal(spent, 2 * (maxKeysPerSite + siteRates), `at ${nowMs}`);
  }
});

test('who is in debt for long keeps nobody from the places behind it', () => {
  const places = 20;
  const budget = new Budget({ burst: 10, refillSeconds: 60 }, places);
  spendAll(budget, 'in debt for ten minutes');
  for (let i = 1; i < places; i++) budget.spend(`in debt for one ${i}`, 0);
  const spent = Array.from({ length: places - 1 }, (_, i) => spendAll(budget, `203.0.113.${i}`, 100_000));
  assert.deepEqual(spent, Array<number>(places - 1).fill(10));
  assert.ok(budget.waitMs('in debt for ten minutes', 100_000, 10) > 0);
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

test('a full bucket lets its whole burst through, at whatever fraction of a millisecond', () => {
  for (let i = 0; i < 10_000; i++) {
    const nowMs = i * 977.123_456_7;
    const budget = new Budget({ burst: 3, refillSeconds: 600 }, 10);
    for (let said = 0; said < 3; said++) {
      assert.equal(budget.waitMs('party', nowMs), 0, `${said} at ${nowMs}`);
      budget.spend('party', nowMs);
    }
    assert.ok(budget.waitMs('party', nowMs) > 599_000);
  }
});
