// SIGHUP, and certificate files that change, on a running gatekeeper: what is new is taken, streams stay, and what is
// broken leaves everything as it was.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { after, test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { ensureDevPki } from './dev-pki.ts';
import {
  commandFile,
  type GatekeeperFolder,
  makeGatekeeperFolder,
  type RunningGatekeeper,
  servedSerial,
} from './testing/running-gatekeeper.ts';

let home: GatekeeperFolder;
let gatekeeper: RunningGatekeeper | undefined;
let anna: Client | undefined;
after(async () => {
  await anna?.close();
  gatekeeper?.signal('SIGKILL');
  await gatekeeper?.ended;
  home?.remove();
});

test('SIGHUP takes certificate, providers and log level; a session goes on; what is broken is refused and said', async () => {
  home = await makeGatekeeperFolder();
  gatekeeper = await home.start();
  const { xmpps, http, admin } = home.ports;
  const client = await home.person('anna');
  anna = client;
  await client.connect();
  const events: string[] = [];
  void (async () => {
    for await (const event of client.events()) if (event.kind === 'status') events.push(event.status.kind);
  })();
  const serial = await servedSerial(xmpps);

  // Another certificate under other names of files, a provider, a limit and a log level.
  const other = await ensureDevPki(join(home.folder, 'other'), ['citadel.example']);
  const providers = [{ number: 1, name: 'skylark.localhost', issuer: 'https://localhost:1' }];
  const tls = { certFile: other.certFile, keyFile: other.keyFile, watchSeconds: 1 };
  home.write({ tls, providers, log: { level: 'warn' }, limits: { devicesPerAccount: 3 }, publicHost: 'elsewhere' });
  gatekeeper.signal('SIGHUP');
  assert.equal((await gatekeeper.line('reload-needs-restart'))['key'], 'publicHost');
  await gatekeeper.line('reloaded');
  const second = await servedSerial(xmpps);
  assert.notEqual(second, serial);
  assert.equal(await servedSerial(http, 'http/1.1'), second);
  const offer = await readOffer(http);
  assert.equal(offer.providers.length, 1);
  assert.equal(offer.limits.devicesPerAccount, 3);

  // A key that is another's, at the same place: the watch says so and goes on with what it has.
  copyFileSync(home.pki.keyFile, other.keyFile);
  const refused = await gatekeeper.line('certificate-refused');
  assert.equal(refused['code'], 'key-differs');
  assert.match(String(refused['next']), /server-key\.pem is not the key of/);
  assert.equal(await servedSerial(xmpps), second);
  // The rest of the files follow: taken without a signal.
  copyFileSync(home.pki.certFile, other.certFile);
  while ((await servedSerial(xmpps)) !== serial) await new Promise(resolve => setTimeout(resolve, 100));

  // The key that clients of the compact transport pin: the command runs beside the gatekeeper, which takes it with SIGHUP.
  const pinned = (await readOffer(http)).compactKeys;
  const rotate = [commandFile, 'gatekeeper', 'rotate-signing-key', '--config', home.file];
  const said = execFileSync(process.execPath, ['--conditions=drawbridge-source', ...rotate], { encoding: 'utf8' });
  const inForce = pinned.succession.at(-1)!.backupKey;
  assert(said.includes(inForce) && said.includes('compact-backup-key.json'), said);
  gatekeeper.signal('SIGHUP');
  await gatekeeper.line('signing-key-replaced');
  assert.equal((await readOffer(http)).compactKeys.signingKey.x, inForce);

  // A configuration that can't be used.
  const lines = gatekeeper.lines.length;
  writeFileSync(home.file, '{ "mode": "production", "providrs": [] }');
  gatekeeper.signal('SIGHUP');
  assert.match(String((await gatekeeper.line('reload-refused', lines))['next']), /missing: add it|no known key/);
  const { status } = await fetch(`http://127.0.0.1:${admin}/readyz`);
  assert.equal(status, 200);

  // All the while nobody was cut.
  assert.equal(client.status.kind, 'online');
  assert.deepEqual(events, []);
  await client.close();
  assert.equal(await gatekeeper.stop(), 0);
});

type Offer = {
  readonly providers: readonly unknown[];
  readonly limits: { readonly devicesPerAccount: number };
  readonly compactKeys: {
    readonly signingKey: { readonly x: string };
    readonly succession: readonly { readonly backupKey: string }[];
  };
};

async function readOffer(port: number): Promise<Offer> {
  return await new Promise((resolve, reject) => {
    const path = '/.well-known/interop-gatekeeper';
    get({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false }, response => {
      json(response).then(value => resolve(value as Offer), reject);
    }).once('error', reject);
  });
}
