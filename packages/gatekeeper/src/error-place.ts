// What a log may say of an error that nobody expected: its kind and where it was thrown. Its message may hold anything.
// Knows nothing of logs.

export type ErrorPlace = { readonly code: string; readonly at: string };

const maxPlaceChars = 200;

/** `at` is the innermost frame of its stack, without folders. */
export function errorPlace(error: unknown): ErrorPlace {
  if (!(error instanceof Error)) return { code: typeof error, at: '' };
  const frame = /\n\s+at ([^\n]*)/.exec(error.stack ?? '')?.[1] ?? '';
  return { code: error.name, at: frame.replace(/\(?(?:file:\/\/)?\/[^\n]*\//, '(').slice(0, maxPlaceChars) };
}
