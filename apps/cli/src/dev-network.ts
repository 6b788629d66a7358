// Parts of a whole network on one machine: gatekeepers and providers with development certificates on loopback, for the
// sandbox, the demo and tests. Never for production. Knows nothing of people or messages.
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { ControlLog } from '@drawbridge/gatekeeper/control';
import { createHttpPort } from '@drawbridge/gatekeeper/listeners/http-port';
import { type Gatekeeper, startGatekeeper } from '@drawbridge/gatekeeper/main';
import { createProvider, type Provider, type ProviderOptions } from '@drawbridge/provider/provider';
import { devEgress, type DevGatekeeperOptions, devGatekeeperConfig, type DevPorts, freePorts } from './dev-config.ts';
import type { DevPki } from './dev-pki.ts';

export type DevGatekeeper = Gatekeeper & {
  /** Its issuer URL, which is also the base of its HTTP interface. */
  readonly issuer: string;
  readonly domain: string;
  /** PEM: what clients trust. */
  readonly ca: string;
};

export type StartDevGatekeeperOptions = Omit<DevGatekeeperOptions, 'ports'> & {
  /** Free ones when left out. Name `http` beforehand when providers must know the issuer first. */
  readonly ports?: Partial<DevPorts>;
  /** Nothing is logged when left out. */
  readonly log?: ControlLog;
  readonly keyLogFile?: string;
  /** Shown every byte that the gatekeeper receives, decrypted as far as it can. */
  readonly tap?: (received: Uint8Array | string) => void;
};

/** Starts a gatekeeper in this process. Rejects when it can't be started; then everything is closed again. */
export async function startDevGatekeeper(options: StartDevGatekeeperOptions): Promise<DevGatekeeper> {
  const names = ['xmpp', 'xmpps', 'websocket', 'compact', 'http', 'admin'] as const;
  const free = await freePorts(names.length, options.host);
  const ports = {
    ...Object.fromEntries(names.map((name, index) => [name, free[index]])),
    ...options.ports,
  } as DevPorts;
  const config = devGatekeeperConfig({ ...options, ports });
  const gatekeeper = await startGatekeeper({
    config,
    log: options.log ?? (() => {}),
    development: {
      alsoPlain: true,
      ...(options.keyLogFile === undefined ? {} : { keyLogFile: options.keyLogFile }),
      ...(options.tap === undefined ? {} : { tap: options.tap }),
    },
  });
  return { ...gatekeeper, issuer: config.issuer, domain: config.domain, ca: readFileSync(options.pki.caFile, 'utf8') };
}

export type StartDevProviderOptions = {
  /** Keys and users; `:memory:` keeps nothing. */
  readonly folder: string;
  readonly pki: DevPki;
  /** Issuer URLs of the gatekeepers it works with. */
  readonly gatekeepers: readonly string[];
  /** A free one when left out. */
  readonly port?: number;
  /** 127.0.0.1 when left out. */
  readonly host?: string;
  /** Open when left out. */
  readonly registration?: 'open' | 'closed';
  readonly directory?: ProviderOptions['directory'];
  readonly onWakeUp?: ProviderOptions['onWakeUp'];
  /** A media origin in the folder when left out; none when nothing is kept. */
  readonly media?: ProviderOptions['media'] | 'none';
  readonly log?: ProviderOptions['log'];
  /** Shown every byte that the provider receives, after TLS. */
  readonly tap?: (received: Uint8Array | string) => void;
};

export type DevProvider = {
  readonly issuer: string;
  readonly wakeUpUrl: string;
  readonly port: number;
  readonly provider: Provider;
  readonly close: () => Promise<void>;
};

/** Starts a provider in this process, on a port of its own with TLS. Its issuer is `https://localhost:<port>`. */
export async function startDevProvider(options: StartDevProviderOptions): Promise<DevProvider> {
  const { pki, host = '127.0.0.1', directory, onWakeUp, log } = options;
  const { media = options.folder === ':memory:' ? 'none' : {} } = options;
  const port = options.port ?? (await freePorts(1, host))[0]!;
  const issuer = `https://localhost:${port}`;
  const provider = await createProvider({
    issuer,
    gatekeepers: options.gatekeepers.map(gatekeeper => ({ issuer: gatekeeper })),
    dataFolder: options.folder,
    registration: options.registration ?? 'open',
    egress: devEgress(pki),
    ...(directory === undefined ? {} : { directory }),
    ...(onWakeUp === undefined ? {} : { onWakeUp }),
    ...(log === undefined ? {} : { log }),
    ...(media === 'none' ? {} : { media }),
  });
  const tls = { cert: readFileSync(pki.certFile, 'utf8'), key: readFileSync(pki.keyFile, 'utf8') };
  const limits = { maxConnections: 10_000, headersTimeoutMs: 15_000, requestTimeoutMs: 30_000 };
  const isUpload = (request: IncomingMessage): boolean => provider.media?.serves(request) === true;
  const http = createHttpPort(provider.handler, { tls, alsoPlain: false, limits, isUpload, tap: options.tap });
  try {
    await new Promise<void>((resolve, reject) => {
      http.server.once('error', reject);
      http.server.listen(port, host, resolve);
    });
  } catch (error) {
    await provider.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    await http.close();
    await provider.close();
  };
  return { issuer, wakeUpUrl: `${issuer}/v1/wake-ups`, port, provider, close };
}
