// People who reach their gatekeeper through an address-hiding relay: everything works as without one, the gatekeeper sees the
// relay's address alone, and the relay sees nothing that is said, by whom or to whom.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { globSync, readFileSync, statSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseRelayConfig, placeText } from '@drawbridge/cli/relay/relay-config';
import { Relay } from '@drawbridge/cli/relay/relay-server';
import { type Client, defaultTransports, type Message, openClient } from '@drawbridge/client';
import { startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

/** The relay's address towards the gatekeeper; everybody else here is 127.0.0.1. */
const relayAddress = '127.0.0.9';
const patienceMs = 30_000;

let network: SdkNetwork;
let relay: Relay;
let relayPort = 0;
/** All that a relay sees, of all its tunnels. */
const seen: Buffer[] = [];
/** From which addresses the gatekeeper's ports were reached. */
const sources = new Map<number, Set<string>>();
const logged: string[] = [];

function onSocket(message: unknown): void {
  const { socket } = message as { readonly socket: Socket };
  const { localPort = 0, remoteAddress = '' } = socket;
  sources.set(localPort, (sources.get(localPort) ?? new Set()).add(remoteAddress));
}

async function startRelay(port = 0): Promise<void> {
  const upstreams = Object.values(network.ports).map(each => placeText({ host: 'localhost', port: each }));
  const config = parseRelayConfig({ upstreams, outgoingAddress: relayAddress }, 'the test');
  relay = new Relay({ ...config, tap: bytes => seen.push(Buffer.from(bytes)) });
  relay.server.listen(port, '127.0.0.1');
  await once(relay.server, 'listening');
  relayPort = (relay.server.address() as AddressInfo).port;
}

before(async () => {
  network = await startSdkNetwork(undefined, 'none', (...line) => logged.push(JSON.stringify(line)));
  await startRelay();
  subscribe('net.server.socket', onSocket);
});
after(async () => {
  unsubscribe('net.server.socket', onSocket);
  await network.close();
  await relay.close();
});

const through = () => ({ relay: `127.0.0.1:${relayPort}` });
const annaOf = (identifier: string) => ({ provider: 'skylark.example', identifier });
const bobOf = (identifier: string) => ({ provider: 'citadel.example', identifier });

async function next(client: Client): Promise<Message> {
  const messages = client.messages();
  const timer = setTimeout(() => void messages.return(), patienceMs);
  const { value, done } = await messages.next();
  clearTimeout(timer);
  assert(done !== true, 'no message came');
  // Asking for the next one is what consumes it.
  void messages.next();
  void messages.return();
  return value;
}

for (const transport of defaultTransports) {
  test(`enlist, write both ways and send a file through a relay, over ${transport}`, async () => {
    const [a, b] = [`anna-${transport}`, `bob-${transport}`];
    const extra = { ...through(), transports: [transport] };
    const anna = await network.open(a, 'skylark', extra);
    const bob = await network.open(b, 'citadel', extra);
    for (const client of [anna, bob]) {
      await client.account.enlist();
      await client.connect();
    }
    await bob.account.optIn('skylark.example');
    await anna.send(bobOf(b), { text: `plain words of ${a}` });
    const got = await next(bob);
    assert.equal(got.text, `plain words of ${a}`);
    await bob.send(annaOf(a), { text: `plain words of ${b}` });
    assert.equal((await next(anna)).text, `plain words of ${b}`);
    const bytes = randomBytes(300_000);
    await anna.files.send(bobOf(b), { from: new Blob([bytes]), name: 'report.pdf' });
    const file = await bob.files.open(await next(bob), 0);
    assert(Buffer.from(await (await file.blob()).arrayBuffer()).equals(bytes));
    await file.close();
    await Promise.all([anna.close(), bob.close()]);
  });
}

test('the gatekeeper was reached from the relay alone, and keeps and logs no address', () => {
  const { http, ...streams } = network.ports;
  for (const [name, port] of Object.entries(streams)) {
    assert.deepEqual([...(sources.get(port) ?? [])], [relayAddress], name);
  }
  assert.deepEqual([...(sources.get(http) ?? [])], [relayAddress], 'http, own users included');
  const files = globSync(join(network.folder, 'citadel', '**', '*'));
  assert(files.some(file => file.endsWith('.sqlite')));
  for (const file of files) {
    if (statSync(file).isFile()) assert(!readFileSync(file, 'latin1').includes('127.0.0.'), file);
  }
  assert(!logged.join('\n').includes('127.0.0.'));
});

test('the relay saw no word, no name and no address of anybody', () => {
  const all = Buffer.concat(seen).toString('latin1');
  assert(all.length > 1_500_000, 'the files went through it');
  for (const secret of [
    'plain words',
    'anna-',
    'bob-',
    'report.pdf',
    '<message',
    '<auth',
    '/v1/enlistments',
    'eyJhbGciOi',
  ]) {
    assert(!all.includes(secret), secret);
  }
  // What it sees in the clear is what anybody on the way does without it: the gatekeeper's name in TLS and STARTTLS.
  assert(all.includes('citadel.example'));
});

test('a relay that dies and comes back: streams are resumed, and nothing is lost', async () => {
  const anna = await network.open('anna-back', 'skylark', { ...through(), random: () => 0.02 });
  const bob = await network.open('bob-back', 'citadel');
  for (const client of [anna, bob]) {
    await client.account.enlist();
    await client.connect();
  }
  await bob.account.optIn('skylark.example');
  await anna.send(bobOf('bob-back'), { text: 'hello' });
  assert.equal((await next(bob)).text, 'hello');
  await bob.send(annaOf('anna-back'), { text: 'hello' });
  assert.equal((await next(anna)).text, 'hello');
  const waiting = (async () => {
    for await (const event of anna.events()) if (event.kind === 'status' && event.status.kind === 'waiting') return;
  })();
  await relay.close();
  await waiting;
  await anna.send(bobOf('bob-back'), { text: 'while it was away' });
  await bob.send(annaOf('anna-back'), { text: 'come back' });
  await startRelay(relayPort);
  assert.equal((await next(bob)).text, 'while it was away');
  assert.equal((await next(anna)).text, 'come back');
  await Promise.all([anna.close(), bob.close()]);
});

test('a relay that is not there, or serves another gatekeeper, is told with its own word, and nobody is reached around it', async () => {
  const gone = await network.open('gone', 'skylark', { relay: '127.0.0.1:9' });
  await assert.rejects(gone.account.enlist(), { code: 'unreachable' });
  const other = new Relay(parseRelayConfig({ upstreams: ['heron.example:443'] }, 'the test'));
  other.server.listen(0, '127.0.0.1');
  await once(other.server, 'listening');
  const { port } = other.server.address() as AddressInfo;
  const wrong = await network.open('wrong', 'skylark', { relay: `127.0.0.1:${port}` });
  await assert.rejects(wrong.account.enlist(), { code: 'relay-refused' });
  await other.close();
  await assert.rejects(network.open('bad', 'skylark', { relay: 'https://relay.example' }), {
    code: 'invalid-argument',
  });
  assert.deepEqual(
    [...sources.get(network.ports.http)!].toSorted(),
    ['127.0.0.1', relayAddress],
    'bob-back went directly',
  );
});

test('a relay that answers in the place of the gatekeeper is refused: the certificate has to be the gatekeeper’s', async () => {
  // It leads everywhere to a server of its own, with a certificate of another authority.
  const folder = join(network.folder, 'liar');
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example']);
  const liar = await startDevProvider({ folder: join(folder, 'server'), pki, gatekeepers: [network.gatekeeper] });
  const lying = createServer(inner => {
    inner.on('error', () => inner.destroy());
    inner.once('data', () => {
      inner.write('HTTP/1.1 200 yes\r\n\r\n');
      const outer = connect(liar.port, '127.0.0.1').on('error', () => inner.destroy());
      inner.pipe(outer).pipe(inner);
    });
  }).listen(0, '127.0.0.1');
  await once(lying, 'listening');
  const { port } = lying.address() as AddressInfo;
  const client = await openClient({
    folder: join(folder, 'person'),
    key: new Uint8Array(32).fill(7),
    gatekeeper: network.gatekeeper,
    provider: { url: network.provider, identifier: 'trusting', password: 'the password', signUp: true },
    ca: network.ca,
    relay: `127.0.0.1:${port}`,
  });
  await assert.rejects(client.account.enlist(), { code: 'certificate-refused' });
  await client.close();
  lying.close();
  await liar.close();
});
