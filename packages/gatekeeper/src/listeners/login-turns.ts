// Gives logins their share of the event loop, and established streams the rest. When thousands of devices come back at
// once, each step of a login (a handshake, a proof) waits here for its turn; what streams say is read between the turns.
// Knows nothing of encodings or of what a step does. Source: docs/decisions/0018.
import { performance } from 'node:perf_hooks';

/** Steps that may follow each other before established streams are looked at again, whatever little time they took. */
const maxStepsPerTurn = 16;
/** Of this number of steps one is a newcomer's, however many have begun: nobody can hold the door by never finishing. */
const newcomerEvery = 8;
/** Steps taken are forgotten at the latest when there are this many. */
const maxTaken = 1_024;

export type LoginStep = () => void;

/**
 * A login that has begun goes before one that has not: logins end one after the other, instead of all of them late. Newcomers go by
 * address in a round, so that an address with a thousand of them does not hold up the one behind another. Nothing that
 * waits for its peer holds a turn: a connection that says nothing, or half of something, costs others no time.
 */
export class LoginTurns {
  readonly #turnMs: number;
  readonly #begun: LoginStep[] = [];
  #begunHead = 0;
  /** By address, in the order of the round. */
  readonly #newcomers = new Map<string, LoginStep[]>();
  #waiting = 0;
  #scheduled = 0;
  #turnEndsAtMs = 0;
  #turnIsOver = true;
  #sinceNewcomer = 0;

  /** `turnMs`: how long steps may take before established streams are looked at again; one step at least is taken. */
  constructor(turnMs: number) {
    this.#turnMs = turnMs;
  }

  /** Steps that wait for their turn. */
  get waiting(): number {
    return this.#waiting;
  }

  /** A further step of a login that has begun. */
  next(step: LoginStep): void {
    this.#begun.push(step);
    this.#added();
  }

  /** The first step of a newcomer. */
  first(address: string, step: LoginStep): void {
    const steps = this.#newcomers.get(address);
    if (steps === undefined) this.#newcomers.set(address, [step]);
    else steps.push(step);
    this.#added();
  }

  #added(): void {
    this.#waiting++;
    // Steps of one turn are immediates of their own: what a step leaves to promises and ticks, such as the check of a
    // signature, is done before the next begins, and so counts in its turn.
    if (this.#scheduled < maxStepsPerTurn) this.#schedule();
  }

  #schedule(): void {
    this.#scheduled++;
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    this.#scheduled--;
    if (this.#turnIsOver) {
      this.#turnIsOver = false;
      this.#turnEndsAtMs = performance.now() + this.#turnMs;
    } else if (performance.now() >= this.#turnEndsAtMs) {
      this.#rest();
      return;
    }
    const step = this.#take();
    if (step !== undefined) {
      this.#waiting--;
      step();
    }
    this.#rest();
  };

  /** After the last immediate of this turn: the next turn's are for the next round of the event loop. */
  #rest(): void {
    if (this.#scheduled > 0) return;
    this.#turnIsOver = true;
    for (let i = Math.min(this.#waiting, maxStepsPerTurn); i > 0; i--) this.#schedule();
  }

  #take(): LoginStep | undefined {
    const begun = this.#begun[this.#begunHead];
    if (begun !== undefined && (++this.#sinceNewcomer < newcomerEvery || this.#newcomers.size === 0)) {
      if (++this.#begunHead === this.#begun.length || this.#begunHead === maxTaken) {
        this.#begun.splice(0, this.#begunHead);
        this.#begunHead = 0;
      }
      return begun;
    }
    this.#sinceNewcomer = 0;
    for (const [address, steps] of this.#newcomers) {
      const step = steps.shift();
      this.#newcomers.delete(address);
      if (steps.length > 0) this.#newcomers.set(address, steps);
      return step;
    }
    return undefined;
  }
}
