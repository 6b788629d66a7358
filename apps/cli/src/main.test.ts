// The command line as a whole: help with examples for each command, exit codes, words that say the next step.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildProgram } from './main.ts';
import type { Command } from 'commander';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-main-'));

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = [child.stdout, child.stderr].map(async stream => (await stream.setEncoding('utf8').toArray()).join(''));
  const code = await new Promise<number | null>(resolve => child.on('exit', resolve));
  const [out = '', err = ''] = await Promise.all(texts);
  return { code, out, err };
}

function withParents(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withParents)];
}

test('every command has help with an example', () => {
  for (const command of withParents(buildProgram())) {
    let help = '';
    command.configureOutput({ writeOut: text => (help += text) }).outputHelp();
    assert.match(help, /Examples?:\n {2}\$ /, command.name());
    assert.ok(command.description().length > 20, command.name());
  }
});

test('exit codes: 0 for help and version, 2 for wrong usage with a hint', async () => {
  const [help, version, typo, option, number] = await Promise.all([
    run('--help'),
    run('--version'),
    run('gatekeepr'),
    run('sandbox', '--acounts', '3'),
    run('sandbox', '--accounts', 'many'),
  ]);
  assert.deepEqual([help.code, version.code, typo.code, option.code, number.code], [0, 0, 2, 2, 2]);
  const { version: packaged } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.equal(version.out.trim(), packaged);
  assert.match(help.out, /gatekeeper[^]*provider[^]*sandbox[^]*token/);
  assert.match(typo.err, /Did you mean gatekeeper\?/);
  assert.match(option.err, /Did you mean --accounts\?/);
  assert.match(number.err, /Give a whole number/);
});

test('numbers in options are digits alone', async () => {
  const given = [
    ['chat', '--page', '--port', '0x1f90'],
    ['chat', '--page', '--port', '1e3'],
    ['chat', '--page', '--port', '65536'],
    ['sandbox', '--accounts', '1e1'],
    ['token', 'issue', '--lifetime', '0x10'],
    ['demo', '--messages', '1.5'],
    ['admin', 'audit', '--after', '1e2'],
    ['admin', 'events', '--provider', '0x7'],
    ['admin', 'events', 'resend', '--provider', '7e0'],
  ];
  for (const [at, { code, err }] of (await Promise.all(given.map(each => run(...each)))).entries()) {
    assert.equal(code, 2, given[at]!.join(' '));
    assert.match(err, /Give (?:a whole number|the number of an entry)|is not a port/, given[at]!.join(' '));
  }
});

test('failures say the next step: missing files, unfit folders', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, 'not json');
  const results = await Promise.all([
    run('gatekeeper', '--config', join(folder, 'none.json')),
    run('gatekeeper', 'check', '--config', file),
    run('sandbox', '--data', join(file, 'below'), '--base-port', '0'),
    run('sandbox', '--host', '0.0.0.0'),
    run('provider', '--config', file),
  ]);
  assert.deepEqual(
    results.map(({ code }) => code),
    [1, 1, 1, 2, 1],
  );
  for (const { err, out } of results) {
    assert.match(err, /^drawbridge: .+\n(?:.+\n)*Next: .+/);
    assert.doesNotMatch(err, /defect/);
    assert.equal(out, '');
  }
});

test('chat says what is wrong with its options before it asks for a secret', async () => {
  const chat = (...args: string[]): ReturnType<typeof run> => run('chat', '--as', 'anna', ...args);
  const network = (text: string, name: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const urls = ['--gatekeeper', 'https://localhost:1', '--provider', 'https://localhost:2'];
  const results = await Promise.all([
    chat('--network', network('{}', 'empty.json')),
    chat('--network', network('null', 'null.json')),
    chat('--network', network('{"ca": "", "provider": {}, "gatekeepers": [{"name": "citadel"}]}', 'half.json')),
    chat('--network', folder),
    chat(...urls, '--ca', join(folder, 'none.pem')),
    chat('--gatekeeper', 'localhost:5226', '--provider', 'https://localhost:2'),
  ]);
  assert.deepEqual(
    results.map(({ code }) => code),
    [1, 1, 1, 1, 1, 2],
  );
  const words = [/not a network file/, /not a network file/, /not a network file/, /folder/, /none\.pem/, /https/];
  for (const [index, { err }] of results.entries()) {
    assert.match(err, /^drawbridge: .+\nNext: .+\n$/);
    assert.match(err, words[index]!);
  }
});

test('a gatekeeper is made, checked, and never overwritten', async () => {
  const home = join(folder, 'citadel');
  const made = await run('gatekeeper', 'init', home, '--development');
  assert.equal(made.code, 0, made.err);
  const config = join(home, 'gatekeeper.json');
  // Other ports than those of the example: something may listen there.
  writeFileSync(config, readFileSync(config, 'utf8').replaceAll(/"port": 52\d\d/g, '"port": 0'));
  const before = readFileSync(config, 'utf8');
  const checked = await run('gatekeeper', 'check', '--config', config);
  assert.equal(checked.code, 0, checked.err);
  assert.match(checked.out, /is good: development, domain localhost/);
  const again = await run('gatekeeper', 'init', home, '--domain', 'citadel.example');
  assert.equal(again.code, 1);
  assert.match(again.err, /is there already/);
  assert.equal(readFileSync(config, 'utf8'), before);
  const data = join(folder, 'elsewhere');
  await run('gatekeeper', 'init', join(folder, 'apart'), '--development', '--data', data);
  assert.equal(JSON.parse(readFileSync(join(folder, 'apart', 'gatekeeper.json'), 'utf8')).dataFolder, data);
  const unnamed = await run('gatekeeper', 'init', join(folder, 'other'));
  assert.equal(unnamed.code, 2);
});
