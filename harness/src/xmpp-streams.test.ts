// Standard XMPP against a gatekeeper on real sockets, by a client that writes whatever a test wants: login on each
// transport, delivery and acknowledgement, resumption, everything that is refused, and peers that mean harm.
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { defaultShaperLimits, unlimitedShaper } from '@drawbridge/gatekeeper/routing/stream-shaper';
import { attribute, childElement, type Element, isElement } from '@drawbridge/wire/element';
import { parseDeviceMessage } from '@drawbridge/wire/envelope';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { ciphertextFor, domain, envelope, type Person, RawNetwork } from './raw-network.ts';
import { RawXmpp, type RawTransport } from './raw-xmpp.ts';

const transports: readonly RawTransport[] = ['starttls', 'direct', 'websocket'];

let network: RawNetwork;
let people = 0;

before(async () => {
  network = await RawNetwork.open();
});
after(() => network.close());

/** Somebody new: tests have nobody in common. */
async function somebody(provider = 0): Promise<Person> {
  return await network.person(`person${people++}`, provider);
}

async function two(): Promise<[Person, Person]> {
  return [await somebody(), await somebody()];
}

const idOf = (el: Element): string => attribute(el, 'id') ?? '';
const ids = (elements: readonly Element[]): string[] => elements.map(idOf);
const isError = (id: string) => (el: Element) => attribute(el, 'type') === 'error' && idOf(el) === id;

/** What stands in an error: its type, its condition, and what is beside it. */
function errorWords(stanza: Element): string {
  const error = stanza.children.find(child => isElement(child) && child.name === 'error') as Element;
  const names = error.children.filter(isElement).map(child => child.name);
  return [attribute(error, 'type'), ...names].join(' ');
}

async function expectError(client: RawXmpp, id: string): Promise<string> {
  return errorWords(await client.expect(isError(id)));
}

for (const transport of transports) {
  test(`${transport}: login, a message, its acknowledgements, the end`, async () => {
    const [anna, bob] = await two();
    const to = await network.login(bob, transport);
    const from = await network.login(anna, transport);
    from.send(envelope(anna, bob.bareJid, 'm1'));
    const [message] = await to.messages(1);
    const read = parseDeviceMessage(message!);
    assert.equal(read.kind, 'device-message');
    assert.equal(attribute(message!, 'from'), anna.fullJid);
    assert.equal(attribute(message!, 'to'), bob.fullJid);
    assert.equal(childElement(message!, 'delay', 'urn:xmpp:delay'), undefined);
    to.acknowledge();
    assert.equal(await from.acknowledged(), 1);
    assert.equal(await network.stored(bob), 0);
    await from.end();
    await to.end();
  });
}

test('messages wait for an offline device and come in order, with the time at which they came', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  const count = 700;
  await from.sendAll(Array.from({ length: count }, (_, i) => envelope(anna, bob.bareJid, `m${i}`)));
  assert.equal(await from.acknowledged(), count);
  assert.equal(await network.stored(bob), count, 'acknowledged means durable');

  const to = await network.login(bob);
  const received: Element[] = [];
  for (let i = 0; i < count; i += 100) {
    received.push(...(await to.messages(100)));
    to.acknowledge();
  }
  assert.deepEqual(
    ids(received),
    Array.from({ length: count }, (_, i) => `m${i}`),
  );
  for (const message of received) {
    const delay = childElement(message, 'delay', 'urn:xmpp:delay')!;
    assert.equal(attribute(delay, 'from'), domain);
    assert.equal(attribute(delay, 'stamp'), new Date(network.fixture.clock.nowMs).toISOString());
  }
  // What comes now follows what waited, without the mark.
  from.send(envelope(anna, bob.bareJid, 'live'));
  const [live] = await to.messages(1);
  assert.equal(idOf(live!), 'live');
  to.acknowledge();
  await to.ping();
  await settled(async () => (await network.stored(bob)) === 0, 'the mailbox empties');
  from.cut();
  to.cut();
});

test('the acknowledgement waits for the recipient or the disk', async () => {
  const [anna, bob] = await two();
  const to = await network.login(bob);
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  await to.messages(1);
  // Delivered, and the recipient says nothing: it goes to the disk, and then the sender is told.
  assert.equal(await from.acknowledged(), 1);
  assert.equal(await network.stored(bob), 1);
  from.cut();
  to.cut();
});

test('no-store goes to live devices and nowhere else', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  const hint = "<no-store xmlns='urn:xmpp:hints'/>";
  from.send(envelope(anna, bob.bareJid, 'lost', undefined, hint));
  assert.equal(await from.acknowledged(), 1);
  assert.equal(await network.stored(bob), 0);
  const to = await network.login(bob);
  await to.ping();
  from.send(envelope(anna, bob.bareJid, 'typing', undefined, hint));
  assert.deepEqual(ids(await to.messages(1)), ['typing']);
  from.cut();
  to.cut();
});

