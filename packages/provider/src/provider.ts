// The provider kit: puts issuer, users, sessions, proofs and wake-ups together, on a server of its own or in another's.
// Knows nothing of messages: they never pass through here.
// Source: docs/protocol/02 and 03 (Provider HTTP).

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEgress, type EgressOptions } from '@drawbridge/identity/egress';
import { issueOwnershipProof } from '@drawbridge/identity/issue-ownership-proof';
import { isThumbprint, type PublicSigningJwk, type SignatureAlgorithm } from '@drawbridge/identity/jwk';
import { localKeySource } from '@drawbridge/identity/key-set';
import { addressKey } from '@drawbridge/identity/network-prefix';
import {
  isUserIdentifier,
  issuedProofLifetimeSeconds,
  type ProofTransport,
} from '@drawbridge/identity/ownership-proof';
import type { KeySource } from '@drawbridge/identity/verify-ownership-proof';
import { createAttemptBudget } from './http/attempt-budget.ts';
import { createLoginAttempts } from './http/login-attempts.ts';
import { createRoutes } from './http/routes.ts';
import { createIssuer } from './issuer/issuer.ts';
import { issuerKeyFile, issuerKeyMemory } from './issuer/issuer-key-file.ts';
import { createMediaOrigin, type MediaOptions, type MediaOrigin } from './media-origin/media-origin.ts';
import { createEventIds, createSessions, openProviderDatabase, removeExpired } from './storage/provider-database.ts';
import { createSqliteDirectory } from './directory/sqlite-directory.ts';
import { lockDataFolder } from './storage/folder-lock.ts';
import type { UserDirectory } from './directory/user-directory.ts';
import { createWakeUpReceiver, type KnownGatekeeper } from './wake-ups/receiver.ts';
import { createWakeUpStreams } from './wake-ups/streams.ts';

/** Named limits. */
export const providerLimits = {
  /** Logins and registrations from one address: 100, refilled in 15 minutes. */
  addressAttempts: { burst: 100, refillMs: 900_000, maxKeys: 50_000 },
  /** Logins from one address with one identifier since the last success: 20, refilled in 15 minutes. */
  pairAttempts: { burst: 20, refillMs: 900_000, maxKeys: 50_000 },
  /** Logins with one identifier from all addresses together: from the 101st within 15 minutes on each is slowed down. */
  identifierAttempts: { burst: 100, refillMs: 900_000, maxKeys: 50_000 },
  /** How long a login waits that is slowed down, and how many may wait at once. */
  slowedAttempts: { delayMs: 2_000, maxWaiting: 1_000 },
  /** Proofs for one person: 120, refilled in a minute. */
  proofs: { burst: 120, refillMs: 60_000, maxKeys: 50_000 },
  maxConnections: 20_000,
  maxHeaderBytes: 16_384,
  requestTimeoutMs: 15_000,
  keepAliveTimeoutMs: 5_000,
  closeTimeoutMs: 5_000,
  housekeepingMs: 300_000,
} as const;

/** One line for the operator. Never an identifier, token, key or address. */
export type ProviderLogEntry = { readonly event: string; readonly code: string };

export type ProviderOptions = {
  /** The issuer URL as registered with the gatekeepers: https, no slash at the end. Its path is where routes begin. */
  readonly issuer: string;
  /** The gatekeepers that proofs may be for and wake-ups may come from. */
  readonly gatekeepers: readonly KnownGatekeeper[];
  /** The folder for keys and database, made with mode 0700; `:memory:` keeps everything in memory. */
  readonly dataFolder: string;
  /** The provider's own users; the embedded SQLite directory when left out. */
  readonly directory?: UserDirectory;
  /** Whether anybody may register through `POST /v1/users`. Closed when left out. */
  readonly registration?: 'open' | 'closed';
  /** For fetching gatekeepers' keys: what development networks allow. */
  readonly egress?: EgressOptions;
  readonly algorithm?: SignatureAlgorithm;
  /** Serves a media origin at `<issuer>/media`; none when left out. In memory it needs a folder of its own. */
  readonly media?: MediaOptions;
  /** Where routes begin when that isn't the issuer's path, behind a server that rewrites paths: '' or '/path'. */
  readonly pathPrefix?: string;
  /** The client's address, for attempt budgets; behind a reverse proxy, what its header says. */
  readonly clientAddress?: (request: IncomingMessage) => string;
  /** Called once for each wake-up, after it was verified. */
  readonly onWakeUp?: (identifier: string, gatekeeper: string) => void;
  readonly log?: (entry: ProviderLogEntry) => void;
  /** Wall clock, for tests. */
  readonly nowMs?: () => number;
};

