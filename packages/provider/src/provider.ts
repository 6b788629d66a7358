// The provider kit: puts issuer, users, sessions, proofs, wake-ups and events together, on a server of its own or in another's.
// Knows nothing of messages: they never pass through here.
// Source: docs/protocol/02 and 03 (Provider HTTP).

import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { createEgress, type EgressFetch } from '@drawbridge/identity/egress';
import type { PublicSigningJwk } from '@drawbridge/identity/jwk';
import { localKeySource } from '@drawbridge/identity/key-set';
import { addressKey } from '@drawbridge/identity/network-prefix';
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import type { ProviderAct } from '@drawbridge/identity/provider-statement';
import type { KeySource } from '@drawbridge/identity/verify-ownership-proof';
import { beginSessionOf } from './directory/begin-session.ts';
import type { UserDirectory } from './directory/user-directory.ts';
import { createEventReceiver, eventReceiverLimits } from './events/event-receiver.ts';
import { createEventSender, type EventSender } from './events/event-sender.ts';
import { createEventStore } from './events/event-store.ts';
import { createTokenVerifier } from './events/gatekeeper-tokens.ts';
import { createHandledEvents } from './events/handled-events.ts';
import type { ProviderNotice } from './events/provider-notice.ts';
import { createAddressBudget } from './http/address-budget.ts';
import { createAttemptBudget } from './http/attempt-budget.ts';
import { createLoginAttempts } from './http/login-attempts.ts';
import type { RouteContext } from './http/route-context.ts';
import { createRoutes } from './http/routes.ts';
import { createServers, type Handler, type ListenOptions, type Servers } from './http/server.ts';
import { createProofIssuer, type ProofIssue, type WantedProof } from './issuer/proofs.ts';
import { signStatement } from './issuer/statements.ts';
import { createMediaOrigin, type MediaOrigin } from './media-origin/media-origin.ts';
import { exportPerson, type PersonExport, type PersonRemoval, removePerson } from './person.ts';
import { providerLimits } from './provider-limits.ts';
import { checkProviderOptions, type ProviderOptions } from './provider-options.ts';
import { openParts, type Parts, useFolder } from './provider-parts.ts';
import { lockDataFolder } from './storage/folder-lock.ts';
import { createPersonRecords } from './storage/person-records.ts';
import { confirmClock } from './storage/provider-clock.ts';
import { createEventIds, removeExpired } from './storage/provider-database.ts';
import { createPushQueue, defaultPushQueueLimits, type PushQueue, PushQueueError } from './wake-ups/push-queue.ts';
import { createPushStore } from './wake-ups/push-store.ts';
import { receiveWakeUps, type WakeUpTaker } from './wake-ups/receiver.ts';

export { providerLimits } from './provider-limits.ts';
export type { ProviderLogEntry, ProviderOptions } from './provider-options.ts';
export type { GatekeeperNotice } from './events/gatekeeper-notice.ts';
export type { ListenOptions } from './http/server.ts';
export type { ProofIssue } from './issuer/proofs.ts';
export type { PersonExport, PersonRemoval } from './person.ts';

export type SessionBeginning =
  /** `mediaUrl`: where uploads are created; undefined without a media origin. */
  | { readonly kind: 'begun'; readonly session: string; readonly mediaUrl: string | undefined }
  | { readonly kind: 'refused'; readonly code: 'identifier-refused' | 'identifier-unknown' };

