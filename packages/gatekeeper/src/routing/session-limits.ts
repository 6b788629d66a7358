// What one device's session may hold, owe and say, and for how long. Values and types alone.
import { defaultShaperLimits, type ShaperLimits } from './stream-shaper.ts';

export type SessionLimits = {
  /** Stanzas handed to a device and not acknowledged, at most; more wait in the mailbox. */
  readonly maxUnacknowledged: number;
  /** Their bytes, beyond the first: what they hold of memory is the device's own doing. */
  readonly maxUnacknowledgedBytes: number;
  /** All stanzas sent and not acknowledged, answers included, beyond which a device is taken for broken. */
  readonly maxOutstanding: number;
  /** How long a dropped session may be resumed. */
  readonly resumeSeconds: number;
  /** A device that owes an acknowledgement for this long is taken for dead. */
  readonly answerWithinMs: number;
  /** And for this long, for one that has to be woken: its network may have gone without a word. */
  readonly lateAfterMs: number;
  /** Stanzas of one session that may be larger than a stanza may be: each is answered, then the stream is closed. */
  readonly maxOversized: number;
  /**
   * Bytes of answers that a device has not acknowledged, and of its IQs that wait for one, beyond which IQs are refused;
   * twice that of answers, and it is closed.
   */
  readonly maxAnswerBytes: number;
  /** Faster streams are read more slowly. */
  readonly shaper: ShaperLimits;
  /** IQs of one device that wait for an answer. */
  readonly maxOpenRequests: number;
};

export const defaultSessionLimits: SessionLimits = {
  maxUnacknowledged: 512,
  maxUnacknowledgedBytes: 4 * 1024 * 1024,
  maxOutstanding: 10_000,
  resumeSeconds: 300,
  answerWithinMs: 60_000,
  lateAfterMs: 15_000,
  maxOversized: 16,
  maxAnswerBytes: 4 * 1024 * 1024,
  shaper: defaultShaperLimits,
  maxOpenRequests: 64,
};

/** Of one stream in one turn of the event loop: with more to say, it is read again when others were. */
export const maxTurnBytes = 32 * 1024;
export const maxTurnStanzas = 128;
/** Of the streams that have used up their part and have more to say, so many are read again in one turn, one after the other. */
export const maxReadAgainPerTurn = 2;
