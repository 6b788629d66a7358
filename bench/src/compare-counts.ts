// Compares counts with the committed ones: what grew by more than a tenth fails. Knows nothing of how they were counted.

/** Counts per message, by what is counted. */
export type Counts = Readonly<Record<string, number>>;
export type CountedFile = { readonly node: string; readonly counts: Counts };

/** More than this above the committed figure is a failure. */
const toleratedGrowth = 1.1;
/** So much more is none: a page of a mailbox more or less among 2,000 messages is a matter of timing. */
const toleratedDifference = 0.002;
/** What depends on the engine: compared only with figures of the same Node. */
const ofTheEngine = 'allocated on the heap';

export function isCountedFile(value: unknown): value is CountedFile {
  if (typeof value !== 'object' || value === null || !('node' in value) || !('counts' in value)) return false;
  const { node, counts } = value;
  return (
    typeof node === 'string' &&
    typeof counts === 'object' &&
    counts !== null &&
    Object.values(counts).every(count => typeof count === 'number')
  );
}

export type Comparison = {
  /** One for each count, to read. */
  readonly lines: readonly string[];
  /** Sentences; empty when nothing grew. */
  readonly failures: readonly string[];
};

export function compareCounts(known: CountedFile | undefined, now: CountedFile): Comparison {
  const lines: string[] = [];
  const failures: string[] = [];
  if (known === undefined) failures.push('there is nothing to compare with');
  for (const [name, count] of Object.entries(now.counts)) {
    const before = known?.counts[name];
    const skipped = known !== undefined && known.node !== now.node && name.includes(ofTheEngine);
    const grew =
      before !== undefined && !skipped && count > Math.max(before * toleratedGrowth, before + toleratedDifference);
    if (grew) failures.push(`${name}: ${count}, was ${before}`);
    if (known !== undefined && before === undefined) failures.push(`${name}: new, and not among the committed counts`);
    let change = `was ${before}${skipped ? ` with Node ${known?.node}` : ''}`;
    if (before === undefined) change = 'new';
    else if (before === count) change = '';
    lines.push(`${grew ? 'WORSE ' : ''}${name}: ${count} ${change}`.trimEnd());
  }
  for (const name of Object.keys(known?.counts ?? {})) {
    if (now.counts[name] === undefined) failures.push(`${name}: no longer counted`);
  }
  return { lines, failures };
}