export type Provider = {
  readonly issuer: string;
  /** Serves one request of any node:http(s) server. The body must not have been read before. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** Serves on a port of its own; without `tls` in plain HTTP, behind a proxy or in development. Port 0 takes a free one. */
  readonly listen: (options: ListenOptions) => Promise<{ readonly host: string; readonly port: number }>;
  /** Another certificate for the ports of `listen`, for new connections. Throws, and changes nothing, when its key doesn't fit. */
  readonly setCertificate: Servers['setCertificate'];
  /**
   * Issues a proof for one of the provider's people without HTTP. The caller has authenticated that person.
   * `jkt` is the thumbprint of their device key. Lives 120 s for `xmpp`, 300 s otherwise.
   */
  readonly issueProof: (identifier: string, wanted: WantedProof) => Promise<ProofIssue>;
  /**
   * Begins a session for one of the provider's people without a password: for a service with a login of its own, which has
   * authenticated that person. The token is for that person's app alone; it uploads files, gives proofs and hears wake-ups.
   */
  readonly beginSession: (identifier: string) => Promise<SessionBeginning>;
  /** What the provider says about itself to a gatekeeper: it applies, asks, accepts, leaves (chapter 10). Good for 5 minutes, once. */
  readonly signStatement: (gatekeeper: string, act: ProviderAct) => string;
  /**
   * Tells gatekeepers what happened to a person or to the keys (chapter 10.5): all that this provider works with, or these.
   * On the disk when it resolves, and told until it is taken, also after a restart; `events` says what could not be told.
   * Rejects, and keeps nothing, with an EventSendError (no gatekeeper would take it, or 10,000 wait for one), or a
   * DatabaseWriteError.
   */
  readonly sendEvent: (notice: ProviderNotice, gatekeepers?: readonly string[]) => Promise<void>;
  /** What waits to be told and what is dead, with the people it is about; dead events can be told again. Never for a log. */
  readonly events: Pick<EventSender, 'report' | 'retryDead'>;
  /** What `/jwks.json` publishes now. */
  readonly keySet: () => { readonly keys: readonly PublicSigningJwk[] };
  /** The same for a gatekeeper in this process: no discovery, no fetch. */
  readonly keySource: KeySource;
  /** Whether the key of this thumbprint is published now. */
  readonly holdsKey: (thumbprint: string) => boolean;
  readonly directory: UserDirectory;
  /** The media origin, when there is one. */
  readonly media: MediaOrigin | undefined;
  /**
   * What waits for `onWakeUp` and what became of the rest, with the people whose wake-ups were given up; these can be tried
   * again. For the operator, never for a log. Undefined without `onWakeUp`.
   */
  readonly wakeUps: Pick<PushQueue, 'report' | 'retryGivenUp'> | undefined;
  /**
   * Wakes a person's app, as a verified wake-up of the first of `gatekeepers` does: for a gatekeeper in this process. One
   * that the push service has no room for is given up, for the event stream alone.
   */
  readonly wake: (identifier: string) => void;
  /** Ends a person's sessions and event streams: password changed, account closed. They have ended when it resolves. */
  readonly endSessions: (identifier: string) => Promise<void>;
  /** What is kept of a person, for that person: login without the password's hash, sessions, files, wake-ups. */
  readonly exportPerson: (identifier: string) => Promise<PersonExport>;
  /**
   * Deletes what `exportPerson` shows, files too; says what went. With a `directory` of your own remove the person there
   * first. Idempotent: when it rejects (a DatabaseWriteError, or what the media storage says) call it again.
   */
  readonly removePerson: (identifier: string) => Promise<PersonRemoval>;
  /**
   * Suspends a person of the embedded directory, or lets them in again: no login and no proof meanwhile, and what is kept stays.
   * False: there is no such login here.
   */
  readonly suspendPerson: (identifier: string, suspended: boolean) => Promise<boolean>;
  /**
   * A person says that the wall clock is right, after the log has said `clock-not-believed`: what expired by it goes from then
   * on. Nothing to do where `expiry` is given.
   */
  readonly confirmClock: () => Promise<void>;
  /** After a theft of the signing keys: every earlier proof ends as soon as gatekeepers fetch again. */
  readonly replaceAllKeys: () => Promise<void>;
  /** Ends event streams, lets running requests finish for 5 s, then closes everything. */
  readonly close: () => Promise<void>;
};

/**
 * Starts a provider. Rejects with a ProviderOptionsError, a FolderInUseError, a DatabaseVersionError, or because key file or
 * database are unfit: nothing would work then, and each message says what to do.
 */
export async function createProvider(options: ProviderOptions): Promise<Provider> {
  checkProviderOptions(options);
  const inMemory = options.dataFolder === ':memory:';
  if (!inMemory) useFolder('dataFolder', options.dataFolder);
  if (options.media?.folder !== undefined) useFolder('media.folder', options.media.folder);
  const unlock = inMemory ? () => {} : lockDataFolder(options.dataFolder);
  try {
    const parts = await openParts(options);
    try {
      return await assemble(parts, unlock);
    } catch (error) {
      await parts.database.close();
      throw error;
    }
  } catch (error) {
    unlock();
    throw error;
  }
}

