// How many connections fit the files that a process may have.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionRoom, moreFiles, readFileLimit } from './file-limit.ts';

test('connections are what the configuration asks for, and never more than there are files for', () => {
  const configured = { streams: 10_000, mediaFetches: 256 };
  assert.deepEqual(connectionRoom(configured, undefined), { connections: 10_000, filesMissing: undefined });
  assert.deepEqual(connectionRoom(configured, 65_536), { connections: 10_000, filesMissing: undefined });
  assert.deepEqual(connectionRoom(configured, 10_320), { connections: 10_000, filesMissing: undefined });
  assert.deepEqual(connectionRoom(configured, 10_319), { connections: 9_999, filesMissing: 1 });
  // The limit of a login shell: media fetches are not left more than an eighth of it.
  assert.deepEqual(connectionRoom(configured, 1_024), { connections: 832, filesMissing: 9_296 });
  assert.match(moreFiles(configured, 1_024), /only 832 of the 10000 .* to 10320 /);
  assert.deepEqual(connectionRoom(configured, 64), { connections: 1, filesMissing: 10_256 });
});

test('this process knows its limit', { skip: process.platform === 'linux' ? false : 'read from /proc' }, () => {
  const limit = readFileLimit();
  assert.ok(limit !== undefined && limit >= 64, String(limit));
});
