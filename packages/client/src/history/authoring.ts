// What this device says: a content becomes a row of the outbox for its recipient, a copy for one's own other devices, and a
// change of the history here, all in the caller's transaction.
// Knows nothing of kinds of messages, nor of how rows leave.
// Source: docs/protocol/09-content.md sections 9.4 and 9.9.
import { randomBytes } from 'node:crypto';
import {
  type Content,
  type ContentBody,
  decodeContent,
  encodeContent,
  MESSAGE_ID_BYTES,
  type MessageRef,
} from '@drawbridge/e2ee/content';
import type { DeviceSync, Overruled } from '@drawbridge/e2ee/content-kinds';
import { nextStamp } from '@drawbridge/e2ee/hybrid-clock';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import { refuseWhileMoved } from '../directory/moved-names.ts';
import { refuseOptedOut } from '../directory/provider-consents.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { NewRow } from '../outbox/additions.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { contentPayload } from '../outbox/rows.ts';
import { numberOf } from '../outbox/unsaid.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { readStamp, writeStamp } from '../store/account-records.ts';
import { readEntry } from '../store/message-records.ts';
import { writeTranscript } from '../store/outbox-records.ts';
import { transact } from '../store/transact.ts';
import { actOf, type Saying } from './acts.ts';
import { addFact, addSaid } from './conversation.ts';
import { readMessage, saidAgain } from './history.ts';
import type { MessageRecord } from './message-log.ts';
import { takeOverruled } from './kept-overruled.ts';
import { type ChatId, chatWith, type MessageId, messageIdOf, type MessageName, personOf } from './message-names.ts';

export type AuthoringContext = {
  readonly store: EncryptedStore;
  /** The InteropId of this person. */
  readonly own: InteropId;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly emit: (event: ClientEvent) => void;
};

export class Authoring {
  readonly own: InteropId;
  readonly #context: AuthoringContext;

  constructor(context: AuthoringContext) {
    this.#context = context;
    this.own = context.own;
  }

  nowMs(): number {
    return this.#context.clock.nowMs();
  }

  transaction<T>(work: (tx: Transaction) => T): T {
    return transact(this.#context.store, work);
  }

  content(body: ContentBody): Content {
    return { messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: this.nowMs(), body };
  }

  /** A message that stands in the history. */
  needMessage(target: MessageName): MessageRecord {
    const message = this.transaction(tx => readMessage(tx, this.own, target));
    if (message === undefined || message.kind === 'hidden' || message.kind === 'expired') {
      throw new ClientError('unknown-message');
    }
    return message;
  }

  /** Says something about a message that is here. */
  async act(target: MessageName, say: Saying): Promise<MessageRecord> {
    const message = this.needMessage(target);
    if (message.kind === 'lost' || message.kind === 'notice')
      throw new ClientError('not-applicable', { detail: 'it is a line of this device' });
    const state = this.transaction(tx => readEntry(tx, target.author, target.id)) ?? {};
    const content = this.content(say(message, refOf(message), state, this.own));
    const isOwn = target.author === this.own;
    const events = this.transaction(tx => this.say(tx, message.chat, content, isOwn ? target.id : undefined));
    this.announce(events, message.chat);
    // oxlint-disable-next-line typescript/return-await -- a refusal is a rejection, as for all of these
    return this.needMessage(target);
  }

  /**
   * A content for somebody, a copy for one's own other devices, and what it changes here. `about` is the own message that
   * it is, or is about: the copies on their way are wiped with it. Throws `untrusted-identity` while a name of theirs waits
   * for a person's decision.
   */
  say(tx: Transaction, chat: ChatId, content: Content, about?: MessageId): ClientEvent[] {
    const { outbox } = this.#context;
    // What was said can be taken back whoever has it: here at once, there when the chat is open again.
    if (content.body.kind !== 'delete') {
      refuseWhileMoved(tx, personOf(chat));
      refuseOptedOut(tx, personOf(chat));
    }
    for (const unsaid of outbox.unsaid(tx, chat)) this.#post(tx, chat, unsaid, false);
    const said = stamped(tx, content);
    const bytes = outbox.bound(tx, chat, encoded(said));
    const id = messageIdOf(content.messageId);
    const isMessage = about === id;
    const isAgain = isMessage && readEntry(tx, this.own, id)?.posted !== undefined;
    const { sent, copied } = this.#post(
      tx,
      chat,
      bytes,
      true,
      isMessage ? { messageId: id } : acting(this.own, content.body),
    );
    this.tellOverruled(tx, chat);
    const events = this.#keep(tx, chat, bytes);
    if (about === undefined) return events;
    const target = { author: this.own, id: about, chat };
    addFact(tx, this.own, target, { kind: 'carried', stanzas: [sent, copied] });
    if (!isMessage) return events;
    const queued = { kind: 'progress', progress: { state: 'queued' }, atMs: said.stampMs } as const;
    const progress = addFact(tx, this.own, target, queued);
    if (isAgain) {
      saidAgain(tx, target, this.nowMs());
      return [...events, ...progress];
    }
    const message = readMessage(tx, this.own, target)!;
    return events.map(event => (event.kind === 'message' ? { ...event, message } : event));
  }

