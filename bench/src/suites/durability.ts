// Question: how many messages that a server has acknowledged are gone after it was killed?
import { runJob } from '../children.ts';
import type { StoreJob } from '../load/flood.ts';
import { check, type Figures, row, type Row, type SuiteResult } from '../results.ts';
import type { Endpoint } from '../servers/server.ts';
import { attempt, startSubject, type Subject, type SuiteContext } from './suite.ts';

type Case = {
  readonly name: string;
  readonly says: string;
  readonly recipients: StoreJob['recipients'];
  readonly stoppedMs: number;
  readonly subjects: readonly (readonly [Subject, Endpoint])[];
  readonly inQuick: boolean;
};

const everybody = [
  ['drawbridge', 'xml'],
  ['ejabberd', 'xml'],
  ['prosody', 'xml'],
] as const;
const cases: readonly Case[] = [
  {
    name: 'kill-offline',
    says: 'recipients away, kill -9 in the middle',
    recipients: 'offline',
    stoppedMs: 0,
    subjects: [...everybody, ['drawbridge', 'compact']],
    inQuick: true,
  },
  {
    name: 'kill-stalled',
    says: 'recipients logged in and no longer reading, kill -9 in the middle',
    recipients: 'stalled',
    stoppedMs: 0,
    subjects: [...everybody, ['drawbridge', 'compact']],
    inQuick: false,
  },
  {
    name: 'stop-kill',
    says: 'recipients away, SIGSTOP for 2 s, SIGCONT, kill -9 a moment later',
    recipients: 'offline',
    stoppedMs: 2_000,
    subjects: [['drawbridge', 'xml']],
    inQuick: false,
  },
];
const pairs = 10;

export async function durabilitySuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, say } = context;
  const present = (subject: Subject): boolean =>
    subject === 'drawbridge' || (!quick && context.peers.some(peer => peer === subject));
  const rows: Row[] = [];
  for (const each of cases.filter(candidate => !quick || candidate.inQuick)) {
    for (const [subject, endpoint] of each.subjects.filter(([name]) => present(name))) {
      const rounds = !quick && subject === 'drawbridge' ? context.repeats + 2 : 1;
      const figures: Figures[] = [];
      for (let round = 0; round < rounds; round++) {
        const figure = await attempt(context, `${each.name}, ${subject}`, () =>
          oneRound(context, each, subject, endpoint, round),
        );
        if (figure === undefined) continue;
        figures.push(figure);
        say(
          `${each.name}, ${subject} ${endpoint}: acknowledged ${figure.acknowledged}, lost ${figure.lost}, repeated ${figure.repeated}`,
        );
      }
      rows.push(row(`${each.name}-${endpoint}`, subject, figures, []));
    }
  }
  const worst = (name: 'lost' | 'outOfOrder'): number =>
    Math.max(
      0,
      ...rows.filter(each => each.subject === 'drawbridge').flatMap(each => each.runs.map(run => run[name] ?? 0)),
    );
  return {
    suite: 'durability',
    question: 'How many messages that a server has acknowledged are gone after it was killed?',
    expectation: 'None: an acknowledgement is sent when the message is delivered and acknowledged, or on disk.',
    cases: Object.fromEntries(
      rows.map(({ case: name }) => [name, cases.find(({ name: stem }) => name.startsWith(stem))!.says]),
    ),
    rows,
    checks: [
      ...check('acknowledged and lost, most in any round', worst('lost'), 'at-most', 0),
      ...check('order inversions, most in any round', worst('outOfOrder'), 'at-most', 0),
    ],
    notes: [
      'kill -9 leaves the page cache alone: this tells nothing of power cuts, which need a virtual disk (see docs).',
      'A message may come twice after a crash; clients tell by its id.',
    ],
  };
}

async function oneRound(
  context: SuiteContext,
  each: Case,
  subject: Subject,
  endpoint: Endpoint,
  round: number,
): Promise<Record<'acknowledged' | 'lost' | 'repeated' | 'outOfOrder' | 'restartMs', number>> {
  const inFolder = { ...context, folder: `${context.folder}/${each.name}-${subject}-${endpoint}-${round}` };
  const options = { accounts: pairs * 2, offline: true, sasl: 'plain' } as const;
  const first = await startSubject(inFolder, subject, options);
  const common = { pairs, payload: 'equal-bytes' } as const;
  // Not at the same moment each time.
  const afterAcknowledged = 3_000 + ((round * 1_733) % 4_000);
  const stored = await runJob(
    {
      kind: 'store',
      target: first.target(endpoint)!,
      ...common,
      messagesEach: 100_000,
      window: 200,
      recipients: each.recipients,
      fault: { afterAcknowledged, stoppedMs: each.stoppedMs },
    },
    120_000,
  );
  await first.stop();
  const beganMs = performance.now();
  const second = await startSubject(inFolder, subject, options);
  const restartMs = performance.now() - beganMs;
  try {
    const target = second.target(endpoint)!;
    const drained = await runJob(
      { kind: 'drain', target, ...common, quietMs: 3_000, acknowledged: stored.acknowledged },
      120_000,
    );
    const { lostAcknowledged: lost, repeated, outOfOrder } = drained;
    return { acknowledged: stored.total, lost, repeated, outOfOrder, restartMs };
  } finally {
    await second.stop();
  }
}
