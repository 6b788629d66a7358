// First contacts are requests, and a refusal is never told: over real streams, TLS and storage.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attribute, childElements, type Element } from '@drawbridge/wire/element';
import { everybodyOf } from '@drawbridge/wire/jid';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { ciphertextFor, envelope, type Person, RawNetwork } from './raw-network.ts';
import type { RawXmpp } from './raw-xmpp.ts';
import { compareTimes } from './refusal-times.ts';

const NS = 'urn:drawbridge:consent:1';

async function open(t: TestContext): Promise<RawNetwork> {
  const fixture = { config: { policy: { admittedPairs: [[1, 2]], requests: 'across-providers' } } };
  const network = await RawNetwork.open({ fixture });
  t.after(() => network.close());
  return network;
}

/** An own user who lets both providers in. */
async function host(network: RawNetwork, identifier: string): Promise<Person> {
  const person = await network.person(identifier);
  const { control } = network.fixture;
  for (const provider of [1, 2]) {
    const account = (await control.accounts.find(person.account.interopId))!;
    await control.enlistment.setOptIn(account, provider, true);
  }
  return person;
}

let asked = 0;
async function ask(client: RawXmpp, type: 'get' | 'set', payload: string): Promise<Element> {
  const id = `q${++asked}`;
  client.send(`<iq xmlns='jabber:client' type='${type}' id='${id}'>${payload}</iq>`);
  return await client.expect(el => el.name === 'iq' && attribute(el, 'id') === id);
}

async function decide(client: RawXmpp, decision: string, person: string): Promise<void> {
  const answer = await ask(client, 'set', `<${decision} xmlns='${NS}' ${person}/>`);
  assert.equal(attribute(answer, 'type'), 'result', encodeElement(answer, ''));
}

async function listed(client: RawXmpp): Promise<string[]> {
  const answer = await ask(client, 'get', `<contacts xmlns='${NS}'/>`);
  return childElements(childElements(answer)[0]!).map(el => `${attribute(el, 'jid')} ${attribute(el, 'state')}`);
}

const isErrorOf = (id: string) => (el: Element) => attribute(el, 'type') === 'error' && attribute(el, 'id') === id;
const words = (el: Element): string => el.children.map(child => encodeElement(child as Element, '')).join('');
const messagesOf = (client: RawXmpp): (string | undefined)[] =>
  client.inbox.filter(el => el.name === 'message').map(el => attribute(el, 'id'));

test('a first contact is a request: three short messages, until it is answered or accepted', async t => {
  const network = await open(t);
  const bob = await host(network, 'bob');
  const anna = await network.person('anna', 1);
  const [from, to] = [await network.login(anna), await network.login(bob)];
  from.send(envelope(anna, bob.bareJid, 'large', ciphertextFor(1, 4_097)));
  assert.match(words(await from.expect(isErrorOf('large'))), /modify.*policy-violation.*first-contact.*bytes='4096'/);
  for (const id of ['m1', 'm2', 'm3', 'm4']) from.send(envelope(anna, bob.bareJid, id, ciphertextFor(1, 4_096)));
  assert.match(words(await from.expect(isErrorOf('m4'))), /wait.*resource-constraint.*first-contact.*messages='3'/);
  for (const id of ['m1', 'm2', 'm3']) await to.expect(el => attribute(el, 'id') === id);
  assert.deepEqual(await listed(to), [`${anna.bareJid} request`]);
  assert.deepEqual(await listed(from), [`${bob.bareJid} accepted`], 'who writes accepts');
  const told = network.fixture.notices.map(
    ({ account, content }) => `${account.identifier} ${attribute(content, 'state')}`,
  );
  assert.deepEqual(told.toSorted(), ['anna accepted', 'bob request']);
  // What bob's device says of itself before he decides stays here; his answer accepts.
  to.send(envelope(bob, anna.bareJid, 'receipt', undefined, "<silent xmlns='urn:drawbridge:delivery:1'/>"));
  to.send(envelope(bob, anna.bareJid, 'answer'));
  await from.expect(el => attribute(el, 'id') === 'answer');
  assert.deepEqual(messagesOf(from), []);
  assert.deepEqual(await listed(to), [`${anna.bareJid} accepted`]);
  from.send(envelope(anna, bob.bareJid, 'm5', ciphertextFor(1, 40_000)));
  await to.expect(el => attribute(el, 'id') === 'm5');
  for (const client of [from, to]) client.cut();
});

test('whoever is denied or blocked is answered as before, and nothing of theirs arrives or stays', async t => {
  const network = await open(t);
  const bob = await host(network, 'bob');
  const carl = await network.person('carl');
  const [anna, dora] = [await network.person('anna', 1), await network.person('dora', 1)];
  const to = await network.login(bob);
  const [a, d, c] = [await network.login(anna), await network.login(dora), await network.login(carl)];
  // Dora is blocked by name before she has ever written: her first messages end where anybody's do.
  await decide(to, 'block', "provider='skylark.example' identifier='dora'");
  for (const id of ['d1', 'd2', 'd3', 'd4']) d.send(envelope(dora, bob.bareJid, id));
  assert.match(words(await d.expect(isErrorOf('d4'))), /first-contact/);
  assert.equal(await d.acknowledged(), 4);
  // Anna had been accepted: she meets no bound, and hears nothing.
  a.send(envelope(anna, bob.bareJid, 'a1'));
  await to.expect(el => attribute(el, 'id') === 'a1');
  await decide(to, 'accept', `jid='${anna.bareJid}'`);
  await decide(to, 'deny', `jid='${anna.bareJid}'`);
  for (let i = 2; i < 20; i++) a.send(envelope(anna, bob.bareJid, `a${i}`, ciphertextFor(1, 9_000)));
  assert.equal(await a.acknowledged(), 19);
  // Own users can be blocked as well.
  await decide(to, 'block', `jid='${carl.bareJid}'`);
  c.send(envelope(carl, bob.bareJid, 'c1'));
  assert.equal(await c.acknowledged(), 1);
  to.send(envelope(bob, carl.bareJid, 'no'));
  assert.match(words(await to.expect(isErrorOf('no'))), /not-acceptable.*<blocked/);
  await to.ping();
  await sleep(200);
  assert.deepEqual(messagesOf(to), []);
  assert.equal(await network.stored(bob), 1, 'the one that came before, which this client has not acknowledged');
  assert.deepEqual(
    network.fixture.logLines.filter(line => /anna|dora|carl|block|deni/.test(line)),
    [],
  );
  // And the way is open again when bob says so, for what comes then.
  await decide(to, 'unblock', `jid='${carl.bareJid}'`);
  c.send(envelope(carl, bob.bareJid, 'c2'));
  await to.expect(el => attribute(el, 'id') === 'c2');
  for (const client of [to, a, d, c]) client.cut();
});

