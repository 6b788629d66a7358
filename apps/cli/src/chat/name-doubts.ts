// What is odd about a name, in words for a person who is about to trust it. Knows nothing of where names come from.
import { looksLike, type NameWarning, nameWarnings, shownLine } from '@drawbridge/client';

const words: Readonly<Record<NameWarning, string>> = {
  'hidden-characters': 'it holds characters that can’t be seen',
  'mixed-scripts': 'its letters are of several alphabets',
  'looks-latin': 'it looks like Latin letters and is none',
  'styled-letters': 'its letters are made to look like others',
};

/** Empty when there is nothing to say. `others` are the names that this person knows already. */
export function nameDoubts(name: string, others: readonly string[]): string {
  const alike = others.find(other => other !== name && looksLike(other, name));
  const doubts = [
    ...nameWarnings(name).map(warning => words[warning]),
    ...(alike === undefined ? [] : [`it looks like ${shownLine(alike)}, whom you know, and is somebody else`]),
  ];
  return doubts.length === 0 ? '' : `. Look at that name: ${doubts.join('; ')}`;
}
