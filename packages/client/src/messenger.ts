// One enlisted device at work: a live stream, the outbox, the inbox, its keys in the directory, and what a person does with
// messages. Knows nothing of enlistment, folders or passphrases.
// Source: docs/protocol/04-streams.md, 06-stanzas.md, 09-content.md.
import { randomBytes } from 'node:crypto';
import {
  type Content,
  type ContentBody,
  encodeContent,
  MESSAGE_ID_BYTES,
  type TextBody,
} from '@drawbridge/e2ee/content';
import type { E2eeSuite, KeyPublication } from '@drawbridge/e2ee/suite';
import { isInteropId, parseJid } from '@drawbridge/wire/jid';
import type { Clock, Random } from './clock.ts';
import { Connection, type ConnectionStatus } from './connection.ts';
import { countKeys, identify, type KeyCounts, lookUp, publishKeys, type Request } from './directory.ts';
import { ClientError } from './errors.ts';
import type { ClientEvent } from './events.ts';
import { contentPayload, deleted, Inbox, textFields } from './inbox.ts';
import { committed, Outbox, type Sending } from './outbox.ts';
import {
  type AccountRecord,
  type ContactRecord,
  findContact,
  forgetContact,
  type MessageRecord,
  readContact,
  readMessage,
  writeContact,
  writeMessage,
} from './records.ts';
import type { EncryptedStore, Transaction } from './store/encrypted-store.ts';
import type { ConnectTransport } from './transport.ts';

/** How often rotation by age and lost messages are looked at while a stream is up. */
const upkeepMs = 3_600_000;
/** Rounds of publishing keys for one count: at most 50 of each kind go in one. */
const maxPublishRounds = 4;

/** Who is meant: by the name that people know, by InteropId, or by bare JID. */
export type Recipient =
  | string
  | { readonly provider: string; readonly identifier: string }
  | { readonly interopId: string };

/** Somebody, as far as is known here. */
export type Contact = {
  readonly interopId: string;
  readonly provider: string | undefined;
  readonly identifier: string | undefined;
};

export type OutgoingText = TextBody & { readonly replyTo?: Pick<MessageRecord, 'id' | 'author' | 'text' | 'sentAtMs'> };

export type MessengerSettings = {
  readonly store: EncryptedStore;
  readonly suite: E2eeSuite;
  readonly account: AccountRecord;
  readonly connect: ConnectTransport;
  readonly proof: (transport: 'xmpp' | 'compact') => Promise<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly deliveryReceipts: boolean;
  readonly emit: (event: ClientEvent) => void;
};

export class Messenger {
  readonly #settings: MessengerSettings;
  readonly #connection: Connection<Sending>;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  #keysWork: Promise<void> = Promise.resolve();
  #cancelUpkeep: (() => void) | undefined;

