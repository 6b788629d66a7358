import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  type Jid,
  bareJid,
  encodeInteropId,
  formatJid,
  isInteropId,
  isStanzaId,
  parseDeviceId,
  parseJid,
  parseRegistrationId,
  providerNumberOf,
} from './jid.ts';

test('addresses are read into their parts, in lower case', () => {
  const cases: [string, Jid][] = [
    ['citadel.example', { local: '', domain: 'citadel.example', resource: '' }],
    ['Citadel.EXAMPLE.', { local: '', domain: 'citadel.example', resource: '' }],
    ['A@b.c/D e@/f', { local: 'a', domain: 'b.c', resource: 'D e@/f' }],
    ['b/c@d', { local: '', domain: 'b', resource: 'c@d' }],
    ['b./1', { local: '', domain: 'b', resource: '1' }],
    [
      '0-abcdefghijklmnopqrstuvwxyz@citadel.example/1',
      { local: '0-abcdefghijklmnopqrstuvwxyz', domain: 'citadel.example', resource: '1' },
    ],
    ['192.0.2.1', { local: '', domain: '192.0.2.1', resource: '' }],
    ['a!#$%()*+,-.;=?[\\]^_`{|}~@b', { local: 'a!#$%()*+,-.;=?[\\]^_`{|}~', domain: 'b', resource: '' }],
    [`${'a'.repeat(1023)}@b/${'c'.repeat(1023)}`, { local: 'a'.repeat(1023), domain: 'b', resource: 'c'.repeat(1023) }],
    [`${'a'.repeat(63)}.b`, { local: '', domain: `${'a'.repeat(63)}.b`, resource: '' }],
  ];
  for (const [text, jid] of cases) assert.deepEqual(parseJid(text), jid, text);
});

test('what is not an address of ours is refused', () => {
  const bad = [
    '',
    '@',
    '/',
    'a@',
    '@b',
    'a@/c',
    '/c',
    'b/',
    'a@b/',
    'a@@b',
    'a@b@c',
    'a b@c',
    'a"@b',
    'a&b@c',
    "a'b@c",
    'a:b@c',
    'a<b@c',
    'a>b@c',
    'b..c',
    '.b',
    'b..',
    '.',
    '-b',
    'b-',
    'b-.c',
    'b_c',
    'b c',
    'a@b!',
    '[::1]',
    'ü@b',
    'a@ü',
    'a@b/ü',
    'a@b/\u0000',
    'a@b/\u007f',
    'a\u0000@b',
    `${'a'.repeat(1024)}@b`,
    `b/${'c'.repeat(1024)}`,
    `${'a'.repeat(64)}.b`,
    `${'a.'.repeat(600)}b`,
    'a@\ud800',
    '\u212a@b',
  ];
  for (const text of bad) assert.equal(parseJid(text), undefined, JSON.stringify(text));
});

test('any text gives an address in its one form, or nothing', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('a', 'B', '@', '/', '.', '-', '1', ' ', 'é') })),
      text => {
        const jid = parseJid(text);
        if (jid === undefined) return;
        assert.deepEqual(parseJid(formatJid(jid)), jid);
        assert.equal(formatJid(bareJid(jid)) + (jid.resource === '' ? '' : `/${jid.resource}`), formatJid(jid));
        assert.equal(jid.domain, jid.domain.toLowerCase());
      },
    ),
    { numRuns: 3000, seed: 7622 },
  );
});

test('InteropIds name their provider', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 65535 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      (number, bytes) => {
        const id = encodeInteropId(number, bytes);
        assert.match(id, /^(0|[1-9][0-9]{0,4})-[a-z2-7]{26}$/);
        assert.equal(providerNumberOf(id), number);
        assert.deepEqual(parseJid(`${id}@b.example`)?.local, id);
      },
    ),
    { seed: 4648 },
  );
  // RFC 4648 section 10: "foobar" is MZXW6YTBOI.
  assert.equal(encodeInteropId(7, Buffer.from('foobarfoobarfoob')), '7-mzxw6ytbojtg633cmfzgm33pmi');
  const tail = 'abcdefghijklmnopqrstuvwxyz';
  for (const id of [
    `65536-${tail}`,
    `99999-${tail}`,
    `00-${tail}`,
    `01-${tail}`,
    `-${tail}`,
    `1${tail}`,
    `1-${tail}a`,
    `1-${tail.slice(1)}`,
    `1-A${tail.slice(1)}`,
    `1-1${tail.slice(1)}`,
    `1-=${tail.slice(1)}`,
    `+1-${tail}`,
    ` 1-${tail}`,
    '',
  ]) {
    assert.equal(isInteropId(id), false, id);
  }
  assert.throws(() => encodeInteropId(65536, new Uint8Array(16)), RangeError);
  assert.throws(() => encodeInteropId(1, new Uint8Array(15)), RangeError);
});

test('numbers have one form', () => {
  for (let id = 1; id <= 127; id++) assert.equal(parseDeviceId(String(id)), id);
  for (const text of ['0', '128', '01', '1.0', '+1', '-1', ' 1', '1 ', '', '1e1', '١', '999999999'])
    assert.equal(parseDeviceId(text), undefined, text);
  assert.equal(parseRegistrationId('16380'), 16380);
  for (const text of ['0', '16381', '00001', '99999', '100000'])
    assert.equal(parseRegistrationId(text), undefined, text);
});

test('stanza ids are of a closed alphabet', () => {
  for (const id of ['a', 'A-Z.0_9~:+/=', 'x'.repeat(64)]) assert.ok(isStanzaId(id));
  for (const id of ['', 'x'.repeat(65), 'a b', 'é', 'a\u0000', '<', '"', '\u0141']) assert.ok(!isStanzaId(id), id);
});
