// Who may reach whom. Knows nothing of storage, stanzas or why somebody asks.
// Source: docs/protocol/06 section 6.3.
import type { Account } from '../enlistment/account.ts';

export type ReachPolicy = {
  /** False for suspended and unknown providers. */
  isLive(provider: number): boolean;
  /** Whether the operator lets people of these two third-party providers reach each other here; asked both ways. */
  admitsPair(from: number, to: number): boolean;
};

/**
 * True when `to` is met by their links alone and `from` is a stranger of another provider: for them nobody is there. Whom this
 * person has decided about, or written to, is no stranger.
 */
export function isDoorShut(from: Account, to: Account, isLinkOnly: (provider: number) => boolean): boolean {
  if (from.provider === to.provider || (!to.linkOnly && !isLinkOnly(to.provider))) return false;
  return !to.contacts.decided.has(from.contacts.key);
}

/**
 * True when `from` may reach `to`: send, look up, fetch keys. Symmetric: whoever may write may be answered.
 *
 * Own users (provider 0) reach each other; an own user and a third-party one reach each other when the own user has
 * opted in to that provider (enlisting was the other's opt-in); two third-party users only by the operator's policy.
 * A person reaches their own devices. Suspended people and people of suspended providers reach nobody.
 */
export function mayReach(from: Account, to: Account, policy: ReachPolicy): boolean {
  if (from.status !== 'active' || to.status !== 'active') return false;
  if (!policy.isLive(from.provider) || !policy.isLive(to.provider)) return false;
  if (from.row === to.row) return true;
  if (from.provider === 0) return to.provider === 0 || from.optIns.includes(to.provider);
  if (to.provider === 0) return to.optIns.includes(from.provider);
  return policy.admitsPair(from.provider, to.provider);
}