export type ProofIssue =
  | { readonly kind: 'issued'; readonly proof: string; readonly expiresAtMs: number }
  | {
      readonly kind: 'refused';
      readonly code: 'audience-refused' | 'key-binding-refused' | 'identifier-refused' | 'identifier-unknown';
    };

export type Provider = {
  readonly issuer: string;
  /** Serves one request of any node:http(s) server. The body must not have been read before. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** Serves on a port of its own; without `tls` in plain HTTP, behind a proxy or in development. Port 0 takes a free one. */
  readonly listen: (options: ListenOptions) => Promise<{ readonly host: string; readonly port: number }>;
  /**
   * Issues a proof for one of the provider's people without HTTP. The caller has authenticated that person.
   * `jkt` is the thumbprint of their device key. Lives 120 s for `xmpp`, 300 s otherwise.
   */
  readonly issueProof: (
    identifier: string,
    wanted: { readonly audience: string; readonly jkt: string; readonly transport: ProofTransport },
  ) => Promise<ProofIssue>;
  /** What `/jwks.json` publishes now. */
  readonly keySet: () => { readonly keys: readonly PublicSigningJwk[] };
  /** The same for a gatekeeper in this process: no discovery, no fetch. */
  readonly keySource: KeySource;
  readonly directory: UserDirectory;
  /** The media origin, when there is one. */
  readonly media: MediaOrigin | undefined;
  /** Ends a person's sessions and event streams: password changed, account closed. */
  readonly endSessions: (identifier: string) => void;
  /** After a theft of the signing keys: every proof of before ends as soon as gatekeepers fetch again. */
  readonly replaceAllKeys: () => Promise<void>;
  /** Ends event streams, lets running requests finish for 5 s, then closes everything. */
  readonly close: () => Promise<void>;
};

export type ListenOptions = {
  readonly host: string;
  readonly port: number;
  readonly tls?: { readonly key: string; readonly cert: string };
};

