// What every mailbox store must do, as tests. Knows nothing of any store.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AppendOutcome, MailboxBounds, MailboxRow, MailboxStore, StoredEntry } from '../mailbox/mailbox-store.ts';

export type OpenStore = () => Promise<{
  /** Empty; devices 1 to 2,500 are there. 1 and 2 are one person's, 3 is of a person of another provider. */
  readonly store: MailboxStore;
  readonly removeDevice: (device: number) => Promise<void>;
  /** Of a person with this device alone, who has opted in to nobody. */
  readonly withdraw: (device: number) => Promise<void>;
  readonly close: () => Promise<void>;
}>;

/** Nothing is ever full. */
export const unbounded: MailboxBounds = {
  maxEntries: 1e9,
  maxBytes: 1e12,
  maxEntriesPerSender: 1e9,
  maxBytesPerSender: 1e12,
  maxBytesPerPerson: 1e12,
  maxBytesPerProvider: 1e12,
};

/** Rows of different numbers differ. */
export function mailboxRow(device: number, number: number, length = 10, more: Partial<MailboxRow> = {}): MailboxRow {
  const stanza = new Uint8Array(length).fill(number % 251);
  if (length >= 8) new DataView(stanza.buffer).setUint32(4, number);
  return {
    device,
    epoch: undefined,
    sender: 'anna',
    acceptedAtMs: 0,
    expiresAtMs: 1_000,
    silent: false,
    stanza,
    ...more,
  };
}
const row = mailboxRow;

const kinds = (outcomes: readonly AppendOutcome[]): string[] => outcomes.map(outcome => outcome.kind);
const stored = (...seqs: number[]): AppendOutcome[] => seqs.map(seq => ({ kind: 'stored', seq }));

/** The port with the words that most cases need. */
class Case {
  readonly store: MailboxStore;
  readonly removeDevice: (device: number) => Promise<void>;
  readonly withdraw: (device: number) => Promise<void>;

  constructor({ store, removeDevice, withdraw }: Omit<Awaited<ReturnType<OpenStore>>, 'close'>) {
    this.store = store;
    this.removeDevice = removeDevice;
    this.withdraw = withdraw;
  }

  async append(rows: readonly MailboxRow[], bounds: Partial<MailboxBounds> = {}): Promise<readonly AppendOutcome[]> {
    const outcomes = await this.store.append(rows, { ...unbounded, ...bounds });
    return outcomes.map(outcome => {
      const { owner: _, ...rest } = { owner: undefined, ...outcome };
      return rest;
    });
  }

  async claim(device: number): Promise<{ epoch: number; lastSeq: number; count: number; bytes: number }> {
    const claim = await this.store.claim(device, 'node');
    assert(claim.kind === 'claimed');
    const { epoch, lastSeq, count, bytes } = claim;
    return { epoch, lastSeq, count, bytes };
  }

  /** Under a claim made for it. */
  async page(device: number, afterSeq = 0, maxCount = 10, maxBytes = 1e6): Promise<readonly StoredEntry[]> {
    const { epoch } = await this.claim(device);
    const page = await this.store.page(device, epoch, afterSeq, maxCount, maxBytes);
    assert(page !== 'fenced');
    return page.map(entry => {
      assert(entry.stanza !== undefined, 'nothing is damaged');
      return entry;
    });
  }

  /** Removes what expired, as a sweep does; gives device and number of each. */
  async expire(nowMs: number, maxCount = 100): Promise<[number, number][]> {
    const { entries } = await this.store.expired(nowMs, undefined, maxCount, 1e6);
    await this.store.remove(entries.map(({ device, seq }) => ({ device, epoch: undefined, first: seq, last: seq })));
    return entries.map(({ device, seq }) => [device, seq]);
  }

  async seqs(device: number, afterSeq = 0, maxCount = 10, maxBytes = 1e6): Promise<number[]> {
    return (await this.page(device, afterSeq, maxCount, maxBytes)).map(entry => entry.seq);
  }

