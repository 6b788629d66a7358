// A stream's claim on its device's mailbox: asked for once, when the stream comes.
// Knows nothing of entries. Source: docs/decisions/0054.
import type { DeviceMailbox, Live } from './device-mailbox.ts';
import type { Claim, MailboxStore } from './mailbox-store.ts';

export type ClaimDeps = {
  readonly store: MailboxStore;
  /** This node's name, another one each time it starts. */
  readonly node: string;
  readonly track: (work: Promise<void>) => void;
  readonly failed: (box: DeviceMailbox, live: Live) => void;
  /** Storage has answered, whatever it was. */
  readonly answered: (box: DeviceMailbox) => void;
  /** The claim is granted: the stream may read. */
  readonly claimed: (box: DeviceMailbox, live: Live) => void;
};

export class Claims {
  readonly #deps: ClaimDeps;

  constructor(deps: ClaimDeps) {
    this.#deps = deps;
  }

  claim(box: DeviceMailbox, live: Live): void {
    const { store, node, track } = this.#deps;
    box.claiming++;
    track(
      store.claim(box.row, node).then(
        claim => {
          box.claiming--;
          if (claim.kind === 'claimed') this.#granted(box, live, claim);
          this.#deps.answered(box);
        },
        () => {
          box.claiming--;
          // Asking again later could take the device from a stream that it has opened elsewhere meanwhile.
          this.#deps.failed(box, live);
          this.#deps.answered(box);
        },
      ),
    );
  }

  #granted(box: DeviceMailbox, live: Live, claim: Claim): void {
    box.epoch = claim.epoch;
    if (box.live !== live) {
      // The stream has ended meanwhile, or another one of this node has claimed the device after it.
      void this.release(box.row, claim.epoch);
      return;
    }
    live.epoch = claim.epoch;
    live.mode = 'draining';
    live.cursor = claim.count === 0 ? claim.lastSeq : 0;
    box.lastSeq = Math.max(box.lastSeq, claim.lastSeq);
    this.#deps.claimed(box, live);
  }

  /** The stream is over. A newer claim stays: storage compares the epochs. */
  release(device: number, epoch: number): Promise<void> {
    // A claim that could not be given back is taken over by the next stream all the same.
    const released = this.#deps.store.release(device, epoch).catch(() => {});
    this.#deps.track(released);
    return released;
  }
}
