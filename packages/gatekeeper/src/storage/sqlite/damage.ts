// What a damaged page costs: the devices whose rows lie on it, and nobody else. After such an error SQLite's transaction is
// of no use any more, also behind a savepoint: all of it is undone, and done again in parts, each in a transaction of its own.
// Runs in the storage workers. Knows no tables.

/** SQLITE_CORRUPT in all its forms, and reads that the disk refused: IOERR_READ, IOERR_SHORT_READ, IOERR_CORRUPTFS. */
const corrupt = 11;
const unreadable: ReadonlySet<number> = new Set([266, 522, 8_458]);

/** Whether something that lies on the disk can't be read as what it was written as. */
export function isDamage(error: unknown): boolean {
  const code = (error as { errcode?: number }).errcode;
  return code !== undefined && ((code & 0xff) === corrupt || unreadable.has(code));
}

/** A command that can be done in parts: each part's arguments, and one result of the parts'; undefined: damage was met. */
export type Parts<A, R> = {
  readonly split: (args: A) => readonly A[];
  readonly join: (args: A, results: readonly (R | undefined)[]) => R;
};

export type DeviceItem = { readonly device: number };

/** Items of one device belong together, in their order. */
export function itsByDevice<T extends DeviceItem>(items: readonly T[]): T[][] {
  return [...Map.groupBy(items, item => item.device).values()];
}

/** For how long a device of which a page is damaged is left alone: each try costs all others a transaction. */
const leftAloneMs = 60_000;
const maxLeftAlone = 10_000;

/** Devices of which a page is damaged, remembered for a while. */
export class DamagedDevices {
  readonly #untilMs = new Map<number, number>();

  note(device: number, nowMs: number): void {
    this.#untilMs.set(device, nowMs + leftAloneMs);
    if (this.#untilMs.size <= maxLeftAlone) return;
    for (const oldest of this.#untilMs.keys()) {
      this.#untilMs.delete(oldest);
      return;
    }
  }

  has(device: number, nowMs: number): boolean {
    if (this.#untilMs.size === 0) return false;
    const untilMs = this.#untilMs.get(device);
    if (untilMs !== undefined && untilMs <= nowMs) this.#untilMs.delete(device);
    return untilMs !== undefined && untilMs > nowMs;
  }
}