test('a cut stream is resumed: what was lost comes again, in order, nothing twice', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  let to = await RawXmpp.login(network.target, 'direct', await network.proof(bob), { management: false });
  const id = await to.enable();
  for (let i = 0; i < 5; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.deepEqual(ids(await to.messages(5)), ['m0', 'm1', 'm2', 'm3', 'm4']);
  to.acknowledge(2);
  await to.ping();
  to.cut();
  // More while it is away: to the disk.
  for (let i = 5; i < 8; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.equal(await from.acknowledged(), 8);

  const again = await RawXmpp.connect(network.target, 'websocket');
  await again.authenticate(await network.proof(bob));
  // It has read three of the five, and the answer to its ping.
  again.send(`<resume xmlns='urn:xmpp:sm:3' previd='${id}' h='3'/>`);
  const resumed = await again.expect('resumed');
  assert.equal(attribute(resumed, 'previd'), id);
  assert.equal(attribute(resumed, 'h'), '1');
  const messages = await again.messages(5);
  assert.deepEqual(ids(messages), ['m3', 'm4', 'm5', 'm6', 'm7']);
  again.handled = 3 + 5 + 1;
  again.acknowledge();
  await settled(async () => (await network.stored(bob)) === 0, 'all is acknowledged');
  to = again;
  to.cut();
  from.cut();
});

test('resumption of a live stream takes it over; wrong ids, counts and devices are refused, and binding works then', async () => {
  const [anna, bob] = await two();
  const first = await network.login(anna, 'direct', false);
  const id = await first.enable();
  const attempt = async (who: Person, previd: string, h: string): Promise<RawXmpp> => {
    const client = await RawXmpp.connect(network.target, 'direct');
    await client.authenticate(await network.proof(who));
    client.send(`<resume xmlns='urn:xmpp:sm:3' previd='${previd}' h='${h}'/>`);
    return client;
  };
  for (const [who, previd] of [
    [bob, id],
    [anna, 'AAAAAAAAAAAAAAAAAAAAAA'],
    [anna, ''],
  ] as const) {
    const client = await attempt(who, previd, '0');
    const failed = await client.expect('failed');
    assert(childElement(failed, 'item-not-found', 'urn:ietf:params:xml:ns:xmpp-stanzas'));
    client.send("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    await client.expect('iq');
    await client.ping();
    if (who === bob) await first.ping();
    client.cut();
  }
  const fresh = await network.login(anna, 'direct', false);
  const freshId = await fresh.enable();
  const taker = await attempt(anna, freshId, '0');
  assert.equal(attribute(await taker.expect('resumed'), 'h'), '0');
  assert.equal(await fresh.streamError(), 'conflict');
  await taker.ping();
  // A count of what was never sent ends the session for good.
  const liar = await attempt(anna, freshId, '4000000000');
  await liar.expect('failed');
  const gone = await attempt(anna, freshId, '0');
  await gone.expect('failed');
  for (const client of [first, taker, liar, gone]) client.cut();
});

test('a second login of a device closes the first with conflict, and messages go on without loss', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  const first = await network.login(bob);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  await first.messages(1);
  const second = await network.login(bob, 'starttls');
  assert.equal(await first.streamError(), 'conflict');
  from.send(envelope(anna, bob.bareJid, 'm2'));
  assert.deepEqual(ids(await second.messages(2)), ['m1', 'm2']);
  second.cut();
  from.cut();
});

test('a client without stream management acknowledges by answering pings', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  for (let i = 0; i < 3; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.equal(await from.acknowledged(), 3);
  const to = await network.login(bob, 'direct', false);
  to.send("<presence xmlns='jabber:client'/>");
  assert.deepEqual(ids(await to.messages(3)), ['m0', 'm1', 'm2']);
  assert.equal(await network.stored(bob), 3);
  // One ping covers its own presence, the next what came after that.
  const isPing = (el: Element): boolean => el.name === 'iq' && attribute(el, 'type') === 'get';
  await settled(async () => {
    const ping = to.inbox.some(isPing) ? await to.expect(isPing) : undefined;
    if (ping !== undefined) to.send(`<iq xmlns='jabber:client' type='result' id='${idOf(ping)}'/>`);
    return (await network.stored(bob)) === 0;
  }, 'the answers acknowledge');
  to.cut();
  from.cut();
});

test('a client that answers no pings gets its messages again', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  assert.equal(await from.acknowledged(), 1);
  for (let login = 0; login < 2; login++) {
    const to = await network.login(bob, 'direct', false);
    to.send("<presence xmlns='jabber:client'/>");
    assert.deepEqual(ids(await to.messages(1)), ['m1']);
    await to.end();
  }
  from.cut();
});

test('a client that shows no sign gets its mailbox too, and what it got before <enable/> is acknowledged with the first count', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  for (let i = 0; i < 4; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.equal(await from.acknowledged(), 4);
  const to = await network.login(bob, 'direct', false);
  await to.messages(4);
  await to.enable();
  from.send(envelope(anna, bob.bareJid, 'm4'));
  await to.messages(1);
  to.acknowledge();
  await settled(async () => (await network.stored(bob)) === 0, 'all five are acknowledged');
  to.cut();
  from.cut();
});

test('the acknowledgements that come with the end of a stream count', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  assert.equal(await from.acknowledged(), 1);
  for (const ending of ['</stream:stream>', '<nonsense', '<x xmlns="urn:x"/>']) {
    from.send(envelope(anna, bob.bareJid, ending.length.toString()));
    await from.acknowledged();
    const to = await network.login(bob);
    await to.expect('message');
    await to.until('both', () => to.handled >= 1);
    to.send(`<a xmlns='urn:xmpp:sm:3' h='${to.handled}'/>${ending}`);
    if (ending.startsWith('<nonsense')) {
      await to.ping().catch(() => {});
      to.cut();
    } else await to.closed();
  }
  await settled(async () => (await network.stored(bob)) === 0, 'every count was taken');
  from.cut();
});

test('counts: h covers what is resolved, errors too, <r/> is answered in order', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  assert.equal(await from.acknowledged(), 0);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  from.send(envelope(anna, 'nobody@citadel.example', 'm2'));
  from.send("<message xmlns='jabber:client' id='m3'><body>in the clear</body></message>");
  from.send("<presence xmlns='jabber:client'/>");
  from.send("<iq xmlns='jabber:client' type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>");
  assert.equal(await from.acknowledged(), 5);
  await expectError(from, 'm2');
  await expectError(from, 'm3');
  from.cut();
});