async function assemble(parts: Parts, unlock: () => void): Promise<Provider> {
  const { options, directory, issuer, sessions, streams } = parts;
  const keySet = (): { readonly keys: readonly PublicSigningJwk[] } => ({ keys: issuer.published() });
  const issueProof = createProofIssuer({
    issuer: options.issuer,
    signingKey: issuer.signingKey,
    audiences: new Set(options.gatekeepers.map(each => each.issuer)),
    directory,
    nowMs: parts.nowMs,
  });
  const egress = createEgress(options.egress);
  const gatekeepers = options.gatekeepers.map(each => each.issuer);
  const events = openEvents(parts, gatekeepers, egress.fetch);
  const media = openMedia(parts);
  // After all that an option may make fail: from here on people are woken.
  const pushes = openPushes(parts);
  const routes = await createRoutes(
    routeContext(parts, keySet, issueProof, openReceivers(parts, egress.fetch, pushes)),
  );
  void media?.collectGarbage();
  const servers = createServers(handlerOf(media, routes));
  const housekeeping = startHousekeeping(parts, media);
  const person = { records: createPersonRecords(parts.database), media, streams, pushes };
  let closing: Promise<void> | undefined;

  async function close(): Promise<void> {
    clearInterval(housekeeping);
    streams.close();
    await media?.close();
    await servers.close();
    await routes.close();
    // A push service that hangs doesn't keep the process.
    await Promise.race([pushes?.close(), sleep(providerLimits.closeTimeoutMs, undefined, { ref: false })]);
    await Promise.race([events.close(), sleep(providerLimits.closeTimeoutMs, undefined, { ref: false })]);
    egress.close();
    await directory.close?.();
    await parts.database.close();
    unlock();
  }

  return {
    issuer: options.issuer,
    handler: handlerOf(media, routes),
    listen: servers.listen,
    setCertificate: servers.setCertificate,
    issueProof,
    beginSession: identifier => beginSession(parts, identifier),
    signStatement: (gatekeeper, act) =>
      signStatement(issuer.signingKey(), { issuer: options.issuer, gatekeeper, nowMs: parts.nowMs() }, act),
    sendEvent: (notice, to = gatekeepers) => events.send(notice, to),
    events,
    keySet,
    keySource: localKeySource(issuer.verificationKeys),
    holdsKey: thumbprint => issuer.verificationKeys().some(key => key.thumbprint === thumbprint),
    directory,
    media,
    wakeUps: pushes,
    wake: identifier => {
      const gatekeeper = options.gatekeepers[0]!.issuer;
      streams.wake(identifier, gatekeeper);
      pushes
        ?.add(identifier, gatekeeper)
        .catch(error => parts.log('wake-up-not-kept', error instanceof PushQueueError ? error.code : 'storage-failed'));
    },
    endSessions: async identifier => {
      await sessions.endAll(identifier);
      streams.end(identifier);
    },
    exportPerson: async identifier => exportPerson(person, identifier),
    removePerson: identifier => removePerson(person, identifier),
    async suspendPerson(identifier, suspended) {
      const found = await person.records.setSuspended(identifier, suspended);
      if (suspended) streams.end(identifier);
      return found;
    },
    confirmClock: () => confirmOwnClock(parts),
    replaceAllKeys: issuer.replaceAllKeys,
    close: () => (closing ??= close()),
  };
}

async function confirmOwnClock({ database, clock, nowMs }: Parts): Promise<void> {
  if (clock === undefined) return;
  await confirmClock(database, nowMs());
  await clock.note();
}

async function beginSession({ directory, sessions, mediaUrl }: Parts, identifier: string): Promise<SessionBeginning> {
  if (!isUserIdentifier(identifier)) return { kind: 'refused', code: 'identifier-refused' };
  if (!(await directory.exists(identifier))) return { kind: 'refused', code: 'identifier-unknown' };
  const session = await beginSessionOf(sessions, directory, identifier);
  return session === undefined ? { kind: 'refused', code: 'identifier-unknown' } : { kind: 'begun', session, mediaUrl };
}

function openEvents(parts: Parts, gatekeepers: readonly string[], fetch: EgressFetch): EventSender {
  const { options, database, issuer, clock, expiry, monotonicMs, log } = parts;
  const { judgeMs } = expiry;
  const nowMs = clock?.tellMs ?? parts.nowMs;
  const store = createEventStore(database);
  const { signingKey } = issuer;
  return createEventSender({
    ...{ issuer: options.issuer, gatekeepers, store, signingKey, fetch },
    ...{ random: Math.random, nowMs, judgeMs, monotonicMs, log },
  });
}

