// Options of `drawbridge provider`, from the command line and from a file.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createProvider } from '@drawbridge/provider/provider';
import { CommandError } from './command-error.ts';
import type { ProviderFlags } from './provider.ts';
import { readProviderOptions, rotateKeys } from './provider-run.ts';

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
  assert.deepEqual([run.host, run.port, run.tls], ['127.0.0.1', 8443, undefined]);
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
  ];
  for (const each of unfit) {
    assert.throws(
      () => readProviderOptions(each),
      (error: unknown) => error instanceof CommandError && error.nextStep !== '' && error.exitCode === 2,
      JSON.stringify(each),
    );
  }
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
