// The compact transport of a gatekeeper over real sockets: logins, messages to and from devices with XML, sessions that
// change from one encoding to the other, and everything that must not get in.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { generateKeyPair } from '@drawbridge/noise/node-crypto';
import { goodbye } from '@drawbridge/stream/compact-login';
import { attribute, childElement, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_SM, NS_STREAM } from '@drawbridge/wire/namespaces';
import {
  acknowledge,
  CompactDevice,
  CompactNetwork,
  enable,
  idOf,
  payloadOf,
  Received,
  resume,
  XmlDevice,
} from './network.ts';

let network: CompactNetwork;
before(async () => {
  network = await CompactNetwork.open();
});
after(() => network.close());

const carriers = ['tcp', 'websocket'] as const;

for (const carrier of carriers) {
  test(`${carrier}: XX, then IK with the key that was certified; bound and managed in the handshake`, async () => {
    const anna = await network.person(`anna-${carrier}`);
    const first = await CompactDevice.open(network, anna, { carrier });
    await first.received.next('enabled');
    assert.equal(first.pattern, 'XX');
    const jid = `${anna.account.interopId}@citadel.example/${anna.device.id}`;
    assert.match(JSON.stringify(first.received.named('iq')[0]), new RegExp(jid));
    first.cut();
    const second = await CompactDevice.open(network, anna, { carrier, known: first.staticKey });
    await second.received.next('enabled');
    assert.equal(second.pattern, 'IK');
    // One message each way.
    assert.deepEqual(second.events.filter(event => event.kind === 'send').length, 1);
    second.cut();
  });

  test(`${carrier}: messages to and from a device with XML, of any size`, async () => {
    const [anna, bert] = [await network.person(`a-${carrier}`), await network.person(`b-${carrier}`)];
    const compact = await CompactDevice.open(network, anna, { carrier });
    const xml = await XmlDevice.open(network, bert);
    await compact.received.next('enabled');
    const sizes = [1, 17, 1_000, 65_000];
    for (const [i, size] of sizes.entries()) {
      compact.send(network.message(anna, bert, `to-xml-${i}`, size));
      xml.send(network.message(bert, anna, `to-compact-${i}`, size));
    }
    await xml.received.next('message', sizes.length);
    await compact.received.next('message', sizes.length);
    for (const [i, size] of sizes.entries()) {
      for (const [device, name] of [
        [xml, `to-xml-${i}`],
        [compact, `to-compact-${i}`],
      ] as const) {
        const message = device.received.named('message')[i]!;
        assert.equal(idOf(message), name);
        assert.ok(payloadOf(message) === Buffer.alloc(size, name).toString('base64'), `${size} bytes changed`);
      }
    }
    // What both have acknowledged is acknowledged to the other.
    xml.send(acknowledge(sizes.length));
    compact.send(acknowledge(sizes.length), element('r', NS_SM));
    await compact.received.until('the acknowledgement', () =>
      compact.received.named('a').some(el => attribute(el, 'h') === String(sizes.length)),
    );
    compact.cut();
    xml.cut();
  });
}

test('a session is resumed over compact after a cut, and what was lost on the way comes again', async () => {
  const [anna, bert] = [await network.person('anna-resumes'), await network.person('bert-resumes')];
  const sender = await CompactDevice.open(network, bert);
  await sender.received.next('enabled');
  const first = await CompactDevice.open(network, anna);
  const id = attribute(await first.received.next('enabled'), 'id')!;
  sender.send(network.message(bert, anna, 'one'), network.message(bert, anna, 'two'));
  await first.received.next('message', 2);
  first.cut();
  sender.send(network.message(bert, anna, 'three'));
  for (const known of [undefined, first.staticKey]) {
    // The first message was kept, nothing after it.
    const next = await CompactDevice.open(network, anna, { known, stanzas: [resume({ id, handled: 1 })] });
    const resumed = await next.received.next('resumed');
    assert.equal(attribute(resumed, 'previd'), id);
    await next.received.next('message', 2);
    assert.deepEqual(next.received.named('message').map(idOf), ['two', 'three']);
    next.cut();
  }
});

test('a session that ended with a goodbye is over: it can not be resumed', async () => {
  const anna = await network.person('anna-says-goodbye');
  const first = await CompactDevice.open(network, anna);
  const id = attribute(await first.received.next('enabled'), 'id')!;
  first.send(goodbye);
  await first.received.closed();
  const next = await CompactDevice.open(network, anna, { stanzas: [resume({ id, handled: 0 })] });
  await next.received.next('failed');
  next.cut();
});

