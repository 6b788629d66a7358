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
import type { HttpPlaceLimits } from './listeners/http-places.ts';
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
  const { config, control, core, stores, certificate, compact, development, log } = deps;
  const tls = certificate?.material;
  const secureContext = (): SecureContext | undefined => certificate?.secureContext;
  const host = core.listenerHost;
  const wanted = config.listeners;
  const servers: Server[] = [];
  const httpPorts: HttpPort[] = [];
  const applications: { close(): Promise<void> }[] = [];
  const { sockets } = host.gate;
  const isProxy = proxyCheck(config.trustedProxies);
  const cutUnnamed: (() => void)[] = [];
  let ready = false;
  host.gate.countOthers(() => httpPorts.reduce((sum, port) => sum + port.connections(), 0));

  /** Before a server listens: what stands before its connections. */
  const front = (server: Server, at: At): void => {
    if (at.proxyProtocol !== true) return;
    const onRefused = (code: string): void => log('warn', 'proxy-header-refused', { code });
    cutUnnamed.push(expectProxyHeaders(server, { isProxy, onRefused }));
  };
  const open = async (server: Server, at: At, name: string): Promise<number> => {
    servers.push(server);
    front(server, at);
    return await listenOn(server, at, name);
  };
  const openHttp = (
    handler: RequestListener,
    material: TlsMaterial | undefined,
    isFull: () => boolean,
    isUpload: HttpPortOptions['isUpload'] = () => false,
  ): HttpPort => {
    const port = createHttpPort(handler, {
      tls: material,
      isUpload,
      alsoPlain: development.alsoPlain === true,
      tap: development.tap,
      isFull,
      isProxy,
      limits: {
        ...httpPlaces(config),
        headersTimeoutMs: 15_000,
        requestTimeoutMs: 30_000,
      },
    });
    httpPorts.push(port);
    return port;
  };
  certificate?.onReplaced(material => {
    for (const port of httpPorts) port.setCertificate(material);
  });
  const limitsChanged = (): void => {
    for (const port of httpPorts) port.setPlaces(httpPlaces(config));
  };
  const notReady = (): void => {
    ready = false;
  };
  const stop = (): void => {
    ready = false;
    for (const server of servers) server.close();
    for (const cut of cutUnnamed) cut();
  };
  const destroy = async (): Promise<void> => {
    const giveUpAtMs = performance.now() + goodbyeMs;
    while (sockets.size > 0 && performance.now() < giveUpAtMs) await new Promise(resolve => setTimeout(resolve, 10));
    for (const socket of sockets) socket.destroy();
    await Promise.all(httpPorts.map(port => port.close()));
    await Promise.all(applications.map(application => application.close()));
  };

  try {
    const ports: { -readonly [K in keyof Ports]: Ports[K] } = { http: 0, admin: 0 };
    const tcpMode = development.plaintextXmpp === true ? 'plaintext' : 'starttls';
    if (wanted.xmpp !== undefined)
      ports.xmpp = await open(createTcpListener(host, secureContext, tcpMode), wanted.xmpp, 'xmpp');
    if (wanted.xmpps !== undefined) {
      ports.xmpps = await open(createTcpListener(host, secureContext, 'direct'), wanted.xmpps, 'xmpps');
    }
    if (wanted.compact !== undefined) {
      ports.compact = await open(createCompactListener(host, compact), wanted.compact, 'compact');
    }

    const publicApi = await buildPublicHttp({
      config,
      control,
      people: stores.accounts,
      log,
      nowMs: Date.now,
      endpoints: () => endpointsOf(config, ports),
      compactKeys: deps.compactKeys,
    });
    applications.push(publicApi);
    // Ports that several services share by configuration are opened once.
    const webSocketOnly: RequestListener = (_request, response) => {
      const headers = { upgrade: 'websocket', connection: 'close', 'content-type': 'text/plain; charset=utf-8' };
      response.writeHead(426, headers).end(upgradeNeeded);
    };
    const shared: { at: At; name: 'http' | 'websocket' | 'compactWebsocket'; services: WebSocketServices }[] = [];
    for (const name of ['http', 'websocket', 'compactWebsocket'] as const) {
      const at = wanted[name];
      if (at === undefined) continue;
      const services = { xmpp: name === 'websocket', compact: name === 'compactWebsocket' ? compact : undefined };
      const same = shared.find(other => at.port !== 0 && other.at.port === at.port && other.at.host === at.host);
      if (same === undefined) shared.push({ at, name, services });
      else
        same.services = {
          xmpp: same.services.xmpp || services.xmpp,
          compact: same.services.compact ?? services.compact,
        };
    }
    for (const { at, name, services } of shared) {
      const isFull = (): boolean => host.gate.isFull;
      const port =
        name === 'http'
          ? openHttp(publicApi.handler, tls, isFull, publicApi.isUpload)
          : openHttp(webSocketOnly, tls, isFull);
      for (const server of port.servers) attachWebSocket(host, server, services);
      servers.push(port.server);
      front(port.server, at);
      const number = await listenOn(port.server, at, name);
      if (name === 'http') ports.http = number;
      if (services.xmpp) ports.websocket = number;
      if (services.compact !== undefined) ports.compactWebsocket = number;
    }

    const adminApi = await buildAdminHttp({
      control,
      stores,
      sessions: core.sessions,
      metrics: createMetrics({
        core,
        control,
        stores,
        databaseFile: deps.databaseFile,
        certificateExpiresAtMs: () => certificate?.expiresAtMs,
        nowMs: Date.now,
      }),
      log,
      nowMs: Date.now,
      token: deps.adminToken,
      metricsToken: deps.metricsToken,
      isReady: () => ready,
    });
    applications.push(adminApi);
    // The operator gets in however full it is.
    const adminPort = openHttp(adminApi.handler, undefined, () => false);
    ports.admin = await listenOn(adminPort.server, wanted.admin, 'admin');
    if (wanted.health !== undefined) {
      const healthApi = await buildHealthHttp({ control, stores, isReady: () => ready });
      applications.push(healthApi);
      ports.health = await listenOn(
        openHttp(healthApi.handler, undefined, () => false).server,
        wanted.health,
        'health',
      );
    }
    ready = true;
    return { ports, limitsChanged, notReady, stop, destroy };
  } catch (error) {
    stop();
    await destroy();
    throw error;
  }
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
