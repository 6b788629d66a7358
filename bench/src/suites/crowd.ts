// Question: what do honest people of two providers notice while a third, its ten accounts and a whole /48 attack at once?
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { nodeArguments } from '../children.ts';
import { repositoryFolder } from '../machine.ts';
import { check, type Figures, row, type SuiteResult } from '../results.ts';
import { attempt, type SuiteContext } from './suite.ts';

/** What `harness/src/crowd/run.ts` prints, as far as it is told here. */
type Latency = { readonly messages: number; readonly p50Ms: number; readonly p99Ms: number; readonly mostMs: number };
type Played = {
  readonly hasIpv6: boolean;
  readonly quiet: Latency;
  readonly crowded: Latency;
  readonly book: {
    readonly sent: number;
    readonly received: number;
    readonly acknowledged: number;
    readonly disordered: number;
    readonly ended: readonly string[];
  };
  readonly errands: Readonly<Record<string, number>>;
  readonly errandsFailed: readonly string[];
  readonly beforeMiB: number;
  readonly mostMiB: number;
  readonly gatekeeperCores: number;
};

const worstP99Ms = 100;
const mostMiB = 1_024;

export async function crowdSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, say } = context;
  const runs: Figures[] = [];
  const doubts: string[] = [];
  for (let i = 0; i < (quick ? 1 : context.repeats); i++) {
    const played = await attempt(context, 'crowd', () => play(quick ? 10 : 60));
    if (played === undefined) continue;
    const { quiet, crowded, book, errands, errandsFailed } = played;
    runs.push({
      quietP99Ms: quiet.p99Ms,
      crowdP50Ms: crowded.p50Ms,
      crowdP99Ms: crowded.p99Ms,
      crowdMostMs: crowded.mostMs,
      sent: book.sent,
      lost: book.sent - book.received,
      unacknowledged: book.sent - book.acknowledged,
      disordered: book.disordered,
      streamsEnded: book.ended.length,
      errands: Object.values(errands).reduce((sum, count) => sum + count, 0),
      errandsFailed: errandsFailed.length,
      beforeMiB: played.beforeMiB,
      mostMiB: played.mostMiB,
      gatekeeperCores: played.gatekeeperCores,
    });
    if (!played.hasIpv6) doubts.push('no network namespace: the crowd had one IPv4 address');
    say(
      `crowd: p99 ${crowded.p99Ms} ms (alone ${quiet.p99Ms}), ${book.sent - book.received} lost, ${Math.round(played.mostMiB)} MiB`,
    );
  }
  const worst = (figure: string): number => Math.max(...runs.map(run => run[figure] ?? Number.NaN));
  return {
    suite: 'crowd',
    question:
      'What do honest people of two providers notice while a third, its ten accounts and a whole /48 attack at once?',
    expectation:
      'Nothing is lost, whatever comes. Every stream of the crowd has its bucket and its turn of 32 KiB: ten of them take some 30 ms of a round at most, so that a message waits for two or three of them.',
    cases: { crowd: 'honest pairs beside every attack of harness/src/crowd at once' },
    rows: [row('crowd', 'drawbridge', runs, doubts)],
    checks: [
      ...check('honest messages lost', worst('lost'), 'at-most', 0),
      ...check('honest messages out of order', worst('disordered'), 'at-most', 0),
      ...check('p99 of honest messages meanwhile, ms', worst('crowdP99Ms'), 'at-most', worstP99Ms),
      ...check('resident memory at most, MiB', worst('mostMiB'), 'at-most', mostMiB),
    ],
    notes: [
      'Gatekeeper, crowd and honest people are three processes that share the cores of this machine without being pinned: what the crowd takes of them counts against the gatekeeper.',
      'The gatekeeper has the limits and budgets that it has by default.',
    ],
  };
}

async function play(seconds: number): Promise<Played> {
  const program = join(repositoryFolder, 'harness/src/crowd/run.ts');
  const args = [...nodeArguments, program, '--quiet', '5', '--seconds', String(seconds)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`the crowd ended with ${code}`);
  return JSON.parse(text) as Played;
}
