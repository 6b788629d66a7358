// What people say that shows no message of its own: edits, reactions, deletions, votes, timers, profiles. One row for each kind:
// the message that it is about, what becomes known of that message, how a new device is told about it, and its name when it did not
// come; below, how each kind of fact joins, and how a person says each. A new kind is a row here.
// Pure. Knows nothing of storage, encryption, streams or clocks, nor of who talks with whom.
// Source: docs/protocol/09-content.md sections 9.3, 9.7, 9.9 and 9.10.
import type { ContentBody, MessageRef, TextBody } from '@drawbridge/e2ee/content';
import { contentKindLimits, type UnappliedKind } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import { ClientError } from '../errors.ts';
import { type MessageName, messageIdOf } from './message-names.ts';
import { isLater, type Stamp } from './stamp.ts';

export const actLimits = {
  /** Latest edits kept, by number and by size. */
  maxEdits: 50,
  maxEditBytes: 262_144,
  /** People whose reactions or votes are kept. */
  maxPeople: 1_024,
  /** Votes of one person kept: a poll that was closed counts the latest from before. */
  maxVotes: 4,
} as const;

/** `sentAtMs`: what its author's clock showed, where that is not the stamp. */
type Edit = Stamp & { readonly text: TextBody; readonly sentAtMs?: number };
type Reaction = Stamp & { readonly emoji: string };
type Vote = Stamp & { readonly version: number; readonly options: readonly number[] };
/** What acts have made known of a message. */
export type ActState = {
  /** Oldest first. */
  readonly edits?: readonly Edit[];
  /** The latest edit that was left out for a limit: older ones stay out. */
  readonly editsFloor?: Stamp;
  readonly reactions?: Readonly<Record<string, Reaction>>;
  readonly votes?: Readonly<Record<string, readonly Vote[]>>;
  /** The earliest end. */
  readonly closedAtMs?: number;
  /** The last end that says which votes count, by their message ids. */
  readonly closing?: Stamp & { readonly counted: readonly string[] };
};
type Closing = NonNullable<ActState['closing']>;

/** The same without it: there is no message to which it could belong. */
export function withoutActs<E extends ActState>(entry: E): Omit<E, keyof ActState> {
  const { edits: _e, editsFloor: _f, reactions: _r, votes: _v, closedAtMs: _c, closing: _l, ...rest } = entry;
  return rest;
}

export type ActFact =
  | { readonly kind: 'edited'; readonly stamp: Stamp; readonly sentAtMs?: number; readonly text: TextBody }
  /** An empty emoji takes the reaction back. */
  | { readonly kind: 'reacted'; readonly by: string; readonly stamp: Stamp; readonly emoji: string }
  | ({ readonly kind: 'voted'; readonly by: string; readonly stamp: Stamp } & Pick<Vote, 'version' | 'options'>)
  | { readonly kind: 'closed'; readonly atMs: number; readonly closing?: Closing };

type Taken = { readonly kind: 'gone'; readonly why: 'deleted' };
/** `stamp` orders it; `sentAtMs` is the clock of its author. */
type Said = { readonly by: InteropId; readonly stamp: Stamp; readonly sentAtMs: number };
/** Said once more, with a name of its own where it has none. */
export type SaidAgain = {
  readonly by: string;
  readonly atMs: number;
  readonly id?: string;
  /** What its author's clock showed, where that is known and not the stamp. */
  readonly sentAtMs?: number;
  readonly body: ContentBody;
};

/** Of votes the version comes first. */
export type LastSaid = Stamp & { readonly version?: number };

type ActRow<K extends UnappliedKind> = {
  /** Absent: it is about the chat, or about its author. */
  readonly about?: (body: ContentBody<K>, author: InteropId) => MessageName;
  readonly fact?: (body: ContentBody<K>, said: Said) => ActFact | Taken;
  readonly again?: (state: ActState, message: MessageRef) => readonly SaidAgain[];
  /** What counts of what one person said of the message. */
  readonly last?: (state: ActState, by: InteropId) => LastSaid | undefined;
  /** To its author. */
  readonly words: string;
};

