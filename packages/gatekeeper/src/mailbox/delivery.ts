// The port by which a stanza comes to a device, wherever the device's stream is. Knows no streams and no storage.
// Local today (`Mailboxes`): with several nodes, another adapter asks the node that holds the claim, and appends by itself
// when it gets no answer (docs/decisions/0055).
import type { Element } from '@drawbridge/wire/element';
import type { Receipt } from './device-mailbox.ts';
import type { BoundReached } from './mailbox-store.ts';

export interface Delivery {
  /**
   * The bound that keeps something of this size from this sender from the device just now, as far as this node has heard lately: tell the
   * sender before anything is taken. Undefined is not a promise: storage decides, and the receipt tells.
   */
  refusal(device: number, sender: string, sizeBytes: number): BoundReached | undefined;
  /**
   * Takes one stanza for one device. The short volatile step is the stream owner's: the receipt is settled when the device
   * has acknowledged it or it is on disk, and refused when neither will be. Order per sender and device is the order of
   * calls. `keep` false: for a live device only, and settled at once. The receipt counts this device already.
   */
  deliver(device: number, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void;
  /**
   * Takes one stanza that its recipient does not want, as for a device that is away: the same bounds, writes and answers.
   * It is removed as soon as its sender has been answered, and no stream gets it.
   */
  drop(device: number, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void;
}
