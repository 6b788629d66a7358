// Chapter 3 of the protocol lists every error of the HTTP interfaces, as this table has them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { problems } from './problems.ts';

test('the protocol lists each error with its status and what to do', () => {
  const chapter = readFileSync(new URL('../../../../docs/protocol/03-http.md', import.meta.url), 'utf8');
  const rows = [...chapter.matchAll(/^\| (\d{3}) \| `([a-z-]+)` \| [^|]+ \| (.+) \|$/gm)];
  const listed = Object.fromEntries(rows.map(([, status, code, detail]) => [code, { status: Number(status), detail }]));
  const held = Object.entries(problems).map(([code, { status, detail }]) => [code, { status, detail }] as const);
  assert.deepEqual(listed, Object.fromEntries(held));
});
