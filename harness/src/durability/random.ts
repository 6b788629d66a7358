// Numbers that a seed repeats: which people do what, and when faults come. What happens in between is the machine's.
// Source: Mulberry32 (public domain).

export type Random = {
  /** 0 ≤ x < 1. */
  share(): number;
  /** min ≤ n ≤ max. */
  integer(min: number, max: number): number;
  pick<T>(from: readonly T[]): T;
};

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const share = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const integer = (min: number, max: number): number => min + Math.floor(share() * (max - min + 1));
  return { share, integer, pick: from => from[integer(0, from.length - 1)]! };
}
