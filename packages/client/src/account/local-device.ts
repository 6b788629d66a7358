// This device: its store, its keys, its place at the gatekeeper, and the proofs that it shows there.
// Knows nothing of streams or messages, nor of how a device comes to be enlisted.
// Source: docs/protocol/03-http.md.
import { createDevice, type DeviceKeys, type NewDevice, readDeviceKeys } from '@drawbridge/e2ee/device-keys';
import { openSignalSuite, SIGNAL_SUITE } from '@drawbridge/e2ee/sessions';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import type { E2eeSuite, KeyPublication, Result } from '@drawbridge/e2ee/suite';
import type { Clock } from '../clock.ts';
import type { HttpTrust } from '../connection/http.ts';
import { ProviderNumbers } from '../directory/provider-numbers.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import { committed } from '../store/transact.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { type AccountRecord, readAccount, readSetting, writeAccount, writeSetting } from '../store/account-records.ts';
import { transact } from '../store/transact.ts';
import { type Enlistment, fetchOffer, type ReferenceOffer } from './enlist.ts';
import type { ProofRequest, ProofSource } from './provider-session.ts';
import { pinsAfter } from './pinned-keys.ts';
import { decodePublication, encodePublication } from './publication.ts';

export type LocalDeviceSettings = {
  readonly store: EncryptedStore;
  readonly clock: Clock;
  readonly gatekeeper: string;
  readonly trust: HttpTrust;
  readonly proofSource: ProofSource;
};

/** What a device takes over with its admission: the pinned keys, and what to write down beside it. */
export type TakenOver = {
  readonly pins: Pick<AccountRecord, 'signingKey' | 'backupKey' | 'keysSince'>;
  readonly adopt: (tx: Transaction) => void;
  /** It is the person's only device now, whatever the directory says. */
  readonly isAlone?: boolean;
};

/** What a call by HTTP needs. */
export type HttpAccess = { readonly offer: ReferenceOffer; readonly keys: DeviceKeys; readonly account: AccountRecord };

export class LocalDevice {
  readonly store: EncryptedStore;
  readonly clock: Clock;
  readonly gatekeeper: string;
  readonly trust: HttpTrust;
  readonly #proofSource: ProofSource;
  #offer: ReferenceOffer | undefined;
  #enlisted: { readonly account: AccountRecord; readonly suite: E2eeSuite } | undefined;
  #closed = false;

  constructor(settings: LocalDeviceSettings) {
    this.store = settings.store;
    this.clock = settings.clock;
    this.gatekeeper = settings.gatekeeper;
    this.trust = settings.trust;
    this.#proofSource = settings.proofSource;
  }

  /** Reads what the folder knows. Rejects with `enlisted-elsewhere` when it belongs to another gatekeeper. */
  async load(): Promise<void> {
    const account = this.transaction(readAccount);
    if (account === undefined) return;
    if (account.gatekeeper !== this.gatekeeper) throw new ClientError('enlisted-elsewhere');
    await this.#begin(account);
  }

  /** Undefined before it is enlisted. */
  get account(): AccountRecord | undefined {
    return this.#enlisted?.account;
  }

