// What one session holds of memory for its peer, in bytes: stanzas that were handed out and not acknowledged, answers, questions
// that wait, and messages that are not settled. Each is in the sum of all streams too (`held-memory.ts`).
// Knows nothing of stanzas or streams. Source: threat 12 of docs/threat-model.md.
import type { HeldMemory } from './held-memory.ts';
import type { SessionLimits } from './session-limits.ts';

export class SessionDebts {
  readonly #memory: HeldMemory;
  readonly #limits: SessionLimits;
  #unacknowledgedBytes = 0;
  #answerBytes = 0;
  #unsettledBytes = 0;
  /** IQs of this device that wait for an answer, and about what they hold. */
  #openRequests = 0;
  #openRequestBytes = 0;

  constructor(memory: HeldMemory, limits: SessionLimits) {
    this.#memory = memory;
    this.#limits = limits;
  }

  /** An entry of the mailbox was handed out; with fewer bytes: acknowledged. */
  changeUnacknowledged(bytes: number): void {
    this.#unacknowledgedBytes += bytes;
    this.#memory.addOutstanding(bytes);
  }

  changeAnswers(bytes: number): void {
    this.#answerBytes += bytes;
    this.#memory.addOutstanding(bytes);
  }

  /** This sender's messages hold this number of bytes more, or fewer, until they are durable or acknowledged. */
  changeUnsettled(bytes: number): void {
    const before = this.#unsettledBytes;
    this.#unsettledBytes += bytes;
    this.#memory.changeUnsettled(before, this.#unsettledBytes);
  }

  /** `count` 1: an IQ that holds this number of bytes waits for its answer; -1: it does no more. */
  changeRequests(count: 1 | -1, bytes: number): void {
    this.#openRequests += count;
    this.#openRequestBytes += count * bytes;
    this.#memory.addOutstanding(count * bytes);
  }

  /**
   * No more questions before others are answered and answers acknowledged: its own, or, when all streams hold much,
   * those of all.
   */
  get owesTooMuch(): boolean {
    const { maxAnswerBytes, maxOpenRequests } = this.#limits;
    const heldBytes = this.#answerBytes + this.#openRequestBytes;
    if (this.#openRequests >= maxOpenRequests || heldBytes > maxAnswerBytes) return true;
    return heldBytes > 0 && this.#memory.isFull;
  }

  /** Answers that nobody acknowledges: the stream is over. */
  get hasTooManyAnswers(): boolean {
    return this.#answerBytes > 2 * this.#limits.maxAnswerBytes;
  }

  /** Its window is full by bytes. */
  get isWindowFull(): boolean {
    return this.#unacknowledgedBytes >= this.#limits.maxUnacknowledgedBytes;
  }

  /** Whether another entry may be handed out; one always may. */
  get hasRoom(): boolean {
    return !this.isWindowFull && (this.#unacknowledgedBytes === 0 || !this.#memory.isFull);
  }

  /** When storage lags, this sender waits before others. */
  get isLargeSender(): boolean {
    return this.#memory.isLargeSender(this.#unsettledBytes);
  }

  /** The session is over: what it handed out is its mailbox's again. What still waits for answers or storage counts on. */
  end(): void {
    this.#memory.addOutstanding(-this.#unacknowledgedBytes - this.#answerBytes);
  }
}
