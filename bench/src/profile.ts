// Where the gatekeeper's time goes under load: CPU by thread, and self time by function from V8's CPU profiler, of the
// measured window alone; written as a small text file.
// For finding out what to make faster; the profiler itself costs time, so these are shares, never figures of cost.
import { Session } from 'node:inspector/promises';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { runJob } from './children.ts';
import { countOnline } from './counts.ts';
import type { ChatJob } from './load/chat.ts';
import type { LoginJob } from './load/login.ts';
import { sleep } from './load/meter.ts';
import type { Target } from './load/target.ts';
import { loadCore } from './machine.ts';
import type { CpuProfile, WindowProfile } from './profile-hook.ts';
import { resultsFolder } from './results.ts';
import { startDrawbridge } from './servers/drawbridge.ts';
import { startMediaGatekeeper, startMediaOrigin, storeFile } from './servers/media.ts';
import type { Endpoint } from './servers/server.ts';

type ProfileCase = {
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly job: (target: Target) => ChatJob | LoginJob;
};

const chat =
  (managed: boolean, receipts: boolean, window: number) =>
  (target: Target): ChatJob => ({
    kind: 'chat',
    target,
    pairs: 50,
    managed,
    receipts,
    payload: 'equal-bytes',
    load: { loop: 'closed', window },
    warmUpMs: 1_500,
    measureMs: 6_000,
  });
const logins = (target: Target): LoginJob => ({
  kind: 'login',
  target,
  people: 100,
  rounds: 25,
  atOnce: 20,
  how: 'known-key',
});
const cases: readonly ProfileCase[] = [
  { name: 'routed-xml', endpoint: 'xml', job: chat(false, false, 8) },
  { name: 'routed-xml-1', endpoint: 'xml', job: chat(false, false, 1) },
  { name: 'routed-compact', endpoint: 'compact', job: chat(false, false, 8) },
  { name: 'routed-compact-1', endpoint: 'compact', job: chat(false, false, 1) },
  { name: 'receipts-tls', endpoint: 'xml-tls', job: chat(true, true, 8) },
  { name: 'login-tls', endpoint: 'xml-tls', job: logins },
  { name: 'login-plain', endpoint: 'xml', job: logins },
  { name: 'login-compact-ik', endpoint: 'compact', job: logins },
];

const shown = 45;
const shownOfWorkers = 15;

type AllocationNode = {
  readonly callFrame: CpuProfile['nodes'][number]['callFrame'];
  readonly selfSize: number;
  readonly children: readonly AllocationNode[];
};

/** Which functions allocate on the path of a message: by sampling the runs that `--counts` makes. */
export async function profileAllocations(): Promise<void> {
  for (const carrier of ['xml', 'compact'] as const) {
    const session = new Session();
    session.connect();
    await session.post('HeapProfiler.startSampling', {
      samplingInterval: 2_048,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    } as Parameters<Session['post']>[1] & object);
    const counts = await countOnline(carrier);
    const { profile } = (await session.post('HeapProfiler.stopSampling')) as { profile: { head: AllocationNode } };
    session.disconnect();
    const self = new Map<string, number>();
    let all = 0;
    const visit = (node: AllocationNode): void => {
      const name = frameName(node.callFrame);
      self.set(name, (self.get(name) ?? 0) + node.selfSize);
      all += node.selfSize;
      for (const child of node.children) visit(child);
    };
    visit(profile.head);
    const sorted = [...self].sort((a, b) => b[1] - a[1]).slice(0, shown);
    const lines = sorted.map(([name, size]) => `${((size / all) * 100).toFixed(1).padStart(5)} %  ${name}\n`);
    const text = `Allocations by function, sampled, preparation of the input included. ${JSON.stringify(counts)}\n\n${lines.join('')}`;
    writeFileSync(join(resultsFolder, `allocations-${carrier}.txt`), text);
    process.stdout.write(`${text}\n`);
  }
}

