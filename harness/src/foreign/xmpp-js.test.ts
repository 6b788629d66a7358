// xmpp.js (@xmpp/client), an XMPP library of other people, against the sandbox: TCP with STARTTLS, direct TLS, WebSocket;
// OAUTHBEARER, envelopes both ways, offline delivery, resumption, refusals.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { setDefaultCACertificates } from 'node:tls';
import { client as createClient, type XmlElement, type XmppClient, xml } from '@xmpp/client';
import { type RunningSandbox, startSandbox } from '../running-sandbox.ts';

/** RFC 7628 as the library's users add it: a few lines with `saslFactory.use`. */
function oauthBearer(token: () => string): unknown {
  function Mechanism(this: { name: string; clientFirst: boolean; response: () => string; challenge: () => void }) {
    this.name = 'OAUTHBEARER';
    this.clientFirst = true;
    let refused = false;
    this.response = () => (refused ? '\u0001' : `n,,\u0001auth=Bearer ${token()}\u0001\u0001`);
    this.challenge = () => {
      refused = true;
    };
  }
  Mechanism.prototype.name = 'OAUTHBEARER';
  Mechanism.prototype.clientFirst = true;
  return Mechanism;
}

let sandbox: RunningSandbox;
const clients: XmppClient[] = [];
/** What each account shows at its next login. */
const proofs = new Map<string, string>();

before(async () => {
  sandbox = await startSandbox(10);
  setDefaultCACertificates([readFileSync(sandbox.ready.ca, 'utf8')]);
});

after(async () => {
  for (const client of clients) await leave(client);
  await sandbox.stop();
});

async function open(account: string, service: string, token?: string): Promise<XmppClient> {
  proofs.set(account, token ?? (await sandbox.proof(account)));
  const client = createClient({
    service,
    domain: sandbox.ready.domain,
    credentials: async (authenticate: (credentials: object, mechanism: string) => Promise<void>) =>
      await authenticate({}, 'OAUTHBEARER'),
  });
  client.saslFactory.use(
    'OAUTHBEARER',
    oauthBearer(() => proofs.get(account)!),
  );
  client.reconnect.stop();
  client.on('error', () => {});
  bearLateBytes(client);
  bearEarlyErrors(client);
  clients.push(client);
  return client;
}

/** At the end of a stream the library drops its parser, and fails on bytes that come then: they are dropped instead. */
function bearLateBytes(client: XmppClient): void {
  const read = client._onData;
  client._onData = data => {
    if (client.parser !== null) read.call(client, data);
  };
}

/** The library looks at an answer when its request has been written; an error that comes before is nobody's until then. */
function bearEarlyErrors({ iqCaller: { handlers } }: XmppClient): void {
  const set = handlers.set.bind(handlers);
  handlers.set = (id, answer) => {
    answer.promise.catch(() => {});
    return set(id, answer);
  };
}

async function leave(client: XmppClient): Promise<void> {
  await client.stop().catch(() => {});
}

function jidOf(account: string): string {
  return sandbox.accounts.find(each => each.account === account)!.jid;
}

function bareOf(account: string): string {
  return jidOf(account).split('/')[0]!;
}

function envelope(to: string, id: string, ciphertext: string): XmlElement {
  return xml(
    'message',
    { to, id, type: 'chat' },
    xml(
      'envelope',
      { xmlns: 'urn:drawbridge:e2ee:1', suite: 'signal-1', 'from-device': '1' },
      xml('ciphertext', { device: '1', kind: 'session' }, ciphertext),
    ),
  );
}

/** The next stanza that fits; a clear failure after five seconds. */
function next(client: XmppClient, fits: (el: XmlElement) => boolean): Promise<XmlElement> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no fitting stanza within 5 s')), 5_000);
    const listener = (el: XmlElement): void => {
      if (!fits(el)) return;
      clearTimeout(timer);
      client.removeListener('stanza', listener);
      resolve(el);
    };
    client.on('stanza', listener);
  });
}

function ciphertextOf(message: XmlElement): string {
  return message.getChild('envelope', 'urn:drawbridge:e2ee:1')?.getChild('ciphertext')?.text() ?? '';
}

