// A mailbox store in memory, for tests of what stands on the port. By itself it answers at once; in steps, a test decides
// when each operation takes effect and when its outcome is told, as two storage threads would, only worse.
// Passes the port's contract (mailbox-contract.ts). Counts nothing: it looks at the rows each time.
import type {
  AppendOutcome,
  BoundReached,
  Claim,
  ExpiredMail,
  ExpiryPlace,
  MailboxBounds,
  MailboxRow,
  MailboxStore,
  OrphanedMail,
  OrphanedPerson,
  RemovedRange,
  StoredEntry,
} from '../mailbox/mailbox-store.ts';

type Operation = {
  readonly name: string;
  readonly isWrite: boolean;
  readonly run: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  outcome: { readonly value: unknown } | { readonly error: Error } | undefined;
};

export type MemoryRow = MailboxRow & { readonly seq: number };

/** What survives a crash, and what several owners share. Devices 1 and 2 are one person's, device 3 is another provider's. */
export class MemoryDisk {
  /** Device to sequence to row. */
  readonly rows = new Map<number, Map<number, MemoryRow>>();
  readonly heads = new Map<number, { lastSeq: number; epoch: number; node: string | undefined }>();
  readonly gone = new Set<number>();
  /** Mailboxes whose device is gone. */
  readonly orphans = new Map<number, { readonly person: OrphanedPerson | undefined; readonly rows: MemoryRow[] }>();

  head(device: number): { lastSeq: number; epoch: number; node: string | undefined } {
    let head = this.heads.get(device);
    if (head === undefined) this.heads.set(device, (head = { lastSeq: 0, epoch: 0, node: undefined }));
    return head;
  }

  /** As when the device is removed, with its person when `person` says so: its rows are out of reach, and none is written. */
  removeDevice(device: number, person?: OrphanedPerson): void {
    const rows = this.sorted(device);
    if (rows.length > 0) this.orphans.set(device, { person, rows });
    this.gone.add(device);
    this.rows.delete(device);
  }

  sorted(device: number): MemoryRow[] {
    return [...(this.rows.get(device)?.values() ?? [])].toSorted((a, b) => a.seq - b.seq);
  }

  delete(device: number, seq: number): void {
    const rows = this.rows.get(device);
    rows?.delete(seq);
    if (rows?.size === 0) this.rows.delete(device);
  }
}

const ownerOf = ({ node }: { readonly node: string | undefined }): { readonly owner?: string } =>
  node === undefined ? {} : { owner: node };
const personOf = (device: number): number => (device === 2 ? 1 : device);
const providerOf = (device: number): number => (device === 3 ? 2 : 1);
const bytesOf = (rows: readonly MemoryRow[]): number => rows.reduce((sum, row) => sum + row.stanza.length, 0);

function comparePlaces(a: ExpiryPlace, b: ExpiryPlace): number {
  return a.expiresAtMs - b.expiresAtMs || a.device - b.device || a.seq - b.seq;
}

function firstOf(rows: readonly MemoryRow[], maxCount: number, maxBytes: number): MemoryRow[] {
  const first: MemoryRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    bytes += row.stanza.length;
    if (first.length >= maxCount || (first.length > 0 && bytes > maxBytes)) break;
    first.push(row);
  }
  return first;
}

export class MemoryMailboxStore implements MailboxStore {
  readonly disk: MemoryDisk;
  #inSteps: boolean;
  #operations: Operation[] = [];

  constructor(disk = new MemoryDisk(), inSteps = false) {
    this.disk = disk;
    this.#inSteps = inSteps;
  }

  get rows(): Map<number, Map<number, MemoryRow>> {
    return this.disk.rows;
  }

  /** From now on every operation, also those that wait, happens and answers at once. */
  async runFreely(): Promise<void> {
    this.#inSteps = false;
    while (this.#operations.length > 0) {
      this.step(0, false);
      await Promise.resolve();
    }
  }