  async remove(device: number, first: number, last: number, epoch?: number): Promise<void> {
    await this.store.remove([{ device, epoch, first, last }]);
  }
}

type Contract = (what: string, check: (its: Case) => Promise<void>) => void;

/** Runs the port's contract against stores that `open` makes, each of them empty. */
export function testMailboxStore(name: string, open: OpenStore): void {
  const contract: Contract = (what, check) => {
    void test(`${name}: ${what}`, async () => {
      const opened = await open();
      try {
        await check(new Case(opened));
      } finally {
        await opened.close();
      }
    });
  };
  testRows(contract);
  testOutcomes(contract);
  testBounds(contract);
  testClaims(contract);
  testOrphans(contract);
  testLoud(contract);
}

function testRows(contract: Contract): void {
  contract('an empty store has nothing', async its => {
    assert.deepEqual(await its.store.devices(), []);
    assert.deepEqual(await its.claim(7), { epoch: 1, lastSeq: 0, count: 0, bytes: 0 });
    assert.deepEqual(await its.page(7), []);
    assert.deepEqual(await its.expire(1e15), []);
    assert.equal(await its.store.orphaned(10, 1e6), undefined);
    await its.remove(7, 0, 1e15);
  });

  contract('what was appended is numbered from 1 and read back, per device, in its order', async its => {
    assert.deepEqual(await its.append([row(2, 1, 20), row(1, 2), row(2, 3, 30)]), stored(1, 1, 2));
    assert.deepEqual(await its.append([row(2, 4, 40, { expiresAtMs: 2_000 })]), stored(3));
    assert.deepEqual(
      (await its.page(2)).map(({ seq, expiresAtMs, stanza }) => [seq, expiresAtMs, stanza.length, stanza[0]]),
      [
        [1, 1_000, 20, 1],
        [2, 1_000, 30, 3],
        [3, 2_000, 40, 4],
      ],
    );
    assert.deepEqual(await its.store.devices(), [1, 2]);
    assert.deepEqual(await its.claim(2), { epoch: 2, lastSeq: 3, count: 3, bytes: 90 });
    assert.deepEqual(await its.claim(1), { epoch: 1, lastSeq: 1, count: 1, bytes: 10 });
  });

  contract('a number is never given twice, also when the mailbox was emptied', async its => {
    await its.append([row(1, 1), row(1, 2)]);
    await its.remove(1, 1, 2);
    assert.deepEqual(await its.store.devices(), []);
    assert.deepEqual(await its.claim(1), { epoch: 1, lastSeq: 2, count: 0, bytes: 0 });
    assert.deepEqual(await its.append([row(1, 3)]), stored(3));
  });

  contract('a page begins after a sequence and ends at a count or, beyond the first entry, a size', async its => {
    await its.append([1, 2, 3, 4, 5].map(number => row(1, number, 100)));
    assert.deepEqual(await its.seqs(1, 0, 2, 1e6), [1, 2]);
    assert.deepEqual(await its.seqs(1, 2, 2, 1e6), [3, 4]);
    assert.deepEqual(await its.seqs(1, 4, 2, 1e6), [5]);
    assert.deepEqual(await its.seqs(1, 5, 2, 1e6), []);
    assert.deepEqual(await its.seqs(1, 0, 10, 250), [1, 2]);
    assert.deepEqual(await its.seqs(1, 0, 10, 200), [1, 2]);
    assert.deepEqual(await its.seqs(1, 2, 10, 1), [3], 'one entry, however large, or nothing would ever move');
  });

  contract('ranges are removed with their ends, of their device alone', async its => {
    for (const device of [1, 2]) await its.append([1, 2, 3, 4, 5].map(number => row(device, number)));
    await its.store.remove([
      { device: 1, epoch: undefined, first: 2, last: 3 },
      { device: 1, epoch: undefined, first: 5, last: 9 },
    ]);
    assert.deepEqual(await its.seqs(1), [1, 4]);
    assert.deepEqual(await its.seqs(2), [1, 2, 3, 4, 5]);
    await its.remove(1, 1, 9);
    assert.deepEqual(await its.store.devices(), [2]);
    // Again: nothing is there, and that is not an error.
    await its.remove(1, 1, 9);
    assert.equal((await its.claim(1)).count, 0);
  });

  contract('what has expired is found, oldest first, in pieces, and its time of arrival is told', async its => {
    const times = [100, 300, 200, 100];
    await its.append(times.map((expiresAtMs, i) => row(1, i, 10, { expiresAtMs, acceptedAtMs: expiresAtMs - 90 })));
    await its.append([row(2, 1, 10, { expiresAtMs: 100 })]);
    assert.deepEqual(await its.store.expired(99, undefined, 10, 1e6), { entries: [], next: undefined });
    const pieces: [number, number][][] = [];
    let { entries, next } = await its.store.expired(200, undefined, 2, 1e6);
    pieces.push(entries.map(({ device, seq }) => [device, seq]));
    ({ entries, next } = await its.store.expired(200, next, 2, 1e6));
    pieces.push(entries.map(({ device, seq }) => [device, seq]));
    assert.deepEqual(pieces, [
      [
        [1, 1],
        [1, 4],
      ],
      [
        [2, 1],
        [1, 3],
      ],
    ]);
    if (next !== undefined) assert.deepEqual((await its.store.expired(200, next, 2, 1e6)).entries, []);
    const one = await its.store.expired(200, undefined, 10, 15);
    assert.deepEqual(
      one.entries.map(({ seq, acceptedAtMs, expiresAtMs, stanza }) => [seq, acceptedAtMs, expiresAtMs, stanza.length]),
      [[1, 10, 100, 10]],
      'a piece ends at a size',
    );
    assert.equal((await its.expire(200)).length, 4);
    assert.deepEqual(await its.seqs(1), [2]);
    assert.deepEqual(await its.seqs(2), []);
    assert.deepEqual(await its.claim(1), { epoch: 2, lastSeq: 4, count: 1, bytes: 10 });
  });

  contract('reads see all writes that were done', async its => {
    for (let number = 1; number <= 50; number++) {
      await its.append([row(1, number)]);
      assert.deepEqual(await its.seqs(1, number - 1), [number]);
    }
    await its.remove(1, 1, 49);
    assert.deepEqual(await its.seqs(1), [50]);
  });

  contract('more devices than one read gives are all found', async its => {
    const devices = Array.from({ length: 2_500 }, (_, i) => i + 1);
    await its.append(devices.map(device => row(device, 1)));
    assert.deepEqual(await its.store.devices(), devices);
  });

  contract('stanzas of any bytes and sizes come back as they were', async its => {
    for (const [seq, length] of [0, 1, 255, 65_536, 300_000].entries()) {
      const stanza = Uint8Array.from({ length }, (_, i) => (i * 31 + seq) % 256);
      // A view into a larger buffer, as encoders may give it.
      const view = Buffer.concat([Buffer.alloc(5), stanza, Buffer.alloc(5)]).subarray(5, 5 + length);
      await its.append([row(1, 0, 0, { expiresAtMs: 9_999_999_999_999, stanza: view })]);
      const [entry] = await its.page(1, seq, 1, 1);
      assert(Buffer.from(entry!.stanza).equals(stanza));
      assert.equal(entry!.expiresAtMs, 9_999_999_999_999);
    }
  });
}