type Service = {
  readonly name: string;
  readonly port: 'xmpp' | 'xmpps' | 'websocket';
  readonly url: (port?: number) => string;
};
const services: readonly Service[] = [
  { name: 'TCP with STARTTLS', port: 'xmpp', url: (port = sandbox.ready.ports.xmpp) => `xmpp://localhost:${port}` },
  { name: 'direct TLS', port: 'xmpps', url: (port = sandbox.ready.ports.xmpps) => `xmpps://localhost:${port}` },
  {
    name: 'WebSocket',
    port: 'websocket',
    url: (port = sandbox.ready.ports.websocket) => `wss://localhost:${port}/xmpp`,
  },
];

for (const [i, { name, url }] of services.entries()) {
  test(`xmpp.js over ${name}: login, envelopes both ways, disco, roster, ping`, async () => {
    const [a, b] = [`u${i * 2}`, `u${i * 2 + 1}`];
    const [one, two] = [await open(a, url()), await open(b, url())];
    await one.start();
    await two.start();
    assert.equal(one.jid.toString(), jidOf(a));
    await one.send(xml('presence'));
    await two.send(xml('presence'));

    const there = next(two, el => el.is('message'));
    const text = randomBytes(120).toString('base64');
    await one.send(envelope(bareOf(b), 'there-1', text));
    const arrived = await there;
    assert.equal(arrived.attrs.from, jidOf(a));
    assert.equal(arrived.attrs.to, jidOf(b));
    assert.equal(arrived.attrs.id, 'there-1');
    assert.equal(ciphertextOf(arrived), text);

    const back = next(one, el => el.is('message') && el.attrs.id === 'back-1');
    await two.send(envelope(bareOf(a), 'back-1', text));
    assert.equal(ciphertextOf(await back), text);

    const roster = await one.iqCaller.request(xml('iq', { type: 'get' }, xml('query', { xmlns: 'jabber:iq:roster' })));
    assert.equal(roster.getChild('query', 'jabber:iq:roster')?.getChildren('item').length, 0);
    const disco = xml('query', { xmlns: 'http://jabber.org/protocol/disco#info' });
    const info = await one.iqCaller.request(xml('iq', { type: 'get', to: sandbox.ready.domain }, disco));
    assert.ok(info.getChild('query')?.getChildren('feature').length);
    await one.iqCaller.request(xml('iq', { type: 'get' }, xml('ping', { xmlns: 'urn:xmpp:ping' })));
    const vcard = one.iqCaller.request(xml('iq', { type: 'get' }, xml('vCard', { xmlns: 'vcard-temp' })));
    await assert.rejects(vcard, { condition: 'service-unavailable' });
    await Promise.all([leave(one), leave(two)]);
  });
}

/** A line to this port that loses what clients say when it is told to, and then breaks. */
async function openLine(to: number) {
  const line = { port: 0, isLossy: false, cut: () => {} };
  const server = createServer(inner => {
    const outer = connect(to, '127.0.0.1');
    line.cut = () => [inner, outer].forEach(socket => socket.destroy());
    for (const socket of [inner, outer]) socket.on('error', line.cut).on('close', line.cut);
    inner.on('data', chunk => line.isLossy || outer.write(chunk));
    outer.on('data', chunk => inner.write(chunk));
  }).listen(0, '127.0.0.1');
  server.unref();
  await new Promise(resolve => server.once('listening', resolve));
  line.port = (server.address() as AddressInfo).port;
  return line;
}

async function until(done: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 400 && !done(); i++) await new Promise(resolve => setTimeout(resolve, 25));
  assert.ok(done(), what);
}

/** Comes back with a fresh proof, and takes its session up again. */
async function comeBack(client: XmppClient, account: string): Promise<void> {
  await until(() => client.status === 'disconnect', 'the loss is noticed');
  proofs.set(account, await sandbox.proof(account));
  const { promise, resolve } = Promise.withResolvers<void>();
  client.streamManagement.on('resumed', resolve);
  await client.reconnect.reconnect();
  await promise;
}

