// Entries go to storage: those of one turn together, in their order, and each sender hears what became of it.
// Knows nothing of streams, or of when an entry has to be written.
import { attribute, type Element } from '@drawbridge/wire/element';
import { type DeviceMailbox, type Entry, refuse, settleEntry } from './device-mailbox.ts';
import type { AppendOutcome, MailboxRow, MailboxStore } from './mailbox-store.ts';
import type { Removals } from './removals.ts';
import { SenderShares } from './sender-shares.ts';
import type { Codec } from './stanza-codec.ts';
import type { UnwrittenBytes } from './unwritten-bytes.ts';

export type WriterDeps = {
  readonly store: MailboxStore;
  readonly codec: Codec;
  readonly ttlMs: number;
  readonly unwritten: UnwrittenBytes;
  readonly removals: Removals;
  /** Hears of work under way, which has to end before the mailboxes are closed. */
  readonly track: (work: Promise<void>) => void;
  /** What was being written for this mailbox is written, or never will be. */
  readonly written: (box: DeviceMailbox) => void;
};

export class Writer {
  readonly #deps: WriterDeps;
  #entries: Entry[] = [];
  #isScheduled = false;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  /** This entry goes to storage at the end of this turn. */
  write(entry: Entry): void {
    entry.state = 'writing';
    entry.sharedBy = senderOf(entry.element);
    if (entry.sharedBy !== undefined) {
      (entry.mailbox.shares ??= new SenderShares()).add(entry.sharedBy, entry.countedBytes);
    }
    entry.mailbox.writing++;
    this.#entries.push(entry);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#isScheduled = false;
    if (this.#entries.length === 0) return;
    const { codec, unwritten, store, ttlMs } = this.#deps;
    const entries: Entry[] = [];
    const rows: MailboxRow[] = [];
    const skipped: Entry[] = [];
    for (const entry of this.#entries) {
      const { mailbox, seq, sinceMs, element } = entry;
      entry.element = undefined;
      if (entry.state === 'acknowledged' || element === undefined || mailbox.discarded) {
        // Acknowledged, or its device removed, while it waited for this turn's end: it need not be written at all.
        mailbox.writing--;
        mailbox.removed?.delete(seq);
        unwritten.remove(entry.countedBytes);
        skipped.push(entry);
        settleEntry(entry);
        continue;
      }
      const stanza = codec.encode(element);
      const moreBytes = stanza.length - entry.countedBytes;
      mailbox.bytes += moreBytes;
      if (entry.sharedBy !== undefined) mailbox.shares?.resize(entry.sharedBy, moreBytes);
      unwritten.add(moreBytes);
      entry.countedBytes = stanza.length;
      entries.push(entry);
      rows.push({ device: mailbox.row, seq, expiresAtMs: sinceMs + ttlMs, stanza });
    }
    this.#entries = [];
    if (skipped.length > 0) this.#afterWrite(skipped);
    if (rows.length === 0) return;
    this.#deps.track(
      store.append(rows).then(
        outcomes => this.#written(entries, outcomes),
        () => this.#notWritten(entries),
      ),
    );
  }

  #written(entries: readonly Entry[], outcomes: readonly AppendOutcome[]): void {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (outcomes[i] === 'device-gone') {
        this.#leftOut(entry);
        continue;
      }
      entry.mailbox.writing--;
      this.#deps.unwritten.remove(entry.countedBytes);
      if (entry.state === 'writing') {
        entry.state = 'durable';
        settleEntry(entry);
        if (!entry.mailbox.discarded) continue;
      }
      this.#deps.removals.schedule(entry.mailbox, entry.seq);
    }
    this.#afterWrite(entries);
  }

  /** The device was removed before this was written: there is nobody to keep it for, as if it had been discarded. */
  #leftOut(entry: Entry): void {
    if (this.#drop(entry)) settleEntry(entry);
  }

  #notWritten(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (!this.#drop(entry)) continue;
      const receipt = entry.receipt;
      entry.receipt = undefined;
      if (receipt !== undefined) refuse(receipt);
    }
    this.#afterWrite(entries);
  }

  /** There is no row of it. False when it was over already. */
  #drop(entry: Entry): boolean {
    const box = entry.mailbox;
    box.writing--;
    this.#deps.unwritten.remove(entry.countedBytes);
    box.removed?.delete(entry.seq);
    if (entry.state !== 'writing') return false;
    entry.state = 'dropped';
    box.count--;
    box.bytes -= entry.countedBytes;
    leaveShare(entry);
    return true;
  }

  #afterWrite(entries: readonly Entry[]): void {
    const boxes = new Set<DeviceMailbox>();
    for (const entry of entries) boxes.add(entry.mailbox);
    for (const box of boxes) this.#deps.written(box);
    this.#deps.unwritten.check();
  }
}

/** This entry counts in its sender's share no more. */
export function leaveShare({ sharedBy, mailbox, countedBytes }: Entry): void {
  if (sharedBy === undefined || mailbox.shares === undefined) return;
  mailbox.shares.remove(sharedBy, countedBytes);
  if (mailbox.count === 0) mailbox.shares = undefined;
}

/** The local part of its `from`, which the gatekeeper has stamped. */
export function senderOf(element: Element | undefined): string | undefined {
  const from = element === undefined ? undefined : attribute(element, 'from');
  const at = from?.indexOf('@') ?? -1;
  return at < 0 ? undefined : from?.slice(0, at);
}
