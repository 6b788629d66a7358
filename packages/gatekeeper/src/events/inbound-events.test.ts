// What becomes of providers' events when something else goes on: a failure, another provider's id, the same second.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { generateSigningKey } from '@drawbridge/identity/jwk';
import { issueSecurityEvent } from '@drawbridge/identity/security-event';
import type { ProviderEvent } from '@drawbridge/identity/security-event-kinds';
import { contactKeys } from '../consent/contact.ts';
import { StoreError } from '../storage/store-error.ts';
import { gatekeeperIssuer, issuers, openFixture } from '../testing/control-fixture.ts';
import { createInboundEvents, type InboundEventDeps } from './inbound-events.ts';

const risc = 'https://schemas.openid.net/secevent/risc/event-type';
const rotated = 'urn:drawbridge:event:keys-rotated';
const jti = 'A'.repeat(24);

type Claims = {
  readonly issuer?: string;
  readonly jti?: string;
  readonly payload?: Record<string, string>;
  readonly occurredAtMs?: number;
};

async function open(t: TestContext, config: Record<string, unknown> = {}) {
  const fixture = await openFixture({ config });
  t.after(() => fixture.close());
  const { control, stores, world, clock } = fixture;
  const { registry, accounts, wakeUps, budgets } = control;
  const deps: InboundEventDeps = {
    ...{ audience: gatekeeperIssuer, registry, accounts, wakeUps, budgets },
    ...{ subjects: stores.subjectEvents, proofIds: stores.proofIds },
    events: { emit: event => void fixture.events.push(event), onEvent: () => () => undefined },
    nowMs: () => clock.nowMs,
  };
  const token = (subject: string, event: ProviderEvent, { issuer = issuers.skylark, ...more }: Claims = {}) =>
    issueSecurityEvent(world.keys.get(issuer)!, {
      ...{ issuer, audience: gatekeeperIssuer, jti, subject, event, occurredAtMs: clock.nowMs },
      issuedAtSeconds: Math.floor(clock.nowMs / 1000),
      ...more,
    });
  return { fixture, control, stores, world, clock, deps, token };
}

test('an event about keys that could not be fetched, or whose use could not be noted, is done when it is sent again', async t => {
  const { world, clock, stores, deps, token } = await open(t);
  let isBroken = true;
  const { receive } = createInboundEvents({
    ...deps,
    proofIds: {
      take: async (...args) => {
        if (isBroken) throw new StoreError('disk-full', 'full');
        return await stores.proofIds.take(...args);
      },
    },
  });
  const sent = await token(issuers.skylark, rotated);
  world.published.set(issuers.skylark, []);
  clock.nowMs += 31_000;
  assert.deepEqual(await receive(sent), { kind: 'not-fetched' });
  world.published.delete(issuers.skylark);
  clock.nowMs += 31_000;
  await assert.rejects(receive(sent), StoreError);
  isBroken = false;
  clock.nowMs += 31_000;
  const taken = { kind: 'accepted', provider: 1, event: 'keys-rotated' };
  assert.deepEqual(await receive(sent), { ...taken, outcome: 'applied' });
  assert.deepEqual(await receive(sent), { ...taken, outcome: 'repeated' });
});

test("an id is of the provider that signed it: another's event of the same id is its own", async t => {
  const { fixture, control, token } = await open(t);
  await fixture.enlist(1, 'anna');
  await fixture.enlist(2, 'anna');
  const { receive } = control.inboundEvents;
  for (const issuer of [issuers.skylark, issuers.heron]) {
    const receipt = await receive(await token('anna', `${risc}/account-disabled`, { issuer }));
    assert.equal(receipt.kind === 'accepted' && receipt.outcome, 'applied');
  }
});

test('a provider that is suspended while its token is judged is not heard', async t => {
  const { fixture, control, deps, token } = await open(t);
  const { account } = await fixture.enlist(1, 'anna');
  const { receive } = createInboundEvents({ ...deps, registry: { ...deps.registry, isLive: () => false } });
  const receipt = await receive(await token('anna', `${risc}/account-purged`));
  assert.deepEqual(receipt, { kind: 'refused', code: 'provider-suspended' });
  assert.notEqual(await control.accounts.find(account.interopId), undefined);
});

test('a stranger learns of a suspended provider what it learns of any, and the provider that it is suspended', async t => {
  const { control, world, clock, token } = await open(t);
  const { receive } = control.inboundEvents;
  const event = ['anna', `${risc}/account-purged`] as const;
  const own = world.keys.get(issuers.skylark)!;
  const forged = async () => {
    world.keys.set(issuers.skylark, { ...generateSigningKey('ES256'), kid: own.kid });
    const sent = await token(...event);
    world.keys.set(issuers.skylark, own);
    return await receive(sent);
  };
  const asLive = await forged();
  assert.deepEqual(asLive, { kind: 'refused', code: 'signature-refused' });
  await control.registry.setStatus(1, 'suspended', 'rosa', clock.nowMs);
  assert.deepEqual(await forged(), asLive);
  assert.deepEqual(await receive(await token(...event)), { kind: 'refused', code: 'provider-suspended' });
});

test('no proof of the second of a compromise is good, and a clock that is ahead locks nobody out', async t => {
  const { fixture, control, clock, token } = await open(t);
  clock.nowMs += 300;
  for (const [identifier, aheadMs] of [
    ['anna', 0],
    ['bert', 50_000],
  ] as const) {
    const { account } = await fixture.enlist(1, identifier);
    const occurredAtMs = clock.nowMs + aheadMs;
    const claims = { jti: identifier.repeat(4), payload: { credential_type: 'password' }, occurredAtMs };
    const sent = await token(identifier, `${risc}/credential-compromise`, claims);
    const receipt = await control.inboundEvents.receive(sent);
    assert.equal(receipt.kind, 'accepted');
    const proofsFromMs = (Math.floor(clock.nowMs / 1000) + 1) * 1000;
    assert.equal((await control.accounts.find(account.interopId))?.proofsFromMs, proofsFromMs, identifier);
  }
});

