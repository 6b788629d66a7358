import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import {
  encodeSigningKey,
  followStatements,
  readStatements,
  type SignedSigningKey,
  signStatement,
  successionLimits,
} from './signing-key-succession.ts';

const domain = 'citadel.example';
const make = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const x = encodeSigningKey;

/** `key` is in force from then on, `backup` may follow it. */
const state = (
  since: number,
  key: KeyObject,
  backup: KeyObject,
  by: readonly KeyObject[],
  of = domain,
): SignedSigningKey => signStatement(of, { since, signingKey: x(key), backupKey: x(backup) }, by);

const [first, second, third, fourth, thief] = [make(), make(), make(), make(), make()] as const;
const chain = [
  state(10, first, second, [first]),
  state(20, second, third, [second, first]),
  state(30, third, fourth, [third, second]),
];
const last = { signingKey: x(third), backupKey: x(fourth), since: 30 };

test('whoever pinned any key of a chain comes to its end, in whatever order it is given', () => {
  const pins = [
    { signingKey: x(first), since: 0 },
    { signingKey: x(first), backupKey: x(second), since: 10 },
    { signingKey: x(second), since: 0 },
    { signingKey: x(third), since: 0 },
  ];
  for (const pinned of pins) {
    assert.deepEqual(followStatements(domain, pinned, chain), last);
    assert.deepEqual(followStatements(domain, pinned, [...chain].reverse()), last);
  }
  assert.deepEqual(followStatements(domain, last, chain), last);
});

test('a backup that was pinned follows a key that is lost: the old key signs nothing', () => {
  const emergency = [state(20, second, third, [second])];
  const pinned = { signingKey: x(first), backupKey: x(second), since: 10 };
  assert.deepEqual(followStatements(domain, pinned, emergency), {
    signingKey: x(second),
    backupKey: x(third),
    since: 20,
  });
  const unpinned = { signingKey: x(first), since: 0 };
  assert.equal(followStatements(domain, unpinned, emergency), unpinned, 'without that pin it is anybody’s word');
});

test('no statement of anybody else moves or takes away a pin, nor does an earlier one', () => {
  const pinned = { signingKey: x(second), backupKey: x(third), since: 20 };
  const honest = state(40, second, fourth, [second]);
  const flipped = Buffer.from(honest.signatures[0]!, 'base64url');
  flipped[5]! ^= 1;
  const lies = [
    state(40, thief, thief, [thief]),
    state(40, thief, thief, [first]),
    state(40, second, thief, [thief]),
    state(20, thief, thief, [second]),
    state(19, first, thief, [second, first]),
    state(40, thief, thief, [second], 'plaza.example'),
    { ...honest, backupKey: x(thief) },
    { ...honest, signingKey: x(thief) },
    { ...honest, since: 41 },
    { ...honest, signatures: [flipped.toString('base64url')] },
    { ...honest, signatures: [] },
    { ...honest, signatures: ['', '!', 'a'.repeat(10_000)] },
  ];
  assert.equal(followStatements(domain, pinned, lies), pinned);
  for (const lie of lies) assert.equal(followStatements(domain, pinned, [lie]), pinned);
  assert.equal(followStatements(domain, pinned, []), pinned);
  assert.equal(followStatements(domain, pinned, [honest]).backupKey, x(fourth), 'the same, unchanged, is followed');
});

test('statements of an offer are read within limits; what is malformed is left out', () => {
  assert.deepEqual(readStatements(JSON.parse(JSON.stringify(chain))), chain);
  for (const none of [undefined, null, 'x', {}, 7]) assert.deepEqual(readStatements(none), []);
  const good = chain[0]!;
  const bad = [
    null,
    7,
    {},
    { ...good, since: 0 },
    { ...good, since: 1.5 },
    { ...good, since: '1' },
    { ...good, signingKey: 'x' },
  ];
  assert.deepEqual(readStatements([...bad, { ...good, backupKey: 7 }, { ...good, signatures: 'x' }, good]), [good]);
  const many = Array.from({ length: 100 }, (_, i) => ({
    ...good,
    since: i + 1,
    signatures: Array<string>(50).fill('x'),
  }));
  const read = readStatements(many);
  assert.equal(read.length, successionLimits.maxStatements);
  assert.equal(read.at(-1)!.since, 100, 'the last ones');
  assert(read.every(({ signatures }) => signatures.length === successionLimits.maxSignatures));
});
