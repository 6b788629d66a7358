// Spans of time as people type and read them: `90`, `30s`, `5m`, `12h`, `3d`, `2w`. Knows nothing of what they are for.

const units = [
  { letter: 'w', word: 'week', seconds: 604_800 },
  { letter: 'd', word: 'day', seconds: 86_400 },
  { letter: 'h', word: 'hour', seconds: 3_600 },
  { letter: 'm', word: 'minute', seconds: 60 },
  { letter: 's', word: 'second', seconds: 1 },
] as const;

/** A number of seconds, or a number with a unit; `off` is 0. Undefined: it is neither. */
export function parseSpan(text: string): number | undefined {
  if (text === 'off') return 0;
  const [, digits, letter = 's'] = /^([0-9]{1,9})([wdhms])?$/.exec(text) ?? [];
  const unit = units.find(each => each.letter === letter);
  return digits === undefined || unit === undefined ? undefined : Number(digits) * unit.seconds;
}

/** `1 day 12 hours`: the two largest units that say it, exact to the second where two are enough. */
export function spanWords(seconds: number): string {
  const words: string[] = [];
  let left = seconds;
  for (const { word, seconds: size } of units) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0 && words.length < 2) words.push(`${count} ${word}${count === 1 ? '' : 's'}`);
  }
  return words.length === 0 ? '0 seconds' : words.join(' ');
}
