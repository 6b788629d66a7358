// The network of the hostile crowd: a gatekeeper in a process of its own with the limits and budgets of a real one, two
// honest providers (heron, swallow) and a third that comes later (wren) in this process, a hostile one (skylark) that the attackers serve, and eight
// providers whose names no server answers for. Knows nothing of traffic or attacks.
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { devGatekeeperConfig, devGatekeeperIssuer, freePorts } from '@drawbridge/cli/dev-config';
import { type DevProvider, startDevProvider } from '@drawbridge/cli/dev-network';
import { type DevPki, ensureDevPki } from '@drawbridge/cli/dev-pki';
import { forkGatekeeper, type GatekeeperProcess } from '@drawbridge/cli/gatekeeper-process';
import type { Config } from '@drawbridge/gatekeeper/config';
import { RawStream, type RawStreamOptions } from '../durability/raw-stream.ts';
import { sampleDevice, type SampleDevice } from '@drawbridge/gatekeeper/testing/sample-device';

export const domain = 'citadel.example';
export const numbers = { skylark: 1, heron: 2, swallow: 3, wren: 4 } as const;
export type ProviderName = keyof typeof numbers;
/** Their issuers' names lead to a server that never answers. */
export const deadProviders = Array.from({ length: 8 }, (_, i) => `https://dead${i}.crowd.test`);
const firstDeadNumber = 20;
export const mediaFileBytes = 592;

export type Person = {
  readonly provider: ProviderName;
  readonly identifier: string;
  readonly bareJid: string;
  readonly deviceId: number;
  readonly jkt: string;
};

export type Ports = {
  readonly xmpp: number;
  readonly xmpps: number;
  readonly websocket: number;
  readonly compact: number;
  readonly http: number;
};

/** What the attackers need to know; it goes to another process. */
export type Target = {
  readonly ports: Ports;
  readonly audience: string;
  readonly pki: DevPki;
  readonly skylark: { readonly issuerPort: number; readonly mediaPort: number; readonly wakeUpPort: number };
};

export type Network = {
  readonly target: Target;
  readonly gatekeeper: GatekeeperProcess;
  /** URLs of files at the honest providers' origin. */
  readonly honestFile: string;
  /** How often the provider was asked to wake this person. */
  readonly wakeUps: ReadonlyMap<string, number>;
  readonly enlist: (people: readonly { provider: ProviderName; identifier: string }[]) => Promise<Person[]>;
  /** Logs an honest provider's person in. */
  readonly login: (person: Person, on?: Partial<RawStreamOptions>) => Promise<RawStream>;
  /** Starts the provider that nobody could reach until now. */
  readonly startWren: () => Promise<void>;
  readonly close: () => Promise<void>;
};

async function silentNameServer(): Promise<Socket> {
  const socket = createSocket('udp4');
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
  return socket;
}

