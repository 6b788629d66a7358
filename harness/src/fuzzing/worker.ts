// A process that plays the seeds it is told, one after the other. What it can't survive, its parent sees.
import { fuzzTargets } from './targets.ts';
import type { FuzzOrder, FuzzReport } from './run.ts';

process.on('message', ({ target, seed, iterations }: FuzzOrder) => {
  const report = (message: FuzzReport): void => void process.send?.(message);
  try {
    fuzzTargets[target].run(seed, iterations);
    report({ failure: undefined });
  } catch (error) {
    report({ failure: error instanceof Error ? error.message : String(error) });
  }
});
process.on('disconnect', () => process.exit(0));
