// Text in lines of a width, broken between words. Knows nothing of terminals; colours count as nothing.
import { stripVTControlCharacters } from 'node:util';

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const wide =
  /[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\uff01-\uff60]|\ufe0f/u;

/** Columns that a text takes on a terminal: two for East Asian signs and pictures. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text))) columns += wide.test(segment) ? 2 : 1;
  return columns;
}

/** Breaks each line between words; what follows is indented like it, or by `hanging`. A word that is too long is cut. */
export function wrap(text: string, width: number, hanging?: number): string {
  return text
    .split('\n')
    .map(line => wrapLine(line, Math.max(width, 20), hanging))
    .join('\n');
}

function wrapLine(line: string, width: number, hanging: number | undefined): string {
  if (columnsOf(line) <= width) return line;
  const own = /^ */.exec(line)![0];
  const indent = ' '.repeat(Math.min(hanging ?? own.length, width >> 1));
  const lines: string[] = [];
  let current = own;
  let columns = own.length;
  let empty = true;
  for (const word of line
    .slice(own.length)
    .split(' ')
    .flatMap(each => pieces(each, width - indent.length))) {
    const needed = columnsOf(word) + (empty ? 0 : 1);
    if (!empty && columns + needed > width) {
      lines.push(current);
      current = indent + word;
      columns = indent.length + columnsOf(word);
    } else {
      current += (empty ? '' : ' ') + word;
      columns += needed;
    }
    empty = false;
  }
  return [...lines, current].join('\n');
}

/** A word, or the pieces of one that is wider than a line. Colours of such a word are given up. */
function pieces(word: string, width: number): string[] {
  if (columnsOf(word) <= width) return [word];
  const found: string[] = [''];
  for (const { segment } of graphemes.segment(stripVTControlCharacters(word))) {
    if (columnsOf(found.at(-1)! + segment) > width) found.push('');
    found[found.length - 1] += segment;
  }
  return found;
}