function testOutcomes(contract: Contract): void {
  contract('a repeat has the number of what waits, in one call or another, under any claim', async its => {
    assert.deepEqual(await its.append([row(1, 1), row(1, 2), row(1, 1)]), [
      ...stored(1, 2),
      { kind: 'duplicate', seq: 1 },
    ]);
    const { epoch } = await its.claim(1);
    const again = await its.append([row(1, 2, 10, { epoch }), row(1, 3, 10, { epoch }), row(2, 2)]);
    assert.deepEqual(again, [{ kind: 'duplicate', seq: 2 }, ...stored(3, 1)]);
    assert.deepEqual(await its.seqs(1), [1, 2, 3]);
    await its.remove(1, 2, 2);
    assert.deepEqual(await its.append([row(1, 2)]), stored(4), 'what is gone is not remembered');
  });

  contract('a device that is gone keeps nothing, and each row has its outcome', async its => {
    assert.deepEqual(kinds(await its.append([row(1, 1), row(2, 1)])), ['stored', 'stored']);
    await its.removeDevice(2);
    assert.deepEqual(kinds(await its.append([row(2, 2), row(1, 2), row(2, 3)])), [
      'device-gone',
      'stored',
      'device-gone',
    ]);
    assert.deepEqual(await its.store.devices(), [1]);
    assert.deepEqual(await its.seqs(1), [1, 2]);
    assert.deepEqual({ ...(await its.store.claim(2, 'node')) }, { kind: 'device-gone' });
    await its.store.release(2, 1);
    await its.remove(2, 0, 9);
  });
}

