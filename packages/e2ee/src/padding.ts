// Hides the length of content: everything that is encrypted is a multiple of 160 bytes.
// Knows nothing of content or encryption. One byte 0x80, then zeros, as in ISO/IEC 7816-4 and Signal's clients.
// Source: docs/protocol/09-content.md section 9.2.

export const PADDING_STEP_BYTES = 160;
const mark = 0x80;

/** The smallest multiple of 160 bytes that holds the content and its mark: `(n + 1)` rounded up. */
export function padContent(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const padded = new Uint8Array(Math.ceil((content.length + 1) / PADDING_STEP_BYTES) * PADDING_STEP_BYTES);
  padded.set(content);
  padded[content.length] = mark;
  return padded;
}

/** The content, or undefined: not a multiple of 160 bytes, no mark, or more padding than `padContent` makes. */
export function unpadContent(padded: Uint8Array): Uint8Array | undefined {
  if (padded.length === 0 || padded.length % PADDING_STEP_BYTES !== 0) return undefined;
  let end = padded.length - 1;
  const lowest = padded.length - PADDING_STEP_BYTES;
  while (end > lowest && padded[end] === 0) end--;
  return padded[end] === mark ? padded.subarray(0, end) : undefined;
}
