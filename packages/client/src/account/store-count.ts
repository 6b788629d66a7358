// Counts this store at the gatekeeper, which keeps the highest count of each device: a folder that finds a higher one than its own
// was restored from a backup, or another copy of it is at work.
// Knows nothing of what follows from that (`restored-store.ts`).
// Source: docs/protocol/06-stanzas.md section 6.4; docs/decisions/0030-a-restored-folder-is-told-by-a-count.md.
import { maxStoreCount } from '@drawbridge/wire/store-count';
import type { Clock } from '../clock.ts';
import { RequestRefused } from '../connection/requests.ts';
import { countStore, type Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { readSetting, writeSetting } from '../store/account-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import type { RestoredStore } from './restored-store.ts';

export const storeCountLimits = {
  /** What changes while a stream is up is counted after this at the latest. */
  batchMs: 300_000,
  /** Ending a stream in order waits for the last count no longer than this. */
  closeMs: 2_000,
} as const;

export type StoreCountContext = {
  readonly store: EncryptedStore;
  readonly request: Request;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
  readonly restored: Pick<RestoredStore, 'note' | 'said'>;
};

export class StoreCount {
  readonly #context: StoreCountContext;
  /** Something has changed since it was counted last. */
  #isChanged = false;
  #isClosed = false;
  #cancel: (() => void) | undefined;
  #work: Promise<boolean> = Promise.resolve(true);

  constructor(context: StoreCountContext) {
    this.#context = context;
  }

  /** False when it can't be told now: the stream is gone, or the gatekeeper does not answer. One of 0.1.0 does not count. */
  count(): Promise<boolean> {
    this.#work = this.#work.then(async () => {
      this.#isChanged = false;
      this.#cancel?.();
      this.#cancel = undefined;
      try {
        await this.#count();
        return true;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (error instanceof RequestRefused && error.stanzaError.condition === 'service-unavailable') return true;
        this.note();
        if (error.code !== 'not-connected' && error.code !== 'closed') this.#context.emit({ kind: 'problem', error });
        return false;
      }
    });
    return this.#work;
  }

  /** Sessions have changed: an older copy would not know. */
  note(): void {
    if (this.#isClosed) return;
    this.#isChanged = true;
    this.#cancel ??= this.#context.clock.after(storeCountLimits.batchMs, () => void this.count());
  }

  /** Counts what is not counted yet, as far as that is done soon. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    if (!this.#isChanged) return;
    const late = Promise.withResolvers<void>();
    const cancel = this.#context.clock.after(storeCountLimits.closeMs, late.resolve);
    await Promise.race([this.count(), late.promise]);
    cancel();
  }

  async #count(): Promise<void> {
    const { store, request, restored } = this.#context;
    // On disk before it is told: no later start of this store takes its own count for that of another.
    const mine = transact(store, tx => {
      const last = readCount(tx);
      writeCount(tx, last + 1);
      return last;
    });
    const before = await countStore(request, Math.min(mine + 1, maxStoreCount));
    if (before <= mine) return;
    const lines = transact(store, tx => {
      writeCount(tx, before + 1);
      return restored.note(tx);
    });
    restored.said(lines);
    await countStore(request, Math.min(before + 1, maxStoreCount));
  }
}

function readCount(tx: Transaction): number {
  return Number(readSetting(tx, 'store-count') ?? 0);
}

function writeCount(tx: Transaction, count: number): void {
  writeSetting(tx, 'store-count', String(Math.min(count, maxStoreCount)));
}
