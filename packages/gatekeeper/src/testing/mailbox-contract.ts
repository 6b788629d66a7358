// What every mailbox store must do, as tests. Knows nothing of any store.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MailboxRow, MailboxStore } from '../mailbox/mailbox-store.ts';

export type OpenStore = () => Promise<{
  /** Empty; devices 1 to 2,500 are there. */
  readonly store: MailboxStore;
  readonly removeDevice: (device: number) => Promise<void>;
  readonly close: () => Promise<void>;
}>;

const row = (device: number, seq: number, length = 10, expiresAtMs = 1_000): MailboxRow => ({
  device,
  seq,
  expiresAtMs,
  stanza: new Uint8Array(length).fill(seq % 251),
});

const seqs = (entries: readonly { readonly seq: number }[]): number[] => entries.map(entry => entry.seq);

/** Runs the port's contract against stores that `open` makes, each of them empty. */
export function testMailboxStore(name: string, open: OpenStore): void {
  const contract = (
    what: string,
    check: (store: MailboxStore, removeDevice: (device: number) => Promise<void>) => Promise<void>,
  ): void => {
    void test(`${name}: ${what}`, async () => {
      const { store, removeDevice, close } = await open();
      try {
        await check(store, removeDevice);
      } finally {
        await close();
      }
    });
  };

  contract('an empty store has nothing', async store => {
    assert.deepEqual(await store.devices(), []);
    assert.deepEqual({ ...(await store.state(7)) }, { count: 0, bytes: 0, lastSeq: 0 });
    assert.deepEqual(await store.page(7, 0, 10, 1_000), []);
    assert.deepEqual({ ...(await store.expire(7, 1e15, 10)) }, { count: 0, bytes: 0 });
    await store.remove([{ device: 7, first: 0, last: 1e15 }]);
  });

  contract('what was appended is read back, per device, in the order of sequences', async store => {
    // Sequences are as large as times in microseconds.
    const base = 1.8e15;
    await store.append([row(2, base + 2), row(1, base + 1), row(2, base + 1, 3)]);
    await store.append([row(2, base + 300)]);
    const page = await store.page(2, 0, 10, 1_000);
    assert.deepEqual(seqs(page), [base + 1, base + 2, base + 300]);
    assert.deepEqual(
      page.map(({ seq, expiresAtMs, stanza }) => ({ device: 2, seq, expiresAtMs, stanza: Uint8Array.from(stanza) })),
      [row(2, base + 1, 3), row(2, base + 2), row(2, base + 300)],
    );
    assert.deepEqual(await store.devices(), [1, 2]);
    assert.deepEqual({ ...(await store.state(2)) }, { count: 3, bytes: 23, lastSeq: base + 300 });
    assert.deepEqual({ ...(await store.state(1)) }, { count: 1, bytes: 10, lastSeq: base + 1 });
  });

  contract('a page begins after a sequence and ends at a count or, beyond the first entry, a size', async store => {
    await store.append([1, 2, 3, 4, 5].map(seq => row(1, seq, 100)));
    assert.deepEqual(seqs(await store.page(1, 0, 2, 1e6)), [1, 2]);
    assert.deepEqual(seqs(await store.page(1, 2, 2, 1e6)), [3, 4]);
    assert.deepEqual(seqs(await store.page(1, 4, 2, 1e6)), [5]);
    assert.deepEqual(seqs(await store.page(1, 5, 2, 1e6)), []);
    assert.deepEqual(seqs(await store.page(1, 0, 10, 250)), [1, 2]);
    assert.deepEqual(seqs(await store.page(1, 0, 10, 200)), [1, 2]);
    assert.deepEqual(seqs(await store.page(1, 2, 10, 1)), [3], 'one entry, however large, or nothing would ever move');
  });

  contract('ranges are removed with their ends, of their device alone', async store => {
    for (const device of [1, 2]) await store.append([1, 2, 3, 4, 5].map(seq => row(device, seq)));
    await store.remove([
      { device: 1, first: 2, last: 3 },
      { device: 1, first: 5, last: 9 },
    ]);
    assert.deepEqual(seqs(await store.page(1, 0, 10, 1_000)), [1, 4]);
    assert.deepEqual(seqs(await store.page(2, 0, 10, 1_000)), [1, 2, 3, 4, 5]);
    await store.remove([{ device: 1, first: 1, last: 9 }]);
    assert.deepEqual(await store.devices(), [2]);
    // Again: nothing is there, and that is no error.
    await store.remove([{ device: 1, first: 1, last: 9 }]);
  });

  contract('what has expired goes, oldest first, up to a limit', async store => {
    await store.append([
      row(1, 1, 10, 100),
      row(1, 2, 20, 100),
      row(1, 3, 30, 200),
      row(1, 4, 40, 300),
      row(2, 1, 5, 100),
    ]);
    assert.deepEqual({ ...(await store.expire(1, 99, 10)) }, { count: 0, bytes: 0 });
    assert.deepEqual({ ...(await store.expire(1, 200, 2)) }, { count: 2, bytes: 30 });
    assert.deepEqual({ ...(await store.expire(1, 200, 2)) }, { count: 1, bytes: 30 });
    assert.deepEqual(seqs(await store.page(1, 0, 10, 1_000)), [4]);
    assert.deepEqual(seqs(await store.page(2, 0, 10, 1_000)), [1]);
  });

  contract('an append is whole or not at all, and never replaces', async store => {
    await store.append([row(1, 2, 7)]);
    await assert.rejects(store.append([row(1, 1), row(1, 2, 9), row(2, 1)]));
    assert.deepEqual(await store.devices(), [1]);
    assert.deepEqual(
      (await store.page(1, 0, 10, 1_000)).map(entry => entry.stanza.length),
      [7],
    );
  });

  contract('a device that is gone keeps nothing, and each row has its outcome', async (store, removeDevice) => {
    assert.deepEqual(await store.append([row(1, 1), row(2, 1)]), ['stored', 'stored']);
    await removeDevice(2);
    assert.deepEqual(await store.append([row(2, 2), row(1, 2), row(2, 3)]), ['device-gone', 'stored', 'device-gone']);
    assert.deepEqual(await store.devices(), [1]);
    assert.deepEqual(seqs(await store.page(1, 0, 10, 1_000)), [1, 2]);
    assert.deepEqual(seqs(await store.page(2, 0, 10, 1_000)), []);
  });

  contract('reads see all writes that were done', async store => {
    for (let seq = 1; seq <= 50; seq++) {
      await store.append([row(1, seq)]);
      assert.equal((await store.state(1)).lastSeq, seq);
      assert.deepEqual(seqs(await store.page(1, seq - 1, 10, 1_000)), [seq]);
    }
    await store.remove([{ device: 1, first: 1, last: 49 }]);
    assert.deepEqual(seqs(await store.page(1, 0, 100, 10_000)), [50]);
  });

  contract('more devices than one read gives are all found', async store => {
    const devices = Array.from({ length: 2_500 }, (_, i) => i + 1);
    await store.append(devices.map(device => row(device, 1)));
    assert.deepEqual(await store.devices(), devices);
  });

  contract('stanzas of any bytes and sizes come back as they were', async store => {
    for (const [seq, length] of [0, 1, 255, 65_536, 300_000].entries()) {
      const stanza = Uint8Array.from({ length }, (_, i) => (i * 31 + seq) % 256);
      // A view into a larger buffer, as encoders may give it.
      const view = Buffer.concat([Buffer.alloc(5), stanza, Buffer.alloc(5)]).subarray(5, 5 + length);
      await store.append([{ device: 1, seq: seq + 1, expiresAtMs: 9_999_999_999_999, stanza: view }]);
      const [entry] = await store.page(1, seq, 1, 1);
      assert(Buffer.from(entry!.stanza).equals(stanza));
      assert.equal(entry!.expiresAtMs, 9_999_999_999_999);
    }
  });
}
