// The SDK: open a folder, enlist, connect, send, read. One object for one device of one person at one gatekeeper. This file
// is the table of contents; each room has a folder.
// Knows nothing of screens. All failures are `ClientError`s; what happens by itself comes as events.
// Source: docs/protocol (all pages).
import { join } from 'node:path';
import { Account } from './account/account.ts';
import { LocalDevice } from './account/local-device.ts';
import { mediaPlaceOf } from './account/media-session.ts';
import { providerProofs } from './account/provider-proofs.ts';
import { ProviderSession } from './account/provider-session.ts';
import { Chats } from './chats/chats.ts';
import { type Message, presentMessage } from './chats/presenting.ts';
import type { Outgoing } from './chats/writing.ts';
import { systemClock } from './clock.ts';
import type { ConnectionStatus } from './connection/connection.ts';
import type { HttpTrust } from './connection/http.ts';
import { connectTimeoutMs, Lifecycle } from './connection/lifecycle.ts';
import { defaultTransports } from './connection/transports.ts';
import { Contacts } from './contacts/contacts.ts';
import { Links } from './contacts/links.ts';
import { Devices } from './devices/devices.ts';
import type { Recipient } from './directory/people.ts';
import { type ClientEvent, EventHub } from './events.ts';
import { ClientFiles } from './files/client-files.ts';
import { isShown } from './history/history.ts';
import { Identities } from './identities/identities.ts';
import { MessageReader } from './inbox/message-reader.ts';
import { Notices } from './notices/notices.ts';
import { Resends } from './outbox/resends.ts';
import { Reports } from './reports/reports.ts';
import { type CheckedOptions, checkOptions, type ClientOptions, openKeyLog } from './options.ts';
import { openStoredTables } from './storage/stored-tables.ts';
import type { AccountRecord } from './store/account-records.ts';
import { openEncryptedStore } from './store/encrypted-store.ts';
import type { StoreResult } from './store/store-errors.ts';
import type { EncryptedStore } from './store/store.ts';
import { durable, storeError } from './store/transact.ts';
import { chatWith, type KnownPerson, knownPerson } from './history/message-names.ts';

/**
 * Opens a device's folder, or makes it. Nothing goes over the network yet.
 * Rejects with `ClientError`: `invalid-argument`, `wrong-passphrase`, `store-locked`, `store-failed`, `enlisted-elsewhere`.
 */
export async function openClient(options: ClientOptions): Promise<Client> {
  const checked = checkOptions(options);
  const opened = await openStore(options, checked);
  if (!opened.ok) throw storeError(opened.error);
  try {
    const client = new Client(options, checked, opened.value);
    await client.load();
    return client;
  } catch (error) {
    opened.value.close();
    throw error;
  }
}

function openStore(
  { folder, storage, clock = systemClock }: ClientOptions,
  { keySource }: CheckedOptions,
): Promise<StoreResult<EncryptedStore>> {
  const nowMs = (): number => clock.nowMs();
  if (storage !== undefined) return openStoredTables({ storage, key: keySource, nowMs });
  return openEncryptedStore({ path: join(folder, 'drawbridge.db'), key: keySource, nowMs });
}

export class Client {
  /** Enlists this person and says who may reach them. */
  readonly account: Account;
  /** The person's devices: links, lists and removes them. */
  readonly devices: Devices;
  /** Other people: finds them. */
  readonly contacts: Contacts;
  /** Personal links: by which strangers come to this person, and this person to others. */
  readonly links: Links;
  /** Their identity keys: compares and accepts them. */
  readonly identities: Identities;
  /** Chats and what is in them. */
  readonly chats: Chats;
  readonly files: ClientFiles;
  /** Changes that nobody may miss, until they are acknowledged. */
  readonly notices: Notices;
  /** Requests for what was sent before that wait for a person's decision. */
  readonly resends: Resends;
  /** Shows the gatekeeper's operator what somebody said. */
  readonly reports: Reports;
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;
  readonly #hub = new EventHub();
  readonly #readers = new Set<MessageReader<Message>>();
  #closed = false;

