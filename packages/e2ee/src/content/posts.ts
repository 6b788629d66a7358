// Kinds that are shown at a place of their own, besides text and people: attachments, stickers, polls and their votes.
// Knows nothing of files, of counting, or of who may vote.
// Source: docs/protocol/09-content.md section 9.3, schema/content.proto.
import { DeviceSync_NotApplied_What as NotApplied } from '../gen/content_pb.ts';
import { type AttachmentPointer, checkPointer, pointerMessage, readPointer } from './attachment-pointer.ts';
import { checkRef, identifier, isText, type MessageRef, need, readRef, refMessage, uint32 } from './checks.ts';
import { type KindTable, reads } from './kind.ts';
import { contentKindLimits as limits } from './limits.ts';
import { checkText, readText, type TextBody, textMessage } from './text.ts';

export const MAX_ATTACHMENTS = 32;

export type Sticker = { readonly image: AttachmentPointer; readonly emoji?: string; readonly pack?: string };

export type Poll = {
  readonly question: string;
  /** 2..20, all different. */
  readonly options: readonly string[];
  /** How many options one person may choose; absent: all. */
  readonly choices?: number;
  readonly anonymous?: boolean;
};

export type PollVote = {
  readonly poll: MessageRef;
  /** Places in the poll's list, ascending; none takes the vote back. */
  readonly options: readonly number[];
  /** Among one person's votes the higher version holds. */
  readonly version: number;
};

export type PostBodies = {
  readonly attachment: { readonly attachments: readonly AttachmentPointer[]; readonly caption?: TextBody };
  readonly sticker: Sticker;
  readonly poll: Poll;
  readonly 'poll-vote': PollVote;
  readonly 'poll-close': {
    readonly pollMessageId: Uint8Array;
    /** The votes that count, by their message ids; absent: those that are not later, by their stamps. */
    readonly counted?: readonly Uint8Array[];
  };
};

function checkPoll(poll: Poll): void {
  need(poll.question.length > 0 && isText(poll.question, limits.maxQuestionBytes), 'poll.question');
  need(poll.options.length >= 2 && poll.options.length <= limits.maxOptions, 'poll.options');
  need(new Set(poll.options).size === poll.options.length, 'poll.options');
  need(
    poll.options.every(option => option.length > 0 && isText(option, limits.maxOptionBytes)),
    'poll.options',
  );
  need(uint32(poll.choices ?? 0, 'poll.choices') <= poll.options.length, 'poll.choices');
}

function checkVote(body: PollVote): void {
  checkRef(body.poll, 'pollVote.poll');
  const { options, version } = body;
  const ascends = options.every((option, at) => uint32(option, 'pollVote.options') > (options[at - 1] ?? -1));
  need(ascends && (options.at(-1) ?? 0) < limits.maxOptions, 'pollVote.options');
  need(uint32(version, 'pollVote.version') >= 1 && version <= limits.maxVoteVersion, 'pollVote.version');
}

/** Of these, what shows no message of its own. */
export type PostActs = 'poll-vote' | 'poll-close';

export const postKinds: KindTable<PostBodies, PostActs> = {
  attachment: {
    case: 'attachments',
    capability: 'attachments',
    check: ({ attachments, caption }) => {
      need(attachments.length > 0 && attachments.length <= MAX_ATTACHMENTS, 'attachments');
      for (const pointer of attachments) checkPointer(pointer, 'attachments');
      if (caption !== undefined) checkText(caption);
    },
    write: body => {
      const attachments = body.attachments.map(pointerMessage);
      const caption = body.caption === undefined ? {} : { caption: textMessage(body.caption) };
      return { case: 'attachments', value: { attachments, ...caption } };
    },
    read: reads('attachments', ({ attachments, caption }) => ({
      attachments: attachments.map(pointer => readPointer(pointer, 'attachments')),
      ...(caption === undefined || caption.text === '' ? {} : { caption: readText(caption) }),
    })),
  },
  sticker: {
    case: 'sticker',
    capability: 'stickers',
    check: ({ image, emoji = '', pack = '' }) => {
      checkPointer(image, 'sticker.image');
      need(isText(emoji, limits.maxEmojiBytes), 'sticker.emoji');
      need(isText(pack, limits.maxNameBytes), 'sticker.pack');
    },
    write: ({ image, emoji = '', pack = '' }) => ({
      case: 'sticker',
      value: { image: pointerMessage(image), emoji, pack },
    }),
    read: reads('sticker', ({ image, emoji, pack }) => {
      need(image !== undefined, 'sticker.image');
      const read = readPointer(image, 'sticker.image');
      return { image: read, ...(emoji === '' ? {} : { emoji }), ...(pack === '' ? {} : { pack }) };
    }),
  },
  poll: {
    case: 'poll',
    capability: 'polls',
    check: checkPoll,
    write: ({ question, options, choices = 0, anonymous = false }) => ({
      case: 'poll',
      value: { question, options: [...options], choices, anonymous },
    }),
    read: reads('poll', ({ question, options, choices, anonymous }) => ({
      question,
      options,
      ...(choices === 0 ? {} : { choices }),
      ...(anonymous ? { anonymous } : {}),
    })),
  },
  'poll-vote': {
    case: 'pollVote',
    capability: 'polls',
    isQuiet: true,
    notApplied: { what: NotApplied.POLL_VOTE, isAboutMessage: true },
    check: checkVote,
    write: ({ poll, options, version }) => ({
      case: 'pollVote',
      value: { poll: refMessage(poll), options: [...options], version },
    }),
    read: reads('pollVote', ({ poll, options, version }) => ({
      poll: readRef(poll, 'pollVote.poll'),
      options,
      version,
    })),
  },
  'poll-close': {
    case: 'pollClose',
    capability: 'polls',
    isQuiet: true,
    notApplied: { what: NotApplied.POLL_CLOSE, isAboutMessage: true },
    check: ({ pollMessageId, counted = [] }) => {
      identifier(pollMessageId, 'pollClose.poll');
      need(counted.length <= limits.maxCountedVotes, 'pollClose.counted');
      for (const id of counted) identifier(id, 'pollClose.counted');
    },
    write: ({ pollMessageId, counted }) => ({
      case: 'pollClose',
      value: { pollMessageId, ...(counted === undefined ? {} : { counted: { voteMessageIds: [...counted] } }) },
    }),
    read: reads('pollClose', ({ pollMessageId, counted }) => ({
      pollMessageId,
      ...(counted === undefined ? {} : { counted: counted.voteMessageIds }),
    })),
  },
};