  /** Throws `not-enlisted`, `closed`. */
  enlisted(): { readonly account: AccountRecord; readonly suite: E2eeSuite } {
    this.needOpen();
    if (this.#enlisted === undefined) throw new ClientError('not-enlisted');
    return this.#enlisted;
  }

  /** The InteropId of this person; throws as `enlisted`. */
  own(): string {
    return this.enlisted().account.interopId;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  needOpen(): void {
    if (this.#closed) throw new ClientError('closed');
  }

  /** From now on every call is refused with `closed`. */
  end(): void {
    this.#closed = true;
  }

  transaction<T>(work: (tx: Transaction) => T): T {
    this.needOpen();
    return transact(this.store, work);
  }

  /** What the encryption suite stages becomes durable by this. */
  readonly commit = (staged: { readonly changes: readonly StoreChange[] }): void =>
    committed(this.store.transaction(tx => tx.apply(staged.changes)));

  /** What the gatekeeper offers, fetched once, or again. Pinned keys move as it shows that they may. */
  async offer(options: { readonly isAgain?: boolean } = {}): Promise<ReferenceOffer> {
    this.needOpen();
    if (this.#offer !== undefined && options.isAgain !== true) return this.#offer;
    const offer = await fetchOffer(this.gatekeeper, this.trust);
    // `gatekeeper` is the issuer; a domain belongs to it for good once somebody is enlisted there.
    const domain = this.account?.domain;
    if (domain !== undefined && offer.domain !== domain) throw new ClientError('issuer-differs', { detail: 'domain' });
    if (!offer.suites.includes(SIGNAL_SUITE)) {
      throw new ClientError('gatekeeper-refused', { detail: `it does not admit the suite ${SIGNAL_SUITE}` });
    }
    this.#offer = offer;
    this.#followKeys(offer);
    return offer;
  }

  #followKeys({ succession, providers }: ReferenceOffer): void {
    const enlisted = this.#enlisted;
    if (enlisted === undefined) return;
    this.transaction(tx => new ProviderNumbers(enlisted.account.domain).takeAll(tx, providers));
    const { signingKey, keysSince = 0, domain } = enlisted.account;
    const pins = pinsAfter(enlisted.account, domain, succession);
    if (pins.signingKey === undefined || pins.keysSince === keysSince) return;
    const account = { ...enlisted.account, ...pins };
    this.transaction(tx => {
      writeAccount(tx, account);
      // What the key before had certified counts no longer.
      if (pins.signingKey !== signingKey) writeSetting(tx, 'static-key', undefined);
    });
    this.#enlisted = { ...enlisted, account };
  }

  /** A fresh proof that the person at this device owns their identifier. */
  async proof(transport: ProofRequest['transport'], keys?: DeviceKeys): Promise<string> {
    const { issuer } = await this.offer();
    const { thumbprint } = (keys ?? (await this.keys())).deviceKey;
    return this.#proofSource({ audience: issuer, jkt: thumbprint, transport });
  }

  async keys(): Promise<DeviceKeys> {
    const keys = await this.knownKeys();
    if (keys === undefined) throw new ClientError('not-enlisted');
    return keys;
  }

  /** Undefined when this device has made none yet. */
  async knownKeys(): Promise<DeviceKeys | undefined> {
    return suiteValue(await readDeviceKeys(this.store.e2ee));
  }

  async http(): Promise<HttpAccess> {
    if (this.#enlisted === undefined) throw new ClientError('not-enlisted');
    return { offer: await this.offer(), keys: await this.keys(), account: this.#enlisted.account };
  }

  /** Keys of a device that is not enlisted yet: made once, kept, the same after a crash. */
  async newKeys(): Promise<{ keys: DeviceKeys; publication: KeyPublication }> {
    this.needOpen();
    const kept = await this.knownKeys();
    const publication = this.transaction(tx => readSetting(tx, 'publication'));
    if (kept !== undefined && publication !== undefined)
      return { keys: kept, publication: decodePublication(publication) };
    const made: Result<NewDevice, { readonly code: string }> = createDevice({ nowMs: this.clock.nowMs() });
    if (!made.ok) throw new ClientError('store-failed', { detail: made.error.code });
    this.keepNewKeys(made.value.changes, made.value.publication);
    return made.value;
  }

  keepNewKeys(changes: readonly StoreChange[], publication: KeyPublication): void {
    this.transaction(tx => {
      tx.apply(changes);
      writeSetting(tx, 'publication', encodePublication(publication));
    });
  }

  /** The gatekeeper has admitted this device: writes that down, and its keys as published. */
  async admit(enlistment: Enlistment, publication: KeyPublication, taken?: TakenOver): Promise<AccountRecord> {
    const { interopId, deviceId, domain, jid } = enlistment;
    const signingKey = this.#offer?.signingKey;
    const pinned = taken?.pins ?? (signingKey === undefined ? {} : { signingKey });
    const pins = pinsAfter(pinned, domain, this.#offer?.succession ?? []);
    const account = { gatekeeper: this.gatekeeper, interopId, deviceId, domain, jid, ...pins };
    this.transaction(tx => {
      taken?.adopt(tx);
      new ProviderNumbers(domain).takeAll(tx, this.#offer?.providers ?? []);
      writeAccount(tx, account);
      writeSetting(tx, 'publication', undefined);
      writeSetting(tx, 'link-aside', undefined);
      writeSetting(tx, 'link', undefined);
      writeSetting(tx, 'manifest-due', taken?.isAlone === true ? 'alone' : 'admitted');
    });
    // In the same turn: nothing of the earlier keys is written after them.
    this.#enlisted?.suite.end();
    const suite = await this.#begin(account);
    suiteValue(await suite.confirmPublished(publication, this.commit));
    return account;
  }

  async #begin(account: AccountRecord): Promise<E2eeSuite> {
    const local = { interopId: account.interopId, deviceId: account.deviceId };
    const nowMs = (): number => this.clock.nowMs();
    const suite = suiteValue(await openSignalSuite({ local, store: this.store.e2ee, nowMs }));
    this.#enlisted = { account, suite };
    return suite;
  }
}

const suiteErrors: Readonly<Record<string, ClientErrorCode>> = {
  'unknown-identity': 'identity-unknown',
  'identity-key-differs': 'untrusted-identity',
  'too-many-waiting': 'too-many-requests',
};

/** The value of a result of the encryption suite; throws its error as ours. */
export function suiteValue<T>(result: Result<T, { readonly code: string }>): T {
  if (result.ok) return result.value;
  const { code } = result.error;
  throw new ClientError(suiteErrors[code] ?? 'store-failed', { detail: code, cause: result.error });
}
