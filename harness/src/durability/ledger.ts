// The book of one round: who sent what to whom, what the gatekeeper acknowledged or refused, what came and what its
// recipient acknowledged. Its verdict is the rule of docs/protocol/04-streams.md section 4.2 and of order.
// Knows nothing of sockets or faults.
import { createHash } from 'node:crypto';

/** One stream of a recipient. What it says last may not have arrived unless it ended in good order. */
export type Visit = {
  readonly recipient: number;
  /** Which gatekeeper process it was with. */
  readonly life: number;
  readonly seen: Set<Message>;
  /** Highest message of each sender. */
  readonly lastOf: Map<number, number>;
  /** Received and not yet acknowledged by the recipient. */
  unanswered: Message[];
  answered: Message[];
};

type Message = {
  readonly id: string;
  readonly sender: number;
  readonly recipient: number;
  readonly number: number;
  /** As the sender was told. */
  state: 'open' | 'acknowledged' | 'refused';
  arrived: boolean;
  /** Whether its recipient has acknowledged it, and whether the gatekeeper has surely read that (in which life). */
  taken: 'no' | 'said' | 'heard';
  heardInLife: number;
};

export type Verdict = {
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** Acknowledged to the sender, and neither acknowledged by its recipient nor received afterwards. */
  readonly lost: number;
  /** A message that came after a later one of the same sender to the same recipient. */
  readonly inversions: number;
  /** Came again although its recipient's acknowledgement had been read, or twice on one stream. */
  readonly wronglyRepeated: number;
  /** Came again, as it should or may: its acknowledgement was not given, or not read. */
  readonly redelivered: number;
  /** Told to its sender as refused, and came all the same: it was under way when storage failed. */
  readonly refusedAndCame: number;
  /** Ciphertext or sender are not those of this message, or nobody sent it, or to somebody else. */
  readonly damaged: number;
  /** `<a h>` that counts more than was sent or goes back; refusals that don't say "wait"; acknowledged, then refused. */
  readonly wrongAnswers: number;
  /** Sentences about the first violations. */
  readonly details: readonly string[];
};

/** Whether a round is as it must be. */
export function isSound(verdict: Verdict): boolean {
  const { lost, inversions, wronglyRepeated, damaged, wrongAnswers } = verdict;
  return lost + inversions + wronglyRepeated + damaged + wrongAnswers === 0;
}

const maxDetails = 20;

export type CiphertextSizes = { readonly min: number; readonly max: number };

/** What a message says: made of its id alone, so that it can be checked. Base64 of `min` to `max` bytes. */
export function ciphertextOf(id: string, sizes: CiphertextSizes): string {
  const digest = createHash('sha256').update(id).digest();
  // Most are short, as messages are: the size is drawn from a steep curve.
  const share = (digest.readUInt32BE() / 0x1_0000_0000) ** 4;
  return Buffer.alloc(Math.round(sizes.min + share * (sizes.max - sizes.min)), digest).toString('base64');
}

export class Ledger {
  readonly #round: number;
  readonly #messages = new Map<string, Message>();
  readonly #counts = new Map<number, number>();
  /** The highest that ever came, of each sender and recipient. */
  readonly #highest = new Map<string, number>();
  readonly #details: string[] = [];
  #inversions = 0;
  #wronglyRepeated = 0;
  #redelivered = 0;
  #damaged = 0;
  #wrongAnswers = 0;
  #acknowledged = 0;
  #refused = 0;

  constructor(round: number) {
    this.#round = round;
  }

  get acknowledgedCount(): number {
    return this.#acknowledged;
  }

  get refusedCount(): number {
    return this.#refused;
  }

