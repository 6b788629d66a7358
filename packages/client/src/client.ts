// The SDK: open a folder, enlist, connect, send, read. One object for one device of one person at one gatekeeper.
// Knows nothing of screens. All failures are `ClientError`s; what happens by itself comes as events.
// Source: docs/protocol (all pages).
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { isTemporaryPath } from '@drawbridge/e2ee/attachments';
import type { TextBody } from '@drawbridge/e2ee/content';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import type { Profile } from '@drawbridge/e2ee/content-kinds';
import { createDevice, type DeviceKeys, type NewDevice, readDeviceKeys } from '@drawbridge/e2ee/device-keys';
import { createLinkRequest, openLinkTicket, readLinkRequest, sealLinkTicket } from '@drawbridge/e2ee/device-link';
import { DeviceRecordSchema } from '@drawbridge/e2ee/gen/device_pb';
import { formatSafetyNumber } from '@drawbridge/e2ee/safety-number';
import { openSignalSuite, SIGNAL_SUITE } from '@drawbridge/e2ee/sessions';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import type { E2eeSuite, IdentityState, KeyPublication, Result } from '@drawbridge/e2ee/suite';
import type { Capability } from './history/capabilities.ts';
import { type ChatSettings, defaultsKey, settingsOf } from './history/chat-state.ts';
import { type Clock, type Random, systemClock } from './clock.ts';
import type { ConnectionStatus } from './connection/connection.ts';
import { Disappearing } from './history/disappearing.ts';
import {
  authoriseDevice,
  fetchConsent,
  type ProviderConsent,
  removeOwnDevice,
  type Request,
  setConsent,
} from './directory/directory.ts';
import {
  addDevice,
  type DeviceRecord,
  type Enlistment,
  enlistDevice,
  type EnlistmentStatus,
  fetchOffer,
  fetchStatus,
  type ReferenceOffer,
  withdrawEnlistment,
} from './account/enlist.ts';
import { ClientError, type ClientErrorCode } from './errors.ts';
import { type ClientEvent, EventHub } from './events.ts';
import { FileOutbox, type UnsentFile } from './files/file-outbox.ts';
import { Files, type OpenedFile, type SendFileOptions, type TransferOptions } from './files/files.ts';
import { type HttpTrust, isHttpsUrl } from './connection/http.ts';
import { MediaCopies } from './files/media-copies.ts';
import { MessageReader } from './inbox/message-reader.ts';
import {
  chatPage,
  exportMessages,
  historyLimits,
  isShown,
  listMessages,
  type MessageName,
  type MessageRow,
  type ScanContext,
  searchMessages,
  searchWords,
} from './history/history.ts';
import type { MessageRecord } from './history/message-log.ts';
import { type Contact, Messenger, type Outgoing, type Recipient } from './messenger.ts';
import { committed } from './outbox/outbox.ts';
import { type ProofSource, type ProviderAccount, ProviderSession } from './account/provider-session.ts';
import {
  type AccountRecord,
  listSaving,
  noteSaving,
  readAccount,
  readChat,
  readProfile,
  readSetting,
  writeAccount,
  writeSetting,
} from './store/records.ts';
import { type EncryptedStore, openEncryptedStore, type Transaction } from './store/encrypted-store.ts';
import type { StoreErrorCode } from './store/store-errors.ts';
import type { KeySource } from './store/store-keys.ts';
import type { ConnectTransport } from './connection/transport.ts';
import type { KnownStaticKey } from './connection/transport-compact.ts';
import {
  defaultTransports,
  inTurn,
  type OfferedTransport,
  offeredTransports,
  type TransportName,
} from './connection/transports.ts';

export type ClientOptions = {
  /** Where everything is kept, encrypted. One client at a time. */
  readonly folder: string;
  /** What opens the folder; exactly one of the three. A key has 32 bytes. */
  readonly passphrase?: string;
  readonly key?: Uint8Array;
  readonly keyFile?: string;
  /** `https:` URL of the gatekeeper. */
  readonly gatekeeper: string;
  /** An account at a provider that runs the provider kit; `signUp` makes it when it isn't there. */
  readonly provider?: ProviderAccount & { readonly signUp?: boolean };
  /** For other providers: gives ownership proofs. */
  readonly proofSource?: ProofSource;
  /** Development: path of a PEM file, or PEM text, of the authority that is trusted instead of the system's. */
  readonly ca?: string;
  /** The transports to try, in order. */
  readonly transports?: readonly TransportName[];
  /** Says that this is no real person's device: allows `keyLogFile`. */
  readonly development?: boolean;
  /** Where the keys of compact sessions are written for `drawbridge inspect`; needs `development`. */
  readonly keyLogFile?: string;
  /** Whether senders learn that their messages have arrived. Default: yes. */
  readonly deliveryReceipts?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
};

/** A message as the application gets it. */
export type Message = MessageRecord & {
  readonly from: Contact;
  /** Tells the author that it was read. Repeats do nothing. */
  readonly markRead: () => Promise<void>;
};

/** A chat as a list of chats shows it. */
export type Chat = {
  readonly with: Contact;
  readonly profile: Profile | undefined;
  readonly unread: number;
  readonly lastAtMs: number;
  readonly lastMessage: MessageRecord | undefined;
  readonly draft: string | undefined;
  readonly pinned: boolean;
  readonly archived: boolean;
  /** Muted now. */
  readonly muted: boolean;
  /** New messages disappear so long after they were read; 0: they stay. */
  readonly timerSeconds: number;
  /** What was set for this chat by itself. */
  readonly settings: ChatSettings;
};

export type Identity = {
  readonly fingerprint: string;
  readonly verified: boolean;
  readonly identityKey: Uint8Array;
  /** A changed key that waits for `acceptIdentity`. */
  readonly pending: { readonly fingerprint: string; readonly identityKey: Uint8Array } | undefined;
};

