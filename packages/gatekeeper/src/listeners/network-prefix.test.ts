import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionGate, defaultListenerLimits } from './admission.ts';
import { HttpPlaces } from '@drawbridge/identity/http-places';
import { addressKey, PrefixCounts, siteKey } from '@drawbridge/identity/network-prefix';

test('a party is an IPv4 address or a /64; a site is a /48; translated IPv4 addresses are told apart', () => {
  for (const [address, key, site] of [
    ['192.0.2.1', '192.0.2.1', undefined],
    ['::ffff:192.0.2.1', '192.0.2.1', undefined],
    ['64:ff9b::192.0.2.1', '192.0.2.1', undefined],
    ['64:ff9b::c000:201', '192.0.2.1', undefined],
    ['2001:db8::1', '2001:db8:0:0', '2001:db8:0/48'],
    ['2001:0DB8:00a1:0002:ffff::', '2001:db8:a1:2', '2001:db8:a1/48'],
    ['2001:db8:a1:2:3:4:5:6', '2001:db8:a1:2', '2001:db8:a1/48'],
    ['::1', '0:0:0:0', '0:0:0/48'],
    ['fe80::1%eth0', 'fe80:0:0:0', 'fe80:0:0/48'],
    ['nonsense', '', undefined],
    ['', '', undefined],
  ] as const) {
    assert.equal(addressKey(address), key, address);
    assert.equal(siteKey(key), site, address);
  }
});

test('counts: an address up to its own bound, a site up to its bound, and nothing is remembered of those who left', () => {
  const counts = new PrefixCounts(2, 3);
  const [a, b, c] = ['2001:db8:1:1', '2001:db8:1:2', '2001:db8:2:1'];
  counts.add(a);
  counts.add(a);
  assert.equal(counts.full(a), a);
  assert.equal(counts.full(b), undefined);
  counts.add(b);
  assert.equal(counts.full(b), '2001:db8:1/48');
  assert.equal(counts.full(c), undefined);
  for (const key of [a, a, b]) counts.remove(key);
  assert.equal(counts.size, 0);
  assert.equal(new PrefixCounts(5, 1).full(a), undefined, 'a site may have what an address may');
});

test('one /64 and one /48 take their share of the places before login, not all of them', () => {
  const gate = new ConnectionGate({ ...defaultListenerLimits, maxUnauthenticatedPerSite: 64 });
  const enterAll = (addresses: readonly string[]) =>
    addresses.map(address => gate.enter(addressKey(address))).filter(place => place !== undefined);
  const lan = Array.from({ length: 1_000 }, (_, i) => `2001:db8:1:1::${(i + 1).toString(16)}`);
  assert.equal(enterAll(lan).length, defaultListenerLimits.maxUnauthenticatedPerAddress);
  const site = Array.from({ length: 1_000 }, (_, i) => `2001:db8:1:${(i + 2).toString(16)}::1`);
  const held = enterAll(site);
  assert.equal(held.length, 64 - defaultListenerLimits.maxUnauthenticatedPerAddress);
  const [honest] = enterAll(['2001:db8:2::1']);
  assert.ok(honest !== undefined && gate.enter('192.0.2.1') !== undefined);
  held[0]!.admitted();
  assert.equal(enterAll(['2001:db8:1:ffff::1']).length, 1, 'a login makes room for the next');
});

test('HTTP: an address gives up its own oldest idle connection before any other; the busy stay', () => {
  const places = new HttpPlaces({ maxConnections: 5, maxPerAddress: 2, maxPerSite: 3 });
  const cut: string[] = [];
  const take = (key: string, name: string) => places.take(key, () => cut.push(name), false);
  const first = take('2001:db8:1:1', 'a1')!;
  take('2001:db8:1:1', 'a2');
  take('192.0.2.1', 'honest');
  places.requestBegan(first);
  assert.ok(take('2001:db8:1:1', 'a3'));
  assert.deepEqual(cut, ['a2'], 'a1 has a request under way');
  take('2001:db8:1:2', 'b1');
  take('2001:db8:1:3', 'c1');
  assert.deepEqual(cut, ['a2', 'a3'], 'the /48 makes room within itself');
  places.requestEnded(first);
  take('2001:db8:1:4', 'd1');
  assert.deepEqual(cut, ['a2', 'a3', 'b1'], 'idle again: last in the row');
  take('198.51.100.1', 'x1');
  take('198.51.100.2', 'x2');
  assert.deepEqual(cut.at(-1), 'honest', 'of the whole port the oldest idle one goes');
  assert.equal(places.count, 5);
});
