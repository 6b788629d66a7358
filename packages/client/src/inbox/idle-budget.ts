// How often a person may say what puts nothing before anybody: repeats of what is here, and contents that are empty. What is
// beyond it is acknowledged, and leaves no trace.
// Knows nothing of what a content means.
// Source: docs/protocol/09-content.md section 9.7.
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';

export const idleLimits = {
  windowMs: 3_600_000,
  perPerson: 60,
  /** People who are counted apart; whoever comes beyond them within the window shares one budget. */
  people: 10_000,
} as const;

export class IdleBudget {
  readonly #clock: Clock;
  #sinceMs = Number.NEGATIVE_INFINITY;
  readonly #counts = new Map<InteropId | undefined, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** False: beyond the budget. */
  take(person: InteropId): boolean {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#sinceMs >= idleLimits.windowMs || nowMs < this.#sinceMs) {
      this.#sinceMs = nowMs;
      this.#counts.clear();
    }
    const name = this.#counts.has(person) || this.#counts.size < idleLimits.people ? person : undefined;
    const count = this.#counts.get(name) ?? 0;
    if (count >= idleLimits.perPerson) return false;
    this.#counts.set(name, count + 1);
    return true;
  }
}
