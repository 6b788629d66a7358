// The gatekeeper's inside: mailboxes, sessions and the router, joined. Listeners bring connections to it; the control
// side (accounts, keys, consent) answers its questions. Knows nothing of ports, certificates or HTTP.
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { Element } from '@drawbridge/wire/element';
import type { Bus } from './cluster/bus.ts';
import type { ClusterStore } from './cluster/cluster-store.ts';
import { type NeighbourDeps, Neighbours } from './cluster/neighbours.ts';
import { errorPlace } from './error-place.ts';
import type { Account, AccountEvent, Accounts, Device } from './enlistment/account.ts';
import {
  type Admission,
  ConnectionGate,
  type ListenerHost,
  type ListenerLimits,
  type ListenerLog,
  type Tap,
} from './listeners/admission.ts';
import { addressKey } from '@drawbridge/identity/network-prefix';
import { every, systemAfter } from '@drawbridge/identity/timers';
import { peerAddress } from './listeners/peer-address.ts';
import { Mailboxes } from './mailbox/mailbox.ts';
import type { MailboxLimits } from './mailbox/mailbox-limits.ts';
import type { Codec } from './mailbox/stanza-codec.ts';
import type { MailboxStore } from './mailbox/mailbox-store.ts';
import type { TellSender } from './mailbox/sweep.ts';
import type { Stamps } from './reports/stamps.ts';
import type { DeviceSession, SessionHost } from './routing/device-session.ts';
import type { SessionLimits } from './routing/session-limits.ts';
import { HeldMemory } from './routing/held-memory.ts';
import type { IqHandlers } from './routing/iq.ts';
import { Router, type RouterCounters, type RouterDeps } from './routing/router.ts';
import { SessionStanding } from './routing/session-standing.ts';
import { Sessions } from './routing/sessions.ts';
import { stillWanted } from './routing/still-wanted.ts';
import { KeptShapers } from './routing/stream-shaper.ts';
import { createTellSender } from './routing/undelivered.ts';

const time = { monotonicMs: () => performance.now(), after: systemAfter } as const;
const defaultSweepEveryMs = 60_000;
/** Devices whose stream a dead process had are woken for their mail after this, unless they are there again by themselves. */
const defaultDesertedAfterMs = 60_000;
const defaultMaxHeldBytes = 256 * 1024 * 1024;

export type CoreDeps = {
  readonly domain: string;
  readonly accounts: Accounts;
  readonly mailboxStore: MailboxStore;
  readonly codec: Codec;
  readonly iqHandlers: IqHandlers;
  readonly mayReach: (from: Account, to: Account) => boolean;
  readonly contacts: RouterDeps['contacts'];
  /** Whether this key of a provider is still in its set. */
  readonly keyStands: (provider: number, keyThumbprint: string) => boolean;
  readonly suiteAdmitted: (provider: number, suite: string) => boolean;
  readonly wakeUp: (account: Account) => void;
  readonly authenticate: (
    token: string,
    transport: 'xmpp' | 'compact',
    deviceKeyThumbprint?: string,
  ) => Promise<Admission>;
  /** Whose a WebSocket is, an address key; the socket's when left out. */
  readonly addressOf?: ListenerHost['addressOf'];
  readonly keyOf?: ListenerHost['keyOf'];
  readonly stamps: Pick<Stamps, 'stamp'>;
  readonly nowMs: () => number;
  /** By which mail grows old; `nowMs` as it goes on by itself when left out. */
  readonly expiry?: ExpiryClock | undefined;
  readonly log: ListenerLog;
  readonly tap?: Tap | undefined;
  readonly mailboxLimits: MailboxLimits;
  /** The other nodes of this storage; undefined: this one is alone. */
  readonly cluster?:
    | {
        readonly store: ClusterStore;
        readonly bus: Bus | undefined;
        readonly audit: NeighbourDeps['audit'];
        /** Another node has changed this. */
        readonly hear: NeighbourDeps['hear'];
        readonly providersChanged: NeighbourDeps['providersChanged'];
        readonly keysRevoked: NeighbourDeps['keysRevoked'];
      }
    | undefined;
  /** What all streams together may have handed out and not acknowledged. */
  readonly maxHeldBytes?: number;
  readonly desertedAfterMs?: number;
  readonly sweepEveryMs?: number;
  readonly sessionLimits: SessionLimits;
  readonly listenerLimits: ListenerLimits;
};

