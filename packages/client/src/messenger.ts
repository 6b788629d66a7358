// One enlisted device at work: joins its stream, outbox, inbox, history and keys, and starts and ends them in order.
// Knows nothing of enlistment, folders or passphrases, nor of what messages mean.
// Source: docs/protocol/04-streams.md, 06-stanzas.md, 09-content.md.
import type { DeviceKeys } from '@drawbridge/e2ee/device-keys';
import type { E2eeSuite } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import type { InteropId } from '@drawbridge/wire/jid';
import { KeyUpkeep } from './account/key-upkeep.ts';
import { OwnProfile } from './account/own-profile.ts';
import { RestoredStore } from './account/restored-store.ts';
import { StoreCount } from './account/store-count.ts';
import { Preferences } from './chats/preferences.ts';
import { Receipts } from './chats/receipts.ts';
import { Writing } from './chats/writing.ts';
import { DecisionBook } from './contacts/decision-book.ts';
import { OwnDecisions } from './contacts/own-decisions.ts';
import type { Clock, Random } from './clock.ts';
import { Connection, type ConnectionStatus } from './connection/connection.ts';
import type { ConnectTransport } from './connection/transport.ts';
import { OwnManifest } from './devices/own-manifest.ts';
import { askForPeople } from './devices/people-to-come.ts';
import { DeviceLists } from './directory/device-lists.ts';
import type { Request } from './directory/directory.ts';
import { refuseWhileMoved } from './directory/moved-names.ts';
import { ProviderConsents } from './directory/provider-consents.ts';
import { People } from './directory/people.ts';
import { ClientError } from './errors.ts';
import type { ClientEvent } from './events.ts';
import { Authoring } from './history/authoring.ts';
import { HistoryTransfer } from './history/history-transfer.ts';
import type { MessageRecord } from './history/message-log.ts';
import { Inbox } from './inbox/inbox.ts';
import { type AskedAgain, releaseAsked } from './outbox/asked-again.ts';
import { Outbox, type Sending } from './outbox/outbox.ts';
import type { EncryptedStore } from './store/store.ts';
import type { AccountRecord } from './store/account-records.ts';
import { transact } from './store/transact.ts';

/** How often rotation by age and lost messages are looked at while a stream is up. */
const upkeepMs = 3_600_000;

export type MessengerSettings = {
  readonly store: EncryptedStore;
  readonly suite: E2eeSuite;
  readonly account: AccountRecord;
  readonly connect: ConnectTransport;
  readonly keys: () => Promise<DeviceKeys>;
  readonly proof: (transport: 'xmpp' | 'compact') => Promise<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly deliveryReceipts: boolean;
  readonly emit: (event: ClientEvent) => void;
  /** A message may have begun to run out, and nothing else is to be said of it. */
  readonly noted: (message: MessageRecord) => void;
};

export class Messenger {
  readonly people: People;
  readonly authoring: Authoring;
  readonly writing: Writing;
  readonly receipts: Receipts;
  readonly preferences: Preferences;
  readonly profile: OwnProfile;
  readonly #settings: MessengerSettings;
  readonly #connection: Connection<Sending>;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #transfer: HistoryTransfer;
  readonly #keys: KeyUpkeep;
  readonly #restored: RestoredStore;
  readonly #storeCount: StoreCount;
  readonly #lists: DeviceLists;
  readonly decisions: OwnDecisions;
  readonly #book: DecisionBook;
  readonly #consents: ProviderConsents;
  readonly manifest: OwnManifest;
  #cancelUpkeep: (() => void) | undefined;
  #resumedHistory = false;
  /** Of the session that was bound last: nothing leaves before its store is counted. */
  #isReady = false;
  #isFresh = false;

