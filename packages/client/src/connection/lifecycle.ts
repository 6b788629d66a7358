// When this device is at work: makes its messenger, connects it over the transports that the gatekeeper offers, waits until
// it is online, and ends it.
// Knows nothing of messages. The messenger works without a stream too: outbox and history are on disk.
// Source: docs/protocol/04-streams.md; order of transports: docs/protocol/05-compact.md.
import type { DeviceKeys } from '@drawbridge/e2ee/device-keys';
import type { ReferenceOffer } from '../account/enlist.ts';
import type { LocalDevice } from '../account/local-device.ts';
import { finishRenewal, isRenewalDue } from '../account/renewal.ts';
import type { Random } from '../clock.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { Disappearing } from '../history/disappearing.ts';
import { Messenger } from '../messenger.ts';
import { addNotice } from '../notices/notice-records.ts';
import { Additions } from '../outbox/additions.ts';
import { MessageProgress } from '../outbox/message-progress.ts';
import { readSetting, writeSetting } from '../store/account-records.ts';
import { durable } from '../store/transact.ts';
import { afterDurable } from './after-durable.ts';
import type { ConnectionStatus } from './connection.ts';
import type { ConnectTransport } from './transport.ts';
import type { KnownStaticKey } from './transport-compact.ts';
import { type OfferedTransport, inTurn, offeredTransports, type TransportName } from './transports.ts';

/** How long a call waits until the stream is up; the SDK goes on trying. */
export const connectTimeoutMs = 45_000;

/** Until a renewal that failed is tried again; there is no stream meanwhile. */
const renewalRetryMs = 5_000;

export type LifecycleSettings = {
  readonly device: LocalDevice;
  readonly emit: (event: ClientEvent) => void;
  readonly listen: () => AsyncIterableIterator<ClientEvent>;
  readonly random: Random;
  readonly transports: readonly TransportName[];
  readonly deliveryReceipts: boolean;
  readonly keyLog: ((line: string) => void) | undefined;
};

export class Lifecycle {
  readonly #settings: LifecycleSettings;
  #messenger: Messenger | undefined;
  #disappearing: Disappearing | undefined;
  #turns: ConnectTransport | undefined;
  #knownStaticKey: KnownStaticKey | undefined;
  #renewing: Promise<void> | undefined;
  /** A renewal that failed: there is no stream until it is done, and it is tried again then. */
  #waiting: { readonly status: ConnectionStatus; readonly cancel: () => void } | undefined;

  constructor(settings: LifecycleSettings) {
    this.#settings = settings;
  }