/** In the order in which a new device is told: the most needed first. */
const acts: { readonly [K in UnappliedKind]: ActRow<K> } = {
  delete: {
    about: ({ targetMessageId }, author) => ({ author, id: messageIdOf(targetMessageId) }),
    fact: () => ({ kind: 'gone', why: 'deleted' }),
    words: 'Your taking back of a message',
  },
  reaction: {
    about: ({ target }) => nameOf(target),
    fact: ({ emoji }, { by, stamp }) => ({ kind: 'reacted', by, stamp, emoji }),
    again: ({ reactions = {} }, target) =>
      Object.entries(reactions).map(([by, { atMs, id, emoji }]) => ({
        ...{ by, atMs, id },
        body: { kind: 'reaction', target, emoji },
      })),
    last: ({ reactions = {} }, by) => reactions[by],
    words: 'Your reaction to a message',
  },
  'poll-close': {
    about: ({ pollMessageId }, author) => ({ author, id: messageIdOf(pollMessageId) }),
    fact: ({ counted }, { stamp }) => ({
      ...{ kind: 'closed', atMs: stamp.atMs },
      ...(counted === undefined ? {} : { closing: { ...stamp, counted: counted.map(messageIdOf) } }),
    }),
    again: ({ closedAtMs, closing }, { author: by, messageId: pollMessageId }) => {
      const body = { kind: 'poll-close', pollMessageId } as const;
      const ends: SaidAgain[] = [];
      if (closing !== undefined) {
        const { atMs, id, counted } = closing;
        ends.push({ by, atMs, id, body: { ...body, counted: counted.map(vote => Buffer.from(vote, 'hex')) } });
      }
      if (closedAtMs !== undefined && closedAtMs !== closing?.atMs) ends.push({ by, atMs: closedAtMs, body });
      return ends;
    },
    last: ({ closing }) => closing,
    words: 'Your ending of a poll',
  },
  'poll-vote': {
    about: ({ poll }) => nameOf(poll),
    fact: ({ version, options }, { by, stamp }) => ({ kind: 'voted', by, stamp, version, options }),
    again: ({ votes = {} }, poll) =>
      Object.entries(votes).flatMap(([by, each]) =>
        each.map(({ atMs, id, version, options }) => ({
          ...{ by, atMs, id },
          body: { kind: 'poll-vote', poll, options, version } as const,
        })),
      ),
    last: ({ votes = {} }, by) => votes[by]?.at(-1),
    words: 'Your vote',
  },
  edit: {
    about: ({ targetMessageId }, author) => ({ author, id: messageIdOf(targetMessageId) }),
    fact: ({ text }, { stamp, sentAtMs }) => ({ kind: 'edited', stamp, sentAtMs, text }),
    again: ({ edits = [] }, { author: by, messageId: targetMessageId }) =>
      edits.toReversed().map(({ text, ...said }) => ({ by, ...said, body: { kind: 'edit', targetMessageId, text } })),
    last: ({ edits }) => edits?.at(-1),
    words: 'Your edit of a message',
  },
  'expiry-timer': { words: 'Your timer for disappearing messages' },
  profile: { words: 'Your name and picture' },
};

function rowOf(kind: UnappliedKind): ActRow<UnappliedKind> {
  return acts[kind] as ActRow<UnappliedKind>;
}

function nameOf({ author, messageId }: MessageRef): MessageName {
  return { author, id: messageIdOf(messageId) };
}

function isAct(body: { readonly kind: string }): body is ContentBody<UnappliedKind> {
  return Object.hasOwn(acts, body.kind);
}

/** An act as it is kept, so that its author can be told when it did not come. */
export type Act = {
  readonly what: UnappliedKind;
  /** The message that it is about. */
  readonly message?: MessageName;
};

/** Undefined: it shows a message of its own, or nothing. */
export function actOf(author: InteropId, body: ContentBody): Act | undefined {
  if (!isAct(body)) return undefined;
  const { kind: what } = body;
  const message = rowOf(what).about?.(body, author);
  return message === undefined ? { what } : { what, message };
}

export function actWords({ what }: Act): string {
  return acts[what].words;
}