test('a session changes its encoding at every resumption', async () => {
  const [anna, bert] = [await network.person('anna-changes'), await network.person('bert-changes')];
  const sender = await CompactDevice.open(network, bert);
  await sender.received.next('enabled');
  const begun = await XmlDevice.open(network, anna);
  const id = attribute(await begun.received.next('enabled'), 'id')!;
  let device: XmlDevice | CompactDevice = begun;
  for (let round = 0; round < 4; round++) {
    device.cut();
    sender.send(network.message(bert, anna, `m${round}`));
    const first = [resume({ id, handled: round })];
    device =
      round % 2 === 0
        ? await CompactDevice.open(network, anna, { stanzas: first })
        : await XmlDevice.open(network, anna, first);
    await device.received.next('resumed');
    assert.equal(idOf(await device.received.next('message')), `m${round}`);
  }
  device.cut();
});

test("another device can't take a session up, nor can its own with an impossible count", async () => {
  const [anna, mallory] = [await network.person('anna-owns'), await network.person('mallory')];
  const first = await CompactDevice.open(network, anna);
  const id = attribute(await first.received.next('enabled'), 'id')!;
  const thief = await CompactDevice.open(network, mallory, { stanzas: [resume({ id, handled: 0 })] });
  await thief.received.next('failed');
  assert.equal(first.received.isClosed, false);
  const wrong = await CompactDevice.open(network, anna, { stanzas: [resume({ id, handled: 77 })] });
  await wrong.received.next('failed');
  thief.cut();
  wrong.cut();
});

test('a second login of the device ends the first with a conflict, whatever either speaks', async () => {
  const anna = await network.person('anna-twice');
  const first = await CompactDevice.open(network, anna);
  await first.received.next('enabled');
  const second = await XmlDevice.open(network, anna);
  const error = await first.received.next('error');
  assert.equal(error.ns, NS_STREAM);
  assert.match(JSON.stringify(error), /"conflict"/);
  await first.received.closed();
  const third = await CompactDevice.open(network, anna, { carrier: 'websocket' });
  await third.received.next('enabled');
  assert.match(JSON.stringify(await second.received.next('error')), /"conflict"/);
  await second.received.closed();
  third.cut();
});

test('a proof of another device key, a used one and a false one get one word', async () => {
  const anna = await network.person('anna-proves');
  const used = await anna.proof();
  const first = await CompactDevice.open(network, anna, { proof: used });
  await first.received.next('enabled');
  for (const known of [undefined, first.staticKey]) {
    for (const options of [{ proof: used }, { proof: 'not.a.proof' }, { deviceKeyPair: generateKeyPair() }]) {
      const refused = await CompactDevice.open(network, anna, { ...options, known });
      await refused.received.closed();
      assert.equal(refused.failure, 'refused');
      assert.deepEqual(refused.received.elements, []);
    }
  }
  assert.equal(first.received.isClosed, false, 'the live stream was left alone');
  first.cut();
});

test('a recorded IK login that is played again gets nothing and disturbs nobody', async () => {
  const anna = await network.person('anna-recorded');
  const first = await CompactDevice.open(network, anna);
  await first.received.next('enabled');
  first.cut();
  const second = await CompactDevice.open(network, anna, { known: first.staticKey });
  await second.received.next('enabled');
  assert.equal(second.pattern, 'IK');
  const socket = connect({ host: '127.0.0.1', port: network.ports.compact });
  const answer: Uint8Array[] = [];
  const received = new Received();
  socket.on('data', (chunk: Buffer) => answer.push(chunk));
  socket.on('close', () => {
    received.isClosed = true;
    received.changed();
  });
  socket.write(Buffer.concat(second.captured.client));
  await received.closed();
  // Only the sealed word of refusal, which whoever plays it can't read.
  assert.ok(Buffer.concat(answer).length < 150);
  assert.equal(second.received.isClosed, false);
  assert.deepEqual(second.received.named('error'), []);
  second.cut();
});

test('static keys change without a failed login', async () => {
  const own = await CompactNetwork.open();
  try {
    const anna = await own.person('anna');
    const login = async (known: Uint8Array | undefined): Promise<CompactDevice> => {
      const device = await CompactDevice.open(own, anna, { known });
      await device.received.next('enabled');
      device.cut();
      return device;
    };
    const oldest = (await login(undefined)).staticKey!;
    const day = 86_400_000;
    // The hourly look replaces a key after 30 days, and not before.
    own.fixture.clock.nowMs += 29 * day;
    own.reloadKeys();
    assert.equal(Buffer.compare(own.keys.certificate.publicKey, oldest), 0);
    own.fixture.clock.nowMs += 2 * day;
    own.reloadKeys();
    assert.notEqual(Buffer.compare(own.keys.certificate.publicKey, oldest), 0);
    assert.equal((await login(oldest)).pattern, 'IK', 'the key before the current one');
    own.rotate();
    assert.equal((await login(oldest)).pattern, 'IK', 'the last but two');
    own.rotate();
    const fallen = await login(oldest);
    assert.equal(fallen.pattern, 'XXfallback', 'a key that the gatekeeper no longer holds');
    assert.equal((await login(fallen.staticKey)).pattern, 'IK');
    own.rotate(true);
    assert.equal(own.keys.staticKeyPairs.length, 1);
    assert.equal((await login(fallen.staticKey)).pattern, 'XXfallback');
    // 90 days later nothing from before is left, and logins still work.
    own.fixture.clock.nowMs += 91 * day;
    own.reloadKeys();
    assert.equal(own.keys.staticKeyPairs.length, 1);
    assert.equal((await login(fallen.staticKey)).pattern, 'XXfallback');
  } finally {
    await own.close();
  }
});

