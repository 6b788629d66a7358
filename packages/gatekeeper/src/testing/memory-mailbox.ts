// A mailbox store in memory, for tests of what stands on the port. By itself it answers at once; in steps, a test decides
// when each operation takes effect and when its outcome is told, as two storage threads would, only worse.
// Passes the port's contract (mailbox-contract.ts).
import assert from 'node:assert/strict';
import type { AppendOutcome, MailboxRow, MailboxStore, StoredEntry } from '../mailbox/mailbox-store.ts';

type Operation = {
  readonly name: string;
  readonly isWrite: boolean;
  readonly run: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  outcome: { readonly value: unknown } | { readonly error: Error } | undefined;
};

export class MemoryMailboxStore implements MailboxStore {
  /** Device to sequence to row; what survives a crash. */
  readonly rows: Map<number, Map<number, MailboxRow>>;
  readonly #gone = new Set<number>();
  #inSteps: boolean;
  #operations: Operation[] = [];

  constructor(rows = new Map<number, Map<number, MailboxRow>>(), inSteps = false) {
    this.rows = rows;
    this.#inSteps = inSteps;
  }

  /** As when the device is removed: its rows go, and none is written any more. */
  removeDevice(device: number): void {
    this.#gone.add(device);
    this.rows.delete(device);
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

  append(rows: readonly MailboxRow[]): Promise<readonly AppendOutcome[]> {
    return this.#add('append', true, () => {
      for (const { device, seq } of rows) {
        if (this.rows.get(device)?.has(seq) === true) throw new Error('a row with this sequence is there');
      }
      assert.equal(new Set(rows.map(row => `${row.device} ${row.seq}`)).size, rows.length);
      return rows.map((row): AppendOutcome => {
        if (this.#gone.has(row.device)) return 'device-gone';
        if (!this.rows.has(row.device)) this.rows.set(row.device, new Map());
        this.rows.get(row.device)!.set(row.seq, { ...row, stanza: Uint8Array.from(row.stanza) });
        return 'stored';
      });
    });
  }

  remove(ranges: readonly { device: number; first: number; last: number }[]): Promise<void> {
    return this.#add('remove', true, () => {
      for (const { device, first, last } of ranges) {
        for (const { seq } of this.#sorted(device)) if (seq >= first && seq <= last) this.#delete(device, seq);
      }
    });
  }

  page(device: number, afterSeq: number, maxCount: number, maxBytes: number): Promise<readonly StoredEntry[]> {
    return this.#add('page', false, () => {
      const page: StoredEntry[] = [];
      let bytes = 0;
      for (const { seq, expiresAtMs, stanza } of this.#sorted(device)) {
        if (seq <= afterSeq) continue;
        bytes += stanza.length;
        if (page.length >= maxCount || (page.length > 0 && bytes > maxBytes)) break;
        page.push({ seq, expiresAtMs, stanza });
      }
      return page;
    });
  }

  state(device: number): Promise<{ count: number; bytes: number; lastSeq: number }> {
    return this.#add('state', false, () => {
      const rows = this.#sorted(device);
      const bytes = rows.reduce((sum, row) => sum + row.stanza.length, 0);
      return { count: rows.length, bytes, lastSeq: rows.at(-1)?.seq ?? 0 };
    });
  }

  devices(): Promise<readonly number[]> {
    return this.#add('devices', false, () => [...this.rows.keys()].toSorted((a, b) => a - b));
  }

  expire(device: number, nowMs: number, limit: number): Promise<{ count: number; bytes: number }> {
    return this.#add('expire', true, () => {
      const gone = { count: 0, bytes: 0 };
      for (const { seq, expiresAtMs, stanza } of this.#sorted(device)) {
        if (expiresAtMs > nowMs || gone.count >= limit) break;
        gone.count++;
        gone.bytes += stanza.length;
        this.#delete(device, seq);
      }
      return gone;
    });
  }

  #sorted(device: number): MailboxRow[] {
    return [...(this.rows.get(device)?.values() ?? [])].toSorted((a, b) => a.seq - b.seq);
  }

  #delete(device: number, seq: number): void {
    const rows = this.rows.get(device);
    rows?.delete(seq);
    if (rows?.size === 0) this.rows.delete(device);
  }

  #add<T>(name: string, isWrite: boolean, run: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#operations.push({
        name,
        isWrite,
        run,
        resolve,
        reject,
        outcome: undefined,
      });
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