  /** One row for somebody, and one with a copy for one's own other devices. */
  #post(
    tx: Transaction,
    chat: ChatId,
    content: Uint8Array,
    isHeard: boolean,
    named: Pick<NewRow, 'messageId' | 'act'> = {},
  ): { readonly sent: string; readonly copied: string } {
    const { outbox } = this.#context;
    const to = personOf(chat);
    const sent = outbox.add(tx, { to, payload: contentPayload(content), silent: !isHeard, ...named });
    const transcript = encoded(this.content({ kind: 'sent-transcript', to, content }));
    const copied = outbox.add(tx, { to: this.own, payload: contentPayload(transcript), silent: true });
    const { messageId } = named;
    writeTranscript(tx, copied, { chat, number: numberOf(content), ...(messageId === undefined ? {} : { messageId }) });
    return { sent, copied };
  }

  /** Tells somebody, to whom something is said anyway, what of theirs does not count here. */
  tellOverruled(tx: Transaction, chat: ChatId): void {
    for (const each of takeOverruled(tx, chat)) this.overruled(tx, personOf(chat), each);
  }

  /** It is said again with a later stamp where it was said last. */
  overruled(tx: Transaction, to: InteropId, overruled: Overruled): void {
    const { outbox } = this.#context;
    const content = encoded(this.content({ ...overruled, kind: 'overruled' }));
    if (outbox.hasRoom(tx)) outbox.add(tx, { to, payload: contentPayload(content), silent: true });
  }

  /** Done here, and told to the person's other devices. */
  sync(tx: Transaction, sync: DeviceSync): ClientEvent[] {
    return this.sayToOwn(tx, this.content({ ...sync, kind: 'device-sync' }));
  }

  /** For one's own other devices alone, and done here. */
  sayToOwn(tx: Transaction, content: Content): ClientEvent[] {
    const bytes = encoded(stamped(tx, content));
    this.#context.outbox.add(tx, { to: this.own, payload: contentPayload(bytes), silent: true });
    return this.#keep(tx, chatWith(this.own), bytes);
  }

  /** After the commit: tells the application, and sends what waits for these people and for one's own devices. */
  announce(events: readonly ClientEvent[], ...recipients: readonly string[]): void {
    const { emit, outbox } = this.#context;
    for (const event of events) emit(event);
    for (const to of recipients) outbox.wake(to);
    outbox.wake(this.own);
  }

  /** What this device says goes the way of what its person's other devices say. */
  #keep(tx: Transaction, chat: ChatId, bytes: Uint8Array): ClientEvent[] {
    const content = decodeContent(bytes);
    if (!content.ok) throw new ClientError('content-refused', { detail: content.error.code });
    const nowMs = this.nowMs();
    return addSaid(tx, this.own, { author: this.own, chat, content: content.value, receivedAtMs: nowMs }, nowMs);
  }
}

function acting(own: InteropId, body: ContentBody): Pick<NewRow, 'act'> {
  const act = actOf(own, body);
  return act === undefined ? {} : { act };
}

/** A content with its hybrid logical stamp: after everything that was said or heard here, whatever the clock says. */
function stamped(tx: Transaction, content: Content): Content & { readonly stampMs: number } {
  const stampMs = nextStamp(content.sentAtMs, readStamp(tx));
  writeStamp(tx, stampMs);
  return { ...content, stampMs };
}

export function refOf({ id, author, sentAtMs }: MessageRecord): MessageRef {
  return { messageId: bytesOf(id), author, sentAtMs };
}

/** The bytes of a message id. */
export function bytesOf(id: string): Uint8Array {
  return Buffer.from(id, 'hex');
}

/** Throws `content-refused` for a content that breaks a limit. */
export function encoded(content: Content): Uint8Array {
  const result = encodeContent(content);
  if (result.ok) return result.value;
  const { error } = result;
  throw new ClientError('content-refused', { detail: error.code === 'invalid-content' ? error.field : error.code });
}
