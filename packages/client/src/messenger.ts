// One enlisted device at work: a live stream, the outbox, the inbox, its keys in the directory, and what a person does with
// messages. Knows nothing of enlistment, folders or passphrases.
// Source: docs/protocol/04-streams.md, 06-stanzas.md, 09-content.md.
import { randomBytes } from 'node:crypto';
import {
  type Content,
  type ContentBody,
  decodeContent,
  encodeContent,
  MAX_TIMER_VERSION,
  MESSAGE_ID_BYTES,
  type MessageRef,
  type TextBody,
} from '@drawbridge/e2ee/content';
import { contentKindLimits, type DeviceSync, type Profile } from '@drawbridge/e2ee/content-kinds';
import type { E2eeSuite, KeyPublication } from '@drawbridge/e2ee/suite';
import { isInteropId, parseJid } from '@drawbridge/wire/jid';
import { type Capability, fallbackFor, lackingOf } from './history/capabilities.ts';
import { type ChatSettings, defaultsKey, isOn } from './history/chat-state.ts';
import type { Clock, Random } from './clock.ts';
import { Connection, type ConnectionStatus } from './connection/connection.ts';
import { countKeys, identify, type KeyCounts, lookUp, publishKeys, type Request } from './directory/directory.ts';
import { take, takeIn } from './history/conversation.ts';
import { ClientError } from './errors.ts';
import type { ClientEvent } from './events.ts';
import { historyLimits, listMessages, type MessageName, readMessage } from './history/history.ts';
import { HistoryTransfer } from './history/history-transfer.ts';
import { contentPayload, Inbox } from './inbox/inbox.ts';
import { type MessageRecord, type ReceiptKind, type ShownBody, textVersions, viewOf } from './history/message-log.ts';
import { committed, Outbox, outboxLimits, type Sending } from './outbox/outbox.ts';
import {
  type AccountRecord,
  type ContactRecord,
  findContact,
  forgetContact,
  listCapabilities,
  readChat,
  readContact,
  readEntry,
  readProfile,
  writeChat,
  writeContact,
} from './store/records.ts';
import type { EncryptedStore, Transaction } from './store/encrypted-store.ts';
import type { ConnectTransport } from './connection/transport.ts';

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

/** Text, or another kind of message (`kind` says which). */
export type Outgoing = ((TextBody & { readonly kind?: 'text' }) | ShownBody) & {
  readonly replyTo?: Pick<MessageRecord, 'id' | 'author' | 'text' | 'sentAtMs'>;
  /** May be opened once by each reader; its author keeps no copy. */
  readonly viewOnce?: boolean;
};

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
  /** A message may have begun to run out, and nothing else is to be said of it. */
  readonly noted: (message: MessageRecord) => void;
};

