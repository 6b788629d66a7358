// Question: what does one login cost the server? People log in, `atOnce` at a time, until their session is bound, and leave.
import type { ClientSink, Session } from './client.ts';
import { CompactLoadClient } from './compact-load-client.ts';
import { type Known, learn, logIn } from './logins.ts';
import { type Metered, sleep, startMeter } from './meter.ts';
import { fetchProofs, type Person, readPeople, type Target } from './target.ts';
import { XmppClient } from './xmpp-client.ts';

export type LoginJob = {
  readonly kind: 'login';
  readonly target: Target;
  readonly people: number;
  /** How often everybody logs in; the first time is not measured. */
  readonly rounds: number;
  readonly atOnce: number;
  /** Compact only: with or without knowing the static key; or resuming the session that was cut. */
  readonly how: 'first-contact' | 'known-key' | 'resume';
  readonly tls?: {
    /** Key exchange that clients offer; left out: what OpenSSL offers by itself, which is hybrid from 3.5. */
    readonly group?: string;
    /** Clients show the ticket of their last connection. */
    readonly resume: boolean;
  };
};

export type LoginResult = Metered & {
  readonly logins: number;
  readonly cpuMsPerLogin: number;
  /** What was agreed on: Noise patterns, or TLS version, cipher, key exchange and kind of handshake. */
  readonly patterns: string;
};

const sink: ClientSink = { message() {}, acknowledged() {}, refused() {}, lost() {} };

export async function login(job: LoginJob): Promise<LoginResult> {
  const { target, how } = job;
  const people = readPeople(target, job.people);
  const known = await learn(target);
  const patterns = new Set<string>();
  const sessions = new Map<Person, Session>();
  const managed = how === 'resume';
  const tls = {
    ...(job.tls?.group === undefined ? {} : { group: job.tls.group }),
    ...(job.tls?.resume === true ? { tickets: new Map<number, Buffer>() } : {}),
  };
  const options = { target, payload: 'equal-bytes', managed, available: false, sink, tls } as const;
  // All proofs first: issuing them is not what is measured. They live for two minutes.
  const proofs: (string[] | undefined)[] = [];
  for (let round = 0; round < job.rounds; round++) proofs.push(await fetchProofs(target, 0, people.length));

  const oneRound = async (round: number): Promise<void> => {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let at = next++; at < people.length; at = next++) {
        const person = people[at]!;
        const knows: Known = how === 'first-contact' ? { ...known, staticKey: undefined } : known;
        const client = await logIn(options, knows, person, proofs[round]?.[at], sessions.get(person));
        if (client instanceof CompactLoadClient) {
          patterns.add(client.pattern ?? 'unknown');
          if (client.session !== undefined) sessions.set(person, client.session);
        } else if (client instanceof XmppClient && client.negotiated !== undefined) patterns.add(client.negotiated);
        client.close(managed ? 'cut' : 'in-order');
      }
    };
    await Promise.all(Array.from({ length: job.atOnce }, lane));
  };
  await oneRound(0);
  patterns.clear();
  await sleep(300);
  const stop = startMeter(target);
  for (let round = 1; round < job.rounds; round++) await oneRound(round);
  const metered = stop();
  const logins = people.length * (job.rounds - 1);
  return { ...metered, logins, cpuMsPerLogin: metered.serverCpuMs / logins, patterns: [...patterns].sort().join(' ') };
}