test('a rename reaches the wake-ups and whoever has decided about the person; a block of the name at any provider stays off own users', async t => {
  const { fixture, control, stores, clock, deps, token } = await open(t);
  const name = '+491701234567';
  const [{ account: blocker }, { account: stranger }, { account: own }] = [
    await fixture.enlist(0, 'vera'),
    await fixture.enlist(1, name),
    await fixture.enlist(0, name),
  ];
  const decision = { decision: 'block', about: stranger, isOpen: false, maxContacts: 9, nowMs: clock.nowMs } as const;
  await stores.contacts.decide({ account: blocker.row, ...decision });
  const renamed: string[] = [];
  const wakeUps = {
    rename: (interopId: string, identifier: string) => void renamed.push(`${interopId} ${identifier}`),
  };
  const { receive } = createInboundEvents({ ...deps, wakeUps });
  fixture.events.length = 0;
  const rename = { payload: { 'new-value': 'noa' } };
  for (const issuer of [issuers.own, issuers.skylark]) {
    assert.equal(
      (await receive(await token(name, `${risc}/identifier-changed`, { ...rename, issuer }))).kind,
      'accepted',
    );
  }
  assert.deepEqual(renamed, [`${own.interopId} noa`, `${stranger.interopId} noa`]);
  assert.deepEqual(
    fixture.events.map(event => 'interopId' in event && event.interopId),
    [own.interopId, blocker.interopId, stranger.interopId],
  );
  const { decided } = (await control.accounts.find(blocker.interopId))!.contacts;
  const about = (provider: number) => decided.get(contactKeys({ provider, identifier: 'noa' }).key)?.state;
  assert.deepEqual([about(0), about(1)], [undefined, 'blocked']);
});

test('each event of a provider on trial costs ten', async t => {
  const { control, token } = await open(t, {
    budgets: { eventsPerProvider: { burst: 10, refillSeconds: 60 } },
    providers: [
      { number: 1, name: 'skylark.example', issuer: issuers.skylark },
      { number: 2, name: 'heron.example', issuer: issuers.heron, trustClass: 'trial' },
    ],
  });
  const kinds = [];
  for (const issuer of [issuers.skylark, issuers.heron]) {
    for (let i = 0; i < 2; i++) {
      const sent = await token('nobody', `${risc}/account-enabled`, { issuer });
      kinds.push((await control.inboundEvents.receive(sent)).kind);
    }
  }
  assert.deepEqual(kinds, ['accepted', 'accepted', 'accepted', 'budget-spent']);
});

test('in the long run a provider has few events a day, whatever it may tell at once; others have their own', async t => {
  const { clock, control, token } = await open(t, {
    budgets: { lastingEventsPerProvider: { burst: 3, refillSeconds: 3_600 } },
  });
  const tell = async (issuer: string): Promise<string> => {
    clock.nowMs += 60_000;
    return (await control.inboundEvents.receive(await token('nobody', `${risc}/account-enabled`, { issuer }))).kind;
  };
  for (let i = 0; i < 3; i++) assert.equal(await tell(issuers.skylark), 'accepted');
  assert.equal(await tell(issuers.skylark), 'budget-spent');
  assert.equal(await tell(issuers.heron), 'accepted');
  clock.nowMs += 3_600_000;
  assert.equal(await tell(issuers.skylark), 'accepted');
});

test('a deletion that is told again deletes nobody who has come since, however late that is', async t => {
  const { fixture, control, clock, token } = await open(t);
  await fixture.enlist(1, 'anna');
  const claims = { occurredAtMs: clock.nowMs };
  const tell = async () => await control.inboundEvents.receive(await token('anna', `${risc}/account-purged`, claims));
  const first = await tell();
  assert.equal(first.kind === 'accepted' && first.outcome, 'applied');
  // Within what clocks may differ by: the time alone doesn't tell that she came afterwards.
  clock.nowMs += 30_000;
  const { account } = await fixture.enlist(1, 'anna');
  for (let minute = 0; minute < 60; minute++) {
    clock.nowMs += 60_000;
    await control.sweep();
  }
  const late = await tell();
  assert.equal(late.kind === 'accepted' && late.outcome, 'repeated');
  assert.notEqual(await control.accounts.find(account.interopId), undefined);
});

test('that the keys of a provider are not at hand hears whoever has signed with one of them, and nobody else', async t => {
  const { control, world, clock, token } = await open(t);
  const { receive } = control.inboundEvents;
  const own = world.keys.get(issuers.skylark)!;
  const by = async (key: typeof own) => {
    world.keys.set(issuers.skylark, key);
    const sent = await token('nobody', `${risc}/account-enabled`, { jti: randomBytes(18).toString('base64url') });
    world.keys.set(issuers.skylark, own);
    const receipt = await receive(sent);
    return receipt.kind === 'refused' ? receipt.code : receipt.kind;
  };
  const forged = { ...generateSigningKey('ES256'), kid: own.kid };
  const other = generateSigningKey('ES256');
  assert.deepEqual(
    [await by(own), await by(forged), await by(other)],
    ['accepted', 'signature-refused', 'key-unknown'],
  );
  world.published.set(issuers.skylark, []);
  clock.nowMs += 25 * 3_600_000;
  const later = [await by(own), await by(forged), await by(other)];
  assert.deepEqual(later, ['key-set-unavailable', 'signature-refused', 'key-unknown']);
});
