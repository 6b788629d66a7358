// Question: what happens when ten thousand devices lose the server and all come back at once?
import { beginJob, runJob } from '../children.ts';
import type { HerdResult } from '../load/herd.ts';
import { fileLimit } from '../machine.ts';
import { check, row, type Row, type SuiteResult } from '../results.ts';
import { startDrawbridge } from '../servers/drawbridge.ts';
import type { Endpoint } from '../servers/server.ts';
import { attempt, type SuiteContext } from './suite.ts';

type Loss = 'kill' | 'stop' | 'cut';
type Case = { readonly endpoint: Endpoint; readonly loss: Loss; readonly inQuick: boolean };

const cases: readonly Case[] = [
  { endpoint: 'xml', loss: 'kill', inQuick: true },
  { endpoint: 'xml', loss: 'cut', inQuick: false },
  { endpoint: 'xml-tls', loss: 'stop', inQuick: false },
  { endpoint: 'compact', loss: 'kill', inQuick: false },
  { endpoint: 'compact', loss: 'cut', inQuick: true },
];
const endpointSays = { xml: 'XML without TLS', 'xml-tls': 'XML on TLS', compact: 'compact' } as const;
const lossSays = {
  kill: 'kill -9 and a new start: everybody logs in',
  stop: 'SIGTERM and a new start: everybody logs in',
  cut: 'the network is lost: everybody resumes',
} as const;

/** Those who were connected before write meanwhile: pairs, and messages a second of all together. */
const pairs = 50;
const perSecond = 500;
/** Everybody has to be back within this. */
const deadlineMs = 60_000;
const allBackMs = 25_000;
const worstP99Ms = 200;
/** What the storm may need beyond what the streams hold when it is over. */
const extraMiB = 150;

export async function herdSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, say } = context;
  const devices = Math.min(quick ? 1_000 : 10_000, fileLimit() - 500);
  const accounts = devices + pairs * 2;
  const rows: Row[] = [];
  let server = await startDrawbridge({ folder: context.folder, accounts });
  const again = async (): Promise<void> => {
    server = await startDrawbridge({ folder: context.folder, accounts, basePort: server.basePort });
  };
  const lose = async (loss: 'kill' | 'stop', endpoint: Endpoint): Promise<number> => {
    const held = beginJob({ kind: 'hold', target: server.target(endpoint)!, first: pairs * 2, devices });
    await held.ready;
    const beganMs = performance.now();
    process.kill(server.pid, loss === 'kill' ? 'SIGKILL' : 'SIGTERM');
    const { lost } = await held.result;
    const lostMs = performance.now() - beganMs;
    if (lost < devices) throw new Error(`${lost} of ${devices} streams were lost`);
    await server.stop();
    await again();
    return lostMs;
  };
  try {
    for (const { endpoint, loss } of cases.filter(each => !quick || each.inQuick)) {
      const name = `${endpoint}-${loss}`;
      const measured = await attempt(context, name, async () => {
        const lostMs = loss === 'cut' ? undefined : await lose(loss, endpoint);
        const target = server.target(endpoint)!;
        const writing = beginJob({ kind: 'pairs', target, pairs, perSecond });
        await writing.ready;
        const how = loss === 'cut' ? 'resume' : 'fresh';
        const job = { kind: 'herd', target, first: pairs * 2, devices, how, deadlineMs } as const;
        const storm = await runJob(job, 300_000);
        writing.end();
        return { lostMs, storm, written: await writing.result };
      });
      if (measured === undefined) continue;
      const { storm, written, lostMs } = measured;
      const during = written.samples
        .filter(([atMs]) => atMs >= storm.beganAtMs && atMs <= storm.endedAtMs)
        .map(([, tookMs]) => tookMs)
        .sort((a, b) => a - b);
      const at = (share: number): number => during[Math.ceil(during.length * share) - 1] ?? Number.NaN;
      const figures = {
        back: storm.back,
        resumed: storm.resumed,
        back50Ms: storm.backMs.p50,
        back95Ms: storm.backMs.p95,
        back100Ms: storm.backMs.all,
        tries: storm.tries,
        cpuMsPerReconnect: storm.serverCpuMs / Math.max(1, storm.back),
        baseMiB: storm.baseKiB / 1_024,
        peakMiB: storm.peakKiB / 1_024,
        afterMiB: storm.afterKiB / 1_024,
        establishedP50Ms: at(0.5),
        establishedP99Ms: at(0.99),
        establishedMaxMs: at(1),
        generatorCores: storm.generatorCores,
        otherCores: storm.otherCores,
        ...(lostMs === undefined ? {} : { goodbyeMs: lostMs }),
      };
      say(
        `${name}: ${storm.back} of ${devices} back, half in ${seconds(storm.backMs.p50)} s, all in ${seconds(storm.backMs.all)} s, ${storm.tries} tries, ${storm.generatorCores.toFixed(2)} cores of the generator; ` +
          `messages meanwhile p99 ${at(0.99).toFixed(1)} ms; peak ${(storm.peakKiB / 1_024).toFixed(0)} MiB`,
      );
      rows.push(row(`herd-${name}`, 'drawbridge', [figures], doubts(storm, devices, written)));
    }
  } finally {
    await server.stop();
  }
  const worst = (figure: string): number => Math.max(...rows.map(each => each.medians[figure] ?? Number.NaN));
  return {
    suite: 'herd',
    question: 'What happens when ten thousand devices lose the server and all come back at once?',
    expectation:
      'A login costs 0.3 to 1 ms of the one core that does logins: 3 to 10 s for all. Steps of logins take turns of 5 ms, so that messages of the others wait a few turns.',
    cases: Object.fromEntries(
      rows.map(({ case: name }) => {
        const { endpoint, loss } = cases.find(each => name === `herd-${each.endpoint}-${each.loss}`)!;
        return [name, `${devices} devices, ${endpointSays[endpoint]}: ${lossSays[loss]}`];
      }),
    ),
    rows,
    checks: [
      ...check(
        'devices back, the least of all cases',
        Math.min(...rows.map(each => each.medians.back ?? 0)),
        'at-least',
        devices,
      ),
      ...check('the last device is back after, ms', worst('back100Ms'), 'at-most', allBackMs),
      ...check(
        'p99 of messages between those who are connected, meanwhile, ms',
        worst('establishedP99Ms'),
        'at-most',
        worstP99Ms,
      ),
      ...check(
        'resident memory at the peak above that of the streams afterwards, MiB',
        Math.max(...rows.map(({ medians }) => (medians.peakMiB ?? Number.NaN) - (medians.afterMiB ?? Number.NaN))),
        'at-most',
        extraMiB,
      ),
    ],
    notes: [
      'All devices begin to connect in the same moment, each from an address of its own: worse than any real herd, in which pauses are drawn by chance. Later tries pause as the SDK does.',
      `${pairs} pairs that are connected already exchange ${perSecond} messages per second meanwhile; theirs is the latency, from the moment at which a message should have been sent. They and the herd share one core: their own waiting for it counts against the server.`,
      'CPU per reconnect is all that the server used while the herd came, messages included.',
    ],
  };
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? 'never' : (ms / 1_000).toFixed(1);
}

function doubts(storm: HerdResult, devices: number, written: { readonly lost: number }): string[] {
  return [
    ...(storm.back < devices ? [`${devices - storm.back} devices did not come back`] : []),
    ...(written.lost > 0 ? [`${written.lost} established streams were lost`] : []),
    ...Object.entries(storm.failures).map(([reason, count]) => `${count} tries ended with: ${reason}`),
  ];
}
