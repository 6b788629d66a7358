// Question: how much memory does a silent stream hold?
import { runJob } from '../children.ts';
import { fileLimit } from '../machine.ts';
import type { IdleResult } from '../load/idle.ts';
import { check, row, type Row, type SuiteResult } from '../results.ts';
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
      const many = !ours || each.endpoint === 'xml-tls' ? [1_000, 5_000] : [1_000, 10_000, 20_000];
      const wanted = quick ? [1_000] : many;
      const steps = [...new Set(wanted.map(step => Math.min(step, most)))];
      const accounts = steps.at(-1)!;
      const measure = (): Promise<IdleResult> =>
        withSubjects(
          context,
          [subject],
          { accounts, offline: false, sasl: 'plain' },
          async servers =>
            await runJob(
              {
                kind: 'idle',
                target: servers.get(subject)!.target(each.endpoint)!,
                steps,
                settleMs: quick ? 2_500 : 12_000,
              },
              600_000,
            ),
        );
      const result = await attempt(context, `${each.name}, ${subject}`, measure);
      if (result === undefined) continue;
      for (const step of result.steps) {
        const name = `${each.name}-${step.streams}`;
        say(`${name}, ${subject}: ${step.kibPerStream.toFixed(1)} KiB each`);
        const { kibPerStream, peakKibPerStream, residentKiB } = step;
        const figures = {
          kibPerStream,
          peakKibPerStream,
          residentMiB: residentKiB / 1_024,
          baseMiB: result.baseKiB / 1_024,
        };
        rows.push(row(name, subject, [figures], step.lost > 0 ? [`${step.lost} connections were lost`] : []));
      }
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
      'Resident memory (with what is swapped out) some seconds after the last login, less what was resident before the first, divided by the streams. Kernel memory of sockets is not in it, for anybody.',
      'One run each: a fresh server for each line of cases. Garbage that the runtime has not collected yet counts against it.',
    ],
  };
}
