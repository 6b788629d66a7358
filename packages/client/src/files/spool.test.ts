// What lies in the spool: encrypted, under its limits, and gone when nobody wants it. How it is sent: harness/src/scenarios/files.test.ts.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { chunkBytes } from './encrypted-file.ts';
import { spooledFile } from './local-file.ts';
import { type KeptFile, Spool } from './spool.ts';

const root = mkdtempSync(join(tmpdir(), 'drawbridge-spool-'));
after(() => rmSync(root, { recursive: true, force: true }));
const never = new AbortController().signal;

async function bytesOf({ path, spooled }: KeptFile): Promise<Buffer> {
  const parts: Buffer[] = [];
  // A copy: a piece is used up before the next one is asked for.
  for await (const part of spooledFile(path, spooled).source(never)()) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

test('files of any size, in pieces of any size, come back as they were, and lie encrypted', async () => {
  const folder = join(root, 'sizes');
  const spool = new Spool(folder);
  for (const size of [0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3 * chunkBytes, 200_000]) {
    const bytes = randomBytes(size);
    for (const pieceBytes of [1_000, chunkBytes, 1_000_000]) {
      async function* pieces(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < size; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
      }
      const kept = await spool.add(pieces(), size, never);
      assert.ok((await bytesOf(kept)).equals(bytes), `${size} in pieces of ${pieceBytes}`);
      assert.ok((await bytesOf(kept)).equals(bytes), 'and again');
      const lying = readFileSync(kept.path);
      for (let at = 0; at + 16 <= size; at += 997) assert.ok(!lying.includes(bytes.subarray(at, at + 16)));
      assert.deepEqual([statSync(folder).mode & 0o777, statSync(kept.path).mode & 0o777], [0o700, 0o600]);
      spool.release(kept.path);
    }
  }
  await spool.sweep([]);
  assert.deepEqual(readdirSync(folder), []);
});

test('what was changed, cut or put in another order on the disk is not given out', async () => {
  const spool = new Spool(join(root, 'changed'));
  const bytes = randomBytes(3 * chunkBytes);
  const kept = await spool.add(new Blob([bytes]), undefined, never);
  const whole = readFileSync(kept.path);
  const sealedBytes = whole.length / 3;
  for (const at of [0, 20, sealedBytes + 1_000, whole.length - 1]) {
    const changed = Buffer.from(whole);
    changed[at]! ^= 1;
    writeFileSync(kept.path, changed);
    await assert.rejects(bytesOf(kept), /was changed/);
  }
  const [first, second, third] = [0, 1, 2].map(at => whole.subarray(at * sealedBytes, (at + 1) * sealedBytes));
  writeFileSync(kept.path, Buffer.concat([first!, third!, second!]));
  await assert.rejects(bytesOf(kept), /was changed/);
  writeFileSync(kept.path, whole);
  truncateSync(kept.path, 2 * sealedBytes);
  await assert.rejects(bytesOf(kept), /too early/);
});

test('all files together have a limit, also those that an earlier start left', async () => {
  const folder = join(root, 'full');
  const spool = new Spool(folder, 300_000);
  const first = await spool.add(new Blob([randomBytes(200_000)]), undefined, never);
  await assert.rejects(spool.add(new Blob([randomBytes(100_001)]), undefined, never), { code: 'outbox-full' });
  async function* asLongAsItSays(size: number): AsyncGenerator<Uint8Array> {
    yield randomBytes(size);
  }
  const unread = asLongAsItSays(100_001);
  await assert.rejects(spool.add(unread, 100_001, never), { code: 'outbox-full' });
  assert.equal((await unread.next()).done, false, 'what is known not to fit is not read');
  await assert.rejects(spool.add(asLongAsItSays(100_001), undefined, never), { code: 'outbox-full' });
  assert.equal(readdirSync(folder).length, 1);
  await spool.add(new Blob([randomBytes(90_000)]), undefined, never);

  const later = new Spool(folder, 300_000);
  await later.sweep([first.path]);
  assert.equal(readdirSync(folder).length, 1, 'only what is wanted stays');
  await assert.rejects(later.add(new Blob([randomBytes(100_001)]), undefined, never), { code: 'outbox-full' });
  await later.sweep([]);
  await later.add(new Blob([randomBytes(300_000)]), undefined, never);
});

test('a sweep leaves what is being written, and what nobody could have asked for yet', async () => {
  const folder = join(root, 'fresh');
  const spool = new Spool(folder);
  const begun = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield randomBytes(100_000);
    begun.resolve();
    await goOn.promise;
  }
  const adding = spool.add(slow(), undefined, never);
  await begun.promise;
  await spool.sweep([]);
  goOn.resolve();
  const kept = await adding;
  await spool.sweep([]);
  assert.equal((await bytesOf(kept)).length, 100_000);
  spool.release(kept.path);
  await spool.sweep([]);
  assert.deepEqual(readdirSync(folder), []);
});

test('a source that fails while it is ended costs the call alone', async () => {
  const stubborn: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: false, value: randomBytes(10) }),
      return: () => Promise.reject(new Error('not yet')),
    }),
  };
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  const spool = new Spool(join(root, 'stubborn'));
  await assert.rejects(spool.add(stubborn, 9, never), { code: 'file-changed' });
  await new Promise(resolve => setTimeout(resolve, 10));
  process.off('unhandledRejection', note);
  assert.deepEqual(unhandled, []);
});
