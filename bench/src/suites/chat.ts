// Question: what does one routed message cost the server in CPU time, beside ejabberd, Prosody and the bare copier?
import { runJob } from '../children.ts';
import type { ChatJob, ChatResult } from '../load/chat.ts';
import { check, type Check, type Figures, type Row, row, type SuiteResult } from '../results.ts';
import type { Endpoint, RunningServer } from '../servers/server.ts';
import { attempt, type Subject, type SuiteContext, withSubjects } from './suite.ts';

type Case = {
  readonly name: string;
  readonly says: string;
  readonly endpoint: Endpoint;
  readonly managed: boolean;
  readonly receipts: boolean;
  readonly payload: ChatJob['payload'];
  /** `half`: half of what the subject reached in the case `routed-xml-1` (or `routed-compact-1`). */
  readonly load: ChatJob['load'] | 'half';
  readonly subjects: readonly Subject[];
  readonly inQuick: boolean;
};

const pairs = 50;
const window8 = { loop: 'closed', window: 8 } as const;
const window1 = { loop: 'closed', window: 1 } as const;
const everybody: readonly Subject[] = [
  'drawbridge',
  'copier',
  'copier-sealed',
  'ejabberd',
  'ejabberd-minimal',
  'prosody',
  'prosody-minimal',
];
const defaults: readonly Subject[] = ['drawbridge', 'ejabberd', 'prosody'];
const us: readonly Subject[] = ['drawbridge'];
const plain = { endpoint: 'xml', managed: false, receipts: false, payload: 'equal-bytes', inQuick: false } as const;

const cases: readonly Case[] = [
  {
    ...plain,
    name: 'routed-xml',
    says: 'XML without TLS, closed loop, 8 messages under way in each direction of 50 pairs',
    load: window8,
    subjects: everybody,
    inQuick: true,
  },
  {
    ...plain,
    name: 'routed-xml-1',
    says: 'the same with one message under way in each direction: every message is a read and a write of its own',
    load: window1,
    subjects: everybody,
  },
  {
    ...plain,
    name: 'routed-tls',
    says: 'XML over TLS 1.3, 8 under way',
    endpoint: 'xml-tls',
    load: window8,
    subjects: defaults,
  },
  {
    ...plain,
    name: 'routed-tls-1',
    says: 'XML over TLS 1.3, 1 under way',
    endpoint: 'xml-tls',
    load: window1,
    subjects: defaults,
  },
  {
    ...plain,
    name: 'routed-compact',
    says: 'compact over Noise, 8 under way',
    endpoint: 'compact',
    load: window8,
    subjects: us,
    inQuick: true,
  },
  {
    ...plain,
    name: 'routed-compact-1',
    says: 'compact over Noise, 1 under way',
    endpoint: 'compact',
    load: window1,
    subjects: us,
  },
  {
    ...plain,
    name: 'receipts-tls',
    says: 'XML over TLS 1.3 with stream management, every message answered by a receipt, 8 under way (a message here is two stanzas)',
    endpoint: 'xml-tls',
    managed: true,
    receipts: true,
    load: window8,
    subjects: defaults,
    inQuick: true,
  },
  {
    ...plain,
    name: 'receipts-tls-1',
    says: 'the same with 1 under way',
    endpoint: 'xml-tls',
    managed: true,
    receipts: true,
    load: window1,
    subjects: defaults,
  },
  {
    ...plain,
    name: 'receipts-compact',
    says: 'compact with stream management and receipts, 8 under way',
    endpoint: 'compact',
    managed: true,
    receipts: true,
    load: window8,
    subjects: us,
  },
  {
    ...plain,
    name: 'receipts-compact-1',
    says: 'the same with 1 under way',
    endpoint: 'compact',
    managed: true,
    receipts: true,
    load: window1,
    subjects: us,
  },
  {
    ...plain,
    name: 'content-xml',
    says: 'as routed-xml, with the 586 bytes of ciphertext that a text of 400 bytes becomes',
    payload: 'equal-content',
    load: window8,
    subjects: us,
  },
  {
    ...plain,
    name: 'content-compact',
    says: 'as routed-compact, with the 586 bytes of ciphertext that a text of 400 bytes becomes',
    endpoint: 'compact',
    payload: 'equal-content',
    load: window8,
    subjects: us,
  },
  {
    ...plain,
    name: 'open-1000',
    says: 'XML without TLS, open loop, 1,000 messages per second',
    load: { loop: 'open', perSecond: 1_000 },
    subjects: ['drawbridge', 'copier', 'ejabberd', 'prosody'],
  },
  {
    ...plain,
    name: 'open-1000-compact',
    says: 'compact, open loop, 1,000 messages per second',
    endpoint: 'compact',
    load: { loop: 'open', perSecond: 1_000 },
    subjects: us,
  },
  {
    ...plain,
    name: 'open-half',
    says: 'XML without TLS, open loop at half of what the server reached in routed-xml-1',
    load: 'half',
    subjects: defaults,
  },
  {
    ...plain,
    name: 'open-half-compact',
    says: 'compact, open loop at half of what the server reached in routed-compact-1',
    endpoint: 'compact',
    load: 'half',
    subjects: us,
  },
];

