// Which characters XML allows, in text and in names. Knows nothing of documents.
// Source: XML 1.0 (fifth edition) sections 2.2 and 2.3; Namespaces in XML 1.0 section 3.

// oxlint-disable-next-line no-control-regex
const forbidden = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/;
const everyForbidden = new RegExp(forbidden, 'g');

/** Whether XML can carry the text: no control characters but tab, LF and CR, no lone surrogate, no U+FFFE, U+FFFF. */
export function isXmlText(text: string): boolean {
  return !forbidden.test(text) && text.isWellFormed();
}

/** The text with every character that XML can't carry replaced by U+FFFD. */
export function toXmlText(text: string): string {
  return text.toWellFormed().replace(everyForbidden, '\ufffd');
}

const nameStart =
  'A-Z_a-z\\u{C0}-\\u{D6}\\u{D8}-\\u{F6}\\u{F8}-\\u{2FF}\\u{370}-\\u{37D}\\u{37F}-\\u{1FFF}\\u{200C}\\u{200D}' +
  '\\u{2070}-\\u{218F}\\u{2C00}-\\u{2FEF}\\u{3001}-\\u{D7FF}\\u{F900}-\\u{FDCF}\\u{FDF0}-\\u{FFFD}\\u{10000}-\\u{EFFFF}';
const ncName = new RegExp(`^[${nameStart}][${nameStart}.0-9\\u{B7}\\u{300}-\\u{36F}\\u{203F}\\u{2040}-]*$`, 'u');

/** Whether the text is a name without a colon (`NCName`): what an element's or attribute's local name must be. */
export function isNcName(text: string): boolean {
  return ncName.test(text);
}

/** Whether a code point may stand in a document (`Char`). */
export function isXmlCodePoint(c: number): boolean {
  return (
    (c >= 0x20 && c <= 0xd7ff) ||
    c === 0x0a ||
    c === 0x09 ||
    c === 0x0d ||
    (c >= 0xe000 && c <= 0xfffd) ||
    (c >= 0x10000 && c <= 0x10ffff)
  );
}
