// What a suite found, as it is written to bench/results: figures of every run, their medians, ratios within the run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Machine, repositoryFolder } from './machine.ts';

export const resultsFolder = join(repositoryFolder, 'bench/results');

/** Numbers by name; undefined where a figure does not apply. */
export type Figures = Readonly<Record<string, number | undefined>>;

/** One way of measuring one server. */
export type Row = {
  /** Such as `routed-xml`; rows of one case are comparable. */
  readonly case: string;
  readonly subject: string;
  readonly runs: readonly Figures[];
  readonly medians: Figures;
  /** The run that cost least CPU per operation: neighbours only ever add. */
  readonly leastDisturbed: Figures;
  /** Why these figures are worth less: the generator was saturated, a neighbour was busy, stanzas were refused. */
  readonly doubts: readonly string[];
};

/** A promise of ours, and whether it was kept in this run. */
export type Check = {
  readonly claim: string;
  readonly measured: number;
  /** The same of the least disturbed runs. */
  readonly leastDisturbed?: number;
  readonly target: number;
  readonly want: 'at-most' | 'at-least';
  readonly met: boolean;
};

export type SuiteResult = {
  readonly suite: string;
  readonly question: string;
  readonly expectation: string;
  readonly cases: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
  readonly checks: readonly Check[];
  readonly notes: readonly string[];
};

export type WrittenResult = SuiteResult & { readonly machine: Machine; readonly quick: boolean };

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function mediansOf(runs: readonly Figures[]): Figures {
  const names = new Set(runs.flatMap(run => Object.keys(run)));
  const medians: Record<string, number> = {};
  for (const name of names) {
    const values = runs.map(run => run[name]).filter(value => value !== undefined);
    if (values.length > 0) medians[name] = round(median(values));
  }
  return medians;
}

/** Four significant figures: more would pretend. */
export function round(value: number): number {
  return Number(value.toPrecision(4));
}

export function check(
  claim: string,
  measured: number | undefined,
  want: Check['want'],
  target: number,
  leastDisturbed?: number,
): Check[] {
  if (measured === undefined || !Number.isFinite(measured)) return [];
  const met = want === 'at-most' ? measured <= target : measured >= target;
  const least = leastDisturbed === undefined ? {} : { leastDisturbed: round(leastDisturbed) };
  return [{ claim, measured: round(measured), ...least, target: round(target), want, met }];
}

export function writeResult(result: SuiteResult, machine: Machine, quick: boolean): void {
  mkdirSync(resultsFolder, { recursive: true });
  const written: WrittenResult = { ...result, machine, quick };
  writeFileSync(join(resultsFolder, `${result.suite}.json`), `${JSON.stringify(written, undefined, 1)}\n`);
}

/** A row from its runs. */
export function row(name: string, subject: string, runs: readonly Figures[], doubts: readonly string[]): Row {
  const rounded = runs.map(run =>
    Object.fromEntries(
      Object.entries(run).map(([key, value]) => [key, value === undefined ? undefined : round(value)]),
    ),
  );
  const cost = (run: Figures): number => run.cpuMsPerMessage ?? run.cpuMsPerLogin ?? run.cpuSecondsPerGib ?? 0;
  const leastDisturbed = rounded.reduce((least, run) => (cost(run) < cost(least) ? run : least), rounded[0] ?? {});
  return { case: name, subject, runs: rounded, medians: mediansOf(runs), leastDisturbed, doubts: [...new Set(doubts)] };
}
