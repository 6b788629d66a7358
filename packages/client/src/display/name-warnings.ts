// What is odd about a name that people read: letters of several scripts in one word, letters that look like others, what can't
// be seen. It says what to tell a person; it refuses nothing, since names in any script are good names.
// Pure. Knows nothing of who has the name.
// Source: docs/protocol/09-content.md section 9.9; Unicode UTS 39 sections 4 (look-alikes) and 5 (mixed scripts).
import { shownName } from './shown-text.ts';

/**
 * - `hidden-characters`: it holds what can't be seen, or moves what stands around it.
 * - `mixed-scripts`: a word has letters of several scripts that are not written together.
 * - `looks-latin`: all of it looks as if it were written in Latin letters, and none of it is.
 * - `styled-letters`: letters that are made to look like others (bold, circled, full width).
 */
export type NameWarning = 'hidden-characters' | 'mixed-scripts' | 'looks-latin' | 'styled-letters';

const scripts = [
  'Latin',
  'Greek',
  'Cyrillic',
  'Armenian',
  'Hebrew',
  'Arabic',
  'Cherokee',
  'Georgian',
  'Ethiopic',
  'Devanagari',
  'Thai',
  'Hangul',
  'Han',
  'Hiragana',
  'Katakana',
  'Bopomofo',
].map(name => ({ name, pattern: new RegExp(String.raw`^\p{Script_Extensions=${name}}$`, 'u') }));

/** Scripts that are written together in one word. */
const together = [
  ['Latin', 'Han', 'Hiragana', 'Katakana'],
  ['Latin', 'Han', 'Bopomofo'],
  ['Latin', 'Han', 'Hangul'],
];

/** Letters that look like a Latin one in common typefaces, by pairs. */
const likeLatin = new Map<string, string>();
for (const [others, latin] of [
  ['аАΑᎪ', 'a'],
  ['ВΒᏴ', 'b'],
  ['сСϲϹᏟ', 'c'],
  ['ԁᎠ', 'd'],
  ['еЕΕᎬ', 'e'],
  ['Ԍ', 'g'],
  ['һНΗᎻհ', 'h'],
  ['іІΙι', 'i'],
  ['јЈᎫյ', 'j'],
  ['КΚᏦ', 'k'],
  ['ӏӀᏞ', 'l'],
  ['МΜᎷ', 'm'],
  ['Νո', 'n'],
  ['оОοΟօՕ', 'o'],
  ['рРρΡᏢ', 'p'],
  ['ԛԚ', 'q'],
  ['Ꭱ', 'r'],
  ['ѕЅᏚՏ', 's'],
  ['ТΤᎢ', 't'],
  ['սՍ', 'u'],
  ['νѵѴᏙ', 'v'],
  ['ԝԜᎳ', 'w'],
  ['хХΧ', 'x'],
  ['уУΥγ', 'y'],
  ['ΖᏃ', 'z'],
] as const) {
  for (const other of others) likeLatin.set(other, latin);
}

export function nameWarnings(name: string): NameWarning[] {
  const words = name.normalize('NFC').match(/[\p{L}\p{M}]+/gu) ?? [];
  const found: NameWarning[] = [];
  if (shownName(name) !== name) found.push('hidden-characters');
  if (words.some(isMixed)) found.push('mixed-scripts');
  if (words.length > 0 && words.every(looksLatin)) found.push('looks-latin');
  if (words.some(word => word.normalize('NFKC') !== word)) found.push('styled-letters');
  return found;
}

/** Whether two names look alike to somebody who reads them quickly: also when they are the same. */
export function looksLike(name: string, other: string): boolean {
  return skeleton(name) === skeleton(other);
}

/** Letters of no script (modifiers, marks) go with any. */
const neutral = /[\p{M}\p{Script=Common}\p{Script=Inherited}]/gu;

/** The scripts that a letter may belong to; none: one that is not looked at here. */
function scriptsOf(letter: string): string[] {
  return scripts.filter(({ pattern }) => pattern.test(letter)).map(({ name }) => name);
}

function isMixed(word: string): boolean {
  const letters = Array.from(word.replaceAll(neutral, '')).map(scriptsOf);
  const known = letters.filter(each => each.length > 0);
  // One script of the list and another outside of it are mixed, too.
  if (known.length > 0 && known.length < letters.length) return true;
  const isOne = scripts.some(({ name }) => known.every(each => each.includes(name)));
  return !isOne && !together.some(set => known.every(each => each.some(name => set.includes(name))));
}

function looksLatin(word: string): boolean {
  const letters = Array.from(word);
  return letters.every(letter => likeLatin.has(letter));
}

function skeleton(name: string): string {
  const letters = Array.from(shownName(name).normalize('NFKD').replaceAll(/\p{M}/gu, ''));
  return letters
    .map(letter => likeLatin.get(letter) ?? letter)
    .join('')
    .toLowerCase()
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w')
    .replaceAll(/[il1|!]/gu, 'l')
    .replaceAll('0', 'o');
}
