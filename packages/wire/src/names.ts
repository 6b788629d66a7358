// Types for texts that name something, so that one name can't be given where another is meant.
// For the compiler alone: at run time a name is its text, and whether it is well formed is said where it is parsed.
// Types alone.
// Source: docs/decisions/0047-names-have-types-that-cannot-be-swapped.md.

declare const meaning: unique symbol;

/** A text that names one kind of thing. A plain text may become one, where it is checked; one kind is never another. */
export type Named<Meaning extends string> = string & { readonly [meaning]?: Meaning };

/** The same, but for whom only a parser makes it: a plain text does not fit. */
export type Parsed<Meaning extends string> = string & { readonly [meaning]: Meaning };
