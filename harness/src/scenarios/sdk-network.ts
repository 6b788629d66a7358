// A gatekeeper (citadel.example) and a provider (skylark.example) on loopback, and people of both who use the SDK.
// Knows nothing of what the scenarios say.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { devGatekeeperIssuer, freePorts } from '@drawbridge/cli/dev-config';
import { type DevGatekeeper, startDevGatekeeper, startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { type Client, type ClientOptions, openClient } from '@drawbridge/client';
import type { Config } from '@drawbridge/gatekeeper/config';
import type { ControlLog } from '@drawbridge/gatekeeper/control';

export type SdkNetwork = {
  readonly folder: string;
  /** PEM file of the authority that clients trust. */
  readonly ca: string;
  readonly gatekeeper: string;
  readonly provider: string;
  readonly ports: Readonly<Record<'http' | 'xmpp' | 'xmpps' | 'websocket' | 'compact', number>>;
  /** Stops the gatekeeper and starts it again on the same ports and data. */
  restart(): Promise<void>;
  /** Stops the provider, and starts it again on the same port and data when the work is done. */
  withoutProvider(work: () => Promise<void>): Promise<void>;
  /** Cuts all streams to the gatekeeper without a word, as a network does. */
  cutStreams(): void;
  /** A person's client in their own folder (`device` tells several of one person apart); not enlisted, not connected. */
  open(identifier: string, at: Service, extra?: Extra): Promise<Client>;
  close(): Promise<void>;
};

export type Service = 'citadel' | 'skylark';
export type Extra = Partial<ClientOptions> & { readonly device?: string };

/** `storage`: the gatekeeper's; the embedded store when left out. */
export async function startSdkNetwork(
  storage?: Config['storage'],
  requests: 'across-providers' | 'none' = 'none',
  log?: ControlLog,
): Promise<SdkNetwork> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-sdk-'));
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example', 'skylark.example']);
  const [http, xmpp, xmpps, websocket, compact] = await freePorts(5);
  const startProvider = (port?: number): ReturnType<typeof startDevProvider> =>
    startDevProvider({
      folder: join(folder, 'skylark'),
      pki,
      gatekeepers: [devGatekeeperIssuer(http!)],
      ...(port === undefined ? {} : { port }),
    });
  let provider = await startProvider();
  const start = (): Promise<DevGatekeeper> =>
    startDevGatekeeper({
      folder: join(folder, 'citadel'),
      pki,
      domain: 'citadel.example',
      ports: { http: http!, xmpp: xmpp!, xmpps: xmpps!, websocket: websocket!, compact: compact! },
      providers: [{ number: 1, name: 'skylark.example', issuer: provider.issuer, wakeUpUrl: provider.wakeUpUrl }],
      // Where first contacts are requests, their bounds hold, and so do all others.
      unlimited: requests === 'none',
      requests,
      ...(storage === undefined ? {} : { storage }),
      ...(log === undefined ? {} : { log }),
    });
  let gatekeeper = await start();
  const streamPorts = new Set([xmpp, xmpps, websocket, compact]);
  const streams = new Set<Socket>();
  const onSocket = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    if (!streamPorts.has(socket.localPort)) return;
    streams.add(socket);
    socket.once('close', () => streams.delete(socket));
  };
  subscribe('net.server.socket', onSocket);
  const clients: Client[] = [];
  return {
    folder,
    ca: pki.caFile,
    gatekeeper: gatekeeper.issuer,
    provider: provider.issuer,
    ports: { http: http!, xmpp: xmpp!, xmpps: xmpps!, websocket: websocket!, compact: compact! },
    async restart() {
      await gatekeeper.close();
      gatekeeper = await start();
    },
    async withoutProvider(work) {
      const { port } = provider;
      await provider.close();
      try {
        await work();
      } finally {
        provider = await startProvider(port);
      }
    },
    cutStreams() {
      for (const socket of streams) socket.destroy();
    },
    async open(identifier, at, extra = {}) {
      const { device = '', ...rest } = extra;
      const client = await openClient({
        folder: join(folder, 'people', identifier + device),
        // A key rather than a passphrase: deriving one takes a fifth of a second each time.
        key: new Uint8Array(32).fill(7),
        gatekeeper: gatekeeper.issuer,
        provider: {
          url: at === 'citadel' ? `${gatekeeper.issuer}/users` : provider.issuer,
          identifier,
          password: `the password of ${identifier}`,
          signUp: true,
        },
        ca: pki.caFile,
        ...rest,
      });
      clients.push(client);
      return client;
    },
    async close() {
      unsubscribe('net.server.socket', onSocket);
      for (const client of clients) await client.close();
      await gatekeeper.close();
      await provider.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
