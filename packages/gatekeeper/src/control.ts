// Puts the domains together that decide about people, devices, keys, providers and wake-ups, so that `main.ts` has one
// thing to start and close. Knows nothing of streams, routing or listeners.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import { makeFolder } from '@drawbridge/identity/make-folder';
import type { Egress, EgressOptions } from '@drawbridge/identity/egress';
import { type After, every, systemAfter } from '@drawbridge/identity/timers';
import type { Provider as OwnUsers } from '@drawbridge/provider/provider';
import type { Element } from '@drawbridge/wire/element';
import { type Budgets, createBudgets } from './budgets.ts';
import type { GatekeeperClock, GatekeeperClockState } from './clock/gatekeeper-clock.ts';
import type { Config, Limits } from './config-schema.ts';
import type { ControlLog } from './control-log.ts';
import { Sweeps } from './control-sweeps.ts';
import { People } from './consent/contacts.ts';
import { isDoorShut, mayReach } from './consent/may-reach.ts';
import { Integrity } from './integrity/integrity.ts';
import type { Account, AccountEvent, Device } from './enlistment/account.ts';
import { type AccountEvents, createAccountEvents } from './enlistment/account-events.ts';
import { accountTurnMs, CachedAccounts } from './enlistment/accounts.ts';
import { type BulkEnlistment, type BulkResult, bulkEnlist } from './enlistment/bulk-enlistment.ts';
import { createEnlistment, type Enlistment } from './enlistment/enlistment.ts';
import { createLogin, createProofVerifier, type Login, type VerifyProof } from './enlistment/login.ts';
import { SeenTimes } from './enlistment/seen-times.ts';
import { createInboundEvents, type InboundEvents } from './events/inbound-events.ts';
import { createOutboundEvents, type OutboundEvents } from './events/outbound-events.ts';
import { createIqHandlers } from './iq-handlers.ts';
import { createSignatureChecks, type SignatureChecks } from './keys/signature-checks.ts';
import { createMedia, type Media } from './media/media.ts';
import { openOwnUsers } from './own-users.ts';
import { createLifecycle, type Lifecycle } from './providers/lifecycle.ts';
import { createRegistry, type Registry } from './providers/registry.ts';
import { reportIqHandlers } from './reports/report-iq.ts';
import { openStampSecret } from './reports/stamp-secret.ts';
import { Stamps } from './reports/stamps.ts';
import type { IqHandlers } from './routing/iq.ts';
import type { Stores } from './storage/stores.ts';
import { type EventKeys, openEventKeys } from './wakeup/event-keys.ts';
import { createWakeUps, type WakeUps } from './wakeup/wake-ups.ts';

export type { BulkEnlistment, BulkResult, ControlLog };

export type ControlDeps = {
  readonly config: Config;
  readonly stores: Stores;
  readonly egress: Egress;
  /** Of key sets alone: however many requests to dead places are under way elsewhere, keys are fetched. */
  readonly keySetEgress: Egress;
  readonly log: ControlLog;
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number;
  /** Only goes forward; `performance.now` when left out. */
  readonly monotonicMs?: () => number;
  /** The system's when left out. */
  readonly after?: After;
  /** By which kept things grow old; `nowMs`, always believed, when left out. */
  readonly clock?: GatekeeperClock;
  /** Sends an element to a device that is connected, in a message from the domain that is never stored. */
  readonly notifyDevice: (account: Account, device: Device, content: Element) => void;
};

