// What a page is told when something did not work: the SDK's codes and sentences, and a few of the page's own.
// Knows nothing of how it is shown; the page has words of its own language for the codes.
import { ClientError } from '@drawbridge/client';
import type { PageError, PageErrorCode } from './protocol.ts';

const own: Readonly<Record<PageErrorCode, string>> = {
  'bad-command': 'The page asked for something that this process does not know. Load the page again.',
  'signed-out': 'Nobody is signed in here yet.',
  'signed-in': 'Somebody is signed in here already.',
  'too-many-commands': 'Too much is under way at once. Try again in a moment.',
  'key-reused': 'The page used one key for two deeds. Load the page again.',
  internal: 'Something went wrong in this process. What it printed says more.',
};

export function pageError(code: PageErrorCode, detail?: string): PageError {
  return {
    code,
    text: own[code],
    ...(detail === undefined ? {} : { detail }),
    retry: code === 'too-many-commands',
  };
}

/** Undefined: not an expected failure. */
export function explained(error: unknown): PageError | undefined {
  if (!(error instanceof ClientError)) return undefined;
  const { code, message, detail, retry } = error;
  return { code, text: message, ...(detail === undefined ? {} : { detail }), retry };
}
