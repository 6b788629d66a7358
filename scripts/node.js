// Runs the repository's own tools under its own Node.js. Plain JavaScript: `npm test` may start it under an older Node.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The Node.js that came with `npm ci`, or this one when it is new enough; exits with words when there is none. */
export function ownNode() {
  const bundled = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  if (existsSync(bundled)) return bundled;
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major >= 26 || (major === 24 && minor >= 15)) return process.execPath;
  console.error(`This repository needs Node.js 24.15 or later, or 26; this is ${process.versions.node}.`);
  console.error('Run `npm ci` (on Linux it brings its own Node.js), or install Node.js 26 LTS.');
  process.exit(1);
}

/** Runs a command, showing its output; gives its exit status. */
export function run(command, args, options = {}) {
  const path = `${dirname(ownNode())}:${join(root, 'node_modules', '.bin')}:${process.env.PATH}`;
  return new Promise(resolve => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: 'inherit',
      ...options,
      env: { ...process.env, PATH: path, ...options.env },
    });
    child.on('error', error => {
      console.error(`${command}: ${error.message}`);
      resolve(1);
    });
    child.on('exit', (code, signal) => resolve(signal === null ? code : 1));
  });
}
