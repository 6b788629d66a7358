// `npm test`: unit tests, then tests of whole networks (real sockets, databases, foreign clients).
// `npm run test:unit`, `npm run test:network`: one of the two. More words are passed to node --test.
import { globSync } from 'node:fs';
import { ownNode, root, run } from './node.js';

const args = process.argv.slice(2);
const part = args[0] === 'unit' || args[0] === 'network' ? args.shift() : 'all';
const unit = ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'bench/src/**/*.test.ts'];
const network = ['harness/src/**/*.test.ts'];

async function test(name, patterns, concurrency) {
  const files = patterns.flatMap(pattern => globSync(pattern, { cwd: root })).sort();
  if (files.length === 0) {
    console.error(`no ${name} tests found`);
    return 1;
  }
  console.log(`${name} tests: ${files.length} files`);
  const reporter = process.env.CI === 'true' ? ['--test-reporter=spec'] : ['--test-reporter=dot'];
  return await run(ownNode(), [
    '--conditions=drawbridge-source',
    '--test',
    ...reporter,
    `--test-concurrency=${concurrency}`,
    '--test-timeout=600000',
    ...args,
    ...files,
  ]);
}

const started = Date.now();
let status = 0;
if (part !== 'network') status = await test('unit', unit, 2);
// Networks are heavy and measure nothing of themselves, but they wait for real time: one after the other.
if (status === 0 && part !== 'unit') status = await test('network', network, 1);
console.log(`${status === 0 ? 'all tests passed' : 'tests failed'} in ${Math.round((Date.now() - started) / 1000)} s`);
process.exit(status);
