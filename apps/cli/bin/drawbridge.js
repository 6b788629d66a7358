#!/usr/bin/env node
// Finds a Node.js that is new enough (this one, or the one that came with `npm ci`) and starts the command in it.
// Plain JavaScript of long ago on purpose: an old Node must be able to read it and say in words what to do.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const fits = version => {
  const [major, minor] = version.split('.').map(Number);
  return major >= 26 || (major === 24 && minor >= 15);
};

function findNode() {
  if (fits(process.versions.node)) return process.execPath;
  const name = `node-linux-${process.arch}`;
  for (let folder = here; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name, 'bin', 'node');
    if (existsSync(candidate)) return candidate;
    if (folder === dirname(folder)) return undefined;
  }
}

const node = findNode();
if (node === undefined) {
  console.error(`drawbridge needs Node.js 24.15 or later, or 26; this is ${process.versions.node}.`);
  console.error('Three ways to get one:');
  console.error('  1. run `npm ci` in the repository: on Linux it brings its own Node.js');
  console.error('  2. install Node.js 26 LTS from your system or from nodejs.org');
  console.error('  3. use a version manager: `fnm use 26`, `nvm install 26`, `mise use node@26`');
  process.exit(1);
}

const source = join(here, '..', 'src', 'main.ts');
const entry = existsSync(source) ? ['--conditions=drawbridge-source', source] : [join(here, '..', 'dist', 'main.js')];
// V8 would come to place messages among its long-lived objects, where each keeps others alive: ten times the garbage for
// the collections that hold up others longest (docs/decisions/0020).
const flags = ['--no-allocation-site-pretenuring'];
const child = spawn(node, [...flags, ...entry, ...process.argv.slice(2)], { stdio: 'inherit' });
// A terminal sends Ctrl-C to both of us; a supervisor's signal comes to this process alone and is passed on.
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
process.on('SIGINT', () => {});
child.on('error', error => {
  console.error(`drawbridge can't start ${node}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code);
  process.exit(signal === 'SIGINT' ? 130 : 1);
});
