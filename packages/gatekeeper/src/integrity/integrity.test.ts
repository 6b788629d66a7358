// Who may meet new people, over a real store: budgets, restrictions by what others decide, their decay, and what nobody learns.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { FirstAnswer } from '../consent/contacts.ts';
import { relayKey } from '@drawbridge/identity/network-prefix';
import { type Fixture, openFixture } from '../testing/control-fixture.ts';
import { integrityLimits } from './integrity.ts';

const opened: Fixture[] = [];
after(async () => {
  for (const fixture of opened) await fixture.close();
});

type Person = Awaited<ReturnType<Fixture['enlist']>>;
const dayMs = 86_400_000;
const unhurried = { burst: 10_000, refillSeconds: 1 };
/** Budgets that are not what is tested. */
const wide = {
  firstContactsPerDevice: unhurried,
  firstContactsPerPerson: unhurried,
  firstContactsPerAddress: unhurried,
  firstContactsPerProvider: unhurried,
  firstContactsPerTargetAndProvider: unhurried,
  contactChangesPerAccount: unhurried,
};

async function open(more: Record<string, unknown> = {}): Promise<Fixture> {
  const fixture = await openFixture({ config: { policy: { requests: 'across-providers' }, budgets: wide, ...more } });
  opened.push(fixture);
  return fixture;
}

async function many(fixture: Fixture, provider: number, count: number, name: string): Promise<Person[]> {
  const people: Person[] = [];
  for (let i = 0; i < count; i++) people.push(await fixture.enlist(provider, `${name}${i}`));
  return people;
}

async function writeFirst({ control }: Fixture, from: Person, to: Person, network = '192.0.2.1'): Promise<FirstAnswer> {
  const [sender, recipient] = await Promise.all(
    [from, to].map(({ account }) => control.accounts.find(account.interopId)),
  );
  const by = { device: from.device.row, network };
  const judged = control.contacts.judge(sender!, recipient!, true);
  if (judged.kind !== 'undecided') return 'open';
  return await control.contacts.admit(sender!, recipient!, judged, { isLoud: true, largestBytes: 100 }, by);
}

async function decide(
  { control }: Fixture,
  by: Person,
  about: Person,
  what: 'accept' | 'deny' | 'block',
): Promise<void> {
  const [whose, whom] = await Promise.all([by, about].map(({ account }) => control.accounts.find(account.interopId)));
  await control.contacts.decide(whose!, whom!, what);
}

async function auditOf({ stores }: Fixture, { account }: Person): Promise<string[]> {
  const entries = await stores.audit.page(0, 100, account.interopId);
  return entries.map(({ actor, action, reason }) => `${actor} ${action}: ${reason ?? ''}`);
}

test('first contacts have budgets by device, person, address, provider, and target; nobody else is asked to wait', async () => {
  const two = { burst: 2, refillSeconds: 60 };
  for (const budget of Object.keys(wide).filter(name => name.startsWith('first'))) {
    const fixture = await open({ budgets: { ...wide, [budget]: two } });
    const [anna, ben] = await many(fixture, 1, 2, 'a');
    const [bob, carl, dora] = await many(fixture, 0, 3, 'b');
    const isOfTarget = budget === 'firstContactsPerTargetAndProvider';
    const third = isOfTarget ? ben! : anna!;
    assert.equal(await writeFirst(fixture, anna!, bob!), 'open', budget);
    const second = isOfTarget ? await fixture.enlist(1, 'c') : anna!;
    assert.equal(await writeFirst(fixture, second, isOfTarget ? bob! : carl!), 'open', budget);
    assert.equal(await writeFirst(fixture, third, isOfTarget ? bob! : dora!), 60, budget);
    assert.equal(await writeFirst(fixture, anna!, bob!), 'open', 'what was begun goes on');
    await decide(fixture, bob!, anna!, 'deny');
    assert.equal(await writeFirst(fixture, anna!, bob!), 'shut', 'nor does a refusal cost anything');
    assert.equal(fixture.control.budgets.refusals.get(budget as 'firstContactsPerDevice'), 1);
    fixture.clock.nowMs += 60_000;
    assert.equal(await writeFirst(fixture, third, isOfTarget ? bob! : dora!), 'open', budget);
  }
});