export async function chatSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, repeats, say } = context;
  const present = (subject: Subject): boolean =>
    subject === 'drawbridge' || subject.startsWith('copier') || context.peers.some(peer => peer === subject);
  const chosen = cases.filter(each => !quick || each.inQuick);
  const subjects = everybody.filter(present);
  const runs = new Map<string, ChatResult[]>();
  const options = { accounts: pairs * 2, offline: false, sasl: 'plain' } as const;
  await withSubjects(context, subjects, options, async servers => {
    // Once without looking: code that a runtime compiles as it goes is not what is measured.
    for (const server of servers.values()) {
      await attempt(context, 'warm-up', () => runCase(cases[0]!, server, quick, undefined));
    }
    for (let repeat = 0; repeat < repeats; repeat++) {
      for (const each of chosen) {
        for (const subject of each.subjects.filter(present)) {
          const result = await attempt(context, `${each.name}, ${subject}`, () =>
            runCase(each, servers.get(subject)!, quick, rateFor(each, subject, runs)),
          );
          if (result === undefined) continue;
          const key = `${each.name} ${subject}`;
          runs.set(key, [...(runs.get(key) ?? []), result]);
          const latency = result.latencyMs === undefined ? '' : `, p99 ${result.latencyMs.p99.toFixed(1)} ms`;
          say(
            `${repeat + 1}/${repeats} ${each.name}, ${subject}: ${(result.cpuMsPerMessage * 1_000).toFixed(1)} µs of CPU each, ` +
              `${Math.round(result.perSecond)}/s${latency}${result.saturated === undefined ? '' : ` (${result.saturated})`}`,
          );
        }
      }
    }
  });
  const rows: Row[] = [];
  for (const each of chosen) {
    for (const subject of each.subjects) {
      const results = runs.get(`${each.name} ${subject}`);
      if (results !== undefined) rows.push(row(each.name, subject, results.map(figuresOf), doubtsOf(results)));
    }
  }
  return {
    suite: 'chat',
    question: 'What does one routed message cost the server in CPU time, beside ejabberd, Prosody and the bare copier?',
    expectation:
      'One read, one parse, one routing decision, one encoding, one write: 5 µs batched and about 15 µs alone, a sixth of ejabberd. ' +
      'Compact does two ChaCha20-Poly1305 calls of 1 µs instead of XML text; messages that travel together share them.',
    cases: Object.fromEntries(chosen.map(each => [each.name, each.says])),
    rows,
    checks: checksOf(rows),
    notes: [
      'Ratios within one interleaved run are what counts; CPU time is that of the server process with all its threads.',
      'Peers get a body of 400 bytes, we an envelope whose stanza is as long (183 bytes of ciphertext); bytes per message say what was sent and received.',
      'The sealed copier also opens and seals, for each read and write, as many bytes as the compact form of the same messages has: the least that compact can take.',
      'Open-loop latency is counted from the moment at which a message should have been sent; the generator wakes once per millisecond, which is part of it.',
      'A receipt to us is a whole envelope (end-to-end encrypted), to the peers a short element.',
    ],
  };
}

function rateFor(each: Case, subject: Subject, runs: ReadonlyMap<string, readonly ChatResult[]>): number | undefined {
  if (each.load !== 'half') return undefined;
  const reached = runs.get(`routed-${each.endpoint === 'compact' ? 'compact' : 'xml'}-1 ${subject}`)?.at(-1);
  return reached === undefined ? undefined : Math.max(100, Math.floor(reached.perSecond / 2));
}

