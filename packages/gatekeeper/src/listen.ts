// Opens the configured ports and closes them. Knows nothing of what is said on them.
import type { RequestListener } from 'node:http';
import type { Server } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Config } from './config-schema.ts';
import type { Control, ControlLog } from './control.ts';
import type { Core } from './core.ts';
import type { Development } from './development.ts';
import { buildAdminHttp } from './http/admin.ts';
import { proxyCheck } from './http/client-address.ts';
import { buildHealthHttp } from './http/health.ts';
import { buildPublicHttp } from './http/public.ts';
import type { Endpoints } from './http/public-deps.ts';
import { type CompactOptions, createCompactListener } from './listeners/compact.ts';
import type { CompactKeys } from './listeners/compact-keys.ts';
import type { HttpPlaceLimits } from '@drawbridge/identity/http-places';
import { createHttpPort, type HttpPort, type HttpPortOptions } from './listeners/http-port.ts';
import { expectProxyHeaders } from './listeners/proxy-front.ts';
import { createTcpListener } from './listeners/tcp.ts';
import { attachWebSocket, upgradeNeeded, type WebSocketServices } from './listeners/websocket.ts';
import { createMetrics } from './metrics.ts';
import { StartError } from './start-error.ts';
import type { Stores } from './storage/stores.ts';
import type { TlsMaterial } from './tls/certificate.ts';
import type { LiveCertificate } from './tls/live-certificate.ts';

/** After the last goodbye, sockets that have not closed are cut. */
const goodbyeMs = 500;

/**
 * Connections that may wait in the kernel. When all devices come back at once, those beyond it lose a second or more to
 * the repeats of their first packet. The system cuts it to its own limit (net.core.somaxconn, 4096 on Linux).
 */
const backlog = 4_096;

export type Ports = {
  readonly xmpp?: number;
  readonly xmpps?: number;
  readonly websocket?: number;
  readonly compact?: number;
  readonly compactWebsocket?: number;
  readonly http: number;
  readonly admin: number;
  readonly health?: number;
};

export type Listening = {
  readonly ports: Ports;
  /** Reads the numbers of connections from the configuration again. */
  limitsChanged(): void;
  /** `/readyz` says no; everything goes on. */
  notReady(): void;
  /** Takes no new connections. */
  stop(): void;
  /** Closes what is still open. */
  destroy(): Promise<void>;
};

export type ListenDeps = {
  readonly config: Config;
  readonly control: Control;
  readonly core: Core;
  readonly stores: Stores;
  readonly databaseFile: string | undefined;
  readonly certificate: LiveCertificate | undefined;
  readonly compact: CompactOptions;
  readonly compactKeys: () => CompactKeys;
  readonly adminToken: string;
  readonly metricsToken: string;
  readonly log: ControlLog;
  readonly development: Development;
};

type At = { readonly host: string; readonly port: number; readonly proxyProtocol?: boolean };

/** Opens all ports of the configuration. Rejects, with none open, when one can't be had. */
export async function listen(deps: ListenDeps): Promise<Listening> {
  const open = new OpenPorts(deps);
  try {
    await open.openAll();
    return open;
  } catch (error) {
    open.stop();
    await open.destroy();
    throw error;
  }
}

class OpenPorts implements Listening {
  readonly ports: { -readonly [K in keyof Ports]: Ports[K] } = { http: 0, admin: 0 };
  readonly #deps: ListenDeps;
  readonly #isProxy: (address: string) => boolean;
  readonly #servers: Server[] = [];
  readonly #httpPorts: HttpPort[] = [];
  readonly #applications: { close(): Promise<void> }[] = [];
  readonly #cutUnnamed: (() => void)[] = [];
  #ready = false;