test('behind a relay one person does not use up what the others there have', async () => {
  const three = { burst: 3, refillSeconds: 60 };
  const fixture = await open({ budgets: { ...wide, firstContactsPerAddress: three, firstContactsPerPerson: three } });
  const [anna, ben] = await many(fixture, 1, 2, 'a');
  const people = await many(fixture, 0, 7, 'b');
  const network = relayKey(0, 2);
  const answers: FirstAnswer[] = [];
  for (const person of people.slice(0, 4)) answers.push(await writeFirst(fixture, anna!, person, network));
  assert.deepEqual(answers, ['open', 'open', 'open', 60]);
  for (const person of people.slice(4)) assert.equal(await writeFirst(fixture, ben!, person, network), 'open');
});

test('whom many settled people refuse is slowed down, then meets nobody new, then is suspended; each step says why', async () => {
  const fixture = await open();
  const people = await many(fixture, 0, 33, 'b');
  const spammer = await fixture.enlist(1, 'spammer');
  const { interopId } = spammer.account;
  fixture.clock.nowMs += 8 * dayMs;
  for (const person of people.slice(0, 31)) assert.equal(await writeFirst(fixture, spammer, person), 'open');
  const level = async (): Promise<string> => (await fixture.stores.restrictions.find(interopId))?.level ?? 'none';
  const steps = [
    [0, 'none'] as const,
    [4, 'slowed'] as const,
    [9, 'accepted-only'] as const,
    [29, 'suspended'] as const,
  ];
  for (const [index, person] of people.slice(0, 30).entries()) {
    await decide(fixture, person, spammer, index % 2 === 0 ? 'deny' : 'block');
    const expected = steps.findLast(([from]) => index >= from)![1];
    assert.equal(await level(), expected, `after ${index + 1}`);
    if (index === 9) {
      const wait = await writeFirst(fixture, spammer, people[31]!);
      assert.equal(typeof wait, 'number', 'no further first contact');
      assert.equal(await writeFirst(fixture, spammer, people[31]!), wait, 'the word of a budget, and of no reason');
      assert.equal(await writeFirst(fixture, spammer, people[30]!), 'open', 'what was begun goes on');
      await decide(fixture, people[30]!, spammer, 'accept');
      assert.equal(await writeFirst(fixture, spammer, people[30]!), 'open', 'whoever accepted is reached');
    }
  }
  assert.equal((await fixture.control.accounts.find(interopId))?.status, 'suspended');
  assert.ok(fixture.events.some(event => event.kind === 'account-suspended' && event.interopId === interopId));
  const entries = await auditOf(fixture, spammer);
  assert.deepEqual(
    entries.map(entry => entry.slice(0, entry.indexOf(':'))),
    ['integrity restriction-slowed', 'integrity restriction-accepted-only', 'integrity enlistment-suspended'],
  );
  assert.match(
    entries[2]!,
    /refused 30, accepted 1 \(97 % refused\), not answered 0; the threshold is 30 refused and 80 %/,
  );
  for (const person of people)
    assert.ok(!JSON.stringify(entries).includes(person.account.interopId), 'nobody who refused is named');
  assert.ok(fixture.logLines.every(line => !line.includes(interopId)));

  const again = await fixture.restart();
  opened.push(again);
  again.clock.nowMs += 8 * dayMs;
  assert.equal((await again.control.accounts.find(interopId))?.status, 'suspended', 'a restart forgives nothing');
  await again.control.sweep();
  assert.equal((await again.stores.restrictions.find(interopId))?.level, 'suspended');
  again.clock.nowMs += 8 * dayMs;
  await again.control.sweep();
  assert.equal((await again.stores.restrictions.find(interopId))?.level, 'accepted-only', 'it decays');
  assert.equal((await again.control.accounts.find(interopId))?.status, 'active');
  again.clock.nowMs += integrityLimits.holdsMs - 1;
  await again.control.sweep();
  assert.equal((await again.stores.restrictions.find(interopId))?.level, 'accepted-only');
  again.clock.nowMs += 29 * dayMs;
  await again.control.sweep();
  assert.equal((await again.stores.restrictions.find(interopId))?.level, 'none');
  await again.control.sweep();
  assert.equal(await again.stores.restrictions.find(interopId), undefined, 'and is forgotten');
});

