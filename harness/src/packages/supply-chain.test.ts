// What a package can't do on its way into the repository: run a script at install, or be another one than the lock names.
// With npm itself, without a network.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root } from './outside-project.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-supply-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** With these, everything works without the script; `scripts/check-repository.js` says so of each. */
const withScript = ['@bufbuild/buf', '@signalapp/libsignal-client', 'esbuild'].map(name => `node_modules/${name}`);

type Lock = {
  readonly packages: Readonly<
    Record<string, { readonly integrity?: string; readonly link?: boolean; readonly hasInstallScript?: boolean }>
  >;
};

test('the lock names every package by its hash, and no further one has a script at install', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const installed = Object.entries(packages).filter(
    ([path, { link }]) => path.includes('node_modules/') && link !== true,
  );
  assert(installed.length > 100);
  for (const [path, { integrity }] of installed) assert.match(integrity ?? '', /^sha512-[A-Za-z0-9+/]{86}==$/, path);
  const scripts = installed.flatMap(([path, { hasInstallScript }]) => (hasInstallScript === true ? [path] : []));
  assert.deepEqual(
    scripts.filter(path => !withScript.includes(path)),
    [],
  );
});

function npm(cwd: string, ...args: string[]): string {
  const quiet = [
    '--offline',
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--loglevel=error',
    '--cache',
    join(folder, 'cache'),
  ];
  return execFileSync('npm', [...args, ...quiet], { cwd, encoding: 'utf8', stdio: 'pipe' });
}

/** A tarball whose package would leave a file behind at install. */
function pack(words: string): Buffer {
  const place = join(folder, 'trinket');
  mkdirSync(place, { recursive: true });
  const scripts = { postinstall: "node -e \"require('node:fs').writeFileSync('../../ran', '')\"" };
  writeFileSync(join(place, 'package.json'), JSON.stringify({ name: 'trinket', version: '1.0.0', scripts }));
  writeFileSync(join(place, 'index.js'), words);
  npm(place, 'pack');
  return readFileSync(join(place, 'trinket-1.0.0.tgz'));
}

test('a package that was changed is not installed, and no script of one that was not is run', () => {
  const project = join(folder, 'project');
  mkdirSync(project);
  const tarball = join(project, 'trinket.tgz');
  writeFileSync(tarball, pack('module.exports = 1;'));
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'project', dependencies: { trinket: 'file:trinket.tgz' } }),
  );
  npm(project, 'install');
  npm(project, 'ci');
  assert(existsSync(join(project, 'node_modules', 'trinket', 'index.js')));
  assert(!existsSync(join(project, 'ran')), 'its script');
  rmSync(join(project, 'node_modules'), { recursive: true });
  writeFileSync(tarball, pack('module.exports = 2;'));
  rmSync(join(folder, 'cache'), { recursive: true });
  assert.throws(() => npm(project, 'ci'), /EINTEGRITY/);
  assert(!existsSync(join(project, 'node_modules', 'trinket')));
});
