// Entries go to storage: those of one turn together, in their order, and each sender hears what became of it.
// Knows nothing of streams but their claims, or of when an entry has to be written.
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import { attribute, type Element } from '@drawbridge/wire/element';
import { isLoud } from '@drawbridge/wire/envelope';
import {
  type Damage,
  type DeviceMailbox,
  type Entry,
  epochOf,
  type Live,
  loseEntry,
  noteHad,
  refuse,
  type RefusedBecause,
  settleEntry,
} from './device-mailbox.ts';
import type { Elsewhere } from './elsewhere.ts';
import type { AppendOutcome, BoundReached, MailboxBounds, MailboxRow, MailboxStore } from './mailbox-store.ts';
import type { Removals } from './removals.ts';
import type { Codec } from './stanza-codec.ts';
import type { UnwrittenBytes } from './unwritten-bytes.ts';

export type WriterDeps = {
  readonly store: MailboxStore;
  readonly codec: Codec;
  readonly limits: MailboxBounds & { readonly ttlMs: number };
  readonly expiry: ExpiryClock;
  readonly unwritten: UnwrittenBytes;
  readonly removals: Removals;
  /** Hears of work under way, which has to end before the mailboxes are closed. */
  readonly track: (work: Promise<void>) => void;
  /** What was being written for this mailbox is written, or never will be. */
  readonly written: (box: DeviceMailbox) => void;
  readonly damaged: (what: Damage) => void;
  /** Storage refused a row for a bound. */
  readonly boundReached: (row: MailboxRow, because: BoundReached) => void;
  /** Storage refused a row under this stream's claim: another one has the device. */
  readonly claimLost: (box: DeviceMailbox, live: Live) => void;
  /** The other nodes; undefined: there are none. */
  readonly elsewhere: Elsewhere | undefined;
  /** This one's name. */
  readonly node: string;
};

type Sent = { readonly entry: Entry; readonly row: MailboxRow };

