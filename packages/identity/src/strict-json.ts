// Reads JSON from bytes with one meaning only: UTF-8 without a byte-order mark, no member named twice.
// Knows nothing of tokens or keys. JSON.parse alone lets the last of two equal names win, so that two readers of one
// signed text may see different values.
// Source: RFC 8259 sections 4 and 8.1, RFC 7515 section 4.

export type JsonObject = { readonly [name: string]: unknown };

export type StrictJson =
  | { readonly kind: 'parsed'; readonly value: JsonObject }
  | { readonly kind: 'refused'; readonly code: 'encoding-refused' | 'json-refused' };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads one JSON object.
 *
 * Refuses with `encoding-refused` bytes that aren't UTF-8 or begin with a byte-order mark, and with `json-refused`
 * anything but one JSON object in which no object, at any depth, names a member twice. The caller bounds the size.
 */
export function parseStrictJson(bytes: Uint8Array): StrictJson {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return { kind: 'refused', code: 'encoding-refused' };
  }
  if (text.charCodeAt(0) === 0xfeff) return { kind: 'refused', code: 'encoding-refused' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'refused', code: 'json-refused' };
  }
  if (!isJsonObject(value) || namesMemberTwice(text)) return { kind: 'refused', code: 'json-refused' };
  return { kind: 'parsed', value };
}

/** True for a JSON object, as opposed to a list, `null` or a plain value. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** True when `object` has every member of `required`, and none beside those and `optional`. */
export function hasExactMembers(
  object: JsonObject,
  required: readonly string[],
  optional: readonly string[] = [],
): boolean {
  const names = Object.keys(object);
  return (
    required.every(name => Object.hasOwn(object, name)) &&
    names.every(name => required.includes(name) || optional.includes(name))
  );
}

/** Scans a text that JSON.parse has accepted: a string directly before a colon is a member's name. */
function namesMemberTwice(text: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(undefined);
    else if (char === '}' || char === ']') open.pop();
    else if (char === '"') {
      const start = at;
      at = endOfString(text, at);
      let after = at + 1;
      while (text[after] === ' ' || text[after] === '\n' || text[after] === '\r' || text[after] === '\t') after++;
      if (text[after] !== ':') continue;
      const raw = text.slice(start, at + 1);
      const name = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
      const names = open.at(-1);
      if (names?.has(name)) return true;
      names?.add(name);
    }
  }
  return false;
}

/** The quote that ends the string which begins at `start`: the first that no odd number of backslashes stands before. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let before = end;
    while (text[before - 1] === '\\') before--;
    if ((end - before) % 2 === 0) return end;
  }
}
