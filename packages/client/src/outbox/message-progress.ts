// How far an own message has come, as its history and one's own other devices have it: queued, held, sent, failed.
// Knows nothing of rows, lanes or streams.
// Source: docs/protocol/09-content.md section 9.8.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type ContentBody, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { MessageRef, ProgressState } from '@drawbridge/e2ee/content-kinds';
import { nextStamp } from '@drawbridge/e2ee/hybrid-clock';
import type { UndeliveredCause } from '@drawbridge/wire/envelope';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import type { ClientEvent } from '../events.ts';
import { addFact } from '../history/conversation.ts';
import { hereTry, type LogEntry, type Progress, tryGoesOn } from '../history/message-log.ts';
import { type MessageName, personOf } from '../history/message-names.ts';
import { addNotice } from '../notices/notice-records.ts';
import { readStamp, writeStamp } from '../store/account-records.ts';
import { readEntry } from '../store/message-records.ts';
import {
  type Accepted,
  carriedBy,
  type OutboxRecord,
  readAccepted,
  readOutbox,
  writeOutbox,
} from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';
import type { Act } from '../history/acts.ts';
import type { Additions, AdditionsContext } from './additions.ts';
import { contentPayload } from './rows.ts';

export class MessageProgress {
  readonly #own: InteropId;
  readonly #clock: Clock;
  readonly #additions: Additions;

  constructor({ suite, clock }: AdditionsContext, additions: Additions) {
    this.#own = suite.local.interopId;
    this.#clock = clock;
    this.#additions = additions;
  }

  /** Gives what the caller announces after the commit. */
  set(
    tx: Transaction,
    record: Pick<OutboxRecord, 'messageId'> | undefined,
    state: ProgressState,
    failure?: Progress['failure'],
  ): ClientEvent[] {
    const own = this.#own;
    const entry = record?.messageId === undefined ? undefined : readEntry(tx, own, record.messageId);
    if (entry === undefined) return [];
    const progress = { state, ...(failure === undefined ? {} : { failure }) };
    if (!tryGoesOn(entry, progress)) return [];
    // One's own other devices have a copy, and take it for sent unless they hear something else.
    const before = (entry.tries === undefined ? entry.progress : entry.tries[hereTry])?.state;
    const isNews = before !== state && (state !== 'sent' || before === 'held');
    let atMs: number | undefined;
    if (isNews && entry.posted !== undefined) {
      const message = { messageId: Buffer.from(entry.id, 'hex'), author: own, sentAtMs: entry.posted.sentAtMs };
      const told = {
        message,
        chat: personOf(entry.chat),
        state,
        ...(failure === undefined ? {} : { reason: failure.code }),
      };
      atMs = this.#tellOwn(tx, { kind: 'device-sync', progress: [told] });
    }
    // By the same stamp here as there.
    return addFact(tx, own, entry, { kind: 'progress', progress, ...(atMs === undefined ? {} : { atMs }) });
  }

  /** Only the person whom a message was for can say so, and only until they say that it came. */
  notDelivered(
    tx: Transaction,
    stanzaId: StanzaId,
    person: InteropId,
    detail: UndeliveredCause | 'unreadable',
  ): ClientEvent[] {
    const row = readOutbox(tx, stanzaId);
    const carried = (row === undefined ? undefined : carriedBy(row)) ?? readAccepted(tx, stanzaId);
    if (typeof carried === 'object') return this.#actNotDelivered(tx, stanzaId, row, carried, person);
    const entry = carried === undefined ? undefined : readEntry(tx, this.#own, carried);
    if (entry === undefined || personOf(entry.chat) !== person) return [];
    if (entry.receipts !== undefined || entry.gone !== undefined) return [];
    return this.set(tx, { messageId: entry.id }, 'failed', { code: 'not-delivered', detail });
  }

  #actNotDelivered(
    tx: Transaction,
    stanzaId: StanzaId,
    row: OutboxRecord | undefined,
    { act, to }: Exclude<Accepted, string>,
    person: InteropId,
  ): ClientEvent[] {
    if (to !== person) return [];
    // Once, whoever asks again; the row may still be in flight.
    tx.delete('accepted', stanzaId);
    if (row !== undefined) {
      const { act: _, ...rest } = row;
      writeOutbox(tx, stanzaId, rest);
    }
    return this.notApplied(tx, person, act);
  }

  /**
   * What shows no message of its own has nowhere to say so: it is a notice, and a line of the chat, here and on one's own
   * other devices, which show it as said. They are told also where it is not news here: they may have acknowledged theirs.
   */
  notApplied(tx: Transaction, interopId: InteropId, act: Act): ClientEvent[] {
    const { what, message: name } = act;
    const told = { what, chat: interopId, ...(name === undefined ? {} : { message: refTo(tx, name) }) };
    if (interopId !== this.#own) this.#tellOwn(tx, { kind: 'device-sync', notApplied: [told] });
    const lines = addNotice(tx, { kind: 'not-applied', interopId, ...act }, this.#clock.nowMs());
    return lines.map(message => ({ kind: 'message', change: 'new', message }));
  }

  /**
   * Own messages whose time ran out before the gatekeeper had taken them over: a line in each chat, here and on one's own other
   * devices. They may have reached it all the same, where a stream ended in between.
   */
  neverSent(tx: Transaction, entries: readonly LogEntry[]): ClientEvent[] {
    const told = entries.map(({ id, author, chat }) => ({
      what: 'message' as const,
      message: refTo(tx, { author, id }),
      chat: personOf(chat),
    }));
    this.#tellOwn(tx, { kind: 'device-sync', notApplied: told });
    return [...new Set(told.map(({ chat }) => chat))].flatMap(interopId =>
      addNotice(tx, { kind: 'never-sent', interopId }, this.#clock.nowMs()).map(
        message => ({ kind: 'message', change: 'new', message }) as const,
      ),
    );
  }

  /** Gives its stamp. */
  #tellOwn(tx: Transaction, body: ContentBody<'device-sync'>): number {
    // Later than what was said of the message before, whatever the clock says.
    const sentAtMs = this.#clock.nowMs();
    const stampMs = nextStamp(sentAtMs, readStamp(tx));
    writeStamp(tx, stampMs);
    const encoded = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs, stampMs, body });
    assert(encoded.ok, 'a content of our own is sound');
    const to = this.#own;
    if (this.#additions.hasRoom(tx))
      this.#additions.add(tx, { to, payload: contentPayload(encoded.value), silent: true });
    return stampMs;
  }
}

function refTo(tx: Transaction, { author, id }: MessageName): MessageRef {
  const sentAtMs = readEntry(tx, author, id)?.posted?.sentAtMs ?? 0;
  return { messageId: Buffer.from(id, 'hex'), author, sentAtMs };
}