export type Core = {
  readonly listenerHost: ListenerHost;
  readonly sessions: Sessions;
  readonly counters: RouterCounters & { damaged: number; notUnderstood: number };
  /** Messages to other nodes that the bus had no room for. */
  readonly lostOnBus: number;
  /** Sends an element to a device that has a stream, here or at another node; never kept. */
  notify(device: Device, content: Element): void;
  /** Closes streams and forgets mailboxes as accounts change. */
  onAccountEvent(event: AccountEvent): void;
  /** Ends all sessions, then waits until everything accepted is durable. */
  close(): Promise<void>;
};

export async function openCore(deps: CoreDeps): Promise<Core> {
  const core = new OpenCore(deps);
  await core.start();
  return core;
}

class OpenCore implements Core {
  readonly sessions: Sessions;
  readonly counters: Core['counters'] = {
    routed: 0,
    refused: 0,
    storageRefused: 0,
    dropped: 0,
    damaged: 0,
    notUnderstood: 0,
    refusedBy: new Map<string, number>(),
  };
  readonly listenerHost: ListenerHost;
  readonly #deps: CoreDeps;
  /** This node's name, another one each time it starts. */
  readonly #node = randomUUID();
  readonly #standing: SessionStanding;
  readonly #neighbours: Neighbours | undefined;
  readonly #mailboxes: Mailboxes;
  readonly #tellSender: TellSender;
  #sweeping: Promise<unknown> = Promise.resolve();
  readonly #endSweeps: () => void;
  readonly #callOffDeserted: () => void;