  /** Notes a message about to be sent; gives its id. */
  send(sender: number, recipient: number): string {
    const number = (this.#counts.get(sender) ?? 0) + 1;
    this.#counts.set(sender, number);
    const id = `r${this.#round}-${sender}-${number}`;
    this.#messages.set(id, {
      id,
      sender,
      recipient,
      number,
      state: 'open',
      arrived: false,
      taken: 'no',
      heardInLife: 0,
    });
    return id;
  }

  acknowledge(id: string): void {
    const message = this.#messages.get(id)!;
    if (message.state !== 'open') return;
    message.state = 'acknowledged';
    this.#acknowledged++;
  }

  /** The sender got an error: whatever count covers it from now on says nothing of its delivery. */
  refuse(id: string): void {
    const message = this.#messages.get(id);
    if (message?.state === 'acknowledged') this.wrongAnswer(`${id} was refused after it had been acknowledged`);
    if (message?.state !== 'open') return;
    message.state = 'refused';
    this.#refused++;
  }

  /** The gatekeeper told a sender what it must not. */
  wrongAnswer(words: string): void {
    this.#wrong('answer', words);
  }

  visit(recipient: number, life: number): Visit {
    return { recipient, life, seen: new Set(), lastOf: new Map(), unanswered: [], answered: [] };
  }

  /** A message came. `intact`: its ciphertext is the one that was sent. */
  arrive(visit: Visit, id: string, from: number | undefined, intact: boolean): void {
    const message = this.#messages.get(id);
    if (message === undefined || message.recipient !== visit.recipient || message.sender !== from || !intact) {
      this.#wrong('damaged', `${id} came to ${visit.recipient} from ${from}, intact: ${intact}`);
      return;
    }
    if (visit.seen.has(message)) this.#wrong('repeated', `${id} came twice on one stream`);
    visit.seen.add(message);
    visit.unanswered.push(message);
    const { sender, recipient, number } = message;
    const last = visit.lastOf.get(sender) ?? 0;
    if (number < last) this.#wrong('inversion', `${id} to ${recipient} came after number ${last} on one stream`);
    visit.lastOf.set(sender, Math.max(last, number));
    if (!message.arrived) {
      message.arrived = true;
      const pair = `${sender} ${recipient}`;
      const highest = this.#highest.get(pair) ?? 0;
      if (number < highest) this.#wrong('inversion', `${id} to ${recipient} came first after number ${highest}`);
      this.#highest.set(pair, Math.max(highest, number));
      return;
    }
    // A row may outlive a process that had heard, for a moment, that it is not needed any more.
    if (message.taken === 'heard' && message.heardInLife === visit.life) {
      this.#wrong('repeated', `${id} came again after its acknowledgement had been read`);
    } else this.#redelivered++;
  }

  /** The recipient acknowledges everything that came on this stream. */
  answer(visit: Visit): void {
    for (const message of visit.unanswered) {
      if (message.taken === 'no') message.taken = 'said';
      visit.answered.push(message);
    }
    visit.unanswered = [];
  }

  /** The stream ended in good order: what the recipient said on it was read. */
  heard(visit: Visit): void {
    for (const message of visit.answered) {
      message.taken = 'heard';
      message.heardInLife = visit.life;
    }
  }

  /** After everybody has drained their mailbox and acknowledged all of it. */
  verdict(): Verdict {
    let lost = 0;
    let refusedAndCame = 0;
    for (const message of this.#messages.values()) {
      if (message.state === 'refused' && message.arrived) refusedAndCame++;
      if (message.state !== 'acknowledged' || message.taken !== 'no') continue;
      lost++;
      const words = message.arrived ? 'came once, unacknowledged, and not again' : 'never came';
      this.#detail(`${message.id} to ${message.recipient} was acknowledged and ${words}`);
    }
    return {
      sent: this.#messages.size,
      acknowledged: this.#acknowledged,
      refused: this.#refused,
      lost,
      inversions: this.#inversions,
      wronglyRepeated: this.#wronglyRepeated,
      redelivered: this.#redelivered,
      refusedAndCame,
      damaged: this.#damaged,
      wrongAnswers: this.#wrongAnswers,
      details: this.#details,
    };
  }

  #wrong(kind: 'inversion' | 'repeated' | 'damaged' | 'answer', words: string): void {
    if (kind === 'inversion') this.#inversions++;
    else if (kind === 'repeated') this.#wronglyRepeated++;
    else if (kind === 'damaged') this.#damaged++;
    else this.#wrongAnswers++;
    this.#detail(words);
  }

  #detail(words: string): void {
    if (this.#details.length < maxDetails) this.#details.push(words);
  }
}
