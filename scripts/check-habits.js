// Habits that a tool finds: no import cycle (of types neither), no function over 80 lines, no nested ternary, no export that
// nothing uses, first lines of each file that say what it doesn't know, no decision on an error's words, no error without
// a class, and no timer of the system's where clocks are arguments.
// scripts/habits.json lists, with a reason, what offends today: the list only shrinks. An entry that no longer
// offends is an error too. Tests, harness and benches may have long functions: a scenario reads from top to bottom.
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './node.js';
import { unusedExports } from './unused-exports.js';

const words = {
  'eslint(max-lines-per-function)': 'function over 80 lines',
  'eslint(no-nested-ternary)': 'nested ternary',
  'import(no-cycle)': 'import cycle',
};
const folders = ['packages', 'apps', 'harness', 'bench', 'scripts', 'examples'].filter(name =>
  existsSync(join(root, name)),
);
const oxlint = join(root, 'node_modules/.bin/oxlint');
const args = ['-c', join(root, 'scripts/habits.oxlintrc.json'), '-f', 'json', ...folders];
const ran = spawnSync(oxlint, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
if (!ran.stdout?.startsWith('{')) {
  console.error(`oxlint did not answer: ${ran.error?.message ?? ran.stderr}${ran.stdout}`);
  process.exit(1);
}

/** Offences by `file: habit`; several of one kind in a file are one entry. */
const found = new Map();
for (const { filename, code, message, labels } of JSON.parse(ran.stdout).diagnostics) {
  const entry = `${filename}: ${words[code] ?? code}`;
  const line = labels[0]?.span?.line;
  found.set(entry, [...(found.get(entry) ?? []), `${filename}:${line}: ${words[code] ?? code}. ${message}`]);
}
for (const { file, name } of unusedExports()) {
  found.set(`${file}: unused export`, [`${file}: nothing uses the export ${name}; remove it`]);
}

// A reader of any file learns from its first lines what happens there and what it leaves to others.
const limitsItself =
  /\b(?:knows? (?:nothing|no)|(?:doesn't|does not) know|pure|(?:types?|values?)(?: and \w+ \w+)? (?:alone|only))\b/i;
const sources = globSync('packages/*/src/**/*.ts', { cwd: root }).filter(
  file => !/\.test\.ts$|\/(?:gen|testing)\//.test(file),
);
for (const file of sources) {
  const [head] = /^(?:\/\/.*\n)*/.exec(readFileSync(join(root, file), 'utf8'));
  if (limitsItself.test(head)) continue;
  found.set(`${file}: silent first lines`, [
    `${file}: its first lines don't say what it does and what it knows nothing of`,
  ]);
}

// An error's words are for people: what is decided on is a code, a class or a `kind`.
const decidesOnWords =
  /\/[^/\n]+\/[a-z]*\.(?:test|exec)\((?:\w+\.)*(?:message|detail|stack)\)|\b(?:error|cause|failure|fault|problem|reason)\w*\.(?:message|detail|stack)\??(?:\.(?:includes|startsWith|endsWith|match|search|indexOf)\(| [!=]==? ['"`])/i;
for (const file of globSync('{packages,apps}/*/src/**/*.{ts,tsx}', { cwd: root })) {
  if (/\.test\.tsx?$|\/(?:gen|testing)\//.test(file)) continue;
  const note = (habit, at, advice) => {
    const entry = `${file}: ${habit}`;
    found.set(entry, [...(found.get(entry) ?? []), `${file}:${at + 1}: ${advice}`]);
  };
  for (const [at, line] of readFileSync(join(root, file), 'utf8').split('\n').entries()) {
    if (decidesOnWords.test(line)) note('decides on words', at, "decides on an error's words; give it a code");
    // What may fail is a value or an error with a class; what may not is asserted.
    if (/\bnew Error\(/.test(line)) note('error without a class', at, 'give the error a class, or assert');
  }
}

// Where a clock is an argument, what waits is one too (`After`, `Clock.after`): tests play both.
const takesClock =
  /\b(?:nowMs|monotonicMs|judgeMs|elapsedMs)\??: \(\) => number|\b(?:nowMs|monotonicMs)\(\): number|\bclock\??: (?:Clock|Pick<Clock)/;
const setsTimer = /(?<![\w.])(?:setTimeout|setInterval)\(|from '(?:node:)?timers(?:\/promises)?'/;
for (const file of sources) {
  const text = readFileSync(join(root, file), 'utf8');
  if (!takesClock.test(text)) continue;
  const lines = text.split('\n').flatMap((line, at) => (setsTimer.test(line) ? [at + 1] : []));
  if (lines.length === 0) continue;
  found.set(
    `${file}: timer beside a clock`,
    lines.map(
      line => `${file}:${line}: sets a timer of the system's beside a clock that is an argument; take an After`,
    ),
  );
}

const listed = JSON.parse(readFileSync(join(root, 'scripts/habits.json'), 'utf8'));
if (process.argv.includes('--print')) {
  console.log(
    JSON.stringify(
      Object.fromEntries([...found.keys()].toSorted((a, b) => (a < b ? -1 : 1)).map(e => [e, listed[e] ?? ''])),
      undefined,
      2,
    ),
  );
  process.exit(0);
}
const problems = [...found].filter(([entry]) => listed[entry] === undefined).flatMap(([, lines]) => lines);
for (const entry of Object.keys(listed)) {
  if (!found.has(entry)) problems.push(`${entry}: no longer offends; remove it from scripts/habits.json`);
}
for (const problem of problems) console.error(problem);
const known = Object.keys(listed).length;
console.log(problems.length === 0 ? `habits hold; ${known} known offences wait` : `${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
