// What every store of the media origin must do, as tests. Knows nothing of any store.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MediaStore } from '../media-origin/media-store.ts';

export type MediaStoreUnderTest = {
  readonly store: MediaStore;
  /** The same storage, as a process finds it that begins after the last one was killed. */
  readonly reopen: () => Promise<MediaStore>;
};

export type MediaStoreContract = {
  /** An empty store. */
  readonly open: () => Promise<MediaStoreUnderTest>;
  /** Sizes around multiples of this are tried: where the store cuts, if it does. */
  readonly partBytes: number;
  readonly skip?: string | false;
};

/** Each name once, sorted. */
export async function namesIn(store: MediaStore): Promise<string[]> {
  const names = new Set<string>();
  for await (const name of store.names()) names.add(name);
  return [...names].sort();
}

/** Runs the port's contract against stores that `open` makes. */
export function testMediaStore(name: string, { open, partBytes, skip = false }: MediaStoreContract): void {
  const contract = (what: string, check: (under: MediaStoreUnderTest) => Promise<void>): void => {
    void test(`${name}: ${what}`, { skip }, async () => await check(await open()));
  };
  const newName = (): string => randomBytes(32).toString('hex');

  /** In pieces that fit nothing. */
  function piecesOf(bytes: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = randomInt(1, 700_001);
      pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
    return pieces;
  }

  async function append(store: MediaStore, file: string, offset: number, bytes: Buffer): Promise<void> {
    const writer = await store.openWriter(file, offset);
    await writer.write(piecesOf(bytes));
    await writer.sync();
    await writer.close();
  }

  async function assertRead(store: MediaStore, file: string, start: number, expected: Buffer): Promise<void> {
    const stream = await store.read(file, start, start + expected.length);
    assert.ok(stream !== undefined, 'the file is there');
    const read = await buffer(stream);
    assert.equal(read.length, expected.length);
    const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
    assert.equal(digest(read), digest(expected));
  }

  contract('what never was, is not there; removing it is nothing', async ({ store }) => {
    assert.deepEqual(await namesIn(store), []);
    const file = newName();
    assert.equal(await store.read(file, 0, 1), undefined);
    await store.remove(file);
    assert.deepEqual(await namesIn(store), []);
  });

  contract('files of every size come back, whole and in parts', async ({ store }) => {
    const sizes = [0, 1, 70_000, partBytes - 1, partBytes, partBytes + 1, 2 * partBytes, 2 * partBytes + 12_345];
    for (const size of sizes) {
      const file = newName();
      const bytes = randomBytes(size);
      await append(store, file, 0, bytes);
      await store.finish(file, size);
      if (size === 0) continue;
      await assertRead(store, file, 0, bytes);
      await assertRead(store, file, size - 1, bytes.subarray(size - 1));
      const start = randomInt(0, size);
      const end = randomInt(start + 1, size + 1);
      await assertRead(store, file, start, bytes.subarray(start, end));
    }
    assert.equal((await namesIn(store)).length, sizes.length);
  });

  contract(
    'what was synced survives that the process is killed, what was not is forgotten',
    async ({ store, reopen }) => {
      const bytes = randomBytes(2 * partBytes + 50_000);
      for (const synced of [1_000, partBytes - 1, partBytes, partBytes + 1_000]) {
        const file = newName();
        const writer = await store.openWriter(file, 0);
        await writer.write(piecesOf(bytes.subarray(0, synced)));
        await writer.sync();
        // More comes, other bytes than later; then the process dies.
        await writer.write([randomBytes(partBytes + 77)]);
        const next = await reopen();
        await append(next, file, synced, bytes.subarray(synced));
        await next.finish(file, bytes.length);
        await assertRead(next, file, 0, bytes);
        await writer.close();
      }
    },
  );

  contract('the offset that was noted may lie before what was written and synced', async ({ store, reopen }) => {
    const bytes = randomBytes(2 * partBytes + 50_000);
    for (const noted of [0, 9, 10, partBytes - 6, partBytes - 5, partBytes]) {
      const file = newName();
      const first = await store.openWriter(file, 0);
      await first.write(piecesOf(bytes.subarray(0, noted)));
      await first.sync();
      await first.write([randomBytes(2 * partBytes - noted + 9)]);
      // Time for whatever is done meanwhile.
      await sleep(150);
      await first.write([randomBytes(9)]);
      if (noted % 2 === 0) {
        const next = await reopen();
        await (await next.openWriter(file, noted)).close();
        await first.close();
        await append(next, file, noted, bytes.subarray(noted));
        await next.finish(file, bytes.length);
        await assertRead(next, file, 0, bytes);
        continue;
      }
      // Synced, but the process dies before that is noted.
      await first.sync();
      const next = await reopen();
      await append(next, file, noted, bytes.subarray(noted));
      await next.finish(file, bytes.length);
      await assertRead(next, file, 0, bytes);
      await first.close();
    }
  });

  contract('a file is finished once, however often it is said, and by whom', async ({ store, reopen }) => {
    for (const size of [0, 5_000, partBytes + 5_000]) {
      const file = newName();
      const bytes = randomBytes(size);
      await append(store, file, 0, bytes);
      await store.finish(file, size);
      await store.finish(file, size);
      const next = await reopen();
      await next.finish(file, size);
      if (size > 0) await assertRead(next, file, 0, bytes);
    }
  });

  contract('many sessions, many cuts', async ({ store, reopen }) => {
    let at = store;
    const bytes = randomBytes(3 * partBytes + randomInt(1, partBytes));
    const file = newName();
    let offset = 0;
    for (let session = 0; offset < bytes.length; session += 1) {
      const writer = await at.openWriter(file, offset);
      for (let syncs = randomInt(0, 4); syncs >= 0 && offset < bytes.length; syncs -= 1) {
        const length = session > 20 ? bytes.length : randomInt(1, partBytes);
        const piece = bytes.subarray(offset, offset + length);
        await writer.write(piecesOf(piece));
        await writer.sync();
        offset += piece.length;
      }
      if (offset < bytes.length && session % 2 === 0) await writer.write([randomBytes(randomInt(1, partBytes))]);
      await writer.close();
      if (session % 3 === 0) at = await reopen();
    }
    await at.finish(file, bytes.length);
    await assertRead(at, file, 0, bytes);
  });

  contract('removed files are gone, finished or not, and so are their names', async ({ store, reopen }) => {
    const finished = newName();
    await append(store, finished, 0, randomBytes(1_000));
    await store.finish(finished, 1_000);
    const large = newName();
    await append(store, large, 0, randomBytes(partBytes + 1_000));
    await store.finish(large, partBytes + 1_000);
    const begun = newName();
    await append(store, begun, 0, randomBytes(partBytes + 1_000));
    const short = newName();
    await append(store, short, 0, randomBytes(10));
    assert.deepEqual(await namesIn(store), [finished, large, begun, short].sort());
    const next = await reopen();
    for (const file of [finished, large, begun, short]) {
      await next.remove(file);
      await next.remove(file);
      assert.equal(await next.read(file, 0, 1), undefined);
    }
    assert.deepEqual(await namesIn(next), []);
  });
}