/** All cases, or those whose names begin with one of `only`. */
export async function profileGatekeeper(
  folder: string,
  say: (text: string) => void,
  only: readonly string[] = [''],
): Promise<void> {
  mkdirSync(resultsFolder, { recursive: true });
  for (const { name, endpoint, job } of cases.filter(each => only.some(begin => each.name.startsWith(begin)))) {
    say(`profiling ${name}`);
    const profiles = join(folder, `profile-${name}`);
    mkdirSync(profiles, { recursive: true });
    const server = await startDrawbridge({
      folder: join(folder, name),
      accounts: 100,
      environment: {
        NODE_OPTIONS: `--import=${new URL('./profile-hook.ts', import.meta.url).href}`,
        DRAWBRIDGE_PROFILE_FOLDER: profiles,
      },
    });
    const result = await runJob(job({ ...server.target(endpoint)!, profiled: true }));
    const found = await readWindow(join(profiles, 'window.json'));
    await server.stop();
    const [each, count] =
      'messages' in result ? [result.cpuMsPerMessage, result.messages] : [result.cpuMsPerLogin, result.logins];
    const rate = `${Math.round(count / result.seconds)}/s, ${(each * 1_000).toFixed(1)} µs each while profiled`;
    const threads = Object.entries(found.threads)
      .filter(([, ms]) => ms > 0)
      .sort((a, b) => b[1] - a[1])
      .map(([thread, ms]) => `${((ms * 1_000) / count).toFixed(1).padStart(7)} µs  ${thread}\n`);
    const text =
      `Gatekeeper, the measured window alone. Case ${name}: ${rate}.\n\n` +
      `CPU for each by thread, the profiler's own included:\n${threads.join('')}\n` +
      `Main thread, self time by function:\n${selfTimes(found.profiles[0]!, shown)}` +
      found.profiles
        .slice(1)
        .map((profile, index) => `\nWorker ${index + 1}:\n${selfTimes(profile, shownOfWorkers)}`)
        .join('');
    writeFileSync(join(resultsFolder, `profile-${name}.txt`), text);
    process.stdout.write(`${text}\n`);
  }
}

function profileOf(pid: number, folder: string): CpuProfile {
  const file = readdirSync(folder).find(each => each.includes(`.${pid}.0.`));
  if (file === undefined) throw new Error(`no profile of the gatekeeper in ${folder}`);
  return JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile;
}

const profiledBytes = 67_108_864;

/** The media proxy, in front of our own media origin. */
export async function profileMediaProxy(folder: string, say: (text: string) => void): Promise<void> {
  say('profiling media-proxy');
  const place = join(folder, 'media-proxy');
  const profiles = join(place, 'profiles');
  mkdirSync(profiles, { recursive: true });
  const pki = await ensureDevPki(join(place, 'pki'), ['citadel.localhost']);
  const { caFile } = pki;
  const origin = await startMediaOrigin(place, pki, loadCore);
  const url = await storeFile(origin, caFile, profiledBytes);
  const environment = { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profiles}` };
  const gatekeeper = await startMediaGatekeeper(place, pki, url, environment);
  const target = { url: gatekeeper.href(url, profiledBytes), caFile, pid: gatekeeper.pid, behindPid: origin.pid };
  const result = await runJob({ kind: 'download', target, sizeBytes: profiledBytes, times: 40, atOnce: 2 });
  await gatekeeper.stop();
  await origin.stop();
  const seconds = (result.serverCpuMs / 1_000 / result.bytes) * 2 ** 30;
  const text = `Gatekeeper, main thread, self time by function. Case media-proxy: ${seconds.toFixed(2)} s per GiB while profiled.\n\n${selfTimes(profileOf(gatekeeper.pid, profiles), shown)}`;
  writeFileSync(join(resultsFolder, 'profile-media-proxy.txt'), text);
  process.stdout.write(`${text}\n`);
}

/** The profile is written after the job has been reported. */
async function readWindow(file: string): Promise<WindowProfile> {
  for (let tries = 0; tries < 100 && !existsSync(file); tries++) await sleep(100);
  return JSON.parse(readFileSync(file, 'utf8')) as WindowProfile;
}

function selfTimes(profile: CpuProfile, most: number): string {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, frameName(callFrame)]));
  const self = new Map<string, number>();
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const name = names.get(id)!;
    const micros = profile.timeDeltas[index] ?? 0;
    if (name.startsWith('(idle)') || name.startsWith('(root)')) continue;
    self.set(name, (self.get(name) ?? 0) + micros);
    busy += micros;
  }
  const sorted = [...self].sort((a, b) => b[1] - a[1]).slice(0, most);
  return sorted.map(([name, micros]) => `${((micros / busy) * 100).toFixed(1).padStart(5)} %  ${name}\n`).join('');
}

function frameName({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const place = url.replace(/^.*\/(packages|apps|bench|node_modules)\//, '$1/');
  return `${functionName || '(anonymous)'}  ${place}${url === '' ? '' : `:${lineNumber + 1}`}`;
}
