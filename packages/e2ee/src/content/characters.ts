// Characters as people see them, in a text that is counted in UTF-16 code units: no range begins or ends within one.
// Pure. Knows nothing of styles or mentions.
// Source: docs/protocol/09-content.md section 9.3; Unicode UAX 29 (extended grapheme clusters).

export type Range = { readonly start: number; readonly length: number };

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Looks at one text; make it once for all ranges of that text. */
export class Characters {
  readonly #text: string;
  readonly #segments: Intl.Segments;

  constructor(text: string) {
    this.#text = text;
    this.#segments = segmenter.segment(text);
  }

  /** Whether a range that lies within the text splits no character. */
  areWhole({ start, length }: Range): boolean {
    return this.#beginning(start) === start && this.#beginning(start + length) === start + length;
  }

  /** A range that lies within the text, made wider where it would split a character. */
  whole({ start, length }: Range): Range {
    const from = this.#beginning(start);
    const end = start + length;
    const split = this.#beginning(end) === end ? undefined : this.#segments.containing(end);
    const to = split === undefined ? end : split.index + split.segment.length;
    return { start: from, length: to - from };
  }

  /** Where the character begins that holds this code unit; the end of the text is a beginning. */
  #beginning(at: number): number {
    return at >= this.#text.length ? at : (this.#segments.containing(at)?.index ?? at);
  }
}
