// Question: does a message cost the same when more people are there, and when more is stored?
import { runJob } from '../children.ts';
import { check, row, type Row, type SuiteResult } from '../results.ts';
import { fileLimit } from '../machine.ts';
import { attempt, type SuiteContext, withSubjects } from './suite.ts';

const perSecond = 4_000;

export async function growthSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, say } = context;
  const streams = (quick ? [100, 1_000] : [100, 1_000, 10_000]).filter(count => count < fileLimit() - 500);
  const stored = quick ? [1_000, 10_000] : [1_000, 10_000, 100_000, 1_000_000];
  const rows: Row[] = [];
  const accounts = streams.at(-1)!;
  await withSubjects(context, ['drawbridge'], { accounts, offline: true, sasl: 'plain' }, async servers => {
    const server = servers.get('drawbridge')!;
    for (const endpoint of ['xml', 'compact'] as const) {
      const target = server.target(endpoint)!;
      const job = { kind: 'chat', target, managed: false, receipts: false, payload: 'equal-bytes' } as const;
      await runJob({ ...job, pairs: 50, load: { loop: 'open', perSecond }, warmUpMs: 2_000, measureMs: 1_000 });
      const runs = new Map<number, Record<string, number>[]>();
      for (let repeat = 0; repeat < context.repeats; repeat++) {
        for (const count of streams) {
          const measureMs = quick ? 2_000 : 5_000;
          const load = { loop: 'open', perSecond } as const;
          const result = await attempt(context, `${count} streams, ${endpoint}`, () =>
            runJob({ ...job, pairs: count / 2, load, warmUpMs: 2_000, measureMs }, 180_000),
          );
          if (result === undefined) continue;
          const { cpuMsPerMessage, residentKiB, otherCores } = result;
          const figures = {
            cpuMsPerMessage,
            p99Ms: result.latencyMs!.p99,
            residentMiB: residentKiB / 1_024,
            otherCores,
          };
          runs.set(count, [...(runs.get(count) ?? []), figures]);
          say(`${count} streams, ${endpoint}: ${(cpuMsPerMessage * 1_000).toFixed(1)} µs of CPU each`);
        }
      }
      for (const [count, figures] of runs) rows.push(row(`streams-${endpoint}-${count}`, 'drawbridge', figures, []));
    }
    const target = server.target('compact')!;
    const pairs = 50;
    let total = 0;
    for (const goal of stored) {
      const messagesEach = Math.ceil((goal - total) / pairs);
      const common = { target, pairs, payload: 'equal-bytes' } as const;
      const result = await runJob(
        { kind: 'store', ...common, messagesEach, window: 200, recipients: 'offline' },
        400_000,
      );
      total += result.total;
      say(
        `${total} stored: ${(result.cpuMsPerMessage * 1_000).toFixed(1)} µs of CPU each, ${Math.round(result.perSecond)}/s`,
      );
      const figures = {
        cpuMsPerMessage: result.cpuMsPerMessage,
        perSecond: result.perSecond,
        otherCores: result.otherCores,
      };
      rows.push(row(`stored-${goal}`, 'drawbridge', [figures], []));
    }
  });
  const cpu = (name: string): number => rows.find(each => each.case === name)?.medians.cpuMsPerMessage ?? Number.NaN;
  const growth = (endpoint: string): number => cpu(`streams-${endpoint}-10000`) / cpu(`streams-${endpoint}-100`);
  const says = (name: string): string => {
    const [kind, ...rest] = name.split('-');
    return kind === 'streams'
      ? `open loop, ${perSecond} messages per second over ${rest[1]} ${rest[0]} streams`
      : `storing for people who are away, until ${rest[0]} messages are stored`;
  };
  return {
    suite: 'growth',
    question: 'Does a message cost the same when more people are there, and when more is stored?',
    expectation: 'Look-ups are maps and one B-tree: flat, but for caches that no longer hold everything.',
    cases: Object.fromEntries(rows.map(({ case: name }) => [name, says(name)])),
    rows,
    checks: [
      ...check('CPU per message, 10,000 streams to 100, XML', growth('xml'), 'at-most', 1.25),
      ...check('CPU per message, 10,000 streams to 100, compact', growth('compact'), 'at-most', 1.25),
      ...check(
        'CPU per stored message, the last of a million to the second thousand',
        cpu('stored-1000000') / cpu('stored-10000'),
        'at-most',
        1.25,
      ),
    ],
    notes: [
      'At a fixed rate over more streams fewer messages share a read or a write: that is part of what is measured.',
    ],
  };
}
