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

/** `36 hours`: in the one unit that says it exactly, the largest such; so it is read as it is typed. */
export function spanWords(seconds: number): string {
  const unit = units.find(({ seconds: size }) => seconds >= size && seconds % size === 0);
  const count = unit === undefined ? seconds : seconds / unit.seconds;
  return `${count} ${unit?.word ?? 'second'}${count === 1 ? '' : 's'}`;
}
