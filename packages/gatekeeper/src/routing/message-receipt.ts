// The sender's side of a message under way: what is told when every device has it, or one can't. Knows nothing of mailboxes.
import { type Element } from '@drawbridge/wire/element';
import { EnvelopeElement, type EnvelopeMessage } from '@drawbridge/wire/envelope';
import type { Account } from '../enlistment/account.ts';
import type { Receipt, RefusedBecause } from '../mailbox/device-mailbox.ts';
import type { DeviceSession } from './device-session.ts';

/** What a receipt tells the router. */
export type ReceiptRouter = {
  nobodyLeft(session: DeviceSession, stanza: Element): void;
  wake(account: Account): void;
  storageRefused(session: DeviceSession, stanza: Element, because: RefusedBecause): void;
};

/** The sender's side of one message: answered when every device has it. Holds no tree: many wait at once. */
export class MessageReceipt implements Receipt {
  remaining: number;
  failed = false;
  readonly #router: ReceiptRouter;
  readonly #session: DeviceSession;
  readonly #message: EnvelopeMessage;
  readonly #sequence: number;
  readonly #sizeBytes: number;
  /** Who is to be woken when no node has a stream; undefined: nobody. */
  readonly #wakes: Account | undefined;
  /** Devices that have it, or may have it yet. */
  #devices: number;

  constructor(
    router: ReceiptRouter,
    session: DeviceSession,
    message: EnvelopeMessage,
    sequence: number,
    devices: number,
    sizeBytes: number,
    wakes: Account | undefined,
  ) {
    this.remaining = devices;
    this.#devices = devices;
    this.#router = router;
    this.#session = session;
    this.#message = message;
    this.#sequence = sequence;
    this.#sizeBytes = sizeBytes;
    this.#wakes = wakes;
    session.changeUnsettled(sizeBytes);
  }

  settled(): void {
    // They were there when it came and went before they had it: as if it had come a moment later.
    if (this.#devices === 0) this.#router.nobodyLeft(this.#session, new EnvelopeElement(this.#message));
    this.#session.changeUnsettled(-this.#sizeBytes);
    this.#session.resolve(this.#sequence);
  }

  lost(): void {
    this.#devices--;
  }

  unclaimed(): void {
    if (this.#wakes !== undefined) this.#router.wake(this.#wakes);
  }

  refused(because: RefusedBecause): void {
    this.#router.storageRefused(this.#session, new EnvelopeElement(this.#message), because);
  }
}