function testBounds(contract: Contract): void {
  contract('a mailbox is full by entries and by bytes, and what was refused left no trace', async its => {
    const three = { maxEntries: 3 };
    assert.deepEqual(
      kinds(
        await its.append(
          [1, 2, 3, 4].map(number => row(1, number)),
          three,
        ),
      ),
      ['stored', 'stored', 'stored', 'full'],
    );
    assert.deepEqual(kinds(await its.append([row(1, 3), row(1, 5), row(2, 5)], three)), [
      'duplicate',
      'full',
      'stored',
    ]);
    await its.remove(1, 2, 2);
    assert.deepEqual(await its.append([row(1, 6), row(1, 7)], three), [...stored(4), { kind: 'full' }]);
    assert.deepEqual(await its.seqs(1), [1, 3, 4]);

    const bytes = { maxBytes: 100 };
    assert.deepEqual(kinds(await its.append([row(4, 1, 60), row(4, 2, 41), row(4, 3, 40)], bytes)), [
      'stored',
      'full',
      'stored',
    ]);
    await its.remove(4, 1, 1);
    assert.deepEqual(kinds(await its.append([row(4, 4, 60), row(4, 5, 8)], bytes)), ['stored', 'full']);
  });

  contract(
    "a sender's share is its own, by entries and by bytes, and has room again when something went",
    async its => {
      const share = { maxEntriesPerSender: 2, maxBytesPerSender: 100 };
      const from = (sender: string | undefined, number: number, length = 10): MailboxRow =>
        row(1, number, length, { sender });
      const outcomes = await its.append(
        [from('a', 1), from('a', 2), from('a', 3), from('b', 4), from(undefined, 5), from(undefined, 6)],
        share,
      );
      assert.deepEqual(kinds(outcomes), ['stored', 'stored', 'share-full', 'stored', 'stored', 'stored']);
      assert.deepEqual(kinds(await its.append([from('b', 7, 91), from('b', 8, 90)], share)), ['share-full', 'stored']);
      await its.remove(1, 1, 1);
      assert.deepEqual(kinds(await its.append([from('a', 9), from('a', 10)], share)), ['stored', 'share-full']);
      assert.equal((await its.expire(1_000)).length, 6);
      assert.deepEqual(kinds(await its.append([from('a', 11), from('a', 12)], share)), ['stored', 'stored']);
      assert.deepEqual(kinds(await its.append([row(2, 1, 10, { sender: 'a' })], share)), ['stored'], 'per mailbox');
    },
  );

  contract("a person's devices have a bound together, and so have a provider's people", async its => {
    const person = { maxBytesPerPerson: 100 };
    assert.deepEqual(kinds(await its.append([row(1, 1, 60), row(2, 2, 50), row(2, 3, 40), row(4, 4, 90)], person)), [
      'stored',
      'person-full',
      'stored',
      'stored',
    ]);
    await its.remove(1, 1, 1);
    assert.deepEqual(kinds(await its.append([row(2, 5, 60), row(1, 6, 8)], person)), ['stored', 'person-full']);
    await its.removeDevice(2);
    assert.deepEqual(kinds(await its.append([row(1, 7, 100)], person)), ['stored'], 'a device that goes makes room');

    const provider = { maxBytesPerProvider: 200 };
    assert.deepEqual(kinds(await its.append([row(5, 1, 11), row(5, 2, 10), row(3, 3, 200)], provider)), [
      'provider-full',
      'stored',
      'stored',
    ]);
    await its.remove(4, 0, 99);
    assert.deepEqual(kinds(await its.append([row(5, 4, 90), row(3, 5, 8)], provider)), ['stored', 'provider-full']);
  });
}