test('a wrong set of devices delivers nothing and names what is wrong', async () => {
  const [anna, bob] = await two();
  const second = await network.furtherDevice(bob);
  const from = await network.login(anna);
  const to = await network.login(second);
  const refuse = async (id: string, ciphertexts: string, jid = bob.bareJid): Promise<string> => {
    from.send(envelope(anna, jid, id, ciphertexts));
    const stanza = await from.expect(isError(id));
    assert.equal(attribute(stanza, 'from'), jid);
    const error = stanza.children.find(isElement)!;
    const list = error.children.filter(isElement).find(child => child.name === 'device-list')!;
    assert.equal(attribute(error, 'type'), 'modify');
    return list.children
      .filter(isElement)
      .map(child => `${child.name} ${attribute(child, 'device')}`)
      .join(', ');
  };
  const stale = (bob.device.registrationId % 16_380) + 1;
  assert.equal(await refuse('missing', ciphertextFor(1)), 'missing 2');
  assert.equal(await refuse('extra', ciphertextFor(1) + ciphertextFor(2) + ciphertextFor(9)), 'extra 9');
  assert.equal(await refuse('stale', ciphertextFor(1, 24, stale) + ciphertextFor(2)), 'stale 1');
  assert.equal(await refuse('all', ciphertextFor(1, 24, stale) + ciphertextFor(3)), 'missing 2, extra 3, stale 1');
  assert.equal(await refuse('other', ciphertextFor(1), second.fullJid), 'missing 2, extra 1');
  assert.equal(await refuse('none', ciphertextFor(9), `${bob.bareJid}/9`), 'extra 9');
  from.send(envelope(anna, bob.bareJid, 'right', ciphertextFor(1, 24, bob.device.registrationId) + ciphertextFor(2)));
  assert.deepEqual(ids(await to.messages(1)), ['right']);
  from.send(envelope(anna, second.fullJid, 'one', ciphertextFor(2)));
  assert.deepEqual(ids(await to.messages(1)), ['one']);
  await from.acknowledged();
  assert.equal(await network.stored(bob), 1);

  // One's own other devices: without the one that sends.
  const own = await network.login(bob);
  await own.messages(1);
  own.send(envelope(bob, bob.bareJid, 'own', ciphertextFor(2)));
  assert.deepEqual(ids(await to.messages(1)), ['own']);
  own.send(envelope(bob, bob.bareJid, 'self', ciphertextFor(1) + ciphertextFor(2)));
  assert.equal(await expectError(own, 'self'), 'modify conflict device-list');
  for (const client of [from, to, own]) client.cut();
});

test('nothing but envelopes passes, on any path', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  const to = await network.login(bob);
  const good = envelope(anna, bob.bareJid, 'x');
  const secret = 'attack at dawn';
  const gate = 'modify policy-violation envelope-required';
  const messages: Record<string, string> = {
    'a body': `<message xmlns='jabber:client' to='${bob.bareJid}' id='1'><body>${secret}</body></message>`,
    'a body beside the envelope': good.replace('</message>', `<body>${secret}</body></message>`),
    'text beside the envelope': good.replace('</message>', `${secret}</message>`),
    'text inside the envelope': good.replace('</envelope>', `${secret}</envelope>`),
    'a child of the envelope': good.replace('</envelope>', `<note>${secret}</note></envelope>`),
    'an attribute of the envelope': good.replace("suite='signal-1'", `suite='signal-1' note='${secret}'`),
    'an attribute of the ciphertext': good.replace("kind='session'", `kind='session' note='${secret}'`),
    'an attribute of the message': good.replace("type='chat'", `type='chat' note='${secret}'`),
    'an attribute with a namespace': good.replace("type='chat'", `type='chat' xmlns:n='urn:n' n:note='${secret}'`),
    'a subject': good.replace('</message>', `<subject>${secret}</subject></message>`),
    'an unknown extension': good.replace('</message>', `<x xmlns='urn:x'>${secret}</x></message>`),
    'two envelopes': good.replace('</message>', `${/<envelope.*<\/envelope>/.exec(good)![0]}</message>`),
    'a foreign namespace': good.replace('urn:drawbridge:e2ee:1', 'urn:drawbridge:e2ee:2'),
    'a delay of its own': good.replace(
      '</message>',
      "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/></message>",
    ),
    'no ciphertext': good.replace(/<ciphertext.*<\/ciphertext>/, ''),
    'base64 that is not canonical': good.replace(/>[A-Za-z0-9+/]*=*<\/ciphertext>/, '>QUJ=</ciphertext>'),
    'base64 with line ends': good.replace("kind='session'>", "kind='session'>\n"),
    'an unknown kind': good.replace("kind='session'", "kind='clear'"),
    'a groupchat': good.replace("type='chat'", "type='groupchat'"),
    'a headline': good.replace("type='chat'", "type='headline'"),
    'an entity in the text': good.replace('</message>', '&lt;body&gt;x&lt;/body&gt;</message>'),
    CDATA: good.replace('</message>', `<![CDATA[${secret}]]></message>`),
  };
  for (const [what, xml] of Object.entries(messages)) {
    const id = `gate-${what.replaceAll(' ', '-')}`;
    from.send(xml.replace(/ id='[^']*'/, ` id='${id}'`));
    assert.equal(await expectError(from, id), gate, what);
  }
  // Errors are dropped without a word: nothing answers an error.
  from.send(good.replace("type='chat'", "type='error'").replace("id='x'", "id='err'"));
  from.send(
    `<message xmlns='jabber:client' type='error' to='${bob.fullJid}' id='err2'><body>${secret}</body><error type='cancel'/></message>`,
  );
  for (const type of ['get', 'set']) {
    for (const jid of [bob.fullJid, bob.bareJid, `other.example`, `a@other.example/${secret.replaceAll(' ', '-')}`]) {
      const id = `iq-${type}-${jid.length}`;
      from.send(`<iq xmlns='jabber:client' type='${type}' to='${jid}' id='${id}'><x xmlns='urn:x'>${secret}</x></iq>`);
      assert.equal(await expectError(from, id), 'cancel service-unavailable');
    }
  }
  for (const type of ['result', 'error']) {
    from.send(
      `<iq xmlns='jabber:client' type='${type}' to='${bob.fullJid}' id='r'><x xmlns='urn:x'>${secret}</x>${
        type === 'error' ? "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>" : ''
      }</iq>`,
    );
  }
  for (const more of ['', " type='subscribe'", " type='probe'", " type='unavailable'", " type='error'"]) {
    from.send(`<presence xmlns='jabber:client' to='${bob.fullJid}'${more}><status>${secret}</status></presence>`);
    from.send(`<presence xmlns='jabber:client' to='${bob.bareJid}'${more}><status>${secret}</status></presence>`);
  }
  from.send(`<presence xmlns='jabber:client'><status>${secret}</status></presence>`);
  from.send(
    good
      .replace("id='x'", "id='good'")
      .replace("type='chat'", "type='chat' from='victim@citadel.example/1' xml:lang='en'"),
  );
  const message = await to.expect('message');
  assert.equal(idOf(message), 'good');
  assert.equal(attribute(message, 'from'), anna.fullJid);
  assert.equal(attribute(message, 'xml:lang'), undefined);
  await to.ping();
  for (const el of to.inbox) {
    assert(el.name === 'r' || el.name === 'a', encodeElement(el, ''));
  }
  // Others' presence is nobody's to ask for or to be told: who asks hears so, and the other hears nothing.
  const refused = from.inbox.filter(el => el.name === 'presence' && attribute(el, 'from')?.startsWith(bob.bareJid));
  const types = refused.map(el => attribute(el, 'type'));
  assert.deepEqual(types, ['error', 'error', 'unsubscribed', 'unsubscribed', 'unsubscribed', 'unsubscribed']);
  // To one's own devices presence goes without what it says.
  const own = await from.expect(el => el.name === 'presence' && attribute(el, 'from') === anna.fullJid);
  assert.deepEqual(own.children, []);
  for (const el of from.inbox) assert(!encodeElement(el, '').includes(secret));
  from.cut();
  to.cut();
});