export type SafetyNumberView = { readonly digits: string; readonly formatted: string; readonly scannable: Uint8Array };

const connectTimeoutMs = 45_000;
const maxChatsPerPage = 200;

/**
 * Opens a device's folder, or makes it. Nothing goes over the network yet.
 * Rejects with `ClientError`: `invalid-argument`, `wrong-passphrase`, `store-locked`, `store-failed`, `enlisted-elsewhere`.
 */
export async function openClient(options: ClientOptions): Promise<Client> {
  const gatekeeper = options.gatekeeper.replace(/\/+$/, '');
  if (!isHttpsUrl(gatekeeper)) throw new ClientError('invalid-argument', { detail: 'gatekeeper is an https URL' });
  if (options.keyLogFile !== undefined && options.development !== true) {
    throw new ClientError('invalid-argument', { detail: 'keyLogFile needs `development: true`' });
  }
  const ca = options.ca === undefined ? undefined : readAuthority(options.ca);
  const trust: HttpTrust = ca === undefined ? {} : { ca };
  const opened = await openEncryptedStore({ path: join(options.folder, 'drawbridge.db'), key: keySource(options) });
  if (!opened.ok) throw storeError(opened.error.code, opened.error);
  try {
    const client = new Client(options, gatekeeper, trust, opened.value);
    await client.load();
    return client;
  } catch (error) {
    opened.value.close();
    throw error;
  }
}

export class Client {
  readonly #options: ClientOptions;
  readonly #gatekeeper: string;
  readonly #trust: HttpTrust;
  readonly #store: EncryptedStore;
  readonly #clock: Clock;
  readonly #hub = new EventHub();
  readonly #provider: ProviderSession | undefined;
  readonly #files: Files;
  readonly #fileOutbox: FileOutbox;
  readonly #proofSource: ProofSource | undefined;
  readonly #keyLog: ((line: string) => void) | undefined;
  #offer: ReferenceOffer | undefined;
  #account: AccountRecord | undefined;
  #suite: E2eeSuite | undefined;
  #messenger: Messenger | undefined;
  #disappearing: Disappearing | undefined;
  #turns: ConnectTransport | undefined;
  #knownStaticKey: KnownStaticKey | undefined;
  #closed = false;
  readonly #readers = new Set<MessageReader<Message>>();

