// `npm run verify`: what to run before a commit; `-- --no-tests` leaves out the API reports, which
// need a build, and the unit tests. Stops at the first that fails.
import { ownNode, run } from './node.js';
import { readOptions } from './options.js';
import { ownTops } from './own-files.js';

const help = `npm run verify: every check of this repository, and the unit tests

  -- --no-tests   leaves out the unit tests, and the API reports, which need a build
  -- --help       these words`;
const { 'no-tests': isShort = false } = readOptions(help, { 'no-tests': { type: 'boolean' } });

const node = ownNode();
const steps = [
  ['format', 'biome', ['format', ...ownTops().filter(top => /^\w+$|\.json$/.test(top) && !/^[A-Z]+$/.test(top))]],
  ['types', 'tsc', ['-p', 'tsconfig.json']],
  ['types of the page', 'tsc', ['-p', 'apps/web/src/tsconfig.json']],
  ['types of its tests', 'tsc', ['-p', 'harness/src/pages/tsconfig.json']],
  ['lint', 'oxlint', ['--type-aware', '--quiet']],
  ['habits', node, ['scripts/check-habits.js']],
  ['generated files', node, ['scripts/generate.js', '--check']],
  ['repository rules', node, ['scripts/check-repository.js']],
  ['links', node, ['scripts/check-links.js']],
  ['threat model', node, ['scripts/check-threats.js']],
  ['API reports', node, ['scripts/api.js', '--check']],
  ['unit tests', node, ['scripts/test.js', 'unit']],
];
if (isShort) steps.splice(-2);

const started = Date.now();
const seconds = since => `${((Date.now() - since) / 1000).toFixed(1)} s`;
console.log(`verify: ${steps.length} checks: ${steps.map(([name]) => name).join(', ')}`);
for (const [index, [name, command, args]] of steps.entries()) {
  const from = Date.now();
  const status = await run(command, args);
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds(from)})`);
  if (status === 0) continue;
  const left = steps.slice(index + 1).map(([each]) => each);
  console.log(
    `verify failed: ${name}, after ${seconds(started)}${left.length === 0 ? '' : `; not run: ${left.join(', ')}`}`,
  );
  process.exit(status);
}
console.log(`verify: all ${steps.length} checks passed in ${seconds(started)}`);