function testClaims(contract: Contract): void {
  contract('each claim has a higher epoch, and gives the head as it is then', async its => {
    const first = await its.claim(1);
    await its.append([row(1, 1), row(1, 2, 20)]);
    const second = await its.claim(1);
    assert(second.epoch > first.epoch);
    assert.deepEqual(second, { epoch: second.epoch, lastSeq: 2, count: 2, bytes: 30 });
    await its.store.release(1, second.epoch);
    assert((await its.claim(1)).epoch > second.epoch, 'also after a release');
  });

  contract(
    'an older stream writes nothing, reads nothing and acknowledges nothing; anybody may leave something',
    async its => {
      const old = await its.claim(1);
      assert.deepEqual(kinds(await its.append([row(1, 1, 10, { epoch: old.epoch })])), ['stored']);
      const now = await its.claim(1);
      const outcomes = await its.append([
        row(1, 2, 10, { epoch: old.epoch }),
        row(1, 1, 10, { epoch: old.epoch }),
        row(1, 3),
        row(1, 4, 10, { epoch: now.epoch }),
        row(2, 5),
      ]);
      assert.deepEqual(outcomes, [{ kind: 'fenced' }, { kind: 'fenced' }, ...stored(2, 3, 1)]);
      assert.equal(await its.store.page(1, old.epoch, 0, 10, 1e6), 'fenced');
      await its.remove(1, 0, 99, old.epoch);
      const page = await its.store.page(1, now.epoch, 0, 10, 1e6);
      assert(page !== 'fenced');
      assert.deepEqual(
        page.map(entry => entry.seq),
        [1, 2, 3],
      );
      await its.remove(1, 1, 2, now.epoch);
      assert.deepEqual(await its.seqs(1), [3]);
    },
  );

  contract('whose stream has the device is told with what was stored there', async its => {
    const outcome = async (number: number): Promise<AppendOutcome> => {
      const [first] = await its.store.append([row(1, number)], unbounded);
      return { ...first! };
    };
    assert.deepEqual(await outcome(1), { kind: 'stored', seq: 1 });
    const { epoch } = await its.claim(1);
    assert.deepEqual(await outcome(2), { kind: 'stored', seq: 2, owner: 'node' });
    assert.deepEqual(await outcome(2), { kind: 'duplicate', seq: 2, owner: 'node' });
    await its.store.claim(1, 'other');
    await its.store.release(1, epoch);
    assert.deepEqual(await outcome(3), { kind: 'stored', seq: 3, owner: 'other' });
    await its.store.release(1, epoch + 1);
    assert.deepEqual(await outcome(4), { kind: 'stored', seq: 4 });
  });

  contract("a late clean-up of an old claim leaves the new one's alone", async its => {
    const old = await its.claim(1);
    const now = await its.claim(1);
    await its.store.release(1, old.epoch);
    await its.store.release(1, old.epoch);
    assert.deepEqual(kinds(await its.append([row(1, 1, 10, { epoch: now.epoch })])), ['stored']);
    assert.notEqual(await its.store.page(1, now.epoch, 0, 10, 1e6), 'fenced');
    await its.remove(1, 1, 1, now.epoch);
    assert.deepEqual(await its.store.devices(), []);
  });
}

