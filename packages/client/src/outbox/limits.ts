// The bounds of the outbox: rows, times, sizes and repeats. Knows nothing of what they are used for.
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';

export const outboxLimits = {
  /** Rows that may wait in all; a further `send` is refused. */
  maxRows: 10_000,
  /** Messages to one person that wait for the gatekeeper's acknowledgement. */
  window: 16,
  /** Wrong device lists in a row for one message. */
  maxCorrections: 5,
  /** Refusals of type `wait` for one message. */
  maxWaits: 40,
  /** Before a store that failed is asked again. Nothing is given up for it. */
  storePauseMs: 2_000,
  firstWaitMs: 1_000,
  maxWaitMs: 300_000,
  /** The longest that a gatekeeper may put a row off at once; what asks for more, or was put off for longer, is not believed. */
  maxPutOffMs: 86_400_000,
  /** Streams that the gatekeeper may end while a row is first in line; then the row is set aside. */
  maxEndedStreams: 2,
  /** A stanza as XML, its longest form: what a gatekeeper takes in one element. */
  maxStanzaBytes: xmlLimitsAfterLogin.elementBytes,
  /** Receipts that are put into one message. */
  maxReceipts: 100,
  /** Numbers of contents to one person that failed and were not told yet; the oldest stay gaps at their reader. */
  maxUnsaid: 64,
  /** Rounds of fetching bundles for one encryption. */
  maxSessionRounds: 3,
  deviceListAgeMs: 86_400_000,
  /** What an encryption adds to a content, at most. */
  copyBytes: 4_096,
  /**
   * A list of devices that no refusal corrects is believed for so long: that one has no others, when nothing is sent, and
   * one whose devices are written to one by one.
   */
  freshListAgeMs: 60_000,
  /** After a link was authorised, it is not believed at all. */
  linkMs: 600_000,
} as const;
