// What `npm test` and `npm run verify` say about their options: an answer in their own words, and no test is run.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

function say(script: string, ...args: readonly string[]) {
  // Without the mark of a test runner's child, which would keep --test from running.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = { cwd: root, env, encoding: 'utf8', timeout: 20_000 } as const;
  return spawnSync(process.execPath, [join('scripts', script), ...args], options);
}

test('--help of npm test and npm run verify names every option and runs nothing', () => {
  for (const [script, first, option] of [
    ['test.js', /^npm test, npm run test:unit, npm run test:network:/, '--name PATTERN'],
    ['verify.js', /^npm run verify:/, '--no-tests'],
  ] as const) {
    const { status, stdout } = say(script, '--help');
    assert.equal(status, 0);
    assert.match(stdout, first);
    assert.ok(stdout.includes(option) && !/tests: \d+ files|checks:/.test(stdout), stdout);
  }
  assert.equal(say('test.js', 'unit', '--help').status, 0);
});

test('an option or a word that they do not have is refused by name', () => {
  for (const [script, args, named] of [
    ['test.js', ['--nope'], '--nope'],
    ['test.js', ['unit', 'network'], 'network'],
    ['test.js', ['--name'], '--name'],
    ['verify.js', ['--no-test'], '--no-test'],
  ] as const) {
    const { status, stdout, stderr } = say(script, ...args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr.split('\n', 1)[0]!, new RegExp(`'${named}\\b`));
  }
});
