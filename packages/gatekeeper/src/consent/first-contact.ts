// What becomes of a message between two people, by what each has decided about the other. Whoever was refused is answered as
// if the other were away. Knows no storage, stanzas or streams; whether they may reach each other at all is `may-reach.ts`.
// Source: docs/protocol/10 sections 10.1 and 10.2.
import { type Decider, decisionAbout, isShut } from './contact.ts';

/** Between whom a first message is a request: people of different providers, or nobody. */
export type Requests = 'across-providers' | 'none';

export const firstContactLimits = {
  /** Messages of somebody who was not accepted yet; as many silent ones may come with them. */
  messages: 3,
  /** One device's ciphertext of such a message. */
  ciphertextBytes: 4_096,
  /** Requests that wait for one person; the oldest is forgotten for another. */
  waiting: 200,
} as const;
/** Decisions that are kept of one person; the oldest one that is not a block is forgotten for another. */
export const maxContacts = 2_000;
/**
 * Blocks that came along with renames by one provider are kept beside them; its oldest is forgotten for another. That lifts
 * no block of another provider's people, and its own it can name again whenever it likes.
 */
export const maxCarriedBlocks = 200;

/**
 * `open`: it goes on. `shut`: it is taken and dropped, as for somebody who is away. `mute`: it would tell somebody who waits for
 * a decision that there is anybody; it is taken and dropped. `blocked-by-sender`: one doesn't write to whom one has
 * blocked. `undecided`: something is to be counted or decided first (`ContactStore.admit`).
 */
export type Judgement =
  | { readonly kind: 'open' | 'shut' | 'mute' | 'blocked-by-sender' }
  | {
      readonly kind: 'undecided';
      /** By writing, the sender accepts the recipient. */
      readonly accepts: boolean;
      /** The recipient has not accepted the sender: a first contact. */
      readonly isFirst: boolean;
    };

const open = { kind: 'open' } as const;

export function judge(from: Decider, to: Decider, requests: Requests, isLoud: boolean): Judgement {
  const mine = decisionAbout(from, to);
  if (mine?.state === 'blocked') return { kind: 'blocked-by-sender' };
  const waits = mine !== undefined && mine.state !== 'accepted';
  if (waits && !isLoud) return { kind: 'mute' };
  const theirs = decisionAbout(to, from);
  const isAsked = requests === 'across-providers' && from.provider !== to.provider;
  const accepts = isLoud && (waits || (isAsked && mine === undefined));
  const isRefused = isShut(theirs);
  const isFirst = isRefused ? theirs?.isOpen === false : isAsked && theirs?.state !== 'accepted';
  if (accepts || isFirst) return { kind: 'undecided', accepts, isFirst };
  return isRefused ? { kind: 'shut' } : open;
}