test("one hostile provider's people restrict nobody, though they lured an honest person into writing first", async () => {
  const fixture = await open({ policy: { requests: 'across-providers', admittedPairs: [[1, 2]] } });
  const honest = await fixture.enlist(1, 'honest');
  const settled = await many(fixture, 2, 12, 'old');
  fixture.clock.nowMs += 8 * dayMs;
  const hostile = [...settled, ...(await many(fixture, 2, 40, 'fake'))];
  for (const fake of hostile) {
    assert.equal(await writeFirst(fixture, honest, fake), 'open');
    await decide(fixture, fake, honest, 'block');
  }
  // Whoever wrote to the honest person first has no voice at all, and blocks out of the blue count for nothing.
  for (const fake of await many(fixture, 2, 20, 'caller')) {
    assert.equal(await writeFirst(fixture, fake, honest), 'open');
    await decide(fixture, honest, fake, 'accept');
    await decide(fixture, fake, honest, 'block');
  }
  const { judged, kept } = (await fixture.control.integrity.look(honest.account.interopId))!;
  assert.deepEqual([judged.level, judged.tally.refused, kept], ['none', 3, undefined]);
  assert.deepEqual(await auditOf(fixture, honest), []);
});

test('an operator forgives; what they suspended themselves does not end by decay', async () => {
  const fixture = await open();
  const people = await many(fixture, 0, 30, 'b');
  const spammer = await fixture.enlist(1, 'spammer');
  const { interopId } = spammer.account;
  fixture.clock.nowMs += 8 * dayMs;
  for (const person of people) await writeFirst(fixture, spammer, person);
  for (const person of people) await decide(fixture, person, spammer, 'deny');
  const status = async () => (await fixture.control.accounts.find(interopId))?.status;
  assert.equal(await status(), 'suspended');
  fixture.clock.nowMs += 1;
  assert.equal(await fixture.control.integrity.forgive(interopId, 'rosa', 'a mistake'), 'forgiven');
  assert.equal(await status(), 'active');
  assert.equal((await fixture.control.integrity.look(interopId))?.judged.tally.refused, 0);
  assert.deepEqual((await auditOf(fixture, spammer)).slice(-2), [
    'rosa enlistment-resumed: a mistake',
    'rosa restriction-forgiven: a mistake',
  ]);
  fixture.clock.nowMs += 1;
  for (const person of people) await decide(fixture, person, spammer, 'block');
  assert.equal(await status(), 'suspended', 'what is said from then on counts');
  const entry = { atMs: fixture.clock.nowMs, action: 'enlistment-suspended', subject: interopId } as const;
  await fixture.stores.audit.note({ ...entry, actor: 'rosa' });
  fixture.clock.nowMs += 60 * dayMs;
  await fixture.control.sweep();
  assert.equal(await status(), 'suspended', "an operator's word ends by an operator's");
  assert.equal(await fixture.control.integrity.forgive(`1-${'z'.repeat(26)}`, 'rosa'), 'unknown');
});

test('a provider whose people are refused by many is slowed as a whole, and never suspended', async () => {
  const provider = {
    unanswered: 1_000,
    slowed: { refusals: 5, percent: 50 },
    acceptedOnly: { refusals: 8, percent: 50 },
  };
  const fixture = await open({ integrity: { provider } });
  const people = await many(fixture, 0, 12, 'b');
  const spammers = await many(fixture, 1, 4, 's');
  const newcomer = await fixture.enlist(1, 'newcomer');
  fixture.clock.nowMs += 8 * dayMs;
  for (const [index, person] of people.slice(0, 10).entries()) {
    const spammer = spammers[index % 4]!;
    await writeFirst(fixture, spammer, person);
    await decide(fixture, person, spammer, 'deny');
  }
  fixture.clock.nowMs += integrityLimits.providerMs;
  assert.equal(typeof (await writeFirst(fixture, newcomer, people[11]!)), 'number');
  const kept = (await fixture.stores.restrictions.find('1'))!;
  assert.equal(kept.level, 'accepted-only');
  assert.equal(fixture.control.registry.find(1)?.status, 'live');
  const [entry] = await fixture.stores.audit.page(0, 10, '1').then(list => list.slice(-1));
  assert.deepEqual([entry?.actor, entry?.action], ['integrity', 'restriction-accepted-only']);
  await fixture.control.integrity.forgive('1', 'rosa');
  assert.equal(await writeFirst(fixture, newcomer, people[11]!), 'open');
});

test('where the operator has switched it off, budgets alone hold', async () => {
  const fixture = await open({ integrity: { enabled: false } });
  const people = await many(fixture, 0, 12, 'b');
  const spammer = await fixture.enlist(1, 'spammer');
  fixture.clock.nowMs += 8 * dayMs;
  for (const person of people) await writeFirst(fixture, spammer, person);
  for (const person of people) await decide(fixture, person, spammer, 'deny');
  assert.equal(await fixture.stores.restrictions.find(spammer.account.interopId), undefined);
});
