// Listens on ports of the provider's own, with and without TLS, and closes them. Knows nothing of what is served.

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { HttpConnections } from '@drawbridge/identity/http-connections';
import { addressKey } from '@drawbridge/identity/network-prefix';
import { providerLimits } from '../provider-limits.ts';

export type ListenOptions = {
  readonly host: string;
  readonly port: number;
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Connections of one address (IPv4, or the /64 of IPv6): 512 when left out. A /48 has four times as many. */
  readonly connectionsPerAddress?: number;
  /** Reverse proxies, whose connections are everybody's: no share of one address holds for them. */
  readonly isProxy?: (address: string) => boolean;
};

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export type Servers = {
  readonly listen: (options: ListenOptions) => Promise<{ readonly host: string; readonly port: number }>;
  /** New connections get this certificate. Throws when certificate and key don't fit, and changes nothing then. */
  readonly setCertificate: (tls: { readonly key: string; readonly cert: string }) => void;
  /** Lets running requests finish for a while, then closes everything. */
  readonly close: () => Promise<void>;
};

export function createServers(handler: Handler): Servers {
  const servers: Server[] = [];
  return {
    async listen({ host, port, tls, isProxy, connectionsPerAddress = providerLimits.connectionsPerAddress }) {
      const limits = {
        maxHeaderSize: providerLimits.maxHeaderBytes,
        // Each handler has its own.
        requestTimeout: 0,
        headersTimeout: providerLimits.requestTimeoutMs,
        keepAliveTimeout: providerLimits.keepAliveTimeoutMs,
      };
      const server =
        tls === undefined
          ? createHttpServer(limits, handler)
          : createHttpsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' }, handler);
      const connections = new HttpConnections({
        maxConnections: providerLimits.maxConnections,
        maxPerAddress: connectionsPerAddress,
        maxPerSite: connectionsPerAddress * providerLimits.addressesPerSite,
      });
      server.prependListener('connection', (socket: Socket) => {
        const address = socket.remoteAddress ?? '';
        connections.take(socket, isProxy?.(address) === true ? '' : addressKey(address));
      });
      connections.watch(server);
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => resolve());
      });
      return { host, port: (server.address() as AddressInfo).port };
    },
    setCertificate(tls) {
      createSecureContext(tls);
      for (const server of servers) {
        if (server instanceof HttpsServer) server.setSecureContext({ ...tls, minVersion: 'TLSv1.2' });
      }
    },
    close: async () => void (await Promise.all(servers.map(closeServer))),
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    const force = setTimeout(() => server.closeAllConnections(), providerLimits.closeTimeoutMs);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
