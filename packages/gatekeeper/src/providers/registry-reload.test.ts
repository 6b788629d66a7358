// Another configuration for a registry in use: what stays keeps its keys, what is gone or suspended ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issuers, openFixture } from '../testing/control-fixture.ts';

test("providers come, go and are suspended by a reload; a number that was another's changes nothing", async () => {
  const fixture = await openFixture();
  const { control, config, events } = fixture;
  const { registry } = control;
  const [skylark, heron] = config.providers;
  const third = { ...heron!, number: 3, name: 'wren.example', issuer: 'https://wren.example', mediaOrigins: [] };
  assert.ok(registry.issuers(issuers.skylark));
  const keys = registry.issuers(issuers.skylark)?.keys;

  assert.equal(
    await control.reconfigure({ ...config, providers: [{ ...skylark!, status: 'suspended' }, third] }),
    undefined,
  );
  assert.equal(registry.issuers(issuers.skylark), undefined);
  assert.equal(registry.find(2), undefined);
  assert.ok(registry.issuers('https://wren.example'));
  assert.deepEqual(events, [
    { kind: 'provider-suspended', provider: 1 },
    { kind: 'provider-suspended', provider: 2 },
  ]);

  const renamed = [{ ...third, number: 2 }];
  assert.match(
    (await control.reconfigure({ ...config, providers: renamed })) ?? '',
    /knows number 2 as heron\.example/,
  );
  assert.ok(registry.issuers('https://wren.example'));

  assert.equal(await control.reconfigure(config), undefined);
  assert.equal(registry.issuers(issuers.skylark)?.keys, keys);
  assert.equal(registry.find(3), undefined);
  await fixture.close();
});

test('rates of budgets change, and what was spent stays spent', async () => {
  const fixture = await openFixture();
  const { budgets } = fixture.control;
  const take = (): number => budgets.take([{ budget: 'bundlesPerPair', key: 'pair' }]);
  for (let i = 0; i < 6; i++) assert.equal(take(), 0);
  assert.ok(take() > 0);
  const rate = { burst: 8, refillSeconds: 600 };
  await fixture.control.reconfigure({
    ...fixture.config,
    budgets: { ...fixture.config.budgets, bundlesPerPair: rate },
  });
  assert.deepEqual([take(), take(), take() > 0], [0, 0, true]);
  await fixture.close();
});
