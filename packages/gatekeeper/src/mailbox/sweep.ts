// What is over leaves storage, in pieces between which others write: mail of devices that are gone, and what has expired.
// Whoever sent it is told first. Knows nothing of how they are told.
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { After } from '@drawbridge/identity/timers';
import type { Element } from '@drawbridge/wire/element';
import type { UndeliveredCause } from '@drawbridge/wire/envelope';
import type { Damage } from './device-mailbox.ts';
import type { ExpiryPlace, MailboxStore, OrphanedPerson, StoredEntry } from './mailbox-store.ts';
import type { Codec } from './stanza-codec.ts';

export const sweepLimits = {
  /** Of one piece, which is one command of the writer. */
  pieceEntries: 128,
  pieceBytes: 256 * 1024,
  pieceShares: 256,
  /** Between two pieces: the writer is there for others more than half of the time. */
  pauseMs: 5,
} as const;

/** Resolves when the sender has been told, or there is nobody to be told; rejects when that has to be tried again. */
export type TellSender = (element: Element, cause: UndeliveredCause, person?: OrphanedPerson) => Promise<void>;

export type SweepDeps = {
  readonly store: MailboxStore;
  readonly codec: Codec;
  readonly expiry: ExpiryClock;
  readonly after: After;
  readonly isClosing: () => boolean;
  /** A device with a stream finds out by itself what is too old. */
  readonly isLive: (device: number) => boolean;
  readonly tell: TellSender;
  readonly damaged: (what: Damage) => void;
};

export class Sweep {
  readonly #deps: SweepDeps;
  #running: Promise<number> | undefined;

  constructor(deps: SweepDeps) {
    this.#deps = deps;
  }

  /** Removes all that is over; gives how many entries went. One at a time: a second call waits for the first. Rejects with StoreError. */
  run(): Promise<number> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(): Promise<number> {
    return (await this.#orphans()) + (await this.#expired());
  }

  async #orphans(): Promise<number> {
    const { store, isClosing } = this.#deps;
    const { pieceEntries, pieceBytes, pieceShares } = sweepLimits;
    let removed = 0;
    while (!isClosing()) {
      const mail = await store.orphaned(pieceEntries, pieceBytes);
      if (mail === undefined) break;
      const { device, person, entries } = mail;
      if (person !== undefined) await this.#tell(entries, 'gone', person);
      await store.removeOrphaned(device, entries.at(-1)?.seq ?? 0, pieceShares);
      removed += entries.length;
      await this.#pause();
    }
    return removed;
  }

  async #expired(): Promise<number> {
    const { store, expiry, isClosing, isLive, damaged } = this.#deps;
    const { pieceEntries, pieceBytes } = sweepLimits;
    const nowMs = expiry.judgeMs();
    let removed = 0;
    let after: ExpiryPlace | undefined;
    while (!isClosing()) {
      const { entries, next } = await store.expired(nowMs, after, pieceEntries, pieceBytes);
      const due = entries.filter(entry => !isLive(entry.device));
      if (due.length > 0) {
        await this.#tell(due, 'expired');
        const bad = await store.remove(
          due.map(({ device, seq }) => ({ device, epoch: undefined, first: seq, last: seq })),
        );
        for (const _ of bad) damaged('removal');
        removed += due.filter(({ device }) => !bad.includes(device)).length;
      }
      if (next === undefined) break;
      after = next;
      await this.#pause();
    }
    return removed;
  }

  #pause(): Promise<void> {
    return new Promise(resolve => void this.#deps.after(sweepLimits.pauseMs, resolve));
  }

  async #tell(entries: readonly StoredEntry[], cause: UndeliveredCause, person?: OrphanedPerson): Promise<void> {
    const { codec, tell, damaged } = this.#deps;
    await Promise.all(
      entries.map(async ({ stanza, acceptedAtMs }) => {
        const element = codec.decode(stanza, acceptedAtMs);
        if (element === undefined) damaged('entry');
        else await tell(element, cause, person);
      }),
    );
  }
}
