// Text of XML from its bytes: UTF-8, line ends, references, and the XML declaration. Each function gives undefined (or
// false) when it refuses, and the refusal says why. Knows nothing of tags and where the text stands.
// Source: XML 1.0 (fifth edition) sections 2.2, 2.8, 2.11, 3.3.3, 4.1.

import { isXmlCodePoint, isXmlText } from '../xml-chars.ts';
import type { Refusal } from './refusal.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const declaration =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:'1\.([0-9]+)'|"1\.([0-9]+)")(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:'([A-Za-z][A-Za-z0-9._-]*)'|"([A-Za-z][A-Za-z0-9._-]*)"))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:'(?:yes|no)'|"(?:yes|no)"))?[ \t\r\n]*\?>$/;

function hasWide(raw: string): boolean {
  return /[\x80-\xff]/.test(raw);
}

/** A text whose bytes are the characters of `raw`: UTF-8, line ends and references are decoded. */
export function decodeText(
  raw: string,
  isAttribute: boolean,
  hasReferences: boolean,
  refusal: Refusal,
): string | undefined {
  let text = raw;
  if (hasWide(raw)) {
    try {
      text = utf8.decode(Buffer.from(raw, 'latin1'));
    } catch {
      refusal.malformed('the bytes are not UTF-8');
      return undefined;
    }
  }
  if (!isXmlText(text)) {
    refusal.malformed('a character that XML does not allow');
    return undefined;
  }
  if (text.includes('\r')) text = text.replaceAll('\r\n', '\n').replaceAll('\r', '\n');
  if (isAttribute) text = text.replace(/[\t\n]/g, ' ');
  else if (hasReferences && text.includes(']]>')) {
    refusal.malformed('`]]>` in text');
    return undefined;
  }
  return hasReferences && text.includes('&') ? expandReferences(text, refusal) : text;
}

function expandReferences(text: string, refusal: Refusal): string | undefined {
  let out = '';
  let last = 0;
  for (let at = text.indexOf('&'); at !== -1; at = text.indexOf('&', last)) {
    const end = text.indexOf(';', at);
    const value = end === -1 ? undefined : referenced(text, at + 1, end);
    if (value === undefined) {
      refusal.malformed('a reference that is neither predefined nor a character');
      return undefined;
    }
    out += text.slice(last, at) + value;
    last = end + 1;
  }
  return out + text.slice(last);
}

/** What the reference whose inside is `text[from, to)` stands for; undefined when XML does not define it. */
function referenced(text: string, from: number, to: number): string | undefined {
  if (text.charCodeAt(from) !== 0x23) {
    switch (text.slice(from, to)) {
      case 'lt':
        return '<';
      case 'gt':
        return '>';
      case 'amp':
        return '&';
      case 'apos':
        return "'";
      case 'quot':
        return '"';
      default:
        return undefined;
    }
  }
  const hex = text.charCodeAt(from + 1) === 0x78;
  const radix = hex ? 16 : 10;
  let value = 0;
  let i = hex ? from + 2 : from + 1;
  if (i >= to) return undefined;
  for (; i < to; i++) {
    const c = text.charCodeAt(i);
    let digit = c - 0x30;
    if (digit < 0 || digit > 9) {
      // Letters of either case; the bit makes them lower case.
      digit = (c | 0x20) - 0x57;
      if (!hex || digit < 10 || digit > 15) return undefined;
    }
    value = value * radix + digit;
    if (value > 0x10ffff) return undefined;
  }
  return isXmlCodePoint(value) ? String.fromCodePoint(value) : undefined;
}

/** Whether a token that begins with `<?` is an XML declaration of XML 1.0 in UTF-8; `atStart`: nothing stands before it. */
export function judgeDeclaration(token: string, atStart: boolean, refusal: Refusal): boolean {
  if (!atStart || !/^<\?xml[ \t\r\n]/.test(token)) {
    refusal.refuse('restricted-xml', 'processing instructions are not allowed');
    return false;
  }
  const parts = declaration.exec(token);
  if (parts === null) {
    refusal.malformed('the XML declaration is malformed');
    return false;
  }
  const encoding = parts[3] ?? parts[4];
  if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') {
    refusal.refuse('unsupported-encoding', 'the encoding is not UTF-8');
    return false;
  }
  if ((parts[1] ?? parts[2]) !== '0') {
    refusal.refuse('bad-format', 'the version of XML is not 1.0');
    return false;
  }
  return true;
}