export type Control = {
  readonly accounts: CachedAccounts;
  readonly login: Login;
  /** Logins since the start, by outcome: `admitted`, or the code of the refusal. */
  readonly logins: ReadonlyMap<string, number>;
  readonly verifyProof: VerifyProof;
  readonly iqHandlers: IqHandlers;
  readonly signatures: SignatureChecks;
  readonly registry: Registry;
  readonly lifecycle: Lifecycle;
  readonly enlistment: Enlistment;
  /** What providers tell of their people and keys. */
  readonly inboundEvents: InboundEvents;
  /** What providers are told, but for wake-ups. */
  readonly outboundEvents: OutboundEvents;
  readonly budgets: Budgets;
  readonly limits: () => Limits;
  readonly wakeUps: WakeUps;
  readonly signingKeys: EventKeys;
  readonly stamps: Stamps;
  readonly media: Media['proxy'];
  /** The embedded issuer of own users; undefined when the operator names another. */
  readonly ownUsers: OwnUsers | undefined;
  readonly mayReach: (from: Account, to: Account) => boolean;
  readonly contacts: People;
  readonly integrity: Integrity;
  /** What providers are told as the time. */
  readonly tellMs: () => number;
  readonly clockState: () => GatekeeperClockState;
  readonly onEvent: (listener: (event: AccountEvent) => void) => () => void;
  /** Another node has changed this: what is in memory of it is out of date. */
  readonly hear: (event: AccountEvent) => void;
  /**
   * Enlists many people at once, as an operator's own tool: their devices are checked like any other's, no proof and no
   * budget is asked for. Answers in the order of the list.
   */
  readonly bulkEnlist: (list: readonly BulkEnlistment[]) => Promise<readonly BulkResult[]>;
  /** Takes providers, policy and budgets of another configuration; the words of what is wrong when it can't. */
  readonly reconfigure: (config: Config) => Promise<string | undefined>;
  /** Removes what has expired. Runs every minute by itself; idempotent. */
  readonly sweep: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/** What the egress client may reach, by configuration. Throws when the CA file can't be read: `loadConfig` has checked. */
export function egressOptionsOf(config: Config): EgressOptions {
  const { allowAddresses, allowPlainHttpOrigins, caFile, nameServers } = config.egress;
  return {
    ...(nameServers.length === 0 ? {} : { nameServers }),
    allow: {
      addresses: allowAddresses,
      plainHttpOrigins: allowPlainHttpOrigins,
      ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
    },
  };
}

/**
 * Starts the control side over an open store.
 *
 * Rejects with RegistryError (a provider's number or name was another's), EventKeysError, StoreError, or what the
 * embedded issuer says: nothing would work then, and each message says what to do.
 */
export async function createControl(deps: ControlDeps): Promise<Control> {
  const { config, stores, log, nowMs } = deps;
  const monotonicMs = deps.monotonicMs ?? (() => performance.now());
  const expiry = deps.clock ?? { stampMs: nowMs, judgeMs: nowMs };
  const tellMs = deps.clock?.tellMs ?? nowMs;
  const { judgeMs, stampMs } = expiry;
  makeFolder(config.dataFolder);
  const signingKeys = openEventKeys(config.dataFolder);
  const stamps = new Stamps(openStampSecret(config.dataFolder));
  const events = createAccountEvents();
  const budgets = createBudgets(config.budgets, monotonicMs);
  const accounts = new CachedAccounts(stores.accounts, config.limits.accountCacheEntries, monotonicMs);

  const ownUsers = await openOwnUsers(config, log, { nowMs, expiry }, egressOptionsOf(config));
  const { registry, wakeUps } = await openProviders(deps, {
    ...{ ownUsers, events, signingKeys, monotonicMs, expiry, tellMs },
  });
  events.onEvent(event => {
    if (event.kind === 'account-withdrawn') wakeUps.forget(event.interopId);
  });

  const enlistment = createEnlistment({
    store: stores.accounts,
    accounts,
    registry,
    limits: config.limits,
    events,
    randomBytes,
    tellMs,
    judgeMs,
  });
  const seenTimes = new SeenTimes(monotonicMs());
  const verifyProof = createProofVerifier({
    seenTimes,
    audience: config.issuer,
    registry,
    proofIds: stores.proofIds,
    monotonicMs,
    accounts,
    tellsStrangers: config.mode === 'development',
  });
  const logins = new Map<string, number>();
  let configured = config;
  const login = createLogin({
    verifyProof,
    accounts,
    registry,
    onDecided: outcome => {
      logins.set(outcome, (logins.get(outcome) ?? 0) + 1);
      if (outcome !== 'admitted') log('info', 'login-refused', { code: outcome });
    },
  });
  const mayMeet = (from: Account, to: Account): boolean => mayReach(from, to, registry);
  const isLinkOnly = (provider: number): boolean => configured.policy.linkOnly.includes(provider);
  const reach = (from: Account, to: Account): boolean => mayMeet(from, to) && !isDoorShut(from, to, isLinkOnly);
  const media = createMedia({
    config,
    egressOptions: egressOptionsOf(config),
    accounts,
    policy: registry,
    budgets,
    ownFiles: ownUsers?.media,
    nowMs,
    log: (code, provider) => log('info', 'media-not-fetched', { code, provider }),
  });
  const providerCost = (provider: number): number => (registry.find(provider)?.trustClass === 'trial' ? 10 : 1);
  const integrity = new Integrity({
    store: stores.restrictions,
    budgets,
    config: () => configured,
    accounts,
    enlistment,
    suspendedBy: async interopId => (await stores.people.view(interopId))?.suspension?.actor,
    providerCost,
    nowMs,
    judgeMs,
    monotonicMs,
    onLevel: (kind, level) => log('info', `${kind}-restricted`, { code: level }),
  });
  const contacts = new People({
    domain: config.domain,
    store: stores.contacts,
    links: stores.links,
    accounts,
    events,
    notifyDevice: deps.notifyDevice,
    integrity,
    requests: () => configured.policy.requests,
    isUnlimited: () => configured.budgets.unlimited,
    nowMs,
    judgeMs,
  });
  const signatures = createSignatureChecks();
  const iqHandlers = createIqHandlers({
    signatures,
    domain: config.domain,
    people: stores.accounts,
    keys: stores.keys,
    accounts,
    registry,
    enlistment,
    budgets,
    providerCost,
    limits: config.limits,
    mayReach: reach,
    mayMeet,
    notifyDevice: deps.notifyDevice,
    contacts,
    decided: stores.contacts,
    links: stores.links,
    judgeMs,
    media: media.iqHandlers,
    reports: reportIqHandlers({
      domain: config.domain,
      reports: stores.reports,
      stamps,
      budgets,
      limits: () => config.limits,
      stampMs,
      async onReport({ category, reported }) {
        log('info', 'report-kept', { code: category });
        await integrity.refused(reported);
      },
    }),
  });

  const lifecycle = await createLifecycle({
    config: () => configured,
    applications: stores.applications,
    audit: stores.audit,
    proofIds: stores.proofIds,
    registry,
    egressFetch: deps.egress.fetch,
    newId: () => randomBytes(12).toString('hex'),
    nowMs,
    tellMs,
    judgeMs,
    stampMs,
    monotonicMs,
  });
  const inboundEvents = createInboundEvents({
    audience: config.issuer,
    registry,
    subjects: stores.subjectEvents,
    proofIds: stores.proofIds,
    accounts,
    events,
    wakeUps,
    budgets,
    nowMs,
  });
  const outboundEvents = createOutboundEvents({
    outbox: stores.outgoingEvents,
    endpointOf: registry.find,
    egressFetch: deps.egress.fetch,
    signingKey: signingKeys.current,
    issuer: config.issuer,
    limits: config.limits,
    random: Math.random,
    nowMs: tellMs,
    judgeMs,
    stampMs,
    monotonicMs,
    after: deps.after ?? systemAfter,
    log: (event, provider, code) => log(event === 'events-arrive-again' ? 'info' : 'warn', event, { provider, code }),
  });
  const sweeps = new Sweeps({
    reportDays: () => configured.limits.reportDays,
    deadEventDays: () => configured.limits.deadEventDays,
    lifecycle,
    integrity,
    stores,
    seenTimes,
    nowMs,
    judgeMs,
    noteClock: async () => await deps.clock?.note(),
    monotonicMs,
    after: deps.after ?? systemAfter,
    log,
  });
  const endAgeing = every(deps.after ?? systemAfter, accountTurnMs, () => accounts.turn());

  return {
    accounts,
    login,
    logins,
    verifyProof,
    iqHandlers,
    signatures,
    registry,
    lifecycle,
    enlistment,
    inboundEvents,
    outboundEvents,
    limits: () => configured.limits,
    budgets,
    wakeUps,
    signingKeys,
    stamps,
    media: media.proxy,
    ownUsers,
    mayReach: reach,
    contacts,
    integrity,
    tellMs,
    clockState: () => deps.clock?.state() ?? { kind: 'believed' },
    onEvent: events.onEvent,
    hear(event) {
      if ('interopId' in event) accounts.invalidate(event.interopId);
      else if (event.kind === 'provider-keys') void registry.refetchKeys(event.provider, event.isRevoked);
      else registry.readAgain().catch(() => log('warn', 'cluster-not-asked', { code: 'providers' }));
      events.emit(event);
    },
    sweep: () => sweeps.sweep(),
    async reconfigure(next) {
      const fault = await registry.reconfigure(next);
      if (fault !== undefined) return fault;
      budgets.reconfigure(next.budgets);
      configured = next;
      await lifecycle.configured();
      return undefined;
    },
    bulkEnlist: list => bulkEnlist(enlistment, list, nowMs),
    async close() {
      endAgeing();
      await sweeps.close();
      media.proxy.close();
      registry.close();
      await signatures.close();
      await wakeUps.close();
      await outboundEvents.close();
      await ownUsers?.close();
    },
  };
}

/** The providers and the way to wake their people; own users are closed again when either can't be had. */
async function openProviders(
  { config, stores, egress, keySetEgress, log, nowMs, after = systemAfter }: ControlDeps,
  given: {
    readonly ownUsers: OwnUsers | undefined;
    readonly events: AccountEvents;
    readonly signingKeys: EventKeys;
    readonly monotonicMs: () => number;
    readonly expiry: ExpiryClock;
    readonly tellMs: () => number;
  },
): Promise<{ readonly registry: Registry; readonly wakeUps: WakeUps }> {
  const { ownUsers, events, signingKeys, monotonicMs, expiry, tellMs } = given;
  try {
    const registry = await createRegistry({
      config,
      states: stores.providers,
      applications: stores.applications,
      egressFetch: keySetEgress.fetch,
      ownUserKeys: ownUsers?.keySource,
      ownIssuer: ownUsers,
      events,
      nowMs,
      tellMs,
      monotonicMs,
      onKeySetEvent: (provider, event) => {
        if (event.kind === 'failed') {
          log('warn', 'key-set-not-fetched', { provider, code: event.code, failures: event.failures });
        } else if (event.ignored.length > 0) log('warn', 'keys-ignored', { provider, code: event.ignored.join(' ') });
      },
    });
    const wakeUps = await createWakeUps({
      kept: stores.wakeUps,
      registry,
      egressFetch: egress.fetch,
      signingKey: signingKeys.current,
      issuer: config.issuer,
      limits: config.limits,
      wakeOwn: ownUsers?.wake,
      log: (event, provider, code) => {
        const level = event === 'wake-ups-arrive-again' ? 'info' : 'warn';
        log(level, event, { provider, code });
      },
      ...expiry,
      nowMs: tellMs,
      monotonicMs,
      after,
    });
    return { registry, wakeUps };
  } catch (error) {
    await ownUsers?.close();
    throw error;
  }
}