export class Writer {
  readonly #deps: WriterDeps;
  readonly #bounds: MailboxBounds;
  #entries: Entry[] = [];
  #isScheduled = false;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    const { maxEntries, maxBytes, maxEntriesPerSender, maxBytesPerSender } = deps.limits;
    const { maxBytesPerPerson, maxBytesPerProvider } = deps.limits;
    const perSender = { maxEntriesPerSender, maxBytesPerSender };
    this.#bounds = { maxEntries, maxBytes, ...perSender, maxBytesPerPerson, maxBytesPerProvider };
  }

  /** This entry goes to storage at the end of this turn. */
  write(entry: Entry): void {
    entry.state = 'writing';
    entry.mailbox.writing++;
    if (entry.live !== undefined) entry.live.unnumbered++;
    this.#entries.push(entry);
    this.#schedule();
  }

  flush(): void {
    this.#isScheduled = false;
    if (this.#entries.length === 0) return;
    const sent: Sent[] = [];
    const skipped: Entry[] = [];
    for (const entry of this.#entries) {
      const { mailbox, element } = entry;
      if (entry.state === 'acknowledged' || element === undefined || mailbox.discarded) {
        // Acknowledged, or its device removed, while it waited for this turn's end: it need not be written at all.
        const isLost = this.#drop(entry);
        skipped.push(entry);
        if (isLost) loseEntry(entry);
        else settleEntry(entry);
      } else if (mustWait(entry)) (mailbox.held ??= { again: [], behind: [] }).behind.push(entry);
      else {
        const row = this.#rowOf(entry, element);
        sent.push({ entry, row });
        mailbox.inFlight++;
        mailbox.inFlightEpoch = row.epoch;
      }
    }
    this.#entries = [];
    if (skipped.length > 0) this.#afterWrite(skipped);
    if (sent.length === 0) return;
    // What was acknowledged makes room for what comes after it.
    if (sent.some(({ entry }) => (entry.mailbox.removed?.size ?? 0) > 0)) this.#deps.removals.flush();
    this.#deps.track(
      this.#deps.store
        .append(
          sent.map(each => each.row),
          this.#bounds,
        )
        .then(
          outcomes => this.#written(sent, outcomes),
          () => this.#written(sent, undefined),
        ),
    );
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.flush());
  }

  #rowOf(entry: Entry, element: Element | MailboxRow): MailboxRow {
    entry.element = undefined;
    if ('stanza' in element) return element;
    const { mailbox, sinceMs = this.#deps.expiry.stampMs() } = entry;
    const stanza = this.#deps.codec.encode(element);
    this.#deps.unwritten.add(stanza.length - entry.countedBytes);
    entry.countedBytes = stanza.length;
    return {
      device: mailbox.row,
      epoch: epochOf(entry.live ?? mailbox.live),
      sender: senderOf(element),
      acceptedAtMs: sinceMs,
      expiresAtMs: Math.max(sinceMs, this.#deps.expiry.stampMs()) + this.#deps.limits.ttlMs,
      silent: !isLoud(element),
      stanza,
    };
  }

  /** Outcomes undefined: storage failed, and nothing was written. */
  #written(sent: readonly Sent[], outcomes: readonly AppendOutcome[] | undefined): void {
    for (let i = 0; i < sent.length; i++) {
      const { entry, row } = sent[i]!;
      entry.mailbox.inFlight--;
      const outcome = outcomes?.[i];
      switch (outcome?.kind) {
        case 'stored':
        case 'duplicate':
          this.#stored(entry, outcome.seq, outcome.owner);
          break;
        case 'fenced':
          this.#fenced(entry, row);
          break;
        case 'device-gone':
          // Removed before this was written: there is nobody to keep it for, as if it had been discarded.
          if (this.#drop(entry)) loseEntry(entry);
          break;
        case undefined:
          this.#refused(entry, 'storage-failed');
          break;
        case 'damaged':
          this.#deps.damaged('write');
          this.#refused(entry, 'damaged');
          break;
        default:
          this.#deps.boundReached(row, outcome!.kind);
          this.#refused(entry, outcome!.kind);
      }
    }
    this.#afterWrite(sent.map(each => each.entry));
  }

  #stored(entry: Entry, seq: number, owner: string | undefined): void {
    const box = entry.mailbox;
    if (box.live === undefined && !box.isApart && this.#deps.elsewhere !== undefined) {
      // The stream that was here has just ended, and storage doesn't know yet.
      if (owner === undefined || owner === this.#deps.node) entry.receipt?.unclaimed?.();
      else this.#deps.elsewhere.written(box.row);
    }
    this.#leave(entry);
    entry.seq = seq;
    box.lastSeq = Math.max(box.lastSeq, seq);
    if (entry.live !== undefined && entry.live === box.live) noteHad(entry.live, seq);
    if (entry.state === 'acknowledged') this.#deps.removals.schedule(box, seq, epochOf(entry.live));
    else {
      entry.state = 'durable';
      settleEntry(entry);
    }
  }

  /** Another node's stream has the device. It is for storage to keep this for it, in its order, under no claim. */
  #fenced(entry: Entry, row: MailboxRow): void {
    const box = entry.mailbox;
    for (const live of [entry.live, box.live]) {
      if (live !== undefined && live.epoch === row.epoch) this.#deps.claimLost(box, live);
    }
    if (entry.state !== 'writing') {
      this.#leave(entry);
      return;
    }
    entry.element = { ...row, epoch: undefined };
    box.held ??= { again: [], behind: [] };
    box.held.again.push(entry);
  }

  #refused(entry: Entry, because: RefusedBecause): void {
    if (!this.#drop(entry)) return;
    const receipt = entry.receipt;
    entry.receipt = undefined;
    if (receipt !== undefined) refuse(receipt, because);
  }

  /** There is no row of it. False when it was over already. */
  #drop(entry: Entry): boolean {
    this.#leave(entry);
    if (entry.state !== 'writing') return false;
    entry.state = 'dropped';
    return true;
  }

  #leave(entry: Entry): void {
    entry.mailbox.writing--;
    if (entry.live !== undefined) entry.live.unnumbered--;
    this.#deps.unwritten.remove(entry.countedBytes);
  }

  #afterWrite(entries: readonly Entry[]): void {
    const boxes = new Set<DeviceMailbox>();
    for (const entry of entries) boxes.add(entry.mailbox);
    for (const box of boxes) {
      this.#writeAgain(box);
      this.#deps.written(box);
    }
    this.#deps.unwritten.check();
  }

  /** What was refused under an old claim goes first, then what came behind it, then what came in this turn. */
  #writeAgain(box: DeviceMailbox): void {
    const { held } = box;
    if (held === undefined || box.inFlight > 0) return;
    box.held = undefined;
    this.#entries = [...held.again, ...held.behind, ...this.#entries];
    this.#schedule();
  }
}

/** What went under an earlier claim may still be refused, and then it has to be written first. */
function mustWait({ mailbox, live, element }: Entry): boolean {
  if (mailbox.held !== undefined) return true;
  if (mailbox.inFlight === 0 || mailbox.inFlightEpoch === undefined) return false;
  const isAgain = element !== undefined && 'stanza' in element;
  return mailbox.inFlightEpoch !== (isAgain ? undefined : epochOf(live ?? mailbox.live));
}

/** The local part of its `from`, which the gatekeeper has stamped. */
function senderOf(element: Element | undefined): string | undefined {
  const from = element === undefined ? undefined : attribute(element, 'from');
  const at = from?.indexOf('@') ?? -1;
  return at < 0 ? undefined : from?.slice(0, at);
}
