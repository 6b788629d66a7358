// The mailboxes that are in memory: of devices with a stream here, and of those for which something is on its way to storage.
// Knows nothing of what happens to their entries.
import { type DeviceMailbox, noEntries } from './device-mailbox.ts';

export class Boxes {
  readonly #byDevice = new Map<number, DeviceMailbox>();

  get size(): number {
    return this.#byDevice.size;
  }

  all(): Iterable<DeviceMailbox> {
    return this.#byDevice.values();
  }

  get(device: number): DeviceMailbox | undefined {
    return this.#byDevice.get(device);
  }

  /** That device's, made when it isn't there. */
  ofDevice(device: number): DeviceMailbox {
    const known = this.#byDevice.get(device) ?? newBox(device, false);
    this.#byDevice.set(device, known);
    return known;
  }

  forget(device: number): void {
    this.#byDevice.delete(device);
  }

  /** A mailbox keeps its place while something is on its way to storage: its order hangs on it. */
  forgetWhenIdle(box: DeviceMailbox): void {
    const isWaiting = box.claiming > 0 || box.writing > 0 || (box.removed?.size ?? 0) > 0;
    if (box.live === undefined && !isWaiting && this.#byDevice.get(box.row) === box) this.#byDevice.delete(box.row);
  }
}

/** Of one entry that nobody is to have; it is in no list. */
export function boxApart(device: number): DeviceMailbox {
  return newBox(device, true);
}

function newBox(device: number, isApart: boolean): DeviceMailbox {
  return {
    row: device,
    lastSeq: 0,
    live: undefined,
    epoch: undefined,
    claiming: 0,
    writing: 0,
    inFlight: 0,
    inFlightEpoch: undefined,
    held: undefined,
    volatile: noEntries,
    watched: false,
    removed: undefined,
    discarded: false,
    isApart,
  };
}
