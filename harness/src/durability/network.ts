// The gatekeeper under test, in a process of its own that can be killed and started again on the same data; its two
// issuers in this process; people without keys for contents, who can log in. Knows nothing of faults or traffic.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { devGatekeeperConfig, devGatekeeperIssuer, portFault } from '@drawbridge/cli/dev-config';
import { type DevProvider, startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { forkGatekeeper, type GatekeeperProcess } from '@drawbridge/cli/gatekeeper-process';
import { sampleDevice } from '@drawbridge/gatekeeper/testing/sample-device';
import { RawStream, type RawStreamOptions } from './raw-stream.ts';

export const domain = 'citadel.example';
const thirdParty = 1;

export type Person = {
  readonly index: number;
  /** Senders are the third party's people, recipients the gatekeeper's own. */
  readonly kind: 'sender' | 'recipient';
  readonly interopId: string;
  readonly deviceId: number;
  readonly identifier: string;
  readonly jkt: string;
};

export type NetworkOptions = {
  /** For certificates. */
  readonly folder: string;
  /** The gatekeeper's. */
  readonly dataFolder: string;
  readonly senders: number;
  readonly recipients: number;
  /** A next process is kept ready with its code loaded, so that rounds are fast. Not where restarts are measured. */
  readonly keepSpare: boolean;
};

export type Network = {
  readonly senders: readonly Person[];
  readonly recipients: readonly Person[];
  /** Counts the gatekeeper's processes, from 1. */
  readonly life: number;
  personOf(interopId: string): Person | undefined;
  open(person: Person, options: Omit<RawStreamOptions, 'port' | 'domain' | 'proof'>): Promise<RawStream>;
  /** Resolves when the process is gone. */
  kill(): Promise<void>;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts a process after `kill`; gives the milliseconds until it was ready. */
  restart(): Promise<number>;
  /** Ends the process in good order. */
  stop(): Promise<void>;
  /** Rows of all mailboxes on disk. */
  storedEntries(): number;
  close(): Promise<void>;
};

/** Below the ports that systems give to outgoing connections, so that nobody takes one while the gatekeeper is down. */
async function choosePorts(count: number): Promise<number[]> {
  for (let tries = 0; tries < 50; tries++) {
    const base = 20_000 + Math.floor(Math.random() * 11_000);
    const ports = Array.from({ length: count }, (_, i) => base + i);
    const faults = await Promise.all(ports.map(port => portFault(port, '127.0.0.1')));
    if (faults.every(fault => fault === undefined)) return ports;
  }
  throw new Error('no free ports');
}

export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { folder, dataFolder } = options;
  const [xmpp, xmpps, websocket, compact, http, admin] = (await choosePorts(6)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const pki = await ensureDevPki(join(folder, 'pki'), [domain]);
  const audience = devGatekeeperIssuer(http);
  const openProvider = (): Promise<DevProvider> =>
    startDevProvider({
      folder: ':memory:',
      pki,
      gatekeepers: [audience],
      registration: 'closed',
      directory: { authenticate: async () => ({ kind: 'refused' }), exists: async () => true },
    });
  const third = await openProvider();
  const own = await openProvider();
  const config = devGatekeeperConfig({
    folder: dataFolder,
    pki,
    domain,
    ports: { xmpp, xmpps, websocket, compact, http, admin },
    providers: [{ number: thirdParty, name: 'skylark.example', issuer: third.issuer }],
    ownUsers: { issuer: own.issuer },
    unlimited: true,
  });
  let life = 0;
  let running: GatekeeperProcess | undefined;
  let spare: GatekeeperProcess | undefined;
  const restart = async (): Promise<number> => {
    const beganMs = performance.now();
    running = spare ?? forkGatekeeper();
    await running.start({ config, plaintextXmpp: true, logLevel: 'error' });
    const tookMs = performance.now() - beganMs;
    life++;
    spare = options.keepSpare ? forkGatekeeper() : undefined;
    return tookMs;
  };
  const current = (): GatekeeperProcess => {
    if (running === undefined) throw new Error('the gatekeeper is not running');
    return running;
  };
  const close = async (): Promise<void> => {
    await Promise.all([running?.stop(), spare?.stop(), third.close(), own.close()]);
  };
  try {
    await restart();
    const people = await enlist(current(), options);
    const byId = new Map(people.map(person => [person.interopId, person]));
    const proof = async (person: Person): Promise<string> => {
      const { provider } = person.kind === 'sender' ? third : own;
      const issue = await provider.issueProof(person.identifier, { audience, jkt: person.jkt, transport: 'xmpp' });
      if (issue.kind === 'refused') throw new Error(`no proof: ${issue.code}`);
      return issue.proof;
    };
    return {
      senders: people.filter(person => person.kind === 'sender'),
      recipients: people.filter(person => person.kind === 'recipient'),
      get life() {
        return life;
      },
      personOf: interopId => byId.get(interopId),
      open: async (person, how) => RawStream.open({ ...how, port: xmpp, domain, proof: await proof(person) }),
      async kill() {
        const dying = current();
        process.kill(dying.pid, 'SIGKILL');
        await dying.died;
        running = undefined;
      },
      signal: signal => void process.kill(current().pid, signal),
      restart,
      async stop() {
        await current().stop();
        running = undefined;
      },
      storedEntries() {
        const database = new DatabaseSync(join(dataFolder, 'gatekeeper.sqlite'), { readOnly: true });
        try {
          return (database.prepare('SELECT count(*) AS count FROM mailbox').get() as { count: number }).count;
        } finally {
          database.close();
        }
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function enlist(gatekeeper: GatekeeperProcess, options: NetworkOptions): Promise<Person[]> {
  const wanted = Array.from({ length: options.senders + options.recipients }, (_, index) => {
    const kind = index < options.senders ? ('sender' as const) : ('recipient' as const);
    const device = sampleDevice();
    return { index, kind, identifier: `${kind}-${index}`, device };
  });
  const results = await gatekeeper.enlist(
    wanted.map(({ kind, identifier, device }) => ({
      provider: kind === 'sender' ? thirdParty : 0,
      identifier,
      device: device.json,
    })),
    thirdParty,
  );
  return wanted.map(({ index, kind, identifier, device }, at) => {
    const result = results[at]!;
    if (result.kind === 'refused') throw new Error(`${identifier} can't be enlisted: ${result.code}`);
    const { interopId, deviceId } = result;
    return { index, kind, identifier, interopId, deviceId, jkt: device.jkt };
  });
}