  constructor(settings: MessengerSettings) {
    this.#settings = settings;
    const { store, suite, account, clock, random, emit } = settings;
    const { domain } = account;
    const request: Request = (type, payload) => this.#connection.request(type, payload);
    this.#outbox = new Outbox({
      store,
      suite,
      domain,
      clock,
      random,
      request,
      emit,
      send: (stanza, sending) => this.#connection.send(stanza, sending),
    });
    this.#inbox = new Inbox({
      store,
      suite,
      domain,
      clock,
      emit,
      outbox: this.#outbox,
      deliveryReceipts: settings.deliveryReceipts,
      keysLow: counts => this.#keepKeys(counts),
    });
    this.#connection = new Connection<Sending>(
      { domain, connect: settings.connect, proof: settings.proof, clock, random },
      {
        message: (element, resolve) => this.#inbox.receive(element, resolve),
        delivered: sendings => this.#outbox.delivered(sendings),
        status: status => this.#status(status),
      },
    );
  }

  get status(): ConnectionStatus {
    return this.#connection.status;
  }

  /** Begins to connect and goes on trying. */
  start(): void {
    this.#connection.start();
    this.#connection.retryNow();
  }

  readonly request: Request = (type, payload) => this.#connection.request(type, payload);

  async close(): Promise<void> {
    this.#cancelUpkeep?.();
    this.#outbox.close();
    // First what is under way is kept, so that it can still be acknowledged.
    await this.#inbox.close();
    await this.#connection.close();
    await this.#keysWork;
  }

  /** The InteropId of a recipient; asks the directory for names that are not known yet. */
  async resolve(recipient: Recipient): Promise<string> {
    if (typeof recipient === 'string') {
      const local = recipient.includes('@') ? parseJid(recipient)?.local : recipient;
      if (local === undefined || !isInteropId(local))
        throw new ClientError('invalid-argument', { detail: 'recipient' });
      return local;
    }
    if ('interopId' in recipient) {
      if (!isInteropId(recipient.interopId)) throw new ClientError('invalid-argument', { detail: 'recipient' });
      return recipient.interopId;
    }
    const { provider, identifier } = recipient;
    const known = this.#transaction(tx => findContact(tx, provider, identifier));
    return known ?? this.find(provider, identifier);
  }

  /** Asks the directory, even when the name is known already: people move. */
  async find(provider: string, identifier: string): Promise<string> {
    const { domain } = this.#settings.account;
    try {
      const jid = await lookUp(this.request, provider, identifier, domain);
      const interopId = parseJid(jid)!.local;
      const providerNumber = Number(interopId.split('-')[0]);
      this.#transaction(tx => writeContact(tx, interopId, { provider, providerNumber, identifier }));
      return interopId;
    } catch (error) {
      if (error instanceof ClientError && error.code === 'not-found') {
        this.#transaction(tx => forgetContact(tx, provider, identifier));
      }
      throw error;
    }
  }

  /** Who an InteropId is; asked once, then remembered. Unknown parts stay undefined when nobody can say now. */
  async contact(interopId: string): Promise<Contact> {
    let known: ContactRecord | undefined = this.#transaction(tx => readContact(tx, interopId));
    if (known === undefined && this.status.kind === 'online') {
      try {
        const person = await identify(this.request, `${interopId}@${this.#settings.account.domain}`);
        this.#transaction(tx => writeContact(tx, interopId, person));
        known = person;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
      }
    }
    return { interopId, provider: known?.provider, identifier: known?.identifier };
  }

  /** Puts a message into the outbox and the history, in one transaction. It leaves as soon as there is a stream. */
  async sendText(recipient: Recipient, outgoing: OutgoingText): Promise<MessageRecord> {
    const { suite, clock } = this.#settings;
    const chat = await this.resolve(recipient);
    const author = suite.local.interopId;
    if (chat === author) throw new ClientError('invalid-argument', { detail: 'a message to oneself' });
    const { replyTo, ...body } = outgoing;
    const nowMs = clock.nowMs();
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    const quote =
      replyTo === undefined ? undefined : { id: replyTo.id, author: replyTo.author, excerpt: excerptOf(replyTo.text) };
    const content = encoded({
      messageId,
      sentAtMs: nowMs,
      body: { kind: 'text', ...body },
      ...(replyTo === undefined
        ? {}
        : {
            replyTo: {
              target: { messageId: bytesOf(replyTo.id), author: replyTo.author, sentAtMs: replyTo.sentAtMs },
              excerpt: excerptOf(replyTo.text),
            },
          }),
    });
    const message: MessageRecord = {
      id: messageId.toString('hex'),
      author,
      chat,
      kind: 'text',
      ...textFields(body),
      ...(quote === undefined ? {} : { replyTo: quote }),
      sentAtMs: nowMs,
      receivedAtMs: nowMs,
      state: 'queued',
    };
    this.#transaction(tx => {
      writeMessage(tx, message);
      this.#post(tx, chat, content, message.id);
    });
    this.#settings.emit({ kind: 'message', change: 'new', message });
    this.#wake(chat);
    return message;
  }

  /** An empty emoji takes the reaction back. */
  react(target: Pick<MessageRecord, 'author' | 'id'>, emoji: string): Promise<MessageRecord> {
    const own = this.#settings.suite.local.interopId;
    return this.#act(target, message => {
      const { [own]: _, ...others } = message.reactions ?? {};
      const reactions = emoji === '' ? others : { ...others, [own]: emoji };
      const ref = { messageId: bytesOf(message.id), author: message.author, sentAtMs: message.sentAtMs };
      return { body: { kind: 'reaction', target: ref, emoji }, next: { ...message, reactions } };
    });
  }

  /** Changes the words of an own message. */
  edit(id: string, text: TextBody): Promise<MessageRecord> {
    return this.#act({ author: this.#settings.suite.local.interopId, id }, message => {
      if (message.kind !== 'text') throw new ClientError('unknown-message');
      const { styles: _styles, mentions: _mentions, ...rest } = message;
      const next = { ...rest, ...textFields(text), edited: true };
      return { body: { kind: 'edit', targetMessageId: bytesOf(id), text }, next };
    });
  }

  /** Takes an own message back, here and (as far as they keep to it) at the others. */
  delete(id: string): Promise<MessageRecord> {
    return this.#act({ author: this.#settings.suite.local.interopId, id }, message => ({
      body: { kind: 'delete', targetMessageId: bytesOf(id) },
      next: deleted(message),
    }));
  }

  /** Notes an incoming message as read, and says so to its author. */
  markRead(author: string, id: string): void {
    const own = this.#settings.suite.local.interopId;
    const changed = this.#transaction(tx => {
      const message = readMessage(tx, author, id);
      if (message === undefined || message.author === own || message.read === true) return undefined;
      const next = { ...message, read: true };
      writeMessage(tx, next);
      if (message.kind !== 'lost') {
        const payload = { kind: 'receipt', receipt: 'read', messageIds: [id] } as const;
        this.#outbox.add(tx, { to: author, payload, silent: true });
      }
      return next;
    });
    if (changed === undefined) return;
    this.#settings.emit({ kind: 'message', change: 'state', message: changed });
    this.#outbox.wake(author);
  }

  async typing(recipient: Recipient, state: 'started' | 'stopped'): Promise<void> {
    const to = await this.resolve(recipient);
    const body = { kind: 'typing', state } as const;
    const content = encoded({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: this.#settings.clock.nowMs(), body });
    await this.#outbox.sendTransient(to, content);
  }

  /** A person has accepted somebody's new identity key: what waited for it goes on. */
  identityAccepted(interopId: string): void {
    this.#inbox.readHeld(interopId);
    this.#outbox.wake(interopId);
  }

  /** Another device of this person was let in and will come. */
  expectOwnDevice(): void {
    this.#outbox.expectOwnDevice();
  }

  /** The person's own devices have changed. */
  forgetDevices(interopId: string): void {
    this.#outbox.forgetDevices(interopId);
  }

  async #act(
    target: Pick<MessageRecord, 'author' | 'id'>,
    make: (message: MessageRecord) => { body: ContentBody; next: MessageRecord },
  ): Promise<MessageRecord> {
    const message = this.#transaction(tx => readMessage(tx, target.author, target.id));
    if (message === undefined || message.kind === 'deleted' || message.kind === 'lost') {
      throw new ClientError('unknown-message');
    }
    const { body, next } = make(message);
    const nowMs = this.#settings.clock.nowMs();
    const content = encoded({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: nowMs, body });
    this.#transaction(tx => {
      writeMessage(tx, next);
      this.#post(tx, message.chat, content);
    });
    this.#settings.emit({ kind: 'message', change: 'content', message: next });
    this.#wake(message.chat);
    return next;
  }

  /** A content for somebody, and a copy for one's own other devices. */
  #post(tx: Transaction, to: string, content: Uint8Array, messageId?: string): void {
    const { suite, clock } = this.#settings;
    const own = suite.local.interopId;
    const named = messageId === undefined ? {} : { messageId };
    this.#outbox.add(tx, { to, payload: contentPayload(content), silent: false, ...named });
    const transcript = encoded({
      messageId: randomBytes(MESSAGE_ID_BYTES),
      sentAtMs: clock.nowMs(),
      body: { kind: 'sent-transcript', to, content },
    });
    this.#outbox.add(tx, { to: own, payload: contentPayload(transcript), silent: true });
  }

  #wake(to: string): void {
    this.#outbox.wake(to);
    this.#outbox.wake(this.#settings.suite.local.interopId);
  }

  #status(status: ConnectionStatus): void {
    this.#cancelUpkeep?.();
    this.#cancelUpkeep = undefined;
    if (status.kind === 'online') {
      this.#outbox.online(status.resumed);
      this.#upkeep();
    } else this.#outbox.offline();
    this.#settings.emit({ kind: 'status', status });
  }

  #upkeep(): void {
    this.#inbox.sweep();
    this.#keepKeys();
    this.#cancelUpkeep = this.#settings.clock.after(upkeepMs, () => this.#upkeep());
  }

  /** Refills and rotates what the directory has of this device, one pass after the other. */
  #keepKeys(counts?: KeyCounts): void {
    this.#keysWork = this.#keysWork.then(async () => {
      try {
        await this.#publishDue(counts);
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (error.code !== 'not-connected' && error.code !== 'closed') this.#settings.emit({ kind: 'problem', error });
      }
    });
  }

  async #publishDue(known: KeyCounts | undefined): Promise<void> {
    const { suite, store } = this.#settings;
    let counts = known ?? (await countKeys(this.request));
    for (let round = 0; round < maxPublishRounds; round++) {
      const due = await suite.refillKeys(counts, staged =>
        committed(store.transaction(tx => tx.apply(staged.changes))),
      );
      if (!due.ok) throw new ClientError('store-failed', { cause: due.error });
      if (due.value === undefined) return;
      await publishKeys(this.request, due.value);
      await this.confirmPublished(due.value);
      counts = await countKeys(this.request);
    }
  }

  async confirmPublished(publication: KeyPublication): Promise<void> {
    const { suite, store } = this.#settings;
    const confirmed = await suite.confirmPublished(publication, staged =>
      committed(store.transaction(tx => tx.apply(staged.changes))),
    );
    if (!confirmed.ok) throw new ClientError('store-failed', { cause: confirmed.error });
  }

  #transaction<T>(work: (tx: Transaction) => T): T {
    const result = this.#settings.store.transaction(work);
    if (!result.ok)
      throw new ClientError(result.error.code === 'closed' ? 'closed' : 'store-failed', { cause: result.error });
    return result.value;
  }
}

const maxExcerptCharacters = 100;

/** The beginning of a text, never half a character. */
function excerptOf(text: string): string {
  return Array.from(text).slice(0, maxExcerptCharacters).join('');
}

function bytesOf(id: string): Uint8Array {
  return Buffer.from(id, 'hex');
}

function encoded(content: Content): Uint8Array {
  const result = encodeContent(content);
  if (result.ok) return result.value;
  const { error } = result;
  throw new ClientError('content-refused', { detail: error.code === 'invalid-content' ? error.field : error.code });
}
