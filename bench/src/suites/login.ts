// Question: how many logins does a server carry per second of CPU?
import { runJob } from '../children.ts';
import type { LoginJob, LoginResult } from '../load/login.ts';
import type { Target } from '../load/target.ts';
import { check, median, row, type Row, type SuiteResult } from '../results.ts';
import type { Endpoint } from '../servers/server.ts';
import { attempt, type Subject, type SuiteContext, withSubjects } from './suite.ts';

type Case = {
  readonly name: string;
  readonly says: string;
  readonly endpoint: Endpoint;
  /** `connection`: nobody logs in. */
  readonly how: LoginJob['how'] | 'connection';
  readonly tls?: LoginJob['tls'];
  readonly subjects: readonly Subject[];
};

const all: readonly Subject[] = ['drawbridge', 'copier', 'ejabberd', 'prosody'];
/** CPU per second that 2,200 logins leave for each, in verifications of 64 µs, which decision 0017 found. */
const verificationsOfLogin = 7.1;
const us: readonly Subject[] = ['drawbridge'];
const floor: readonly Subject[] = ['drawbridge', 'copier'];
const cases: readonly Case[] = [
  {
    name: 'login-tls',
    says: 'XMPP on TLS 1.3 with a full handshake, X25519: OAUTHBEARER with a fresh ownership proof here, SCRAM-SHA-1 there',
    endpoint: 'xml-tls',
    how: 'first-contact',
    tls: { group: 'X25519', resume: false },
    subjects: all,
  },
  {
    name: 'login-tls-hybrid',
    says: 'the same with the post-quantum key exchange that OpenSSL 3.5 offers by itself; the peers have none',
    endpoint: 'xml-tls',
    how: 'first-contact',
    tls: { resume: false },
    subjects: us,
  },
  {
    name: 'login-tls-resumed',
    says: 'clients that come back show the session ticket of their last connection (X25519); a server that gives none shakes hands in full',
    endpoint: 'xml-tls',
    how: 'first-contact',
    tls: { group: 'X25519', resume: true },
    subjects: all,
  },
  {
    name: 'connection-tls',
    says: 'a connection with a full handshake on which nobody logs in: what TLS takes of a login',
    endpoint: 'xml-tls',
    how: 'connection',
    tls: { resume: false },
    subjects: floor,
  },
  {
    name: 'connection-tls-resumed',
    says: 'the same with a session ticket',
    endpoint: 'xml-tls',
    how: 'connection',
    tls: { resume: true },
    subjects: floor,
  },
  {
    name: 'connection-plain',
    says: 'the same without TLS',
    endpoint: 'xml',
    how: 'connection',
    subjects: floor,
  },
  { name: 'login-plain', says: 'the same without TLS', endpoint: 'xml', how: 'first-contact', subjects: all },
  {
    name: 'compact-xx',
    says: 'compact, Noise XX: the first login',
    endpoint: 'compact',
    how: 'first-contact',
    subjects: us,
  },
  {
    name: 'compact-ik',
    says: 'compact, Noise IK: every further login',
    endpoint: 'compact',
    how: 'known-key',
    subjects: us,
  },
  {
    name: 'compact-resume',
    says: 'compact, Noise IK, resuming the session that was cut',
    endpoint: 'compact',
    how: 'resume',
    subjects: us,
  },
];

/** As logins, for which they are one row among others. */
async function runConnections(target: Target, resume: boolean, count: number): Promise<LoginResult> {
  const result = await runJob({ kind: 'connections', target, count, atOnce: 20, resume });
  return { ...result, logins: count, cpuMsPerLogin: result.cpuMsPerConnection, patterns: '' };
}

