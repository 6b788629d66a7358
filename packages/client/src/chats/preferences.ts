// How a person has set up a chat: pinned, muted, receipts, timer, draft; and whether they are typing.
// Knows nothing of messages.
// Source: docs/protocol/09-content.md section 9.9.
import { type Content, MAX_TIMER_VERSION } from '@drawbridge/e2ee/content';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { type Authoring, bytesOf, encoded } from '../history/authoring.ts';
import { type Capability, lackingOf } from '../history/capabilities.ts';
import { type ChatSettings, defaultsKey, isOn, type Timer } from '../history/chat-state.ts';
import { forgetMissing } from '../history/hearing.ts';
import { historyLimits } from '../history/history.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { listCapabilities } from '../store/person-records.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import { type ChatId, personOf } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';

export class Preferences {
  readonly #authoring: Authoring;
  readonly #outbox: Outbox;
  readonly #emit: (event: ClientEvent) => void;

  constructor(authoring: Authoring, outbox: Outbox, emit: (event: ClientEvent) => void) {
    this.#authoring = authoring;
    this.#outbox = outbox;
    this.#emit = emit;
  }

  /** Messages of this chat from now on disappear so long after they were read; 0: they stay. For both sides. */
  setTimer(chat: ChatId, seconds: number): void {
    const events = this.#authoring.transaction(tx => {
      const known = [readChat(tx, chat)].flatMap(({ timer, otherTimer }) => [timer, otherTimer]);
      const version = Math.min(Math.max(...known.map(each => each?.version ?? 0)) + 1, MAX_TIMER_VERSION);
      const content = this.#authoring.content({ kind: 'expiry-timer', seconds, version });
      const theirs = known.find(each => each?.by === personOf(chat));
      return this.#authoring.say(tx, chat, theirs === undefined ? content : replacing(content, theirs));
    });
    this.#authoring.announce(events, chat);
  }

  /** Without a chat: what holds for all chats that say nothing of their own. */
  set(chat: ChatId | undefined, settings: ChatSettings): void {
    const named = chat === undefined ? {} : { chat: personOf(chat) };
    const chats = [{ ...named, ...settings }];
    this.#authoring.announce(this.#authoring.transaction(tx => this.#authoring.sync(tx, { chats })));
  }

  /** Text that is not sent yet; of this device alone. Empty: none. */
  setDraft(chat: ChatId, text: string): void {
    if (typeof text !== 'string' || Buffer.byteLength(text) > historyLimits.maxDraftBytes) {
      throw new ClientError('invalid-argument', { detail: 'draft' });
    }
    this.#authoring.transaction(tx => {
      const { draft: _, ...rest } = readChat(tx, chat);
      writeChat(tx, text === '' ? rest : { ...rest, draft: text });
    });
    this.#emit({ kind: 'chat', chat });
  }

  /** Gives up on what did not come. */
  dismissMissing(chat: ChatId): void {
    if (this.#authoring.transaction(tx => forgetMissing(tx, chat))) this.#emit({ kind: 'missing', chat, count: 0 });
  }

  /** What some device of a person can't show; undefined when nothing is known of their devices. */
  lacking(chat: ChatId): Capability[] | undefined {
    return this.#authoring.transaction(tx => lackingOf(listCapabilities(tx, personOf(chat)), this.#authoring.nowMs()));
  }

  async typing(to: ChatId, state: 'started' | 'stopped'): Promise<void> {
    const isSent = this.#authoring.transaction(tx =>
      isOn('sendTyping', chatInForce(tx, to), readChat(tx, defaultsKey), true),
    );
    if (!isSent) return;
    await this.#outbox.sendTransient(to, encoded(this.#authoring.content({ kind: 'typing', state })));
  }
}

/** A setting names the last one of the other person as what it answers. */
function replacing(content: Content, { id, by, atMs }: Timer): Content {
  return { ...content, replyTo: { target: { messageId: bytesOf(id), author: by, sentAtMs: atMs }, excerpt: '' } };
}
