// What an address counts as: itself, its site, or the relay that an operator named, with shares for the people behind it.
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { addressKey, PrefixCounts, relayKey, sharesOf, siteKey } from '@drawbridge/identity/network-prefix';
import { Budget } from '../budget.ts';
import { createBudgets } from '../budgets.ts';
import { parseConfig } from '../config.ts';
import { ConnectionGate, defaultListenerLimits } from '../listeners/admission.ts';
import { HttpPlaces } from '@drawbridge/identity/http-places';
import { addressKeys, clientAddress, payersOf } from './client-address.ts';

const relays = [
  { addresses: ['192.0.2.7', '2001:db8::/64'], shares: 3 },
  { addresses: ['198.51.100.0/24'], shares: 100 },
];

test('all addresses of a relay are one party, others are as they were', () => {
  const keyOf = addressKeys(relays);
  assert.equal(keyOf('192.0.2.7'), relayKey(0, 3));
  assert.equal(keyOf('::ffff:192.0.2.7'), relayKey(0, 3));
  assert.equal(keyOf('2001:db8::1234'), relayKey(0, 3));
  assert.equal(keyOf('198.51.100.9'), relayKey(1, 100));
  for (const address of ['192.0.2.8', '2001:db8:0:1::1', '']) assert.equal(keyOf(address), addressKey(address));
  assert.equal(siteKey(keyOf('192.0.2.7')), undefined);
});

test('only what stands for a relay has shares', () => {
  assert.equal(sharesOf(relayKey(7, 100)), 100);
  for (const key of [
    '',
    '192.0.2.7',
    '2001:db8:0:0',
    'relay-0*0',
    'relay-0*',
    'relay-0*5 x',
    'relay-x*5',
    'a relay-0*5',
  ]) {
    assert.equal(sharesOf(key), 1, key);
  }
});

test('behind a balancer the relay is told by the header, and by nobody’s own word', () => {
  const ofRequest = clientAddress(['10.0.0.1'], relays);
  const request = (remoteAddress: string, forwarded: string): IncomingMessage =>
    ({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } }) as unknown as IncomingMessage;
  assert.equal(ofRequest(request('10.0.0.1', '192.0.2.7')), relayKey(0, 3));
  assert.equal(ofRequest(request('192.0.2.7', '203.0.113.5')), relayKey(0, 3));
  assert.equal(ofRequest(request('203.0.113.5', '192.0.2.7')), '203.0.113.5');
});

test('a relay has so many times what one address has: counts, places, budgets, connections before login', () => {
  const key = relayKey(0, 3);
  const tries = Array.from({ length: 9 });
  const counts = new PrefixCounts(2, 2);
  counts.add(key, 5);
  assert.equal(counts.full(key), undefined);
  counts.add(key);
  assert.equal(counts.full(key), key);

  const budget = new Budget({ burst: 2, refillSeconds: 3 }, 10);
  const taken = (party: string, nowMs: number): boolean => {
    if (budget.waitMs(party, nowMs) > 0) return false;
    budget.spend(party, nowMs);
    return true;
  };
  const take = (party: string, nowMs: number): number => tries.filter(() => taken(party, nowMs)).length;
  assert.deepEqual([take(key, 0), take('192.0.2.8', 0)], [6, 2]);
  assert.deepEqual([take(key, 3_000), take('192.0.2.8', 3_000)], [3, 1], 'and it is full again as soon');

  const gate = new ConnectionGate({
    ...defaultListenerLimits,
    maxUnauthenticatedPerAddress: 2,
    maxUnauthenticatedPerSite: 2,
  });
  const entered = (each: string): number => tries.filter(() => gate.enter(each) !== undefined).length;
  assert.deepEqual([entered(key), entered('192.0.2.8')], [6, 2]);
  const turns = new Set(Array.from({ length: 9 }, () => gate.turnOf(key)));
  assert.equal(turns.size, 3, 'its newcomers take as many turns in a round');
  assert.equal(gate.turnOf('192.0.2.8'), '192.0.2.8');

  const places = new HttpPlaces({ maxConnections: 100, maxPerAddress: 2, maxPerSite: 2 });
  let cut = 0;
  for (let i = 0; i < 7; i++) places.take(key, () => cut++, false);
  assert.deepEqual([places.count, cut], [6, 1]);
});

test('behind a relay one connection has what one address has, and no more of what is for all there', () => {
  const listeners = { http: { port: 1 } };
  const parsed = parseConfig({ mode: 'development', domain: 'a.example', issuer: 'https://a.example', listeners }, '/');
  assert(parsed.kind === 'loaded');
  const rate = { burst: 2, refillSeconds: 10 };
  const budgets = createBudgets({ ...parsed.config.budgets, requestsPerAddress: rate }, () => 0);
  const ask = (key: string, port: number): number =>
    budgets.take(payersOf(key, port).map(payer => ({ budget: 'requestsPerAddress', key: payer })));
  const relay = relayKey(0, 3);
  assert.deepEqual([ask(relay, 1), ask(relay, 1), ask(relay, 1)], [0, 0, 10]);
  assert.deepEqual(
    [2, 2, 3, 3].map(port => ask(relay, port)),
    [0, 0, 0, 0],
    'the others have theirs',
  );
  assert.ok(ask(relay, 4) > 0, 'and all together no more than its shares');
  assert.deepEqual(
    [1, 2, 3].map(port => ask('192.0.2.8', port) > 0),
    [false, false, true],
    'as an address alone',
  );
});
