// JSON that may hold bytes, for values of the store.
// Knows nothing of what the values mean.

const bytesName = '$base64';

export function encodeJson(value: unknown): Buffer {
  return Buffer.from(stringifyBytes(value, base64 => ({ [bytesName]: base64 })));
}

/** Whether a row's value can be read. */
export function isJson(value: Buffer): boolean {
  try {
    JSON.parse(value.toString());
    return true;
  } catch {
    return false;
  }
}

/** `name`: what stands before bytes where it is not what `encodeJson` writes. */
export function decodeJson(value: Buffer, name: string = bytesName): unknown {
  const text = value.toString();
  if (!text.includes(name)) return JSON.parse(text);
  return JSON.parse(text, (_, each: unknown) =>
    typeof each === 'object' && each !== null && name in each
      ? new Uint8Array(Buffer.from(String(Reflect.get(each, name)), 'base64'))
      : each,
  );
}

/** JSON in which bytes are what `write` makes of their base64. */
export function stringifyBytes(value: unknown, write: (base64: string) => unknown): string {
  // Buffers turn themselves into something else before a replacer sees them: it looks at what they were.
  return JSON.stringify(value, function replace(this: Record<string, unknown>, key, each: unknown) {
    const bytes = this[key];
    return bytes instanceof Uint8Array ? write(Buffer.from(bytes).toString('base64')) : each;
  });
}