test('whoever does not log in is cut at the deadline, and one address can hold only a few places', async () => {
  const own = await CompactNetwork.open({ limits: { loginMs: 300, maxUnauthenticatedPerAddress: 8 } });
  try {
    const { gate } = own.core.listenerHost;
    const closings: Promise<unknown>[] = [];
    const sockets = [
      Buffer.alloc(0),
      Buffer.from('D'),
      Buffer.from('DB\u0001\u0001'),
      Buffer.from('DB\u0001\u0001\u0000\u0010\u0000 half a frame'),
    ].flatMap(start =>
      Array.from({ length: 5 }, () => {
        const socket = connect({ host: '127.0.0.1', port: own.ports.compact });
        socket.on('error', () => {});
        closings.push(new Promise(resolve => socket.on('close', resolve)));
        socket.on('end', () => socket.end());
        socket.write(start);
        socket.resume();
        return socket;
      }),
    );
    await new Promise(resolve => setTimeout(resolve, 100));
    assert.equal(gate.unauthenticated, 8);
    assert.equal(own.log.filter(line => line.startsWith('connection-refused')).length, 12);
    await Promise.all(closings);
    await new Promise(resolve => setTimeout(resolve, 20));
    assert.equal(gate.connections, 0);
    assert.equal(own.log.filter(line => line.includes('login-too-slow')).length, 8);
    for (const socket of sockets) socket.destroy();
    // A login takes no place from those who wait.
    const anna = await own.person('anna');
    for (const carrier of carriers) {
      const device = await CompactDevice.open(own, anna, { carrier });
      await device.received.next('enabled');
      assert.equal(gate.unauthenticated, 0);
      device.cut();
    }
  } finally {
    await own.close();
  }
});

test('a login that binds nothing is cut at the deadline too', async () => {
  const own = await CompactNetwork.open({ limits: { loginMs: 200 } });
  try {
    const anna = await own.person('anna');
    const device = await CompactDevice.open(own, anna, { stanzas: [] });
    await device.received.closed();
    const late = await CompactDevice.open(own, anna, { stanzas: [enable] });
    await late.received.next('failed');
    await late.received.closed();
    assert.equal(own.core.sessions.count, 0);
  } finally {
    await own.close();
  }
});

test('a frame that was changed ends the connection without a word; the session is there to be resumed', async () => {
  const anna = await network.person('anna-tampered');
  const first = await CompactDevice.open(network, anna);
  const id = attribute(await first.received.next('enabled'), 'id')!;
  const before = first.received.elements.length;
  const frame = Uint8Array.from(first.client.send([element('r', NS_SM)])!);
  frame[10]! ^= 1;
  first.raw(frame);
  await first.received.closed();
  assert.equal(first.received.elements.length, before);
  const next = await CompactDevice.open(network, anna, { stanzas: [resume({ id, handled: 0 })] });
  await next.received.next('resumed');
  next.cut();
});

test('a stanza above the limit is refused alone; a frame above its own closes the connection', async () => {
  const [anna, bert] = [await network.person('anna-large'), await network.person('bert-large')];
  const device = await CompactDevice.open(network, anna);
  await device.received.next('enabled');
  device.send(
    network.message(anna, bert, 'large', 300_000),
    network.message(anna, bert, 'small', 100),
    element('r', NS_SM),
  );
  const refused = await device.received.next('message');
  assert.deepEqual([idOf(refused), attribute(refused, 'type')], ['large', 'error']);
  const error = childElement(refused, 'error', NS_CLIENT)!;
  assert.ok(childElement(error, 'policy-violation', 'urn:ietf:params:xml:ns:xmpp-stanzas'));
  assert.equal(attribute(childElement(error, 'too-large', 'urn:drawbridge:errors:1')!, 'max'), '262144');
  assert.equal(attribute(await device.received.next('a'), 'h'), '2', 'it counts, and what is behind it goes on');
  device.raw(device.client.send([network.message(anna, bert, 'larger', 330_000)])!);
  await device.received.closed();
});
