// Whether somebody may go on meeting people as they did: from what those have decided whom they wrote to first, and from
// reports. Knows no storage, no clock and no content; who acts on it is `integrity.ts`.
// Source: docs/protocol/10 section 10.3.

/** From the mildest to the hardest. A provider is never suspended by this: that is an operator's step. */
export const restrictionLevels = ['none', 'slowed', 'accepted-only', 'suspended'] as const;
export type RestrictionLevel = (typeof restrictionLevels)[number];

/** What one person says of somebody who wrote to them first, or whom they reported. */
export type Voice = {
  /** Their account: each counts once. */
  readonly voter: number;
  readonly provider: number;
  readonly enlistedAtMs: number;
  /** `upheld`: a report of theirs that an operator upheld. */
  readonly says: 'waiting' | 'accepted' | 'refused' | 'upheld';
  readonly atMs: number;
};

type Threshold = { readonly refusals: number; readonly percent: number };
export type RestrictionRules = {
  readonly halfLifeDays: number;
  readonly freshDays: number;
  /** What all people of one third-party provider count at most. */
  readonly voicesPerProvider: number;
  readonly upheldReportCounts: number;
  /** First contacts that nobody has answered. */
  readonly unanswered: number;
  readonly slowed: Threshold;
  readonly acceptedOnly: Threshold;
  /** None for a provider. */
  readonly suspended?: Threshold | undefined;
};

/** What counts, as it has decayed; with one decimal. */
export type Tally = {
  readonly waiting: number;
  readonly accepted: number;
  readonly refused: number;
  /** Refused, of what was refused or accepted. */
  readonly percent: number;
};
export type Judged = { readonly level: RestrictionLevel; readonly tally: Tally };

const dayMs = 86_400_000;
/** What is older counts less than a sixteenth, and is not read. */
const halfLives = 4;
const strength = { waiting: 0, accepted: 1, refused: 1, upheld: 2 } as const;

/** How far back voices are to be read. */
export function windowMs({ halfLifeDays }: Pick<RestrictionRules, 'halfLifeDays'>): number {
  return halfLives * halfLifeDays * dayMs;
}

/** The latest decision of each; what an operator upheld stands, and what waits says least. */
function onePerVoter(voices: readonly Voice[]): Iterable<Voice> {
  const byVoter = new Map<number, Voice>();
  for (const voice of voices) {
    const known = byVoter.get(voice.voter);
    const more = known === undefined ? 1 : strength[voice.says] - strength[known.says];
    if (more > 0 || (more === 0 && voice.atMs > known!.atMs)) byVoter.set(voice.voter, voice);
  }
  return byVoter.values();
}

/** The voices of one provider's people: whoever has just enlisted counts as one, however many they are. */
class Choir {
  #settled = 0;
  #fresh = 0;

  add(weight: number, isFresh: boolean): void {
    if (isFresh) this.#fresh = Math.max(this.#fresh, weight);
    else this.#settled += weight;
  }

  count(most: number): number {
    return Math.min(this.#settled + this.#fresh, most);
  }
}

class Choirs {
  readonly #byProvider = new Map<number, Choir>();

  add(voice: Voice, weight: number, isFresh: boolean): void {
    const choir = this.#byProvider.get(voice.provider) ?? new Choir();
    this.#byProvider.set(voice.provider, choir);
    choir.add(weight, isFresh);
  }

  /** A third-party provider can make as many people as it likes; own users are the gatekeeper's. */
  count(perProvider: number): number {
    let sum = 0;
    for (const [provider, choir] of this.#byProvider) sum += choir.count(provider === 0 ? Infinity : perProvider);
    return sum;
  }
}

/** What holds now by these voices. */
export function judgeVoices(voices: readonly Voice[], rules: RestrictionRules, nowMs: number): Judged {
  const accepted = new Choirs();
  const refused = new Choirs();
  let waiting = 0;
  let upheld = 0;
  for (const voice of onePerVoter(voices)) {
    const weight = 2 ** (-Math.max(0, nowMs - voice.atMs) / (rules.halfLifeDays * dayMs));
    const isFresh = voice.atMs - voice.enlistedAtMs < rules.freshDays * dayMs;
    if (voice.says === 'waiting') waiting += weight;
    else if (voice.says === 'upheld') upheld += weight * rules.upheldReportCounts;
    else (voice.says === 'accepted' ? accepted : refused).add(voice, weight, isFresh);
  }
  // As it is shown: what has decayed for a moment still counts whole.
  const sums = roundedAll({
    waiting,
    accepted: accepted.count(rules.voicesPerProvider),
    refused: refused.count(rules.voicesPerProvider) + upheld,
  });
  const decided = sums.accepted + sums.refused;
  const percent = decided === 0 ? 0 : (100 * sums.refused) / decided;
  const passes = (threshold: Threshold | undefined): boolean =>
    threshold !== undefined && sums.refused >= threshold.refusals && percent >= threshold.percent;
  const reached: [RestrictionLevel, boolean][] = [
    ['suspended', passes(rules.suspended)],
    ['accepted-only', passes(rules.acceptedOnly)],
    ['slowed', passes(rules.slowed) || sums.waiting >= rules.unanswered],
  ];
  const level = reached.find(([, isReached]) => isReached)?.[0] ?? 'none';
  return { level, tally: { ...sums, percent: Math.round(percent) } };
}

function roundedAll<T extends Record<string, number>>(sums: T): T {
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, Math.round(sum * 10) / 10])) as T;
}

/** For the audit log: what was counted, and against what. Names nobody. */
export function explainJudged({ level, tally }: Judged, rules: RestrictionRules): string {
  const { waiting, accepted, refused, percent } = tally;
  const counted = `refused ${refused}, accepted ${accepted} (${percent} % refused), not answered ${waiting}`;
  const threshold = {
    none: undefined,
    slowed: rules.slowed,
    'accepted-only': rules.acceptedOnly,
    suspended: rules.suspended,
  }[level];
  if (threshold === undefined) return `${counted}: below every threshold`;
  const orWaiting = level === 'slowed' ? `, or ${rules.unanswered} not answered` : '';
  return `${counted}; the threshold is ${threshold.refusals} refused and ${threshold.percent} %${orWaiting}`;
}