export class Messenger {
  readonly #settings: MessengerSettings;
  readonly #connection: Connection<Sending>;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #transfer: HistoryTransfer;
  readonly #own: string;
  #keysWork: Promise<void> = Promise.resolve();
  #cancelUpkeep: (() => void) | undefined;
  #resumedHistory = false;

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
    this.#own = suite.local.interopId;
    this.#transfer = new HistoryTransfer({
      own: this.#own,
      clock,
      outbox: this.#outbox,
      noted: settings.noted,
    });
    this.#inbox = new Inbox({
      store,
      suite,
      domain,
      clock,
      emit,
      outbox: this.#outbox,
      transfer: this.#transfer,
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

  /**
   * Puts a message into the outbox and the history, in one transaction (`within` runs in it too). It leaves as soon as
   * there is a stream.
   */
  async send(
    recipient: Recipient,
    outgoing: Outgoing,
    within: (tx: Transaction) => void = () => {},
  ): Promise<MessageRecord> {
    const chat = await this.#other(recipient);
    const { replyTo, viewOnce, ...given } = outgoing;
    const body: ShownBody = given.kind === undefined ? { ...given, kind: 'text' } : given;
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    const quote =
      replyTo === undefined
        ? {}
        : {
            replyTo: {
              target: { messageId: bytesOf(replyTo.id), author: replyTo.author, sentAtMs: replyTo.sentAtMs },
              excerpt: excerptOf(replyTo.text),
            },
          };
    const id = messageId.toString('hex');
    const events = this.#transaction(tx => {
      const { timer } = readChat(tx, chat);
      const expiry = timer === undefined || timer.seconds === 0 ? {} : { expiresAfterSeconds: timer.seconds };
      const once = viewOnce === true ? { viewOnce } : {};
      const words = fallbackFor(body, viewOnce === true, this.#lacking(tx, chat));
      const fallback = words === undefined ? {} : { fallbackText: words };
      const content = { messageId, sentAtMs: this.#now(), ...quote, ...expiry, ...once, ...fallback, body };
      const said = this.#say(tx, chat, content, id);
      within(tx);
      return [...said, ...this.#introduce(tx, chat)];
    });
    this.#announce(events, chat);
    return this.#needMessage({ author: this.#own, id });
  }

  /** An empty emoji takes the reaction back. */
  react(target: MessageName, emoji: string): Promise<MessageRecord> {
    return this.#act(target, (message, ref) => ({ kind: 'reaction', target: ref(message), emoji }));
  }

  /** Changes the words of an own message; what it said before is kept (`versions`). */
  edit(id: string, text: TextBody): Promise<MessageRecord> {
    return this.#act({ author: this.#own, id }, message => {
      if (message.kind !== 'text') throw new ClientError('unknown-message');
      return { kind: 'edit', targetMessageId: bytesOf(id), text };
    });
  }

  /** Takes an own message back, here and (as far as they keep to it) at the others. */
  delete(id: string): Promise<MessageRecord> {
    return this.#act({ author: this.#own, id }, () => ({ kind: 'delete', targetMessageId: bytesOf(id) }));
  }

  /** Chooses in a poll; no options take the vote back. */
  vote(target: MessageName, options: readonly number[]): Promise<MessageRecord> {
    return this.#act(target, (message, ref) => {
      if (message.body?.kind !== 'poll' || message.poll?.closed !== false) throw new ClientError('unknown-message');
      const { choices = message.body.options.length, options: offered } = message.body;
      const chosen = [...new Set(options)].sort((a, b) => a - b);
      if (chosen.length > choices || chosen.some(option => !(option in offered))) {
        throw new ClientError('invalid-argument', { detail: 'options' });
      }
      const before = this.#transaction(tx => readEntry(tx, target.author, target.id))?.votes?.[this.#own];
      const version = Math.min((before?.at(-1)?.version ?? 0) + 1, contentKindLimits.maxVoteVersion);
      return { kind: 'poll-vote', poll: ref(message), options: chosen, version };
    });
  }

  /** Ends an own poll: later votes don't count. */
  closePoll(id: string): Promise<MessageRecord> {
    return this.#act({ author: this.#own, id }, message => {
      if (message.kind !== 'poll') throw new ClientError('unknown-message');
      return { kind: 'poll-close', pollMessageId: bytesOf(id) };
    });
  }

  /** Deletes a message for oneself, on all devices of this person. */
  hide(target: MessageName): void {
    const message = this.#needMessage(target);
    const named = { message: refOf(message), chat: message.chat };
    this.#announce(this.#transaction(tx => this.#sync(tx, { hidden: [named] })));
  }

  /** Notes incoming messages as read, and says so to their author as far as that is switched on. */
  markRead(targets: readonly MessageName[]): void {
    this.#receipt(targets, 'read');
  }

  /** A voice message or video was played: it counts as read. */
  markPlayed(target: MessageName): void {
    this.#receipt([target], 'played');
  }

  /** Everything unread of a chat. */
  async markChatRead(recipient: Recipient): Promise<void> {
    const chat = await this.#other(recipient);
    const unread = this.#transaction(tx => {
      const found: MessageRecord[] = [];
      let before: number | undefined;
      while (found.length < readChat(tx, chat).unread) {
        const page = { chat, newest: true, limit: historyLimits.pageRows };
        const rows = listMessages(tx, this.#own, { ...page, ...(before === undefined ? {} : { before }) });
        if (rows.length === 0) break;
        for (const { message } of rows) if (message.author !== this.#own && message.read !== true) found.push(message);
        before = rows.at(-1)!.sequence;
      }
      return found;
    });
    this.markRead(unread);
  }

  /** Gives a message that may be seen once, and wipes it on all devices of this person before that. */
  openOnce(target: MessageName): MessageRecord {
    const opened = this.#transaction(tx => {
      const entry = readEntry(tx, target.author, target.id);
      if (entry?.posted?.viewOnce !== true || entry.gone !== undefined || entry.author === this.#own) return undefined;
      const { viewOnce: _, ...posted } = entry.posted;
      const message = viewOf({ ...entry, posted }, this.#own);
      if (message === undefined) return undefined;
      const nowMs = this.#now();
      const events = this.#sync(tx, {
        reads: [{ message: refOf(message), chat: message.chat, readAtMs: nowMs, opened: true }],
      });
      this.#tell(tx, message.chat, 'played', [message.id]);
      return { message, events };
    });
    if (opened === undefined) throw new ClientError('unknown-message');
    this.#announce(opened.events, opened.message.chat);
    return opened.message;
  }

  /** The texts that a message had, oldest first. */
  versions(target: MessageName): ReturnType<typeof textVersions> {
    const entry = this.#transaction(tx => readEntry(tx, target.author, target.id));
    if (entry === undefined) throw new ClientError('unknown-message');
    return textVersions(entry);
  }

  /** Messages of this chat from now on disappear so long after they were read; 0: they stay. For both sides. */
  async setTimer(recipient: Recipient, seconds: number): Promise<void> {
    const chat = await this.#other(recipient);
    const events = this.#transaction(tx => {
      const version = Math.min((readChat(tx, chat).timer?.version ?? 0) + 1, MAX_TIMER_VERSION);
      return this.#say(tx, chat, this.#content({ kind: 'expiry-timer', seconds, version }));
    });
    this.#announce(events, chat);
  }

  /** Without a chat: what holds for all chats that say nothing of their own. */
  async setChat(recipient: Recipient | undefined, settings: ChatSettings): Promise<void> {
    const named = recipient === undefined ? {} : { chat: await this.#other(recipient) };
    this.#announce(this.#transaction(tx => this.#sync(tx, { chats: [{ ...named, ...settings }] })));
  }

  /** Text that is not sent yet; of this device alone. Empty: none. */
  async setDraft(recipient: Recipient, text: string): Promise<void> {
    const chat = await this.#other(recipient);
    if (Buffer.byteLength(text) > historyLimits.maxDraftBytes) {
      throw new ClientError('invalid-argument', { detail: 'draft' });
    }
    this.#transaction(tx => {
      const { draft: _, ...rest } = readChat(tx, chat);
      writeChat(tx, text === '' ? rest : { ...rest, draft: text });
    });
    this.#settings.emit({ kind: 'chat', chat });
  }

  /** The name and picture that go with the next message to each person. */
  setProfile(profile: Profile): void {
    const content = this.#content({ ...profile, kind: 'profile' });
    this.#announce(
      this.#transaction(tx => {
        this.#outbox.add(tx, { to: this.#own, payload: contentPayload(encoded(content)), silent: true });
        return this.#keep(tx, this.#own, encoded(content));
      }),
    );
  }

  /** What some device of a person can't show; undefined when nothing is known of their devices. */
  async lacking(recipient: Recipient): Promise<Capability[] | undefined> {
    const chat = await this.#other(recipient);
    return this.#transaction(tx => this.#lacking(tx, chat));
  }

  async typing(recipient: Recipient, state: 'started' | 'stopped'): Promise<void> {
    const to = await this.resolve(recipient);
    if (!this.#transaction(tx => isOn('sendTyping', readChat(tx, to), readChat(tx, defaultsKey), true))) return;
    await this.#outbox.sendTransient(to, encoded(this.#content({ kind: 'typing', state })));
  }

  /** On a new device: asks the person's other devices for the history, or for the rest of it. */
  requestHistory(): void {
    this.#transaction(tx => this.#transfer.ask(tx));
    this.#outbox.wake(this.#own);
  }

  /** Sends the whole history to another device of this person. */
  sendHistory(deviceId: number): void {
    this.#announce([this.#transaction(tx => this.#transfer.begin(tx, deviceId))]);
  }

  /** A person has accepted somebody's new identity key: what waited for it goes on. */
  identityAccepted(interopId: string): void {
    this.#inbox.readHeld(interopId);
    this.#outbox.wake(interopId);
  }

  /** Another device of this person was let in and will come; `withHistory` when it gets the history as it asks for it. */
  expectOwnDevice(withHistory: boolean): void {
    this.#outbox.expectOwnDevice();
    if (withHistory) this.#transfer.promise();
  }

  /** The person's own devices have changed. */
  forgetDevices(interopId: string): void {
    this.#outbox.forgetDevices(interopId);
  }

  /** Says something about a message that is here. */
  async #act(
    target: MessageName,
    make: (message: MessageRecord, ref: typeof refOf) => ContentBody,
  ): Promise<MessageRecord> {
    const message = this.#needMessage(target);
    if (message.kind === 'lost') throw new ClientError('unknown-message');
    const content = this.#content(make(message, refOf));
    const isOwn = target.author === this.#own;
    const events = this.#transaction(tx => this.#say(tx, message.chat, content, isOwn ? target.id : undefined));
    this.#announce(events, message.chat);
    // oxlint-disable-next-line typescript/return-await -- a refusal is a rejection, as for all of these
    return this.#needMessage(target);
  }

  /** A message that stands in the history. */
  #needMessage(target: MessageName): MessageRecord {
    const message = this.#transaction(tx => readMessage(tx, this.#own, target));
    if (message === undefined || message.kind === 'hidden' || message.kind === 'expired') {
      throw new ClientError('unknown-message');
    }
    return message;
  }

  #content(body: ContentBody): Content {
    return { messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: this.#now(), body };
  }

  /**
   * A content for somebody, a copy for one's own other devices, and what it changes here. `about` is the own message that
   * it is, or is about: the copies on their way are wiped with it.
   */
  #say(tx: Transaction, chat: string, content: Content, about?: string): ClientEvent[] {
    const bytes = encoded(content);
    const id = Buffer.from(content.messageId).toString('hex');
    const isMessage = about === id;
    const named = isMessage ? { messageId: id } : {};
    const sent = this.#outbox.add(tx, { to: chat, payload: contentPayload(bytes), silent: false, ...named });
    const transcript = encoded(this.#content({ kind: 'sent-transcript', to: chat, content: bytes }));
    const copied = this.#outbox.add(tx, { to: this.#own, payload: contentPayload(transcript), silent: true });
    const events = this.#keep(tx, chat, bytes);
    if (about === undefined) return events;
    const target = { author: this.#own, id: about, chat };
    const nowMs = this.#now();
    take(tx, this.#own, target, { kind: 'carried', stanzas: [sent, copied] }, nowMs);
    if (!isMessage) return events;
    take(tx, this.#own, target, { kind: 'progress', progress: { state: 'queued' } }, nowMs);
    const message = readMessage(tx, this.#own, target)!;
    return events.map(event => (event.kind === 'message' ? { ...event, message } : event));
  }

  /** What this device says goes the way of what its person's other devices say. */
  #keep(tx: Transaction, chat: string, bytes: Uint8Array): ClientEvent[] {
    const content = decodeContent(bytes);
    if (!content.ok) throw new ClientError('content-refused', { detail: content.error.code });
    const nowMs = this.#now();
    return takeIn(tx, this.#own, { author: this.#own, chat, content: content.value, receivedAtMs: nowMs }, nowMs);
  }

  /** Done here, and told to the person's other devices. */
  #sync(tx: Transaction, sync: DeviceSync): ClientEvent[] {
    const content = this.#content({ ...sync, kind: 'device-sync' });
    this.#outbox.add(tx, { to: this.#own, payload: contentPayload(encoded(content)), silent: true });
    return this.#keep(tx, this.#own, encoded(content));
  }

  #receipt(targets: readonly MessageName[], receipt: 'read' | 'played'): void {
    const changed = this.#transaction(tx => {
      const messages = targets.flatMap(target => {
        const entry = readEntry(tx, target.author, target.id);
        const message = entry === undefined ? undefined : viewOf(entry, this.#own);
        if (message === undefined || message.author === this.#own) return [];
        if (receipt === 'read') return message.read === true ? [] : [message];
        if (entry?.receipts?.played !== undefined) return [];
        take(tx, this.#own, message, { kind: 'receipt', receipt, atMs: this.#now() }, this.#now());
        return [message];
      });
      const events: ClientEvent[] = [];
      const { maxSyncEntries } = contentKindLimits;
      for (let at = 0; at < messages.length; at += maxSyncEntries) {
        const reads = messages
          .slice(at, at + maxSyncEntries)
          .map(message => ({ message: refOf(message), chat: message.chat, readAtMs: this.#now() }));
        events.push(...this.#sync(tx, { reads }));
      }
      for (const [chat, those] of Map.groupBy(messages, message => message.chat)) {
        const ids = those.filter(({ kind }) => kind !== 'lost').map(({ id }) => id);
        this.#tell(tx, chat, receipt, ids);
      }
      return { events, chats: new Set(messages.map(message => message.chat)) };
    });
    this.#announce(changed.events, ...changed.chats);
  }

  /** A receipt, when that is switched on. */
  #tell(tx: Transaction, chat: string, receipt: ReceiptKind, messageIds: readonly string[]): void {
    const field = receipt === 'played' ? 'sendPlayed' : 'sendRead';
    if (!isOn(field, readChat(tx, chat), readChat(tx, defaultsKey), true)) return;
    for (let at = 0; at < messageIds.length; at += outboxLimits.maxReceipts) {
      const ids = messageIds.slice(at, at + outboxLimits.maxReceipts);
      this.#outbox.add(tx, { to: chat, payload: { kind: 'receipt', receipt, messageIds: ids }, silent: true });
    }
  }

  /** This person's profile, for somebody who does not have it in its present form. */
  #introduce(tx: Transaction, chat: string): ClientEvent[] {
    const known = readProfile(tx, this.#own);
    const before = readChat(tx, chat);
    if (known === undefined || before.profileSent?.id === known.id) return [];
    const { atMs, id, profile } = known;
    const content = encoded({
      messageId: bytesOf(id),
      sentAtMs: atMs,
      body: { ...profile, kind: 'profile' },
    });
    this.#outbox.add(tx, { to: chat, payload: contentPayload(content), silent: true });
    writeChat(tx, { ...before, profileSent: { atMs, id } });
    return [];
  }

  #lacking(tx: Transaction, chat: string): Capability[] | undefined {
    return lackingOf(listCapabilities(tx, chat), this.#now());
  }

  /** The other person of a chat. */
  async #other(recipient: Recipient): Promise<string> {
    const chat = await this.resolve(recipient);
    if (chat === this.#own) throw new ClientError('invalid-argument', { detail: 'a message to oneself' });
    return chat;
  }

  #now(): number {
    return this.#settings.clock.nowMs();
  }

  #announce(events: readonly ClientEvent[], ...recipients: readonly string[]): void {
    for (const event of events) this.#settings.emit(event);
    for (const to of recipients) this.#outbox.wake(to);
    this.#outbox.wake(this.#own);
  }

  #status(status: ConnectionStatus): void {
    this.#cancelUpkeep?.();
    this.#cancelUpkeep = undefined;
    if (status.kind === 'online') {
      if (!this.#resumedHistory) this.#resumeHistory();
      this.#outbox.online(status.resumed);
      this.#upkeep();
    } else this.#outbox.offline();
    this.#settings.emit({ kind: 'status', status });
  }

  #upkeep(): void {
    this.#inbox.sweep();
    this.#keepKeys();
    this.#cancelUpkeep = this.#settings.clock.after(upkeepMs, () => {
      this.#resumeHistory();
      this.#upkeep();
    });
  }

  /** History that was being received when this device stopped, or whose pieces stay away. */
  #resumeHistory(): void {
    this.#resumedHistory = true;
    // A store that fails now is tried again in an hour, and told of by whatever else needs it.
    const resumed = this.#settings.store.transaction(tx => this.#transfer.resume(tx));
    if (resumed.ok && resumed.value) this.#outbox.wake(this.#own);
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

function refOf({ id, author, sentAtMs }: MessageRecord): MessageRef {
  return { messageId: bytesOf(id), author, sentAtMs };
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