  constructor(settings: MessengerSettings) {
    this.#settings = settings;
    const { store, suite, account, clock, random, deliveryReceipts } = settings;
    const { domain } = account;
    const { request } = this;
    const emit = (event: ClientEvent): void => this.#emit(event);
    const own = suite.local.interopId;
    const lists = new DeviceLists({
      store,
      suite,
      domain,
      clock,
      request,
      emit,
      ownIdentityKey: async () => (await settings.keys()).identityKey,
    });
    this.#lists = lists;
    const outbox = new Outbox({
      lists,
      store,
      suite,
      domain,
      clock,
      random,
      request,
      emit,
      isStamped: () => this.#connection.isStamped,
      send: (stanza, sending) => this.#connection.send(stanza, sending),
    });
    this.#outbox = outbox;
    this.#consents = new ProviderConsents({ store, domain, request, emit, changed: () => outbox.wakeAll() });
    const authoring = new Authoring({ store, own, clock, outbox, emit });
    this.authoring = authoring;
    this.#book = new DecisionBook({ store, domain, request, outbox, authoring, clock, deliveryReceipts, emit });
    this.people = new People({
      store,
      own,
      domain,
      request,
      clock,
      status: () => this.status,
      show: message => emit({ kind: 'message', change: 'new', message }),
    });
    const { people } = this;
    this.decisions = new OwnDecisions({ authoring, outbox, people, request, domain });
    this.manifest = new OwnManifest({ store, account, keys: settings.keys, clock, request, lists, people, emit });
    this.profile = new OwnProfile(authoring, outbox);
    this.writing = new Writing(authoring, this.profile);
    this.receipts = new Receipts(authoring, outbox);
    this.preferences = new Preferences(authoring, outbox, emit);
    const restored = new RestoredStore({ store, suite, request, clock, emit });
    this.#restored = restored;
    this.#storeCount = new StoreCount({ store, request, clock, emit, restored });
    this.#keys = new KeyUpkeep({ store, suite, request, clock, emit, restored });
    this.#transfer = new HistoryTransfer({ own, clock, outbox, noted: settings.noted });
    this.#inbox = new Inbox({
      store,
      suite,
      domain,
      clock,
      emit,
      outbox,
      lists,
      transfer: this.#transfer,
      deliveryReceipts,
      decisions: this.#book,
      keysLow: counts => this.#keys.keep(counts),
      ownManifestChanged: () => this.manifest.look(),
    });
    this.#connection = new Connection<Sending>(
      { domain, connect: settings.connect, proof: settings.proof, clock, random },
      {
        message: (element, resolve, isStamped) => this.#received(element, resolve, isStamped),
        delivered: sendings => this.#delivered(sendings),
        suspected: (sending, condition) => outbox.suspected(sending, condition),
        status: status => this.#status(status),
      },
    );
  }

  get #own(): InteropId {
    return this.#settings.suite.local.interopId;
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
    this.#book.close();
    // First what is under way is kept, so that it can still be acknowledged.
    await this.#inbox.close();
    await this.#storeCount.close();
    await this.#connection.close();
    await this.#keys.close();
    await this.manifest.close();
  }

  /** On a new device: asks the person's other devices for the history, or for the rest of it. */
  requestHistory(): void {
    transact(this.#settings.store, tx => this.#transfer.ask(tx));
    this.#outbox.wake(this.#own);
  }

  /** Sends the whole history to another device of this person. */
  sendHistory(deviceId: number): void {
    this.#settings.emit(transact(this.#settings.store, tx => this.#transfer.begin(tx, deviceId)));
    this.#outbox.wake(this.#own);
  }

  /** A person has accepted somebody's new identity key: what waited for it goes on. */
  identityAccepted(interopId: InteropId): void {
    this.#outbox.forgetDevices(interopId);
    this.#inbox.readHeld(interopId);
    this.#outbox.wake(interopId);
  }

  /** A person has decided that a device gets what was not sent to it. Throws `unknown-message` when it is not there any more. */
  sendAgain(asked: AskedAgain): void {
    const { store, clock } = this.#settings;
    transact(store, tx => {
      refuseWhileMoved(tx, asked.interopId);
      releaseAsked(tx, this.#outbox, asked, clock.nowMs());
    });
    this.#outbox.wake(asked.interopId);
  }

  /** A person keeps to the key in force: what waited goes on under it. */
  identityRejected(interopId: InteropId): void {
    this.#outbox.forgetDevices(interopId);
    this.#outbox.wake(interopId);
  }

  /** A person goes on without whom another device was still to tell of. */
  everybodyMet(): void {
    this.#inbox.everybodyMet();
  }

  /** Another device of this person was let in and will come; `withHistory` when it gets the history as it asks for it. */
  expectOwnDevice(withHistory: boolean): void {
    this.#outbox.expectOwnDevice();
    this.#lists.expectOwnDevice();
    if (withHistory) this.#transfer.promise();
  }

  /** The devices of a person have changed. */
  forgetDevices(interopId: InteropId): void {
    this.#outbox.forgetDevices(interopId);
  }

  #received(element: Element, resolve: () => void, isStamped: boolean): void {
    this.#storeCount.note();
    if (this.#book.hear(element) || this.#consents.hear(element)) return resolve();
    this.#inbox.receive(element, resolve, isStamped);
  }

  #emit(event: ClientEvent): void {
    this.#settings.emit(event);
    // What came while somebody was refused is read; it waits on where that goes on.
    if (event.kind === 'provider-block') void this.#inbox.readForgotten();
    if (event.kind !== 'contact') return;
    this.#book.changed(event.interopId);
    this.#inbox.readHeld(event.interopId);
  }

  #delivered(sendings: readonly Sending[]): void {
    this.#storeCount.note();
    this.#outbox.delivered(sendings);
  }

  #status(status: ConnectionStatus): void {
    this.#cancelUpkeep?.();
    this.#cancelUpkeep = undefined;
    if (status.kind === 'online') {
      if (!this.#resumedHistory) this.#resumeHistory();
      if (!status.resumed) {
        this.#isReady = false;
        this.#isFresh = true;
        this.#book.begin();
      }
      if (this.#isReady) return this.#begin(status);
      void this.#prepare().then(() => {
        if (this.status === status) this.#begin(status);
      });
      return;
    }
    this.#outbox.offline();
    this.#settings.emit({ kind: 'status', status });
  }

  /** What comes before anything leaves on a new session. Fulfilled also when it failed: it is tried again later. */
  async #prepare(): Promise<void> {
    // A store that is older than what the gatekeeper has of it must not go on with its sessions.
    await this.#storeCount.count();
    await this.#restored.renew();
    // A new device is named first: before that nobody writes to it, and nothing that it says is read.
    if (this.#isManifestDue()) await this.manifest.keep();
  }

  #isManifestDue(): boolean {
    try {
      return this.manifest.isDue;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      return false;
    }
  }

  #begin(status: Extract<ConnectionStatus, { kind: 'online' }>): void {
    this.#isReady = true;
    if (!status.resumed) void this.#refresh();
    this.#askForPeople();
    // What was in flight on a session that is gone is sent again, also when this one was cut before it began.
    this.#outbox.online(status.resumed && !this.#isFresh);
    this.#isFresh = false;
    this.#upkeep();
    this.#settings.emit({ kind: 'status', status });
  }

  /** What other devices may have decided while this one was away. */
  async #refresh(): Promise<void> {
    await this.#consents.refresh();
    await this.#book.refresh();
    this.#book.ask();
  }

  #upkeep(): void {
    this.#inbox.sweep();
    this.#inbox.watch();
    void this.#inbox.readForgotten();
    void this.#restored.renew();
    this.#keys.keep();
    void this.manifest.keep();
    this.#cancelUpkeep = this.#settings.clock.after(upkeepMs, () => {
      this.#resumeHistory();
      this.#askForPeople();
      this.#upkeep();
    });
  }

  /** Whom the device that let this one in is still to tell of. A store that fails now is tried again in an hour. */
  #askForPeople(): void {
    const { store, account, clock } = this.#settings;
    const context = { own: this.#own, domain: account.domain, outbox: this.#outbox, nowMs: clock.nowMs(), telling: {} };
    const asked = store.transaction(tx => askForPeople(tx, context));
    if (asked.ok && asked.value) this.#outbox.wake(this.#own);
  }

  /** History that was being received when this device stopped, or whose pieces stay away. */
  #resumeHistory(): void {
    this.#resumedHistory = true;
    // A store that fails now is tried again in an hour, and whatever else needs it reports it.
    const resumed = this.#settings.store.transaction(tx => this.#transfer.resume(tx));
    if (resumed.ok && resumed.value) this.#outbox.wake(this.#own);
  }
}
