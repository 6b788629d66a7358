// Completions in the shells themselves, and the manual page before a formatter's eyes. Shells that are not there are skipped.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { buildProgram } from '../main.ts';
import { entriesOf, namesOf } from './command-tree.ts';
import { completionFor, type Shell } from './completion.ts';
import { manualPage } from './manual-page.ts';

const backspace = String.fromCodePoint(8);
const folder = mkdtempSync(join(tmpdir(), 'drawbridge-shell-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const missing = (program: string): string | false =>
  spawnSync('sh', ['-c', `command -v ${program}`]).status === 0 ? false : `${program} is not there`;

function scriptFor(shell: Shell): string {
  const file = join(folder, shell);
  writeFileSync(file, completionFor(shell, buildProgram()));
  return file;
}

function run(program: string, script: string): string[] {
  const ran = spawnSync(program, [...(program === 'zsh' ? ['-f'] : []), '-c', script], {
    encoding: 'utf8',
    cwd: folder,
  });
  assert.equal(ran.stderr, '', script);
  assert.equal(ran.status, 0, script);
  return ran.stdout.trim().split('\n');
}

/** What each shell offers after these words; the last is being typed. */
const offers: Readonly<Record<Shell, (words: readonly string[]) => string[]>> = {
  bash: words => {
    const list = words.map(word => `'${word}'`).join(' ');
    const script = `source ${scriptFor('bash')}; COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _drawbridge; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return run('bash', script);
  },
  zsh: words => {
    // The completion system needs a line editor; what it is given is seen here instead.
    const list = words.map(word => `'${word}'`).join(' ');
    const seen = `compdef() { : }; _files() { print files }; _describe() { print -l -- "\${(@)\${(P@)2}%%:*}" }`;
    return run(
      'zsh',
      `${seen}; source ${scriptFor('zsh')}; words=(${list}); CURRENT=${words.length}; _drawbridge`,
    ).filter(word => word.startsWith(words.at(-1)!) || word === 'files');
  },
  fish: words =>
    run('fish', `source ${scriptFor('fish')}; complete -C ${JSON.stringify(words.join(' '))}`).map(
      line => line.split('\t')[0]!,
    ),
};

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  test(`${shell}: commands, commands below them, options and values`, { skip: missing(shell) }, () => {
    const offered = offers[shell];
    assert.deepEqual(offered(['drawbridge', 'gatek']), ['gatekeeper']);
    assert.deepEqual(offered(['drawbridge', 'gatekeeper', 'che']), ['check']);
    assert.deepEqual(offered(['drawbridge', 'gatekeeper', 'init', '--dom']), ['--domain']);
    assert.deepEqual(offered(['drawbridge', 'provider', '--registration', 'cl']), ['closed']);
    // Each command offers all of its options, and those of no other.
    for (const { path, options } of entriesOf(buildProgram())) {
      const longs = options.flatMap(namesOf).filter(name => name.startsWith('--'));
      assert.deepEqual(offered([...path.split(' '), '--']).toSorted(), longs.toSorted(), path);
    }
  });
}

test('bash leaves files to the shell after an option that takes one', { skip: missing('bash') }, () => {
  assert.deepEqual(offers.bash(['drawbridge', 'gatekeeper', '--config', 'x']), ['']);
});

test('the manual page names every command and option, and a formatter finds nothing to say', {
  skip: missing('mandoc'),
}, () => {
  const page = manualPage(buildProgram(), '2026-01-01');
  const file = join(folder, 'drawbridge.1');
  writeFileSync(file, page);
  const lint = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', file], { encoding: 'utf8' });
  assert.equal(lint.stdout, '');
  // Bold in a terminal of paper: each letter, a backspace, the letter again.
  const { stdout } = spawnSync('mandoc', ['-T', 'ascii', '-O', 'width=100', file], { encoding: 'utf8' });
  const shown = stdout
    .split(backspace)
    .map((part, at, all) => (at === all.length - 1 ? part : part.slice(0, -1)))
    .join('');
  for (const { path, options } of entriesOf(buildProgram())) {
    assert.ok(shown.includes(path), path);
    for (const name of options.flatMap(namesOf)) assert.ok(shown.includes(name), `${path} ${name}`);
  }
});
