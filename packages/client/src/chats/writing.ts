// Messages that a person writes, and what they do with messages: answer, react, edit, take back, vote.
// Knows nothing of streams or encryption; says nothing about what was read (`receipts.ts`).
// Source: docs/protocol/09-content.md.
import { randomBytes } from 'node:crypto';
import { MESSAGE_ID_BYTES, type TextBody } from '@drawbridge/e2ee/content';
import { contentKindLimits } from '@drawbridge/e2ee/content-kinds';
import type { OwnProfile } from '../account/own-profile.ts';
import { excerptOf } from '../display/shown-text.ts';
import { ClientError } from '../errors.ts';
import { type Authoring, bytesOf, refOf } from '../history/authoring.ts';
import { fallbackFor, lackingOf } from '../history/capabilities.ts';
import { isShownBody, type MessageRecord, type ShownBody, textVersions } from '../history/message-log.ts';
import type { Transaction } from '../store/store.ts';
import { listCapabilities } from '../store/person-records.ts';
import { readChat, readEntry } from '../store/message-records.ts';
import { type ChatId, personOf, type MessageName } from '../history/message-names.ts';

/** Text, or another kind of message (`kind` says which). */
export type Outgoing = ((TextBody & { readonly kind?: 'text' }) | ShownBody) & {
  readonly replyTo?: Pick<MessageRecord, 'id' | 'author' | 'text' | 'sentAtMs'>;
  /** May be opened once by each reader; its author keeps no copy. */
  readonly viewOnce?: boolean;
};

export class Writing {
  readonly #authoring: Authoring;
  readonly #profile: OwnProfile;

  constructor(authoring: Authoring, profile: OwnProfile) {
    this.#authoring = authoring;
    this.#profile = profile;
  }

  /**
   * Puts a message into the outbox and the history, in one transaction (`within` runs in it too). It leaves as soon as
   * there is a stream.
   */
  send(chat: ChatId, outgoing: Outgoing, within: (tx: Transaction) => void = () => {}): MessageRecord {
    const authoring = this.#authoring;
    const { replyTo, viewOnce, ...given } = outgoing;
    const body: ShownBody = given.kind === undefined ? { ...given, kind: 'text' } : given;
    if (!isShownBody(body)) throw new ClientError('invalid-argument', { detail: 'kind' });
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    const id = messageId.toString('hex');
    const events = authoring.transaction(tx => {
      const { timer } = readChat(tx, chat);
      const expiry = timer === undefined || timer.seconds === 0 ? {} : { expiresAfterSeconds: timer.seconds };
      const once = viewOnce === true ? { viewOnce } : {};
      const lacking = lackingOf(listCapabilities(tx, personOf(chat)), authoring.nowMs());
      const words = fallbackFor(body, viewOnce === true, lacking);
      const fallback = words === undefined ? {} : { fallbackText: words };
      const sentAtMs = authoring.nowMs();
      const content = { messageId, sentAtMs, ...quoteOf(replyTo), ...expiry, ...once, ...fallback, body };
      const said = authoring.say(tx, chat, content, id);
      within(tx);
      this.#profile.introduce(tx, chat);
      return said;
    });
    authoring.announce(events, chat);
    return authoring.needMessage({ author: authoring.own, id });
  }

  /** Sends an own message that failed once more, as a new message in place of the old one. */
  resend(id: string): MessageRecord {
    const failed = this.#needFailed(id);
    const { kind, text, styles, mentions, preview, body, replyTo } = failed;
    if (kind !== 'text' && body === undefined) throw new ClientError('unknown-message');
    const said: Outgoing = body ?? {
      text,
      ...(styles === undefined ? {} : { styles }),
      ...(mentions === undefined ? {} : { mentions }),
      ...(preview === undefined ? {} : { preview }),
    };
    const quoted =
      replyTo === undefined
        ? {}
        : { replyTo: { id: replyTo.id, author: replyTo.author, text: replyTo.excerpt, sentAtMs: 0 } };
    const message = this.send(failed.chat, { ...said, ...quoted });
    this.hide(failed);
    return message;
  }

