// The demo's network: gatekeepers citadel and plaza, provider skylark, people on all of them, and a record of every byte
// that the servers receive. Knows nothing of what is said or shown.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, openClient } from '@drawbridge/client';
import { devGatekeeperIssuer, freePorts } from './dev-config.ts';
import { type DevGatekeeper, startDevGatekeeper, startDevProvider } from './dev-network.ts';
import { ensureDevPki } from './dev-pki.ts';

export const gatekeeperNames = ['citadel', 'plaza'] as const;
export type GatekeeperName = (typeof gatekeeperNames)[number];
export const providerName = 'skylark.example';
/** Anna is a user of skylark and enlists with both; the others are users of one gatekeeper. */
export const nativePerson: Readonly<Record<GatekeeperName, string>> = { citadel: 'bob', plaza: 'chloe' };

/** Records everything that one server received, decrypted as far as the server can. */
export class Recorder {
  readonly #pieces: Buffer[] = [];
  bytes = 0;

  readonly tap = (received: Uint8Array | string): void => {
    const piece = Buffer.from(received);
    this.#pieces.push(piece);
    this.bytes += piece.length;
  };

  all(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

export type DemoGatekeeper = {
  readonly name: GatekeeperName;
  readonly domain: string;
  readonly server: DevGatekeeper;
  readonly received: Recorder;
  /** Anna as enlisted here, and the gatekeeper's own user. */
  readonly anna: Client;
  readonly native: Client;
};

export type DemoNetwork = {
  readonly folder: string;
  readonly caFile: string;
  readonly providerUrl: string;
  readonly providerReceived: Recorder;
  readonly gatekeepers: readonly DemoGatekeeper[];
  close(): Promise<void>;
};

/** Starts servers and people in `folder`, all connected and opted in. `onStep` tells what happens. */
export async function startDemoNetwork(folder: string, onStep: (step: string) => void): Promise<DemoNetwork> {
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closeOne of closers.splice(0).reverse()) await closeOne();
  };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const domains = gatekeeperNames.map(name => `${name}.example`);
    const pki = await ensureDevPki(join(folder, 'pki'), [...domains, providerName]);
    const httpPorts = await freePorts(gatekeeperNames.length);
    const providerReceived = new Recorder();
    const provider = await startDevProvider({
      folder: join(folder, 'skylark'),
      pki,
      gatekeepers: httpPorts.map(devGatekeeperIssuer),
      tap: providerReceived.tap,
    });
    closers.push(provider.close);
    onStep(`provider skylark at ${provider.issuer}: vouches for its users, never sees a message`);

    const servers: { name: GatekeeperName; server: DevGatekeeper; received: Recorder }[] = [];
    for (const [i, name] of gatekeeperNames.entries()) {
      const received = new Recorder();
      const server = await startDevGatekeeper({
        folder: join(folder, name),
        pki,
        domain: `${name}.example`,
        ports: { http: httpPorts[i]! },
        requests: 'across-providers',
        providers: [{ number: 1, name: providerName, issuer: provider.issuer, wakeUpUrl: provider.wakeUpUrl }],
        tap: received.tap,
      });
      closers.push(() => server.close());
      servers.push({ name, server, received });
      onStep(`gatekeeper ${name} at ${server.issuer}`);
    }

    const person = async (name: string, gatekeeper: DevGatekeeper, issuer: string, place: string): Promise<Client> => {
      const client = await openClient({
        folder: join(folder, 'people', place),
        passphrase: `the demo's passphrase of ${name}`,
        gatekeeper: gatekeeper.issuer,
        provider: { url: issuer, identifier: name, password: `the demo's password of ${name}`, signUp: true },
        ca: pki.caFile,
      });
      closers.push(() => client.close());
      await client.account.enlist();
      await client.connect();
      return client;
    };
    const gatekeepers: DemoGatekeeper[] = [];
    for (const { name, server, received } of servers) {
      const own = nativePerson[name];
      const [native, anna] = await Promise.all([
        person(own, server, `${server.issuer}/users`, own),
        person('anna', server, provider.issuer, `anna-at-${name}`),
      ]);
      await native.account.optIn(1);
      gatekeepers.push({ name, domain: server.domain, server, received, anna, native });
      onStep(`${own} of ${name} has opted in to skylark; anna of skylark is enlisted with ${name}`);
    }
    return { folder, caFile: pki.caFile, providerUrl: provider.issuer, providerReceived, gatekeepers, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What is needed to join from another terminal: `drawbridge chat --network FILE`. */
export function writeNetworkFile(network: DemoNetwork): string {
  const file = join(network.folder, 'network.json');
  const gatekeepers = network.gatekeepers.map(({ name, domain, server, native }) => ({
    name,
    domain,
    url: server.issuer,
    users: `${server.issuer}/users`,
    person: { provider: domain, identifier: nativePerson[name], interopId: native.me?.interopId },
  }));
  const provider = { name: providerName, number: 1, url: network.providerUrl };
  writeFileSync(file, `${JSON.stringify({ ca: network.caFile, provider, gatekeepers }, undefined, 2)}\n`, {
    mode: 0o600,
  });
  return file;
}

/** All files of the servers' folders, with what is in them. The people's own folders are not the servers'. */
export function storedFiles(network: DemoNetwork): { file: string; content: Buffer }[] {
  return [...gatekeeperNames, 'skylark'].flatMap(server => {
    const folder = join(network.folder, server);
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name))
      .map(file => ({ file, content: readFileSync(file) }));
  });
}