  /** Use `openClient`. */
  constructor(options: ClientOptions, checked: CheckedOptions, store: EncryptedStore) {
    const { provider: known, keyLogFile, folder } = options;
    const { gatekeeper } = checked;
    const [trust, providerTrust] = [checked.trust, checked.providerTrust].map(each => ({
      ...each,
      durable: () => durable(store),
    })) as [HttpTrust, HttpTrust];
    const provider = known === undefined ? undefined : new ProviderSession(known, providerTrust);
    const maySignUp = (): boolean => known?.signUp === true && this.me === undefined;
    const device = new LocalDevice({
      store,
      clock: options.clock ?? systemClock,
      gatekeeper,
      trust,
      proofSource: options.proofSource ?? providerProofs(provider, maySignUp),
    });
    const random = options.random ?? Math.random;
    const lifecycle = new Lifecycle({
      device,
      emit: event => this.#emit(event),
      listen: () => this.#hub.listen(),
      random,
      transports: options.transports ?? defaultTransports,
      deliveryReceipts: options.deliveryReceipts ?? true,
      keyLog: keyLogFile === undefined ? undefined : openKeyLog(keyLogFile),
    });
    this.#device = device;
    this.#lifecycle = lifecycle;
    this.account = new Account(device, lifecycle);
    this.devices = new Devices({ device, lifecycle, account: this.account, identifier: known?.identifier });
    this.contacts = new Contacts(device, lifecycle);
    this.links = new Links(device, lifecycle);
    this.identities = new Identities(device, lifecycle);
    this.notices = new Notices(device);
    this.resends = new Resends(device, lifecycle);
    this.reports = new Reports(device, lifecycle);
    this.chats = new Chats(device, lifecycle);
    const place = options.mediaSession === undefined ? provider : mediaPlaceOf(options.mediaSession);
    this.files = new ClientFiles({ device, lifecycle, place, placeTrust: providerTrust, folder, random });
  }

  /** Reads what the folder knows. `openClient` calls it. */
  async load(): Promise<void> {
    await this.files.sweep();
    await this.#device.load();
    this.#lifecycle.admitted();
  }

  /** This device's place at the gatekeeper; undefined before `account.enlist`. */
  get me(): (AccountRecord & { readonly interopId: KnownPerson }) | undefined {
    const { account } = this.#device;
    return account === undefined ? undefined : { ...account, interopId: knownPerson(account.interopId) };
  }

  get status(): ConnectionStatus {
    return this.#lifecycle.status;
  }

  /**
   * Connects, and stays connected until `disconnect` or `close`. Fulfilled when the stream is up. When that takes too long it
   * rejects with the last reason, and goes on trying in the background; only `sign-in-refused`, and `replaced` when it comes
   * twice within ten minutes, are final.
   *
   * `proof-refused`: the gatekeeper does not believe the ownership proof. The SDK asks for another and tries again, slowly
   * (up to 10 minutes apart), since it is the provider (its registration or its keys) or this machine's clock that has to be
   * mended: nothing is to be done here but to tell a person, and what is sent meanwhile waits. `not-judged` is not a refusal: the gatekeeper
   * can't judge now, and is asked again as after any lost stream.
   */
  async connect(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    await this.#lifecycle.connect(options.timeoutMs ?? connectTimeoutMs);
  }

  /** Ends the stream in order. What waits stays in the outbox. */
  async disconnect(): Promise<void> {
    await this.#lifecycle.disconnect();
  }

  /** Ends everything in order and frees the folder. Repeats do nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // First: what still comes in wakes nobody who would find the store closed.
    for (const reader of this.#readers) reader.end();
    this.#device.end();
    this.files.close();
    await this.#lifecycle.close();
    this.#hub.close();
    this.#device.store.close();
    await durable(this.#device.store);
  }

  /**
   * Fulfilled when everything that was said to this client until now is durable: at once, but for a `storage` of the app's own.
   * What goes over the network waits for it by itself, and so do `send`, `files.send`, `chats.resend` and `chats.openOnce`.
   */
  async durable(): Promise<void> {
    await durable(this.#device.store);
  }

  /**
   * Sends a message. Fulfilled when it is on disk: from then on it is sent as soon as there is a stream, across restarts.
   * What becomes of it is told by events of kind `message`. Needs a stream only for names that are not known yet.
   */
  async send(to: Recipient, outgoing: Outgoing): Promise<Message> {
    const { people, writing } = this.#lifecycle.worker();
    const message = writing.send(chatWith(await people.addressee(to)), outgoing);
    await this.durable();
    return presentMessage(this.#lifecycle, message);
  }

  /**
   * Incoming messages, oldest first, then as they come. A message counts as consumed when the next one is asked for: after
   * a crash in between it comes again. Several iterators each see all messages from where they begin.
   */
  messages(): MessageReader<Message> {
    const own = this.me?.interopId ?? '';
    const reader = new MessageReader<Message>({
      transaction: work => this.#device.transaction(work),
      own,
      isWanted: message =>
        message.author !== this.me?.interopId &&
        message.kind !== 'deleted' &&
        message.kind !== 'notice' &&
        message.kind !== 'opened' &&
        isShown(message),
      present: message => presentMessage(this.#lifecycle, message),
      onEnd: ended => this.#readers.delete(ended),
    });
    this.#readers.add(reader);
    return reader;
  }

  /** What happens from now on. A listener that is too slow misses the oldest and is told how many. */
  events(): AsyncIterableIterator<ClientEvent> {
    return this.#hub.listen();
  }

  #emit(event: ClientEvent): void {
    this.#hub.emit(event);
    if (event.kind === 'status' && event.status.kind === 'online') this.files.resume();
    if (event.kind === 'message' && event.change === 'new') for (const reader of this.#readers) reader.wake();
  }
}
