// `npm run release -- --dry-run`: everything that a release is made of, in release/: the tarballs, their SHA-256 sums and the
// software bill of materials (CycloneDX). Without --dry-run it also tags the commit. It publishes nothing: docs/releasing.md
// says who does that, and how. Refuses a working tree with changes, versions that differ, and a version without a heading
// in CHANGELOG.md (a dry run only says so).
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { published } from './api-surface.js';
import { ownNode, root, run } from './node.js';
import { readOptions } from './options.js';

const { 'dry-run': dry = false } = readOptions(
  `npm run release                 tarballs, bill of materials and sums in release/, and a tag of this commit
npm run release -- --dry-run    the same without the tag; says what a release would be refused for
Publishes nothing: docs/releasing.md.`,
  { 'dry-run': { type: 'boolean' } },
);
const folder = join(root, 'release');
const read = name => readFileSync(join(root, name), 'utf8');
const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
const npm = (...args) => execFileSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });

const { version } = JSON.parse(read('package.json'));
const faults = [];
for (const each of published) {
  const manifest = JSON.parse(read(`${each}/package.json`));
  if (manifest.version !== version) faults.push(`${manifest.name} is ${manifest.version}, the repository ${version}`);
  for (const [name, wanted] of Object.entries(manifest.dependencies ?? {})) {
    if (name.startsWith('@drawbridge/') && wanted !== version) faults.push(`${manifest.name} wants ${name} ${wanted}`);
  }
}
if (git('status', '--porcelain') !== '') faults.push('the working tree has changes');
if (!read('CHANGELOG.md').includes(`## [${version}]`)) faults.push(`CHANGELOG.md has no heading [${version}]`);
if (git('tag', '--list', `v${version}`) !== '') faults.push(`the tag v${version} is there already`);
for (const fault of faults) console.error(`${dry ? 'a release would be refused' : 'refused'}: ${fault}`);
if (faults.length > 0 && !dry) process.exit(1);

const status = await run(ownNode(), ['scripts/build.js']);
if (status !== 0) process.exit(status);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder);
npm(
  'pack',
  '--workspace',
  'packages',
  '--workspace',
  'apps/cli',
  '--pack-destination',
  folder,
  '--silent',
  '--ignore-scripts',
);
const bill = JSON.parse(npm('sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only'));
bill.metadata.component.name = 'drawbridge';
writeFileSync(join(folder, 'sbom.cdx.json'), JSON.stringify(bill, undefined, 2));
const sums = readdirSync(folder)
  .toSorted()
  .map(name => {
    const hash = createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
    return `${hash}  ${name}\n`;
  });
writeFileSync(join(folder, 'SHA256SUMS'), sums.join(''));
console.log(
  `release/: ${sums.length - 1} tarballs, sbom.cdx.json with ${bill.components.length} components, SHA256SUMS`,
);
if (!dry) {
  git('tag', '--annotate', `v${version}`, '--message', `Drawbridge ${version}`);
  console.log(`tagged v${version}; publish as docs/releasing.md says`);
}
