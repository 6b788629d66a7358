// Options that are unknown, missing or wrong are refused by name; the operator's page has a row for each.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultMediaLimits } from './media-origin/media-options.ts';
import { createProvider } from './provider.ts';
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

test('the operator’s page has a row for every option, and no other', () => {
  const page = readFileSync(new URL('../../../docs/operations/running-a-provider.md', import.meta.url), 'utf8');
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