async function runCase(
  each: Case,
  server: RunningServer,
  quick: boolean,
  half: number | undefined,
): Promise<ChatResult | undefined> {
  const target = server.target(each.endpoint);
  const { managed, receipts, payload } = each;
  if (target === undefined || (each.load === 'half' && half === undefined)) return undefined;
  const load = each.load === 'half' ? ({ loop: 'open', perSecond: half! } as const) : each.load;
  const warmUpMs = quick ? 1_200 : 1_500;
  const measureMs = quick ? 1_500 : 3_000;
  return await runJob({ kind: 'chat', target, pairs, managed, receipts, payload, load, warmUpMs, measureMs }, 60_000);
}

function figuresOf(result: ChatResult): Figures {
  const { latencyMs, bytesPerMessage } = result;
  return {
    cpuMsPerMessage: result.cpuMsPerMessage,
    systemShare: result.serverSystemMs / Math.max(1, result.serverCpuMs),
    perSecond: result.perSecond,
    serverCores: result.serverCores,
    generatorCores: result.generatorCores,
    otherCores: result.otherCores,
    bytesSent: bytesPerMessage.sent,
    bytesReceived: bytesPerMessage.received,
    writesPerMessage: result.writesPerMessage,
    ...(latencyMs === undefined
      ? {}
      : { p50Ms: latencyMs.p50, p99Ms: latencyMs.p99, p999Ms: latencyMs.p999, maxMs: latencyMs.max }),
  };
}

function doubtsOf(results: readonly ChatResult[]): string[] {
  const doubts: string[] = [];
  for (const { saturated, otherCores, refused, lost } of results) {
    if (saturated !== undefined) doubts.push(`load generator saturated: ${saturated}`);
    if (otherCores > 0.25) doubts.push('other processes used more than a quarter of a core');
    if (refused > 0) doubts.push('stanzas were refused');
    if (lost > 0) doubts.push('connections were lost');
  }
  return doubts;
}

function checksOf(rows: readonly Row[]): Check[] {
  const find = (name: string, subject: Subject): Row | undefined =>
    rows.find(each => each.case === name && each.subject === subject);
  const ratio = (claim: string, part: Row | undefined, whole: Row | undefined, target: number): Check[] => {
    if (part === undefined || whole === undefined) return [];
    const of = (which: 'medians' | 'leastDisturbed'): number =>
      part[which].cpuMsPerMessage! / whole[which].cpuMsPerMessage!;
    return check(claim, of('medians'), 'at-most', target, of('leastDisturbed'));
  };
  const against = (claim: string, name: string, peer: Subject, target: number): Check[] =>
    ratio(claim, find(name, 'drawbridge'), find(name, peer), target);
  const ours = (claim: string, name: string, than: string, target: number): Check[] =>
    ratio(claim, find(name, 'drawbridge'), find(than, 'drawbridge'), target);
  const p99 = (name: string): number | undefined =>
    rows.find(each => each.case === name && each.subject === 'drawbridge')?.medians.p99Ms;
  const checks: Check[] = [];
  for (const [name, how, ofDefault, ofFewest] of [
    ['routed-xml', '', 0.11, 0.19],
    ['routed-xml-1', ', 1 under way', 1 / 6, 1 / 4],
  ] as const) {
    checks.push(
      ...against(`routed message, XML without TLS${how}: CPU, of ejabberd's`, name, 'ejabberd', ofDefault),
      ...against(`… of ejabberd's with the fewest modules${how}`, name, 'ejabberd-minimal', ofFewest),
      ...against(`… of Prosody's${how}`, name, 'prosody', 1 / 8),
    );
  }
  return [
    ...checks,
    ...against(`message and receipt, TLS, stream management: CPU, of ejabberd's`, 'receipts-tls', 'ejabberd', 1 / 4),
    ...against(`… 1 under way`, 'receipts-tls-1', 'ejabberd', 1 / 4),
    ...ours('compact: CPU, of our own XML over TLS', 'routed-compact', 'routed-tls', 0.4),
    ...ours('… 1 under way', 'routed-compact-1', 'routed-tls-1', 0.6),
    ...check('latency p99 at half load, XML, ms', p99('open-half'), 'at-most', 8),
    ...check('latency p99 at half load, compact, ms', p99('open-half-compact'), 'at-most', 8),
  ];
}
