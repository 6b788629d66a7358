// Rules that no tool checks: imports go downward, libsignal stays in e2ee, no dependency needs an install script,
// licences are ones we may use, and no committed file names a registry or a folder of somebody's machine.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './node.js';
import { ownFiles } from './own-files.js';

const problems = [];
const allow = {
  wire: [],
  noise: [],
  stream: ['wire', 'noise'],
  identity: [],
  e2ee: ['wire'],
  provider: ['identity'],
  client: ['wire', 'noise', 'stream', 'identity', 'e2ee'],
  gatekeeper: ['wire', 'noise', 'stream', 'identity', 'provider'],
};
const files = ownFiles();

const named = new Map();
function exportsOf(name) {
  if (!named.has(name)) {
    const home = name === 'cli' ? 'apps' : 'packages';
    const text = readFileSync(join(root, home, name, 'package.json'), 'utf8');
    named.set(name, JSON.parse(text).exports);
  }
  return named.get(name);
}

for (const file of files) {
  if (!/\.(ts|tsx|js|mjs|json|md|yaml|yml|proto|py|html|css)$/.test(file) || file.startsWith('bench/results/'))
    continue;
  let text;
  try {
    text = readFileSync(join(root, file), 'utf8');
  } catch {
    continue;
  }
  const home = file.match(/^packages\/([a-z0-9]+)\/src\/(.*)$/);
  if (home !== null && file.endsWith('.ts')) {
    const isTest = file.endsWith('.test.ts');
    for (const [, name] of text.matchAll(/from '@drawbridge\/([a-z0-9]+)['/]/g)) {
      if (name !== home[1] && !allow[home[1]].includes(name))
        problems.push(`${file}: ${home[1]} may not import ${name}`);
    }
    if (home[1] !== 'e2ee' && !isTest && /from '@signalapp\//.test(text))
      problems.push(`${file}: libsignal belongs in packages/e2ee alone`);
  }
  // Tests, the harness and benches reach everything through the source condition; what is published, named subpaths only.
  if (/^(packages|apps)\/[a-z0-9]+\/src\//.test(file) && !/\.test\.ts$|\/testing\//.test(file)) {
    for (const [, types, name, path] of text.matchAll(
      /(import type [^;']+)?'@drawbridge\/([a-z0-9]+)(?:\/([^']+))?'/g,
    )) {
      // The page takes types alone from the process: nothing of them is in its script.
      if (file.startsWith('apps/web/') && name === 'cli' && types !== undefined) continue;
      if (exportsOf(name)[path === undefined ? '.' : `./${path}`] === undefined)
        problems.push(
          `${file}: ${name} exports no ./${path ?? ''}; name it in packages/${name}/package.json, or import else`,
        );
    }
  }
  if (/from '@drawbridge\/harness\//.test(text) && !file.startsWith('harness/') && !file.startsWith('bench/')) {
    problems.push(`${file}: nothing imports the harness`);
  }
  if (
    file !== 'scripts/check-repository.js' &&
    /registry\.npmjs|"resolved": "http|\/work\/(main|shared)|\/root\//.test(text)
  ) {
    problems.push(`${file}: names a registry or a folder of one machine`);
  }
}

// Each decision is listed once, in the order of numbers.
const listed = [...readFileSync(join(root, 'docs/decisions/README.md'), 'utf8').matchAll(/^\| \[\d{4}\]\(([^)]+)\)/gm)];
const decisions = files.flatMap(file => /^docs\/decisions\/(\d{4}-.+\.md)$/.exec(file)?.[1] ?? []).sort();
const names = listed.map(([, name]) => name);
for (const [at, name] of decisions.entries()) {
  if (names[at] === name) continue;
  problems.push(`docs/decisions/README.md: ${name} is to be line ${at + 1} of the list, once`);
  break;
}
if (names.length > decisions.length) problems.push('docs/decisions/README.md: lists more than there are');

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
// Their scripts only save time: the packages work with scripts blocked, which the tests rely on.
const worksWithoutScript = new Set(
  ['@bufbuild/buf', '@signalapp/libsignal-client', 'esbuild'].map(name => `node_modules/${name}`),
);
// Of the tests alone; their package.json names no licence, their LICENSE file is the MIT one.
const licenceInFile = new Set(['sasl-anonymous', 'sasl-plain', 'saslmechanisms'].map(name => `node_modules/${name}`));
const licences =
  /^(\(?(MIT|ISC|Apache-2\.0|BSD-[23]-Clause|0BSD|BlueOak-1\.0\.0|CC0-1\.0|CC-BY-[34]\.0|Python-2\.0|Unlicense|AGPL-3\.0-only|W3C-19980720|MIT-0|MPL-2\.0|LGPL-3\.0-or-later)( (AND|OR) )?)+\)?(.*)$/;
for (const [path, entry] of Object.entries(lock.packages)) {
  if (!path.startsWith('node_modules/') || entry.link === true) continue;
  if (entry.hasInstallScript === true && !worksWithoutScript.has(path))
    problems.push(`package-lock.json: ${path} wants an install script`);
  if (!licenceInFile.has(path) && !licences.test(entry.license ?? ''))
    problems.push(`package-lock.json: ${path} has licence ${entry.license}`);
  if (entry.license === 'AGPL-3.0-only' && path !== 'node_modules/@signalapp/libsignal-client')
    problems.push(`package-lock.json: ${path} is AGPL`);
  // libvips, of packages/client alone, which is AGPL itself.
  if (/LGPL/.test(entry.license ?? '') && !path.startsWith('node_modules/@img/'))
    problems.push(`package-lock.json: ${path} is LGPL`);
}

for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? `repository rules hold in ${files.length} files` : `${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
