// Answers that clients understand, on each transport: what comes too late, what is too much, what nobody can judge now.
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { attribute, childElement, type Element, isElement } from '@drawbridge/wire/element';
import { fakeWorld, issuers } from '@drawbridge/gatekeeper/testing/control-fixture';
import { NS_SM } from '@drawbridge/wire/namespaces';
import { defaultSessionLimits } from '@drawbridge/gatekeeper/routing/session-limits';
import { ciphertextFor, envelope, RawNetwork } from './raw-network.ts';
import { RawXmpp, type RawTransport } from './raw-xmpp.ts';

const transports: readonly RawTransport[] = ['starttls', 'direct', 'websocket'];
const bind = "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
let network: RawNetwork;
let people = 0;
before(async () => {
  network = await RawNetwork.open();
});
after(() => network.close());

const somebody = async (provider = 0) => await network.person(`edge${people++}`, provider);
const conditionOf = (error: Element): string => error.children.filter(isElement)[0]!.name;

for (const transport of transports) {
  test(`${transport}: a resumption that can't be gets <failed/>, and a login is still possible`, async () => {
    const anna = await somebody();
    for (const resume of [
      `<resume xmlns='${NS_SM}' h='0'/>`,
      `<resume xmlns='${NS_SM}' previd='x' h='-1'/>`,
      `<resume xmlns='${NS_SM}' previd='x' h='0'/>`,
    ]) {
      const client = await RawXmpp.connect(network.target, transport);
      await client.authenticate(await network.proof(anna));
      client.send(resume);
      await client.expect('failed');
      client.send(bind);
      await client.expect(el => attribute(el, 'id') === 'bind');
      client.send(resume);
      assert.equal(conditionOf(await client.expect('failed')), 'unexpected-request');
      await client.ping();
      client.cut();
    }
  });

  test(`${transport}: <resume h='0'/> with stanzas outstanding resumes and repeats them`, async () => {
    const [anna, bob] = [await somebody(), await somebody()];
    const [from, to] = [await network.login(anna), await network.login(bob, transport, false)];
    const id = await to.enable();
    for (const each of ['m1', 'm2']) from.send(envelope(anna, bob.bareJid, each));
    await to.messages(2);
    to.cut();
    const again = await RawXmpp.connect(network.target, transport);
    await again.authenticate(await network.proof(bob));
    again.send(`<resume xmlns='${NS_SM}' previd='${id}' h='0'/>`);
    await again.expect('resumed');
    assert.deepEqual(
      (await again.messages(2)).map(el => attribute(el, 'id')),
      ['m1', 'm2'],
    );
    again.acknowledge(2);
    await again.ping();
    for (const each of [from, again]) each.cut();
  });

  test(`${transport}: elements that are not stanzas are not counted: unsupported-stanza-type`, async () => {
    const client = await network.login(await somebody(), transport);
    client.send("<broadcast xmlns='jabber:client' id='1'/>");
    assert.equal(conditionOf(await client.expect('error')), 'unsupported-stanza-type');
    await client.closed();
  });

  test(`${transport}: an acknowledgement of too much ends stream and session, and says why`, async () => {
    const anna = await somebody();
    const client = await network.login(anna, transport);
    client.send(`<a xmlns='${NS_SM}' h='7'/>`);
    const error = await client.expect('error');
    const tooHigh = childElement(error, 'handled-count-too-high', NS_SM)!;
    assert.deepEqual([attribute(tooHigh, 'h'), attribute(tooHigh, 'send-count')], ['7', '0']);
    await client.closed();
    assert.equal(network.core.sessions.ofDevice(anna.device), undefined);
  });

  test(`${transport}: a stanza that is too large is refused alone, so many times; one far too large ends the stream`, async () => {
    const [anna, bob] = [await somebody(), await somebody()];
    const client = await network.login(anna, transport);
    const large = (id: string, bytes: number): string => envelope(anna, bob.bareJid, id, ciphertextFor(1, bytes));
    const refused = async (id: string): Promise<Element> => {
      client.send(large(id, 250_000));
      const error = childElement(await client.expect(el => attribute(el, 'id') === id), 'error', 'jabber:client')!;
      assert.equal(conditionOf(error), 'policy-violation');
      return error;
    };
    const tooLarge = childElement(await refused('m0'), 'too-large', 'urn:drawbridge:errors:1')!;
    assert.equal(attribute(tooLarge, 'max'), '262144');
    client.send(envelope(anna, bob.bareJid, 'm1'));
    client.send(`<iq xmlns='jabber:client' type='get' id='q'><query xmlns='urn:x'>${'x'.repeat(300_000)}</query></iq>`);
    assert.equal(attribute(await client.expect(el => attribute(el, 'id') === 'q'), 'type'), 'error');
    assert.equal(await client.acknowledged(), 3, 'they count, and what is between them goes on');
    for (let i = 2; i < defaultSessionLimits.maxOversized; i++) await refused(`m${i}`);
    client.send(large('last', 250_000));
    assert.equal(await client.streamError(), 'policy-violation');

    const again = await network.login(anna, transport);
    again.send(large('huge', 500_000));
    assert.equal(await again.streamError(), 'policy-violation');
  });

  test(`${transport}: white space without end is not taken before login`, async () => {
    const client = await RawXmpp.connect(network.target, transport);
    let sent = 0;
    while (!client.isClosed && sent < 32 * 1024 * 1024) {
      client.send(' '.repeat(16 * 1024));
      sent += 16 * 1024;
      await new Promise(resolve => setImmediate(resolve));
      if (sent > 256 * 1024) await new Promise(resolve => setTimeout(resolve, 5));
    }
    await client.closed();
    assert.ok(sent < 4 * 1024 * 1024, `${sent} bytes`);
  });
}

