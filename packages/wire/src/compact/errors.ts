// Why bytes are not a stanza in the compact form. Types alone.
// Source: docs/protocol/07-compact-codec.md section 7.8.

/** Why bytes are not a stanza. Only `truncated` can be mended by more bytes; a frame is whole, so there it can't either. */
export type CompactErrorCode =
  /** The bytes end inside an element. */
  | 'truncated'
  /** A byte that dictionary 1 gives no meaning. */
  | 'unknown-token'
  /** The same stanza has another, the only right spelling. */
  | 'not-canonical'
  /** Bytes that are not UTF-8 (RFC 3629). */
  | 'bad-utf8'
  /** A character that XML 1.0 does not allow (section 2.2). */
  | 'bad-character'
  /** A name that is not one (Namespaces in XML 1.0, NCName). */
  | 'bad-name'
  /** A namespace that can't stand here: `xmlns`'s own anywhere, none at all for an attribute that says it has one. */
  | 'bad-namespace'
  /** An attribute twice. */
  | 'duplicate-attribute'
  /** Text where only an element can stand. */
  | 'unexpected-text'
  | 'too-deep'
  | 'too-many-attributes'
  | 'too-many-children'
  | 'too-many-namespaces'
  | 'too-many-stanzas'
  /** A name, a namespace or an attribute's value is longer than its limit. */
  | 'too-long'
  /** The least XML that could hold this stanza is longer than the limit. */
  | 'too-large';

/** `offset`: at or just behind the byte that was refused. */
export type CompactError = { readonly code: CompactErrorCode; readonly offset: number };
