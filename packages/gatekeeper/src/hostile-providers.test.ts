// A provider that attacks with as many people as it likes: it floods one person with first contacts, asks for names at full speed,
// and signs for people of others. What it may do is bounded, and what honest people do goes on.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import { element } from '@drawbridge/wire/element';
import { NS_DIRECTORY } from '@drawbridge/wire/namespaces';
import type { Account } from './enlistment/account.ts';
import type { EnlistArgs } from './enlistment/account-store.ts';
import { type IqAnswer, iqKey } from './routing/iq.ts';
import { domain, type Fixture, issuers, openFixture } from './testing/control-fixture.ts';

const opened: Fixture[] = [];
after(async () => {
  for (const fixture of opened) await fixture.close();
});
const accounts = 1_000;

/** As a provider makes them: people with keys that nobody will ever use. */
function person(provider: number, index: number, nowMs: number): EnlistArgs {
  const bytes = (length: number, what: string): Uint8Array =>
    createHash('shake256', { outputLength: length }).update(`${what} ${provider} ${index}`).digest();
  const signed = { id: 1, publicKey: bytes(33, 'key'), signature: bytes(64, 'signature') };
  return {
    interopId: `${provider}-${Buffer.from(bytes(13, 'id'))
      .toString('hex')
      .replace(/[0189]/g, 'z')}`,
    provider,
    identifier: `made-up-${index}`,
    device: {
      registrationId: index + 1,
      thumbprint: Buffer.from(bytes(32, 'device')).toString('base64url'),
      identityKey: bytes(33, 'identity'),
      signedPrekey: signed,
      lastResortKemPrekey: signed,
      prekeys: [],
      kemPrekeys: [],
    },
    replace: false,
    maxDevices: 1,
    maxEnlistments: 10_000,
    nowMs,
    judgeMs: nowMs,
  };
}

async function attackers({ stores, control, clock }: Fixture): Promise<Account[]> {
  const list = Array.from({ length: accounts }, (_, index) => person(1, index, clock.nowMs));
  const results = await stores.accounts.enlistMany(list);
  assert.ok(results.every(({ kind }) => kind === 'enlisted'));
  const found = await Promise.all(list.map(({ interopId }) => control.accounts.find(interopId)));
  return found.map(account => account!);
}

async function open(): Promise<Fixture> {
  const fixture = await openFixture({ config: { policy: { requests: 'across-providers' } } });
  opened.push(fixture);
  return fixture;
}

/** `open`, `shut`, or how long to wait. */
async function writeFirst({ control }: Fixture, from: Account, to: string): Promise<string | number> {
  const recipient = (await control.accounts.find(to))!;
  const judged = control.contacts.judge(from, recipient, true);
  assert(judged.kind === 'undecided');
  const by = { device: from.devices[0]!.row, network: `192.0.2.${from.row % 200}` };
  return await control.contacts.admit(from, recipient, judged, { isLoud: true, largestBytes: 100 }, by);
}

test('a thousand fresh accounts of one provider write to one person: a few get through, and honest people do', async () => {
  const fixture = await open();
  const { control, stores } = fixture;
  const bob = await fixture.enlist(0, 'bob');
  for (const provider of [1, 2]) await control.enlistment.setOptIn(bob.account, provider, true);
  const hans = await fixture.enlist(2, 'hans');
  const { interopId, row } = bob.account;
  assert.equal(await writeFirst(fixture, hans.account, interopId), 'open');
  const answers: (string | number)[] = [];
  for (const account of await attackers(fixture)) answers.push(await writeFirst(fixture, account, interopId));
  const through = answers.filter(answer => answer === 'open').length;
  assert.equal(through, fixture.config.budgets.firstContactsPerTargetAndProvider.burst);
  assert.ok(
    answers.every(answer => answer === 'open' || typeof answer === 'number'),
    'the others are told to wait',
  );
  const waiting = await stores.contacts.page(row, 0, 500);
  assert.equal(waiting.length, through + 1);
  assert.equal(waiting[0]?.interopId, hans.account.interopId, 'whose request waited still waits');
  const heron = await fixture.enlist(2, 'heron');
  assert.equal(await writeFirst(fixture, heron.account, interopId), 'open', 'and others come through');
  fixture.clock.nowMs += 3_600_000;
  const later = await writeFirst(fixture, (await oneWhoWaits(fixture, answers))!, interopId);
  assert.equal(later, 'open', 'whoever waited is not shut out');
});

/** One of those who were told to wait. */
async function oneWhoWaits(
  { control, clock }: Fixture,
  answers: readonly (string | number)[],
): Promise<Account | undefined> {
  const index = answers.findIndex(answer => typeof answer === 'number');
  return await control.accounts.find(person(1, index, clock.nowMs).interopId);
}

test('a thousand accounts of one provider ask for names at full speed: its budget ends that, and no answer tells more', async () => {
  const fixture = await open();
  const { control, clock } = fixture;
  const bob = await fixture.enlist(0, 'bob');
  const anna = await fixture.enlist(2, 'anna');
  await control.enlistment.setOptIn(bob.account, 2, true);
  const lookUp = async (by: Account, identifier: string): Promise<IqAnswer> => {
    const payload = element('lookup', NS_DIRECTORY, { provider: domain, identifier });
    const handler = control.iqHandlers.get(iqKey('get', NS_DIRECTORY, 'lookup'))!;
    return await handler({ type: 'get', payload, account: by, device: by.devices[0]!, nowMs: clock.nowMs });
  };
  const answers = new Map<string, number>();
  for (const account of await attackers(fixture)) {
    for (const identifier of ['bob', 'nobody', 'a', 'b']) {
      const { kind, ...rest } = await lookUp(account, identifier);
      const words = JSON.stringify([kind, 'condition' in rest ? rest.condition : '']);
      answers.set(words, (answers.get(words) ?? 0) + 1);
    }
  }
  const asked = fixture.config.budgets.lookupsPerProvider.burst;
  assert.deepEqual(Object.fromEntries(answers), {
    '["error","item-not-found"]': asked,
    '["error","resource-constraint"]': 4 * accounts - asked,
  });
  assert.equal((await lookUp(anna.account, 'bob')).kind, 'result', "another provider's people ask on");
});

test('a provider signs for the identifiers of others: they are people of its own, and nobody else', async () => {
  const fixture = await open();
  const { control, clock, proof, world } = fixture;
  const anna = await fixture.enlist(1, 'anna');
  const heronsKey = world.keys.get(issuers.heron)!;
  const login = async (token: string) => control.login.authenticate(token, { transport: 'xmpp', nowMs: clock.nowMs });
  const forged = await proof(issuers.skylark, 'anna', anna.sample.jkt, { key: heronsKey });
  assert.equal((await login(forged)).kind, 'refused', "in the other's name, with its own key");
  const own = await login(await proof(issuers.heron, 'anna', anna.sample.jkt));
  assert.equal(own.kind, 'refused', "in its own name: it has no such person, though the device is another's");
  const theirs = await fixture.enlist(2, 'anna');
  assert.notEqual(theirs.account.interopId, anna.account.interopId);
  const names = [1, 2].map(provider => control.accounts.findByIdentifier(provider, 'anna'));
  assert.deepEqual(
    (await Promise.all(names)).map(account => account?.interopId),
    [anna.account.interopId, theirs.account.interopId],
    'two people of one name',
  );
});