for (const [i, { name, port, url }] of services.entries()) {
  test(`xmpp.js over ${name}: a lost connection is resumed, and everything comes once and in order, both ways`, async () => {
    const [a, b] = [`u${i * 2}`, `u${i * 2 + 1}`];
    const [from, to] = [await openLine(sandbox.ready.ports[port]), await openLine(sandbox.ready.ports[port])];
    const [one, two] = [await open(a, url(from.port)), await open(b, url(to.port))];
    const came: string[] = [];
    const failed: string[] = [];
    two.on('stanza', el => {
      if (el.is('message') && el.attrs.id!.startsWith('r-')) came.push(el.attrs.id!);
    });
    one.on('stanza', el => {
      if (el.is('message') && el.attrs.type === 'error') failed.push(el.attrs.id!);
    });
    for (const client of [one, two]) {
      await client.start();
      await client.send(xml('presence'));
      await until(() => client.streamManagement.enabled, 'stream management');
    }
    const text = randomBytes(120).toString('base64');
    const ids: string[] = [];
    const say = (): Promise<void> => {
      const id = `r-${name.length}-${ids.length}`;
      ids.push(id);
      return one.send(envelope(bareOf(b), id, text));
    };
    // The gatekeeper's own words around <enabled/> are not among those that this client counts.
    for (let n = 0; n < 3; n++) await say();
    await until(() => came.length === 3, 'before the loss');
    to.cut();
    await say();
    await comeBack(two, b);
    await until(() => came.length === 4, 'what came meanwhile');
    from.isLossy = true;
    await say();
    from.isLossy = false;
    from.cut();
    // The library sends again what was not acknowledged, with a note of its time.
    await comeBack(one, a);
    await say();
    await until(() => came.length >= ids.length || failed.length > 0, 'what was said meanwhile');
    await one.iqCaller.request(xml('iq', { type: 'get' }, xml('ping', { xmlns: 'urn:xmpp:ping' })));
    assert.deepEqual([came, failed], [ids, []]);
    await Promise.all([leave(one), leave(two)]);
  });
}

test('xmpp.js: plaintext is refused, whatever the way', async () => {
  const one = await open('u0', services[0]!.url());
  await one.start();
  const refused = next(one, el => el.attrs.type === 'error' && el.attrs.id === 'plain');
  await one.send(
    xml('message', { to: bareOf('u1'), id: 'plain', type: 'chat' }, xml('body', {}, 'hello in the clear')),
  );
  const error = (await refused).getChild('error');
  assert.ok(error?.getChild('policy-violation', 'urn:ietf:params:xml:ns:xmpp-stanzas'));
  const toPerson = one.iqCaller.request(
    xml('iq', { type: 'set', to: bareOf('u1') }, xml('query', { xmlns: 'jabber:iq:private' }, 'plaintext')),
  );
  await assert.rejects(toPerson, { condition: 'service-unavailable' });
  await leave(one);
});

test('xmpp.js: somebody who is away gets all of it, in order', async () => {
  const one = await open('u8', services[0]!.url());
  await one.start();
  for (let i = 0; i < 20; i++)
    await one.send(envelope(bareOf('u9'), `away-${i}`, Buffer.from(`number ${i}`).toString('base64')));
  await one.iqCaller.request(xml('iq', { type: 'get' }, xml('ping', { xmlns: 'urn:xmpp:ping' })));
  const two = await open('u9', services[2]!.url());
  const ids: string[] = [];
  two.on('stanza', (el: XmlElement) => {
    if (el.is('message')) ids.push(el.attrs.id!);
  });
  await two.start();
  await two.send(xml('presence'));
  for (let i = 0; i < 50 && ids.length < 20; i++) await new Promise(resolve => setTimeout(resolve, 100));
  assert.deepEqual(
    ids,
    Array.from({ length: 20 }, (_, i) => `away-${i}`),
  );
  await Promise.all([leave(one), leave(two)]);
});

test('xmpp.js: a wrong, an expired-looking and a used token are refused with one word', async () => {
  const used = await sandbox.proof('u0');
  const first = await open('u0', services[0]!.url(), used);
  await first.start();
  await leave(first);
  const [header = '', payload = '', signature = ''] = (await sandbox.proof('u0')).split('.');
  const forged = `${header}.${payload}.${signature.slice(0, -4)}${signature.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`;
  const none = `${Buffer.from('{"alg":"none","typ":"interop+jwt","kid":"x"}').toString('base64url')}.${payload}.`;
  for (const token of [used, forged, none, 'not-a-token']) {
    const client = await open('u0', services[0]!.url(), token);
    await assert.rejects(client.start(), { condition: 'not-authorized' });
    await leave(client);
  }
});