test('a block of a provider holds for all its people, and what was before holds again behind it', async t => {
  const network = await open(t);
  const bob = await host(network, 'bob');
  const [anna, dora, hans] = [
    await network.person('anna', 1),
    await network.person('dora', 1),
    await network.person('hans', 2),
  ];
  const [a, d, h] = [await network.login(anna), await network.login(dora), await network.login(hans)];
  const device = await network.login(bob);
  a.send(envelope(anna, bob.bareJid, 'a1'));
  await device.expect(el => attribute(el, 'id') === 'a1');
  await decide(device, 'accept', `jid='${anna.bareJid}'`);
  const all = `jid='${everybodyOf(1)}@citadel.example'`;
  for (const verb of ['accept', 'deny']) {
    const answer = await ask(device, 'set', `<${verb} xmlns='${NS}' ${all}/>`);
    assert.match(words(answer), /item-not-found/, 'all of a provider are blocked or not');
  }
  assert.match(
    words(await ask(device, 'set', `<block xmlns='${NS}' jid='${everybodyOf(0)}@citadel.example'/>`)),
    /not-found/,
  );
  await decide(device, 'block', all);
  a.send(envelope(anna, bob.bareJid, 'a2', ciphertextFor(1, 9_000)));
  assert.equal(await a.acknowledged(), 2, 'as if bob were away');
  for (const id of ['d1', 'd2', 'd3', 'd4']) d.send(envelope(dora, bob.bareJid, id));
  assert.match(words(await d.expect(isErrorOf('d4'))), /first-contact/);
  device.send(envelope(bob, anna.bareJid, 'no'));
  assert.match(words(await device.expect(isErrorOf('no'))), /not-acceptable.*<blocked/);
  h.send(envelope(hans, bob.bareJid, 'h1'));
  await device.expect(el => attribute(el, 'id') === 'h1');
  await device.ping();
  assert.deepEqual(messagesOf(device), []);
  assert.deepEqual(await listed(device), [
    `${anna.bareJid} accepted`,
    `${everybodyOf(1)}@citadel.example blocked`,
    `${hans.bareJid} request`,
  ]);
  await decide(device, 'unblock', all);
  a.send(envelope(anna, bob.bareJid, 'a3', ciphertextFor(1, 9_000)));
  await device.expect(el => attribute(el, 'id') === 'a3');
  d.send(envelope(dora, bob.bareJid, 'd5'));
  await device.expect(el => attribute(el, 'id') === 'd5');
  for (const client of [a, d, h, device]) client.cut();
});

test('a block holds under a new InteropId, and for the same mail address at a second provider', async t => {
  const network = await open(t);
  const bob = await host(network, 'bob');
  const mail = 'eve@post.example';
  const [eve, mallory] = [await network.person(mail, 1), await network.person('mallory', 1)];
  const to = await network.login(bob);
  for (const person of [eve, mallory]) await decide(to, 'block', `jid='${person.bareJid}'`);
  await network.fixture.control.enlistment.withdraw(mallory.account);
  const back = await network.person('mallory', 1);
  assert.notEqual(back.account.interopId, mallory.account.interopId);
  const elsewhere = await network.person(mail, 2);
  // A namesake whose name says nothing beyond their provider is somebody else.
  const namesake = await network.person('mallory', 2);
  for (const [i, person] of [back, elsewhere, namesake].entries()) {
    const client = await network.login(person);
    client.send(envelope(person, bob.bareJid, `m${i}`));
    assert.equal(await client.acknowledged(), 1);
    client.cut();
  }
  await to.expect(el => attribute(el, 'id') === 'm2');
  await to.ping();
  assert.deepEqual(messagesOf(to), []);
  // An own user's name is the gatekeeper's own word: what a provider claims blocks nobody here.
  const own = await network.person(mail, 0);
  const client = await network.login(own);
  client.send(envelope(own, bob.bareJid, 'own'));
  await to.expect(el => attribute(el, 'id') === 'own');
  // Decisions outlast a restart of the gatekeeper: they are read from storage.
  const { key } = bob.account.contacts;
  assert.match(key, /^[A-Za-z0-9_-]{43}$/);
  for (const each of [to, client]) each.cut();
});

test('by words and by time nobody can tell a block from a person who is away', async t => {
  const network = await open(t);
  const { words: both, chance } = await compareTimes(network, host, 400);
  assert.equal(both.size, 1, [...both].join('\n'));
  // How often a send to one took longer than to the other; one half when they can't be told apart.
  assert(chance > 0.35 && chance < 0.65, `${chance}`);
});
