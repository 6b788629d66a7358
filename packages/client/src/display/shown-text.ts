// What others wrote, made fit to be shown: nothing in it moves, hides or reorders what stands around it.
// Pure. Knows nothing of messages, people or screens.
// Source: docs/protocol/09-content.md section 9.9; Unicode UAX 9 (bidirectional controls), UAX 44
// (Default_Ignorable_Code_Point), UTS 51 (emoji sequences and tags).

export const shownTextLimits = {
  /** Marks on one letter: more of them run over the lines around it. */
  maxMarks: 8,
  maxExcerptCharacters: 100,
  maxExcerptBytes: 512,
} as const;

/** Scripts in which a joiner or non-joiner between two letters changes a word that people see. */
const joining = [
  'Arabic',
  'Syriac',
  'Mongolian',
  'Devanagari',
  'Bengali',
  'Gurmukhi',
  'Gujarati',
  'Oriya',
  'Tamil',
  'Telugu',
  'Kannada',
  'Malayalam',
  'Sinhala',
  'Khmer',
]
  .map(name => String.raw`\p{Script=${name}}`)
  .join('');

/** What can't be seen but makes what can be: flags of regions, emoji sequences, joined and unjoined letters. */
const kept = [
  String.raw`(?<=\u{1f3f4})[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{2,6}\u{e007f}`,
  String.raw`(?<=\p{Extended_Pictographic}\p{Emoji_Modifier}?\ufe0f?)\u200d(?=\p{Extended_Pictographic})`,
  String.raw`(?<=[${joining}]\p{M}*)[\u200c\u200d](?=[${joining}])`,
  String.raw`(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}])[\ufe0e\ufe0f]`,
  String.raw`(?<=[0-9#*])\ufe0f(?=\u20e3)`,
].join('|');
const hidden = String.raw`[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\p{Cs}\ufff9-\ufffb]`;
const keptOrHidden = new RegExp(`(${kept})|${hidden}`, 'gu');
/** A joiner that is kept does not begin a new count. */
const mark = String.raw`[\u200c\u200d]?\p{M}`;
const tooManyMarks = new RegExp(`((?:${mark}){${shownTextLimits.maxMarks}})(?:${mark})+`, 'gu');

/** Several lines of text: line breaks and tabs stay. */
export function shownText(text: string): string {
  return text
    .replaceAll(/\r\n?|[\u2028\u2029]/g, '\n')
    .replaceAll(/[^\P{Cc}\n\t]|\p{Bidi_Control}/gu, ' ')
    .replaceAll(keptOrHidden, (_, keep: string | undefined) => keep ?? '')
    .replaceAll(tooManyMarks, '$1');
}

/** The same as one line. */
export function shownLine(text: string): string {
  return shownText(text).replaceAll(/[\n\t]/g, ' ');
}

/** White space, and what has no ink: the empty pattern of Braille, a musical head without a note. */
const blank = /[\s\u2800\u{1d159}]+/gu;

/** What somebody calls themselves or somebody else: one line without white space at its ends or in a row. */
export function shownName(name: string): string {
  return shownLine(name).replaceAll(blank, ' ').trim();
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Characters as people see them (extended grapheme clusters, UAX 29), one after the other. */
export function* charactersOf(text: string): Generator<string, void, void> {
  for (const { segment } of segmenter.segment(text)) yield segment;
}

/** The beginning of a text in whole characters; for quotes. */
export function excerptOf(text: string): string {
  const { maxExcerptCharacters, maxExcerptBytes } = shownTextLimits;
  let excerpt = '';
  let count = 0;
  for (const character of charactersOf(text.toWellFormed())) {
    if (++count > maxExcerptCharacters || Buffer.byteLength(excerpt + character) > maxExcerptBytes) break;
    excerpt += character;
  }
  return excerpt;
}
