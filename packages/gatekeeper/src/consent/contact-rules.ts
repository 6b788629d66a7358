// What becomes of kept decisions when somebody writes for the first time, or decides: from what is kept, to what is to be
// changed. The rules of every store's adapter. Knows no storage, clocks or stanzas. Source: docs/protocol/10 sections 10.1 and 10.2.
import type { InteropId } from '@drawbridge/wire/jid';
import { type ContactState, isShut, providerKey, stateAfter } from './contact.ts';
import type { Admitted, AdmitArgs, ContactParty, DecideArgs } from './contact-store.ts';
import type { ContactLinkStore } from './contact-link-store.ts';
import { maxCarriedBlocks } from './first-contact.ts';

/** A decision, with what has been counted of a first contact. */
export type KeptContact = {
  readonly state: ContactState;
  readonly isOpen: boolean;
  readonly loud: number;
  readonly silent: number;
  /** Not by this person's word about this person: a block that came along with a rename, or refused with all of a provider. */
  readonly isCarried: boolean;
};

/** To be made in their order, each raising the account's version when it changes a decision. */
export type ContactChange =
  /** Keeps what was counted, and stands behind all earlier decisions in the list. */
  | {
      readonly kind: 'put';
      readonly account: number;
      readonly key: string;
      readonly provider: number;
      readonly state: ContactState;
      readonly isOpen: boolean;
      readonly interopId: InteropId | undefined;
      readonly isCarried?: boolean;
    }
  | { readonly kind: 'forget'; readonly account: number; readonly key: string }
  /** What stands under one key stands under another, where nothing is: with its counts and its place in the list. */
  | { readonly kind: 'move'; readonly account: number; readonly key: string; readonly to: string }
  /** A block that a rename has brought; keeps what was counted. */
  | {
      readonly kind: 'carry';
      readonly account: number;
      readonly key: string;
      readonly provider: number;
      readonly interopId: InteropId;
    }
  /** Of what is carried in this state about people of one provider, the oldest beyond so many go. */
  | {
      readonly kind: 'bound-carried';
      readonly account: number;
      readonly provider: number;
      readonly state: 'denied' | 'blocked';
      readonly max: number;
    }
  /** One message more, and the latest address. Changes no decision. */
  | {
      readonly kind: 'count';
      readonly account: number;
      readonly key: string;
      readonly isLoud: boolean;
      readonly interopId: InteropId;
    }
  /** Of requests beyond this number the oldest go; of decisions that are not blocks, too. */
  | {
      readonly kind: 'bound';
      readonly account: number;
      readonly which: 'requests' | 'decisions';
      readonly max: number;
    };

type RedeemArgs = Pick<Parameters<ContactLinkStore['redeem']>[0], 'owner' | 'by' | 'maxContacts'>;

export type KeptOfPair = {
  /** Of the recipient about the sender, and whether they have blocked the sender's identifier wherever it comes from. */
  readonly theirs: KeptContact | undefined;
  readonly isBlockedByIdentifier: boolean;
  /** With all people of the sender's provider. */
  readonly isBlockedByProvider: boolean;
  /** Of the sender about the recipient. */
  readonly mine: KeptContact | undefined;
};

/** Where a block of the sender's identifier at any provider would lie. */
export function sharedKeyOf({ provider, contacts }: Pick<ContactParty, 'provider' | 'contacts'>): string | undefined {
  return provider === 0 ? undefined : contacts.sharedKey;
}

/** The recipient's side of a message of somebody whom they have not accepted. */
function countFirst(
  args: AdmitArgs,
  { theirs, isBlockedByIdentifier, isBlockedByProvider }: KeptOfPair,
): { readonly judged: Pick<Admitted, 'kind' | 'requested'>; readonly changes: readonly ContactChange[] } {
  const { from, to, isLoud, isSmall } = args;
  const { key } = from.contacts;
  const refused =
    isBlockedByIdentifier ||
    isBlockedByProvider ||
    (theirs !== undefined && isShut({ ...theirs, interopId: undefined }));
  const answer = (kind: Admitted['kind']) => ({ judged: { kind, requested: false }, changes: [] });
  if (theirs?.isOpen === true) return answer(refused ? 'shut' : 'open');
  if (isLoud && !isSmall) return answer('too-large');
  const counted = (isLoud ? theirs?.loud : theirs?.silent) ?? 0;
  if (counted >= args.maxMessages) return answer(isLoud ? 'too-many' : 'shut');
  // A silent one alone asks for nothing.
  if (!isSmall || (!isLoud && theirs === undefined)) return answer('shut');
  const { interopId, provider } = from;
  const account = to.row;
  const changes: ContactChange[] = [];
  if (theirs === undefined) {
    // Somebody whose identifier is blocked wherever it comes from asks for nothing.
    const state = refused ? 'denied' : 'request';
    changes.push(
      { kind: 'put', account, key, provider, state, isOpen: false, interopId, isCarried: isBlockedByProvider },
      isBlockedByProvider
        ? { kind: 'bound-carried', account, provider, state: 'denied', max: maxCarriedBlocks }
        : { kind: 'bound', account, which: 'decisions', max: args.maxContacts },
      { kind: 'bound', account, which: 'requests', max: args.maxWaiting },
    );
  }
  changes.push({ kind: 'count', account, key, isLoud, interopId });
  return { judged: { kind: refused ? 'shut' : 'open', requested: theirs === undefined && !refused }, changes };
}

