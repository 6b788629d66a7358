// `client.chats`: the list of chats and how each is set up, the history, search and export, and what a person does with
// messages that are there.
// Knows nothing of sending files (`client.files`) or of how anything travels.
// Source: docs/protocol/09-content.md section 9.9.
import type { TextBody } from '@drawbridge/e2ee/content';
import type { Profile } from '@drawbridge/e2ee/content-kinds';
import type { LocalDevice } from '../account/local-device.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import type { DecisionState } from '../directory/contact-decisions.ts';
import type { Contact, Recipient } from '../directory/people.ts';
import { isOptedOut } from '../directory/provider-consents.ts';
import { shownProfile } from '../display/shown-profile.ts';
import { ClientError } from '../errors.ts';
import { closingPoll, editing, reacting, type Saying, takingBack, voting } from '../history/acts.ts';
import type { Capability } from '../history/capabilities.ts';
import { type ChatSettings, defaultsKey, settingsOf } from '../history/chat-state.ts';
import { countMissing } from '../history/gaps.ts';
import {
  isThirdParty,
  chatPage,
  exportMessages,
  isShown,
  listMessages,
  type MessageRow,
  type ScanContext,
  searchMessages,
  searchWords,
} from '../history/history.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { readChat } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';
import { durable } from '../store/transact.ts';
import { type Message, presentMessage } from './presenting.ts';
import {
  type ChatId,
  chatWith,
  knownPerson,
  type ShownMessageId,
  type ShownMessageName,
  personOf,
} from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';

/** A chat as a list of chats shows it. */
export type Chat = {
  readonly with: Contact;
  readonly profile: Profile | undefined;
  readonly unread: number;
  /** How many contents have not come although later ones of the same device have: withheld, or still under way. */
  readonly missing: number;
  readonly lastAtMs: number;
  readonly lastMessage: MessageRecord | undefined;
  readonly draft: string | undefined;
  readonly pinned: boolean;
  readonly archived: boolean;
  /** Muted now. */
  readonly muted: boolean;
  /** New messages disappear so long after they were read; 0: they stay. */
  readonly timerSeconds: number;
  /** Of another service. */
  readonly thirdParty: boolean;
  /** This person has not opted in to the other's provider (any more): the chat can be read, and nothing can be sent. */
  readonly readOnly: boolean;
  /** What this person has decided about the other; `request`: their first messages wait for a decision. */
  readonly contact: DecisionState | undefined;
  /** What was set for this chat by itself. */
  readonly settings: ChatSettings;
};

/** A row of the history. `sequence` is where the next page begins (`before`). */
export type ShownMessage = { readonly sequence: number; readonly message: Message };

export const chatLimits = { maxChatsPerPage: 200, maxMessagesPerPage: 1_000 } as const;

export class Chats {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;

  constructor(device: LocalDevice, lifecycle: Lifecycle) {
    this.#device = device;
    this.#lifecycle = lifecycle;
  }

  // The list, and each chat's settings

