// Names in one form: what is the same name to people is one name here, and what no provider can give is none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import * as fc from 'fast-check';
import { isSameName, nameText, needUserName, readProviderName, readUserName } from './user-name.ts';

test('spellings of one name are one', () => {
  const name = needUserName('skylark.example', 'Andr\u00e9');
  const spellings = [
    ['Skylark.Example', 'Andr\u00e9'],
    ['skylark.example.', 'Andr\u00e9'],
    ['SKYLARK.EXAMPLE.', 'Andre\u0301'],
  ] as const;
  for (const [provider, identifier] of spellings) {
    const other = needUserName(provider, identifier);
    assert.deepEqual([other.provider, other.identifier], ['skylark.example', 'Andr\u00e9']);
    assert(isSameName(name, other));
    assert.equal(nameText(other), nameText(name));
  }
  // Compared exactly: a provider may call two people so.
  for (const identifier of ['andr\u00e9', 'Andre', 'Andr\u00e9 2'])
    assert(!isSameName(name, needUserName('skylark.example', identifier)));
});

test('what no provider can give is refused, and the error says which part', () => {
  const providers = [
    '',
    '.',
    'skylark.example..',
    ' skylark.example',
    'sky lark',
    'sky\u200blark.example',
    // The Kelvin sign, whose lower case is the letter k; a Cyrillic a.
    's\u212aylark.example',
    'skyl\u0430rk.example',
    'anna@skylark.example',
    'skylark.example/1',
    `${'a.'.repeat(126)}aa`,
    undefined,
    7,
  ];
  for (const provider of providers)
    assert.throws(() => needUserName(provider, 'anna'), { code: 'invalid-argument', message: /\(provider: / });
  const identifiers = ['', ' anna', 'anna ', 'an\u200bna', 'anna\u202e', 'a\u0000', '\ud800', 'a'.repeat(129), null];
  for (const identifier of identifiers)
    assert.throws(() => needUserName('skylark.example', identifier), {
      code: 'invalid-argument',
      message: /\(identifier: /,
    });
  assert.equal(needUserName('skylark.example', 'a\u0301'.repeat(128)).identifier, '\u00e1'.repeat(128));
  assert.equal(readUserName('skylark.example', 'a'.repeat(1_000_000)), undefined);
});

test('whatever is given: a name that its provider could give, the same when it is read again, or none', () => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ unit: 'grapheme', maxLength: 40 }));
  const domain = fc.oneof(
    fc.domain(),
    fc.domain().map(each => each.toUpperCase()),
    text,
  );
  fc.assert(
    fc.property(domain, text, (provider, identifier) => {
      const name = readUserName(provider, identifier);
      if (name === undefined) return;
      assert(isUserIdentifier(name.identifier));
      assert.equal(readProviderName(name.provider), name.provider);
      assert.match(name.provider, /^[a-z0-9.-]{1,253}$/);
      assert(isSameName(name, readUserName(name.provider, name.identifier)!));
      assert(isSameName(name, readUserName(`${name.provider}.`, name.identifier.normalize('NFD'))!));
    }),
    { numRuns: 2_000 },
  );
});
