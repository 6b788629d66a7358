// What a provider tells of its own people and keys: verified, used up together with what it changes, then told to whoever
// listens. Knows nothing of HTTP, streams or storage.
// Source: docs/protocol/10 section 10.5; RFC 8417, RFC 8935, OpenID RISC Profile 1.0.
import { hash } from 'node:crypto';
import { toldToOwner } from '@drawbridge/identity/judge-signature';
import {
  claimedIssuer,
  type SecurityEvent,
  type SecurityEventErrorCode,
  verifySecurityEvent,
} from '@drawbridge/identity/security-event';
import { type ProviderEvent, providerEvents } from '@drawbridge/identity/security-event-kinds';
import type { KeySource } from '@drawbridge/identity/verify-ownership-proof';
import type { Budgets } from '../budgets.ts';
import { contactKeys } from '../consent/contact.ts';
import { maxCarriedBlocks } from '../consent/first-contact.ts';
import type { AccountEvents } from '../enlistment/account-events.ts';
import type { CachedAccounts } from '../enlistment/accounts.ts';
import type { ProofIds } from '../enlistment/proof-ids.ts';
import type { Provider, Registry } from '../providers/registry.ts';
import type { WakeUps } from '../wakeup/wake-ups.ts';
import type { SubjectChange, SubjectEventResult, SubjectEvents } from './subject-event-store.ts';

export type EventReceipt =
  /** Also for one that came before, is about nobody here, or was overtaken: `outcome` is for the log. */
  | { readonly kind: 'accepted'; readonly provider: number; readonly event: string; readonly outcome: string }
  | { readonly kind: 'refused'; readonly code: SecurityEventErrorCode | 'provider-suspended' | 'identifier-taken' }
  | { readonly kind: 'budget-spent'; readonly retryAfterSeconds: number }
  /** Nothing was used up: the provider's key set, which the event is about, could not be fetched. */
  | { readonly kind: 'not-fetched' };

export type InboundEvents = {
  /** Rejects with StoreError alone: nothing was used up then. */
  readonly receive: (token: string) => Promise<EventReceipt>;
  /** Events since the start, by what became of them. */
  readonly counts: ReadonlyMap<string, number>;
};

export type InboundEventDeps = {
  /** This gatekeeper's issuer URL. */
  readonly audience: string;
  readonly registry: Registry;
  readonly subjects: SubjectEvents;
  readonly proofIds: Pick<ProofIds, 'take'>;
  readonly accounts: CachedAccounts;
  readonly events: AccountEvents;
  readonly wakeUps: Pick<WakeUps, 'rename'>;
  readonly budgets: Budgets;
  readonly nowMs: () => number;
};

export const keyEventLimits = {
  /** Events about keys that are done or under way here and are not done again; the oldest are forgotten. */
  maxRemembered: 1_000,
} as const;

/** Who was deleted may be there again when the provider, which missed the answer, tells it again: longer than it does. */
const deletionsRememberedMs = 4 * 86_400_000;

export function createInboundEvents(deps: InboundEventDeps): InboundEvents {
  const keyEvents: KeyEvents = new Map();
  const counts = new Map<string, number>();
  return {
    counts,
    async receive(token) {
      const receipt = await receive(deps, keyEvents, token);
      const outcome = receipt.kind === 'accepted' ? receipt.outcome : receipt.kind;
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      return receipt;
    },
  };
}

/** For tokens of nobody that is registered: what is wrong with their form is said, as it is to everybody. */
const nobodysKeys: KeySource = { findKey: async () => ({ kind: 'unknown' }) };

/** By id, with what became of each. */
type KeyEvents = Map<string, Promise<EventReceipt>>;

async function receive(deps: InboundEventDeps, keyEvents: KeyEvents, token: string): Promise<EventReceipt> {
  const { registry, budgets, audience } = deps;
  const issuer = claimedIssuer(token) ?? '';
  // Also a suspended one: that it is suspended is for whoever has its keys.
  const registered = registry.registered(issuer);
  const verdict = await verifySecurityEvent(token, {
    issuer,
    audience,
    keys: registered === undefined ? nobodysKeys : toldToOwner(registered.keys),
    nowMs: deps.nowMs(),
    accepts: providerEvents,
    provider: issuer,
  });
  if (verdict.kind === 'refused') {
    const isNobodys = registered === undefined && verdict.code === 'key-unknown';
    return { kind: 'refused', code: isNobodys ? 'issuer-unknown' : verdict.code };
  }
  // Asked after the last wait.
  const provider = registered === undefined ? undefined : registry.find(registered.providerNumber);
  if (provider === undefined || !registry.isLive(provider.number))
    return { kind: 'refused', code: 'provider-suspended' };
  // What is forged costs its provider nothing.
  const cost = provider.trustClass === 'trial' ? 10 : 1;
  const key = String(provider.number);
  const retryAfterSeconds = budgets.take([
    { budget: 'eventsPerProvider', key, cost },
    { budget: 'lastingEventsPerProvider', key, cost },
  ]);
  if (retryAfterSeconds > 0) return { kind: 'budget-spent', retryAfterSeconds };
  return await apply(deps, keyEvents, provider, verdict.event);
}

