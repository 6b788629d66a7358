// What a person has read and played: noted here, told to their other devices, and to the authors as far as that is switched
// on. Messages that may be seen once are opened here too, since opening is reading.
// Knows nothing of how a receipt travels.
// Source: docs/protocol/09-content.md section 9.9.
import { contentKindLimits } from '@drawbridge/e2ee/content-kinds';
import { isMoving } from '../directory/moved-names.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { type Authoring, refOf } from '../history/authoring.ts';
import { defaultsKey, isOn } from '../history/chat-state.ts';
import { addFact } from '../history/conversation.ts';
import { historyLimits, listMessages, shownAs } from '../history/history.ts';
import type { MessageRecord, ReceiptKind } from '../history/message-log.ts';
import { outboxLimits } from '../outbox/limits.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { Transaction } from '../store/store.ts';
import { readChat, readEntry } from '../store/message-records.ts';
import { type ChatId, personOf, type MessageName } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';

export class Receipts {
  readonly #authoring: Authoring;
  readonly #outbox: Outbox;

  constructor(authoring: Authoring, outbox: Outbox) {
    this.#authoring = authoring;
    this.#outbox = outbox;
  }

  /** Notes incoming messages as read, and says so to their author as far as that is switched on. */
  markRead(targets: readonly MessageName[]): void {
    this.#mark(targets, 'read');
  }

  /** A voice message or video was played: it counts as read. */
  markPlayed(target: MessageName): void {
    this.#mark([target], 'played');
  }

  /** Everything unread of a chat. */
  markChatRead(chat: ChatId): void {
    const { own } = this.#authoring;
    const unread = this.#authoring.transaction(tx => {
      const found: MessageRecord[] = [];
      let before: number | undefined;
      while (found.length < readChat(tx, chat).unread) {
        const page = { chat, newest: true, limit: historyLimits.pageRows };
        const rows = listMessages(tx, own, { ...page, ...(before === undefined ? {} : { before }) });
        if (rows.length === 0) break;
        for (const { message } of rows) if (message.author !== own && message.read !== true) found.push(message);
        before = rows.at(-1)!.sequence;
      }
      return found;
    });
    this.markRead(unread);
  }

  /** Gives a message that may be seen once, and wipes it on all devices of this person before that. */
  openOnce(target: MessageName): MessageRecord {
    const { own } = this.#authoring;
    const opened = this.#authoring.transaction(tx => {
      const entry = readEntry(tx, target.author, target.id);
      if (entry?.posted === undefined || entry.gone !== undefined) return undefined;
      if (entry.posted.viewOnce !== true || entry.author === own)
        throw new ClientError('not-applicable', { detail: 'it is not for you to be seen once' });
      const { viewOnce: _, ...posted } = entry.posted;
      const message = shownAs(tx, own, { ...entry, posted });
      if (message === undefined) return undefined;
      const readAtMs = this.#authoring.nowMs();
      const reads = [{ message: refOf(message), chat: personOf(message.chat), readAtMs, opened: true }];
      const events = this.#authoring.sync(tx, { reads });
      this.#tell(tx, message.chat, 'played', [message.id]);
      return { message, events };
    });
    if (opened === undefined) throw new ClientError('unknown-message');
    this.#authoring.announce(opened.events, opened.message.chat);
    return opened.message;
  }

  #mark(targets: readonly MessageName[], receipt: 'read' | 'played'): void {
    const changed = this.#authoring.transaction(tx => {
      const messages = targets.flatMap(target => this.#newlyMarked(tx, target, receipt));
      const events: ClientEvent[] = [];
      const { maxSyncEntries } = contentKindLimits;
      for (let at = 0; at < messages.length; at += maxSyncEntries) {
        const readAtMs = this.#authoring.nowMs();
        const reads = messages
          .slice(at, at + maxSyncEntries)
          .map(message => ({ message: refOf(message), chat: personOf(message.chat), readAtMs }));
        events.push(...this.#authoring.sync(tx, { reads }));
      }
      for (const [chat, those] of Map.groupBy(messages, message => message.chat)) {
        const ids = those.filter(({ kind }) => kind !== 'lost' && kind !== 'notice').map(({ id }) => id);
        this.#tell(tx, chat, receipt, ids);
      }
      return { events, chats: new Set(messages.map(message => message.chat)) };
    });
    this.#authoring.announce(changed.events, ...changed.chats);
  }

  /** The message, when the receipt says something new of it. */
  #newlyMarked(tx: Transaction, target: MessageName, receipt: 'read' | 'played'): MessageRecord[] {
    const { own } = this.#authoring;
    const entry = readEntry(tx, target.author, target.id);
    const message = entry === undefined ? undefined : shownAs(tx, own, entry);
    if (message === undefined || message.author === own) return [];
    if (receipt === 'read') return message.read === true ? [] : [message];
    if (entry?.receipts?.played !== undefined) return [];
    addFact(tx, own, message, { kind: 'receipt', receipt, atMs: this.#authoring.nowMs() });
    return [message];
  }

  /** A receipt, when that is switched on, and nobody else is said to be this person. */
  #tell(tx: Transaction, chat: ChatId, receipt: ReceiptKind, messageIds: readonly string[]): void {
    const field = receipt === 'played' ? 'sendPlayed' : 'sendRead';
    if (isMoving(tx, personOf(chat)) || !isOn(field, chatInForce(tx, chat), readChat(tx, defaultsKey), true)) return;
    for (let at = 0; at < messageIds.length; at += outboxLimits.maxReceipts) {
      const ids = messageIds.slice(at, at + outboxLimits.maxReceipts);
      this.#outbox.add(tx, { to: chat, payload: { kind: 'receipt', receipt, messageIds: ids }, silent: true });
    }
  }
}