export async function loginSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, repeats, say } = context;
  const present = (subject: Subject): boolean =>
    subject === 'drawbridge' || subject === 'copier' || context.peers.some(peer => peer === subject);
  const people = quick ? 80 : 300;
  const rounds = quick ? 2 : 5;
  const runs = new Map<string, LoginResult[]>();
  const verifyMs: number[] = [];
  const subjects = all.filter(present);
  await withSubjects(context, subjects, { accounts: people, offline: false, sasl: 'scram' }, async servers => {
    const runCase = async ({ endpoint, how, tls }: Case, subject: Subject, times = rounds): Promise<LoginResult> => {
      const target = servers.get(subject)!.target(endpoint)!;
      if (how === 'connection') return await runConnections(target, tls?.resume === true, people * (times - 1));
      return await runJob(
        { kind: 'login', target, people, rounds: times, atOnce: 20, how, ...(tls === undefined ? {} : { tls }) },
        180_000,
      );
    };
    // Every way once, for its code to be compiled: a server runs for longer than a measurement.
    for (const each of cases) for (const subject of each.subjects.filter(present)) await runCase(each, subject, 2);
    for (let repeat = 0; repeat < repeats; repeat++) {
      verifyMs.push((await runJob({ kind: 'primitive', rounds: 5 })).verifyMs);
      for (const each of cases) {
        for (const subject of each.subjects.filter(present)) {
          const result = await attempt(context, `${each.name}, ${subject}`, () => runCase(each, subject));
          if (result === undefined) continue;
          const key = `${each.name} ${subject}`;
          runs.set(key, [...(runs.get(key) ?? []), result]);
          say(
            `${repeat + 1}/${repeats} ${each.name}, ${subject}: ${result.cpuMsPerLogin.toFixed(2)} ms of CPU each, ` +
              `${Math.round(result.logins / result.seconds)}/s${result.patterns === '' ? '' : `, ${result.patterns}`}`,
          );
        }
      }
    }
  });
  const rows: Row[] = [];
  const negotiated: string[] = [];
  for (const each of cases) {
    for (const subject of each.subjects) {
      const results = runs.get(`${each.name} ${subject}`);
      if (results === undefined) continue;
      const figures = results.map(({ cpuMsPerLogin, logins, seconds, serverCores, generatorCores, otherCores }) => ({
        cpuMsPerLogin,
        loginsPerCpuSecond: 1_000 / cpuMsPerLogin,
        perSecond: logins / seconds,
        serverCores,
        generatorCores,
        otherCores,
      }));
      const doubts = results.flatMap(({ generatorCores, otherCores }) => [
        ...(generatorCores >= 0.85
          ? ['the load generator was saturated: the rate is its own, CPU per login is not']
          : []),
        ...(otherCores > 0.25 ? ['other processes used more than a quarter of a core'] : []),
      ]);
      rows.push(row(each.name, subject, figures, doubts));
      const agreed = [...new Set(results.map(result => result.patterns))].filter(pattern => pattern !== '');
      if (agreed.length > 0) negotiated.push(`${each.name}, ${subject}: ${agreed.join('; ')}.`);
    }
  }
  rows.push(
    row(
      'es256-verification',
      'machine',
      verifyMs.map(ms => ({ cpuMsPerVerification: ms })),
      [],
    ),
  );
  const verificationMs = median(verifyMs);
  const inVerifications = (name: string): number | undefined => {
    const ms = rows.find(each => each.case === name && each.subject === 'drawbridge')?.medians.cpuMsPerLogin;
    return ms === undefined ? undefined : ms / verificationMs;
  };
  const perCpuSecond = (name: string, subject: Subject, of: 'medians' | 'leastDisturbed'): number | undefined =>
    rows.find(each => each.case === name && each.subject === subject)?.[of].loginsPerCpuSecond;
  const atLeast = (claim: string, figure: (of: 'medians' | 'leastDisturbed') => number | undefined, target: number) =>
    check(claim, figure('medians'), 'at-least', target, figure('leastDisturbed'));
  const against =
    (name: string, peer: Subject) =>
    (of: 'medians' | 'leastDisturbed'): number | undefined => {
      const [ours, theirs] = [perCpuSecond(name, 'drawbridge', of), perCpuSecond(name, peer, of)];
      return ours === undefined || theirs === undefined ? undefined : ours / theirs;
    };
  const ownPerCpuSecond =
    (name: string) =>
    (of: 'medians' | 'leastDisturbed'): number | undefined =>
      perCpuSecond(name, 'drawbridge', of);
  return {
    suite: 'login',
    question: 'How many logins does a server carry per second of CPU?',
    expectation:
      'A proof is a signature check (0.1 ms), a hash and a row in the next group commit; TLS adds about 1 ms. ' +
      'Noise IK is four key agreements (0.1 ms) and no round trip more.',
    cases: {
      ...Object.fromEntries(cases.map(each => [each.name, each.says])),
      'es256-verification':
        'what the machine takes for the signature of one proof: the measure by which machines compare',
    },
    rows,
    checks: [
      ...atLeast(
        `logins on TLS per CPU second: OAUTHBEARER here, of ejabberd's SCRAM`,
        against('login-tls', 'ejabberd'),
        2.5,
      ),
      ...atLeast(`… of Prosody's SCRAM`, against('login-tls', 'prosody'), 3),
      ...atLeast(`… of clients that come back, of ejabberd's`, against('login-tls-resumed', 'ejabberd'), 4),
      ...atLeast('compact IK logins per CPU second', ownPerCpuSecond('compact-ik'), 2_200),
      ...atLeast('compact resumptions per CPU second', ownPerCpuSecond('compact-resume'), 2_200),
      ...check(
        'compact IK login, in ES256 verifications',
        inVerifications('compact-ik'),
        'at-most',
        verificationsOfLogin,
      ),
      ...check('compact resumption, the same', inVerifications('compact-resume'), 'at-most', verificationsOfLogin),
    ],
    notes: [
      'A login is: connect, handshake, authentication, binding, and the orderly end of the stream.',
      'The copier lets everybody in: the same connections and exchanges by a Node server that checks and keeps nothing. What it takes more on TLS than without is what TLS costs in this runtime.',
      'Every ownership proof is new; taking it once is durable before the login is answered.',
      'Proofs are signed by ES256, the default of the provider kit.',
      ...negotiated,
      'Clients keep what SCRAM lets them keep, so that stretching passwords does not count on either side.',
    ],
  };
}