  /** Pinned ones first, then by when something was said last; `skip` and `limit` (at most 200) make pages. */
  async list(
    options: {
      readonly skip?: number;
      readonly limit?: number;
      readonly archived?: boolean;
      /** Of this service alone, or of others alone; both when left out. */
      readonly of?: 'own-service' | 'third-parties';
    } = {},
  ): Promise<Chat[]> {
    const { skip = 0, limit = 50, archived = false, of } = options;
    const { own } = this.#scan();
    const nowMs = this.#device.clock.nowMs();
    const page = { skip: Math.max(0, skip), limit: clamp(limit, chatLimits.maxChatsPerPage), archived, of };
    const rows = this.#device.transaction(tx =>
      chatPage(tx, own, page).map(row => ({
        ...row,
        profile: readProfile(tx, personOf(row.chat.chat))?.profile,
        readOnly: isOptedOut(tx, personOf(row.chat.chat)),
        contact: chatInForce(tx, row.chat.chat).contact,
      })),
    );
    return Promise.all(
      rows.map(async ({ chat, lastMessage, profile, readOnly, contact }) => ({
        with: await this.#lifecycle.worker().people.contact(personOf(chat.chat)),
        profile: profile === undefined ? undefined : shownProfile(profile),
        unread: chat.unread,
        missing: countMissing(chat.heard),
        lastAtMs: chat.lastAtMs,
        lastMessage,
        draft: chat.draft,
        pinned: chat.settings.pinned?.value ?? false,
        archived,
        muted: (chat.settings.mutedUntilMs?.value ?? 0) > nowMs,
        timerSeconds: chat.timer?.seconds ?? 0,
        thirdParty: isThirdParty(chat.chat, own),
        readOnly,
        contact,
        settings: settingsOf(chat),
      })),
    );
  }

  /** Pins, mutes, archives, or switches receipts and typing for one chat; fields that are absent stay. On all devices. */
  async set(chat: Recipient, settings: ChatSettings): Promise<void> {
    const other = await this.#other(chat);
    this.#lifecycle.worker().preferences.set(other, settings);
  }

  /**
   * Switches receipts and typing for all chats that say nothing of their own; and whether chats with people of other services
   * stand in an inbox of their own (`list` with `of`). On all devices.
   */
  async setDefaults(
    settings: Pick<ChatSettings, 'sendDelivered' | 'sendRead' | 'sendPlayed' | 'sendTyping' | 'separateInbox'>,
  ): Promise<void> {
    this.#lifecycle.worker().preferences.set(undefined, settings);
  }

  defaults(): ChatSettings {
    return settingsOf(this.#device.transaction(tx => readChat(tx, defaultsKey)));
  }

  /** Messages from now on disappear at both ends, `seconds` after they were read (at the sender: after they were sent); 0: they stay. */
  async setTimer(chat: Recipient, seconds: number): Promise<void> {
    const other = await this.#other(chat);
    this.#lifecycle.worker().preferences.setTimer(other, seconds);
  }

  /** Text that is not sent yet, at most 32 KiB; of this device. Empty: none. */
  async setDraft(chat: Recipient, text: string): Promise<void> {
    const other = await this.#other(chat);
    this.#lifecycle.worker().preferences.setDraft(other, text);
  }

  /** Says that what is missing of a chat need not be shown any more; it is still taken when it comes. */
  async dismissMissing(chat: Recipient): Promise<void> {
    const other = await this.#other(chat);
    this.#lifecycle.worker().preferences.dismissMissing(other);
  }

  /** What some device of that person can't show; undefined while nothing is known of their devices. */
  async lacking(chat: Recipient): Promise<Capability[] | undefined> {
    const other = await this.#other(chat);
    return this.#lifecycle.worker().preferences.lacking(other);
  }

  /** Says that one is (no longer) writing. Lost when there is no stream, or nothing was sent to that person before. */
  async typing(to: Recipient, state: 'started' | 'stopped' = 'started'): Promise<void> {
    const { people, preferences } = this.#lifecycle.worker();
    await preferences.typing(chatWith(await people.addressee(to)), state);
  }

  // The history

  /**
   * A piece of the history, newest first; `before` is the sequence of the last row got. With `after` in its place what follows
   * that row, oldest first. At most 1,000 at once.
   */
  async messages(
    options: {
      readonly chat?: Recipient;
      readonly before?: number;
      readonly after?: number;
      readonly limit?: number;
    } = {},
  ): Promise<ShownMessage[]> {
    const { before, after, limit = 50 } = options;
    for (const given of [before ?? 0, after ?? 0, limit]) {
      if (!Number.isSafeInteger(given))
        throw new ClientError('invalid-argument', { detail: 'before, after and limit are whole numbers' });
    }
    if (before !== undefined && after !== undefined)
      throw new ClientError('invalid-argument', { detail: 'before or after' });
    const scope = await this.#scope(options.chat);
    const { own } = this.#scan();
    const most = clamp(limit, chatLimits.maxMessagesPerPage);
    const shown: MessageRow[] = [];
    const newest = after === undefined;
    for (let from = after ?? before; shown.length < most; ) {
      const bound = from === undefined ? {} : { [newest ? 'before' : 'after']: from };
      const rows = this.#device.transaction(tx => listMessages(tx, own, { newest, limit: most, ...scope, ...bound }));
      if (rows.length === 0) break;
      from = rows.at(-1)!.sequence;
      shown.push(...rows.filter(({ message }) => isShown(message)));
    }
    return Promise.all(shown.slice(0, most).map(row => this.#present(row)));
  }

  /**
   * Messages in which all words occur, newest first, as far as it is asked to; case and accents say nothing. `before` is
   * the sequence of the last row got. Refuses no words, more than 8, or more than 256 bytes with `invalid-argument`.
   */
  async *search(
    query: string,
    options: { readonly chat?: Recipient; readonly before?: number } = {},
  ): AsyncGenerator<ShownMessage, void, void> {
    const words = typeof query === 'string' ? searchWords(query) : undefined;
    if (words === undefined) throw new ClientError('invalid-argument', { detail: 'words' });
    const { before = Number.MAX_SAFE_INTEGER } = options;
    if (!Number.isSafeInteger(before))
      throw new ClientError('invalid-argument', { detail: 'before is a whole number' });
    const bound = options.before === undefined ? {} : { before: options.before };
    const within = { ...(await this.#scope(options.chat)), ...bound };
    for await (const row of searchMessages(this.#scan(), words, within)) yield await this.#present(row);
  }

  /**
   * One line of JSON for each message, oldest first; bytes are base64. It holds what the history holds, in the open: also
   * the keys of attachments. What may be seen once is left out.
   */
  async *export(options: { readonly chat?: Recipient } = {}): AsyncGenerator<string, void, void> {
    const { chat } = await this.#scope(options.chat);
    yield* exportMessages(this.#scan(), chat);
  }

  // Messages that are there

  /** Rejects with `unknown-message` when it is not in the history (any more). */
  async get(target: ShownMessageName): Promise<Message> {
    return presentMessage(this.#lifecycle, this.#lifecycle.worker().authoring.needMessage(target));
  }

  /** Reacts to a message; an empty emoji takes it back. */
  async react(target: ShownMessageName, emoji: string): Promise<void> {
    await this.#act(target, reacting(emoji));
  }

  async edit(id: ShownMessageId, text: TextBody): Promise<void> {
    await this.#act(this.#mine(id), editing(text));
  }

  /** The texts that a message had, oldest first; the last is the one that is shown. */
  async versions(target: ShownMessageName): Promise<{ readonly text: TextBody; readonly atMs: number }[]> {
    return this.#lifecycle.worker().writing.versions(target);
  }

  /** Takes an own message back, for everybody. In a chat that is read-only: from others once it is open again. */
  async delete(id: ShownMessageId): Promise<void> {
    await this.#act(this.#mine(id), takingBack);
  }

  /** Sends an own message of state `failed` once more; the new message stands in its place. */
  async resend(id: ShownMessageId): Promise<Message> {
    const message = this.#lifecycle.worker().writing.resend(id);
    await durable(this.#device.store);
    return presentMessage(this.#lifecycle, message);
  }

  /** Lets an own message of state `failed` go, on all of one's devices. */
  async drop(id: ShownMessageId): Promise<void> {
    this.#lifecycle.worker().writing.drop(id);
  }

  /** Deletes a message for oneself, on all of one's devices. */
  async hide(target: ShownMessageName): Promise<void> {
    this.#lifecycle.worker().writing.hide(target);
  }

  /** Chooses options of a poll by their places; none takes the vote back. */
  async vote(target: ShownMessageName, options: readonly number[]): Promise<void> {
    await this.#act(target, voting(options));
  }

  /** Ends an own poll. */
  async closePoll(id: ShownMessageId): Promise<void> {
    await this.#act(this.#mine(id), closingPoll);
  }

  /** Gives a message of kind `view-once` as it is; it was wiped before this is fulfilled, on all of one's devices. */
  async openOnce(target: ShownMessageName): Promise<MessageRecord> {
    const opened = this.#lifecycle.worker().receipts.openOnce(target);
    await durable(this.#device.store);
    return opened;
  }

  /** Notes everything unread of a chat as read. */
  async markRead(chat: Recipient): Promise<void> {
    const other = await this.#other(chat);
    this.#lifecycle.worker().receipts.markChatRead(other);
  }

  /** A voice message or video was played. */
  async markPlayed(target: ShownMessageName): Promise<void> {
    this.#lifecycle.worker().receipts.markPlayed(target);
  }

  async #act(target: ShownMessageName, say: Saying): Promise<void> {
    await this.#lifecycle.worker().authoring.act(target, say);
  }

  #mine(id: ShownMessageId): ShownMessageName {
    return { author: knownPerson(this.#lifecycle.worker().authoring.own), id };
  }

  #scan(): ScanContext {
    return { transaction: work => this.#device.transaction(work), own: this.#device.own() };
  }

  async #scope(chat: Recipient | undefined): Promise<{ readonly chat?: ChatId }> {
    return chat === undefined ? {} : { chat: chatWith(await this.#lifecycle.worker().people.resolve(chat)) };
  }

  async #other(chat: Recipient): Promise<ChatId> {
    return chatWith(await this.#lifecycle.worker().people.other(chat));
  }

  async #present({ sequence, message }: MessageRow): Promise<ShownMessage> {
    return { sequence, message: await presentMessage(this.#lifecycle, message) };
  }
}

function clamp(limit: number, most: number): number {
  return Math.max(1, Math.min(limit, most));
}
