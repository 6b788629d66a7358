// `npm test`: unit tests, then tests of whole networks (real sockets, databases, foreign clients).
// `npm run test:unit`, `npm run test:network`: one of the two. `npm test -- --help` lists the options.
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ownNode, root, run } from './node.js';
import { readOptions } from './options.js';

const help = `npm test, npm run test:unit, npm run test:network: the tests of this repository

  -- --name PATTERN   only tests whose name matches this regular expression
  -- --help           these words`;

const part = process.argv[2] === 'unit' || process.argv[2] === 'network' ? process.argv.splice(2, 1)[0] : 'all';
const { name: only } = readOptions(help, { name: { type: 'string' } });
const unit = ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'bench/src/**/*.test.ts'];
const network = ['harness/src/**/*.test.ts'];

/** What each part came to. */
const parts = [];

async function test(name, patterns, concurrency) {
  const files = patterns.flatMap(pattern => globSync(pattern, { cwd: root })).sort();
  if (files.length === 0) {
    console.error(`no ${name} tests found`);
    return 1;
  }
  console.log(`${name} tests: ${files.length} files`);
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-tests-'));
  const file = join(folder, 'summary.json');
  const reporter = process.env.CI === 'true' ? 'spec' : 'dot';
  const reporters = [`--test-reporter=${reporter}`, '--test-reporter-destination=stdout'];
  reporters.push(`--test-reporter=${join(root, 'scripts/test-summary.js')}`, '--test-reporter-destination=stderr');
  const began = Date.now();
  const words = [
    '--conditions=drawbridge-source',
    '--test',
    ...reporters,
    `--test-concurrency=${concurrency}`,
    '--test-timeout=600000',
    ...(only === undefined ? [] : [`--test-name-pattern=${only}`]),
    ...files,
  ];
  const status = await run(ownNode(), words, { env: { DRAWBRIDGE_TEST_SUMMARY: file } });
  const seconds = Math.round((Date.now() - began) / 1000);
  try {
    parts.push({ name, files: files.length, seconds, ...JSON.parse(readFileSync(file, 'utf8')) });
  } catch {
    parts.push({ name, files: files.length, seconds, counts: undefined, failures: [] });
  }
  rmSync(folder, { recursive: true });
  return status;
}

/** How many, how long; the failed ones last, where they are seen. */
function tell() {
  for (const { name, files: count, seconds, counts } of parts) {
    const { passed, failed, skipped } = counts ?? {};
    const said =
      counts === undefined ? 'the runner ended early' : `${passed} passed, ${failed} failed, ${skipped} skipped`;
    console.log(`${name} tests: ${said}; ${count} files in ${seconds} s`);
  }
  for (const { failures } of parts)
    for (const each of failures)
      console.log(`FAILED ${relative(root, each.file ?? '')}:${each.line ?? ''} ${each.name}`);
}

const started = Date.now();
let status = 0;
if (part !== 'network') status = await test('unit', unit, 2);
// Networks are heavy and measure nothing of themselves, but they wait for real time: one after the other.
if (status === 0 && part !== 'unit') status = await test('network', network, 1);
tell();
console.log(`${status === 0 ? 'all tests passed' : 'tests failed'} in ${Math.round((Date.now() - started) / 1000)} s`);
process.exit(status);
