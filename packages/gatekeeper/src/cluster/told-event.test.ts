// What is heard on the bus is an event, or nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AccountEvent } from '../enlistment/account.ts';
import { encodeToldEvent, parseToldEvent } from './told-event.ts';

const node = 'd9428888-122b-41e1-b85c-61800d6c7c4a';
const interopId = `1-${'a'.repeat(26)}`;
const device = { row: 2 ** 40, id: 1, registrationId: 5, thumbprint: 'A'.repeat(43), listed: true };
const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

const events: AccountEvent[] = [
  { kind: 'account-changed', interopId },
  { kind: 'account-suspended', interopId },
  { kind: 'device-removed', interopId, device },
  { kind: 'account-withdrawn', interopId, devices: [device] },
  { kind: 'account-compromised', interopId },
  { kind: 'provider-suspended', provider: 1 },
  { kind: 'provider-keys', provider: 65_535, isRevoked: true },
];

test('every event that is told is heard as it was', () => {
  for (const event of events) assert.deepEqual(parseToldEvent(encodeToldEvent(node, event)!), { node, event });
  assert.equal(encodeToldEvent(node, { kind: 'keys-replaced', provider: 1, stands: () => true }), undefined);
});

test('anything else is nothing, and throws nothing', () => {
  const wrong: unknown[] = [
    null,
    0,
    'x',
    [],
    {},
    { node },
    { node, event: null },
    { node, event: [] },
    { node, event: { kind: 'account-changed' } },
    { node, event: { kind: 'account-changed', interopId: 5 } },
    { node, event: { kind: 'account-changed', interopId: 'anna' } },
    { node, event: { kind: 'account-deleted', interopId } },
    { node, event: { kind: 'device-removed', interopId } },
    { node, event: { kind: 'device-removed', interopId, device: { ...device, row: '1' } } },
    { node, event: { kind: 'account-withdrawn', interopId, devices: device } },
    { node, event: { kind: 'account-withdrawn', interopId, devices: Array.from({ length: 200 }, () => device) } },
    { node, event: { kind: 'provider-suspended', provider: 1.5 } },
    { node, event: { kind: 'provider-suspended', provider: 65_536 } },
    { node: 1, event: events[0] },
    { node: { toString: () => node }, event: events[0] },
    { event: events[0] },
  ];
  for (const value of wrong) assert.equal(parseToldEvent(bytes(value)), undefined, JSON.stringify(value));
  assert.equal(parseToldEvent(Buffer.from('')), undefined);
  assert.equal(parseToldEvent(Buffer.from('{')), undefined);
  assert.equal(parseToldEvent(bytes({ node, event: events[0], rest: 'x'.repeat(70_000) })), undefined, 'too long');
  fc.assert(fc.property(fc.jsonValue(), value => parseToldEvent(bytes(value)) === undefined));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), value => parseToldEvent(value) === undefined));
});
