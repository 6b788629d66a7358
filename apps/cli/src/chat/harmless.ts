// Text that others wrote, made fit for a terminal. Knows nothing of messages.

/** What others wrote, as one harmless line: no control, bidirectional-control or line-separating characters. */
export function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ');
}
