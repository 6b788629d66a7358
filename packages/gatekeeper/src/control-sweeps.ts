// Removes what has expired of used proofs, authorisations and reports, every minute, and says where the audit log stands.
// Knows nothing of what they were for.
import { type After, every } from '@drawbridge/identity/timers';
import type { ControlLog } from './control-log.ts';
import type { SeenTimes } from './enlistment/seen-times.ts';
import type { Integrity } from './integrity/integrity.ts';
import type { Lifecycle } from './providers/lifecycle.ts';
import type { Stores } from './storage/stores.ts';

const sweepIntervalMs = 60_000;
const sweepRows = 5_000;
/** Each may hold some hundred kilobytes. */
const reportRows = 100;

export type SweepDeps = {
  readonly stores: Pick<Stores, 'proofIds' | 'accounts' | 'audit' | 'links' | 'reports' | 'outgoingEvents'>;
  readonly lifecycle: Pick<Lifecycle, 'sweep'>;
  readonly integrity: Pick<Integrity, 'sweep'>;
  readonly reportDays: () => number;
  readonly deadEventDays: () => number;
  readonly seenTimes: SeenTimes;
  readonly nowMs: () => number;
  /** By which what is kept grows old. */
  readonly judgeMs: () => number;
  readonly noteClock: () => Promise<void>;
  readonly monotonicMs: () => number;
  readonly after: After;
  readonly log: ControlLog;
};

export class Sweeps {
  readonly #deps: SweepDeps;
  readonly #callOff: () => void;
  #sweeping: Promise<void> | undefined;
  #saidSeq = 0;

  constructor(deps: SweepDeps) {
    this.#deps = deps;
    this.#callOff = every(deps.after, sweepIntervalMs, () => {
      this.#sweeping ??= this.sweep()
        .catch(() => deps.log('error', 'sweep-failed', { code: 'store-failed' }))
        .finally(() => {
          this.#sweeping = undefined;
        });
    });
  }

  /** Each round is a small transaction, so that messages need not wait for a long one. Idempotent. */
  async sweep(): Promise<void> {
    const { stores, seenTimes, nowMs, judgeMs, noteClock, monotonicMs, reportDays } = this.#deps;
    await noteClock();
    seenTimes.note(nowMs(), monotonicMs());
    const forgetBeforeMs = seenTimes.forgetBeforeMs(monotonicMs());
    if (forgetBeforeMs !== undefined) {
      // What has ended by a clock that is not believed may be judged again when it is set.
      const endedMs = Math.min(forgetBeforeMs, judgeMs());
      while ((await stores.proofIds.sweep(endedMs, sweepRows)) === sweepRows);
    }
    while ((await stores.accounts.sweepAuthorisations(judgeMs(), sweepRows)) === sweepRows);
    await this.#deps.lifecycle.sweep();
    await this.#deps.integrity.sweep();
    while ((await stores.links.sweep(judgeMs(), sweepRows)) === sweepRows);
    const reportsBeforeMs = judgeMs() - reportDays() * 86_400_000;
    while ((await stores.reports.sweep(reportsBeforeMs, reportRows)) === reportRows);
    const eventsBeforeMs = judgeMs() - this.#deps.deadEventDays() * 86_400_000;
    while ((await stores.outgoingEvents.sweep(eventsBeforeMs, sweepRows)) === sweepRows);
    await this.#sayAuditHead();
  }

  /** Logs are often kept on another machine: what is cut from the audit log later is missed there. */
  async #sayAuditHead(): Promise<void> {
    const head = await this.#deps.stores.audit.head();
    if (head === undefined || head.seq === this.#saidSeq) return;
    this.#saidSeq = head.seq;
    this.#deps.log('info', 'audit-head', { seq: head.seq, digest: head.digest });
  }

  /** Waits for the round that is under way. */
  async close(): Promise<void> {
    this.#callOff();
    await this.#sweeping;
  }
}
