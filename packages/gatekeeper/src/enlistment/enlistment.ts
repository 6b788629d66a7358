// Changes to people and their devices: each is one storage command, and an event when it is durable.
// Knows nothing of HTTP, stanzas or proofs: whoever calls has proven the right to.
// Source: docs/protocol/03 and 06 section 6.4.
import { encodeInteropId, type InteropId } from '@drawbridge/wire/jid';
import type { Limits } from '../config-schema.ts';
import type { Registry } from '../providers/registry.ts';
import type { NewEvent } from '../events/event-outbox.ts';
import { composeEvent } from '../events/outbound-events.ts';
import type { Account, Device } from './account.ts';
import type { AccountEvents } from './account-events.ts';
import type { AccountStore, EnlistArgs, EnlistResult, NewDevice, PublishManifest } from './account-store.ts';
import type { CachedAccounts } from './accounts.ts';

export type EnlistRequest = {
  readonly provider: number;
  readonly identifier: string;
  readonly device: NewDevice;
  readonly replace: boolean;
  readonly proofIssuedAtMs?: number;
  /** Only as a further device of this enlistment. */
  readonly joins?: string;
  /** Only as the device that it is, of this enlistment: with a fresh identity key, and without the others. */
  readonly renews?: InteropId;
};

export type WithdrawResult = 'withdrawn' | 'enlistment-unknown' | 'enlistment-suspended';

/** All reject with StoreError only; then nothing was changed. */
export type Enlistment = {
  readonly enlist: (request: EnlistRequest, nowMs: number) => Promise<EnlistResult>;
  /** Many at once, in few transactions; answers in the order of the requests. */
  readonly enlistMany: (requests: readonly EnlistRequest[], nowMs: number) => Promise<readonly EnlistResult[]>;
  /** Lets a device key join within `limits.authorisationLifetimeSeconds`, once. */
  readonly authorise: (
    account: Account,
    by: Device,
    thumbprint: string,
  ) => Promise<'authorised' | 'full' | 'device-gone'>;
  /** False: there is no such device, or the one that removes it (`by`) was removed itself. */
  readonly removeDevice: (account: Account, by: Device, deviceId: number) => Promise<boolean>;
  /** `manifest` was checked: its form, its person, its signature. */
  readonly publishManifest: (
    account: Account,
    by: Device,
    manifest: Omit<PublishManifest, 'account' | 'by'>,
  ) => ReturnType<AccountStore['publishManifest']>;
  readonly withdraw: (account: Account) => Promise<WithdrawResult>;
  readonly setStatus: (
    interopId: InteropId,
    status: Account['status'],
    actor: string,
    nowMs: number,
    reason?: string,
  ) => Promise<'changed' | 'same' | 'unknown'>;
  /** By an operator, also a suspended person: what `withdraw` deletes, with the audit entry. */
  readonly remove: (interopId: string, actor: string, nowMs: number, reason?: string) => Promise<'removed' | 'unknown'>;
  /** False: the account is gone. */
  readonly setOptIn: (account: Account, provider: number, optedIn: boolean) => Promise<boolean>;
};

const enlistmentsPerTransaction = 500;

export type EnlistmentDeps = {
  readonly store: AccountStore;
  readonly accounts: CachedAccounts;
  readonly registry: Registry;
  readonly limits: Limits;
  readonly events: AccountEvents;
  /** That many random bytes, of the best source there is. */
  readonly randomBytes: (size: number) => Uint8Array;
  /** What providers are told as the time. */
  readonly tellMs: () => number;
  /** By which an authorisation grows old. */
  readonly judgeMs: () => number;
};

export function createEnlistment(deps: EnlistmentDeps): Enlistment {
  return { ...enlisting(deps), ...changing(deps) };
}

