// The gatekeeper's inside: mailboxes, sessions and the router, joined. Listeners bring connections to it; the control
// side (accounts, keys, consent) answers its questions. Knows nothing of ports, certificates or HTTP.
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import { attribute, childElement, type Element } from '@drawbridge/wire/element';
import { parseJid } from '@drawbridge/wire/jid';
import type { Bus } from './cluster/bus.ts';
import type { ClusterStore } from './cluster/cluster-store.ts';
import { type NeighbourDeps, Neighbours } from './cluster/neighbours.ts';
import { errorPlace } from './error-place.ts';
import { decisionAbout, isShut } from './consent/contact.ts';
import type { Account, AccountEvent, Accounts, Device } from './enlistment/account.ts';
import {
  type Admission,
  type Admitted,
  ConnectionGate,
  type ListenerHost,
  type ListenerLimits,
  type ListenerLog,
  type Tap,
} from './listeners/admission.ts';
import { addressKey } from '@drawbridge/identity/network-prefix';
import { peerAddress } from './listeners/peer-address.ts';
import { Mailboxes } from './mailbox/mailbox.ts';
import type { MailboxLimits } from './mailbox/mailbox-limits.ts';
import type { Codec } from './mailbox/stanza-codec.ts';
import type { Wanted } from './mailbox/device-mailbox.ts';
import type { MailboxStore } from './mailbox/mailbox-store.ts';
import type { Stamps } from './reports/stamps.ts';
import type { SessionHost, SessionLimits } from './routing/device-session.ts';
import { HeldMemory } from './routing/held-memory.ts';
import type { IqHandlers } from './routing/iq.ts';
import { Router, type RouterCounters, type RouterDeps } from './routing/router.ts';
import { createTellSender } from './routing/undelivered.ts';
import { Sessions } from './routing/sessions.ts';
import { KeptShapers } from './routing/stream-shaper.ts';

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
  /** Sends an element to a device that has a stream, here or at another node; never kept. */
  notify(device: Device, content: Element): void;
  /** Closes streams and forgets mailboxes as accounts change. */
  onAccountEvent(event: AccountEvent): void;
  /** Ends all sessions, then waits until everything accepted is durable. */
  close(): Promise<void>;
};