  /** The device has an account, now or from before: timers of messages run from here on. */
  admitted(): void {
    const { device } = this.#settings;
    if (device.account === undefined) return;
    const { store, clock, account } = device;
    const { interopId: own, deviceId, domain } = account;
    const additions = { suite: { local: { interopId: own, deviceId } }, domain, clock };
    const progress = new MessageProgress(additions, new Additions(additions));
    this.#disappearing ??= new Disappearing({
      store,
      own,
      clock,
      emit: this.emit,
      neverSent: (tx, entries) => progress.neverSent(tx, entries),
      ownHasNews: () => this.#messenger?.authoring.announce([]),
    });
    const known = device.transaction(tx => readSetting(tx, 'static-key'));
    this.#knownStaticKey = known === undefined ? undefined : decodeStaticKey(known);
  }

  get status(): ConnectionStatus {
    const status = this.#messenger?.status ?? { kind: 'idle' };
    return status.kind === 'idle' ? (this.#waiting?.status ?? status) : status;
  }

  /** A messenger, connected or not: the outbox and the history work without a stream. */
  worker(): Messenger {
    this.#settings.device.enlisted();
    this.#messenger ??= this.#makeMessenger();
    return this.#messenger;
  }

  /** The messenger, with a stream that is up; throws `not-connected`. */
  live(): Messenger {
    this.#settings.device.enlisted();
    if (this.#messenger?.status.kind !== 'online') throw new ClientError('not-connected');
    return this.#messenger;
  }

  /** See `Client.connect`. */
  async connect(timeoutMs: number): Promise<void> {
    this.#settings.device.enlisted();
    // Begun by this process or by an earlier one: nothing is said under the earlier keys.
    if (isRenewalDue(this.#settings.device)) await this.renewIdentity();
    const kind = this.#messenger?.status.kind;
    if (kind === undefined || kind === 'idle' || kind === 'stopped') await this.#start();
    else this.#messenger?.start();
    await this.#online(timeoutMs);
  }

  /** Ends the stream in order. What waits stays in the outbox. */
  async disconnect(): Promise<void> {
    this.#waiting?.cancel();
    this.#waiting = undefined;
    const messenger = this.#messenger;
    this.#messenger = undefined;
    await messenger?.close();
  }

  /**
   * Puts the fresh identity in force that is kept aside; without a stream. Rejects when it fails: it is tried again by itself
   * as far as that helps, and with the next `connect`.
   */
  renewIdentity(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const { device } = this.#settings;
    await this.disconnect();
    const { change, lines } = await finishRenewal(device).catch((error: unknown): never => {
      if (error instanceof ClientError && !device.isClosed) this.#renewLater(error);
      throw error;
    });
    // Whoever asked meanwhile has made one that has the earlier keys.
    await this.disconnect();
    this.emit({ kind: 'devices', change });
    for (const message of lines) this.emit({ kind: 'message', change: 'new', message });
  }

  #renewLater(error: ClientError): void {
    if (!error.retry) return this.emit({ kind: 'status', status: { kind: 'stopped', error } });
    const status = { kind: 'waiting', retryInMs: renewalRetryMs, error } as const;
    this.#waiting = {
      status,
      cancel: this.#settings.device.clock.after(renewalRetryMs, () => void this.#connectAgain()),
    };
    this.emit({ kind: 'status', status });
  }

  /** What fails is told by the status. */
  async #connectAgain(): Promise<void> {
    try {
      await this.connect(connectTimeoutMs);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
    }
  }

  async close(): Promise<void> {
    await this.disconnect();
    this.#disappearing?.close();
  }

  /** Tells the application, and starts the timers of messages that begin to run. */
  readonly emit = (event: ClientEvent): void => {
    this.#settings.emit(event);
    if (event.kind === 'message') this.#disappearing?.note(event.message);
  };

  async #start(): Promise<void> {
    const { device } = this.#settings;
    const offer = await device.offer();
    if (offer.signingKey !== undefined) device.transaction(tx => writeSetting(tx, 'compact-withheld', undefined));
    else if (device.account?.signingKey !== undefined && wantsCompact(this.#settings.transports)) this.#tellWithheld();
    const choices = this.#transports(offer, await device.keys());
    if (choices.length === 0) {
      throw new ClientError('gatekeeper-refused', { detail: 'it offers no transport that this client wants' });
    }
    this.#turns ??= inTurn(choices, {
      recall: () => decodeTransport(device.transaction(tx => readSetting(tx, 'transport'))),
      // Only spares failed attempts next time: a store that fails now is reported elsewhere.
      keep: (name, sinceMs) =>
        void device.store.transaction(tx => writeSetting(tx, 'transport', JSON.stringify({ name, sinceMs }))),
      notCertified: () => void this.#notCertified(),
      nowMs: () => device.clock.nowMs(),
    });
    if (this.#messenger?.status.kind === 'stopped') await this.disconnect();
    this.worker().start();
  }

  /**
   * Whoever answers for the gatekeeper is not certified by the pinned key. It may have been followed by another: the offer
   * says so, with signatures, and the next attempt uses that one. Otherwise a person has to know.
   */
  async #notCertified(): Promise<void> {
    const { device } = this.#settings;
    try {
      const before = device.account?.signingKey;
      await device.offer({ isAgain: true });
      if (device.account?.signingKey !== before) {
        this.#knownStaticKey = undefined;
        return;
      }
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      if (device.isClosed) return;
    }
    this.#tellUncertified('other-key');
  }

  /** Told once, until the gatekeeper offers the compact transport again. */
  #tellWithheld(): void {
    const { device } = this.#settings;
    if (device.transaction(tx => readSetting(tx, 'compact-withheld')) !== undefined) return;
    device.transaction(tx => writeSetting(tx, 'compact-withheld', 'told'));
    this.#tellUncertified('withheld');
  }

  #tellUncertified(reason: 'other-key' | 'withheld'): void {
    const { device } = this.#settings;
    const change = { kind: 'gatekeeper-not-certified', reason } as const;
    const lines = device.transaction(tx => addNotice(tx, change, device.clock.nowMs()));
    for (const message of lines) this.emit({ kind: 'message', change: 'new', message });
    this.emit({ kind: 'problem', error: new ClientError('gatekeeper-not-certified', { detail: reason }) });
  }

  #makeMessenger(): Messenger {
    const { device, random, deliveryReceipts } = this.#settings;
    const { account, suite } = device.enlisted();
    return new Messenger({
      store: device.store,
      suite,
      account,
      clock: device.clock,
      random,
      deliveryReceipts,
      emit: this.emit,
      noted: message => this.#disappearing?.note(message),
      keys: () => device.keys(),
      proof: transport => device.proof(transport),
      connect: afterDurable(
        context => this.#turns!(context),
        () => durable(device.store),
      ),
    });
  }

  #transports(offer: ReferenceOffer, keys: DeviceKeys): OfferedTransport[] {
    const { device, transports, keyLog } = this.#settings;
    return offeredTransports({
      offer,
      wanted: transports,
      trust: device.trust,
      devicePrivateKey: keys.deviceKey.privateKey,
      signingKey: () => device.account?.signingKey,
      nowMs: () => device.clock.nowMs(),
      after: (ms, run) => device.clock.after(ms, run),
      keyLog,
      knownStaticKey: () => this.#knownStaticKey,
      keepStaticKey: key => {
        this.#knownStaticKey = key;
        const text = key === undefined ? undefined : encodeStaticKey(key);
        // Only spares a round trip next time: a store that fails now is reported elsewhere.
        device.store.transaction(tx => writeSetting(tx, 'static-key', text));
      },
    });
  }

  /** Fulfilled when the stream is up; rejects after that time, and when it is stopped for good. */
  #online(timeoutMs: number): Promise<void> {
    const { device, listen } = this.#settings;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const events = listen();
    let last: ClientError | undefined;
    const cancel = device.clock.after(timeoutMs, () => reject(last ?? new ClientError('timed-out')));
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
}

function wantsCompact(wanted: readonly TransportName[]): boolean {
  return wanted.some(name => name === 'compact' || name === 'compact-websocket');
}

function decodeTransport(text: string | undefined): { name: string; sinceMs: number } | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as { name: string; sinceMs: number });
}

function encodeStaticKey(key: KnownStaticKey): string {
  return JSON.stringify({ ...key, publicKey: Buffer.from(key.publicKey).toString('base64') });
}

function decodeStaticKey(text: string): KnownStaticKey {
  const stored = JSON.parse(text) as { publicKey: string; notAfter: number; cipher?: KnownStaticKey['cipher'] };
  return { ...stored, publicKey: Buffer.from(stored.publicKey, 'base64') };
}
