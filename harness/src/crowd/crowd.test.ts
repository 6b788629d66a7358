// The hostile crowd, for a short while: whatever it does, honest people lose nothing, are served, and the gatekeeper's memory is
// bounded. How long they wait is measured by `npm run bench -- --only crowd`; here it must only not stand still.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { CrowdResult } from './play.ts';

/** What the gatekeeper's process may come to hold, whatever the crowd does: the bound that operators are told. */
const maxMiB = 1_024;

test('every abuse at once: honest people lose nothing, and memory is bounded', { timeout: 240_000 }, async () => {
  const program = join(import.meta.dirname, 'run.ts');
  const args = ['--conditions=drawbridge-source', program, '--quiet', '2', '--seconds', '15', '--pairs', '6'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 230_000 });
  const result = JSON.parse(stdout) as CrowdResult;
  const { book, crowded, errands, errandsFailed, attacks } = result;
  const told = JSON.stringify(result, undefined, 1);
  assert.ok(book.sent > 100, told);
  assert.deepEqual(
    [book.received, book.acknowledged, book.refused, book.disordered],
    [book.sent, book.sent, 0, 0],
    told,
  );
  assert.deepEqual(book.ended, [], told);
  assert.deepEqual(errandsFailed, [], told);
  assert.ok((errands['stream'] ?? 0) > 0 && (errands['password'] ?? 0) > 0, told);
  assert.ok(result.awayWoken > 0, told);
  assert.ok(result.newcomerLoggedIn, told);
  assert.ok(crowded.mostMs < 30_000, told);
  assert.ok(result.mostMiB < maxMiB, told);
  // Nothing was tested unless all of it happened.
  for (const [attack, what, least] of [
    ['connections', 'opened', 200],
    ['httpIdles', 'opened', 50],
    ['httpRequests', 'requests', 100],
    ['blankBeforeLogin', 'opened', 8],
    ['brokenHandshakes', 'opened', 8],
    ['hopelessLogins', 'logins', 1],
    ['cheapIqs', 'questions', 1_000],
    ['unreadAnswers', 'questions', 100],
    ['messageFlood', 'messages', 1_000],
    ['bundleDrain', 'questions', 100],
    ['deadWakeUps', 'messages', 200],
    ['slowMedia', 'fetches', 20],
    ['enlistments', 'asked', 16],
    ['wrongPasswords', 'asked', 8],
  ] as const) {
    assert.ok((attacks[attack]?.[what] ?? 0) >= least, `${attack}: ${told}`);
  }
});
