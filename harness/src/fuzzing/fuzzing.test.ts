// Seeds that failed once are played again; and the fuzzer itself sees exceptions, crashes and what never ends.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readCorpus, runFuzz } from './run.ts';
import { fuzzTargetNames, fuzzTargets } from './targets.ts';

const corpusFolder = fileURLToPath(new URL('../../corpus', import.meta.url));

for (const name of fuzzTargetNames) {
  test(`${name}: every seed that failed once, and one that did not`, () => {
    const cases = [...readCorpus(corpusFolder, name), { seed: 1, iterations: 50 }];
    for (const { seed, iterations } of cases) fuzzTargets[name].run(seed, iterations);
  });
}

test('exceptions, crashes and endless seeds are reported and kept; the fuzzer goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-fuzz-'));
  const worker = join(folder, 'worker.mjs');
  writeFileSync(
    worker,
    `process.on('message', ({ seed }) => {
      if (seed === 101) return process.send({ failure: 'a law is broken' });
      if (seed === 102) process.exit(3);
      if (seed === 103) for (;;);
      process.send({ failure: undefined });
    });
    process.on('disconnect', () => process.exit(0));`,
  );
  const lines: string[] = [];
  try {
    const outcome = await runFuzz({
      minutes: 1.5 / 60,
      seed: 100,
      jobs: 1,
      targets: ['xml'],
      corpusFolder: join(folder, 'corpus'),
      print: line => lines.push(line),
      workerFile: pathToFileURL(worker),
      maxSeedMs: 400,
    });
    assert.equal(outcome.failures, 3);
    assert.ok(outcome.seeds > 4);
    assert.deepEqual(
      readCorpus(join(folder, 'corpus'), 'xml').map(({ seed, failure }) => [seed, failure]),
      [
        [101, 'a law is broken'],
        [102, 'the process ended: code 3'],
        [103, 'no end within 400 ms'],
      ],
    );
    assert.equal(lines.filter(line => line.startsWith('FAILED')).length, 3);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the real worker plays real targets', async () => {
  const outcome = await runFuzz({
    minutes: 1 / 60,
    seed: 7,
    jobs: 1,
    targets: ['noise', 'connection'],
    corpusFolder,
    print: () => {},
  });
  assert.equal(outcome.failures, 0);
  assert.ok(outcome.rounds > 0);
});