export async function openCore(deps: CoreDeps): Promise<Core> {
  const defect = (error: unknown): void => deps.log('session-failed', errorPlace(error), 'error');
  const sessions = new Sessions(defect);
  const counters = {
    routed: 0,
    refused: 0,
    storageRefused: 0,
    dropped: 0,
    damaged: 0,
    notUnderstood: 0,
    refusedBy: new Map<string, number>(),
  };
  const node = randomUUID();
  const { cluster } = deps;
  const neighbours =
    cluster === undefined
      ? undefined
      : new Neighbours({
          node,
          ...cluster,
          mail: () => mailboxes,
          deserted: people => void wakeAll(people).catch(() => deps.log('wake-up-not-asked')),
          recheck: interopId => recheck(interopId),
          failed: what => deps.log('cluster-not-asked', { code: what }, 'error'),
          notUnderstood: () => void counters.notUnderstood++,
        });
  const mailboxes = new Mailboxes({
    elsewhere: neighbours,
    store: deps.mailboxStore,
    node,
    codec: deps.codec,
    nowMs: deps.nowMs,
    monotonicMs: () => performance.now(),
    expiry: deps.expiry,
    limits: deps.mailboxLimits,
    events: {
      congested: congested => {
        deps.log(congested ? 'storage-congested' : 'storage-caught-up');
        if (!congested) sessions.congestionOver();
      },
      damaged: what => {
        counters.damaged++;
        deps.log('mailbox-damaged', { code: what }, 'error');
      },
    },
    tellSender: (element, cause, person) => tellSender(element, cause, person),
  });
  const tellSender = createTellSender({ accounts: deps.accounts, delivery: mailboxes, mayReach: deps.mayReach });

  const router = new Router({
    domain: deps.domain,
    accounts: deps.accounts,
    delivery: mailboxes,
    iqHandlers: deps.iqHandlers,
    mayReach: deps.mayReach,
    contacts: deps.contacts,
    suiteAdmitted: deps.suiteAdmitted,
    wakeUp: deps.wakeUp,
    defect,
    isReachable: device => sessions.isReachable(device),
    mayBeElsewhere: device => neighbours !== undefined && sessions.ofDevice(device) === undefined,
    sessionsOf: account => sessions.ofAccount(account),
    nowMs: deps.nowMs,
    counters,
  });

  const sessionHost: SessionHost = {
    domain: deps.domain,
    limits: deps.sessionLimits,
    mailboxes,
    monotonicMs: () => performance.now(),
    newId: () => sessions.newId(),
    route: (session, el, sequence) => router.route(session, el, sequence),
    stillWanted: (session, el) => {
      // Notices of the gatekeeper's own; nobody else has its domain as `from`.
      if (attribute(el, 'from') === deps.domain || attribute(el, 'type') === 'error') return true;
      const sender = parseJid(attribute(el, 'from') ?? '');
      if (sender === undefined) return false;
      const { accounts } = deps;
      const suite = attribute(childElement(el, 'envelope', 'urn:drawbridge:e2ee:1') ?? el, 'suite') ?? '';
      const decide = (from: Account | undefined, to: Account | undefined): Wanted => {
        // The sender was told that it is kept. Suspensions, opt-outs and suites may be taken back; who withdrew is gone.
        if (to === undefined) return 'later';
        if (sender.local === session.interopId) return true;
        if (from === undefined || isShut(decisionAbout(to, from))) return false;
        if (from.status !== 'active' || !deps.mayReach(from, to)) return 'later';
        return deps.suiteAdmitted(from.provider, suite) && deps.suiteAdmitted(to.provider, suite) ? true : 'later';
      };
      const from = accounts.peek(sender.local);
      const to = accounts.peek(session.interopId);
      if (from !== undefined && to !== undefined) return decide(from, to);
      return Promise.all([accounts.find(sender.local), accounts.find(session.interopId)]).then(both => decide(...both));
    },
    stamp: (message, atMs) => deps.stamps.stamp(message, atMs),
    shapers: new KeptShapers(deps.sessionLimits.shaper),
    memory: new HeldMemory(deps.maxHeldBytes ?? defaultMaxHeldBytes),
    flushSoon: session => sessions.flushSoon(session),
    flushLater: session => sessions.flushLater(session),
    mailWaits: session => {
      const wake = (account: Account | undefined): void => {
        const isThere = account?.devices.some(device => device.row === session.device.row) === true;
        if (isThere && account.status === 'active') deps.wakeUp(account);
      };
      const known = deps.accounts.peek(session.interopId);
      if (known !== undefined) wake(known);
      else deps.accounts.find(session.interopId).then(wake, () => deps.log('wake-up-not-asked'));
    },
    ended: session => sessions.forget(session),
    get congested() {
      return mailboxes.isCongested;
    },
    pausedByCongestion: session => sessions.pausedByCongestion(session),
  };

  /** An account that may not even reach itself is suspended, or its provider is. */
  const isAdmitted = (
    account: Account,
    admitted: Pick<Admitted, 'device' | 'keyThumbprint'>,
    proofsFromMs: number,
  ): boolean =>
    deps.mayReach(account, account) &&
    account.proofsFromMs === proofsFromMs &&
    deps.keyStands(account.provider, admitted.keyThumbprint) &&
    account.devices.some(each => each.row === admitted.device.row);

  const listenerHost: ListenerHost = {
    domain: deps.domain,
    tap: deps.tap,
    limits: deps.listenerLimits,
    sessions,
    sessionHost,
    log: deps.log,
    stillAdmitted: admitted => {
      const { interopId } = admitted.account;
      const now = deps.accounts.peek(interopId);
      const { proofsFromMs } = admitted.account;
      if (now !== undefined) return isAdmitted(now, admitted, proofsFromMs);
      // Not in memory any more: admitted as it was when the proof was checked, and the session ends if that has changed.
      const end = (): void => sessions.ofDevice(admitted.device)?.end('not-authorized');
      deps.accounts.find(interopId).then(found => {
        if (found === undefined || !isAdmitted(found, admitted, proofsFromMs)) end();
      }, end);
      return isAdmitted(admitted.account, admitted, proofsFromMs);
    },
    authenticate: deps.authenticate,
    gate: new ConnectionGate(deps.listenerLimits),
    streamErrors: new Map(),
    addressOf: deps.addressOf ?? (request => addressKey(peerAddress(request.socket))),
  };

  async function recheck(interopId: string): Promise<void> {
    const its = [...sessions.all()].filter(session => session.interopId === interopId);
    if (its.length === 0) return;
    const account = await deps.accounts.find(interopId);
    for (const session of its) {
      if (account === undefined || account.proofsFromMs !== session.proofsFromMs) session.end('not-authorized');
      else if (!isAdmitted(account, session, session.proofsFromMs)) session.end('policy-violation');
    }
  }

  let sweeping: Promise<unknown> = Promise.resolve();
  const sweep = (): void => {
    sweeping = mailboxes.sweep().catch(() => deps.log('mailbox-sweep-failed'));
  };
  const sweeper = setInterval(sweep, deps.sweepEveryMs ?? defaultSweepEveryMs);
  sweeper.unref();

  async function wakeAll(people: readonly string[]): Promise<void> {
    for (const interopId of people) {
      const account = await deps.accounts.find(interopId);
      if (account?.status === 'active') deps.wakeUp(account);
    }
  }
  const wakeDeserted = async (): Promise<void> => wakeAll(await deps.mailboxStore.endOtherClaims(node));
  const deserted = setTimeout(() => {
    sweeping = Promise.all([sweeping, wakeDeserted().catch(() => deps.log('wake-up-not-asked'))]);
  }, deps.desertedAfterMs ?? defaultDesertedAfterMs);
  deserted.unref();
  if (neighbours !== undefined) {
    // They say of each other who is dead.
    clearTimeout(deserted);
    await neighbours.start();
  }

  return {
    listenerHost,
    sessions,
    counters,
    notify(device, content) {
      const session = sessions.ofDevice(device);
      if (session !== undefined) session.send(content);
      else neighbours?.passOn(device.row, deps.codec.encode(content));
    },
    onAccountEvent(event) {
      neighbours?.tellEvent(event);
      switch (event.kind) {
        case 'account-changed':
        case 'provider-keys':
          return;
        case 'device-removed':
          sessions.ofDevice(event.device)?.end('not-authorized');
          mailboxes.discard(event.device.row);
          sweep();
          return;
        case 'account-withdrawn':
          for (const device of event.devices) {
            sessions.ofDevice(device)?.end('not-authorized');
            mailboxes.discard(device.row);
          }
          sweep();
          return;
        case 'account-suspended':
        case 'account-compromised':
          for (const session of [...sessions.all()]) {
            if (session.interopId !== event.interopId) continue;
            session.end(event.kind === 'account-suspended' ? 'policy-violation' : 'not-authorized');
          }
          return;
        case 'provider-suspended':
          for (const session of [...sessions.all()]) {
            if (session.provider === event.provider) session.end('policy-violation');
          }
          return;
        case 'keys-replaced':
          for (const session of [...sessions.all()]) {
            if (session.provider === event.provider && !event.stands(session.keyThumbprint))
              session.end('not-authorized');
          }
      }
    },
    async close() {
      clearInterval(sweeper);
      clearTimeout(deserted);
      mailboxes.stopSweeping();
      sessions.close();
      await sweeping;
      await mailboxes.close();
      neighbours?.stop();
    },
  };
}