test('who speaks of another device is refused', async () => {
  const [anna, bob] = await two();
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1').replace("from-device='1'", "from-device='2'"));
  assert.equal(await expectError(from, 'm1'), 'modify policy-violation');
  from.cut();
});

test('an unknown, a not opted-in, a suspended and a foreign recipient: the same answer, word for word', async () => {
  const stranger = await somebody(1);
  const bob = await somebody();
  const heron = await somebody(2);
  const from = await network.login(stranger);
  const jids = [
    `0-${'a'.repeat(26)}@${domain}`,
    bob.bareJid,
    heron.bareJid,
    `0-${'a'.repeat(26)}@other.example`,
    `${bob.bareJid}/1`,
    `${bob.bareJid}/99`,
  ];
  const answers = new Set<string>();
  for (const [i, jid] of jids.entries()) {
    from.send(envelope(stranger, jid, `m${i}`));
    const error = await from.expect(isError(`m${i}`));
    assert.equal(attribute(error, 'from'), jid);
    answers.add(error.children.map(child => encodeElement(child as Element, '')).join(''));
  }
  assert.equal(answers.size, 1, [...answers].join('\n'));
  assert.match([...answers][0]!, /type='cancel'.*service-unavailable/);
  // What can be nobody's address here is told apart by its form alone.
  for (const [i, jid] of [`anna@${domain}`, 'someone@other.example', domain, 'a@b@c'].entries()) {
    from.send(envelope(stranger, jid, `form${i}`));
    const isAddress = jid !== 'a@b@c';
    assert.equal(
      await expectError(from, `form${i}`),
      isAddress ? 'cancel service-unavailable' : 'modify jid-malformed',
    );
  }
  // Opting in opens the way, opting out closes it, also for what waits.
  await network.fixture.control.enlistment.setOptIn(bob.account, 1, true);
  from.send(envelope(stranger, bob.bareJid, 'in'));
  assert.equal(await from.acknowledged(), jids.length + 4 + 1);
  assert.equal(await network.stored(bob), 1);
  const account = (await network.fixture.control.accounts.find(bob.account.interopId))!;
  await network.fixture.control.enlistment.setOptIn(account, 1, false);
  const to = await network.login(bob);
  await to.ping();
  assert.equal(await network.stored(bob), 1, 'opting out may be taken back, and the sender was told that it is kept');
  assert.deepEqual(
    to.inbox.filter(el => el.name === 'message'),
    [],
  );
  to.cut();
  await network.fixture.control.enlistment.setOptIn(bob.account, 1, true);
  const back = await network.login(bob);
  assert.equal(attribute((await back.messages(1))[0]!, 'id'), 'in');
  from.cut();
  back.cut();
});

test('a suspension of sender or provider keeps acknowledged mail, and it comes when that is over', async t => {
  const fresh = await RawNetwork.open();
  t.after(() => fresh.close());
  const { control, clock } = fresh.fixture;
  const [anna, bob, carl] = [await fresh.person('anna', 1), await fresh.person('bob'), await fresh.person('carl')];
  await control.enlistment.setOptIn(bob.account, 1, true);
  const write = async (sender: Person, id: string): Promise<void> => {
    const from = await fresh.login(sender);
    from.send(envelope(sender, bob.bareJid, id));
    assert.equal(await from.acknowledged(), 1);
    from.cut();
  };
  /** What bob's next stream brings; `left` stay behind. */
  const heard = async (ids: readonly string[], left: number): Promise<void> => {
    const to = await fresh.login(bob);
    const messages = await to.messages(ids.length);
    await to.ping();
    assert.deepEqual(
      messages.map(el => attribute(el, 'id')),
      ids,
    );
    assert(!to.inbox.some(el => el.name === 'message'));
    to.acknowledge();
    await settled(async () => (await fresh.stored(bob)) === left, `${left} are left`);
    to.cut();
  };
  await write(anna, 'm1');
  await write(carl, 'm2');
  await control.registry.setStatus(1, 'suspended', 'admin', clock.nowMs);
  await control.enlistment.setStatus(carl.account.interopId, 'suspended', 'admin', clock.nowMs);
  await heard([], 2);
  await control.registry.setStatus(1, 'live', 'admin', clock.nowMs);
  await heard(['m1'], 1);
  await control.enlistment.setStatus(carl.account.interopId, 'active', 'admin', clock.nowMs);
  await heard(['m2'], 0);
  // A person who withdrew is gone for good, and so is what they wrote.
  await write(carl, 'm3');
  await control.enlistment.withdraw((await control.accounts.find(carl.account.interopId))!);
  await heard([], 0);
});

