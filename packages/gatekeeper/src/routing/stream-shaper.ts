// How fast one stream may speak: two token buckets, over stanzas and over bytes, for everything that comes in (messages,
// IQs, presence, acknowledgements, white space). Faster streams are read more slowly; nothing is refused.
// Knows nothing of sockets or stanzas; time is an argument. Source: threat 12 of docs/threat-model.md.

export type ShaperLimits = {
  /** Stanzas a device may send at once, and per second after that. */
  readonly stanzaBurst: number;
  readonly stanzasPerSecond: number;
  /** Bytes a device may send at once, and per second after that. */
  readonly byteBurst: number;
  readonly bytesPerSecond: number;
};

export const defaultShaperLimits: ShaperLimits = {
  stanzaBurst: 5_000,
  stanzasPerSecond: 100,
  byteBurst: 32 * 1024 * 1024,
  bytesPerSecond: 4 * 1024 * 1024,
};

export const unlimitedShaper: ShaperLimits = {
  stanzaBurst: Number.MAX_SAFE_INTEGER,
  stanzasPerSecond: Number.MAX_SAFE_INTEGER,
  byteBurst: Number.MAX_SAFE_INTEGER,
  bytesPerSecond: Number.MAX_SAFE_INTEGER,
};

/** What an acknowledgement or a question for one costs, in stanzas: a device that receives much sends many. */
export const acknowledgementCost = 0.1;

export class StreamShaper {
  readonly #limits: ShaperLimits;
  #stanzas: number;
  #bytes: number;
  #filledAtMs: number;

  constructor(limits: ShaperLimits, nowMs: number) {
    this.#limits = limits;
    this.#stanzas = limits.stanzaBurst;
    this.#bytes = limits.byteBurst;
    this.#filledAtMs = nowMs;
  }

  takeStanzas(cost: number): void {
    this.#stanzas -= cost;
  }

  takeBytes(count: number): void {
    this.#bytes -= count;
  }

  /** Like new: whoever forgets it changes nothing. */
  isFull(nowMs: number): boolean {
    const { stanzaBurst, byteBurst } = this.#limits;
    this.#fill(nowMs);
    return this.#stanzas >= stanzaBurst && this.#bytes >= byteBurst;
  }

  /** A bucket is overdrawn: ask `waitMs`. */
  get overdrawn(): boolean {
    return this.#stanzas < 0 || this.#bytes < 0;
  }

  /** How long the stream must not be read until both buckets are full enough, in whole milliseconds; 0: not at all. */
  waitMs(nowMs: number): number {
    const { stanzasPerSecond, bytesPerSecond } = this.#limits;
    this.#fill(nowMs);
    if (!this.overdrawn) return 0;
    return Math.ceil(Math.max(-this.#stanzas / stanzasPerSecond, -this.#bytes / bytesPerSecond) * 1_000) + 1;
  }

  #fill(nowMs: number): void {
    const { stanzaBurst, stanzasPerSecond, byteBurst, bytesPerSecond } = this.#limits;
    const seconds = Math.max(0, nowMs - this.#filledAtMs) / 1_000;
    this.#filledAtMs = nowMs;
    this.#stanzas = Math.min(stanzaBurst, this.#stanzas + seconds * stanzasPerSecond);
    this.#bytes = Math.min(byteBurst, this.#bytes + seconds * bytesPerSecond);
  }
}

/** Devices that are gone and whose buckets are remembered; more forget those of the provider that has most, oldest first. */
export const maxKeptShapers = 10_000;

/**
 * The buckets of devices that have gone: who comes again finds its own as it left it, not a full one. A provider with many
 * devices that come and go makes its own be forgotten, not those of others.
 */
export class KeptShapers {
  readonly #limits: ShaperLimits;
  readonly #byProvider = new Map<number, Map<number, StreamShaper>>();
  #size = 0;

  constructor(limits: ShaperLimits) {
    this.#limits = limits;
  }

  /** For this device's session, which has it alone; undefined: nothing is used up. */
  take(provider: number, device: number): StreamShaper | undefined {
    const kept = this.#byProvider.get(provider)?.get(device);
    if (kept !== undefined) this.#forget(provider, device);
    return kept;
  }

  /** A full one. */
  fill(nowMs: number): StreamShaper {
    return new StreamShaper(this.#limits, nowMs);
  }

  /** Its session is over. */
  keep(provider: number, device: number, shaper: StreamShaper, nowMs: number): void {
    if (shaper.isFull(nowMs)) return;
    this.take(provider, device);
    const theirs = this.#byProvider.get(provider) ?? new Map<number, StreamShaper>();
    this.#byProvider.set(provider, theirs.set(device, shaper));
    if (++this.#size <= maxKeptShapers) return;
    let [most] = this.#byProvider;
    for (const each of this.#byProvider) if (each[1].size > most![1].size) most = each;
    const [oldest] = most![1].keys();
    this.#forget(most![0], oldest!);
  }

  #forget(provider: number, device: number): void {
    const theirs = this.#byProvider.get(provider)!;
    theirs.delete(device);
    this.#size--;
    if (theirs.size === 0) this.#byProvider.delete(provider);
  }
}
