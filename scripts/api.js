// The API reports: `npm run api` writes api/<package>.api.md, `-- --check` compares them, `npm run docs:api` writes the same
// with the docstrings to docs-api/, which is not committed. Builds first: both read what is published.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { published, surfaceOf } from './api-surface.js';
import { ownNode, root, run } from './node.js';

const check = process.argv.includes('--check');
const docs = process.argv.includes('--docs');
const folder = join(root, docs ? 'docs-api' : 'api');
const fence = (text, language) => `\`\`\`${language}\n${text.trimEnd()}\n\`\`\`\n`;

function reportOf({ name, entries, declarations }) {
  const list = entries.map(({ subpath, names }) => `- \`${join(name, subpath)}\`: ${names.join(', ')}`).join('\n');
  const body = fence(declarations.map(({ text }) => text).join('\n\n'), 'ts');
  return `# ${name}\n\nMade by \`npm run api\`. What each import offers, and every declaration behind it.\n\n${list}\n\n${body}`;
}

/** What a docstring says, without its stars. */
function prose(comment) {
  return comment
    .replace(/^\/\*\*|\*\/$/g, '')
    .replace(/^\s*\* ?/gm, '')
    .trim();
}

function referenceOf({ name, entries, declarations }) {
  const offered = new Set(entries.flatMap(({ names }) => names));
  const shown = declarations.filter(each => offered.has(each.name));
  const parts = shown.map(
    each => `## ${each.name}\n\n${prose(each.docs)}\n\n${fence(each.full.replace(/^export (declare )?/, ''), 'ts')}`,
  );
  return `# ${name}\n\n${entries.map(({ subpath, names }) => `- \`${join(name, subpath)}\`: ${names.join(', ')}`).join('\n')}\n\n${parts.join('\n')}`;
}

const status = await run(ownNode(), ['scripts/build.js']);
if (status !== 0) process.exit(status);
if (docs) rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
let differences = 0;
for (const each of published) {
  const surface = surfaceOf(each);
  if (surface.entries.length === 0) continue; // the command: its help is its surface
  const file = join(folder, `${surface.name.split('/')[1]}.${docs ? 'md' : 'api.md'}`);
  const text = docs ? referenceOf(surface) : reportOf(surface);
  if (!check) writeFileSync(file, text);
  else if (text !== readReport(file)) {
    differences++;
    console.error(`${file.slice(root.length + 1)}: the public surface of ${surface.name} differs`);
  }
}
if (differences > 0) {
  console.error(
    'If the change is meant, run `npm run api`, commit the result, and say in CHANGELOG.md what changes for others.',
  );
  process.exit(1);
}
console.log(check ? 'API reports are up to date' : `written to ${folder.slice(root.length + 1)}/`);

function readReport(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
