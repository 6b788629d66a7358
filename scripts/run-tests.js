// What `npm test` runs under the repository's own Node: which tests there are, which of them run beside others, and what all
// of them came to. Knows nothing of how a file is run (test-files.js).
import { globSync } from 'node:fs';
import { root } from './node.js';
import { count, runFiles } from './test-files.js';

/** It measures what a whole gatekeeper holds and how long people wait while everything is abused at once. */
const alone = new Set(['harness/src/crowd/crowd.test.ts']);
/** The tests of packages build into the same folders of the repository. */
const needOf = file => (file.startsWith('harness/src/packages/') ? 'dist' : undefined);
/** Those that take longest begin first, so that nothing waits for them at the end. */
const longest = [
  'cheating/attacks',
  'packages/debian',
  'packages/packages',
  'cluster/cluster',
  'durability/durability',
  'crash',
  'flaky/flaky',
  'media-s3',
  'media-resume',
].map(name => `harness/src/${name}.test.ts`);
/** For two cores: a file of unit tests keeps one busy, one of network tests about six tenths of one. */
const parts = {
  unit: { lanes: 2, patterns: ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'bench/src/**/*.test.ts'] },
  network: { lanes: 3, patterns: ['harness/src/**/*.test.ts'] },
};

const [part = 'all', only] = process.argv.slice(2);
const isVerbose = process.env.CI === 'true';
const started = performance.now();
const secondsSince = since => `${Math.round((performance.now() - since) / 1000)} s`;
/** What each part came to, said again at the end. */
const told = [];
let hasFailed = false;
let ran = 0;

for (const [name, { lanes, patterns }] of Object.entries(parts)) {
  if (hasFailed || (part !== 'all' && part !== name)) continue;
  const began = performance.now();
  const files = globSync(patterns, { cwd: root }).sort(byLength);
  const beside = files.filter(file => !alone.has(file));
  console.log(`${name} tests: ${files.length} files, ${lanes} at once, ${files.length - beside.length} alone`);
  const last = files.filter(file => alone.has(file));
  const results = await runFiles({ together: beside, alone: last, lanes, needOf, only, isVerbose });
  const tests = results.flatMap(result => result.tests.map(test => ({ ...test, file: result.file })));
  ran += tests.length;
  hasFailed = files.length === 0 || tests.some(test => test.state === 'failed');
  const [passed, failed, skipped] = ['passed', 'failed', 'skipped'].map(state => count(tests, state));
  told.push(
    `${name} tests: ${passed} passed, ${failed} failed, ${skipped} skipped; ${files.length} files in ${secondsSince(began)}`,
  );
  for (const { file, line, name: test } of tests.filter(({ state }) => state === 'failed'))
    told.push(`FAILED ${file}:${line ?? ''} ${test}`);
}

if (!hasFailed && ran === 0) {
  hasFailed = true;
  told.push('no test has such a name');
}
for (const line of told) console.log(line);
console.log(`${hasFailed ? 'tests failed' : 'all tests passed'} in ${secondsSince(started)}`);
process.exit(hasFailed ? 1 : 0);

/** The longest first, the others by name. */
function byLength(a, b) {
  const place = file => (longest.includes(file) ? longest.indexOf(file) : longest.length);
  return place(a) - place(b) || (a < b ? -1 : 1);
}