test('at login off-the-shelf clients get what they need', async () => {
  const anna = await somebody();
  const client = await network.login(anna, 'direct', false);
  const ask = async (id: string, type: string, payload: string, to?: string): Promise<string> => {
    const at = to === undefined ? '' : ` to='${to}'`;
    client.send(`<iq xmlns='jabber:client' type='${type}' id='${id}'${at}>${payload}</iq>`);
    const answer = await client.expect(el => el.name === 'iq' && idOf(el) === id);
    assert.equal(attribute(answer, 'from'), to ?? anna.bareJid);
    assert.equal(attribute(answer, 'to'), anna.fullJid);
    return attribute(answer, 'type') === 'error'
      ? errorWords(answer)
      : encodeElement((answer.children[0] as Element) ?? answer, '');
  };
  assert.match(await ask('1', 'set', "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"), /^<iq/);
  assert.match(await ask('2', 'get', "<query xmlns='jabber:iq:roster'/>"), /^<query xmlns='jabber:iq:roster'\/>$/);
  assert.match(
    await ask('3', 'get', "<query xmlns='http://jabber.org/protocol/disco#info'/>", domain),
    /identity category='server'/,
  );
  assert.match(await ask('4', 'get', "<query xmlns='http://jabber.org/protocol/disco#items'/>", domain), /^<query/);
  assert.match(await ask('5', 'get', "<ping xmlns='urn:xmpp:ping'/>", anna.bareJid), /^<iq/);
  for (const [i, payload] of [
    "<vCard xmlns='vcard-temp'/>",
    "<query xmlns='jabber:iq:private'/>",
    "<enable xmlns='urn:xmpp:carbons:2'/>",
    "<query xmlns='jabber:iq:last'/>",
    "<x xmlns='urn:x'/>",
  ].entries()) {
    assert.equal(await ask(`u${i}`, 'get', payload), 'cancel service-unavailable', payload);
  }
  assert.equal(await ask('two', 'get', "<a xmlns='urn:x'/><b xmlns='urn:x'/>"), 'modify bad-request');
  assert.equal(await ask('none', 'get', ''), 'modify bad-request');
  client.cut();
});

test('presence goes to one’s own devices and to nobody else', async () => {
  const anna = await somebody();
  const second = await network.furtherDevice(anna);
  const one = await network.login(anna);
  const other = await network.login(second);
  one.send("<presence xmlns='jabber:client'><show>away</show></presence>");
  for (const client of [one, other]) {
    const presence = await client.expect('presence');
    assert.equal(attribute(presence, 'from'), anna.fullJid);
    assert.deepEqual(presence.children, []);
  }
  one.cut();
  other.cut();
});

test('proofs: refused, used twice, for others, and three attempts', async () => {
  const anna = await somebody();
  const proof = await network.proof(anna);
  const first = await RawXmpp.login(network.target, 'direct', proof);
  const client = await RawXmpp.connect(network.target, 'direct');
  await client.secure();
  for (let attempt = 0; attempt < 3; attempt++) {
    client.sendAuth(attempt === 0 ? proof : 'not.a.proof');
    const challenge = await client.expect('challenge');
    assert.equal(Buffer.from(challenge.children[0] as string, 'base64').toString(), '{"status":"invalid_token"}');
    client.send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AQ==</response>");
    const failure = await client.expect('failure');
    assert(childElement(failure, 'not-authorized', 'urn:ietf:params:xml:ns:xmpp-sasl'));
  }
  assert.equal(await client.streamError(), 'policy-violation');
  await first.ping();
  first.cut();
});

test('malformed XML of many kinds, before and after login, ends that stream with an error and no other', async () => {
  const [anna, bob] = await two();
  const witness = await network.login(bob);
  const kinds: Record<string, string | Uint8Array> = {
    'a tag that does not fit': '<a></b>',
    'two attributes of one name': "<a x='1' x='2'/>",
    'an attribute without quotes': '<a x=1/>',
    'a comment': '<!-- x -->',
    'a processing instruction': '<?php x ?>',
    'a document type': '<!DOCTYPE a>',
    'an entity bomb': '<!DOCTYPE a [<!ENTITY b "bbbbbbbb">]>',
    'an unknown entity': '<message>&nbsp;</message>',
    'an external entity': '<message>&xxe;</message>',
    'a bare ampersand': '<message>a & b</message>',
    'a NUL': '<message>\0</message>',
    'a control character': '<message>\u0001</message>',
    'a character reference to NUL': '<message>&#0;</message>',
    'broken UTF-8': Buffer.concat([Buffer.from('<message>'), Buffer.from([0xc3, 0x28]), Buffer.from('</message>')]),
    'an overlong form': Buffer.concat([Buffer.from('<message>'), Buffer.from([0xc0, 0x80]), Buffer.from('</message>')]),
    'a surrogate in UTF-8': Buffer.concat([
      Buffer.from('<message>'),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from('</message>'),
    ]),
    'an unknown prefix': '<x:message/>',
    'the xml prefix bound again': "<message xmlns:xml='urn:x'/>",
    'too deep': '<a>'.repeat(40),
    'too many attributes': `<a ${Array.from({ length: 100 }, (_, i) => `x${i}='1'`).join(' ')}/>`,
    'far too large': `<message>${'x'.repeat(520 * 1024)}</message>`,
    'text between stanzas': 'hello',
    'a second stream': "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    'an unknown stanza': "<x xmlns='urn:x'/>",
    'a stanza of another stream': "<message xmlns='jabber:server'/>",
  };
  for (const [what, bytes] of Object.entries(kinds)) {
    for (const isLoggedIn of [false, true]) {
      const client = isLoggedIn ? await network.login(anna) : await RawXmpp.connect(network.target, 'direct');
      if (!isLoggedIn) await client.secure();
      client.send(bytes);
      const condition = await client.streamError().catch((error: Error) => assert.fail(`${what}: ${error.message}`));
      assert.match(
        condition,
        /^(bad-format|not-well-formed|restricted-xml|invalid-xml|invalid-namespace|bad-namespace-prefix|unsupported-stanza-type|not-authorized|policy-violation|unsupported-encoding)$/,
        what,
      );
    }
  }
  for (const bytes of ['<a></b>', '<message/><message/>', 'x', '', '<!-- -->', "<presence xmlns='jabber:client'>"]) {
    const client = await network.login(anna, 'websocket');
    client.send(bytes);
    await client.streamError();
  }
  const binary = await network.login(anna, 'websocket');
  binary.send(Buffer.from("<presence xmlns='jabber:client'/>"));
  await binary.closed();
  await witness.ping();
  witness.cut();
});

