// Numbers and names of providers: the first word holds, and nothing that contradicts it changes anything.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStore } from '../testing/test-store.ts';
import { maxKnownProviders, ProviderNumbers } from './provider-numbers.ts';

test('a number and a name belong together from the first word on, up to a number of providers', async () => {
  const { inStore, remove } = await testStore('providers');
  const providers = new ProviderNumbers('citadel.example');
  const take = (number: number, name: string): boolean => inStore(tx => providers.take(tx, { number, name }));
  const nameOf = (number: number): string | undefined => inStore(tx => providers.nameOf(tx, number));

  assert.equal(
    inStore(tx => providers.fits(tx, { number: 1, name: 'crow.example' })),
    true,
  );
  assert.equal(nameOf(1), undefined, 'whoever asks takes nothing over');
  assert(take(1, 'crow.example') && take(1, 'crow.example') && take(2, 'skylark.example'));
  assert.deepEqual([nameOf(0), nameOf(1), nameOf(2)], ['citadel.example', 'crow.example', 'skylark.example']);
  // Another name, another number, the gatekeeper's own, and what is neither number nor name.
  const refused: readonly (readonly [number, string])[] = [
    [1, 'skylark.example'],
    [3, 'crow.example'],
    [1, 'raven.example'],
    [0, 'raven.example'],
    [3, 'citadel.example'],
    [65_536, 'raven.example'],
    [1.5, 'raven.example'],
    [-1, 'raven.example'],
    [4, 'Raven.example'],
    [4, ''],
  ];
  for (const [number, name] of refused) assert.equal(take(number, name), false, `${number} ${name}`);
  assert(take(0, 'citadel.example'));
  assert.deepEqual(
    [nameOf(1), nameOf(2), nameOf(3), nameOf(4)],
    ['crow.example', 'skylark.example', undefined, undefined],
  );

  const many = Array.from({ length: maxKnownProviders }, (_, i) => ({ number: i + 10, name: `p${i}.example` }));
  assert.equal(
    inStore(tx => providers.takeAll(tx, many)),
    false,
  );
  assert.equal(nameOf(maxKnownProviders + 7), `p${maxKnownProviders - 3}.example`);
  assert.equal(nameOf(maxKnownProviders + 8), undefined, 'there is an end');
  assert.equal(take(50_000, 'raven.example'), false, 'what could not be held to is not believed');
  assert.equal(take(1, 'skylark.example'), false);
  remove();
});
