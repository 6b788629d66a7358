// What could not be read, as a person sees it: a line where it would stand. Beyond a budget, and where no chat is concerned, a
// notice counts it, so that nobody fills a history with what says nothing.
// Knows nothing of why it could not be read, nor whether it is asked for again.
// Source: docs/protocol/09-content.md section 9.7.
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import type { ClientEvent } from '../events.ts';
import { addFact } from '../history/conversation.ts';
import { type ChatId, chatWith, type MessageName, personOf } from '../history/message-names.ts';
import { addNotice, takeNotice } from '../notices/notice-records.ts';
import { placeEntry } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';

export const unreadableLimits = {
  windowMs: 3_600_000,
  /** Lines within the window: in the chat with one person, and in all. */
  linesPerPerson: 30,
  linesInAll: 300,
} as const;

type Shown = { readonly isCounted: boolean; readonly events: readonly ClientEvent[] };

export class Unreadable {
  readonly #own: InteropId;
  readonly #clock: Clock;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  /** At most as many as `linesInAll`. */
  readonly #linesOf = new Map<ChatId, number>();

  constructor(own: InteropId, clock: Clock) {
    this.#own = own;
    this.#clock = clock;
  }

  /** A line of that chat; beyond the budget, and between one's own devices, it is counted. */
  show(tx: Transaction, target: MessageName & { readonly chat: ChatId }, place: number | undefined): Shown {
    const nowMs = this.#clock.nowMs();
    if (personOf(target.chat) === this.#own || !this.#hasRoom(target.chat, nowMs))
      return { isCounted: true, events: this.count(tx) };
    const posted = { body: { kind: 'lost' }, sentAtMs: nowMs, receivedAtMs: nowMs } as const;
    const events = addFact(tx, this.#own, target, { kind: 'posted', posted });
    if (place !== undefined) placeEntry(tx, target.author, target.id, place);
    return { isCounted: false, events };
  }

  /** In the notice alone. */
  count(tx: Transaction): readonly ClientEvent[] {
    const lines = addNotice(tx, { kind: 'unreadable' }, this.#clock.nowMs());
    return lines.map(message => ({ kind: 'message', change: 'new', message }));
  }

  /** One that was counted has been read after all. When nothing is left to be told, the words in the chat with oneself go too. */
  uncount(tx: Transaction): readonly ClientEvent[] {
    const line = takeNotice(tx, { kind: 'unreadable' });
    if (line === undefined) return [];
    const target = { author: this.#own, id: line, chat: chatWith(this.#own) };
    return addFact(tx, this.#own, target, { kind: 'gone', why: 'hidden' });
  }

  #hasRoom(chat: ChatId, nowMs: number): boolean {
    if (nowMs - this.#sinceMs >= unreadableLimits.windowMs || nowMs < this.#sinceMs) {
      this.#sinceMs = nowMs;
      this.#lines = 0;
      this.#linesOf.clear();
    }
    const lines = this.#linesOf.get(chat) ?? 0;
    if (lines >= unreadableLimits.linesPerPerson || this.#lines >= unreadableLimits.linesInAll) return false;
    this.#linesOf.set(chat, lines + 1);
    this.#lines++;
    return true;
  }
}
