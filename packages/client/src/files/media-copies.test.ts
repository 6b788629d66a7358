import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FetchFrom, MediaCopies, type MediaCopy, MediaCopyFailure, mediaCopyLimits } from './media-copies.ts';

const root = mkdtempSync(join(tmpdir(), 'drawbridge-copies-'));
after(() => rmSync(root, { recursive: true, force: true }));

const bytes = randomBytes(2_000_003);
const nameKey = (): Uint8Array => new Uint8Array(32).fill(1);
const copiesIn = (name: string, nowMs = Date.now): { copies: MediaCopies; folder: string } => {
  const folder = join(root, name);
  return { copies: new MediaCopies({ folder, nameKey, nowMs }), folder };
};

async function read(copy: MediaCopy, at: number, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length);
  return into.subarray(0, await copy.read(at, into));
}

/** Gives `bytes`; remembers where it began, and breaks off when told to. */
function source(breakAt = Number.POSITIVE_INFINITY): { fetch: FetchFrom; begun: number[]; given: () => number } {
  const begun: number[] = [];
  let given = 0;
  async function* fetch(fromBytes: number): AsyncGenerator<Uint8Array> {
    begun.push(fromBytes);
    for (let at = fromBytes; at < bytes.length; at += 10_000) {
      if (at >= breakAt) throw new Error('broken');
      given = Math.min(at + 10_000, bytes.length);
      yield bytes.subarray(at, given);
    }
  }
  return { fetch, begun, given: () => given };
}

test('fetches what is wanted and a little more, and goes on where it was in a later start', async () => {
  const { copies, folder } = copiesIn('later');
  const first = source();
  const copy = await copies.open('a', bytes.length, first.fetch);
  assert.equal(first.begun.length, 0);
  await copy.arrive(100_000, 50_000);
  assert.ok((await read(copy, 99_000, 1_000)).equals(bytes.subarray(99_000, 100_000)));
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.ok(copy.arrivedBytes >= 150_000 && copy.arrivedBytes < 170_000);
  assert.ok(first.given() <= copy.arrivedBytes, 'the sender waits');
  const came = copy.arrivedBytes;
  await copies.done('a');

  const again = copiesIn('later').copies;
  const second = source();
  const same = await again.open('a', bytes.length, second.fetch);
  assert.equal(same.arrivedBytes, came);
  assert.equal(await again.open('a', bytes.length, second.fetch), same, 'shared');
  await Promise.all([same.arrive(bytes.length, 0), same.arrive(came + 1, bytes.length)]);
  assert.deepEqual(second.begun, [came]);
  assert.equal((await read(same, bytes.length, 10)).length, 0);
  await again.done('a', true);
  assert.equal(readdirSync(folder).length, 1, 'somebody reads it still');
  assert.ok(readFileSync(join(folder, readdirSync(folder)[0]!)).equals(bytes));
  await again.done('a', true);
  assert.deepEqual(readdirSync(folder), []);
});

test('what breaks is told, and the next wish tries again with what came', async () => {
  const { copies } = copiesIn('breaks');
  let reachBytes = 500_000;
  const begun: number[] = [];
  const copy = await copies.open('a', bytes.length, (from, _signal) => {
    begun.push(from);
    return source(reachBytes).fetch(from, new AbortController().signal);
  });
  await assert.rejects(copy.arrive(600_000, 0), /broken/);
  assert.equal(copy.arrivedBytes, 500_000);
  const stop = new AbortController();
  const stopped = copy.arrive(bytes.length, 0, AbortSignal.abort(new Error('no more')));
  await assert.rejects(stopped, /no more|broken/);
  reachBytes = Number.POSITIVE_INFINITY;
  await copy.arrive(bytes.length, 0, stop.signal);
  assert.equal(begun.at(-1), 500_000);
  await copy.restart();
  assert.equal(copy.arrivedBytes, 0);
  await copy.arrive(1, 0);
  assert.ok((await read(copy, 0, 10)).equals(bytes.subarray(0, 10)));
  await copies.done('a');
});

test('a copy that ends too early on the disk, or is too long, is noticed', async () => {
  const { copies, folder } = copiesIn('cut');
  const copy = await copies.open('a', bytes.length, source().fetch);
  await copy.arrive(bytes.length, 0);
  const path = join(folder, readdirSync(folder)[0]!);
  assert.deepEqual([statSync(folder).mode & 0o777, statSync(path).mode & 0o777], [0o700, 0o600]);
  truncateSync(path, 1_000);
  assert.equal((await read(copy, 0, 2_000)).length, 1_000);
  await assert.rejects(read(copy, 1_000, 10), MediaCopyFailure);
  await copies.done('a');
  writeFileSync(path, Buffer.concat([bytes, bytes]));
  const long = await copies.open('a', bytes.length, source().fetch);
  assert.equal(long.arrivedBytes, 0);
  await copies.done('a');
  const blocked = new MediaCopies({ folder: join(path, 'x'), nameKey, nowMs: Date.now });
  await assert.rejects(blocked.open('a', 10, source().fetch), MediaCopyFailure);
});

test('old and superfluous copies go; what is read now, and what is not ours, stays', async () => {
  const { copies, folder } = copiesIn('bounded');
  const nowSeconds = Date.now() / 1_000;
  await copies.open('read', bytes.length, source().fetch);
  const [reading] = readdirSync(folder);
  utimesSync(join(folder, reading!), nowSeconds - 30 * 86_400, nowSeconds - 30 * 86_400);
  const name = (index: number): string => index.toString(16).padStart(64, '0');
  for (let i = 0; i < mediaCopyLimits.copies + 3; i += 1) {
    writeFileSync(join(folder, name(i)), 'x');
    utimesSync(join(folder, name(i)), nowSeconds - i, nowSeconds - i);
  }
  const week = mediaCopyLimits.lifetimeMs / 1_000 + 10;
  utimesSync(join(folder, name(2)), nowSeconds - week, nowSeconds - week);
  writeFileSync(join(folder, 'a person’s own'), '');
  await copies.sweep();
  const kept = Array.from({ length: mediaCopyLimits.copies + 1 }, (_, i) => name(i)).filter(each => each !== name(2));
  assert.deepEqual(readdirSync(folder).sort(), [...kept, 'a person’s own', reading!].sort());
  await copies.done('read');
  assert.ok(!readdirSync(folder).includes(reading!));
  truncateSync(join(folder, name(0)), mediaCopyLimits.totalBytes - 2);
  utimesSync(join(folder, name(0)), nowSeconds, nowSeconds);
  await copies.sweep();
  assert.deepEqual(
    readdirSync(folder).sort(),
    [name(0), name(1), name(3), 'a person’s own'].sort(),
    'the newest that have room together',
  );
  await copies.forget('nothing of that name');
});
