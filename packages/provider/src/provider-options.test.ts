// Options that are unknown, missing or wrong are refused by name; the operator's page has a row for each.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { defaultMediaLimits } from './media-origin/media-options.ts';
import { createProvider } from './provider.ts';
import { DatabaseVersionError } from './storage/database-file.ts';
import { openProviderDatabase } from './storage/provider-database.ts';
import { createPushStore } from './wake-ups/push-store.ts';
import {
  checkProviderOptions,
  mediaOptionChecks,
  optionChecks,
  type ProviderOptions,
  ProviderOptionsError,
} from './provider-options.ts';

const good = {
  issuer: 'https://skylark.example/interop',
  gatekeepers: [{ issuer: 'https://citadel.example' }],
  dataFolder: ':memory:',
} satisfies ProviderOptions;

function refusedOption(change: object): string | undefined {
  try {
    checkProviderOptions({ ...good, ...change });
  } catch (error) {
    assert.ok(error instanceof ProviderOptionsError);
    assert.ok(error.message.startsWith(`${error.option}: `));
    return error.option;
  }
  return undefined;
}

test('wrong options are refused by name', () => {
  assert.equal(refusedOption({}), undefined);
  for (const [option, change] of [
    ['issuer', { issuer: undefined }],
    ['issuer', { issuer: 'skylark.example' }],
    ['issuer', { issuer: 'https://skylark.example/' }],
    ['issuer', { issuer: 'ftp://skylark.example' }],
    ['gatekeepers', { gatekeepers: ['https://citadel.example'] }],
    ['gatekeepers', { gatekeepers: [{ issuer: 'https://citadel.example/' }] }],
    ['gatekeepers', { gatekeepers: [{ issuer: 'https://citadel.example', url: 'x' }] }],
    ['gatekeepers', { gatekeepers: [good.gatekeepers[0], good.gatekeepers[0]] }],
    ['dataFolder', { dataFolder: '' }],
    ['datafolder', { datafolder: 'x' }],
    ['onWakeup', { onWakeup: () => {} }],
    ['registration', { registration: true }],
    ['directory', { directory: { authenticate: async () => ({ kind: 'refused' }) } }],
    ['pathPrefix', { pathPrefix: 'kit' }],
    ['algorithm', { algorithm: 'RS256' }],
    ['media.folder', { media: {} }],
    ['media.bucket', { media: { folder: 'x', bucket: 'y' } }],
    ['media.limits.maxUpload', { media: { folder: 'x', limits: { maxUpload: 5 } } }],
    ['media.limits.maxUploadBytes', { media: { folder: 'x', limits: { maxUploadBytes: '5' } } }],
  ] as const) {
    assert.equal(refusedOption(change), option, JSON.stringify(change));
  }
});

test('nothing is made for a provider whose options are refused', async () => {
  await assert.rejects(createProvider({ ...good, issuer: 'https://skylark.example/' }), ProviderOptionsError);
});

test('folders that can not be used are refused by their option, and what was begun is undone', async () => {
  const home = mkdtempSync(join(tmpdir(), 'drawbridge-options-'));
  try {
    const file = join(home, 'file');
    writeFileSync(file, '');
    for (const [option, change] of [
      ['dataFolder', { dataFolder: file }],
      ['dataFolder', { dataFolder: join(file, 'below') }],
      ['dataFolder', { dataFolder: '/proc/none' }],
      ['media.folder', { media: { folder: file } }],
    ] as const) {
      await assert.rejects(createProvider({ ...good, ...change }), (error: unknown) => {
        assert.ok(error instanceof ProviderOptionsError, String(error));
        assert.equal(error.option, option);
        return true;
      });
    }
    // Media fails after the rest was opened: nobody is woken, and the folder can be used again.
    const dataFolder = join(home, 'data');
    const database = openProviderDatabase(join(newFolder(dataFolder), 'provider.sqlite'));
    await createPushStore(database).add('mia', 'https://citadel.example', 0);
    await database.close();
    const media = newFolder(join(dataFolder, 'media'));
    const newer = new DatabaseSync(join(media, 'media.sqlite'));
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    const woken: string[] = [];
    const options = { ...good, dataFolder, onWakeUp: (identifier: string) => woken.push(identifier) };
    await assert.rejects(createProvider({ ...options, media: {} }), DatabaseVersionError);
    assert.deepEqual(woken, []);
    const provider = await createProvider(options);
    while (woken.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
    await provider.close();
  } finally {
    rmSync(home, { recursive: true });
  }
});

function newFolder(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

test('the operator’s page has a row for every option, and no other', () => {
  const whole = readFileSync(new URL('../../../docs/operations/running-a-provider.md', import.meta.url), 'utf8');
  const [, page = ''] = /## Options of `createProvider`\n([^]*?)\n## /.exec(whole) ?? [];
  const rows = [...page.matchAll(/^\| `([A-Za-z.]+)` \|/gm)].map(([, name]) => name);
  const expected = [
    ...Object.keys(optionChecks),
    ...Object.keys(mediaOptionChecks).map(name => `media.${name}`),
    ...Object.keys(defaultMediaLimits).map(name => `media.limits.${name}`),
  ];
  assert.deepEqual(new Set(rows), new Set(expected));
  assert.equal(rows.length, expected.length);
  for (const [name, value] of Object.entries(defaultMediaLimits)) {
    const row = page.split('\n').find(line => line.startsWith(`| \`media.limits.${name}\` |`)) ?? '';
    assert.equal(row.split('|')[2]?.trim(), value.toLocaleString('en'), name);
  }
});
