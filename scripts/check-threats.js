// Checks that every "cannot" of the threat model names the test that tries it: a file and, in “…”, the title of a test (or of a
// named attack) that stands in it. Exit 1 when one names none, or one that is not there.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './node.js';

const document = 'docs/threat-model.md';
const lines = readFileSync(join(root, document), 'utf8').split('\n');
const problems = [];
const reference = /`([A-Za-z0-9._/-]+\.ts)` “([^”]+)”/g;

/** Titles in a file: the first argument of each `test`, `scenario` or `contract`, and the name of each attack. */
const titlesOf = new Map();
function titles(file) {
  if (!titlesOf.has(file)) {
    const text = readFileSync(join(root, file), 'utf8');
    const found = text.matchAll(/(?:\btest\(|\bscenario\(|\bcontract\(|\bname:)\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g);
    titlesOf.set(file, new Set([...found].map(([, , title]) => title.replace(/\\(.)/g, '$1'))));
  }
  return titlesOf.get(file);
}

function check(number, line) {
  const found = [...line.matchAll(reference)];
  if (found.length === 0)
    problems.push(`${document}:${number}: names no test that tries it: ${line.trim().slice(0, 80)}`);
  for (const [, file, title] of found) {
    if (!existsSync(join(root, file))) problems.push(`${document}:${number}: ${file} does not exist`);
    else if (!titles(file).has(title)) problems.push(`${document}:${number}: ${file} has no test “${title}”`);
  }
}

let claims = 0;
for (let at = 0; at < lines.length; at++) {
  if (!lines[at].startsWith('- *cannot*')) continue;
  let items = 0;
  while (/^ {2}- /.test(lines[at + 1] ?? '')) {
    at++;
    items++;
    check(at + 1, lines[at]);
  }
  if (items === 0) problems.push(`${document}:${at + 1}: a "cannot" is a list, one claim a line`);
  claims += items;
}
// Elsewhere it is a word like any other, and has to be proven all the same.
for (const [at, line] of lines.entries()) {
  if (/\bcannot\b/.test(line) && !/^(#|- \*cannot\*| {2}- )/.test(line) && !line.startsWith('"Cannot"'))
    check(at + 1, line);
}

for (const problem of problems) console.error(problem);
console.log(
  problems.length === 0
    ? `${claims} claims of the threat model name their tests`
    : `${problems.length} claims without a test`,
);
process.exit(problems.length === 0 ? 0 : 1);
