// Stream management: counts stanzas both ways, so that nothing is lost unseen and a dropped stream can be resumed.
// Knows nothing of sockets, accounts or storage; the shell sends and stores what the effects say.
// Source: XEP-0198 sections 3-5.

/** Counts are modulo 2^32 on the wire (XEP-0198 section 4). */
const modulus = 0x1_0000_0000;

/** Shared: streams are many, and most are silent. */
const none = Object.freeze([]) as unknown as never[];

/** The peer claims to have handled stanzas that were never sent: it is broken, close the stream (`handled-count-too-high`). */
export type HandledCountAhead = 'handled-count-ahead';

/**
 * Both directions of one managed stream. `T` is what the owner needs back when an outbound stanza is delivered.
 *
 * Inbound, a stanza counts as handled when it and all before it are resolved: the owner resolves in any order.
 */
export class StreamManagement<T> {
  #received = 0;
  /** The highest sequence ever given: above `#received` while the peer repeats what came before a cut. */
  #highest = 0;
  #handled = 0;
  /** Inbound stanzas that came before there was a count and are not resolved: nothing counts as handled before them. */
  #uncounted = 0;
  /** The count that was told when this side asked for a resumption: the peer repeats from the stanza after it. */
  #resumesAfter = 0;
  /** Sequences above `#handled` that are resolved out of order; empty in the common case. */
  #resolvedAhead: Set<number> | undefined;
  #acknowledged = 0;
  /** What is acknowledged is let go of at once, although its place in the array stays for a while. */
  #unacknowledged: (T | undefined)[] = none;
  #head = 0;

  /** Counts start at 0 (XEP-0198 section 4), or, to see what long streams come to, where `startsAt` (below 2^32) says. */
  constructor(startsAt = 0) {
    this.#received = startsAt;
    this.#highest = startsAt;
    this.#handled = startsAt;
    this.#resumesAfter = startsAt;
    this.#acknowledged = startsAt;
  }

  /** Counts an inbound stanza; gives its sequence, one more than the last. Never wraps here, only on the wire. */
  receive(): number {
    this.#received++;
    if (this.#received > this.#highest) this.#highest = this.#received;
    return this.#received;
  }

  /** An inbound stanza that came before there was a count; gives the sequence of all such. */
  receiveUncounted(): 0 {
    this.#uncounted++;
    return 0;
  }

  /** Whether some of them are not resolved. */
  get hasUncounted(): boolean {
    return this.#uncounted > 0;
  }

  /** Inbound stanzas counted so far, up to the last one that came on this stream. */
  get received(): number {
    return this.#received;
  }

  /** Inbound stanzas that came and are above the count of those resolved without a gap. */
  get unresolvedCount(): number {
    return this.#highest - this.#handled;
  }

  isResolved(sequence: number): boolean {
    return sequence <= this.#handled || this.#resolvedAhead?.has(sequence) === true;
  }

  /** Says that the inbound stanza with this sequence needs nothing more. Repeats do no harm, nor do sequences never received. */
  resolve(sequence: number): void {
    if (sequence > this.#highest) return;
    if (sequence === 0) {
      if (this.#uncounted > 0 && --this.#uncounted === 0) this.#countResolved();
    } else if (sequence === this.#handled + 1 && this.#uncounted === 0) {
      this.#handled = sequence;
      this.#countResolved();
    } else if (sequence > this.#handled) (this.#resolvedAhead ??= new Set()).add(sequence);
  }

  #countResolved(): void {
    while (this.#resolvedAhead?.delete(this.#handled + 1) === true) this.#handled++;
    if (this.#resolvedAhead?.size === 0) this.#resolvedAhead = undefined;
  }

  /** How many inbound stanzas are resolved without a gap. */
  get handledSequence(): number {
    return this.#handled;
  }

  /** The `h` to tell the peer, 0..2^32-1. */
  get handled(): number {
    return this.#handled % modulus;
  }

  /**
   * The side that accepts a resumption forgets inbound stanzas that are not resolved: it tells its count in that moment,
   * the peer sends the rest again (XEP-0198 section 5), and they count as new ones.
   */
  rewind(): void {
    this.#received = this.#handled;
    this.#highest = this.#handled;
    this.#resolvedAhead = undefined;
  }

  /** The side that asks for a resumption: the `h` to ask with. What is resolved from now on doesn't change it. */
  askToResume(): number {
    this.#resumesAfter = this.#handled;
    return this.handled;
  }

  /**
   * The peer has agreed and repeats from the stanza after the count of `askToResume`: the same stanzas in the same order.
   * They get the sequences that they had, and those that were resolved stay resolved.
   */
  repeat(): void {
    this.#received = this.#resumesAfter;
  }

  /** Notes an outbound stanza that the peer must acknowledge. */
  sent(item: T): void {
    if (this.#unacknowledged === none) this.#unacknowledged = [item];
    else this.#unacknowledged.push(item);
  }

  /** The count that an acknowledgement of everything sent would have. */
  get sentTotal(): number {
    return this.#acknowledged + this.unacknowledgedCount;
  }

  /** Outbound stanzas not yet acknowledged. */
  get unacknowledgedCount(): number {
    return this.#unacknowledged.length - this.#head;
  }

  /** The oldest outbound stanza that is not yet acknowledged. */
  get firstUnacknowledged(): T | undefined {
    return this.#unacknowledged[this.#head];
  }

  /** Outbound stanzas not yet acknowledged, oldest first; to be sent again after a resumption. */
  get unacknowledged(): readonly T[] {
    return this.#unacknowledged.slice(this.#head) as T[];
  }

  /** Takes stanzas that were in no count before all others that are not acknowledged: they are counted from here. */
  sentBefore(items: readonly T[]): void {
    this.#unacknowledged = [...items, ...this.#unacknowledged.slice(this.#head)];
    this.#head = 0;
  }

  /**
   * Forgets the outbound stanzas that the peer says it has handled.
   *
   * `handled` is the peer's count, 0..2^32-1, and wraps. Gives back the stanzas now delivered, oldest first; none when
   * the count repeats. Refuses a count beyond what was sent (or behind what was acknowledged, which is the same, modulo).
   */
  acknowledge(handled: number): readonly T[] | HandledCountAhead {
    const delta = (((handled - this.#acknowledged) % modulus) + modulus) % modulus;
    if (delta === 0) return [];
    if (delta > this.unacknowledgedCount) return 'handled-count-ahead';
    this.#acknowledged = handled;
    const delivered = this.#unacknowledged.slice(this.#head, this.#head + delta) as T[];
    this.#unacknowledged.fill(undefined, this.#head, this.#head + delta);
    this.#head += delta;
    if (this.#head === this.#unacknowledged.length) {
      this.#unacknowledged.length = 0;
      this.#head = 0;
    } else if (this.#head > 256 && this.#head * 2 > this.#unacknowledged.length) {
      this.#unacknowledged = this.#unacknowledged.slice(this.#head);
      this.#head = 0;
    }
    return delivered;
  }
}