  /** Lets an own message that failed go, on all devices of this person. */
  drop(id: string): void {
    this.hide(this.#needFailed(id));
  }

  #needFailed(id: string): MessageRecord {
    const message = this.#authoring.needMessage({ author: this.#authoring.own, id });
    if (message.state !== 'failed') throw new ClientError('unknown-message', { detail: 'it has not failed' });
    return message;
  }

  /** An empty emoji takes the reaction back. */
  react(target: MessageName, emoji: string): Promise<MessageRecord> {
    return this.#authoring.act(target, message => ({ kind: 'reaction', target: refOf(message), emoji }));
  }

  /** Changes the words of an own message; what it said before is kept (`versions`). */
  edit(id: string, text: TextBody): Promise<MessageRecord> {
    return this.#authoring.act({ author: this.#authoring.own, id }, message => {
      if (message.kind !== 'text') throw new ClientError('unknown-message');
      return { kind: 'edit', targetMessageId: bytesOf(id), text };
    });
  }

  /** Takes an own message back, here and (as far as they keep to it) at the others. */
  delete(id: string): Promise<MessageRecord> {
    const target = { author: this.#authoring.own, id };
    return this.#authoring.act(target, () => ({ kind: 'delete', targetMessageId: bytesOf(id) }));
  }

  /** Deletes a message for oneself, on all devices of this person. */
  hide(target: MessageName): void {
    const message = this.#authoring.needMessage(target);
    const hidden = [{ message: refOf(message), chat: personOf(message.chat) }];
    this.#authoring.announce(this.#authoring.transaction(tx => this.#authoring.sync(tx, { hidden })));
  }

  /** Chooses in a poll; no options take the vote back. */
  vote(target: MessageName, options: readonly number[]): Promise<MessageRecord> {
    const { own } = this.#authoring;
    return this.#authoring.act(target, message => {
      if (message.body?.kind !== 'poll' || message.poll?.closed !== false) throw new ClientError('unknown-message');
      const { choices = message.body.options.length, options: offered } = message.body;
      const chosen = [...new Set(options)].sort((a, b) => a - b);
      if (chosen.length > choices || chosen.some(option => !(option in offered))) {
        throw new ClientError('invalid-argument', { detail: 'options' });
      }
      const before = this.#authoring.transaction(tx => readEntry(tx, target.author, target.id))?.votes?.[own];
      const version = Math.min((before?.at(-1)?.version ?? 0) + 1, contentKindLimits.maxVoteVersion);
      return { kind: 'poll-vote', poll: refOf(message), options: chosen, version };
    });
  }

  /** Ends an own poll: later votes don't count. */
  closePoll(id: string): Promise<MessageRecord> {
    return this.#authoring.act({ author: this.#authoring.own, id }, message => {
      if (message.kind !== 'poll') throw new ClientError('unknown-message');
      return { kind: 'poll-close', pollMessageId: bytesOf(id) };
    });
  }

  /** The texts that a message had, oldest first. */
  versions(target: MessageName): ReturnType<typeof textVersions> {
    const entry = this.#authoring.transaction(tx => readEntry(tx, target.author, target.id));
    if (entry === undefined) throw new ClientError('unknown-message');
    return textVersions(entry);
  }
}

function quoteOf(replyTo: Outgoing['replyTo']) {
  if (replyTo === undefined) return {};
  const { id, author, text, sentAtMs }: Partial<NonNullable<Outgoing['replyTo']>> = replyTo ?? {};
  if (typeof id !== 'string' || author === undefined || sentAtMs === undefined || typeof text !== 'string') {
    throw new ClientError('invalid-argument', { detail: 'replyTo is a message' });
  }
  return { replyTo: { target: { messageId: bytesOf(id), author, sentAtMs }, excerpt: excerptOf(text) } };
}
