// `drawbridge gatekeeper check` finds what a start would fail on, and what somebody should look at.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from '@drawbridge/gatekeeper/config';
import { ensureDevPki } from './dev-pki.ts';
import { type Finding, findings } from './gatekeeper-check.ts';
import { makeGatekeeperFolder } from './testing/running-gatekeeper.ts';

const home = await makeGatekeeperFolder();
after(() => home.remove());

async function look(members: Record<string, unknown>, offline = true): Promise<readonly Finding[]> {
  home.write(members);
  const loaded = loadConfig(home.file);
  assert(loaded.kind === 'loaded', JSON.stringify(loaded));
  return await findings(loaded.config, { offline });
}

function messages(found: readonly Finding[], kind: Finding['kind']): string {
  return found
    .filter(each => each.kind === kind)
    .map(each => each.message)
    .join('\n');
}

test('what is in order is good', async () => {
  const found = await look({});
  assert.equal(messages(found, 'fault'), '');
  assert.match(messages(found, 'good'), /key fits, \d+ days left[^]*will be made[^]*listeners\.xmpps\) is free/);
});

test('certificates: garbage, the key of another, a missing name, a key that others can read', async () => {
  const { certFile, keyFile } = await ensureDevPki(join(home.folder, 'check'), ['citadel.example']);
  const tls = { certFile, keyFile };
  const other = await ensureDevPki(join(home.folder, 'other'));
  const withKey = { certFile, keyFile: other.keyFile };
  assert.match(messages(await look({ tls: withKey }), 'fault'), /server-key\.pem is not the key of/);
  const nameless = messages(await look({ tls: { certFile: other.certFile, keyFile: other.keyFile } }), 'warning');
  assert.match(nameless, /is not for citadel\.example: clients refuse it/);
  chmodSync(keyFile, 0o644);
  assert.match(messages(await look({ tls }), 'warning'), /server-key\.pem can be read by others: set its mode to 0600/);
  writeFileSync(certFile, 'garbage');
  assert.match(messages(await look({ tls }), 'fault'), /server\.pem is not a certificate in PEM/);
  copyFileSync(other.certFile, certFile);
  writeFileSync(keyFile, 'garbage');
  assert.match(messages(await look({ tls }), 'fault'), /server-key\.pem is not a private key/);
});

test('a port in use, a key file that others can read, an issuer that nobody answers at', async () => {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(home.ports.compact, '127.0.0.1', resolve));
  mkdirSync(join(home.folder, 'data'), { mode: 0o700 });
  writeFileSync(join(home.folder, 'data', 'event-keys.json'), '{}');
  chmodSync(join(home.folder, 'data', 'event-keys.json'), 0o640);
  const providers = [{ number: 1, name: 'skylark.localhost', issuer: 'https://localhost:1' }];
  const found = await look({ providers }, false);
  assert.match(messages(found, 'fault'), /\(listeners\.compact\) is in use: stop what uses it/);
  assert.match(messages(found, 'warning'), /event-keys\.json can be read by others/);
  assert.match(messages(found, 'warning'), /issuer https:\/\/localhost:1: no key set/);
  await new Promise(resolve => server.close(resolve));
  rmSync(join(home.folder, 'data'), { recursive: true });
});

test('what lies in the data folder: each file that a start would fail on is named, with the next step', async () => {
  const data = join(home.folder, 'data');
  const gatekeeper = await home.start();
  assert.equal(await gatekeeper.stop(), 0);
  assert.deepEqual(
    (await look({})).filter(({ kind }) => kind !== 'good').filter(({ message }) => !message.includes('limits.streams')),
    [],
    'what a gatekeeper has made is in order',
  );
  const others = [
    'event-keys.json',
    'compact-keys.json',
    'media-grant-key',
    'stamp-secret',
    'admin-token',
    'metrics-token',
  ];
  for (const name of [...others, 'gatekeeper.sqlite']) {
    const file = join(data, name);
    const good = readFileSync(file);
    writeFileSync(file, 'garbage, and nothing else at all');
    const faults = messages(await look({}), 'fault');
    assert.match(faults, new RegExp(`${name}.*: ?.*(restore|remove)`), name);
    assert.equal(faults.split('\n').length, 1, faults);
    writeFileSync(file, good);
  }
  assert.equal(messages(await look({}), 'fault'), '');
  assert.match(messages(await look({ dataFolder: 'gatekeeper.json' }), 'fault'), /is a file: name a folder/);
  assert.match(messages(await look({ dataFolder: 'gatekeeper.json/data' }), 'fault'), /mend the path/);
  const tls = { certFile: 'pki', keyFile: 'pki/server-key.pem' };
  home.write({ tls, egress: { caFile: 'gatekeeper.json' } });
  const loaded = loadConfig(home.file);
  assert(loaded.kind === 'refused');
  const words = loaded.errors.map(({ message }) => message).join('\n');
  assert.match(words, /pki can't be read: it is a folder: name the file in it/);
  assert.match(words, /egress\.caFile: .*gatekeeper\.json is not a certificate in PEM/);
  const folder = loadConfig(home.folder);
  assert(folder.kind === 'refused' && /it is a folder: name the file/.test(folder.errors[0]!.message));
});
