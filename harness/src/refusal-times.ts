// How long a gatekeeper takes to acknowledge messages to somebody who has blocked the sender, and to somebody who is away:
// sent in turn, so that whatever else the machine does meets both. `node --conditions=drawbridge-source
// harness/src/refusal-times.ts 10000` compares as many sends each way and says what it found.
import { attribute } from '@drawbridge/wire/element';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { envelope, type Person, RawNetwork } from './raw-network.ts';

export type TimesFound = {
  /** What the sender was told, without the address; one text when both are alike. */
  readonly words: ReadonlySet<string>;
  /** The share of pairs in which the blocked send took longer: 0.5 when they are alike. */
  readonly chance: number;
  /** Medians in milliseconds. */
  readonly blockedMs: number;
  readonly awayMs: number;
  /** What chance may be off by, twice the standard error of a rank-sum comparison. */
  readonly doubt: number;
};

export async function compareTimes(
  network: RawNetwork,
  host: (network: RawNetwork, identifier: string) => Promise<Person>,
  sends: number,
): Promise<TimesFound> {
  const { control } = network.fixture;
  const [blocker, away] = [await host(network, 'blocker'), await host(network, 'away')];
  const anna = await network.person('anna', 1);
  const decide = async (by: Person, decision: 'accept' | 'block'): Promise<void> => {
    const [who, about] = [by.account, anna.account].map(each => control.accounts.find(each.interopId));
    await control.contacts.decide((await who)!, (await about)!, decision);
  };
  for (const each of [blocker, away]) await decide(each, 'accept');
  await decide(blocker, 'block');
  // The one who blocks is there, and reads.
  const there = await network.login(blocker);
  const from = await network.login(anna);
  const words = new Set<string>();
  const times: Record<'blocked' | 'away', number[]> = { blocked: [], away: [] };
  const send = async (to: Person, id: string, kind: keyof typeof times): Promise<void> => {
    const startMs = performance.now();
    from.send(envelope(anna, to.bareJid, id));
    await from.acknowledged();
    times[kind].push(performance.now() - startMs);
    const told = from.inbox.splice(0).filter(el => el.name === 'message' && attribute(el, 'type') === 'error');
    words.add(told.map(el => encodeElement({ ...el, attrs: [] }, '')).join('') || 'acknowledged');
  };
  for (let i = 0; i < sends; i++) {
    const order = i % 2 === 0 ? (['blocked', 'away'] as const) : (['away', 'blocked'] as const);
    for (const kind of order) await send(kind === 'blocked' ? blocker : away, `${kind}${i}`, kind);
  }
  for (const client of [there, from]) client.cut();
  return { words, ...compared(times.blocked, times.away) };
}

/** The rank-sum comparison of Mann and Whitney, as a chance. */
function compared(blocked: readonly number[], away: readonly number[]): Omit<TimesFound, 'words'> {
  const all = [...blocked.map(ms => ({ ms, isBlocked: true })), ...away.map(ms => ({ ms, isBlocked: false }))];
  all.sort((a, b) => a.ms - b.ms);
  let rankSum = 0;
  for (const [i, { isBlocked }] of all.entries()) if (isBlocked) rankSum += i + 1;
  const [m, n] = [blocked.length, away.length];
  const chance = (rankSum - (m * (m + 1)) / 2) / (m * n);
  const middle = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1]!;
  const doubt = 2 * Math.sqrt((m + n + 1) / (12 * m * n));
  return { chance, doubt, blockedMs: middle(blocked), awayMs: middle(away) };
}

if (import.meta.main) {
  const sends = Number(process.argv[2] ?? 10_000);
  const fixture = { config: { policy: { requests: 'across-providers' }, budgets: { unlimited: true } } };
  const network = await RawNetwork.open({ fixture });
  try {
    const found = await compareTimes(
      network,
      async (where, identifier) => {
        const person = await where.person(identifier);
        await where.fixture.control.enlistment.setOptIn(person.account, 1, true);
        return person;
      },
      sends,
    );
    process.stdout.write(`${JSON.stringify({ sends, ...found, words: [...found.words] }, undefined, 2)}\n`);
  } finally {
    await network.close();
  }
}