function testOrphans(contract: Contract): void {
  contract('what a removed device leaves behind is out of reach at once, and leaves in pieces', async its => {
    await its.append([1, 2, 3, 4, 5].map(number => row(2, number, 100)));
    await its.append([row(1, 1)]);
    await its.removeDevice(2);
    assert.deepEqual(await its.store.devices(), [1]);
    assert.deepEqual(
      kinds(await its.append([row(1, 2, 90)], { maxBytesPerPerson: 100 })),
      ['stored'],
      'counts at once',
    );
    const pieces: number[][] = [];
    for (;;) {
      const mail = await its.store.orphaned(2, 1e6);
      if (mail === undefined) break;
      assert.deepEqual([mail.device, mail.person], [2, undefined], 'nobody is told: the person has it elsewhere');
      pieces.push(mail.entries.map(entry => entry.seq));
      await its.store.removeOrphaned(2, mail.entries.at(-1)?.seq ?? 0, 1);
      assert(pieces.length < 10);
    }
    assert.deepEqual(
      pieces.filter(piece => piece.length > 0),
      [[1, 2], [3, 4], [5]],
    );
    await its.store.removeOrphaned(2, 0, 1);
    assert.deepEqual(await its.seqs(1), [1, 2]);
  });

  contract('with mail of a person who withdrew it is known who might reach them', async its => {
    await its.append([row(4, 1), row(4, 2, 10, { sender: 'bert' }), row(5, 3)]);
    await its.withdraw(4);
    await its.withdraw(6);
    const mail = await its.store.orphaned(10, 1e6);
    assert.deepEqual([mail?.device, mail?.person], [4, { provider: 1, optIns: [] }]);
    assert.deepEqual(
      mail?.entries.map(({ seq, acceptedAtMs, expiresAtMs, stanza }) => [seq, acceptedAtMs, expiresAtMs, stanza[0]]),
      [
        [1, 0, 1_000, 1],
        [2, 0, 1_000, 2],
      ],
    );
    assert.equal((await its.store.orphaned(10, 10))?.entries.length, 1, 'a piece ends at a size');
    for (let tries = 0; (await its.store.orphaned(10, 1e6)) !== undefined; tries++) {
      await its.store.removeOrphaned(4, tries === 0 ? 2 : 0, 1);
      assert(tries < 10);
    }
    assert.deepEqual(await its.seqs(5), [1]);
  });
}

function testLoud(contract: Contract): void {
  contract('silent entries are told from others, as they come and go', async its => {
    assert.equal(await its.store.hasLoud(1), false);
    await its.append([row(1, 1, 10, { silent: true }), row(1, 2, 10, { silent: true })]);
    assert.equal(await its.store.hasLoud(1), false);
    const asked = [its.append([row(1, 3)]), its.store.hasLoud(1)] as const;
    assert.equal(await asked[1], true, 'it sees what was appended before');
    await its.remove(1, 1, 2);
    assert.equal(await its.store.hasLoud(1), true);
    await its.remove(1, 3, 3);
    assert.equal(await its.store.hasLoud(1), false);
  });

  contract("a dead node's claims end, and whose mail it could not have them woken for is told once", async its => {
    for (const device of [1, 3, 4, 5, 6]) await its.store.claim(device, 'dead');
    await its.store.claim(6, 'here');
    await its.append([row(1, 1), row(3, 2, 10, { silent: true }), row(5, 3), row(6, 4), row(7, 5)]);
    const released = await its.claim(5);
    await its.store.release(5, released.epoch);
    assert.deepEqual(await its.store.endOtherClaims('here'), ['person 1']);
    assert.deepEqual(await its.store.endOtherClaims('here'), []);
    assert((await its.claim(1)).epoch > 1, 'an epoch is never given twice');
  });
}
