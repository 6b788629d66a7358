// The clock by which a gatekeeper lets kept things grow old: what it is at the start, by what storage remembers, and what becomes
// of it while the process runs. A database's own clock is asked rather than this machine's: a node with a wrong clock must not
// delete others' mail. Knows nothing of what is kept.
// Source: docs/decisions/0068.
import {
  type BelievedClock,
  believedLagMs,
  type ClockState,
  clockStateAt,
  createBelievedClock,
  type ExpiryClock,
  type RememberedTime,
} from '@drawbridge/identity/believed-clock';
import type { ControlLog } from '../control-log.ts';
import { StartError } from '../start-error.ts';
import type { ClockReading, ClockStore } from './clock-store.ts';

/** `differs`: this machine's clock is not the database's. */
export type GatekeeperClockState = ClockState | { readonly kind: 'differs'; readonly byMs: number };

export type GatekeeperClock = Pick<BelievedClock, keyof ExpiryClock | 'tellMs'> & {
  readonly state: () => GatekeeperClockState;
  /** To be called every minute: remembers the time, and hears of a person's word. Rejects with StoreError. */
  readonly note: () => Promise<void>;
};

export type ClockDeps = {
  readonly store: ClockStore;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
  readonly log: ControlLog;
};

const confirmWords = 'drawbridge gatekeeper confirm-clock --config FILE';

/** What is wrong, and what to do; undefined when the clock is believed. */
export function clockWords(state: GatekeeperClockState, nowMs: number): string | undefined {
  if (state.kind === 'believed') return undefined;
  const shown = `the clock shows ${isoOf(nowMs)}`;
  if (state.kind === 'differs') {
    return `${shown}, and the database's another time, ${spanOf(state.byMs)} apart: set the wrong one of the two`;
  }
  if (state.kind === 'behind') {
    return `${shown}, ${spanOf(state.byMs)} before the time that was believed last: set it; if it is right, ${confirmWords}`;
  }
  return `${shown}, ${spanOf(state.byMs)} after the time that was believed last, so that nothing expires by it: set it; if it is right (the gatekeeper was off for so long), ${confirmWords}`;
}

/** By a reading of storage alone, as a start sees it. */
export function clockAtStart({ remembered, storageMs }: ClockReading, nowMs: number): GatekeeperClockState {
  if (storageMs !== undefined && Math.abs(nowMs - storageMs) > believedLagMs) {
    return { kind: 'differs', byMs: Math.abs(nowMs - storageMs) };
  }
  return clockStateAt(storageMs ?? nowMs, remembered);
}

/** Rejects with a StartError for a clock by which proofs that are over would be accepted, and StoreError. */
export async function openClock({ store, nowMs, monotonicMs, log }: ClockDeps): Promise<GatekeeperClock> {
  let reading = await store.read();
  let readAtMs = monotonicMs();
  const first = clockAtStart(reading, nowMs());
  if (first.kind === 'behind' || first.kind === 'differs') {
    throw new StartError('clock-wrong', clockWords(first, nowMs())!);
  }
  /** The database's clock, or this machine's where there is no other. */
  const wallMs = (): number =>
    reading.storageMs === undefined ? nowMs() : Math.floor(reading.storageMs + monotonicMs() - readAtMs);
  const clock = createBelievedClock(wallMs, monotonicMs, reading.remembered);
  const state = (): GatekeeperClockState => {
    const own = clockAtStart({ remembered: undefined, storageMs: reading.storageMs && wallMs() }, nowMs());
    return own.kind === 'differs' ? own : clock.state();
  };
  const say = createSayer(log);
  say(state(), nowMs());

  return {
    stampMs: () => Math.max(nowMs(), clock.stampMs()),
    judgeMs: clock.judgeMs,
    tellMs: clock.tellMs,
    state,
    async note() {
      const before = reading.remembered;
      const time = clock.note();
      // What is owed is told once: it may have been taken back since, with a person's word.
      const isNew = time.leapsPaidAtMs > (before?.leapsPaidAtMs ?? 0);
      reading = await store.note({ seenMs: time.seenMs, leapsPaidAtMs: isNew ? time.leapsPaidAtMs : 0 });
      readAtMs = monotonicMs();
      hear(clock, before, reading.remembered!);
      say(state(), nowMs());
    },
  };
}

/** A time that was taken back was taken back by a person. */
function hear(clock: BelievedClock, before: RememberedTime | undefined, now: RememberedTime): void {
  if (before !== undefined && now.seenMs < before.seenMs) clock.confirm();
  else clock.hear(now);
}

function createSayer(log: ControlLog): (state: GatekeeperClockState, nowMs: number) => void {
  let said: GatekeeperClockState['kind'] = 'believed';
  return (state, nowMs) => {
    if (state.kind === said) return;
    said = state.kind;
    const next = clockWords(state, nowMs);
    if (next === undefined) log('info', 'clock-believed', {});
    else log('error', 'clock-not-believed', { code: state.kind, next });
  };
}

function isoOf(ms: number): string {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? 'no time' : time.toISOString();
}

function spanOf(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 120) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
}
