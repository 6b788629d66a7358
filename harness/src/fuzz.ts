// `npm run fuzz`: plays random seeds against everything that reads a peer's bytes. Seeds that fail are kept in
// harness/corpus, where a test plays them again for ever.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runFuzz } from './fuzzing/run.ts';
import { fuzzTargetNames, isFuzzTargetName } from './fuzzing/targets.ts';

export const corpusFolder = fileURLToPath(new URL('../corpus', import.meta.url));

const usage = `npm run fuzz -- [options]

Plays seeded attacks against codecs, Noise sessions and compact connections, in processes of their own.
A seed that fails (an exception, a crash, too much memory, no end) is kept in harness/corpus and makes the exit code 1.

  --minutes N      how long; 1 when left out
  --seed N         the first seed, 0..4294967295; from the clock when left out
  --targets LIST   of ${fuzzTargetNames.join(',')}; all when left out
  --jobs N         processes at once; one less than there are processors when left out
  --help           this text
`;

function fail(text: string): never {
  process.stderr.write(`${text}\n\n${usage}`);
  process.exit(2);
}

function numberOf(text: string, name: string, minimum: number, maximum: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= minimum && value <= maximum)) fail(`--${name} is ${minimum} to ${maximum}`);
  return value;
}

function options() {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      options: { minutes: text, seed: text, targets: text, jobs: text, help: { type: 'boolean' } },
      strict: true,
    }).values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

const given = options();
if (given.help === true) {
  process.stdout.write(usage);
  process.exit(0);
}
const targets = (given.targets ?? fuzzTargetNames.join(',')).split(',').map(name => name.trim());
const known = targets.filter(isFuzzTargetName);
if (known.length !== targets.length) fail(`--targets are of ${fuzzTargetNames.join(',')}`);
const minutes = numberOf(given.minutes ?? '1', 'minutes', 0.001, 100_000);
const seed = Math.floor(numberOf(given.seed ?? String(Date.now() >>> 0), 'seed', 0, 0xffff_ffff));
const jobs = Math.floor(numberOf(given.jobs ?? String(Math.max(1, availableParallelism() - 1)), 'jobs', 1, 256));

const print = (line: string): void => void process.stdout.write(`${line}\n`);
print(`Seeds from ${seed}, ${minutes} min, ${jobs} at once: ${known.join(', ')}`);
const outcome = await runFuzz({ minutes, seed, jobs, targets: known, corpusFolder, print });
const { seeds, rounds, failures } = outcome;
print(`${rounds.toLocaleString('en')} rounds of ${seeds} seeds; ${failures} failed.`);
if (failures > 0) print('They are in harness/corpus: `npm run test:network` plays them again.');
process.exitCode = failures === 0 ? 0 : 1;
