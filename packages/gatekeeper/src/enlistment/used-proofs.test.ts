// Proof ids over a real store: one taker each, few commits, nothing taken that was not committed.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sqliteStores } from '../storage/sqlite/sqlite-stores.ts';
import { openSqliteStore } from '../storage/sqlite/store.ts';
import type { ProofIds } from './proof-ids.ts';
import { createUsedProofs, maxProofsPerCommit, proofCommitIntervalMs } from './used-proofs.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-used-proofs-'));
const sqlite = await openSqliteStore(join(folder, 'gatekeeper.sqlite'));
const store = sqliteStores(sqlite).proofIds;
after(async () => {
  await sqlite.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The real store, and how many ids each commit had. */
function counting(): { readonly sizes: number[]; readonly store: ProofIds } {
  const sizes: number[] = [];
  return {
    sizes,
    store: {
      ...store,
      take: (ids, times) => {
        sizes.push(ids.length);
        return store.take(ids, times);
      },
    },
  };
}

const expiresAtMs = Date.now() + 60_000;

test('each id is taken once, whoever asks together or later', async () => {
  const used = createUsedProofs(store, () => performance.now());
  const ids = Array.from({ length: 20 }, () => randomBytes(32));
  const answers = await Promise.all([...ids, ...ids].map(async id => await used.take(id, expiresAtMs)));
  assert.deepEqual(answers, [...Array<boolean>(20).fill(true), ...Array<boolean>(20).fill(false)]);
  assert.equal(await used.take(ids[7]!, expiresAtMs), false);
  assert.equal(await createUsedProofs(store, () => performance.now()).take(ids[3]!, expiresAtMs), false);
});

test('the first is committed at once, those that follow share a commit after the interval', async () => {
  const { sizes, store: counted } = counting();
  let nowMs = 1_000;
  const used = createUsedProofs(counted, () => nowMs);
  const all = Array.from({ length: 30 }, async () => await used.take(randomBytes(32), expiresAtMs));
  assert.deepEqual(sizes, [1]);
  assert.deepEqual(await Promise.all(all), Array<boolean>(30).fill(true));
  assert.deepEqual(sizes, [1, 29]);
  nowMs += proofCommitIntervalMs;
  const alone = used.take(randomBytes(32), expiresAtMs);
  assert.deepEqual(sizes, [1, 29, 1]);
  assert.equal(await alone, true);
});

test('a commit has a greatest size', async () => {
  const { sizes, store: counted } = counting();
  const used = createUsedProofs(counted, () => 1_000);
  const count = 1 + maxProofsPerCommit * 2;
  const all = Array.from({ length: count }, async () => await used.take(randomBytes(32), expiresAtMs));
  assert.deepEqual(sizes, [1, maxProofsPerCommit, maxProofsPerCommit]);
  assert.deepEqual(await Promise.all(all), Array<boolean>(count).fill(true));
});

test('all of a commit that fails are refused, and none of them is taken', async () => {
  const ids = Array.from({ length: 3 }, () => randomBytes(32));
  let fails = true;
  const breaking: ProofIds = {
    ...store,
    // The second id breaks the command in the storage worker itself: what came before it is rolled back.
    take: (given, times) =>
      store.take(
        given,
        times.map((time, index) => (index === 1 && fails ? 0.5 : time)),
      ),
  };
  const used = createUsedProofs(breaking, () => 1_000);
  assert.equal(await used.take(randomBytes(32), expiresAtMs), true);
  const results = await Promise.allSettled(ids.map(async id => await used.take(id, expiresAtMs)));
  assert.deepEqual(
    results.map(result => result.status),
    ['rejected', 'rejected', 'rejected'],
  );
  fails = false;
  assert.deepEqual(await Promise.all(ids.map(async id => await used.take(id, expiresAtMs))), [true, true, true]);
});
