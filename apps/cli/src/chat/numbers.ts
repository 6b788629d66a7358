// Numbers as people type them: digits alone, within a range. `0x1`, `1e3`, ` 1` and `+1` are none.
// Knows nothing of what they count.

/** Undefined: it is no such number, or out of range. */
export function wholeNumberIn(text: string | undefined, least: number, most: number): number | undefined {
  const number = text !== undefined && /^(?:0|[1-9][0-9]{0,8})$/.test(text) ? Number(text) : Number.NaN;
  return number >= least && number <= most ? number : undefined;
}

/** Degrees with a point, `-8.6110`; at most 12 digits behind it. Undefined: it is none, or beyond `most` either way. */
export function degreesIn(text: string | undefined, most: number): number | undefined {
  const number = text !== undefined && /^-?[0-9]{1,3}(?:\.[0-9]{1,12})?$/.test(text) ? Number(text) : Number.NaN;
  return Math.abs(number) <= most ? number : undefined;
}

/** What stands at a number of a list that was shown, which begins with 1. */
export function numbered<T>(list: readonly T[], text: string | undefined): T | undefined {
  const number = wholeNumberIn(text, 1, list.length);
  return number === undefined ? undefined : list[number - 1];
}
