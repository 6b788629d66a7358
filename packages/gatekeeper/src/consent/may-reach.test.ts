import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { noContacts } from './contact.ts';
import type { Account } from '../enlistment/account.ts';
import { mayReach, type ReachPolicy } from './may-reach.ts';

function person(row: number, provider: number, optIns: readonly number[] = [], status: Account['status'] = 'active') {
  return {
    row,
    interopId: '',
    provider,
    identifier: '',
    status,
    proofsFromMs: 0,
    devices: [],
    optIns,
    linkOnly: false,
    contacts: noContacts,
    version: 1,
  } as Account;
}
const open: ReachPolicy = { isLive: () => true, admitsPair: () => false };

test('own users reach each other, third-party users only by policy', () => {
  assert.equal(mayReach(person(1, 0), person(2, 0), open), true);
  assert.equal(mayReach(person(1, 1), person(2, 1), open), false);
  assert.equal(mayReach(person(1, 1), person(2, 2), open), false);
  assert.equal(mayReach(person(1, 1), person(2, 2), { ...open, admitsPair: () => true }), true);
  assert.equal(mayReach(person(1, 1), person(1, 1), open), true, 'oneself');
});

test('an opt-in opens one provider, both ways', () => {
  const anna = person(1, 0, [1]);
  assert.equal(mayReach(person(2, 1), anna, open), true);
  assert.equal(mayReach(anna, person(2, 1), open), true);
  assert.equal(mayReach(person(2, 2), anna, open), false);
  assert.equal(mayReach(anna, person(2, 2), open), false);
});

test('the suspended reach nobody and nobody reaches them; the rule is symmetric', () => {
  const anyone = fc.record({
    row: fc.integer({ min: 1, max: 3 }),
    provider: fc.integer({ min: 0, max: 2 }),
    optIns: fc.subarray([1, 2]),
    status: fc.constantFrom<Account['status']>('active', 'suspended'),
  });
  fc.assert(
    fc.property(anyone, anyone, fc.subarray([0, 1, 2]), fc.boolean(), (a, b, live, pairs) => {
      const policy: ReachPolicy = { isLive: number => live.includes(number), admitsPair: () => pairs };
      const from = person(a.row, a.provider, a.optIns, a.status);
      const to = person(b.row, b.provider, b.optIns, b.status);
      const reached = mayReach(from, to, policy);
      if (from.row !== to.row) assert.equal(reached, mayReach(to, from, policy));
      if (from.status !== 'active' || to.status !== 'active') assert.equal(reached, false);
      if (!live.includes(from.provider) || !live.includes(to.provider)) assert.equal(reached, false);
    }),
  );
});