  /** Use `openClient`. */
  constructor(options: ClientOptions, gatekeeper: string, trust: HttpTrust, store: EncryptedStore) {
    this.#options = options;
    this.#gatekeeper = gatekeeper;
    this.#trust = trust;
    this.#store = store;
    this.#clock = options.clock ?? systemClock;
    const { provider, keyLogFile } = options;
    this.#keyLog = keyLogFile === undefined ? undefined : openKeyLog(keyLogFile);
    this.#provider = provider === undefined ? undefined : new ProviderSession(provider, trust);
    const nowMs = (): number => this.#clock.nowMs();
    const copies = new MediaCopies({
      folder: join(options.folder, 'media'),
      nameKey: () => this.#mediaNameKey(),
      // The file system's clock, not the one that may be given for tests.
      nowMs: Date.now,
    });
    this.#files = new Files({
      provider: this.#provider,
      trust,
      nowMs,
      copies,
      preparationFolder: join(options.folder, 'preparation'),
      noteSaving: (path, isWritten) => {
        const noted = store.transaction(tx => noteSaving(tx, path, isWritten));
        // What can't be noted is not written; what stays noted is gone already.
        if (!noted.ok && isWritten) throw storeError(noted.error.code, noted.error);
      },
    });
    this.#fileOutbox = new FileOutbox({
      store,
      files: this.#files,
      clock: this.#clock,
      emit: event => this.#emit(event),
      deliver: (to, pointer, { caption = '' }, within) => {
        const said = caption === '' ? {} : { caption: { text: caption } };
        return this.#worker().send(to, { kind: 'attachment', attachments: [pointer], ...said }, within);
      },
    });
    this.#proofSource = options.proofSource ?? (request => this.#providerProof(request));
  }

  /** Reads what the folder knows. */
  async load(): Promise<void> {
    await this.#files.sweep();
    await this.#removeUnsaved();
    const account = this.#transaction(readAccount);
    if (account === undefined) return;
    if (account.gatekeeper !== this.#gatekeeper) throw new ClientError('enlisted-elsewhere');
    await this.#begin(account);
  }

  /** This device's place at the gatekeeper; undefined before `enlist`. */
  get me(): AccountRecord | undefined {
    return this.#account;
  }

  get status(): ConnectionStatus {
    return this.#messenger?.status ?? { kind: 'idle' };
  }

  // Enlistment and devices

  /**
   * Makes this device's keys and enlists it; repeats give the same answer. `replace` removes the person's other devices.
   * Rejects with the codes of the provider and the gatekeeper: `sign-in-refused`, `proof-refused`,
   * `device-authorisation-required`, `identity-key-in-use`, …
   */
  async enlist(options: { readonly replace?: boolean } = {}): Promise<AccountRecord> {
    if (this.#account !== undefined) return this.#account;
    const { keys, publication } = await this.#newDevice();
    const offer = await this.#fetchOffer();
    const proof = await this.#httpProof(offer, keys);
    const device = deviceRecord(keys, publication);
    const request = { proof, device, ...(options.replace === true ? { replace: true } : {}) };
    return this.#enlisted(await enlistDevice(offer.endpoints.http, request, this.#trust), publication);
  }

  /** First step of linking, on the new device (not enlisted): a code to show to a device that is there. */
  async beginLink(): Promise<string> {
    if (this.#account !== undefined) throw new ClientError('link-failed', { detail: 'this device is enlisted' });
    const { keys } = await this.#newDevice();
    const request = createLinkRequest(keys.deviceKey.thumbprint, this.#clock.nowMs());
    this.#transaction(tx => writeSetting(tx, 'link', Buffer.from(request.secret).toString('base64')));
    return request.code;
  }

  /**
   * Second step, on a device that is there and connected: lets the new device in; gives the ticket to show to it. With
   * `history`, the new device gets the history when it asks within ten minutes.
   */
  async authoriseLink(code: string, options: { readonly history?: boolean } = {}): Promise<string> {
    const { messenger, account } = this.#live();
    const request = orLinkFailed(readLinkRequest(code, this.#clock.nowMs()));
    const keys = this.#read(await readDeviceKeys(this.#store.e2ee));
    if (keys === undefined) throw new ClientError('not-enlisted');
    const me = await messenger.contact(account.interopId);
    const ticket = {
      identityKeyPair: keys.identityKeyPair,
      interopId: account.interopId,
      domain: account.domain,
      identifier: me.identifier ?? this.#options.provider?.identifier ?? '',
      provider: me.provider ?? '',
    };
    const sealed = orLinkFailed(sealLinkTicket(request, ticket, this.#clock.nowMs()));
    await authoriseDevice(messenger.request, request.deviceKeyThumbprint);
    messenger.expectOwnDevice(options.history === true);
    return sealed;
  }

  /** Third step, on the new device: takes the person's identity from the ticket and enlists as their further device. */
  async finishLink(ticket: string): Promise<AccountRecord> {
    if (this.#account !== undefined) return this.#account;
    const secret = this.#transaction(tx => readSetting(tx, 'link'));
    const before = this.#read(await readDeviceKeys(this.#store.e2ee));
    if (secret === undefined || before === undefined)
      throw new ClientError('link-failed', { detail: 'beginLink first' });
    const opened = orLinkFailed(openLinkTicket(Buffer.from(secret, 'base64'), ticket, this.#clock.nowMs()));
    const offer = await this.#fetchOffer();
    if (opened.domain !== offer.domain) throw new ClientError('link-failed', { detail: 'another gatekeeper' });
    const nowMs = this.#clock.nowMs();
    const made = createDevice({ nowMs, identityKeyPair: opened.identityKeyPair });
    if (!made.ok) throw new ClientError('link-failed', { detail: made.error.code });
    const { publication } = made.value;
    const changes = withDeviceKey(made.value.changes, before);
    const keys: DeviceKeys = { ...made.value.keys, deviceKey: before.deviceKey };
    this.#transaction(tx => {
      tx.apply(changes);
      writeSetting(tx, 'publication', encodePublication(publication));
    });
    const proof = await this.#httpProof(offer, keys);
    const request = { proof, device: deviceRecord(keys, publication) };
    const enlistment = await addDevice(offer.endpoints.http, opened.interopId, request, this.#trust);
    if (enlistment.interopId !== opened.interopId) throw new ClientError('link-failed', { detail: 'another person' });
    return this.#enlisted(enlistment, publication);
  }

  /** The person's devices as the gatekeeper knows them. */
  async enlistmentStatus(): Promise<EnlistmentStatus> {
    const { offer, keys, account } = await this.#http();
    return fetchStatus(offer.endpoints.http, account.interopId, await this.#httpProof(offer, keys), this.#trust);
  }

  /** Removes another device of this person. */
  async removeDevice(deviceId: number): Promise<void> {
    const { messenger, account } = this.#live();
    if (deviceId === account.deviceId)
      throw new ClientError('invalid-argument', { detail: 'use withdraw() or another device' });
    await removeOwnDevice(messenger.request, deviceId);
    messenger.forgetDevices(account.interopId);
  }

  /** Withdraws the person from the gatekeeper with all devices: everything that is kept there is deleted. Ends the stream. */
  async withdraw(): Promise<void> {
    const { offer, keys, account } = await this.#http();
    await withdrawEnlistment(offer.endpoints.http, account.interopId, await this.#httpProof(offer, keys), this.#trust);
    await this.disconnect();
  }

  // Stream

  /**
   * Connects, and stays connected until `disconnect` or `close`. Fulfilled when the stream is up. When that takes too long
   * it rejects, and goes on trying in the background; `replaced`, `proof-refused` and `sign-in-refused` are final.
   */
  async connect(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#needOpen();
    if (this.#account === undefined) throw new ClientError('not-enlisted');
    const kind = this.#messenger?.status.kind;
    if (kind === undefined || kind === 'idle' || kind === 'stopped') await this.#startMessenger();
    else this.#messenger?.start();
    await this.#online(options.timeoutMs ?? connectTimeoutMs);
  }

  /** Ends the stream in order. What waits stays in the outbox. */
  async disconnect(): Promise<void> {
    const messenger = this.#messenger;
    this.#messenger = undefined;
    await messenger?.close();
  }

  /** Ends everything in order and frees the folder. Repeats do nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#fileOutbox.close();
    this.#files.close();
    await this.disconnect();
    this.#disappearing?.close();
    for (const reader of this.#readers) reader.end();
    this.#hub.close();
    this.#store.close();
  }

  // Messages

  /**
   * Sends a message. Fulfilled when it is on disk: from then on it is sent as soon as there is a stream, across restarts.
   * What becomes of it is told by events of kind `message`. Needs a stream only for names that are not known yet.
   */
  async send(to: Recipient, outgoing: Outgoing): Promise<Message> {
    return this.#message(await this.#worker().send(to, outgoing));
  }

  /**
   * Encrypts a file, uploads it to the own provider's media origin, and sends the message that points to it. Pictures,
   * videos and voice messages are made anew first, without metadata; what can't be is refused with `media-unreadable`, never
   * sent as it is. Fulfilled as `send` is; needs the network until then. When the process ends or the client is closed
   * before, the next `connect` goes on with upload and message by itself, and events of kind `file` tell of it. After
   * another failure nothing is sent by itself; a file sent again goes on where its upload broke off.
   * Rejects with the codes of `send` and of `Files.send`: `no-media-origin`, `quota-used-up`, `file-changed`, `cancelled`, …
   */
  async sendFile(to: Recipient, options: SendFileOptions): Promise<Message> {
    const chat = await this.#worker().resolve(to);
    return this.#message(await this.#fileOutbox.send(chat, options));
  }

  /** Files that were to be sent and are no messages yet. Those that failed stay until they are dropped. */
  unsentFiles(): UnsentFile[] {
    this.#needOpen();
    return this.#fileOutbox.list();
  }

  /** Gives up a file that was to be sent. */
  async dropUnsentFile(id: string): Promise<void> {
    this.#needOpen();
    await this.#fileOutbox.drop(id);
  }

  /**
   * Fetches attachment `index` (from 0) of a message, and writes it to `path` when all of it is right; otherwise nothing.
   * Goes on with what came before, across restarts. Rejects with `unknown-message` when there is no such attachment,
   * `not-connected` when something has to be fetched, and the codes of `Files.save`.
   */
  async saveFile(
    message: Pick<MessageRecord, 'body'>,
    index: number,
    path: string,
    options: TransferOptions = {},
  ): Promise<void> {
    this.#needAccount();
    await this.#files.save(pointerOf(message, index), path, this.#request, options);
  }

  /**
   * Opens attachment `index` (from 0) of a message to be read, or played, while it arrives. Close it when nothing more is
   * read. Rejects with `unknown-message`, and the codes of `Files.open`; what is wrong later ends the reading.
   */
  async openFile(message: Pick<MessageRecord, 'body'>, index: number): Promise<OpenedFile> {
    this.#needAccount();
    return this.#files.open(pointerOf(message, index), this.#request);
  }

  /** Removes what this device keeps, encrypted, of an attachment that was opened, or not saved to its end. */
  async forgetFile(message: Pick<MessageRecord, 'body'>, index: number): Promise<void> {
    this.#needOpen();
    await this.#files.forget(pointerOf(message, index));
  }

  /** Reacts to a message; an empty emoji takes it back. */
  async react(target: MessageName, emoji: string): Promise<void> {
    await this.#worker().react(target, emoji);
  }

  async edit(id: string, text: TextBody): Promise<void> {
    await this.#worker().edit(id, text);
  }

  /** The texts that a message had, oldest first; the last is the one that is shown. */
  async versions(target: MessageName): Promise<{ readonly text: TextBody; readonly atMs: number }[]> {
    return this.#worker().versions(target);
  }

  /** Takes an own message back, for everybody. */
  async delete(id: string): Promise<void> {
    await this.#worker().delete(id);
  }

  /** Deletes a message for oneself, on all of one's devices. */
  async hide(target: MessageName): Promise<void> {
    this.#worker().hide(target);
  }

  /** Chooses options of a poll by their places; none takes the vote back. */
  async vote(target: MessageName, options: readonly number[]): Promise<void> {
    await this.#worker().vote(target, options);
  }

  /** Ends an own poll. */
  async closePoll(id: string): Promise<void> {
    await this.#worker().closePoll(id);
  }

  /** Gives a message of kind `view-once` as it is; it was wiped before this is fulfilled, on all of one's devices. */
  async openOnce(target: MessageName): Promise<MessageRecord> {
    return this.#worker().openOnce(target);
  }

  /** A voice message or video was played. */
  async markPlayed(target: MessageName): Promise<void> {
    this.#worker().markPlayed(target);
  }

  /** Says that one is (no longer) writing. Lost when there is no stream, or nothing was sent to that person before. */
  async typing(to: Recipient, state: 'started' | 'stopped' = 'started'): Promise<void> {
    await this.#worker().typing(to, state);
  }

  /**
   * Incoming messages, oldest first, then as they come. A message counts as consumed when the next one is asked for: after
   * a crash in between it comes again. Several iterators each see all messages from where they begin.
   */
  messages(): MessageReader<Message> {
    const reader = new MessageReader<Message>({
      transaction: work => this.#transaction(work),
      own: this.#account?.interopId ?? '',
      isWanted: message =>
        message.author !== this.#account?.interopId &&
        message.kind !== 'deleted' &&
        message.kind !== 'opened' &&
        isShown(message, this.#clock.nowMs()),
      present: message => this.#message(message),
      onEnd: ended => this.#readers.delete(ended),
    });
    this.#readers.add(reader);
    return reader;
  }

  /** A piece of the history, newest first; `before` is the sequence of the last row got. */
  async history(
    options: { readonly chat?: Recipient; readonly before?: number; readonly limit?: number } = {},
  ): Promise<{ readonly sequence: number; readonly message: Message }[]> {
    const { chat, before, limit = 50 } = options;
    const scope = chat === undefined ? undefined : await this.#worker().resolve(chat);
    const { own, nowMs } = this.#scan();
    const most = Math.max(1, Math.min(limit, 1_000));
    const shown: MessageRow[] = [];
    for (let from = before; shown.length < most; ) {
      const rows = this.#transaction(tx =>
        listMessages(tx, own, {
          newest: true,
          limit: most,
          ...(scope === undefined ? {} : { chat: scope }),
          ...(from === undefined ? {} : { before: from }),
        }),
      );
      if (rows.length === 0) break;
      from = rows.at(-1)!.sequence;
      shown.push(...rows.filter(({ message }) => isShown(message, nowMs())));
    }
    return Promise.all(
      shown.slice(0, most).map(async row => ({ sequence: row.sequence, message: await this.#message(row.message) })),
    );
  }

  /**
   * Messages in which all words occur, newest first, as far as it is asked to; case and accents say nothing. `before` is
   * the sequence of the last row got. Refuses no words, more than 8, or more than 256 bytes with `invalid-argument`.
   */
  async *search(
    query: string,
    options: { readonly chat?: Recipient; readonly before?: number } = {},
  ): AsyncGenerator<{ readonly sequence: number; readonly message: Message }, void, void> {
    const words = searchWords(query);
    if (words === undefined) throw new ClientError('invalid-argument', { detail: 'words' });
    const { chat, before } = options;
    const within = {
      ...(chat === undefined ? {} : { chat: await this.#worker().resolve(chat) }),
      ...(before === undefined ? {} : { before }),
    };
    for await (const { sequence, message } of searchMessages(this.#scan(), words, within)) {
      yield { sequence, message: await this.#message(message) };
    }
  }

  /**
   * One line of JSON for each message, oldest first; bytes are base64. It holds what the history holds, in the open: also
   * the keys of attachments. What may be seen once is left out.
   */
  async *exportHistory(options: { readonly chat?: Recipient } = {}): AsyncGenerator<string, void, void> {
    const chat = options.chat === undefined ? undefined : await this.#worker().resolve(options.chat);
    yield* exportMessages(this.#scan(), chat);
  }

  // Chats

  /** Pinned ones first, then by when something was said last; `skip` and `limit` (at most 200) make pages. */
  async chats(
    options: { readonly skip?: number; readonly limit?: number; readonly archived?: boolean } = {},
  ): Promise<Chat[]> {
    const { skip = 0, limit = 50, archived = false } = options;
    const { own } = this.#scan();
    const nowMs = this.#clock.nowMs();
    const page = { skip: Math.max(0, skip), limit: Math.max(1, Math.min(limit, maxChatsPerPage)), archived, nowMs };
    const rows = this.#transaction(tx =>
      chatPage(tx, own, page).map(row => ({ ...row, profile: readProfile(tx, row.chat.chat)?.profile })),
    );
    return Promise.all(
      rows.map(async ({ chat, lastMessage, profile }) => ({
        with: await this.contact(chat.chat),
        profile,
        unread: chat.unread,
        lastAtMs: chat.lastAtMs,
        lastMessage,
        draft: chat.draft,
        pinned: chat.settings.pinned?.value ?? false,
        archived,
        muted: (chat.settings.mutedUntilMs?.value ?? 0) > nowMs,
        timerSeconds: chat.timer?.seconds ?? 0,
        settings: settingsOf(chat),
      })),
    );
  }

  /** Pins, mutes, archives, or switches receipts and typing for one chat; fields that are absent stay. On all devices. */
  async setChat(chat: Recipient, settings: ChatSettings): Promise<void> {
    await this.#worker().setChat(chat, settings);
  }

  /** Switches receipts and typing for all chats that say nothing of their own. On all devices. */
  async setDefaults(
    settings: Pick<ChatSettings, 'sendDelivered' | 'sendRead' | 'sendPlayed' | 'sendTyping'>,
  ): Promise<void> {
    await this.#worker().setChat(undefined, settings);
  }

  defaults(): ChatSettings {
    return settingsOf(this.#transaction(tx => readChat(tx, defaultsKey)));
  }

  /** Messages from now on disappear, at both ends, so many seconds after they were read (sender: sent); 0: they stay. */
  async setTimer(chat: Recipient, seconds: number): Promise<void> {
    await this.#worker().setTimer(chat, seconds);
  }

  async markChatRead(chat: Recipient): Promise<void> {
    await this.#worker().markChatRead(chat);
  }

  /** Text that is not sent yet, at most 32 KiB; of this device. Empty: none. */
  async setDraft(chat: Recipient, text: string): Promise<void> {
    await this.#worker().setDraft(chat, text);
  }

  /** What some device of that person can't show; undefined while nothing is known of their devices. */
  async lacking(chat: Recipient): Promise<Capability[] | undefined> {
    return this.#worker().lacking(chat);
  }

  // Profile

  /** Name and picture, for the people written to from now on: they go along with the next message. */
  async setProfile(profile: Profile): Promise<void> {
    this.#worker().setProfile(profile);
  }

  /** What somebody said of themselves; of oneself without an argument. Never proof of who they are. */
  async profile(person?: Recipient): Promise<Profile | undefined> {
    const interopId = person === undefined ? this.#scan().own : await this.#worker().resolve(person);
    return this.#transaction(tx => readProfile(tx, interopId))?.profile;
  }

  // History for another device

  /** On a new device: asks the others for the history; again: for the rest of it. Events of kind `history` tell of it. */
  async requestHistory(): Promise<void> {
    this.#worker().requestHistory();
  }

  /** Sends the history to another device of this person, end-to-end encrypted, across restarts of both. */
  async sendHistory(deviceId: number): Promise<void> {
    const { account } = this.#live();
    if (
      !Number.isInteger(deviceId) ||
      deviceId < 1 ||
      deviceId > historyLimits.maxDevices ||
      deviceId === account.deviceId
    )
      throw new ClientError('invalid-argument', { detail: 'deviceId' });
    this.#worker().sendHistory(deviceId);
  }

  /** What happens from now on. A listener that is too slow misses the oldest and is told how many. */
  events(): AsyncIterableIterator<ClientEvent> {
    return this.#hub.listen();
  }

  // People

  /** Looks a name up in the directory. Rejects with `not-found`, the same for unknown and unreachable. */
  async find(provider: string, identifier: string): Promise<Contact> {
    const { messenger } = this.#live();
    return { interopId: await messenger.find(provider, identifier), provider, identifier };
  }

  async contact(interopId: string): Promise<Contact> {
    return this.#worker().contact(interopId);
  }

  /** Which providers' people may reach this person, and be reached. */
  async consent(): Promise<ProviderConsent[]> {
    return fetchConsent(this.#live().messenger.request);
  }

  /** By number, or by name as `consent` lists it. */
  async optIn(provider: number | string): Promise<void> {
    await this.#setConsent(provider, true);
  }

  async optOut(provider: number | string): Promise<void> {
    await this.#setConsent(provider, false);
  }

  // Identities

  async identity(person: Recipient): Promise<Identity> {
    const { interopId, suite } = await this.#person(person);
    const state: IdentityState = this.#read(await suite.readIdentity(interopId));
    const { fingerprint, verified, identityKey, pending } = state;
    return { fingerprint, verified, identityKey, pending };
  }

  /** What two people compare: the same digits on both sides, or somebody sits between them. */
  async safetyNumber(person: Recipient): Promise<SafetyNumberView> {
    const { interopId, suite } = await this.#person(person);
    const { digits, scannable } = this.#read(await suite.safetyNumber(interopId));
    return { digits, formatted: formatSafetyNumber(digits), scannable };
  }

  /** Records that a person has compared the safety number of exactly this key (from `identity`), or takes that back. */
  async setVerified(person: Recipient, identityKey: Uint8Array, verified = true): Promise<void> {
    const { interopId, suite } = await this.#person(person);
    this.#read(await suite.setVerified(interopId, identityKey, verified, this.#commit));
  }

  /** Accepts a changed key that a person was shown (`pending` of `identity`): what waited is sent and read. */
  async acceptIdentity(person: Recipient, identityKey: Uint8Array): Promise<void> {
    const { interopId, suite } = await this.#person(person);
    this.#read(await suite.acceptIdentity(interopId, identityKey, this.#commit));
    this.#messenger?.identityAccepted(interopId);
  }

  readonly #commit = (staged: { readonly changes: readonly StoreChange[] }): void =>
    committed(this.#store.transaction(tx => tx.apply(staged.changes)));

  async #setConsent(provider: number | string, optedIn: boolean): Promise<void> {
    const { request } = this.#live().messenger;
    let number = provider;
    if (typeof number === 'string') {
      const named = (await fetchConsent(request)).find(each => each.name === provider);
      if (named === undefined) throw new ClientError('not-found', { detail: 'provider' });
      number = named.number;
    }
    await setConsent(request, number, optedIn);
  }

  async #person(person: Recipient): Promise<{ interopId: string; suite: E2eeSuite }> {
    const messenger = this.#worker();
    return { interopId: await messenger.resolve(person), suite: this.#suite! };
  }

  async #message(record: MessageRecord): Promise<Message> {
    const from = await this.#worker().contact(record.author);
    const markRead = async (): Promise<void> => this.#worker().markRead([record]);
    return { ...record, from, markRead };
  }

  /** Keys of a device that is not enlisted yet: made once, kept, the same after a crash. */
  async #newDevice(): Promise<{ keys: DeviceKeys; publication: KeyPublication }> {
    this.#needOpen();
    const kept = this.#read(await readDeviceKeys(this.#store.e2ee));
    const publication = this.#transaction(tx => readSetting(tx, 'publication'));
    if (kept !== undefined && publication !== undefined)
      return { keys: kept, publication: decodePublication(publication) };
    const made: Result<NewDevice, { readonly code: string }> = createDevice({ nowMs: this.#clock.nowMs() });
    if (!made.ok) throw new ClientError('store-failed', { detail: made.error.code });
    this.#transaction(tx => {
      tx.apply(made.value.changes);
      writeSetting(tx, 'publication', encodePublication(made.value.publication));
    });
    return made.value;
  }

  async #enlisted(enlistment: Enlistment, publication: KeyPublication): Promise<AccountRecord> {
    const { interopId, deviceId, domain, jid } = enlistment;
    const signingKey = this.#offer?.signingKey;
    const pinned = signingKey === undefined ? {} : { signingKey };
    const account = { gatekeeper: this.#gatekeeper, interopId, deviceId, domain, jid, ...pinned };
    this.#transaction(tx => {
      writeAccount(tx, account);
      writeSetting(tx, 'publication', undefined);
      writeSetting(tx, 'link', undefined);
    });
    await this.#begin(account);
    this.#read(await this.#suite!.confirmPublished(publication, this.#commit));
    return account;
  }

  async #begin(account: AccountRecord): Promise<void> {
    const local = { interopId: account.interopId, deviceId: account.deviceId };
    const nowMs = (): number => this.#clock.nowMs();
    this.#suite = this.#read(await openSignalSuite({ local, store: this.#store.e2ee, nowMs }));
    this.#account = account;
    const { interopId: own } = account;
    const emit = (event: ClientEvent): void => this.#emit(event);
    this.#disappearing ??= new Disappearing({ store: this.#store, own, clock: this.#clock, emit });
    const known = this.#transaction(tx => readSetting(tx, 'static-key'));
    this.#knownStaticKey = known === undefined ? undefined : decodeStaticKey(known);
  }

  #scan(): ScanContext {
    if (this.#account === undefined) throw new ClientError('not-enlisted');
    const { interopId: own } = this.#account;
    return { transaction: work => this.#transaction(work), own, nowMs: () => this.#clock.nowMs() };
  }

  /** A messenger, connected or not: the outbox and the history work without a stream. */
  #worker(): Messenger {
    this.#needOpen();
    if (this.#account === undefined) throw new ClientError('not-enlisted');
    this.#messenger ??= this.#makeMessenger();
    return this.#messenger;
  }

  async #startMessenger(): Promise<void> {
    const offer = await this.#fetchOffer();
    if (offer.domain !== this.#account!.domain) throw new ClientError('enlisted-elsewhere');
    const choices = this.#transports(offer, await this.#deviceKeys());
    if (choices.length === 0) {
      throw new ClientError('gatekeeper-refused', { detail: 'it offers no transport that this client wants' });
    }
    this.#turns ??= inTurn(choices, {
      recall: () => decodeTransport(this.#transaction(tx => readSetting(tx, 'transport'))),
      // Only spares failed attempts next time: a store that fails now is told of elsewhere.
      keep: (name, sinceMs) =>
        void this.#store.transaction(tx => writeSetting(tx, 'transport', JSON.stringify({ name, sinceMs }))),
      nowMs: () => this.#clock.nowMs(),
    });
    if (this.#messenger?.status.kind === 'stopped') await this.disconnect();
    this.#messenger ??= this.#makeMessenger();
    this.#messenger.start();
  }

  #makeMessenger(): Messenger {
    return new Messenger({
      store: this.#store,
      suite: this.#suite!,
      account: this.#account!,
      clock: this.#clock,
      random: this.#options.random ?? Math.random,
      deliveryReceipts: this.#options.deliveryReceipts ?? true,
      emit: event => this.#emit(event),
      noted: message => this.#disappearing?.note(message),
      proof: async transport => this.#proof(await this.#fetchOffer(), transport, await this.#deviceKeys()),
      connect: context => this.#turns!(context),
    });
  }

  #transports(offer: ReferenceOffer, keys: DeviceKeys): OfferedTransport[] {
    return offeredTransports({
      offer,
      wanted: this.#options.transports ?? defaultTransports,
      trust: this.#trust,
      devicePrivateKey: keys.deviceKey.privateKey,
      signingKey: this.#account?.signingKey,
      nowMs: () => this.#clock.nowMs(),
      keyLog: this.#keyLog,
      knownStaticKey: () => this.#knownStaticKey,
      keepStaticKey: key => {
        this.#knownStaticKey = key;
        // Only spares a round trip next time: a store that fails now is told of elsewhere.
        this.#store.transaction(tx =>
          writeSetting(tx, 'static-key', key === undefined ? undefined : encodeStaticKey(key)),
        );
      },
    });
  }

  #emit(event: ClientEvent): void {
    this.#hub.emit(event);
    if (event.kind === 'status' && event.status.kind === 'online') this.#fileOutbox.resume();
    if (event.kind === 'message') this.#disappearing?.note(event.message);
    if (event.kind === 'message' && event.change === 'new') for (const reader of this.#readers) reader.wake();
  }

  #online(timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const events = this.#hub.listen();
    let last: ClientError | undefined;
    const cancel = this.#clock.after(timeoutMs, () => reject(last ?? new ClientError('timed-out')));
    const look = (status: ConnectionStatus): void => {
      if (status.kind === 'online') resolve();
      if (status.kind === 'waiting') last = status.error;
      if (status.kind === 'stopped') reject(status.error ?? new ClientError('closed'));
    };
    look(this.status);
    void (async () => {
      for await (const event of events) if (event.kind === 'status') look(event.status);
      reject(new ClientError('closed'));
    })();
    return promise.finally(() => {
      cancel();
      void events.return?.();
    });
  }

  async #fetchOffer(): Promise<ReferenceOffer> {
    this.#needOpen();
    if (this.#offer !== undefined) return this.#offer;
    const offer = await fetchOffer(this.#gatekeeper, this.#trust);
    if (!offer.suites.includes(SIGNAL_SUITE)) {
      throw new ClientError('gatekeeper-refused', { detail: `it does not admit the suite ${SIGNAL_SUITE}` });
    }
    this.#offer = offer;
    return offer;
  }

  #httpProof(offer: ReferenceOffer, keys: DeviceKeys): Promise<string> {
    return this.#proof(offer, 'http', keys);
  }

  #proof(offer: ReferenceOffer, transport: 'xmpp' | 'compact' | 'http', keys: DeviceKeys): Promise<string> {
    return this.#proofSource!({ audience: offer.issuer, jkt: keys.deviceKey.thumbprint, transport });
  }

  async #providerProof(request: Parameters<ProofSource>[0]): Promise<string> {
    const provider = this.#provider;
    if (provider === undefined) {
      throw new ClientError('invalid-argument', { detail: 'openClient needs `provider` or `proofSource`' });
    }
    try {
      return await provider.fetchProof(request);
    } catch (error) {
      const missing = error instanceof ClientError && error.code === 'sign-in-refused';
      if (!missing || this.#options.provider?.signUp !== true || this.#account !== undefined) throw error;
      await provider.signUp().catch((refusal: unknown) => {
        // It is there, so that the password was wrong.
        throw refusal instanceof ClientError && refusal.code === 'identifier-taken' ? error : refusal;
      });
      return provider.fetchProof(request);
    }
  }

  async #deviceKeys(): Promise<DeviceKeys> {
    const keys = this.#read(await readDeviceKeys(this.#store.e2ee));
    if (keys === undefined) throw new ClientError('not-enlisted');
    return keys;
  }

  async #http(): Promise<{ offer: ReferenceOffer; keys: DeviceKeys; account: AccountRecord }> {
    if (this.#account === undefined) throw new ClientError('not-enlisted');
    return { offer: await this.#fetchOffer(), keys: await this.#deviceKeys(), account: this.#account };
  }

  #live(): { messenger: Messenger; account: AccountRecord } {
    this.#needOpen();
    if (this.#account === undefined) throw new ClientError('not-enlisted');
    if (this.#messenger?.status.kind !== 'online') throw new ClientError('not-connected');
    return { messenger: this.#messenger, account: this.#account };
  }

  /** Asks the gatekeeper on the stream that is up then. */
  readonly #request: Request = async (type, payload) => this.#live().messenger.request(type, payload);

  /** Half-written files of an earlier process, which was killed. */
  async #removeUnsaved(): Promise<void> {
    for (const path of this.#transaction(listSaving)) {
      if (isTemporaryPath(path)) await rm(path, { force: true }).catch(() => {});
      this.#transaction(tx => noteSaving(tx, path, false));
    }
  }

  /** Made once; names the copies of files in the folder. */
  #mediaNameKey(): Uint8Array {
    return this.#transaction(tx => {
      const kept = readSetting(tx, 'media-names');
      if (kept !== undefined) return Buffer.from(kept, 'base64');
      const made = randomBytes(32);
      writeSetting(tx, 'media-names', base64(made));
      return made;
    });
  }

  #needAccount(): void {
    this.#needOpen();
    if (this.#account === undefined) throw new ClientError('not-enlisted');
  }

  #needOpen(): void {
    if (this.#closed) throw new ClientError('closed');
  }

  #transaction<T>(work: (tx: Transaction) => T): T {
    this.#needOpen();
    const result = this.#store.transaction(work);
    if (!result.ok) throw storeError(result.error.code, result.error);
    return result.value;
  }

  /** A result of the encryption suite, or its error as ours. */
  #read<T>(result: Result<T, { readonly code: string }>): T {
    if (result.ok) return result.value;
    const { code } = result.error;
    const known: Readonly<Record<string, ClientErrorCode>> = {
      'unknown-identity': 'identity-unknown',
      'identity-key-differs': 'untrusted-identity',
      'too-many-waiting': 'too-many-requests',
    };
    throw new ClientError(known[code] ?? 'store-failed', { detail: code, cause: result.error });
  }
}

function pointerOf(message: Pick<MessageRecord, 'body'>, index: number): AttachmentPointer {
  const pointer = message.body?.kind === 'attachment' ? message.body.attachments[index] : undefined;
  if (pointer === undefined) throw new ClientError('unknown-message', { detail: 'attachment' });
  return pointer;
}

function keySource(options: ClientOptions): KeySource {
  const { passphrase, key, keyFile } = options;
  const given: KeySource[] = [];
  if (passphrase !== undefined && passphrase !== '') given.push({ kind: 'passphrase', passphrase });
  if (key !== undefined) given.push({ kind: 'key', key });
  if (keyFile !== undefined) given.push({ kind: 'key-file', path: keyFile });
  if (given.length === 1) return given[0]!;
  throw new ClientError('invalid-argument', { detail: 'give exactly one of passphrase, key, keyFile' });
}

function readAuthority(ca: string): string {
  if (ca.includes('-----BEGIN')) return ca;
  try {
    return readFileSync(ca, 'utf8');
  } catch (cause) {
    throw new ClientError('invalid-argument', { detail: 'the ca file cannot be read', cause });
  }
}

function storeError(code: StoreErrorCode, cause: unknown): ClientError {
  switch (code) {
    case 'wrong-key':
    case 'key-missing':
      return new ClientError('wrong-passphrase', { cause });
    case 'store-in-use':
      return new ClientError('store-locked', { cause });
    case 'closed':
      return new ClientError('closed', { cause });
    default:
      return new ClientError('store-failed', { detail: code, cause });
  }
}

function orLinkFailed<T>(result: Result<T, { readonly code: string }>): T {
  if (!result.ok) throw new ClientError('link-failed', { detail: result.error.code });
  return result.value;
}

/** The gatekeeper has authorised the key that made the link code: a device with a new identity keeps that key. */
function withDeviceKey(changes: readonly StoreChange[], keys: DeviceKeys): StoreChange[] {
  return changes.map(change => {
    if (change.op !== 'put' || change.table !== 'device' || change.key !== 'local') return change;
    const record = fromBinary(DeviceRecordSchema, change.value);
    record.devicePrivateKey = Uint8Array.from(keys.deviceKey.privateKey);
    return { ...change, value: toBinary(DeviceRecordSchema, record) };
  });
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function deviceRecord(keys: DeviceKeys, publication: KeyPublication): DeviceRecord {
  const { signedPrekey, lastResortKemPrekey, prekeys, kemPrekeys } = publication;
  const signed = (each: NonNullable<KeyPublication['signedPrekey']>): DeviceRecord['signedPrekey'] => ({
    id: each.id,
    publicKey: base64(each.publicKey),
    signature: base64(each.signature),
  });
  return {
    deviceKey: Buffer.from(keys.deviceKey.publicKey).toString('base64url'),
    registrationId: keys.registrationId,
    identityKey: base64(keys.identityKey),
    // A new device's publication always has both.
    signedPrekey: signed(signedPrekey!),
    lastResortKemPrekey: signed(lastResortKemPrekey!),
    prekeys: prekeys.map(({ id, publicKey }) => ({ id, publicKey: base64(publicKey) })),
    kemPrekeys: kemPrekeys.map(signed),
    capabilities: { suites: [SIGNAL_SUITE] },
  };
}

function encodePublication(publication: KeyPublication): string {
  // Buffers turn themselves into something else before a replacer sees them: it looks at what they were.
  return JSON.stringify(publication, function replace(this: Record<string, unknown>, key, value: unknown) {
    const bytes = this[key];
    return bytes instanceof Uint8Array ? { base64: base64(bytes) } : value;
  });
}

/** Opens the file (mode 0600) and gives what writes a line to it. */
function openKeyLog(file: string): (line: string) => void {
  try {
    appendFileSync(file, '', { mode: 0o600 });
  } catch (error) {
    throw new ClientError('invalid-argument', { detail: 'keyLogFile cannot be written', cause: error });
  }
  return line => {
    try {
      appendFileSync(file, `${line}\n`);
    } catch {
      // A disk that is full now must not end the stream: the line is missing, as the reader will see.
    }
  };
}

function decodeTransport(text: string | undefined): { name: string; sinceMs: number } | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as { name: string; sinceMs: number });
}

function encodeStaticKey(key: KnownStaticKey): string {
  return JSON.stringify({ publicKey: base64(key.publicKey), notAfter: key.notAfter });
}

function decodeStaticKey(text: string): KnownStaticKey {
  const { publicKey, notAfter } = JSON.parse(text) as { publicKey: string; notAfter: number };
  return { publicKey: Buffer.from(publicKey, 'base64'), notAfter };
}

function decodePublication(text: string): KeyPublication {
  return JSON.parse(text, (_, value: unknown) =>
    typeof value === 'object' && value !== null && 'base64' in value
      ? Buffer.from(String(value.base64), 'base64')
      : value,
  ) as KeyPublication;
}
