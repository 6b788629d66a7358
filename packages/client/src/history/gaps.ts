// Numbers of what each device says in a chat, as they are heard here: one that is left out was withheld, or is still under way.
// Pure. Knows nothing of storage or messages, nor of why a number did not come.
// Source: docs/protocol/09-content.md sections 9.9 and 9.11.

export const gapLimits = {
  /** Runs of numbers that did not come, for each device; the oldest give way. */
  maxRuns: 32,
  /** Places that are kept free in the history for one run; what comes late beyond them stands at the end. */
  maxPlaces: 64,
} as const;

/** Numbers that did not come: from `from` to `to`. `place`: where the first of `places` of them stands when it comes. */
export type Run = { readonly from: number; readonly to: number; readonly place: number; readonly places: number };

/** What was heard of one device in one chat. Whoever begins to listen later misses nothing of what was said before. */
export type Heard = { readonly next: number; readonly missing: readonly Run[] };

export type Hearing = {
  readonly heard: Heard;
  /** Where this one stands, since others came before it; undefined: at the end. */
  readonly place?: number;
};

/**
 * Hears a number, which is at least 1. `keepPlaces` keeps places free at the end of the history and gives the first. Undefined:
 * it was heard before, and nothing changes.
 */
export function hear(
  before: Heard | undefined,
  number: number,
  keepPlaces: (count: number) => number,
): Hearing | undefined {
  if (before === undefined) return { heard: { next: number + 1, missing: [] } };
  const { next, missing } = before;
  if (number === next) return { heard: { next: next + 1, missing } };
  if (number > next) {
    const places = Math.min(number - next, gapLimits.maxPlaces);
    const run = { from: next, to: number - 1, place: keepPlaces(places), places };
    return { heard: { next: number + 1, missing: [...missing, run].slice(-gapLimits.maxRuns) } };
  }
  const run = missing.find(({ from, to }) => from <= number && number <= to);
  if (run === undefined) return undefined;
  const heard = { next, missing: missing.flatMap(each => (each === run ? without(run, number) : [each])) };
  const at = number - run.from;
  return at < run.places ? { heard, place: run.place + at } : { heard };
}

function without({ from, to, place, places }: Run, number: number): Run[] {
  const at = number - from;
  const before = { from, to: number - 1, place, places: Math.min(places, at) };
  const after = { from: number + 1, to, place: place + at + 1, places: Math.max(0, places - at - 1) };
  return [before, after].filter(run => run.from <= run.to);
}

export function countMissing(heard: Readonly<Record<string, Heard>> = {}): number {
  const runs = Object.values(heard).flatMap(({ missing }) => missing);
  return runs.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}
