// The count that stream management sends both ways. Knows nothing of what is counted.
// Source: XEP-0198 section 4.

/** A stream-management count, 0..2^32-1, or undefined. */
export function parseCount(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0|[1-9][0-9]{0,9})$/.test(text)) return undefined;
  const count = Number(text);
  return count < 0x1_0000_0000 ? count : undefined;
}
