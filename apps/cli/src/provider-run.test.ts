// Options of `drawbridge provider`, from the command line and from a file.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createProvider } from '@drawbridge/provider/provider';
import { CommandError } from './command-error.ts';
import type { ProviderFlags } from './provider.ts';
import { members, readProviderOptions, rotateKeys } from './provider-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-provider-'));
const flags: ProviderFlags = {
  data: folder,
  issuer: 'https://id.skylark.example',
  gatekeeper: ['https://citadel.example'],
};

test('options and file give the same provider; paths in the file are relative to it', () => {
  const file = join(folder, 'provider.json');
  writeFileSync(file, JSON.stringify({ ...flags, data: '.' }));
  const run = readProviderOptions(flags);
  assert.deepEqual(readProviderOptions({ config: file }), run);
  assert.equal(run.provider.registration, 'closed');
  assert.deepEqual([run.listen.host, run.listen.port, run.listen.tls], ['127.0.0.1', 8443, undefined]);
});

test('unfit options are refused with the next step', () => {
  const unfit: ProviderFlags[] = [
    {},
    { ...flags, issuer: 'https://id.skylark.example/' },
    { ...flags, issuer: 'https://ID.skylark.example' },
    { ...flags, issuer: 'https://id.skylark.example:443' },
    { ...flags, issuer: 'http://id.skylark.example' },
    { ...flags, issuer: 'http://localhost:8443' },
    { ...flags, gatekeeper: ['citadel'] },
    { ...flags, port: 70_000 },
    { ...flags, tlsCert: 'cert.pem' },
    { ...flags, config: 'provider.json' },
    { ...flags, trustedProxy: ['proxy.example'] },
    { ...flags, trustedProxy: ['10.0.0.0/33'] },
    { ...flags, trustedProxy: ['10.0.0.1/8/8'] },
    { ...flags, connectionsPerAddress: 0 },
    { ...flags, connectionsPerAddress: 20_001 },
  ];
  for (const each of unfit) {
    assert.throws(
      () => readProviderOptions(each),
      (error: unknown) => error instanceof CommandError && error.nextStep !== '' && error.exitCode === 2,
      JSON.stringify(each),
    );
  }
});

test('the operator’s page has a row for every option of the command, and no other', () => {
  const page = readFileSync(new URL('../../../docs/operations/running-a-provider.md', import.meta.url), 'utf8');
  const [, section = ''] = page.split('## The command');
  const [table = ''] = section.split('\n## ');
  const rows = [...table.matchAll(/^\| `([A-Za-z]+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(rows, Object.keys(members));
});

test('behind a reverse proxy each client has a budget of its own, and nobody else can say who they are', async t => {
  const home = mkdtempSync(join(tmpdir(), 'drawbridge-proxied-'));
  const run = readProviderOptions({ ...flags, data: join(home, 'data'), trustedProxy: ['127.0.0.1'] });
  const provider = await createProvider(run.provider);
  t.after(() => provider.close());
  const { port } = await provider.listen({ host: '127.0.0.1', port: 0 });
  const login = async (from: string): Promise<number> => {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/sessions`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json', 'x-forwarded-for': from } },
      body: JSON.stringify({ identifier: 'mia', password: 'wrong horse' }),
    });
    return answer.status;
  };
  for (let tries = 0; tries < 20; tries++) assert.equal(await login('192.0.2.1'), 401);
  assert.equal(await login('192.0.2.1'), 429);
  assert.equal(await login('192.0.2.2'), 401);
  assert.equal(await login('192.0.2.2, 192.0.2.1'), 429);
});

test('a bucket for files stands in the file; what is wrong with it is named', () => {
  const file = join(folder, 'bucket.json');
  const mediaStorage = {
    endpoint: 'https://s3.example',
    region: 'eu-1',
    bucket: 'media',
    credentialsFile: 'keys.json',
  };
  const read = (storage: object): unknown => {
    writeFileSync(file, JSON.stringify({ ...flags, mediaStorage: storage }));
    return readProviderOptions({ config: file }).mediaStorage;
  };
  assert.deepEqual(read(mediaStorage), {
    ...mediaStorage,
    prefix: '',
    pathStyle: true,
    credentialsFile: join(folder, 'keys.json'),
  });
  assert.throws(() => read({ ...mediaStorage, endpoint: 'http://s3.example' }), /mediaStorage: endpoint must begin/);
  assert.throws(() => read({ ...mediaStorage, bukket: 'x' }), CommandError);
});

test('a file with unknown or wrong members is refused', () => {
  const file = join(folder, 'unfit.json');
  for (const text of ['', 'null', '[1]', '{"isuer":"x"}', '{"gatekeeper":"https://citadel.example"}', '{"port":"1"}']) {
    writeFileSync(file, text);
    assert.throws(() => readProviderOptions({ config: file }), CommandError, text);
  }
});

test('after a theft: keys of a provider that runs are left alone, and what to do instead is said', async () => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'drawbridge-provider-'));
  const gatekeepers = [{ issuer: 'https://citadel.example' }];
  const provider = await createProvider({ issuer: 'https://id.skylark.example', gatekeepers, dataFolder });
  const file = join(dataFolder, 'signing-keys.json');
  const before = readFileSync(file, 'utf8');
  await assert.rejects(
    rotateKeys(dataFolder),
    (error: unknown) => error instanceof CommandError && /providers\/0\/revoke-keys/.test(error.nextStep),
  );
  assert.equal(readFileSync(file, 'utf8'), before);
  await provider.close();
  await rotateKeys(dataFolder);
  assert.notEqual(readFileSync(file, 'utf8'), before);
});