  constructor(deps: ListenDeps) {
    this.#deps = deps;
    this.#isProxy = proxyCheck(deps.config.trustedProxies);
    deps.core.listenerHost.gate.countOthers(() => this.#httpPorts.reduce((sum, port) => sum + port.connections(), 0));
    deps.certificate?.onReplaced(material => {
      for (const port of this.#httpPorts) port.setCertificate(material);
    });
  }

  async openAll(): Promise<void> {
    await this.#openStreams();
    await this.#openPublic();
    await this.#openAdmin();
    await this.#openHealth();
    this.#ready = true;
  }

  limitsChanged(): void {
    for (const port of this.#httpPorts) port.setPlaces(httpPlaces(this.#deps.config));
  }

  notReady(): void {
    this.#ready = false;
  }

  stop(): void {
    this.#ready = false;
    for (const server of this.#servers) server.close();
    for (const cut of this.#cutUnnamed) cut();
  }

  async destroy(): Promise<void> {
    const { sockets } = this.#deps.core.listenerHost.gate;
    const giveUpAtMs = performance.now() + goodbyeMs;
    while (sockets.size > 0 && performance.now() < giveUpAtMs) await new Promise(resolve => setTimeout(resolve, 10));
    for (const socket of sockets) socket.destroy();
    await Promise.all(this.#httpPorts.map(port => port.close()));
    await Promise.all(this.#applications.map(application => application.close()));
  }

  /** XMPP over TCP, and the compact transport. */
  async #openStreams(): Promise<void> {
    const { config, core, certificate, compact, development } = this.#deps;
    const { xmpp, xmpps, compact: compactAt } = config.listeners;
    const host = core.listenerHost;
    const secureContext = (): SecureContext | undefined => certificate?.secureContext;
    const tcpMode = development.plaintextXmpp === true ? 'plaintext' : 'starttls';
    if (xmpp !== undefined) {
      this.ports.xmpp = await this.#open(createTcpListener(host, secureContext, tcpMode), xmpp, 'xmpp');
    }
    if (xmpps !== undefined) {
      this.ports.xmpps = await this.#open(createTcpListener(host, secureContext, 'direct'), xmpps, 'xmpps');
    }
    if (compactAt !== undefined) {
      this.ports.compact = await this.#open(createCompactListener(host, compact), compactAt, 'compact');
    }
  }

  /** HTTP and WebSockets: what has one port by configuration is opened once. */
  async #openPublic(): Promise<void> {
    const { config, control, core, stores, certificate, log, compactKeys } = this.#deps;
    const host = core.listenerHost;
    const isFull = (): boolean => host.gate.isFull;
    const publicApi = await buildPublicHttp({
      config,
      control,
      people: stores.accounts,
      log,
      nowMs: Date.now,
      endpoints: () => endpointsOf(config, this.ports),
      compactKeys,
    });
    this.#applications.push(publicApi);
    for (const { at, name, services } of sharedPorts(config.listeners, this.#deps.compact)) {
      const port =
        name === 'http'
          ? this.#openHttp(publicApi.handler, certificate?.material, isFull, publicApi.isUpload)
          : this.#openHttp(webSocketOnly, certificate?.material, isFull);
      for (const server of port.servers) attachWebSocket(host, server, services);
      const number = await this.#open(port.server, at, name);
      if (name === 'http') this.ports.http = number;
      if (services.xmpp) this.ports.websocket = number;
      if (services.compact !== undefined) this.ports.compactWebsocket = number;
    }
  }

  async #openAdmin(): Promise<void> {
    const { config, control, core, stores, certificate, databaseFile, log, adminToken, metricsToken } = this.#deps;
    const adminApi = await buildAdminHttp({
      control,
      stores,
      sessions: core.sessions,
      metrics: createMetrics({
        core,
        control,
        stores,
        databaseFile,
        certificateExpiresAtMs: () => certificate?.expiresAtMs,
        nowMs: Date.now,
      }),
      log,
      nowMs: Date.now,
      token: adminToken,
      metricsToken,
      isReady: () => this.#ready,
    });
    this.#applications.push(adminApi);
    // The operator gets in however full it is.
    const port = this.#openHttp(adminApi.handler, undefined, () => false);
    this.ports.admin = await listenOn(port.server, config.listeners.admin, 'admin');
  }

  async #openHealth(): Promise<void> {
    const { config, control, stores } = this.#deps;
    const at = config.listeners.health;
    if (at === undefined) return;
    const healthApi = await buildHealthHttp({ control, stores, isReady: () => this.#ready });
    this.#applications.push(healthApi);
    const port = this.#openHttp(healthApi.handler, undefined, () => false);
    this.ports.health = await listenOn(port.server, at, 'health');
  }

  async #open(server: Server, at: At, name: string): Promise<number> {
    this.#servers.push(server);
    // Before it listens: what stands before its connections.
    if (at.proxyProtocol === true) {
      const onRefused = (code: string): void => this.#deps.log('warn', 'proxy-header-refused', { code });
      this.#cutUnnamed.push(expectProxyHeaders(server, { isProxy: this.#isProxy, onRefused }));
    }
    return await listenOn(server, at, name);
  }

  #openHttp(
    handler: RequestListener,
    material: TlsMaterial | undefined,
    isFull: () => boolean,
    isUpload: HttpPortOptions['isUpload'] = () => false,
  ): HttpPort {
    const { config, core, development } = this.#deps;
    const port = createHttpPort(handler, {
      tls: material,
      isUpload,
      alsoPlain: development.alsoPlain === true,
      tap: development.tap,
      isFull,
      isProxy: this.#isProxy,
      keyOf: core.listenerHost.keyOf,
      limits: {
        ...httpPlaces(config),
        headersTimeoutMs: 15_000,
        requestTimeoutMs: 30_000,
      },
    });
    this.#httpPorts.push(port);
    return port;
  }
}

const webSocketOnly: RequestListener = (_request, response) => {
  const headers = { upgrade: 'websocket', connection: 'close', 'content-type': 'text/plain; charset=utf-8' };
  response.writeHead(426, headers).end(upgradeNeeded);
};

type SharedPort = {
  readonly at: At;
  readonly name: 'http' | 'websocket' | 'compactWebsocket';
  readonly services: WebSocketServices;
};

/** The ports of HTTP and WebSockets, each once, with all that is served on it. */
function sharedPorts(wanted: Config['listeners'], compact: CompactOptions): readonly SharedPort[] {
  const shared: SharedPort[] = [];
  for (const name of ['http', 'websocket', 'compactWebsocket'] as const) {
    const at = wanted[name];
    if (at === undefined) continue;
    const services = { xmpp: name === 'websocket', compact: name === 'compactWebsocket' ? compact : undefined };
    const index = shared.findIndex(other => at.port !== 0 && other.at.port === at.port && other.at.host === at.host);
    const same = shared[index];
    if (same === undefined) shared.push({ at, name, services });
    else {
      const both = {
        xmpp: same.services.xmpp || services.xmpp,
        compact: same.services.compact ?? services.compact,
      };
      shared[index] = { ...same, services: both };
    }
  }
  return shared;
}

function httpPlaces({ limits }: Config): HttpPlaceLimits {
  return {
    maxConnections: limits.httpConnections,
    maxPerAddress: limits.httpConnectionsPerAddress,
    maxPerSite: limits.httpConnectionsPerSite,
  };
}

function endpointsOf(config: Config, ports: Ports): Endpoints {
  const host = config.publicHost ?? config.domain;
  const scheme = config.tls === undefined ? 'ws' : 'wss';
  return {
    http: config.issuer,
    ...(ports.xmpp === undefined ? {} : { xmpp: { host, port: ports.xmpp } }),
    ...(ports.xmpps === undefined ? {} : { xmpps: { host, port: ports.xmpps } }),
    ...(ports.websocket === undefined ? {} : { websocket: `${scheme}://${host}:${ports.websocket}/xmpp` }),
    ...(ports.compact === undefined ? {} : { compact: { host, port: ports.compact } }),
    ...(ports.compactWebsocket === undefined
      ? {}
      : { compactWebsocket: `${scheme}://${host}:${ports.compactWebsocket}/compact` }),
  };
}

/** Listens; rejects with a sentence that says what to do. Gives the port. */
async function listenOn(server: Server, at: { host: string; port: number }, name: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const where = `${at.host}:${at.port} (listeners.${name})`;
      const refused = (message: string): StartError => new StartError('port-unusable', message);
      if (error.code === 'EADDRINUSE') reject(refused(`${where} is in use: stop what uses it or choose another port`));
      else if (error.code === 'EACCES')
        reject(refused(`${where} needs rights this user lacks: choose a port above 1023`));
      else if (error.code === 'EADDRNOTAVAIL')
        reject(refused(`${where} is an address that this machine does not have: name another host`));
      else if (error.code === 'ENOTFOUND') reject(refused(`${where} is a name that is not found: name an address`));
      else reject(refused(`can't listen on ${where}: ${error.message}`));
    });
    server.listen({ port: at.port, host: at.host, backlog }, resolve);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : at.port;
}