test('headers that do not fit are answered and closed', async () => {
  const header = (attrs: string): string => `<stream:stream ${attrs}>`;
  const usual = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
  const cases: [string, string][] = [
    [header(`${usual} version='1.0' to='other.example'`), 'host-unknown'],
    [header(`${usual} version='1.0'`), 'improper-addressing'],
    [header(`${usual} to='${domain}'`), 'unsupported-version'],
    [header(`${usual} version='0.9' to='${domain}'`), 'unsupported-version'],
    [header(`xmlns='jabber:client' xmlns:stream='urn:x' version='1.0' to='${domain}'`), 'invalid-namespace'],
    ['GET / HTTP/1.1\r\n\r\n', 'not-well-formed'],
    ['<message/>', 'invalid-namespace|bad-format|not-well-formed|invalid-xml'],
    ['\x16\x03\x01\x02\x00\x01', 'not-well-formed'],
  ];
  for (const [text, condition] of cases) {
    const client = await RawXmpp.connect(network.target, 'starttls');
    client.send(text);
    assert.match(await client.streamError(), new RegExp(`^(${condition})$`), text);
  }
});

test('in the clear nothing but STARTTLS; what is sent behind it is never taken for protected', async () => {
  const anna = await somebody();
  const auth = (token: string): string =>
    `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='OAUTHBEARER'>${Buffer.from(`n,,\u0001auth=Bearer ${token}\u0001\u0001`).toString('base64')}</auth>`;
  const starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
  const proof = await network.proof(anna);
  const plain = await RawXmpp.connect(network.target, 'starttls');
  await plain.header();
  plain.send(auth(proof));
  assert.equal(await plain.streamError(), 'policy-violation');

  for (const behind of [auth(proof), '<a', "<message xmlns='jabber:client'/>", '\x16\x03\x01', '</stream:stream>']) {
    const client = await RawXmpp.connect(network.target, 'starttls');
    await client.header();
    client.send(starttls + behind);
    await client.closed();
    assert(!client.inbox.some(el => el.name === 'success'));
  }
  // The proof was not used up by any of them.
  const client = await RawXmpp.login(network.target, 'starttls', proof);
  await client.ping();
  client.cut();
});

