// Question: how much memory does a silent stream hold?
import { runJob } from '../children.ts';
import { fileLimit } from '../machine.ts';
import type { IdleResult } from '../load/idle.ts';
import { check, type Figures, row, type Row, type SuiteResult } from '../results.ts';
import type { Endpoint } from '../servers/server.ts';
import { attempt, type Subject, type SuiteContext, withSubjects } from './suite.ts';

type Case = {
  readonly name: string;
  readonly says: string;
  readonly endpoint: Endpoint;
  readonly subjects: readonly Subject[];
  readonly inQuick: boolean;
};

const all: readonly Subject[] = ['drawbridge', 'copier', 'ejabberd', 'prosody'];
const cases: readonly Case[] = [
  { name: 'idle-compact', says: 'compact streams', endpoint: 'compact', subjects: ['drawbridge'], inQuick: true },
  { name: 'idle-xml', says: 'XML streams without TLS', endpoint: 'xml', subjects: all, inQuick: true },
  {
    name: 'idle-tls',
    says: 'XML streams on TLS',
    endpoint: 'xml-tls',
    subjects: ['drawbridge', 'ejabberd', 'prosody'],
    inQuick: false,
  },
];

export async function idleSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, say } = context;
  const present = (subject: Subject): boolean =>
    subject === 'drawbridge' ||
    (!quick && subject === 'copier') ||
    (!quick && context.peers.some(peer => peer === subject));
  // The gatekeeper keeps some files for itself and says so at its start (packages/gatekeeper/src/file-limit.ts).
  const most = fileLimit() - 350;
  const rows: Row[] = [];
  for (const each of cases.filter(candidate => !quick || candidate.inQuick)) {
    for (const subject of each.subjects.filter(present)) {
      const ours = subject === 'drawbridge' || subject === 'copier';
      const many = !ours || each.endpoint === 'xml-tls' ? [1_000, 5_000] : [10_000];
      const wanted = quick ? [1_000] : many;
      const steps = [...new Set(wanted.map(step => Math.min(step, most)))];
      const accounts = steps.at(-1)!;
      const job = { kind: 'idle', steps, settleMs: quick ? 2_500 : 96_000, looks: quick ? 1 : 3 } as const;
      const measure = (): Promise<IdleResult> =>
        withSubjects(
          context,
          [subject],
          { accounts, offline: false, sasl: 'plain', collects: true },
          async servers => await runJob({ ...job, target: servers.get(subject)!.target(each.endpoint)! }, 900_000),
        );
      const runs = new Map<string, { figures: Figures[]; doubts: string[] }>();
      for (let repeat = 0; repeat < (subject === 'drawbridge' ? context.repeats : 1); repeat++) {
        const result = await attempt(context, `${each.name}, ${subject}`, measure);
        for (const step of result?.steps ?? []) {
          const name = `${each.name}-${step.streams}`;
          const figures = figuresOf(result!.base, step);
          say(`${name}, ${subject}: ${figures.kibPerStream.toFixed(2)} KiB each`);
          const run = runs.get(name) ?? { figures: [], doubts: [] };
          run.figures.push(figures);
          if (step.lost > 0) run.doubts.push(`${step.lost} connections were lost`);
          runs.set(name, run);
        }
      }
      for (const [name, { figures, doubts }] of runs) rows.push(row(name, subject, figures, doubts));
    }
  }
  const each = (name: string): number | undefined =>
    rows.find(candidate => candidate.case === name && candidate.subject === 'drawbridge')?.medians.kibPerStream;
  return {
    suite: 'idle',
    question: 'How much resident memory does a silent, logged-in stream hold in the server?',
    expectation: 'A socket of Node is 3.5 KiB; session, decoder and mailbox some objects more: 6 to 10 KiB.',
    cases: Object.fromEntries(
      rows.map(({ case: name }) => [
        name,
        `${cases.find(({ name: stem }) => name.startsWith(stem))!.says}, ${name.split('-').at(-1)} of them`,
      ]),
    ),
    rows,
    checks: [
      ...check('idle compact stream at 10,000, KiB', each('idle-compact-10000'), 'at-most', 4),
      ...check('idle XML stream without TLS at 10,000, KiB', each('idle-xml-10000'), 'at-most', 9),
    ],
    notes: [
      'Resident memory (with what is swapped out) some seconds after the last login, less what was resident before the first, divided by the streams: medians of looks, a second apart. Kernel memory of sockets is not in it, for anybody.',
      'Before each look the gatekeeper collects its garbage, for what waits to be collected does not belong to a stream and differs by tens of MiB from one start to the next. Peaks are before that. The peers and the copier are looked at as they are.',
      'A fresh server for each run. Heap and external: what objects of the main thread take for each stream, and what they hold outside of the heap, as V8 counts it; the rest is native memory of Node, libuv and libsodium, and caches of SQLite.',
    ],
  };
}

function figuresOf({ residentKiB, heapKiB, externalKiB }: IdleResult['base'], step: IdleResult['steps'][number]) {
  const each = (now: number | undefined, base: number | undefined): number | undefined =>
    now === undefined || base === undefined ? undefined : (now - base) / step.streams;
  return {
    kibPerStream: (step.residentKiB - residentKiB) / step.streams,
    peakKibPerStream: (step.peakKiB - residentKiB) / step.streams,
    heapKibPerStream: each(step.heapKiB, heapKiB),
    externalKibPerStream: each(step.externalKiB, externalKiB),
    residentMiB: step.residentKiB / 1_024,
    baseMiB: residentKiB / 1_024,
  };
}
