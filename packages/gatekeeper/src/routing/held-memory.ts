// What all streams of this process hold of memory on behalf of their peers: stanzas that were handed out and not
// acknowledged, and senders' messages that are not settled. One sum, so that many modest peers can't do together what
// one may not. Knows nothing of stanzas. Source: threat 12 of docs/threat-model.md.
import type { Element } from '@drawbridge/wire/element';
import { isElement } from '@drawbridge/wire/element';

/** Whatever a tree holds besides its texts, for each element. */
const elementBytes = 200;

/** Input that was read and waits for its stream's next turn; beyond it streams are read as it comes. */
export const maxWaitingInputBytes = 16 * 1024 * 1024;

export class HeldMemory {
  readonly #maxBytes: number;
  #waitingInputBytes = 0;
  /** Handed out and not acknowledged, in bytes. */
  #outstandingBytes = 0;
  /** Of senders' messages that are neither durable nor acknowledged. */
  #unsettledBytes = 0;
  #unsettledSenders = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get outstandingBytes(): number {
    return this.#outstandingBytes;
  }

  get isFull(): boolean {
    return this.#outstandingBytes >= this.#maxBytes;
  }

  /** False: it may not wait. Fewer may always be. */
  changeWaitingInput(bytes: number): boolean {
    if (bytes > 0 && this.#waitingInputBytes + bytes > maxWaitingInputBytes) return false;
    this.#waitingInputBytes += bytes;
    return true;
  }

  addOutstanding(bytes: number): void {
    this.#outstandingBytes += bytes;
  }

  /** `before` and `after`: what one sender has unsettled. */
  changeUnsettled(before: number, after: number): void {
    this.#unsettledBytes += after - before;
    if (before === 0) this.#unsettledSenders++;
    if (after === 0) this.#unsettledSenders--;
  }

  /** Whether this sender has as much unsettled as the others on average, or more: when storage lags, it waits first. */
  isLargeSender(unsettledBytes: number): boolean {
    return unsettledBytes > 0 && unsettledBytes * this.#unsettledSenders >= this.#unsettledBytes;
  }
}

/** About what an element takes of memory. */
export function sizeOfElement(el: Element): number {
  let bytes = elementBytes;
  for (const text of el.attrs) bytes += text.length;
  for (const child of el.children) bytes += isElement(child) ? sizeOfElement(child) : child.length;
  return bytes;
}
