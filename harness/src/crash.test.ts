// The gatekeeper is killed (kill -9) in the middle of traffic, again and again: nothing that it acknowledged is lost, and
// nobody is shown anything twice. Real processes, real sockets, real SDK.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { devGatekeeperConfig, devGatekeeperIssuer, freePorts } from '@drawbridge/cli/dev-config';
import { startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { forkGatekeeper, type GatekeeperProcess } from '@drawbridge/cli/gatekeeper-process';
import { type Client, openClient } from '@drawbridge/client';

const messagesPerWay = 300;
const kills = 4;

test('kill -9 in the middle of traffic: nothing acknowledged is lost, nothing is shown twice', {
  timeout: 180_000,
}, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-crash-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example']);
  const [xmpp, xmpps, websocket, compact, http, admin] = (await freePorts(6)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const provider = await startDevProvider({
    folder: join(folder, 'skylark'),
    pki,
    gatekeepers: [devGatekeeperIssuer(http)],
  });
  t.after(provider.close);
  const own = await startDevProvider({ folder: join(folder, 'users'), pki, gatekeepers: [devGatekeeperIssuer(http)] });
  t.after(own.close);
  const config = devGatekeeperConfig({
    folder: join(folder, 'citadel'),
    pki,
    domain: 'citadel.example',
    ports: { xmpp, xmpps, websocket, compact, http, admin },
    providers: [{ number: 1, name: 'skylark.example', issuer: provider.issuer }],
    ownUsers: { issuer: own.issuer },
    unlimited: true,
  });
  const start = async (): Promise<GatekeeperProcess> => {
    const gatekeeper = forkGatekeeper();
    await gatekeeper.start({ config, plaintextXmpp: false, logLevel: 'error' });
    return gatekeeper;
  };
  let gatekeeper = await start();
  t.after(() => gatekeeper.stop());

  const open = async (identifier: string, issuer: string): Promise<Client> => {
    const client = await openClient({
      folder: join(folder, 'people', identifier),
      key: new Uint8Array(32).fill(9),
      gatekeeper: config.issuer,
      provider: { url: issuer, identifier, password: `password of ${identifier}`, signUp: true },
      ca: pki.caFile,
    });
    t.after(() => client.close());
    await client.account.enlist();
    await client.connect();
    return client;
  };
  const anna = await open('anna', provider.issuer);
  const bob = await open('bob', own.issuer);
  await bob.account.optIn(1);

  const collect = async (client: Client): Promise<string[]> => {
    const texts: string[] = [];
    for await (const message of client.messages()) {
      texts.push(message.text);
      if (texts.length === messagesPerWay) break;
    }
    return texts;
  };
  const atBob = collect(bob);
  const atAnna = collect(anna);

  let typed = 0;
  const type = async (): Promise<void> => {
    for (; typed < messagesPerWay; typed++) {
      await anna.send({ provider: 'citadel.example', identifier: 'bob' }, { text: `to bob ${typed}` });
      await bob.send({ provider: 'skylark.example', identifier: 'anna' }, { text: `to anna ${typed}` });
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  };
  const typing = type();
  for (let kill = 1; kill <= kills; kill++) {
    while (typed < (messagesPerWay * kill) / (kills + 1)) await new Promise(resolve => setTimeout(resolve, 5));
    process.kill(gatekeeper.pid, 'SIGKILL');
    await gatekeeper.died;
    gatekeeper = await start();
  }
  await typing;
  const expected = (name: string): string[] => Array.from({ length: messagesPerWay }, (_, i) => `to ${name} ${i}`);
  assert.deepEqual(await atBob, expected('bob'));
  assert.deepEqual(await atAnna, expected('anna'));
  // Nothing comes twice afterwards, and every message was reported as delivered.
  await new Promise(resolve => setTimeout(resolve, 500));
  const history = await bob.chats.messages({ limit: 1_000 });
  assert.equal(history.filter(({ message }) => message.author === anna.me?.interopId).length, messagesPerWay);
  assert.ok(history.every(({ message }) => message.state !== 'failed' && message.kind === 'text'));
});