/** One file, whatever is asked for. */
async function startFileOrigin(pki: DevPki): Promise<Server> {
  const tls = { cert: readFileSync(pki.certFile), key: readFileSync(pki.keyFile) };
  const server = createServer(tls, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': mediaFileBytes });
    response.end(Buffer.alloc(mediaFileBytes, 7));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return server;
}

export async function startNetwork(folder: string): Promise<Network> {
  const pki = await ensureDevPki(join(folder, 'pki'), [domain]);
  const [xmpp, xmpps, websocket, compact, http, admin, issuerPort, mediaPort, wakeUpPort, wrenPort] = (await freePorts(
    10,
  )) as [number, number, number, number, number, number, number, number, number, number];
  const audience = devGatekeeperIssuer(http);
  const wakeUps = new Map<string, number>();
  const startProvider = (port?: number): Promise<DevProvider> =>
    startDevProvider({
      folder: ':memory:',
      pki,
      gatekeepers: [audience],
      registration: 'closed',
      directory: { authenticate: async () => ({ kind: 'refused' }), exists: async () => true },
      onWakeUp: async identifier => void wakeUps.set(identifier, (wakeUps.get(identifier) ?? 0) + 1),
      ...(port === undefined ? {} : { port }),
    });
  const providers = new Map<ProviderName, DevProvider>([
    ['heron', await startProvider()],
    ['swallow', await startProvider()],
  ]);
  const files = await startFileOrigin(pki);
  const filesOrigin = `https://localhost:${(files.address() as AddressInfo).port}`;
  const names = await silentNameServer();
  const config = configOf({
    pki,
    folder: join(folder, 'citadel'),
    ports: { xmpp, xmpps, websocket, compact, http, admin },
    nameServer: `127.0.0.1:${names.address().port}`,
    providers: [
      {
        number: numbers.skylark,
        name: 'skylark.example',
        issuer: `https://localhost:${issuerPort}`,
        mediaOrigins: [`https://localhost:${mediaPort}`],
        wakeUpUrl: `https://localhost:${wakeUpPort}/wake`,
      },
      ...[...providers].map(([name, { issuer, wakeUpUrl }]) => ({
        number: numbers[name],
        name: `${name}.example`,
        issuer,
        wakeUpUrl,
        mediaOrigins: name === 'heron' ? [filesOrigin] : [],
      })),
      { number: numbers.wren, name: 'wren.example', issuer: `https://localhost:${wrenPort}`, mediaOrigins: [] },
      ...deadProviders.map((issuer, i) => ({
        number: firstDeadNumber + i,
        name: `dead${i}.example`,
        issuer,
        mediaOrigins: [],
      })),
    ],
  });
  const gatekeeper = forkGatekeeper();
  await gatekeeper.start({ config, plaintextXmpp: true, logLevel: 'error' });
  const proof = async ({ provider, identifier, jkt }: Person): Promise<string> => {
    const issue = await providers.get(provider)!.provider.issueProof(identifier, { audience, jkt, transport: 'xmpp' });
    if (issue.kind === 'refused') throw new Error(`no proof: ${issue.code}`);
    return issue.proof;
  };
  return {
    target: {
      ports: { xmpp, xmpps, websocket, compact, http },
      audience,
      pki,
      skylark: { issuerPort, mediaPort, wakeUpPort },
    },
    gatekeeper,
    honestFile: `${filesOrigin}/f`,
    wakeUps,
    enlist: people => enlist(gatekeeper, people),
    async login(person, on = {}) {
      const hears = { onStanza: () => {}, onAcknowledged: () => {} };
      return await RawStream.open({ port: xmpp, domain, proof: await proof(person), managed: true, ...hears, ...on });
    },
    async startWren() {
      providers.set('wren', await startProvider(wrenPort));
    },
    async close() {
      await gatekeeper.stop();
      for (const provider of providers.values()) await provider.close();
      files.closeAllConnections();
      files.close();
      names.close();
    },
  };
}

type ConfigParts = Pick<Parameters<typeof devGatekeeperConfig>[0], 'pki' | 'folder' | 'ports' | 'providers'> & {
  readonly nameServer: string;
};

/** A development network's configuration with the limits and budgets that a real one has by default. */
function configOf({ nameServer, ...parts }: ConfigParts): Config {
  const config = devGatekeeperConfig({ ...parts, domain, host: '::' });
  const { skylark, heron, swallow, wren } = numbers;
  return {
    ...config,
    listeners: { ...config.listeners, admin: { ...config.listeners.admin, host: '127.0.0.1' } },
    policy: {
      requests: 'none',
      linkOnly: [],
      admittedPairs: [
        [heron, swallow],
        [heron, wren],
        [skylark, heron],
        [skylark, swallow],
        [skylark, skylark],
      ],
    },
    egress: { ...config.egress, nameServers: [nameServer] },
    limits: {
      ...config.limits,
      connectionsPerAddress: 32,
      connectionsPerSite: 256,
      httpConnections: 2_048,
      httpConnectionsPerAddress: 128,
    },
  };
}

async function enlist(
  gatekeeper: GatekeeperProcess,
  people: readonly { provider: ProviderName; identifier: string }[],
): Promise<Person[]> {
  const devices = people.map((): SampleDevice => sampleDevice({ prekeys: 20, kemPrekeys: 20 }));
  const list = people.map(({ provider, identifier }, i) => ({
    provider: numbers[provider],
    identifier,
    device: devices[i]!.json,
  }));
  const results = await gatekeeper.enlist(list, numbers.heron);
  return people.map((person, i) => {
    const result = results[i]!;
    if (result.kind === 'refused') throw new Error(`${person.identifier} can't be enlisted: ${result.code}`);
    return { ...person, bareJid: `${result.interopId}@${domain}`, deviceId: result.deviceId, jkt: devices[i]!.jkt };
  });
}
