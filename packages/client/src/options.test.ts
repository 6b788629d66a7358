// Options that a program in plain JavaScript may get wrong: each is refused by its name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAccounts } from './accounts/accounts.ts';
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
    [{ passphrse: 'a long one' }, /^passphrse is not known; known are folder, storage, passphrase/],
    [{ transports: 'compact' }, /transports is a list/],
    [{ transports: [] }, /transports is a list/],
    [{ transports: ['compact', 'pigeon'] }, /transports is a list of compact, /],
    [{ clock: { nowMs: Date.now } }, /clock is an object with nowMs and after/],
    [{ clock: null }, /clock/],
    [{ random: {} }, /random is a function/],
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

test('accounts that are none are refused', async () => {
  for (const wrong of [undefined, null, 5, {}, { folder: 'people' }, { folder: 5, accounts: {} }, { accounts: {} }]) {
    await assert.rejects(openAccounts(wrong as never), { code: 'invalid-argument' });
  }
  for (const accounts of [{ '../x': {} }, { '': {} }, { a: 5 }, { a: null }]) {
    await assert.rejects(openAccounts({ folder: 'people', passphrase: 'a long one', accounts } as never), {
      code: 'invalid-argument',
    });
  }
});
