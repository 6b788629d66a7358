// `npm run bench`: the measured claims of this project, from one command. Chooses suites and peers, runs them one after the
// other, writes bench/results/*.json and bench/report.html, prints tables. Knows nothing of how anything is measured.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { killAllChildren } from './children.ts';
import { runCounts } from './counts.ts';
import { writeGoals } from './goals.ts';
import { describeMachine, raiseFileLimit, unfitMachine } from './machine.ts';
import { installPeers, installedPeers } from './peers.ts';
import { writeReport } from './report.ts';
import { type SuiteResult, writeResult } from './results.ts';
import { profileAllocations, profileGatekeeper, profileMediaProxy } from './profile.ts';
import { chatSuite } from './suites/chat.ts';
import { crowdSuite } from './suites/crowd.ts';
import { durabilitySuite } from './suites/durability.ts';
import { growthSuite } from './suites/growth.ts';
import { herdSuite } from './suites/herd.ts';
import { idleSuite } from './suites/idle.ts';
import { loginSuite } from './suites/login.ts';
import { mediaSuite } from './suites/media.ts';
import { offlineSuite } from './suites/offline.ts';
import { relaySuite } from './suites/relay.ts';
import { failedRuns, type SuiteContext } from './suites/suite.ts';
import { trustSuite } from './suites/trust.ts';
import { wireSuite } from './suites/wire.ts';
import { table } from './table.ts';

const suites: Readonly<Record<string, (context: SuiteContext) => Promise<SuiteResult>>> = {
  chat: chatSuite,
  login: loginSuite,
  idle: idleSuite,
  offline: offlineSuite,
  durability: durabilitySuite,
  growth: growthSuite,
  herd: herdSuite,
  crowd: crowdSuite,
  wire: wireSuite,
  trust: trustSuite,
  media: mediaSuite,
  relay: relaySuite,
};

const help = `Measures Drawbridge on this machine, beside ejabberd, Prosody and nginx where they are installed.

Usage: npm run bench -- [options]

  --only <suites>   some of: ${Object.keys(suites).join(', ')} (comma between them)
  --quick           short runs, once, without growth, herd and crowd: two minutes for a first impression
  --repeats <n>     interleaved runs of everything (3; with --quick 1)
  --with-peers      install ejabberd, prosody and nginx from Debian first (needs root)
  --no-peers        leave them out
  --counts          counts per message instead of times (no server, half a minute): bench/results/counts.json
  --check           with --counts: compare with that file, fail above 10 %
  --profile         where the gatekeeper's time goes, instead of suites: bench/results/profile-*.txt
                    (with --only: cases whose names begin so, such as login)
  --report          write bench/report.html and the figures in docs/measured.md from what is in bench/results, and
                    nothing else
  --help            this text

Examples:
  npm run bench -- --quick
  npm run bench -- --only chat,login --repeats 5
  npm run bench -- --with-peers

Results go to bench/results/*.json and bench/report.html. All traffic is on loopback. Ctrl-C ends everything.
`;

let folder = '';

function removeFolder(): void {
  if (folder !== '') rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

function say(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}

async function run(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      repeats: { type: 'string' },
      'with-peers': { type: 'boolean', default: false },
      'no-peers': { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      counts: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  if (values.check && !values.counts) throw new UsageError('--check goes with --counts');
  if (values.report) {
    writeGoals();
    say(`wrote ${writeReport()}, and the figures in docs/measured.md`);
    return 0;
  }
  if (values.counts) return await runCounts(values.check);
  const chosen =
    values.only?.split(',').map(name => name.trim()) ??
    Object.keys(suites).filter(name => !values.quick || !['growth', 'herd', 'crowd'].includes(name));
  const unknown = chosen.filter(name => suites[name] === undefined);
  if (unknown.length > 0 && !values.profile) throw new UsageError(`no such suite: ${unknown.join(', ')}`);
  const repeats = Number(values.repeats ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(repeats) || repeats < 1 || repeats > 100) throw new UsageError('--repeats takes 1 to 100');
  const unfit = unfitMachine();
  if (unfit !== undefined) throw new UsageError(unfit);

  raiseFileLimit();
  const machine = describeMachine();
  say(
    `${machine.cores} cores, ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}`,
  );
  if (machine.cores < 2) say('one core: server and load generator share it, and only CPU per operation means anything');
  if (values['with-peers']) installPeers(say);
  const installed = values['no-peers'] ? [] : installedPeers();
  const peers = values.quick ? installed.filter(peer => !peer.endsWith('-minimal')) : installed;
  if (peers.length === 0) say('without peers: --with-peers installs ejabberd, prosody and nginx from Debian');

  folder = mkdtempSync(join(tmpdir(), 'drawbridge-bench-'));
  let failed = 0;
  try {
    if (values.profile) {
      const only = values.only?.split(',');
      if (only === undefined) await profileAllocations();
      if (only?.includes('media-proxy') ?? true) await profileMediaProxy(folder, say);
      await profileGatekeeper(folder, say, only);
      return 0;
    }
    for (const name of chosen) {
      say(`suite ${name}`);
      const context: SuiteContext = { quick: values.quick, repeats, peers, folder: join(folder, name), say };
      const result = await suites[name]!(context).catch((error: unknown) => {
        if (interrupted) throw error;
        say(`suite ${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      });
      if (result === undefined) {
        failed++;
        continue;
      }
      writeResult(result, machine, values.quick);
      process.stdout.write(table(result));
      writeReport();
    }
    say('wrote bench/results and bench/report.html');
    if (failedRuns() > 0) say(`${failedRuns()} runs failed: see above`);
    return failed + failedRuns() === 0 ? 0 : 1;
  } finally {
    killAllChildren();
    removeFolder();
  }
}

class UsageError extends Error {}

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (interrupted) return;
    interrupted = true;
    say('stopping');
    killAllChildren();
    // What was starting just now, and what children write while they die, is gone after this.
    setTimeout(() => {
      killAllChildren();
      removeFolder();
      process.exit(130);
    }, 700);
  });
}

try {
  process.exit(await run());
} catch (error) {
  const usage = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
  if (!interrupted) {
    let text = String(error);
    if (error instanceof Error) text = usage ? error.message : (error.stack ?? error.message);
    process.stderr.write(`bench: ${text}\n${usage ? 'Next: npm run bench -- --help\n' : ''}`);
  }
  if (interrupted) process.exit(130);
  process.exit(usage ? 2 : 1);
}
