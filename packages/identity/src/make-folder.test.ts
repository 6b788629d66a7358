// Folders are made where they can be, and what takes none is told: it never hangs.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from './make-folder.ts';

const hasCode =
  (...codes: string[]) =>
  (error: unknown): boolean =>
    error instanceof Error && 'code' in error && codes.includes(String(error.code)) && 'path' in error;

test('what is missing is made with its mode, what is there stays, a file in the way is told', t => {
  const home = mkdtempSync(join(tmpdir(), 'drawbridge-make-folder-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const folder = join(home, 'a', 'b', 'c');
  makeFolder(folder);
  makeFolder(folder);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(statSync(join(home, 'a')).mode & 0o777, 0o700);
  const file = join(home, 'file');
  writeFileSync(file, '');
  assert.throws(() => makeFolder(file), hasCode('EEXIST'));
  assert.throws(() => makeFolder(join(file, 'below')), hasCode('ENOTDIR'));
});

test('a file system that takes no folders says so', { skip: existsSync('/proc/self') ? false : 'no /proc' }, () => {
  for (const path of ['/proc/drawbridge', '/proc/drawbridge/below', '/proc/self/below']) {
    assert.throws(() => makeFolder(path), hasCode('EROFS', 'EACCES', 'EPERM'), path);
  }
});