  /** What `step` can choose among: writes take effect and answer in their order, reads in any. */
  get possibleSteps(): number {
    return this.#nextSteps().length;
  }

  /** Lets the chosen operation take effect (or fail) or, if it has, tells its outcome. Gives a word for the trace. */
  step(choice: number, fail: boolean): string | undefined {
    const steps = this.#nextSteps();
    const operation = steps[choice % Math.max(1, steps.length)];
    if (operation === undefined) return undefined;
    if (operation.outcome === undefined) {
      operation.outcome = fail ? { error: new Error('storage failed') } : this.#run(operation);
      return `${operation.name} ${fail ? 'fails' : 'takes effect'}`;
    }
    this.#operations.splice(this.#operations.indexOf(operation), 1);
    if ('error' in operation.outcome) operation.reject(operation.outcome.error);
    else operation.resolve(operation.outcome.value as never);
    return `${operation.name} answers`;
  }

  claim(device: number, node: string): Promise<Claim | { kind: 'device-gone' }> {
    return this.#add('claim', true, (): Claim | { kind: 'device-gone' } => {
      if (this.disk.gone.has(device)) return { kind: 'device-gone' };
      const head = this.disk.head(device);
      head.epoch++;
      head.node = node;
      const rows = this.disk.sorted(device);
      return { kind: 'claimed', epoch: head.epoch, lastSeq: head.lastSeq, count: rows.length, bytes: bytesOf(rows) };
    });
  }

  release(device: number, epoch: number): Promise<void> {
    return this.#add('release', true, () => {
      const head = this.disk.head(device);
      if (head.epoch === epoch) head.node = undefined;
    });
  }

  append(rows: readonly MailboxRow[], bounds: MailboxBounds): Promise<readonly AppendOutcome[]> {
    return this.#add('append', true, () => rows.map(row => this.#append(row, bounds)));
  }

  remove(ranges: readonly RemovedRange[]): Promise<readonly number[]> {
    return this.#add('remove', true, (): readonly number[] => {
      for (const { device, epoch, first, last } of ranges) {
        if (epoch !== undefined && epoch !== this.disk.head(device).epoch) continue;
        for (const { seq } of this.disk.sorted(device)) if (seq >= first && seq <= last) this.disk.delete(device, seq);
      }
      return [];
    });
  }

  page(
    device: number,
    epoch: number,
    afterSeq: number,
    maxCount: number,
    maxBytes: number,
  ): Promise<readonly StoredEntry[] | 'fenced'> {
    return this.#add('page', false, () => {
      if (this.disk.head(device).epoch !== epoch) return 'fenced';
      const page: StoredEntry[] = [];
      let bytes = 0;
      for (const { seq, acceptedAtMs, expiresAtMs, stanza } of this.disk.sorted(device)) {
        if (seq <= afterSeq) continue;
        bytes += stanza.length;
        if (page.length >= maxCount || (page.length > 0 && bytes > maxBytes)) break;
        page.push({ seq, acceptedAtMs, expiresAtMs, stanza });
      }
      return page;
    });
  }

  devices(): Promise<readonly number[]> {
    return this.#add('devices', false, () => [...this.rows.keys()].toSorted((a, b) => a - b));
  }

  hasLoud(device: number): Promise<boolean> {
    return this.#add('hasLoud', true, () => this.disk.sorted(device).some(row => !row.silent));
  }

  endOtherClaims(node: string): Promise<readonly string[]> {
    return this.#add('endOtherClaims', true, () => {
      const people = new Set<string>();
      for (const [device, head] of this.disk.heads) {
        if (head.node === undefined || head.node === node || this.disk.gone.has(device)) continue;
        head.node = undefined;
        if (this.disk.sorted(device).some(row => !row.silent)) people.add(`person ${personOf(device)}`);
      }
      return [...people];
    });
  }

  expired(nowMs: number, after: ExpiryPlace | undefined, maxCount: number, maxBytes: number): Promise<ExpiredMail> {
    return this.#add('expired', false, (): ExpiredMail => {
      const due = [...this.rows.values()]
        .flatMap(rows => [...rows.values()])
        .filter(row => row.expiresAtMs <= nowMs && (after === undefined || comparePlaces(row, after) > 0))
        .toSorted(comparePlaces);
      const entries = firstOf(due, maxCount, maxBytes);
      const last = entries.at(-1);
      return { entries, next: entries.length < due.length ? last : undefined };
    });
  }

  orphaned(maxCount: number, maxBytes: number): Promise<OrphanedMail | undefined> {
    return this.#add('orphaned', false, () => {
      for (const [device, { person, rows }] of this.disk.orphans) {
        return { device, person, entries: firstOf(rows, maxCount, maxBytes) };
      }
      return undefined;
    });
  }

  removeOrphaned(device: number, last: number, _limit: number): Promise<void> {
    return this.#add('removeOrphaned', true, () => {
      const orphan = this.disk.orphans.get(device);
      if (last === 0 || orphan === undefined) this.disk.orphans.delete(device);
      else orphan.rows.splice(0, orphan.rows.findLastIndex(row => row.seq <= last) + 1);
    });
  }

  #append(row: MailboxRow, bounds: MailboxBounds): AppendOutcome {
    const { device, epoch, stanza } = row;
    if (this.disk.gone.has(device)) return { kind: 'device-gone' };
    const head = this.disk.head(device);
    if (epoch !== undefined && epoch !== head.epoch) return { kind: 'fenced' };
    const there = this.disk.sorted(device).find(each => Buffer.compare(each.stanza, stanza) === 0);
    if (there !== undefined) return { kind: 'duplicate', seq: there.seq, ...ownerOf(head) };
    const bound = this.#boundReached(row, bounds);
    if (bound !== undefined) return { kind: bound };
    const seq = ++head.lastSeq;
    if (!this.rows.has(device)) this.rows.set(device, new Map());
    this.rows.get(device)!.set(seq, { ...row, seq, stanza: Uint8Array.from(stanza) });
    return { kind: 'stored', seq, ...ownerOf(head) };
  }

  #boundReached({ device, sender, stanza }: MailboxRow, bounds: MailboxBounds): BoundReached | undefined {
    const rows = this.disk.sorted(device);
    if (rows.length >= bounds.maxEntries || bytesOf(rows) + stanza.length > bounds.maxBytes) return 'full';
    const share = rows.filter(row => row.sender === sender);
    const isShareFull =
      share.length >= bounds.maxEntriesPerSender || bytesOf(share) + stanza.length > bounds.maxBytesPerSender;
    if (sender !== undefined && isShareFull) return 'share-full';
    const all = [...this.rows.values()].flatMap(each => [...each.values()]);
    const person = all.filter(row => personOf(row.device) === personOf(device));
    if (bytesOf(person) + stanza.length > bounds.maxBytesPerPerson) return 'person-full';
    const provider = all.filter(row => providerOf(row.device) === providerOf(device));
    return bytesOf(provider) + stanza.length > bounds.maxBytesPerProvider ? 'provider-full' : undefined;
  }

  #add<T>(name: string, isWrite: boolean, run: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#operations.push({ name, isWrite, run, resolve, reject, outcome: undefined });
      if (!this.#inSteps) queueMicrotask(() => void this.runFreely());
    });
  }

  #run({ run }: Operation): { value: unknown } | { error: Error } {
    try {
      return { value: run() };
    } catch (error) {
      return { error: error as Error };
    }
  }

  #nextSteps(): Operation[] {
    const writes = this.#operations.filter(operation => operation.isWrite);
    const reads = this.#operations.filter(operation => !operation.isWrite);
    const answerable = writes[0]?.outcome === undefined ? undefined : writes[0];
    const effective = writes.find(operation => operation.outcome === undefined);
    return [answerable, effective, ...reads].filter(operation => operation !== undefined);
  }
}
