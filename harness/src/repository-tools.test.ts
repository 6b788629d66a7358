// What `npm test` and `npm run verify` say about their options: an answer in their own words, and no test is run. And how
// test files run beside each other, and what becomes of those that fail, crash or are silent.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
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

test('test files run beside each other or alone, and one that fails, crashes or tests nothing is told', t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-tools-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, body: string): string => {
    const path = join(folder, `${name}.mjs`);
    const imports = `import { existsSync, writeFileSync } from 'node:fs'; import { test } from 'node:test';`;
    writeFileSync(path, `${imports}\nconst at = name => ${JSON.stringify(folder)} + '/' + name;\n${body}`);
    return path;
  };
  /** It ends when the other one has begun, and not before. */
  const meet = (name: string, other: string): string =>
    file(
      name,
      `test('meets', async () => {
        writeFileSync(at('begun-${name}'), '');
        while (!existsSync(at('begun-${other}'))) await new Promise(resolve => setTimeout(resolve, 10));
        writeFileSync(at('ended-${name}'), '');
      });`,
    );
  const together = [
    meet('one', 'two'),
    meet('two', 'one'),
    file('fails', `test('is wrong', () => { console.log('what it printed'); throw new Error('for a reason'); });`),
    file('crashes', `test('is right', () => {}); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 300);`),
    file('silent', `process.exit(0);`),
    file('skips', `test('is left out', { skip: 'not here' }, () => {});`),
  ];
  const ended = `['one', 'two'].every(name => existsSync(at('ended-' + name)))`;
  const alone = [file('alone', `test('comes last', () => { if (!${ended}) throw new Error('too early'); });`)];
  const program = `
    import { runFiles } from ${JSON.stringify(join(root, 'scripts/test-files.js'))};
    const results = await runFiles(${JSON.stringify({ together, alone, lanes: 2 })});
    const states = results.map(({ file, tests }) => [file.split('/').at(-1), tests.map(({ state }) => state).join()]);
    console.log('RESULT ' + JSON.stringify(Object.fromEntries(states)));
  `;
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = { cwd: root, env, encoding: 'utf8', timeout: 60_000 } as const;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], options);
  const [, result = ''] = /^RESULT (.*)$/m.exec(stdout) ?? [];
  assert.deepEqual(JSON.parse(result || stdout), {
    'one.mjs': 'passed',
    'two.mjs': 'passed',
    'fails.mjs': 'failed',
    'crashes.mjs': 'passed,failed',
    'silent.mjs': 'failed',
    'skips.mjs': 'skipped',
    'alone.mjs': 'passed',
  });
  for (const said of ['FAIL', 'for a reason', 'what it printed', 'SIGKILL', 'without a test', 'is left out: not here'])
    assert.ok(stdout.includes(said), `${said}: ${stdout}`);
});

test('of a file whose tests have other names nothing is told, whatever it closes and leaves open', t => {
  const folder = mkdtempSync(join(root, 'node_modules', '.drawbridge-tools-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const bodies = {
    closes: `test('another', () => {}); after(() => { throw new Error('nothing to close'); });`,
    open: `test('asked for', () => {}); setInterval(() => {}, 1_000);`,
  };
  const together = Object.entries(bodies).map(([name, body]) => {
    const path = join(folder, `${name}.mjs`);
    writeFileSync(path, `import { after, test } from 'node:test';\n${body}`);
    return relative(root, path);
  });
  const program = `
    import { runFiles } from ${JSON.stringify(join(root, 'scripts/test-files.js'))};
    const options = ${JSON.stringify({ together, alone: [], lanes: 1, only: 'asked for' })};
    console.log('RESULT ' + JSON.stringify((await runFiles(options)).map(({ tests }) => tests.map(each => each.state))));
  `;
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = { cwd: root, env, encoding: 'utf8', timeout: 60_000 } as const;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], options);
  assert.match(stdout, /^RESULT \[\[\],\["passed"\]\]$/m);
});

test('of test files that need the same for themselves, one runs at a time', t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-tools-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const together = ['shared-one', 'shared-two', 'other'].map(name => {
    const path = join(folder, `${name}.mjs`);
    const taken = JSON.stringify(join(folder, name.split('-', 1)[0]!));
    writeFileSync(
      path,
      `import { mkdirSync, rmdirSync } from 'node:fs'; import { test } from 'node:test';
      test('has it alone', async () => {
        mkdirSync(${taken});
        await new Promise(resolve => setTimeout(resolve, 500));
        rmdirSync(${taken});
      });`,
    );
    return path;
  });
  const program = `
    import { runFiles } from ${JSON.stringify(join(root, 'scripts/test-files.js'))};
    const needOf = file => (file.includes('shared-') ? 'shared' : undefined);
    const results = await runFiles({ together: ${JSON.stringify(together)}, alone: [], lanes: 3, needOf });
    console.log('RESULT ' + JSON.stringify(results.map(({ file, tests }) => [file.split('/').at(-1), tests[0].state])));
  `;
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = { cwd: root, env, encoding: 'utf8', timeout: 60_000 } as const;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], options);
  const [, result = ''] = /^RESULT (.*)$/m.exec(stdout) ?? [];
  assert.deepEqual(Object.fromEntries(JSON.parse(result || '[]') as [string, string][]), {
    'shared-one.mjs': 'passed',
    'shared-two.mjs': 'passed',
    'other.mjs': 'passed',
  });
});