/** What lets people and devices in. */
function enlisting(deps: EnlistmentDeps): Pick<Enlistment, 'enlist' | 'enlistMany' | 'authorise'> {
  const { store, accounts, registry, limits, events } = deps;

  function argsOf(request: EnlistRequest, nowMs: number): EnlistArgs {
    const provider = registry.find(request.provider);
    return {
      ...request,
      interopId: encodeInteropId(request.provider, deps.randomBytes(16)),
      maxDevices: limits.devicesPerAccount,
      maxEnlistments: provider?.maxEnlistments ?? 0,
      nowMs,
      judgeMs: deps.judgeMs(),
    };
  }

  /** The cache first, so that every listener reads what is durable now. */
  function changed(result: EnlistResult): void {
    if (result.kind === 'refused' || result.change === 'same') return;
    const { interopId } = result;
    accounts.invalidate(interopId);
    for (const device of result.removed) events.emit({ kind: 'device-removed', interopId, device });
    events.emit({ kind: 'account-changed', interopId });
  }

  return {
    async enlist(request, nowMs) {
      const result = await store.enlist(argsOf(request, nowMs));
      changed(result);
      return result;
    },

    async enlistMany(requests, nowMs) {
      const results: EnlistResult[] = [];
      for (let i = 0; i < requests.length; i += enlistmentsPerTransaction) {
        const list = requests.slice(i, i + enlistmentsPerTransaction).map(request => argsOf(request, nowMs));
        const done = await store.enlistMany(list);
        for (const result of done) changed(result);
        results.push(...done);
      }
      return results;
    },

    // From the clock by which it is over: it is short, and must be no longer for a clock that is ahead.
    authorise: (account, by, thumbprint) =>
      store.authoriseDevice({
        account: account.row,
        by: by.row,
        thumbprint,
        judgeMs: deps.judgeMs(),
        expiresAtMs: deps.judgeMs() + limits.authorisationLifetimeSeconds * 1000,
        max: limits.authorisationsPerAccount,
      }),
  };
}

/** What the person's provider is told; never why, which is between the operator and the person. */
function tellProvider(
  { registry, limits, tellMs }: EnlistmentDeps,
  account: Account | undefined,
  step: 'suspended' | 'resumed' | 'ended',
  by?: 'person' | 'operator',
): NewEvent | undefined {
  if (account === undefined) return undefined;
  const { provider, identifier: subject } = account;
  const event = `urn:drawbridge:event:enlistment-${step}` as const;
  return composeEvent(registry.find(provider), limits, { event, subject, payload: { by }, nowMs: tellMs() });
}

/** What changes or ends an enlistment: storage first, then the cache, then everybody who listens. */
function changing(deps: EnlistmentDeps): Omit<Enlistment, keyof ReturnType<typeof enlisting>> {
  const { store, accounts, events } = deps;
  return {
    async removeDevice({ row, interopId }, by, deviceId) {
      const device = await store.removeDevice({ account: row, deviceId, by: by.row });
      if (device === undefined) return false;
      accounts.invalidate(interopId);
      events.emit({ kind: 'device-removed', interopId, device });
      return true;
    },

    async publishManifest({ row, interopId }, by, manifest) {
      const result = await store.publishManifest({ ...manifest, account: row, by: by.row });
      if (result !== 'published') return result;
      accounts.invalidate(interopId);
      events.emit({ kind: 'account-changed', interopId });
      return result;
    },

    async withdraw(account) {
      const { row, interopId } = account;
      const result = await store.withdraw(row, tellProvider(deps, account, 'ended', 'person'));
      if (result.kind === 'refused') return result.code;
      accounts.invalidate(interopId);
      events.emit({ kind: 'account-withdrawn', interopId, devices: result.devices });
      return 'withdrawn';
    },

    async remove(interopId, actor, nowMs, reason) {
      const account = await store.find(interopId);
      const event = tellProvider(deps, account, 'ended', 'operator');
      const devices = await store.remove({ interopId, actor, reason, nowMs, event });
      if (devices === undefined) return 'unknown';
      accounts.invalidate(interopId);
      events.emit({ kind: 'account-withdrawn', interopId, devices });
      return 'removed';
    },

    async setStatus(interopId, status, actor, nowMs, reason) {
      const step = status === 'suspended' ? 'suspended' : 'resumed';
      const event = tellProvider(deps, await store.find(interopId), step);
      const result = await store.setStatus({ interopId, status, actor, reason, nowMs, event });
      if (result !== 'changed') return result;
      accounts.invalidate(interopId);
      events.emit({ kind: status === 'suspended' ? 'account-suspended' : 'account-changed', interopId });
      return result;
    },

    async setOptIn({ row, interopId }, provider, optedIn) {
      const there = await store.setOptIn(row, provider, optedIn);
      if (!there) return false;
      accounts.invalidate(interopId);
      events.emit({ kind: 'account-changed', interopId });
      return true;
    },
  };
}
