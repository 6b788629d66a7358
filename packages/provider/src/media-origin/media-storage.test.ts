// What an operator writes about the bucket, and what is said when it is wrong. The bucket itself is tried in harness/.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MediaStoreError } from './media-store.ts';
import { openMediaStorage, parseMediaStorage } from './media-storage.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-media-storage-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const least = { endpoint: 'https://s3.example', region: 'eu-1', bucket: 'media' };

test('the least that is needed, completed', () => {
  assert.deepEqual(parseMediaStorage(least), { ...least, prefix: '', pathStyle: true });
  const full = { ...least, prefix: 'a/b/', pathStyle: false, credentialsFile: 'keys.json', caFile: 'ca.pem' };
  assert.deepEqual(parseMediaStorage(full), full);
  for (const endpoint of ['http://127.0.0.1:9000', 'http://[::1]:9000', 'https://10.0.0.5:9000']) {
    assert.equal(typeof parseMediaStorage({ ...least, endpoint }), 'object', endpoint);
  }
});

test('what is wrong is named', () => {
  const wrong: readonly (readonly [Record<string, unknown>, RegExp])[] = [
    [{ endpoint: 'http://10.0.0.5:9000' }, /^endpoint must begin with https/],
    [{ endpoint: 's3.example' }, /^endpoint is not a URL/],
    [{ endpoint: 'https://key:secret@s3.example' }, /^endpoint holds credentials/],
    [{ endpoint: 'https://s3.example?x=1' }, /^endpoint has a query/],
    [{ endpoint: undefined }, /endpoint/],
    [{ bucket: 'Media' }, /^bucket/],
    [{ bucket: '../x' }, /^bucket/],
    [{ prefix: 'no-slash' }, /^prefix/],
    [{ prefix: '../' }, /^prefix/],
    [{ region: '' }, /^region/],
    [{ secretAccessKey: 'x' }, /./],
  ];
  for (const [change, words] of wrong) {
    const { ...value } = { ...least, ...change };
    const parsed = parseMediaStorage(JSON.parse(JSON.stringify(value)));
    assert.ok(typeof parsed === 'string', JSON.stringify(change));
    assert.match(parsed, words);
  }
});

test('credentials come from the file or the environment, and from nowhere else', async () => {
  const storage = { ...least, endpoint: 'http://127.0.0.1:9', prefix: '', pathStyle: true };
  const log: string[] = [];
  const open = async (credentialsFile: string | undefined, environment: Record<string, string>): Promise<void> => {
    const named = credentialsFile === undefined ? storage : { ...storage, credentialsFile };
    const spoolFolder = join(folder, 'spool');
    await openMediaStorage(named, { spoolFolder, environment, log: (event, code) => log.push(`${event} ${code}`) });
  };
  const file = join(folder, 'keys.json');
  const refused = async (text: string | undefined, words: RegExp): Promise<void> => {
    if (text !== undefined) writeFileSync(file, text);
    await assert.rejects(open(text === undefined ? join(folder, 'none') : file, {}), error => {
      assert.ok(error instanceof MediaStoreError && error.code === 'storage-refused');
      assert.match(error.message, words);
      return true;
    });
  };
  await refused(undefined, /can't be read/);
  await refused('{', /is not JSON/);
  await refused('{"accessKeyId": "a"}', /must hold/);
  await refused('{"accessKeyId": "a", "secretAccessKey": "b", "other": 1}', /must hold/);
  await assert.rejects(open(undefined, {}), /AWS_ACCESS_KEY_ID/);
  await assert.rejects(open(undefined, { AWS_ACCESS_KEY_ID: 'a', AWS_PROFILE: 'b' }), /AWS_SECRET_ACCESS_KEY/);
  // Nobody is there: that is said, and does not keep the rest from starting.
  await open(undefined, { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' });
  assert.deepEqual(log, ['media-storage storage-unavailable']);
});