/** What an act makes known of a message; undefined for what is about no message, or isn't an act. */
export function actFact(
  body: { readonly kind: string },
  said: Said,
): { readonly target: MessageName; readonly fact: ActFact | Taken } | undefined {
  if (!isAct(body)) return undefined;
  const { about, fact } = rowOf(body.kind);
  if (about === undefined || fact === undefined) return undefined;
  return { target: about(body, said.by), fact: fact(body, said) };
}

/** Everything that was said of a message, for a device that comes later. */
export function actsAgain(state: ActState, message: MessageRef): SaidAgain[] {
  return Object.values(acts).flatMap(({ again }) => again?.(state, message) ?? []);
}

export function lastSaid(state: ActState, what: UnappliedKind, by: InteropId): LastSaid | undefined {
  return rowOf(what).last?.(state, by);
}

// How facts join: in any order, twice, or before the message itself. The very same state comes back when a fact says nothing new.

const joins: {
  readonly [K in ActFact['kind']]: (state: ActState, fact: Extract<ActFact, { kind: K }>) => ActState;
} = {
  edited: (state, { stamp, sentAtMs = stamp.atMs, text }) =>
    joinEdit(state, { ...stamp, ...(sentAtMs === stamp.atMs ? {} : { sentAtMs }), text }),
  reacted: (state, { by, stamp, emoji }) => {
    const { reactions = {} } = state;
    const before = reactions[by];
    const isNews = before === undefined ? hasRoom(reactions) : isLater(stamp, before);
    return isNews ? { ...state, reactions: { ...reactions, [by]: { ...stamp, emoji } } } : state;
  },
  voted: (state, { by, stamp, version, options }) => joinVote(state, by, { ...stamp, version, options }),
  closed: (state, { atMs, closing }) => {
    const isFirst = state.closedAtMs === undefined || atMs < state.closedAtMs;
    const closed = isFirst ? { ...state, closedAtMs: atMs } : state;
    if (closing === undefined || (state.closing !== undefined && !isLater(closing, state.closing))) return closed;
    return { ...closed, closing };
  },
};

export function isActFact(fact: { readonly kind: string }): fact is ActFact {
  return Object.hasOwn(joins, fact.kind);
}

/** Gives the very same entry when the fact says nothing new. */
export function joinAct<E extends ActState>(entry: E, fact: ActFact): E {
  const join = joins[fact.kind] as (state: ActState, fact: ActFact) => ActState;
  return join(entry, fact) as E;
}

function hasRoom(people: object): boolean {
  return Object.keys(people).length < actLimits.maxPeople;
}

function joinEdit(state: ActState, edit: Edit): ActState {
  const { edits = [], editsFloor } = state;
  if (editsFloor !== undefined && !isLater(edit, editsFloor)) return state;
  if (edits.some(each => each.id === edit.id && each.atMs === edit.atMs)) return state;
  const kept = [...edits, edit].sort((a, b) => (isLater(a, b) ? 1 : -1));
  let bytes = kept.reduce((sum, each) => sum + editBytes(each), 0);
  let floor = editsFloor;
  while (kept.length > actLimits.maxEdits || (kept.length > 1 && bytes > actLimits.maxEditBytes)) {
    const { atMs, id } = kept[0]!;
    bytes -= editBytes(kept.shift()!);
    floor = { atMs, id };
  }
  return { ...state, edits: kept, ...(floor === undefined ? {} : { editsFloor: floor }) };
}

function editBytes(edit: Edit): number {
  return JSON.stringify(edit.text).length;
}

function joinVote(state: ActState, by: string, vote: Vote): ActState {
  const { votes = {} } = state;
  const before = votes[by] ?? [];
  const isKnown = before.some(each => each.version === vote.version && each.id === vote.id && each.atMs === vote.atMs);
  if (isKnown || (before.length === 0 && !hasRoom(votes))) return state;
  const kept = [...before, vote].sort((a, b) => (isHigherVote(a, b) ? 1 : -1)).slice(-actLimits.maxVotes);
  return kept.includes(vote) ? { ...state, votes: { ...votes, [by]: kept } } : state;
}

function isHigherVote(vote: Vote, than: Vote): boolean {
  return vote.version === than.version ? isLater(vote, than) : vote.version > than.version;
}

// What is shown of them.

