// Runs test files beside each other, each in a process of its own, and tells of each one when it has ended. Knows nothing
// of which tests there are.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownNode, root } from './node.js';

/** A file that takes longer is ended, and has failed. */
const timeoutMs = 900_000;

/**
 * Runs `together`, `lanes` at once, in their order, then `alone` one after the other. Of the files that need the same thing for
 * themselves (`needOf` gives its name), one runs at a time. `only`: a regular expression for the names of tests that run. Gives what
 * each file came to, in the order in which they ended.
 */
export async function runFiles({ together, alone, lanes, needOf = () => undefined, only, isVerbose }) {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-tests-'));
  const results = [];
  let begun = 0;
  const inUse = new Set();
  // When all that is left waits for what a file of another lane uses, that lane goes on with it.
  const next = queue => {
    const place = queue.findIndex(file => !inUse.has(needOf(file)));
    return place < 0 ? undefined : queue.splice(place, 1)[0];
  };
  const inTurn = async queue => {
    for (let file = next(queue); file !== undefined; file = next(queue)) {
      const need = needOf(file);
      if (need !== undefined) inUse.add(need);
      const result = await runFile(file, join(folder, String(begun++)), only);
      inUse.delete(need);
      results.push(result);
      if (only === undefined || result.tests.length > 0) tell(result, isVerbose);
    }
  };
  const queue = [...together];
  await Promise.all(Array.from({ length: lanes }, () => inTurn(queue)));
  await inTurn([...alone]);
  rmSync(folder, { recursive: true });
  return results;
}

/** The tests of a file, each `passed`, `failed` or `skipped`; what it printed; how long it took. */
async function runFile(file, eventsFile, only) {
  const began = performance.now();
  const child = spawn(
    ownNode(),
    [
      '--conditions=drawbridge-source',
      `--test-reporter=${join(root, 'scripts/test-events.js')}`,
      `--test-reporter-destination=${eventsFile}`,
      // What a file opens for tests that are left out is never closed.
      ...(only === undefined ? [] : [`--test-name-pattern=${only}`, '--test-force-exit']),
      file,
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let printed = '';
  for (const pipe of [child.stdout, child.stderr]) pipe.setEncoding('utf8').on('data', text => (printed += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const end = await new Promise(resolve => {
    child.once('error', error => resolve(error.message));
    // Not `close`: a process that a test has left behind may hold the pipes.
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
  clearTimeout(timer);
  const lines = existsSync(eventsFile) ? readFileSync(eventsFile, 'utf8').split('\n').slice(0, -1) : [];
  const tests = lines.map(line => JSON.parse(line));
  // What it closes at its end was never opened: that is not a failure of a test that was asked for.
  const isLeftOut = only !== undefined && tests.every(({ name }) => name === join(root, file));
  if (isLeftOut) return { file, tests: [], printed, ms: performance.now() - began };
  const isSilent = tests.length === 0 && only === undefined;
  if (isSilent || (end !== 0 && count(tests, 'failed') === 0)) {
    const why = `it ended with ${end} after ${seconds(performance.now() - began).trim()}${isSilent ? ', without a test' : ''}`;
    tests.push({ name: 'the file itself', state: 'failed', why, ms: 0 });
  }
  return { file, tests, printed, ms: performance.now() - began };
}

export const count = (tests, state) => tests.filter(each => each.state === state).length;
const seconds = ms => `${(ms / 1000).toFixed(1).padStart(6)} s`;

/** One line; below it what failed, with all that the file printed, and what was skipped and why. */
function tell({ file, tests, printed, ms }, isVerbose) {
  const counts = ['passed', 'failed', 'skipped'].map(state => [count(tests, state), state]);
  const said = counts.filter(([many]) => many > 0).map(([many, state]) => `${many} ${state}`);
  const hasFailed = count(tests, 'failed') > 0;
  console.log(`${hasFailed ? 'FAIL' : 'ok  '} ${seconds(ms)}  ${file}: ${said.join(', ') || 'no tests'}`);
  for (const test of tests) {
    if (test.state === 'failed') console.log(`  FAILED ${seconds(test.ms)}  ${test.name}\n${test.why}`);
    else if (test.state === 'skipped')
      console.log(`  skipped ${test.name}${typeof test.why === 'string' ? `: ${test.why}` : ''}`);
    else if (isVerbose) console.log(`      ${seconds(test.ms)}  ${test.name}`);
  }
  if (hasFailed && printed !== '') console.log(printed);
}