test('pipelined logins are closed, pipelined stanzas after binding are not', async () => {
  const anna = await somebody();
  const early = await RawXmpp.connect(network.target, 'direct');
  await early.secure();
  early.sendAuth(await network.proof(anna));
  early.send("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  assert.equal(await early.streamError(), 'policy-violation');

  const client = await RawXmpp.connect(network.target, 'direct');
  await client.authenticate(await network.proof(anna));
  client.send(
    "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>" +
      "<enable xmlns='urn:xmpp:sm:3'/><r xmlns='urn:xmpp:sm:3'/><presence xmlns='jabber:client'/>",
  );
  await client.expect('iq');
  await client.expect('enabled');
  await client.expect('a');
  await client.expect('presence');
  client.cut();
});

test('a suspended person, provider and a removed device lose their streams within a second', async () => {
  const { control, clock } = network.fixture;
  const anna = await somebody(1);
  const herons = [await somebody(2), await somebody(2)];
  const bob = await somebody();
  const second = await network.furtherDevice(bob);

  const annas = await network.login(anna);
  await within(1_000, async () => {
    await control.enlistment.setStatus(anna.account.interopId, 'suspended', 'admin', clock.nowMs);
    assert.equal(await annas.streamError(), 'policy-violation');
  });

  // One has bound, one has proven who it is and not yet bound.
  const bound = await network.login(herons[0]!);
  const halfway = await RawXmpp.connect(network.target, 'direct');
  await halfway.authenticate(await network.proof(herons[1]!));
  await within(1_000, async () => {
    await control.registry.setStatus(2, 'suspended', 'admin', clock.nowMs);
    assert.equal(await bound.streamError(), 'policy-violation');
  });
  halfway.send("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  assert.equal(await halfway.streamError(), 'not-authorized');
  await control.registry.setStatus(2, 'live', 'admin', clock.nowMs);

  const first = await network.login(bob);
  const removed = await network.login(second);
  // Its proof was taken, and it has not bound yet.
  const proven = await RawXmpp.connect(network.target, 'direct');
  await proven.authenticate(await network.proof(second));
  await within(1_000, async () => {
    first.send(
      "<iq xmlns='jabber:client' type='set' id='rm'><remove xmlns='urn:drawbridge:devices:1' device='2'/></iq>",
    );
    assert.equal(await removed.streamError(), 'not-authorized');
  });
  proven.send("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  assert.equal(await proven.streamError(), 'not-authorized');
  await first.ping();
  first.cut();
});

for (const transport of transports) {
  test(`${transport}: a recipient that reads nothing costs little memory, and loses nothing`, {
    timeout: 90_000,
  }, async () => {
    const [anna, bob] = await two();
    const to = await network.login(bob, transport);
    await to.ping();
    to.stopReading();
    const from = await network.login(anna);
    const count = 750;
    const before = await memory();
    function* texts(): Generator<string> {
      for (let i = 0; i < count; i++) yield envelope(anna, bob.bareJid, `m${i}`, ciphertextFor(1, 60_000));
    }
    const other = await network.login(await somebody());
    const sending = from.sendAll(texts());
    // Others are served meanwhile.
    await other.ping();
    await sending;
    await other.ping();
    other.cut();
    let handled = 0;
    for (let i = 0; i < 20 && handled < count; i++) handled = await from.acknowledged();
    assert.equal(handled, count);
    assert.equal(await network.stored(bob), count);
    // 60 MB went in. The client is in this process too, and holds nothing.
    const grownBytes = (await memory()) - before;
    assert(grownBytes < 16 * 1024 * 1024, `${(grownBytes / 1024 / 1024).toFixed(1)} MiB more`);

    to.read();
    const received: string[] = [];
    while (received.length < count) {
      received.push(...ids(await to.messages(1)));
      if (received.length % 20 === 0) to.acknowledge();
    }
    assert.deepEqual(
      received,
      Array.from({ length: count }, (_, i) => `m${i}`),
    );
    from.cut();
    to.cut();
  });
}

test('a sender that reads no answers is read no more', { timeout: 60_000 }, async t => {
  // As fast as it can: with the rates of the others it would be read slowly long before.
  const fast = await RawNetwork.open({ session: { shaper: unlimitedShaper } });
  t.after(() => fast.close());
  const anna = await fast.person('anna');
  const client = await fast.login(anna);
  client.stopReading();
  const before = await memory();
  const iq = "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>".repeat(500);
  const sending = client.sendAll(Array.from({ length: 1_000 }, () => iq));
  // 38 MB of questions: the gatekeeper stops reading, or ends the stream when ten thousand answers are not acknowledged.
  await Promise.race([sending, new Promise(resolve => setTimeout(resolve, 1_500))]);
  const grownBytes = (await memory()) - before;
  assert(grownBytes < 24 * 1024 * 1024, `${(grownBytes / 1024 / 1024).toFixed(1)} MiB more`);
  client.read();
  assert.equal(await client.streamError(), 'policy-violation');
  await sending;
  const again = await fast.login(anna);
  await again.end();
});

test('clients that dawdle are cut at their deadlines, those that are too many at the door', {
  timeout: 30_000,
}, async t => {
  const small = await RawNetwork.open({
    listener: { loginMs: 700, tlsHandshakeMs: 400, maxUnauthenticatedPerAddress: 4, closeMs: 200 },
  });
  t.after(() => small.close());
  const started = performance.now();
  // A byte now and then, no TLS handshake at all, a stream without a login: all of them are cut.
  const slow = await RawXmpp.connect(small.target, 'starttls');
  const feeding = setInterval(() => slow.send(' '), 50);
  const silent = connectTcp(small.target.ports.xmpps, '127.0.0.1');
  silent.on('error', () => {});
  const idle = await RawXmpp.connect(small.target, 'websocket');
  await idle.secure();
  await within(3_000, async () => {
    await new Promise(resolve => silent.once('close', resolve));
    assert.equal(await slow.streamError(), 'connection-timeout');
    assert.equal(await idle.streamError(), 'connection-timeout');
  });
  clearInterval(feeding);
  assert(performance.now() - started > 600);

  const crowd = await Promise.all(Array.from({ length: 4 }, () => RawXmpp.connect(small.target, 'starttls')));
  const fifth = connectTcp(small.target.ports.xmpp, '127.0.0.1');
  fifth.on('error', () => {});
  let told = '';
  fifth.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  await new Promise(resolve => fifth.once('close', resolve));
  assert.match(told, /<resource-constraint [^>]*\/><\/stream:error><\/stream:stream>$/, 'come again later');
  for (const each of crowd) each.cut();
  await settled(async () => small.core.listenerHost.gate.connections === 0, 'their places are free again');
  const anna = await small.person('anna');
  const client = await small.login(anna);
  await client.ping();
  client.cut();
});

test('a device that stops answering is taken for dead, and its messages wait', { timeout: 30_000 }, async t => {
  const impatient = await RawNetwork.open({ session: { answerWithinMs: 500, resumeSeconds: 1 } });
  t.after(() => impatient.close());
  const [anna, bob] = [await impatient.person('anna'), await impatient.person('bob')];
  const from = await impatient.login(anna);
  const to = await impatient.login(bob);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  await to.messages(1);
  assert.equal(await to.streamError(), 'connection-timeout');
  assert.equal(await from.acknowledged(), 1);
  assert.equal(await impatient.stored(bob), 1);
  await settled(async () => impatient.core.sessions.count === 1, 'the session is not kept for ever');
  from.cut();
});

test('a device whose network dies without a word is woken, also for what came before', { timeout: 30_000 }, async t => {
  const patient = await RawNetwork.open({ session: { lateAfterMs: 300 } });
  t.after(() => patient.close());
  const [anna, bob] = [await patient.person('anna'), await patient.person('bob', 1)];
  await patient.fixture.control.enlistment.setOptIn(anna.account, 1, true);
  const from = await patient.login(anna);
  const to = await patient.login(bob);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  await to.messages(1);
  // The socket is still there: nobody has told the gatekeeper anything, and no later message comes.
  await settled(async () => patient.fixture.world.posted.length === 1, 'bob is woken');
  assert.equal(patient.core.sessions.count, 2);
  from.cut();
  to.cut();
});

test('a defect that one connection meets ends that connection alone, and its message is in no log', async t => {
  const fresh = await RawNetwork.open();
  t.after(() => fresh.close());
  const [anna, bob, carl] = [await fresh.person('anna'), await fresh.person('bob'), await fresh.person('carl')];
  const streams = await Promise.all([fresh.login(anna), fresh.login(bob), fresh.login(anna, 'websocket')]);
  assert.equal(await streams[0].streamError(), 'conflict');
  const [, bobs, annas] = streams;
  const { accounts } = fresh.fixture.control;
  const peek = accounts.peek.bind(accounts);
  const broken = (interopId: string) => {
    if (interopId === carl.account.interopId) throw new RangeError(`no room for ${interopId}`);
    return peek(interopId);
  };
  Object.assign(accounts, { peek: broken });
  for (const [stream, from] of [
    [bobs, bob],
    [annas, anna],
  ] as const) {
    stream.send(envelope(from, carl.bareJid, 'm1'));
    assert.equal(await stream.streamError(), 'internal-server-error');
  }
  Object.assign(accounts, { peek });
  await settled(async () => fresh.core.sessions.count === 0, 'their sessions are over');
  const again = await fresh.login(bob);
  again.send(envelope(bob, carl.bareJid, 'm1'));
  assert.equal(await again.acknowledged(), 1);
  const said = fresh.log.filter(line => line.startsWith('connection-failed'));
  assert.equal(said.length, 2);
  for (const line of said) {
    assert.match(line, /"code":"RangeError"/);
    assert(!line.includes(carl.account.interopId));
  }
  again.cut();
});

test('a sender above its rate is read more slowly, and loses nothing', { timeout: 30_000 }, async t => {
  const strict = await RawNetwork.open({
    session: { shaper: { ...defaultShaperLimits, stanzaBurst: 20, stanzasPerSecond: 100 } },
  });
  t.after(() => strict.close());
  const [anna, bob] = [await strict.person('anna'), await strict.person('bob')];
  const from = await strict.login(anna);
  // What one read brings is taken; the debt is paid before the next.
  const started = performance.now();
  for (let i = 0; i < 100; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.equal(await from.acknowledged(), 100);
  for (const id of ['m100', 'm101']) {
    from.send(envelope(anna, bob.bareJid, id));
    await from.acknowledged();
  }
  assert(performance.now() - started > 400, 'eighty above the burst take time');
  assert.equal(await strict.stored(bob), 102);
  from.cut();
});

test('storage that lags slows senders down, and lets them go on', { timeout: 30_000 }, async t => {
  const narrow = await RawNetwork.open({
    mailbox: { maxUnwrittenBytes: 100_000 },
    session: { shaper: { ...defaultShaperLimits, stanzaBurst: 50, stanzasPerSecond: 2_000 } },
  });
  t.after(() => narrow.close());
  const [anna, bob] = [await narrow.person('anna'), await narrow.person('bob')];
  const from = await narrow.login(anna);
  await from.sendAll(
    Array.from({ length: 400 }, (_, i) => envelope(anna, bob.bareJid, `m${i}`, ciphertextFor(1, 20_000))),
  );
  let handled = 0;
  for (let i = 0; i < 10 && handled < 400; i++) handled = await from.acknowledged();
  assert.equal(handled, 400);
  assert.equal(await narrow.stored(bob), 400);
  assert(narrow.log.some(line => line.startsWith('storage-congested')));
  assert(narrow.log.some(line => line.startsWith('storage-caught-up')));
  from.cut();
});

test('a full mailbox refuses with wait, and has room again when it was read', async t => {
  const narrow = await RawNetwork.open({ mailbox: { maxEntries: 5 } });
  t.after(() => narrow.close());
  const [anna, bob] = [await narrow.person('anna'), await narrow.person('bob')];
  const from = await narrow.login(anna);
  for (let i = 0; i < 6; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.equal(await expectError(from, 'm5'), 'wait resource-constraint');
  const to = await narrow.login(bob);
  await to.messages(5);
  to.acknowledge();
  await to.ping();
  from.send(envelope(anna, bob.bareJid, 'm6'));
  assert.deepEqual(ids(await to.messages(1)), ['m6']);
  from.cut();
  to.cut();
});

test('one person can not fill a mailbox: theirs is a share, and others have room beside it', async t => {
  const narrow = await RawNetwork.open({
    mailbox: { maxEntries: 20, maxEntriesPerSender: 5, maxBytesPerSender: 100_000 },
  });
  t.after(() => narrow.close());
  const [anna, bob, carl] = [await narrow.person('anna'), await narrow.person('bob'), await narrow.person('carl')];
  const [from, other] = [await narrow.login(anna), await narrow.login(carl)];
  for (let i = 0; i < 7; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.equal(await expectError(from, 'm5'), 'wait resource-constraint sender-share');
  assert.equal(await expectError(from, 'm6'), 'wait resource-constraint sender-share');
  // A further device of the same person has the same share.
  const further = await narrow.furtherDevice(anna);
  const second = await narrow.login(further);
  second.send(envelope(further, bob.bareJid, 'm7'));
  assert.equal(await expectError(second, 'm7'), 'wait resource-constraint sender-share');
  for (let i = 0; i < 5; i++) other.send(envelope(carl, bob.bareJid, `c${i}`));
  assert.equal(await other.acknowledged(), 5);

  const to = await narrow.login(bob);
  assert.equal((await to.messages(10)).length, 10);
  to.acknowledge(2);
  await to.ping();
  // Two of Anna's are taken: there is room for two.
  for (let i = 8; i < 11; i++) from.send(envelope(anna, bob.bareJid, `m${i}`));
  assert.deepEqual(ids(await to.messages(2)), ['m8', 'm9']);
  to.acknowledge();
  await to.ping();
  await settled(async () => (await narrow.stored(bob)) === 0, 'the mailbox is empty');
  to.cut();
  for (const stream of [from, other, second]) stream.cut();
});

test('bytes of one person are bounded too', async t => {
  const narrow = await RawNetwork.open({ mailbox: { maxBytesPerSender: 100_000 } });
  t.after(() => narrow.close());
  const [anna, bob] = [await narrow.person('anna'), await narrow.person('bob')];
  const from = await narrow.login(anna);
  for (let i = 0; i < 3; i++) from.send(envelope(anna, bob.bareJid, `m${i}`, ciphertextFor(1, 35_000)));
  assert.equal(await expectError(from, 'm2'), 'wait resource-constraint sender-share');
  from.send(envelope(anna, bob.bareJid, 'small'));
  assert.equal(await from.acknowledged(), 4);
  assert.equal(await narrow.stored(bob), 3);
  from.cut();
});

test('a gatekeeper that stops says so on every stream, keeps everything, and delivers it after its return', async t => {
  const first = await RawNetwork.open();
  const [anna, bob] = [await first.person('anna'), await first.person('bob')];
  const from = await first.login(anna);
  const to = await first.login(bob, 'websocket');
  from.send(envelope(anna, bob.bareJid, 'm1'));
  await to.messages(1);
  await first.shutDown();
  assert.equal(await from.streamError(), 'system-shutdown');
  assert.equal(await to.streamError(), 'system-shutdown');
  assert.equal(await first.stored(bob), 1);
  const { folder, world } = first.fixture;
  await first.fixture.control.close();
  await first.fixture.store.close();

  const second = await RawNetwork.open({ fixture: { folder, world } });
  t.after(() => second.close());
  const again = await second.login(bob);
  const [message] = await again.messages(1);
  assert.equal(idOf(message!), 'm1');
  again.cut();
});

/** Waits until something holds that nobody tells us of. */
async function settled(holds: () => Promise<boolean>, what: string): Promise<void> {
  const giveUpAtMs = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > giveUpAtMs) assert.fail(`${what}: not within 5 s`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

async function within(ms: number, work: () => Promise<void>): Promise<void> {
  const startedMs = performance.now();
  await work();
  const tookMs = performance.now() - startedMs;
  assert(tookMs < ms, `took ${Math.round(tookMs)} ms`);
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What is held, once what was let go of is gone: buffers need a moment and a second look. */
async function memory(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
