// The loops of the XML decoder that look at every byte, with the tables they go by: how far a name, a value or a text
// reaches. Every byte is one character of a Latin-1 string here. Pure; knows nothing of tags and streams.
//
// Loops and tables share a file because a constant of another module is read again at each step.
// Source: XML 1.0 (fifth edition) sections 2.2 to 2.4.

export const exclamation = 0x21;
export const doubleQuote = 0x22;
export const singleQuote = 0x27;
export const slash = 0x2f;
export const lessThan = 0x3c;
export const equalsSign = 0x3d;
export const greaterThan = 0x3e;
export const question = 0x3f;
export const closingBracket = 0x5d;
const tab = 0x09;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const ampersand = 0x26;
const colon = 0x3a;

// Characters of names. Bytes above 0x7f pass here and are judged once decoded.
const nameStart = 1;
const nameRest = 2;
export const nameColon = 4;
export const nameWide = 8;
const nameClasses = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const text = String.fromCharCode(c);
  if (c >= 0x80) nameClasses[c] = nameStart | nameRest | nameWide;
  else if (/[A-Za-z_]/.test(text)) nameClasses[c] = nameStart | nameRest;
  else if (/[0-9.-]/.test(text)) nameClasses[c] = nameRest;
  else if (c === colon) nameClasses[c] = nameColon;
}

// Characters of attribute values and text: 0 stands as it is.
const needsWork = 1;
const endsValue = 2;
const isRefused = 3;
const valueClasses = new Uint8Array(256);
const textClasses = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const control = c < 0x20 && c !== tab && c !== lineFeed && c !== carriageReturn;
  if (control) valueClasses[c] = textClasses[c] = isRefused;
  else if (c === ampersand || c === carriageReturn || c >= 0x80) valueClasses[c] = textClasses[c] = needsWork;
  else if (c === tab || c === lineFeed) valueClasses[c] = needsWork;
  else if (c === doubleQuote || c === singleQuote) valueClasses[c] = endsValue;
  else if (c === closingBracket) textClasses[c] = needsWork;
  else if (c === lessThan) {
    valueClasses[c] = isRefused;
    textClasses[c] = endsValue;
  }
}

/** The classes of all characters that the last scan passed: of a name, or `needsWork` of a value or text. */
export let scanned = 0;

/** The index behind the name that begins at `from`. */
export function scanName(text: string, from: number): number {
  let i = from;
  let seen = 0;
  let k = nameClasses[text.charCodeAt(i)]!;
  while (k > 0) {
    seen |= k;
    k = nameClasses[text.charCodeAt(++i)]!;
  }
  scanned = seen;
  return i;
}

/** Whether a name may begin with the character. */
export function beginsName(c: number): boolean {
  return (nameClasses[c]! & nameStart) !== 0;
}

/** Where the value that begins at `from` stops: at its quote, at a character it must not hold, or where the text ends. */
export function scanValue(text: string, from: number, quote: number): number {
  let i = from;
  scanned = 0;
  for (;;) {
    const c = text.charCodeAt(i);
    const k = valueClasses[c]!;
    if (k !== 0) {
      if (c === quote || k === isRefused || i >= text.length) return i;
      if (k === needsWork) scanned = needsWork;
    }
    i++;
  }
}

/** Where the text that begins at `from` stops: at `<`, at a character that XML does not allow, or where `text` ends. */
export function scanText(text: string, from: number): number {
  let i = from;
  scanned = 0;
  for (;;) {
    const k = textClasses[text.charCodeAt(i)]!;
    if (k !== 0) {
      if (k !== needsWork) return i;
      scanned = needsWork;
    }
    i++;
  }
}

export function isSpace(c: number): boolean {
  return c === space || c === lineFeed || c === tab || c === carriageReturn;
}

/** The index of the first character from `from` on that is not white space. */
export function skipSpace(text: string, from: number): number {
  let i = from;
  while (isSpace(text.charCodeAt(i))) i++;
  return i;
}
