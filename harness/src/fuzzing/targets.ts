// What can be fuzzed: each target throws when a law of its own is broken, and does the same for the same seed.
import { fuzzNoise } from '@drawbridge/noise/testing/fuzz';
import { fuzzCompactConnection } from '@drawbridge/stream/testing/compact-connection-fuzz';
import { fuzzCompact } from '@drawbridge/wire/testing/compact-fuzz';
import { fuzzXml } from '@drawbridge/wire/testing/xml-fuzz';

export type FuzzTarget = {
  readonly run: (seed: number, iterations: number) => void;
  /** Rounds of one seed: about a second, so that a failure is soon played again. */
  readonly iterations: number;
};

export const fuzzTargets = {
  xml: { run: fuzzXml, iterations: 2_000 },
  compact: { run: fuzzCompact, iterations: 20_000 },
  noise: { run: fuzzNoise, iterations: 1_000 },
  connection: { run: fuzzCompactConnection, iterations: 1_000 },
} as const satisfies Readonly<Record<string, FuzzTarget>>;

export type FuzzTargetName = keyof typeof fuzzTargets;

export const fuzzTargetNames = Object.keys(fuzzTargets) as FuzzTargetName[];

export function isFuzzTargetName(text: string): text is FuzzTargetName {
  return Object.hasOwn(fuzzTargets, text);
}
