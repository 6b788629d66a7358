// Stream management: counts stanzas both ways, so that nothing is lost unseen and a dropped stream can be resumed.
// Knows nothing of sockets, accounts or storage; the shell sends and stores what the effects say.
// Source: XEP-0198 sections 3-5.

/** Counts are modulo 2^32 on the wire (XEP-0198 section 4). */
const modulus = 0x1_0000_0000;

/** The peer claims to have handled stanzas that were never sent: it is broken, close the stream (`handled-count-too-high`). */
export type HandledCountAhead = 'handled-count-ahead';

/**
 * Both directions of one managed stream. `T` is what the owner needs back when an outbound stanza is delivered.
 *
 * Inbound, a stanza counts as handled when it and all before it are resolved: the owner resolves in any order.
 */
export class StreamManagement<T> {
  #received = 0;
  #handled = 0;
  /** Sequences above `#handled` that are resolved out of order; empty in the common case. */
  #resolvedAhead: Set<number> | undefined;
  #acknowledged = 0;
  /** What is acknowledged is let go of at once, although its place in the array stays for a while. */
  #unacknowledged: (T | undefined)[] = [];
  #head = 0;

  /** Counts start at 0 (XEP-0198 section 4), or, to see what long streams come to, where `startsAt` (below 2^32) says. */
  constructor(startsAt = 0) {
    this.#received = startsAt;
    this.#handled = startsAt;
    this.#acknowledged = startsAt;
  }

  /** Counts an inbound stanza; gives its sequence, one more than the last. Never wraps here, only on the wire. */
  receive(): number {
    return ++this.#received;
  }

  /** Inbound stanzas counted so far. */
  get received(): number {
    return this.#received;
  }

  /** Says that the inbound stanza with this sequence needs nothing more. Repeats do no harm, nor do sequences never received. */
  resolve(sequence: number): void {
    if (sequence > this.#received) return;
    if (sequence === this.#handled + 1) {
      this.#handled = sequence;
      while (this.#resolvedAhead?.delete(this.#handled + 1) === true) this.#handled++;
      if (this.#resolvedAhead?.size === 0) this.#resolvedAhead = undefined;
    } else if (sequence > this.#handled) (this.#resolvedAhead ??= new Set()).add(sequence);
  }

  /** How many inbound stanzas are resolved without a gap. */
  get handledSequence(): number {
    return this.#handled;
  }

  /** The `h` to tell the peer, 0..2^32-1. */
  get handled(): number {
    return this.#handled % modulus;
  }

  /** Forgets inbound stanzas that are not resolved: after a resumption the peer sends them again (XEP-0198 section 5). */
  rewind(): void {
    this.#received = this.#handled;
    this.#resolvedAhead = undefined;
  }

  /** Notes an outbound stanza that the peer must acknowledge. */
  sent(item: T): void {
    this.#unacknowledged.push(item);
  }

  /** Outbound stanzas not yet acknowledged. */
  get unacknowledgedCount(): number {
    return this.#unacknowledged.length - this.#head;
  }

  /** Outbound stanzas not yet acknowledged, oldest first; to be sent again after a resumption. */
  get unacknowledged(): readonly T[] {
    return this.#unacknowledged.slice(this.#head) as T[];
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
