// Options that a program in plain JavaScript may get wrong: each is refused by its name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOptions, type ClientOptions } from './options.ts';

test('a missing or unfit option is refused with `invalid-argument` and its name', () => {
  const right = { folder: 'people/anna', passphrase: 'a long one', gatekeeper: 'https://localhost:5226' };
  assert.equal(checkOptions(right).gatekeeper, right.gatekeeper);
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ folder: undefined }, /folder/],
    [{ folder: '' }, /folder/],
    [{ gatekeeper: undefined }, /gatekeeper/],
    [{ gatekeeper: 5226 }, /gatekeeper/],
    [{ gatekeeper: 'localhost:5226' }, /gatekeeper/],
    [{ passphrase: undefined }, /passphrase/],
    [{ ca: '/nowhere/ca.pem' }, /\/nowhere\/ca\.pem/],
    [{ passphrse: 'a long one' }, /^passphrse is not known; known are folder, passphrase/],
    [{ transports: 'compact' }, /transports is a list/],
    [{ deliveryReceipts: 'no' }, /deliveryReceipts is true or false/],
    [{ provider: 'https://localhost:5227' }, /provider is an object/],
    [
      { provider: { url: 'https://localhost:5227', identifier: 'anna', pasword: 'x' } },
      /^provider\.pasword is not known/,
    ],
    [{ provider: { url: 'https://localhost:5227', identifier: 'anna' } }, /^provider\.password/],
  ];
  for (const [change, words] of wrong) {
    const options: ClientOptions = { ...right, ...change };
    assert.throws(() => checkOptions(options), { code: 'invalid-argument', detail: words });
  }
  for (const nothing of [undefined, null, 'folder', 5]) {
    assert.throws(() => checkOptions(nothing as never), { code: 'invalid-argument', detail: /are an object/ });
  }
});
