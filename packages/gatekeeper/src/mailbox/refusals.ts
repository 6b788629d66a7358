// Bounds that storage said were reached, believed for a moment, so that the next message of that sender is refused for all
// of its devices, before any of them has it. A memory, not a count: storage decides. Knows no storage.
import type { BoundReached } from './mailbox-store.ts';

/** Devices whose refusals are remembered, and senders of each: the oldest is forgotten for another. */
const maxDevices = 10_000;
const maxSenders = 1_000;
/** Room may come without this node's doing: after this storage is asked again. */
const believeMs = 5_000;

type Refusal = { readonly because: BoundReached; readonly sizeBytes: number; readonly untilMs: number };
/** Stands for all senders. */
const everybody = '';

export class Refusals {
  readonly #monotonicMs: () => number;
  readonly #byDevice = new Map<number, Map<string, Refusal>>();

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** What had this size found no room. */
  note(device: number, sender: string | undefined, sizeBytes: number, because: BoundReached): void {
    const whose = because === 'share-full' ? sender : everybody;
    if (whose === undefined) return;
    let refusals = this.#byDevice.get(device);
    if (refusals === undefined) this.#byDevice.set(device, (refusals = new Map<string, Refusal>()));
    refusals.set(whose, { because, sizeBytes, untilMs: this.#monotonicMs() + believeMs });
    forgetOldest(refusals, maxSenders);
    forgetOldest(this.#byDevice, maxDevices);
  }

  /** For what has this size: something smaller may still fit. */
  find(device: number, sender: string, sizeBytes: number): BoundReached | undefined {
    const refusals = this.#byDevice.get(device);
    if (refusals === undefined) return undefined;
    const nowMs = this.#monotonicMs();
    for (const whose of [everybody, sender]) {
      const refusal = refusals.get(whose);
      if (refusal === undefined) continue;
      if (refusal.untilMs <= nowMs) refusals.delete(whose);
      else if (sizeBytes >= refusal.sizeBytes) return refusal.because;
    }
    if (refusals.size === 0) this.#byDevice.delete(device);
    return undefined;
  }

  /** Something of this device's mailbox is gone: there may be room again. */
  forget(device: number): void {
    this.#byDevice.delete(device);
  }
}

function forgetOldest(map: Map<unknown, unknown>, max: number): void {
  if (map.size <= max) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