for (const transport of transports) {
  test(`${transport}: a provider's outage is not a refusal: temporary-auth-failure, and the next try is judged`, async () => {
    const world = fakeWorld(Object.values(issuers));
    world.published.set(issuers.skylark, []);
    const lone = await RawNetwork.open({ fixture: { world } });
    try {
      const anna = await lone.person('anna', 1);
      const client = await RawXmpp.connect(lone.target, transport);
      await client.secure();
      client.sendAuth(await lone.proof(anna));
      const failure = await client.expect(el => el.name === 'failure' || el.name === 'challenge');
      assert.equal(failure.name, 'failure');
      assert.equal(conditionOf(failure), 'temporary-auth-failure');
      client.cut();
      world.published.delete(issuers.skylark);
      lone.fixture.clock.nowMs += 60_000;
      (await lone.login(anna, transport)).cut();
    } finally {
      await lone.close();
    }
  });
}

test("a provider's outage outlives a restart of the gatekeeper: people log in by the last good key set", async () => {
  const world = fakeWorld(Object.values(issuers));
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-outage-'));
  const first = await RawNetwork.open({ fixture: { world, folder } });
  const anna = await first.person('anna', 1);
  (await first.login(anna)).cut();
  await first.shutDown();
  await first.fixture.stop();
  world.published.set(issuers.skylark, []);
  const second = await RawNetwork.open({ fixture: { world, folder } });
  try {
    (await second.login(anna)).cut();
  } finally {
    await second.close();
  }
});

test('the header may name the domain with a final dot', async () => {
  for (const transport of transports) {
    const client = await RawXmpp.connect(network.target, transport);
    await client.header(`${network.target.domain}.`);
    await client.expect('features');
    client.cut();
  }
});

test('IQs to nobody and presence to others get an orderly answer', async () => {
  const [anna, bob] = [await somebody(), await somebody()];
  const client = await network.login(anna);
  // An address in good form that is nobody's is not malformed.
  const nobody = `0-${'a'.repeat(26)}@${network.target.domain}`;
  client.send(`<iq xmlns='jabber:client' type='get' id='q' to='${nobody}'><ping xmlns='urn:xmpp:ping'/></iq>`);
  const unknown = childElement(await client.expect(el => attribute(el, 'id') === 'q'), 'error', 'jabber:client')!;
  assert.equal(conditionOf(unknown), 'service-unavailable');
  client.send(envelope(anna, `somebody@${network.target.domain}`, 'm1'));
  const noPerson = childElement(await client.expect(el => attribute(el, 'id') === 'm1'), 'error', 'jabber:client')!;
  assert.equal(conditionOf(noPerson), 'service-unavailable');
  for (const type of ['subscribe', 'probe', 'unsubscribe']) {
    client.send(`<presence xmlns='jabber:client' id='${type}' type='${type}' to='${bob.bareJid}'/>`);
    const answer = await client.expect(el => el.name === 'presence' && attribute(el, 'id') === type);
    assert.deepEqual([attribute(answer, 'type'), attribute(answer, 'from')], ['unsubscribed', bob.bareJid]);
  }
  client.send(`<presence xmlns='jabber:client' id='p' to='${bob.bareJid}'/>`);
  const told = childElement(await client.expect(el => attribute(el, 'id') === 'p'), 'error', 'jabber:client')!;
  assert.equal(conditionOf(told), 'service-unavailable');
  client.cut();
});

test('an IQ to a resource that is not there is refused', async () => {
  const anna = await somebody();
  const client = await network.login(anna);
  for (const to of [`${anna.bareJid}/99`, `${anna.bareJid}/phone`]) {
    client.send(`<iq xmlns='jabber:client' type='get' id='q' to='${to}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    const error = childElement(await client.expect(el => attribute(el, 'id') === 'q'), 'error', 'jabber:client')!;
    assert.equal(conditionOf(error), 'service-unavailable');
  }
  client.cut();
});

test('nothing that counts comes with <enabled/>: messages that wait follow it', async () => {
  const [anna, bob] = [await somebody(), await somebody()];
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  assert.equal(await from.acknowledged(), 1);
  const to = await network.login(bob, 'starttls', false);
  to.send(`<enable xmlns='${NS_SM}' resume='true'/>`);
  await to.expect('enabled');
  await to.messages(1);
  from.cut();
  to.cut();
});
