// Question: how many logins does a server carry per second of CPU?
import { runJob } from '../children.ts';
import type { LoginJob, LoginResult } from '../load/login.ts';
import { check, row, type Row, type SuiteResult } from '../results.ts';
import type { Endpoint } from '../servers/server.ts';
import { attempt, type Subject, type SuiteContext, withSubjects } from './suite.ts';

type Case = {
  readonly name: string;
  readonly says: string;
  readonly endpoint: Endpoint;
  readonly how: LoginJob['how'];
  readonly subjects: readonly Subject[];
};

const all: readonly Subject[] = ['drawbridge', 'ejabberd', 'prosody'];
const us: readonly Subject[] = ['drawbridge'];
const cases: readonly Case[] = [
  {
    name: 'login-tls',
    says: 'XMPP on TLS 1.3 with a full handshake: OAUTHBEARER with a fresh ownership proof here, SCRAM-SHA-1 there',
    endpoint: 'xml-tls',
    how: 'first-contact',
    subjects: all,
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

export async function loginSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, repeats, say } = context;
  const present = (subject: Subject): boolean =>
    subject === 'drawbridge' || context.peers.some(peer => peer === subject);
  const people = quick ? 80 : 300;
  const rounds = quick ? 2 : 5;
  const runs = new Map<string, LoginResult[]>();
  const subjects = all.filter(present);
  await withSubjects(context, subjects, { accounts: people, offline: false, sasl: 'scram' }, async servers => {
    const runCase = async ({ endpoint, how }: Case, subject: Subject): Promise<LoginResult> => {
      const target = servers.get(subject)!.target(endpoint)!;
      return await runJob({ kind: 'login', target, people, rounds, atOnce: 20, how }, 180_000);
    };
    for (const subject of subjects) await runCase(cases[1]!, subject);
    for (let repeat = 0; repeat < repeats; repeat++) {
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
    }
  }
  const perCpuSecond = (name: string, subject: Subject): number | undefined =>
    rows.find(each => each.case === name && each.subject === subject)?.medians.loginsPerCpuSecond;
  const against = (peer: Subject): number | undefined => {
    const [ours, theirs] = [perCpuSecond('login-tls', 'drawbridge'), perCpuSecond('login-tls', peer)];
    return ours === undefined || theirs === undefined ? undefined : ours / theirs;
  };
  return {
    suite: 'login',
    question: 'How many logins does a server carry per second of CPU?',
    expectation:
      'A proof is a signature check (0.1 ms), a hash and a row in the next group commit; TLS adds about 1 ms. ' +
      'Noise IK is four key agreements (0.1 ms) and no round trip more.',
    cases: Object.fromEntries(cases.map(each => [each.name, each.says])),
    rows,
    checks: [
      ...check(
        `logins on TLS per CPU second: OAUTHBEARER here, of ejabberd's SCRAM`,
        against('ejabberd'),
        'at-least',
        3,
      ),
      ...check(`… of Prosody's SCRAM`, against('prosody'), 'at-least', 3),
      ...check('compact IK logins per CPU second', perCpuSecond('compact-ik', 'drawbridge'), 'at-least', 2_000),
      ...check('compact resumptions per CPU second', perCpuSecond('compact-resume', 'drawbridge'), 'at-least', 2_000),
    ],
    notes: [
      'A login is: connect, handshake, authentication, binding, and the orderly end of the stream.',
      'Every ownership proof is new; taking it once is durable before the login is answered.',
      'Clients keep what SCRAM lets them keep, so that stretching passwords is no part of it on either side.',
    ],
  };
}
