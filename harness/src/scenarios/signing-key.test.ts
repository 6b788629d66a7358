// Drill: the long-term key that clients of the compact transport pin is replaced, lost, or somebody else's. Real SDKs over
// Noise, a real gatekeeper.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { cpSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { backupFileOf, rotateSigningKey } from '@drawbridge/gatekeeper/listeners/compact-keys';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
let file: string;
const used: number[] = [];
const onSocket = (message: unknown): void => {
  const { localPort } = (message as { socket: Socket }).socket;
  if (localPort !== undefined) used.push(localPort);
};
before(async () => {
  network = await startSdkNetwork();
  file = join(network.folder, 'citadel', 'compact-keys.json');
  subscribe('net.server.socket', onSocket);
});
after(async () => {
  unsubscribe('net.server.socket', onSocket);
  await network.close();
});

const domain = 'citadel.example';
const open = (name: string) => network.open(name, 'citadel', { transports: ['compact', 'websocket'] });
const warnings = (client: Client) =>
  client.notices.list().filter(({ change }) => change.kind === 'gatekeeper-not-certified');

async function online(client: Client): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (client.status.kind !== 'online') {
    if (performance.now() > endMs) assert.fail(`it is ${client.status.kind}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

async function enlisted(name: string): Promise<Client> {
  const client = await open(name);
  await client.account.enlist();
  await client.connect();
  return client;
}

/** Which of the two ports was connected to, since the last time that this was asked. */
function transportsUsed(): { readonly compact: boolean; readonly websocket: boolean } {
  const ports = new Set(used.splice(0));
  return { compact: ports.has(network.ports.compact), websocket: ports.has(network.ports.websocket) };
}

test('a client follows the backup key, while it runs and when it starts, and is not warned', async () => {
  const anna = await enlisted('anna-follows');
  const bob = await enlisted('bob-follows');
  assert.deepEqual(transportsUsed(), { compact: true, websocket: false });
  const { backupKey, signingKey } = anna.me!;
  assert(backupKey !== undefined);
  await bob.close();
  rotateSigningKey(file, domain, Date.now());
  await network.restart();
  // It knows a static key that the gatekeeper has forgotten; the next one is certified by a key that it has not pinned.
  network.cutStreams();
  await online(anna);
  assert.deepEqual(transportsUsed(), { compact: true, websocket: true });
  assert.deepEqual([anna.me!.signingKey, warnings(anna)], [backupKey, []]);
  // Whoever starts now has the earlier pin, and is led on before it connects.
  const again = await open('bob-follows');
  assert.equal(again.me!.signingKey, signingKey);
  await again.connect();
  assert.equal(again.me!.signingKey, backupKey);
  assert.deepEqual([transportsUsed(), warnings(again)], [{ compact: true, websocket: false }, []]);
  // A new device gets the pin in its ticket.
  const transports = ['compact', 'websocket'] as const;
  const second = await network.open('bob-follows', 'citadel', { device: '-second', transports });
  const { code } = await second.devices.beginLink();
  const link = await second.devices.openLink(await (await again.devices.readLink(code)).confirm());
  const me = await link.confirm();
  assert.deepEqual([me.signingKey, me.backupKey], [backupKey, again.me!.backupKey]);
  await second.connect();
  assert.equal(transportsUsed().websocket, false);
  await second.close();
  await anna.close();
  await again.close();
});

test('keys that nobody who was pinned has signed lead to TLS with a warning that is kept; the pin stays', async () => {
  const anna = await enlisted('anna-warned');
  const pinned = anna.me!.signingKey;
  transportsUsed();
  for (const each of [file, backupFileOf(file)]) cpSync(each, `${each}.true`);
  // Whoever poses as the gatekeeper, or an operator who lost both keys.
  for (const each of [file, backupFileOf(file)]) rmSync(each);
  await network.restart();
  network.cutStreams();
  await online(anna);
  assert.deepEqual(transportsUsed(), { compact: true, websocket: true });
  const endMs = performance.now() + 10_000;
  while (warnings(anna).length === 0 && performance.now() < endMs)
    await new Promise(resolve => setTimeout(resolve, 20));
  assert.deepEqual(
    warnings(anna).map(({ change }) => change),
    [{ kind: 'gatekeeper-not-certified', reason: 'other-key' }],
  );
  assert.equal(anna.me!.signingKey, pinned);
  await anna.close();
  // It survives, and so does the pin; nothing that is offered takes it away.
  const again = await open('anna-warned');
  assert.equal(warnings(again).length, 1);
  await again.connect();
  assert.equal(again.me!.signingKey, pinned);
  await again.close();
  for (const each of [file, backupFileOf(file)]) cpSync(`${each}.true`, each);
  await network.restart();
});

test('the signing key is lost: the backup key brings those back who had pinned it', async () => {
  const anna = await enlisted('anna-rescued');
  const { backupKey } = anna.me!;
  await anna.close();
  rmSync(file);
  await assert.rejects(network.restart(), { code: 'compact-keys-unusable' });
  rotateSigningKey(file, domain, Date.now() + 1_000);
  await network.restart();
  transportsUsed();
  const again = await open('anna-rescued');
  await again.connect();
  assert.deepEqual([again.me!.signingKey, warnings(again)], [backupKey, []]);
  assert.deepEqual(transportsUsed(), { compact: true, websocket: false });
  await again.close();
});
