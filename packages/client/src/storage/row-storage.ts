// The storage port: where an app keeps a client's rows when it isn't the SDK's own SQLite file. Every row is sealed before it
// comes here, and opaque.
// Knows nothing of keys, tables or messages. `storage-contract.ts` tries an adapter; `memory-storage.ts` is the smallest one.
// Source: docs/decisions/0074-an-app-s-storage-takes-sealed-rows.md; docs/protocol/09-content.md section 9.8.

export type SealedRow = {
  /** 3 to 64 characters of `A-Z a-z 0-9 - _ .`; upper and lower case differ. */
  readonly id: string;
  /** At most `storageLimits.maxRowBytes`. The bytes belong to whoever gets them. */
  readonly value: Uint8Array;
};

export type RowChange = {
  /** New, or in place of the row with that id. */
  readonly put: readonly SealedRow[];
  /** Ids; one that isn't there is no fault. None is also in `put`. */
  readonly remove: readonly string[];
};

/**
 * One client's rows. The SDK calls one method at a time: `load` once, then `write`, at last `close`. What rejects ends the client
 * (`store-failed`): nothing that rests on it was sent, and the next opening finds what was written before.
 *
 * The app sees to it that only one client at a time has the rows, and that removed ones are gone from the medium as far as it
 * can: a ratchet key that lies in a free page or a backup opens old messages for whoever finds it and the client's key.
 */
export interface RowStorage {
  /** Every row that is there, in any order. */
  load(): AsyncIterable<SealedRow>;
  /** All of a change or nothing of it, also after a crash. Fulfilled when it is durable. */
  write(change: RowChange): Promise<void>;
  /** Frees what is held. Nothing follows it. */
  close(): Promise<void>;
}

export const storageLimits = {
  /** A value of the store, its names, and what sealing adds. */
  maxRowBytes: 1_052_672,
} as const;
