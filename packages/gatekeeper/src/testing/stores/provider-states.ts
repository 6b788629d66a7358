// What each adapter of ProviderStates must do: providers, their applications and key sets. Knows no store.
import assert from 'node:assert/strict';
import { type Contract, nowMs } from './contract.ts';

export function testProviderStates(contract: Contract): void {
  contract('a provider keeps its number and name; what operators do is in the audit log, once', async stores => {
    const { providers, audit } = stores;
    const listed = [
      { number: 1, name: 'skylark.example' },
      { number: 2, name: 'heron.example' },
    ];
    assert.deepEqual(await providers.register(listed, nowMs), { kind: 'registered', statuses: ['live', 'live'] });
    assert.equal((await providers.register([{ number: 1, name: 'other.example' }], nowMs)).kind, 'refused');
    assert.equal((await providers.register([{ number: 3, name: 'heron.example' }], nowMs)).kind, 'refused');
    const suspension = { number: 2, status: 'suspended', actor: 'admin', nowMs: nowMs + 5 } as const;
    assert.equal(await providers.setStatus(suspension), 'changed');
    assert.equal(await providers.setStatus(suspension), 'same');
    assert.equal(await providers.setStatus({ ...suspension, number: 9 }), 'unknown');
    assert.deepEqual(await providers.register(listed, nowMs), { kind: 'registered', statuses: ['live', 'suspended'] });
    await providers.noteKeysRevoked({ number: 1, actor: 'admin', nowMs });
    const entries = await audit.page(0, 10);
    assert.deepEqual(
      entries.map(({ action, subject, actor }) => `${actor} ${action} ${subject}`),
      [
        'configuration provider-registered 1',
        'configuration provider-registered 2',
        'admin provider-suspended 2',
        'admin provider-keys-revoked 1',
      ],
    );
    assert.deepEqual(await audit.page(entries[1]!.seq, 1), [entries[2]]);
  });

  contract('an application takes the steps of its stage, once, each with its audit entry', async stores => {
    const { applications, providers, audit } = stores;
    await providers.register([{ number: 1, name: 'skylark.example' }], nowMs);
    const terms = {
      name: 'wren.example',
      keySetOrigins: [],
      mediaOrigins: ['https://media.wren.example'],
      suites: ['signal-1'],
      regions: [],
      contact: { name: 'Wren', email: 'a@wren.example' },
    };
    const sent = {
      ...{ id: 'a1', issuer: 'https://wren.example', terms, agreement: 1, domain: 'wren.example' },
      ...{ maxWaiting: 3, maxWaitingPerDomain: 2, nowMs },
    };
    assert.equal(await applications.apply(sent), 'applied');
    assert.equal(await applications.apply({ ...sent, id: 'a2' }), 'issuer-known');
    const other = { ...sent, id: 'a3', issuer: 'https://x.wren.example', nowMs: nowMs + 1 };
    assert.equal(await applications.apply(other), 'name-taken');
    const skylarks = { ...terms, name: 'skylark.example' };
    assert.equal(await applications.apply({ ...other, terms: skylarks }), 'name-taken');
    assert.equal(await applications.apply({ ...other, terms: { ...terms, name: 'x.wren.example' } }), 'applied');
    const third = { ...other, id: 'a4', issuer: 'https://y.example', terms: { ...terms, name: 'y.example' } };
    assert.equal(await applications.apply(third), 'full', 'of the domain');
    assert.equal(await applications.apply({ ...third, domain: 'y.example' }), 'applied');
    const fourth = { ...third, id: 'a5', issuer: 'https://z.example', terms: { ...terms, name: 'z.example' } };
    assert.equal(await applications.apply({ ...fourth, domain: 'z.example' }), 'full', 'in all');
    assert.deepEqual(
      (await applications.list(10, 'applied')).map(({ id }) => id),
      ['a3', 'a4', 'a1'],
    );
    assert.equal((await applications.list(1)).length, 1);

    const step = { id: 'a1', actor: 'rosa', reason: 'checked', nowMs: nowMs + 2 };
    const grant = { enlistments: 5, trustClass: 'trial', suites: ['signal-1'] } as const;
    const wrong = { kind: 'refused', code: 'wrong-stage' };
    assert.deepEqual(await applications.step(step, { stage: 'live', grant }), wrong);
    const to = (number: number | undefined) => ({ stage: 'sandbox', number, grant }) as const;
    assert.deepEqual(await applications.step(step, to(1)), { kind: 'refused', code: 'number-taken' });
    assert.deepEqual(await applications.step(step, to(undefined)), { kind: 'done', number: 1_000 });
    assert.deepEqual(await applications.step(step, to(undefined)), wrong);
    assert.deepEqual(await applications.step({ ...step, id: 'a4' }, to(65_535)), { kind: 'done', number: 65_535 });
    assert.deepEqual(await applications.step({ ...step, id: 'a3' }, to(1_000)), {
      kind: 'refused',
      code: 'number-taken',
    });
    assert.deepEqual(await applications.step({ ...step, id: 'zz' }, { stage: 'refused' }), {
      kind: 'refused',
      code: 'application-unknown',
    });
    assert.deepEqual(
      (await applications.admitted()).map(({ number, stage, status }) => [number, stage, status]),
      [
        [1_000, 'sandbox', 'live'],
        [65_535, 'sandbox', 'live'],
      ],
    );
    assert.equal((await applications.step(step, { stage: 'live', grant: { ...grant, enlistments: 9 } })).kind, 'done');
    assert.equal((await applications.changeGrant(step, { ...grant, enlistments: 7 })).kind, 'done');
    assert.equal(await applications.acceptAgreement('a1', 1, nowMs), 'same');
    assert.equal(await applications.acceptAgreement('a1', 2, nowMs), 'accepted');
    await providers.setStatus({ number: 1_000, status: 'suspended', actor: 'rosa', nowMs });
    assert.deepEqual(await applications.findByNumber(1_000), {
      ...{ id: 'a1', issuer: 'https://wren.example', terms, agreement: 2, stage: 'live', number: 1_000 },
      ...{ grant: { ...grant, enlistments: 7 }, status: 'suspended', appliedAtMs: nowMs },
    });
    assert.equal((await applications.step(step, { stage: 'withdrawn' })).kind, 'done');
    assert.equal((await applications.findByIssuer('https://wren.example'))?.stage, 'withdrawn');
    assert.equal(await applications.apply({ ...sent, id: 'a6' }), 'name-taken', 'a name and its people stay together');
    assert.equal(await applications.expire(nowMs + 1, nowMs + 3), 0);
    assert.equal(await applications.expire(nowMs + 2, nowMs + 3), 1);
    assert.equal((await applications.find('a3'))?.stage, 'refused');
    assert.equal(
      await applications.apply({ ...other, id: 'a7', terms: { ...terms, name: 'x.wren.example' } }),
      'applied',
    );
    assert.equal((await applications.findByIssuer('https://x.wren.example'))?.id, 'a7', 'the one that counts');
    const actions = async (subject: string) => (await audit.page(0, 20, subject)).map(({ action }) => action);
    assert.deepEqual(await actions('a1'), ['provider-applied', 'provider-admitted']);
    assert.deepEqual(await actions('1000'), [
      ...(['provider-admitted', 'provider-went-live', 'provider-terms-changed'] as const),
      ...(['provider-agreement-accepted', 'provider-suspended', 'provider-withdrawn'] as const),
    ]);

    const first = await applications.keepAgreement({ digest: 'd1', text: 'one', nowMs });
    assert.deepEqual(first, { version: 1, digest: 'd1', text: 'one', sinceMs: nowMs });
    assert.deepEqual(await applications.keepAgreement({ digest: 'd1', text: 'one', nowMs: nowMs + 9 }), first);
    assert.equal((await applications.keepAgreement({ digest: 'd2', text: 'two', nowMs })).version, 2);
    assert.equal((await applications.keepAgreement({ digest: 'd1', text: 'one', nowMs })).version, 3);
    assert.deepEqual(await applications.agreement(1), first);
    assert.equal(await applications.agreement(4), undefined);
  });

  contract('a provider has one key set, the last that was kept', async stores => {
    const { providers } = stores;
    await providers.register([{ number: 1, name: 'skylark.example' }], nowMs);
    const set = { number: 1, places: 'https://a', body: Uint8Array.of(1), fetchedAtMs: nowMs };
    await providers.keepKeySet(set);
    await providers.keepKeySet({ ...set, number: 9 });
    const later = { ...set, places: 'https://b', body: Uint8Array.of(2, 3), fetchedAtMs: nowMs + 1 };
    await providers.keepKeySet(later);
    const kept = await providers.keptKeySets();
    assert.deepEqual(
      kept.map(each => ({ ...each, body: Uint8Array.from(each.body) })),
      [later],
    );
  });
}