  constructor(deps: CoreDeps) {
    this.#deps = deps;
    const defect = (error: unknown): void => deps.log('session-failed', errorPlace(error), 'error');
    this.sessions = new Sessions(defect, time);
    const { accounts, mayReach, keyStands } = deps;
    this.#standing = new SessionStanding({ accounts, sessions: this.sessions, mayReach, keyStands });
    this.#neighbours = this.#newNeighbours();
    this.#mailboxes = this.#newMailboxes();
    this.#tellSender = createTellSender({ accounts, delivery: this.#mailboxes, mayReach });
    this.listenerHost = this.#newListenerHost(this.#newSessionHost(this.#newRouter(defect)));
    this.#endSweeps = every(time.after, deps.sweepEveryMs ?? defaultSweepEveryMs, () => this.#sweep());
    this.#callOffDeserted = time.after(deps.desertedAfterMs ?? defaultDesertedAfterMs, () => {
      const woken = this.#wakeDeserted().catch(() => deps.log('wake-up-not-asked'));
      this.#sweeping = Promise.all([this.#sweeping, woken]);
    });
  }

  get lostOnBus(): number {
    return this.#deps.cluster?.bus?.lost ?? 0;
  }

  async start(): Promise<void> {
    if (this.#neighbours === undefined) return;
    // They say of each other who is dead.
    this.#callOffDeserted();
    await this.#neighbours.start();
  }

  notify(device: Device, content: Element): void {
    const session = this.sessions.ofDevice(device);
    if (session !== undefined) session.send(content);
    else this.#neighbours?.passOn(device.row, this.#deps.codec.encode(content));
  }

  onAccountEvent(event: AccountEvent): void {
    this.#neighbours?.tellEvent(event);
    this.#standing.apply(event);
    if (event.kind === 'device-removed') this.#mailboxes.discard(event.device.row);
    else if (event.kind === 'account-withdrawn')
      for (const device of event.devices) this.#mailboxes.discard(device.row);
    else return;
    this.#sweep();
  }

  async close(): Promise<void> {
    this.#endSweeps();
    this.#callOffDeserted();
    this.#mailboxes.stopSweeping();
    this.sessions.close();
    await this.#sweeping;
    await this.#mailboxes.close();
    this.#neighbours?.stop();
  }

  #newNeighbours(): Neighbours | undefined {
    const { cluster, log } = this.#deps;
    if (cluster === undefined) return undefined;
    return new Neighbours({
      node: this.#node,
      ...cluster,
      mail: () => this.#mailboxes,
      deserted: people => void this.#wakeAll(people).catch(() => log('wake-up-not-asked')),
      recheck: interopId => this.#standing.recheck(interopId),
      failed: what => log('cluster-not-asked', { code: what }, 'error'),
      notUnderstood: () => void this.counters.notUnderstood++,
    });
  }

  #newMailboxes(): Mailboxes {
    const { mailboxStore, codec, nowMs, expiry, mailboxLimits, log } = this.#deps;
    return new Mailboxes({
      elsewhere: this.#neighbours,
      store: mailboxStore,
      node: this.#node,
      codec,
      nowMs,
      ...time,
      expiry,
      limits: mailboxLimits,
      events: {
        congested: congested => {
          log(congested ? 'storage-congested' : 'storage-caught-up');
          if (!congested) this.sessions.congestionOver();
        },
        damaged: what => {
          this.counters.damaged++;
          log('mailbox-damaged', { code: what }, 'error');
        },
      },
      tellSender: (element, cause, person) => this.#tellSender(element, cause, person),
    });
  }

  #newRouter(defect: (error: unknown) => void): Router {
    const { domain, accounts, iqHandlers, mayReach, contacts, suiteAdmitted, wakeUp, nowMs } = this.#deps;
    const { sessions, counters } = this;
    const neighbours = this.#neighbours;
    return new Router({
      domain,
      accounts,
      delivery: this.#mailboxes,
      iqHandlers,
      mayReach,
      contacts,
      suiteAdmitted,
      wakeUp,
      defect,
      isReachable: device => sessions.isReachable(device),
      mayBeElsewhere: device => neighbours !== undefined && sessions.ofDevice(device) === undefined,
      sessionsOf: account => sessions.ofAccount(account),
      nowMs,
      counters,
    });
  }

  #newSessionHost(router: Router): SessionHost {
    const deps = this.#deps;
    const { sessions } = this;
    const mailboxes = this.#mailboxes;
    return {
      domain: deps.domain,
      limits: deps.sessionLimits,
      mailboxes,
      ...time,
      newId: () => sessions.newId(),
      route: (session, el, sequence) => router.route(session, el, sequence),
      stillWanted: (session, el) => stillWanted(deps, session.interopId, el),
      stamp: (message, atMs) => deps.stamps.stamp(message, atMs),
      shapers: new KeptShapers(deps.sessionLimits.shaper),
      memory: new HeldMemory(deps.maxHeldBytes ?? defaultMaxHeldBytes),
      flushSoon: session => sessions.flushSoon(session),
      flushLater: session => sessions.flushLater(session),
      readLater: session => sessions.readLater(session),
      mailWaits: session => this.#mailWaits(session),
      ended: session => sessions.forget(session),
      get congested() {
        return mailboxes.isCongested;
      },
      pausedByCongestion: session => sessions.pausedByCongestion(session),
    };
  }

  #newListenerHost(sessionHost: SessionHost): ListenerHost {
    const { domain, tap, listenerLimits, log, authenticate, addressOf, keyOf } = this.#deps;
    return {
      domain,
      tap,
      limits: listenerLimits,
      sessions: this.sessions,
      sessionHost,
      log,
      stillAdmitted: admitted => this.#standing.holds(admitted),
      authenticate,
      gate: new ConnectionGate(listenerLimits),
      streamErrors: new Map(),
      keyOf: keyOf ?? addressKey,
      addressOf: addressOf ?? (request => addressKey(peerAddress(request.socket))),
    };
  }

  /** Has the device of a stream that takes nothing any more woken, unless it or its account is gone. */
  #mailWaits(session: DeviceSession): void {
    const { accounts, wakeUp, log } = this.#deps;
    const wake = (account: Account | undefined): void => {
      const isThere = account?.devices.some(device => device.row === session.device.row) === true;
      if (isThere && account.status === 'active') wakeUp(account);
    };
    const known = accounts.peek(session.interopId);
    if (known !== undefined) wake(known);
    else accounts.find(session.interopId).then(wake, () => log('wake-up-not-asked'));
  }

  async #wakeAll(people: readonly string[]): Promise<void> {
    const { accounts, wakeUp } = this.#deps;
    for (const interopId of people) {
      const account = await accounts.find(interopId);
      if (account?.status === 'active') wakeUp(account);
    }
  }

  async #wakeDeserted(): Promise<void> {
    await this.#wakeAll(await this.#deps.mailboxStore.endOtherClaims(this.#node));
  }

  #sweep(): void {
    this.#sweeping = this.#mailboxes.sweep().catch(() => this.#deps.log('mailbox-sweep-failed'));
  }
}