function openPushes({ options, database, log, nowMs }: Parts): PushQueue | undefined {
  if (options.onWakeUp === undefined) return undefined;
  return createPushQueue({
    store: createPushStore(database),
    hook: options.onWakeUp,
    limits: defaultPushQueueLimits,
    log,
    random: Math.random,
    nowMs,
  });
}

type Receivers = Pick<RouteContext, 'receiveWakeUp' | 'receiveEvent'>;

function openReceivers(parts: Parts, fetch: EgressFetch, pushes: PushQueue | undefined): Receivers {
  const { options, database, nowMs, monotonicMs, log } = parts;
  const takeEventId = createEventIds(database);
  const { issuer: audience, gatekeepers } = options;
  const verify = createTokenVerifier({ audience, gatekeepers, fetch, nowMs, monotonicMs, log });
  const wakeUps: WakeUpTaker = {
    // When there is no room the id isn't used up: the gatekeeper is told to come again, and keeps the wake-up until then.
    takeEventId: (id, identifier) => (pushes === undefined ? takeEventId(id) : pushes.add(identifier, id.issuer, id)),
    onWakeUp: parts.streams.wake,
    log,
  };
  const receiveEvent = createEventReceiver({
    ...{ verify, wakeUps, hook: options.onEvent, handled: createHandledEvents(database) },
    ...{ limits: eventReceiverLimits, log },
  });
  return { receiveWakeUp: receiveWakeUps(verify, wakeUps), receiveEvent };
}

function routeContext(
  parts: Parts,
  keySet: RouteContext['keySet'],
  issueProof: RouteContext['issueProof'],
  receivers: Receivers,
): RouteContext {
  const { options, monotonicMs } = parts;
  const { addressAttempts: address, siteAttempts: site } = providerLimits;
  const addresses = createAddressBudget({ address, site }, monotonicMs);
  return {
    issuer: options.issuer,
    pathPrefix: parts.pathPrefix,
    directory: parts.directory,
    registrationOpen: options.registration === 'open',
    mediaUrl: parts.mediaUrl,
    sessions: parts.sessions,
    streams: parts.streams,
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
    ...receivers,
    log: parts.log,
  };
}

function openMedia(parts: Parts): MediaOrigin | undefined {
  const { options, sessions, directory, mediaUrl } = parts;
  if (options.media === undefined || mediaUrl === undefined) return undefined;
  return createMediaOrigin({
    ...options.media,
    folder: options.media.folder ?? join(options.dataFolder, 'media'),
    url: mediaUrl,
    path: `${parts.pathPrefix}/media`,
    authenticate: async token => {
      const identifier = sessions.find(token);
      return identifier !== undefined && (await directory.exists(identifier)) ? identifier : undefined;
    },
    nowMs: parts.nowMs,
    expiry: parts.expiry,
    log: parts.log,
  });
}

function startHousekeeping(
  { database, expiry, clock, issuer, log }: Parts,
  media: MediaOrigin | undefined,
): NodeJS.Timeout {
  const housekeeping = setInterval(() => {
    clock?.note().catch(() => log('clock-not-noted', 'storage-failed'));
    removeExpired(database, expiry.judgeMs()).catch(() => log('expired-not-removed', 'storage-failed'));
    void media?.collectGarbage();
    issuer.rotateIfDue().catch(() => log('keys-not-rotated', 'internal-error'));
  }, providerLimits.housekeepingMs);
  return housekeeping.unref();
}

function handlerOf(media: MediaOrigin | undefined, routes: FastifyInstance): Handler {
  return (request: IncomingMessage, response: ServerResponse) => {
    if (media?.serves(request) === true) return media.handler(request, response);
    // An upload takes as long as it takes while bytes come; every other body has to be there soon.
    const slow = setTimeout(() => request.complete || request.destroy(), providerLimits.requestTimeoutMs);
    request.once('close', () => clearTimeout(slow));
    routes.routing(request, response);
  };
}

/** One budget for an IPv4 address, and one for the /64 of an IPv6 address; what is not an address is a key as it stands. */
function addressOf(text: string): string {
  return addressKey(text) || text;
}
