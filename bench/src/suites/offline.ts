// Question: how fast are messages for people who are away stored, durably, and handed over when they come back? And does
// it stay so when much is stored?
import { runJob } from '../children.ts';
import type { DrainResult, StoreResult } from '../load/flood.ts';
import { check, type Figures, row, type Row, type SuiteResult } from '../results.ts';
import type { Endpoint } from '../servers/server.ts';
import { attempt, type Subject, type SuiteContext, withSubjects } from './suite.ts';

type Case = {
  readonly name: string;
  readonly says: string;
  readonly endpoint: Endpoint;
  readonly subjects: readonly Subject[];
};

const cases: readonly Case[] = [
  {
    name: 'xml',
    says: 'XML without TLS, stream management',
    endpoint: 'xml',
    subjects: ['drawbridge', 'ejabberd', 'prosody'],
  },
  { name: 'compact', says: 'compact, stream management', endpoint: 'compact', subjects: ['drawbridge'] },
];
const pairs = 10;

export async function offlineSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, repeats, say } = context;
  const present = (subject: Subject): boolean =>
    subject === 'drawbridge' || context.peers.some(peer => peer === subject);
  const stores = new Map<string, StoreResult[]>();
  const drains = new Map<string, DrainResult[]>();
  const subjects = (['drawbridge', 'ejabberd', 'prosody'] as const).filter(present);
  await withSubjects(context, subjects, { accounts: pairs * 2, offline: true, sasl: 'plain' }, async servers => {
    for (let repeat = -1; repeat < repeats; repeat++) {
      for (const each of cases) {
        for (const subject of each.subjects.filter(present)) {
          const ours = subject === 'drawbridge';
          // Peers are some ten times slower: what they are given takes about as long.
          const messagesEach = (quick ? 1_000 : 5_000) * (ours ? 2 : 1) * (repeat < 0 ? 0.1 : 0.4);
          const target = servers.get(subject)!.target(each.endpoint)!;
          const common = { target, pairs, payload: 'equal-bytes' } as const;
          const both = await attempt(context, `${each.name}, ${subject}`, async () => {
            const stored = await runJob(
              { kind: 'store', ...common, messagesEach, window: 500, recipients: 'offline' },
              240_000,
            );
            const { total: expected, acknowledged } = stored;
            const drained = await runJob(
              { kind: 'drain', ...common, expected, quietMs: 10_000, acknowledged },
              240_000,
            );
            return { stored, drained };
          });
          if (both === undefined) continue;
          const { stored, drained } = both;
          if (repeat < 0) continue;
          const key = `${each.name} ${subject}`;
          stores.set(key, [...(stores.get(key) ?? []), stored]);
          drains.set(key, [...(drains.get(key) ?? []), drained]);
          say(
            `${repeat + 1}/${repeats} ${each.name}, ${subject}: stored ${Math.round(stored.perSecond)}/s, ` +
              `drained ${Math.round(drained.perSecond)}/s, lost ${drained.lostAcknowledged}`,
          );
        }
      }
    }
  });
  const rows: Row[] = [];
  for (const each of cases) {
    for (const subject of each.subjects) {
      const key = `${each.name} ${subject}`;
      const [stored, drained] = [stores.get(key), drains.get(key)];
      if (stored === undefined || drained === undefined) continue;
      rows.push(row(`store-${each.name}`, subject, stored.map(storeFigures), storeDoubts(stored)));
      rows.push(row(`drain-${each.name}`, subject, drained.map(drainFigures), drainDoubts(drained)));
    }
  }
  const rate = (name: string): number | undefined =>
    rows.find(each => each.case === name && each.subject === 'drawbridge')?.medians.perSecond;
  return {
    suite: 'offline',
    question: 'How fast are messages for people who are away stored, durably, and handed over when they come back?',
    expectation:
      'A group commit of 100 rows or more costs 25 µs a row in the writer and as much for parsing and encoding: 20,000/s. ' +
      'Reading pages of 256 costs less: 50,000/s.',
    cases: Object.fromEntries(
      cases.flatMap(({ name, says }) => [
        [`store-${name}`, `${says}: 10 senders, 500 messages under way each, until everything is acknowledged`],
        [`drain-${name}`, `${says}: the 10 recipients log in, until everything has come`],
      ]),
    ),
    rows,
    checks: [
      ...check('stored durably per second, XML', rate('store-xml'), 'at-least', 15_000),
      ...check('stored durably per second, compact', rate('store-compact'), 'at-least', 15_000),
      ...check('drained per second, XML', rate('drain-xml'), 'at-least', 40_000),
      ...check('drained per second, compact', rate('drain-compact'), 'at-least', 40_000),
    ],
    notes: [
      'Acknowledged by us means on disk (SQLite, WAL, synchronous=FULL); by ejabberd and Prosody with their default stores it means received.',
      'Drained: from the first connection to the last message, logins included.',
    ],
  };
}

function storeFigures(result: StoreResult): Figures {
  const { perSecond, cpuMsPerMessage, serverCores, generatorCores, otherCores, total } = result;
  return { perSecond, cpuMsPerMessage, messages: total, serverCores, generatorCores, otherCores };
}

function drainFigures(result: DrainResult): Figures {
  const { perSecond, cpuMsPerMessage, serverCores, generatorCores, otherCores, received, repeated, outOfOrder } =
    result;
  return {
    perSecond,
    cpuMsPerMessage,
    messages: received,
    serverCores,
    generatorCores,
    otherCores,
    repeated,
    outOfOrder,
  };
}

function storeDoubts(results: readonly StoreResult[]): string[] {
  return results.flatMap(result => [
    ...(result.refused > 0 ? [`${result.refused} messages were refused`] : []),
    ...(result.otherCores > 0.25 ? ['other processes used more than a quarter of a core'] : []),
  ]);
}

function drainDoubts(results: readonly DrainResult[]): string[] {
  return results.flatMap(result => [
    ...(result.lostAcknowledged > 0 ? [`${result.lostAcknowledged} acknowledged messages did not come`] : []),
    ...(result.otherCores > 0.25 ? ['other processes used more than a quarter of a core'] : []),
  ]);
}
