// What a development network on one machine consists of: free ports, and configurations on loopback. Never for
// production. Starts nothing; `dev-network.ts` does.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { type Config, parseConfig } from '@drawbridge/gatekeeper/config';
import type { EgressOptions } from '@drawbridge/identity/egress';
import type { DevPki } from './dev-pki.ts';

export const loopbackAddresses = ['127.0.0.1', '::1'];

/** Below what Linux, macOS and IANA hand out for connections and for port 0: nobody is given these without asking. */
const firstPort = 20_000;
const portCount = 10_000;
/** Its golden section: processes that live at the same time begin far from each other, and don't find the same ones. */
const portStride = 6_181;
let lookedAt = 0;

/**
 * Different free TCP ports of loopback, none twice to this process before all have been looked at. Another program may take
 * one before it is used: then listening fails.
 */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    assert(tries < portCount, `no ${count} ports are free from ${firstPort} on`);
    const port = firstPort + ((process.pid * portStride + lookedAt++) % portCount);
    if ((await portFault(port, host)) === undefined) ports.push(port);
  }
  return ports;
}

/** Whether one can listen on a port now; the error code when not. */
export async function portFault(port: number, host: string): Promise<string | undefined> {
  try {
    const server = await listenOnce(port, host);
    await new Promise(resolve => server.close(resolve));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

function listenOnce(port: number, host: string): Promise<ReturnType<typeof createServer>> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve(server));
  });
}

export type DevPorts = {
  readonly xmpp: number;
  readonly xmpps: number;
  /** XMPP on `/xmpp`, and the compact transport, over WebSocket. */
  readonly websocket: number;
  readonly compact: number;
  readonly http: number;
  readonly admin: number;
};

/** A third-party provider as a gatekeeper registers it. */
export type RegisteredProvider = {
  /** 1..65535. */
  readonly number: number;
  /** Its DNS name; need not resolve. */
  readonly name: string;
  readonly issuer: string;
  readonly wakeUpUrl?: string;
  /** Where events are posted; none are when left out. */
  readonly eventsUrl?: string;
  /** Where its users' files lie; its issuer's origin when left out. */
  readonly mediaOrigins?: readonly string[];
};

export type DevGatekeeperOptions = {
  /** Database, keys, admin token. */
  readonly folder: string;
  readonly pki: DevPki;
  /** Stands in every JID; need not resolve. The certificate must be for it, and for `localhost`. */
  readonly domain: string;
  readonly ports: DevPorts;
  /** 127.0.0.1 when left out. */
  readonly host?: string;
  readonly providers: readonly RegisteredProvider[];
  /** Who vouches for own users; the embedded issuer with open registration when left out. */
  readonly ownUsers?: Pick<RegisteredProvider, 'issuer' | 'wakeUpUrl' | 'mediaOrigins'>;
  /** No budgets, for load tests. */
  readonly unlimited?: boolean;
  /** Third-party providers whose people may reach each other. */
  readonly admittedPairs?: readonly (readonly number[])[];
  /** Whose first messages wait for an acceptance; nobody's when left out. */
  readonly requests?: 'across-providers' | 'none';
  /** Origins of loopback that may be reached without TLS. */
  readonly plainHttpOrigins?: readonly string[];
  /** PEM that the gatekeeper trusts; the development authority's when left out. */
  readonly caFile?: string;
  /** The embedded store when left out. */
  readonly storage?: Config['storage'];
  /** Between several nodes; none when left out. */
  readonly bus?: Config['bus'];
};

/** The issuer URL of a development gatekeeper: what ownership proofs for it name as their audience. */
export function devGatekeeperIssuer(httpPort: number): string {
  return `https://localhost:${httpPort}`;
}

/** The configuration of a gatekeeper on loopback. Throws when the options are unfit: that is a defect of the caller. */
export function devGatekeeperConfig(options: DevGatekeeperOptions): Config {
  const { pki, ports, host = '127.0.0.1', ownUsers } = options;
  const at = (port: number): { host: string; port: number } => ({ host, port });
  const parsed = parseConfig(
    {
      mode: 'development',
      domain: options.domain,
      issuer: devGatekeeperIssuer(ports.http),
      dataFolder: options.folder,
      publicHost: 'localhost',
      ...(options.storage === undefined ? {} : { storage: options.storage }),
      ...(options.bus === undefined ? {} : { bus: options.bus }),
      tls: { certFile: pki.certFile, keyFile: pki.keyFile },
      listeners: {
        xmpp: at(ports.xmpp),
        xmpps: at(ports.xmpps),
        websocket: at(ports.websocket),
        compact: at(ports.compact),
        compactWebsocket: at(ports.websocket),
        http: at(ports.http),
        admin: at(ports.admin),
      },
      ownUsers:
        ownUsers === undefined
          ? { kind: 'embedded', registration: 'open' }
          : { kind: 'issuer', ...withMediaOrigin(ownUsers) },
      providers: options.providers.map(withMediaOrigin),
      policy: { admittedPairs: options.admittedPairs ?? [], requests: options.requests ?? 'none' },
      egress: {
        allowAddresses: loopbackAddresses,
        allowPlainHttpOrigins: options.plainHttpOrigins ?? [],
        caFile: options.caFile ?? pki.caFile,
      },
      // Everybody has the same address here.
      limits: { connectionsPerAddress: 100_000, httpConnections: 100_000, httpConnectionsPerAddress: 100_000 },
      budgets: { unlimited: options.unlimited === true },
      // Everybody has just come here, and is heard all the same.
      integrity: { freshDays: 0 },
    },
    options.folder,
  );
  assert(parsed.kind === 'loaded', parsed.kind === 'refused' ? parsed.errors.map(each => each.message).join('; ') : '');
  return parsed.config;
}

function withMediaOrigin<T extends Pick<RegisteredProvider, 'issuer' | 'mediaOrigins'>>(provider: T): T {
  return { ...provider, mediaOrigins: provider.mediaOrigins ?? [new URL(provider.issuer).origin] };
}

/** What a development network lets a provider or an app reach: loopback, by its own certificates. */
export function devEgress(pki: DevPki): EgressOptions {
  return { allow: { addresses: loopbackAddresses, ca: readFileSync(pki.caFile, 'utf8') } };
}