/** Starts a provider. Rejects when options, key file or database are unfit: nothing would work then. */
export async function createProvider(options: ProviderOptions): Promise<Provider> {
  const issuerUrl = new URL(options.issuer);
  assert(['https:', 'http:'].includes(issuerUrl.protocol), 'the issuer is an https URL (http in development)');
  assert(
    !options.issuer.endsWith('/') && issuerUrl.search === '' && issuerUrl.hash === '',
    'the issuer URL ends with its path',
  );
  const pathPrefix = options.pathPrefix ?? (issuerUrl.pathname === '/' ? '' : issuerUrl.pathname);
  const nowMs = options.nowMs ?? Date.now;
  const monotonicMs = (): number => performance.now();
  const log = (event: string, code: string): void => options.log?.({ event, code });

  const inMemory = options.dataFolder === ':memory:';
  if (!inMemory) mkdirSync(options.dataFolder, { recursive: true, mode: 0o700 });
  const unlock = inMemory ? () => {} : lockDataFolder(options.dataFolder);
  const issuer = await createIssuer({
    store: inMemory ? issuerKeyMemory() : issuerKeyFile(join(options.dataFolder, 'signing-keys.json')),
    nowMs,
    ...(options.algorithm === undefined ? {} : { algorithm: options.algorithm }),
  });
  const database = openProviderDatabase(inMemory ? ':memory:' : join(options.dataFolder, 'provider.sqlite'));
  const directory = options.directory ?? createSqliteDirectory(database, nowMs);
  const sessions = createSessions(database, nowMs);
  const streams = createWakeUpStreams(monotonicMs);
  const egress = createEgress(options.egress);
  const audiences = new Set(options.gatekeepers.map(each => each.issuer));

  async function issueProof(
    identifier: string,
    wanted: { readonly audience: string; readonly jkt: string; readonly transport: ProofTransport },
  ): Promise<ProofIssue> {
    if (!audiences.has(wanted.audience)) return { kind: 'refused', code: 'audience-refused' };
    if (!isThumbprint(wanted.jkt)) return { kind: 'refused', code: 'key-binding-refused' };
    if (!isUserIdentifier(identifier)) return { kind: 'refused', code: 'identifier-refused' };
    if (!(await directory.exists(identifier))) return { kind: 'refused', code: 'identifier-unknown' };
    const region = await directory.region?.(identifier);
    const issuedAtSeconds = Math.floor(nowMs() / 1000);
    const expiresAtSeconds = issuedAtSeconds + issuedProofLifetimeSeconds[wanted.transport];
    const proof = await issueOwnershipProof(issuer.signingKey(), {
      issuer: options.issuer,
      subject: identifier,
      audience: wanted.audience,
      jkt: wanted.jkt,
      issuedAtSeconds,
      expiresAtSeconds,
      jti: randomBytes(24).toString('base64url'),
      ...(region === undefined ? {} : { region }),
    });
    return { kind: 'issued', proof, expiresAtMs: expiresAtSeconds * 1000 };
  }

  const receiveWakeUp = createWakeUpReceiver({
    audience: options.issuer,
    gatekeepers: options.gatekeepers,
    fetch: egress.fetch,
    nowMs,
    monotonicMs,
    takeEventId: createEventIds(database),
    onWakeUp: (identifier, gatekeeper) => {
      streams.wake(identifier, gatekeeper);
      try {
        options.onWakeUp?.(identifier, gatekeeper);
      } catch {
        // The token is used up and the app's stream was served; the hook's owner has to look.
        log('wake-up-hook-failed', 'internal-error');
      }
    },
    log,
  });

  const keySet = (): { readonly keys: readonly PublicSigningJwk[] } => ({ keys: issuer.published() });
  const mediaUrl = options.media === undefined ? undefined : (options.media.url ?? `${options.issuer}/media`);
  const addresses = createAttemptBudget(providerLimits.addressAttempts, monotonicMs);
  const routes = await createRoutes({
    issuer: options.issuer,
    pathPrefix,
    directory,
    registrationOpen: options.registration === 'open',
    mediaUrl,
    sessions,
    streams,
    budgets: { addresses, proofs: createAttemptBudget(providerLimits.proofs, monotonicMs) },
    attempts: createLoginAttempts({
      addresses,
      pairs: createAttemptBudget(providerLimits.pairAttempts, monotonicMs),
      identifiers: createAttemptBudget(providerLimits.identifierAttempts, monotonicMs),
      ...providerLimits.slowedAttempts,
      wait: async ms => await sleep(ms, undefined, { ref: false }),
    }),
    clientAddress: request => addressOf(options.clientAddress?.(request) ?? request.socket.remoteAddress ?? ''),
    keySet,
    issueProof,
    receiveWakeUp,
    log,
  });

  const media = options.media === undefined ? undefined : openMedia(options.media);
  void media?.collectGarbage();

  function openMedia(wanted: MediaOptions): MediaOrigin {
    const folder = wanted.folder ?? join(options.dataFolder, 'media');
    assert(wanted.folder !== undefined || !inMemory, 'a media origin needs a folder');
    return createMediaOrigin({
      ...wanted,
      folder,
      url: mediaUrl!,
      path: `${pathPrefix}/media`,
      authenticate: async token => {
        const identifier = sessions.find(token);
        return identifier !== undefined && (await directory.exists(identifier)) ? identifier : undefined;
      },
      nowMs,
      log,
    });
  }

  const housekeeping = setInterval(() => {
    removeExpired(database, nowMs());
    void media?.collectGarbage();
    issuer.rotateIfDue().catch(() => log('keys-not-rotated', 'internal-error'));
  }, providerLimits.housekeepingMs);
  housekeeping.unref();

  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    if (media?.serves(request) === true) return media.handler(request, response);
    // An upload takes as long as it takes while bytes come; every other body has to be there soon.
    const slow = setTimeout(() => request.complete || request.destroy(), providerLimits.requestTimeoutMs);
    request.once('close', () => clearTimeout(slow));
    routes.routing(request, response);
  };
  const servers: Server[] = [];
  let closing: Promise<void> | undefined;

  async function close(): Promise<void> {
    clearInterval(housekeeping);
    streams.close();
    await media?.close();
    await Promise.all(servers.map(closeServer));
    await routes.close();
    egress.close();
    directory.close?.();
    database.close();
    unlock();
  }

  return {
    issuer: options.issuer,
    handler,
    listen: async ({ host, port, tls }) => {
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
      server.maxConnections = providerLimits.maxConnections;
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => resolve());
      });
      return { host, port: (server.address() as AddressInfo).port };
    },
    issueProof,
    keySet,
    keySource: localKeySource(issuer.verificationKeys),
    directory,
    media,
    endSessions: identifier => {
      sessions.endAll(identifier);
      streams.end(identifier);
    },
    replaceAllKeys: issuer.replaceAllKeys,
    close: () => (closing ??= close()),
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

/** One budget for an IPv4 address, and one for the /64 of an IPv6 address; what is no address is a key as it stands. */
function addressOf(text: string): string {
  return addressKey(text) || text;
}
