// Numbers of what each device says in a chat, as they are heard here: one that is left out was withheld, or is still under way.
// Pure. Knows nothing of storage or messages, nor of why a number did not come.
// Source: docs/protocol/09-content.md sections 9.9 and 9.11.

export const gapLimits = {
  /** Runs of numbers that did not come, for each device; the oldest give way, and are only counted from then on. */
  maxRuns: 256,
  /** The same for all devices of a chat together: their record stays below 128 KiB, and is written with each content. */
  maxRunsInChat: 1_024,
  /** Places that are kept free in the history before one that comes early, for the last of those that it overtook. */
  maxPlaces: 64,
} as const;

/** Numbers that did not come: from `from` to `to`. `place`: where the first of `places` of them stands when it comes. */
export type Run = { readonly from: number; readonly to: number; readonly place: number; readonly places: number };

/** What was heard of one device in one chat. Whoever begins to listen later misses nothing of what was said before. */
export type Heard = {
  readonly next: number;
  readonly missing: readonly Run[];
  /** Nobody misses these: they are from before this device listened, or were given up. They have places all the same. */
  readonly free?: readonly Run[];
  /** How many numbers are missing of which only this count is kept: their runs gave way. */
  readonly beyond?: number;
};

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
  if (before === undefined) {
    // Where others of this person's devices have heard what came before, it may still be on its way to this one.
    const free = skipped(Math.max(1, number - gapLimits.maxPlaces), number - 1, keepPlaces);
    return { heard: { next: number + 1, missing: [], ...(free.length === 0 ? {} : { free }) } };
  }
  const { next, missing, free = [], beyond = 0 } = before;
  if (number >= next) {
    const heard = { ...before, next: number + 1, missing: [...missing, ...skipped(next, number - 1, keepPlaces)] };
    return { heard: giveWay(heard, gapLimits.maxRuns) };
  }
  // What comes out of the middle of a run makes two of it.
  const missed = take(missing, number);
  if (missed !== undefined)
    return { ...missed.place, heard: giveWay({ ...before, missing: missed.left }, gapLimits.maxRuns) };
  const spared = take(free, number);
  if (spared !== undefined)
    return { ...spared.place, heard: giveWay({ ...before, free: spared.left }, gapLimits.maxRuns) };
  const isBeyond = beyond > 0 && number < (missing[0]?.from ?? next);
  return isBeyond ? { heard: { ...before, beyond: beyond - 1 } } : undefined;
}

/** The numbers from `from` to `to`, the last of which have places. */
function skipped(from: number, to: number, keepPlaces: (count: number) => number): Run[] {
  if (from > to) return [];
  const places = Math.min(to - from + 1, gapLimits.maxPlaces);
  const placed = { from: to - places + 1, to, place: keepPlaces(places), places };
  return placed.from === from ? [placed] : [{ from, to: placed.from - 1, place: placed.place, places: 0 }, placed];
}

type Taken = { readonly left: readonly Run[]; readonly place: { readonly place?: number } };

function take(runs: readonly Run[], number: number): Taken | undefined {
  const run = runs.find(({ from, to }) => from <= number && number <= to);
  if (run === undefined) return undefined;
  const left = runs.flatMap(each => (each === run ? without(run, number) : [each]));
  const at = number - run.from;
  return { left, place: at < run.places ? { place: run.place + at } : {} };
}

function without({ from, to, place, places }: Run, number: number): Run[] {
  const at = number - from;
  const before = { from, to: number - 1, place, places: Math.min(places, at) };
  const after = { from: number + 1, to, place: place + at + 1, places: Math.max(0, places - at - 1) };
  return [before, after].filter(run => run.from <= run.to);
}

/** Keeps the latest `most` runs, of what is missing first; the others are still counted, as far as anybody misses them. */
export function giveWay(heard: Heard, most: number): Heard {
  const { missing, free = [], beyond = 0 } = heard;
  if (missing.length + free.length <= most) return heard;
  const kept = missing.slice(Math.max(0, missing.length - most));
  const counted = beyond + numbersOf(missing.slice(0, missing.length - kept.length));
  const spared = free.slice(Math.max(0, free.length - (most - kept.length)));
  const { free: _f, beyond: _b, ...rest } = heard;
  return {
    ...rest,
    missing: kept,
    ...(spared.length === 0 ? {} : { free: spared }),
    ...(counted === 0 ? {} : { beyond: counted }),
  };
}

/** Nobody misses any of it any more; what comes after all stands where it would have. */
export function giveUp(heard: Heard): Heard {
  const { beyond: _, missing, free = [], ...rest } = heard;
  const all = [...free, ...missing].filter(({ places }) => places > 0).toSorted((a, b) => a.from - b.from);
  return { ...rest, missing: [], ...(all.length === 0 ? {} : { free: all }) };
}

/** How many runs are kept of a device. */
export function runsOf({ missing, free = [] }: Heard): number {
  return missing.length + free.length;
}

function numbersOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

export function countMissing(heard: Readonly<Record<string, Heard>> = {}): number {
  return Object.values(heard).reduce((sum, { missing, beyond = 0 }) => sum + beyond + numbersOf(missing), 0);
}