export type PollResult = {
  /** Person to the options they chose. */
  readonly votes: Readonly<Record<string, readonly number[]>>;
  readonly closed: boolean;
};

export type ShownActs = {
  readonly edited?: boolean;
  /** Author to emoji. */
  readonly reactions?: Readonly<Record<string, string>>;
  readonly poll?: PollResult;
};

/** `body` is the message's own, where that is shown. */
export function shownActs(
  state: ActState,
  body: { readonly kind: string } | ContentBody<'poll'> | undefined,
): ShownActs {
  const reactions = Object.entries(state.reactions ?? {}).flatMap(([by, { emoji }]) =>
    emoji === '' ? [] : [[by, emoji] as const],
  );
  return {
    ...(body?.kind === 'text' && state.edits !== undefined ? { edited: true } : {}),
    ...(reactions.length === 0 ? {} : { reactions: Object.fromEntries(reactions) }),
    ...(body?.kind === 'poll' ? { poll: pollResult(state, body as ContentBody<'poll'>) } : {}),
  };
}

/**
 * Options that don't exist are left out, and so is whoever chose more than one person may. Of a poll that has ended those votes
 * count that its end names, and are here; where it names none, those that are not later.
 */
function pollResult(
  { votes = {}, closedAtMs, closing }: ActState,
  { options, choices = options.length }: ContentBody<'poll'>,
): PollResult {
  const named = closing === undefined ? undefined : new Set(closing.counted);
  const isInTime = ({ atMs, id }: Vote): boolean => named?.has(id) ?? (closedAtMs === undefined || atMs <= closedAtMs);
  const counted = Object.entries(votes).flatMap(([by, each]) => {
    const vote = each.findLast(isInTime);
    const chosen = [...new Set(vote?.options ?? [])].filter(option => option < options.length);
    return chosen.length === 0 || chosen.length > choices ? [] : [[by, chosen] as const];
  });
  return { votes: Object.fromEntries(counted), closed: closedAtMs !== undefined };
}

// How a person says each of a message that they see.

export type Seen = { readonly kind: string; readonly body?: ContentBody; readonly poll?: PollResult };
export type Saying = (message: Seen, ref: MessageRef, state: ActState, own: InteropId) => ContentBody;

/** An empty emoji takes the reaction back. */
export function reacting(emoji: string): Saying {
  return (_message, target) => ({ kind: 'reaction', target, emoji });
}

export function editing(text: TextBody): Saying {
  return ({ kind }, { messageId: targetMessageId }) => {
    if (kind !== 'text') throw new ClientError('not-applicable', { detail: 'only a text can be edited' });
    return { kind: 'edit', targetMessageId, text };
  };
}

export const takingBack: Saying = (_message, { messageId: targetMessageId }) => ({ kind: 'delete', targetMessageId });

function needOpen(poll: PollResult | undefined): void {
  if (poll?.closed === false) return;
  const detail = poll === undefined ? 'it is no poll' : 'the poll has ended';
  throw new ClientError('not-applicable', { detail });
}

/** No options take the vote back. */
export function voting(wanted: readonly number[]): Saying {
  return ({ body, poll: result }, poll, { votes = {} }, own) => {
    needOpen(result);
    if (body?.kind !== 'poll') throw new ClientError('not-applicable', { detail: 'it is no poll' });
    const { choices = body.options.length, options: offered } = body;
    const options = [...new Set(wanted)].sort((a, b) => a - b);
    if (options.length > choices || options.some(option => !(option in offered))) {
      throw new ClientError('invalid-argument', { detail: 'options' });
    }
    const version = Math.min((votes[own]?.at(-1)?.version ?? 0) + 1, contentKindLimits.maxVoteVersion);
    return { kind: 'poll-vote', poll, options, version };
  };
}

/** The votes that are known here count, whatever the clocks of those who gave them said. */
export const closingPoll: Saying = ({ poll }, { messageId: pollMessageId }, { votes = {} }) => {
  needOpen(poll);
  const counted = Object.values(votes).flatMap(each => each.slice(-1).map(({ id }) => Buffer.from(id, 'hex')));
  return { kind: 'poll-close', pollMessageId, counted };
};