/** A message that needs counting or a decision first. */
export function admitChanges(
  args: AdmitArgs,
  kept: KeptOfPair,
): { readonly admitted: Admitted; readonly changes: readonly ContactChange[] } {
  const { from, to } = args;
  const { judged, changes } = args.isFirst
    ? countFirst(args, kept)
    : ({ judged: { kind: 'open', requested: false }, changes: [] } as const);
  const isTaken = judged.kind === 'open' || judged.kind === 'shut';
  if (!args.accepts || !isTaken || kept.mine?.state === 'accepted' || kept.mine?.state === 'blocked') {
    return { admitted: { ...judged, accepted: false }, changes };
  }
  const { interopId, provider } = to;
  const account = from.row;
  return {
    admitted: { ...judged, accepted: true },
    changes: [
      ...changes,
      { kind: 'put', account, key: to.contacts.key, provider, state: 'accepted', isOpen: true, interopId },
      { kind: 'bound', account, which: 'decisions', max: args.maxContacts },
    ],
  };
}

/**
 * A person's decision about somebody of whom they have kept this. `blocked`: how many people they have blocked; blocks that
 * renames have brought don't count, or a provider could leave no place for others.
 */
export function decideChanges(
  { account, about, decision, isOpen: isOpenAnyway, maxContacts }: DecideArgs,
  { kept, blocked }: { readonly kept: KeptContact | undefined; readonly blocked: number },
): { readonly state: ContactState | 'full' | undefined; readonly changes: readonly ContactChange[] } {
  const { interopId, provider } = about;
  const { key, sharedKey } = about.contacts;
  if (decision === 'unblock' && kept?.state !== 'blocked') return { state: kept?.state, changes: [] };
  // Whoever wrote while all of their provider were blocked may write for the first time again.
  const isProvider = key === providerKey(provider);
  const isDecided = kept?.state === stateAfter[decision] && !kept.isCarried;
  if (decision === 'block' && !isDecided && blocked >= maxContacts) return { state: 'full', changes: [] };
  const isOpen = decision === 'accept' || (kept === undefined ? isOpenAnyway : kept.isOpen);
  const changes: ContactChange[] = [];
  const put = (its: string, state: ContactState, of: InteropId | undefined): void => {
    changes.push(
      { kind: 'put', account, key: its, provider, state, isOpen, interopId: of },
      { kind: 'bound', account, which: 'decisions', max: maxContacts },
    );
  };
  if (sharedKey !== undefined && decision === 'block') put(sharedKey, 'blocked', undefined);
  if (sharedKey !== undefined && (decision === 'accept' || decision === 'unblock')) {
    changes.push({ kind: 'forget', account, key: sharedKey });
  }
  if (decision === 'unblock' && !isOpen) {
    changes.push({ kind: 'forget', account, key });
    if (isProvider) changes.push({ kind: 'bound-carried', account, provider, state: 'denied', max: 0 });
    return { state: undefined, changes };
  }
  if (!isDecided) put(key, stateAfter[decision], interopId);
  return { state: stateAfter[decision], changes };
}

/** Whoever comes by a link is accepted. `same`: they are already; nobody who was refused is told, nor let in. */
export function redeemChanges(
  { owner, by, maxContacts }: RedeemArgs,
  kept: KeptContact | undefined,
): { readonly outcome: 'used' | 'same'; readonly changes: readonly ContactChange[] } {
  if (kept?.state === 'accepted') return { outcome: 'same', changes: [] };
  const isRefused = kept !== undefined && !kept.isCarried && isShut({ ...kept, interopId: undefined });
  if (isRefused) return { outcome: 'used', changes: [] };
  const { interopId, provider } = by;
  const { key } = by.contacts;
  return {
    outcome: 'used',
    changes: [
      { kind: 'put', account: owner, key, provider, state: 'accepted', isOpen: true, interopId },
      { kind: 'bound', account: owner, which: 'decisions', max: maxContacts },
    ],
  };
}
