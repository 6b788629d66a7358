// Messages that a person writes, sends again, lets go or hides.
// Knows nothing of streams or encryption, nor of what is said about messages (`history/acts.ts`) or was read (`receipts.ts`).
// Source: docs/protocol/09-content.md.
import { randomBytes } from 'node:crypto';
import { MESSAGE_ID_BYTES, type TextBody } from '@drawbridge/e2ee/content';
import type { OwnProfile } from '../account/own-profile.ts';
import { excerptOf } from '../display/shown-text.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { type Authoring, bytesOf, refOf } from '../history/authoring.ts';
import { fallbackFor, lackingOf } from '../history/capabilities.ts';
import { isShownBody, type MessageRecord, type ShownBody, textVersions } from '../history/message-log.ts';
import type { Transaction } from '../store/store.ts';
import { listCapabilities } from '../store/person-records.ts';
import { readChat, readEntry } from '../store/message-records.ts';
import { type ChatId, type ShownMessageId, messageIdOf, type MessageName, personOf } from '../history/message-names.ts';

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
    const id = messageIdOf(messageId);
    const events = authoring.transaction(tx => {
      const { timer } = readChat(tx, chat);
      const expiry = timer === undefined || timer.seconds === 0 ? {} : { expiresAfterSeconds: timer.seconds };
      const once = viewOnce === true ? { viewOnce } : {};
      const fallback = this.#fallback(tx, chat, body, viewOnce === true);
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

  /** What is shown where devices of the other can't show this. */
  #fallback(tx: Transaction, chat: ChatId, body: ShownBody, isOnce: boolean): { readonly fallbackText?: string } {
    const lacking = lackingOf(listCapabilities(tx, personOf(chat)), this.#authoring.nowMs());
    const words = fallbackFor(body, isOnce, lacking);
    return words === undefined ? {} : { fallbackText: words };
  }

  /**
   * Sends an own message that failed once more, in one transaction: under its id, so that whoever has it already, from this
   * device or another, shows it once.
   */
  resend(id: ShownMessageId): MessageRecord {
    const authoring = this.#authoring;
    const failed = this.#needFailed(id);
    const { kind, text, styles, mentions, preview, body: shown, replyTo, sentAtMs, chat } = failed;
    if (kind !== 'text' && shown === undefined) throw new ClientError('not-kept');
    // Under its id others would be taken for it, and what this version does not know would be lost in silence.
    if (this.#isOfNewerVersion(id))
      throw new ClientError('not-applicable', { detail: 'a newer version wrote it: send it again on that device' });
    const body: ShownBody = shown ?? {
      kind: 'text',
      text,
      ...(styles === undefined ? {} : { styles }),
      ...(mentions === undefined ? {} : { mentions }),
      ...(preview === undefined ? {} : { preview }),
    };
    const { expiresAfterSeconds } = failed;
    const quoted = replyTo && { id: replyTo.id, author: replyTo.author, text: replyTo.excerpt, sentAtMs: 0 };
    const events = authoring.transaction(tx => {
      forgetCarriers(tx, { author: authoring.own, id });
      const fallback = this.#fallback(tx, chat, body, false);
      const expiry = expiresAfterSeconds === undefined ? {} : { expiresAfterSeconds };
      const content = { messageId: bytesOf(id), sentAtMs, ...quoteOf(quoted), ...expiry, ...fallback, body };
      const said = authoring.say(tx, chat, content, id);
      this.#profile.introduce(tx, chat);
      return said;
    });
    authoring.announce(events, chat);
    return authoring.needMessage({ author: authoring.own, id });
  }

  #isOfNewerVersion(id: string): boolean {
    const { own } = this.#authoring;
    return this.#authoring.transaction(tx => readEntry(tx, own, id)?.posted?.raw) !== undefined;
  }

  /** Lets an own message that failed go, on all devices of this person. */
  drop(id: ShownMessageId): void {
    this.hide(this.#needFailed(id));
  }

  #needFailed(id: ShownMessageId): MessageRecord {
    const message = this.#authoring.needMessage({ author: this.#authoring.own, id });
    if (message.state !== 'failed') throw new ClientError('not-applicable', { detail: 'it has not failed' });
    return message;
  }

  /** Deletes a message for oneself, on all devices of this person. */
  hide(target: MessageName): void {
    const message = this.#authoring.needMessage(target);
    this.#authoring.announce(this.#authoring.transaction(tx => this.#hide(tx, message)));
  }

  #hide(tx: Transaction, message: MessageRecord): ClientEvent[] {
    return this.#authoring.sync(tx, { hidden: [{ message: refOf(message), chat: personOf(message.chat) }] });
  }

  /** The texts that a message had, oldest first. */
  versions(target: MessageName): ReturnType<typeof textVersions> {
    const entry = this.#authoring.transaction(tx => readEntry(tx, target.author, target.id));
    if (entry === undefined) throw new ClientError('unknown-message');
    return textVersions(entry);
  }
}

/** What the gatekeeper says from now on of the stanzas that carried it concerns what was said before. */
function forgetCarriers(tx: Transaction, { author, id }: MessageName): void {
  for (const stanza of readEntry(tx, author, id)?.stanzas ?? []) tx.delete('accepted', stanza);
}

function quoteOf(replyTo: Outgoing['replyTo']) {
  if (replyTo === undefined) return {};
  const { id, author, text, sentAtMs }: Partial<NonNullable<Outgoing['replyTo']>> = replyTo ?? {};
  if (typeof id !== 'string' || author === undefined || sentAtMs === undefined || typeof text !== 'string') {
    throw new ClientError('invalid-argument', { detail: 'replyTo is a message' });
  }
  return { replyTo: { target: { messageId: bytesOf(id), author, sentAtMs }, excerpt: excerptOf(text) } };
}