async function apply(
  deps: InboundEventDeps,
  keyEvents: KeyEvents,
  provider: Provider,
  event: SecurityEvent,
): Promise<EventReceipt> {
  const kind = event.event as ProviderEvent;
  const isRevoked = kind === 'urn:drawbridge:event:keys-compromised';
  if (isRevoked || kind === 'urn:drawbridge:event:keys-rotated') {
    return await once(keyEvents, event, () => applyToKeys(deps, provider, event, isRevoked));
  }
  const { number } = provider;
  const change = subjectChangeOf(deps, number, event);
  const result = await deps.subjects.apply({
    provider: number,
    identifier: event.subject,
    change,
    occurredAtMs: event.occurredAtMs,
    nowMs: deps.nowMs(),
    id: idOf(event),
    idExpiresAtMs: event.usableUntilMs + (change.kind === 'purge' ? deletionsRememberedMs : 0),
  });
  if (result.kind === 'identifier-taken') return { kind: 'refused', code: 'identifier-taken' };
  if (result.kind === 'applied') tell(deps, change, result);
  return { kind: 'accepted', provider: number, event: shortName(kind), outcome: result.kind };
}

/** Their ids are in a space of their own: no proof's id is used up by an event. An issuer holds no line break. */
function idOf({ issuer, jti }: SecurityEvent): Uint8Array {
  return hash('sha256', `event ${issuer}\n${jti}`, 'buffer');
}

export function shortName(kind: string): string {
  return kind.slice(Math.max(kind.lastIndexOf('/'), kind.lastIndexOf(':')) + 1);
}

/** An event that is sent again, also at the same time, changes nothing again; one that failed is tried again. */
async function once(
  keyEvents: KeyEvents,
  event: SecurityEvent,
  work: () => Promise<EventReceipt>,
): Promise<EventReceipt> {
  const id = Buffer.from(idOf(event)).toString('base64');
  const known = keyEvents.get(id);
  if (known !== undefined) {
    const receipt = await known;
    return receipt.kind === 'accepted' ? { ...receipt, outcome: 'repeated' } : receipt;
  }
  const [oldest] = keyEvents.keys();
  if (oldest !== undefined && keyEvents.size >= keyEventLimits.maxRemembered) keyEvents.delete(oldest);
  const done = work();
  keyEvents.set(id, done);
  try {
    const receipt = await done;
    if (receipt.kind !== 'accepted') keyEvents.delete(id);
    return receipt;
  } catch (error) {
    keyEvents.delete(id);
    throw error;
  }
}

/**
 * Harmless to do twice, so it is done first and the id used up after that: a fetch that fails is tried again, and so is one
 * that a restart has forgotten.
 */
async function applyToKeys(
  deps: InboundEventDeps,
  { number }: Provider,
  event: SecurityEvent,
  isRevoked: boolean,
): Promise<EventReceipt> {
  const reason = textOf(event, 'reason');
  const isDone = isRevoked
    ? (await deps.registry.revokeKeys(number, 'provider', deps.nowMs(), reason)) === 'revoked'
    : await deps.registry.refetchKeys(number, false);
  if (!isDone) return { kind: 'not-fetched' };
  if (!isRevoked) deps.events.emit({ kind: 'provider-keys', provider: number, isRevoked });
  const [isFirst] = await deps.proofIds.take([idOf(event)], [event.usableUntilMs]);
  const outcome = isFirst === true ? 'applied' : 'repeated';
  return { kind: 'accepted', provider: number, event: shortName(event.event), outcome };
}

function textOf({ payload }: SecurityEvent, member: string): string | undefined {
  const value = payload[member];
  return typeof value === 'string' ? value : undefined;
}

function subjectChangeOf(deps: InboundEventDeps, provider: number, event: SecurityEvent): SubjectChange {
  switch (shortName(event.event)) {
    case 'account-disabled':
      return { kind: 'disable', reason: textOf(event, 'reason') };
    case 'account-enabled':
      return { kind: 'enable' };
    case 'account-purged':
      return { kind: 'purge' };
    case 'identifier-changed': {
      const identifier = textOf(event, 'new-value') ?? '';
      const before = contactKeys({ provider, identifier: event.subject });
      const { key: to } = contactKeys({ provider, identifier });
      // Of own users no such block holds.
      const sharedFrom = provider === 0 ? undefined : before.sharedKey;
      return { kind: 'rename', identifier, keys: { from: before.key, to, sharedFrom }, maxCarriedBlocks };
    }
    default: {
      // A proof has whole seconds: none of the second in which it happened is good. A clock that is ahead locks nobody out.
      const seconds = Math.floor(Math.min(event.occurredAtMs, deps.nowMs()) / 1000);
      return { kind: 'compromise', proofsFromMs: (seconds + 1) * 1000, reason: textOf(event, 'reason_admin') };
    }
  }
}

/** The cache first, so that every listener reads what is durable now. */
function tell(
  { accounts, events, wakeUps }: InboundEventDeps,
  change: SubjectChange,
  { interopId, removed, deciders }: Extract<SubjectEventResult, { kind: 'applied' }>,
): void {
  if (change.kind === 'rename') wakeUps.rename(interopId, change.identifier);
  for (const each of [interopId, ...deciders]) accounts.invalidate(each);
  for (const each of deciders) events.emit({ kind: 'account-changed', interopId: each });
  if (removed !== undefined) events.emit({ kind: 'account-withdrawn', interopId, devices: removed });
  else if (change.kind === 'disable' || change.kind === 'purge') events.emit({ kind: 'account-suspended', interopId });
  else if (change.kind === 'compromise') events.emit({ kind: 'account-compromised', interopId });
  else events.emit({ kind: 'account-changed', interopId });
}
