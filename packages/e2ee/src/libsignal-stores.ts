// libsignal's six stores, over one operation's staged view. Says in `refusal` why a store call stopped an operation,
// because libsignal turns everything that a store throws into one generic error.
// Knows nothing of stanzas; locks are held by the caller.
// Source: libsignal-client 0.103 (store interfaces); Signal's PQXDH specification section 3.3 (last-resort keys).
import assert from 'node:assert/strict';
import * as Signal from '@signalapp/libsignal-client';
import type { InteropId } from '@drawbridge/wire/jid';
import { encodeDeviceAddress } from './addresses.ts';
import { MAX_LAST_RESORT_USES } from './device-keys.ts';
import {
  adoptIdentity,
  judgeIdentity,
  noteOwner,
  ownerOf,
  readIdentityRecord,
  recordPending,
  sameKey,
} from './identities.ts';
import type { StagedStore } from './staged.ts';
import type { StoreChange } from './stores.ts';
import type { IdentityEvent } from './suite.ts';

export type LocalIdentity = {
  readonly interopId: InteropId;
  readonly pair: Signal.IdentityKeyPair;
  readonly publicKey: Uint8Array;
  readonly registrationId: number;
};

/** Why a store stopped libsignal. */
export type StoreRefusal = 'unknown-prekey' | 'replayed-prekey-message';

/** Stops libsignal, which wraps it; `Prekeys.refusal` says it to us. */
class StoreRefused extends Error {
  readonly code: StoreRefusal;
  constructor(code: StoreRefusal) {
    super(code);
    this.code = code;
  }
}

type Bytes = Uint8Array<ArrayBuffer>;

function keyOf(address: Signal.ProtocolAddress): string {
  return encodeDeviceAddress({ interopId: address.name(), deviceId: address.deviceId() });
}

/** A session record beyond this is ended: libsignal keeps the keys of skipped messages in it. */
export const MAX_SESSION_BYTES = 262_144;

/** Before the keys of sessions that were begun under this device's identity before (renewal.ts). */
export const formerSessionPrefix = 'former ';

export class Sessions extends Signal.SessionStore {
  readonly #store: StagedStore;
  readonly #prefix: string;
  /** A session grew beyond `MAX_SESSION_BYTES`: nothing of this operation may be kept. */
  isTooLarge = false;
  constructor(store: StagedStore, prefix: '' | typeof formerSessionPrefix = '') {
    super();
    this.#store = store;
    this.#prefix = prefix;
  }
  keyOf(address: Signal.ProtocolAddress): string {
    return this.#prefix + keyOf(address);
  }
  override async saveSession(address: Signal.ProtocolAddress, record: Signal.SessionRecord): Promise<void> {
    const bytes = record.serialize();
    this.isTooLarge ||= bytes.length > MAX_SESSION_BYTES;
    this.#store.put('session', this.keyOf(address), bytes, address.name());
  }
  override async getSession(address: Signal.ProtocolAddress): Promise<Signal.SessionRecord | null> {
    const bytes = await this.#store.read('session', this.keyOf(address), address.name());
    if (bytes === undefined) return null;
    try {
      return Signal.SessionRecord.deserialize(bytes);
    } catch (cause) {
      throw this.#store.fail(cause);
    }
  }
  override async getExistingSessions(addresses: Signal.ProtocolAddress[]): Promise<Signal.SessionRecord[]> {
    const found: Signal.SessionRecord[] = [];
    for (const address of addresses) {
      const record = await this.getSession(address);
      assert(record !== null, 'libsignal asks for sessions that are there');
      found.push(record);
    }
    return found;
  }
}

export class Identities extends Signal.IdentityKeyStore {
  readonly #store: StagedStore;
  readonly #local: LocalIdentity;
  readonly #nowMs: number;
  readonly #mayChange: boolean;
  readonly #isTrial: boolean;
  readonly events: IdentityEvent[] = [];
  /** The key is another person's: not trusted, and no person will be asked. */
  isOfAnother = false;
  /** A key that was not trusted, and what to remember of it. */
  refused:
    | { identityKey: Uint8Array; pending?: { change: StoreChange; event: IdentityEvent }; awaitsAcceptance: boolean }
    | undefined;

  /**
   * `mayChange`: this message or bundle brings an identity key; inside an existing session none may change. `isTrial`: it is
   * asked whether a message can be read at all; nothing of the operation is kept, so that any key may be tried.
   */
  constructor(store: StagedStore, local: LocalIdentity, nowMs: number, mayChange: boolean, isTrial = false) {
    super();
    this.#isTrial = isTrial;
    this.#store = store;
    this.#local = local;
    this.#nowMs = nowMs;
    this.#mayChange = mayChange;
  }
  override async getIdentityKey(): Promise<Signal.PrivateKey> {
    return this.#local.pair.privateKey;
  }
  override async getIdentityKeyPair(): Promise<Signal.IdentityKeyPair> {
    return this.#local.pair;
  }
  override async getLocalRegistrationId(): Promise<number> {
    return this.#local.registrationId;
  }
  override async isTrustedIdentity(address: Signal.ProtocolAddress, key: Signal.PublicKey): Promise<boolean> {
    const identityKey = key.serialize();
    // One's own devices share one identity: any other key is somebody else's device.
    if (address.name() === this.#local.interopId) {
      if (sameKey(identityKey, this.#local.publicKey)) return true;
      this.refused = { identityKey, awaitsAcceptance: false };
      return false;
    }
    const owner = await ownerOf(this.#store, identityKey);
    if ((owner !== undefined && owner !== address.name()) || sameKey(identityKey, this.#local.publicKey)) {
      this.isOfAnother = true;
      return false;
    }
    if (this.#isTrial) return true;
    const record = await readIdentityRecord(this.#store, address.name());
    const trust = judgeIdentity(record, identityKey);
    // A key that was replaced may be in a backup or a stolen device: it comes back when a person says so.
    const isFormer = trust === 'changed' && owner !== undefined;
    if (trust === 'same' || (this.#mayChange && trust !== 'changed-after-verification' && !isFormer)) return true;
    if (!this.#mayChange || record === undefined) {
      this.refused = { identityKey, awaitsAcceptance: false };
      return false;
    }
    const pending = recordPending(address.name(), record, identityKey);
    this.refused = { identityKey, awaitsAcceptance: true, ...(pending === undefined ? {} : { pending }) };
    return false;
  }
  override async saveIdentity(address: Signal.ProtocolAddress, key: Signal.PublicKey): Promise<Signal.IdentityChange> {
    if (address.name() === this.#local.interopId) return Signal.IdentityChange.NewOrUnchanged;
    const identityKey = key.serialize();
    await noteOwner(this.#store, address.name(), identityKey);
    const record = await readIdentityRecord(this.#store, address.name());
    if (judgeIdentity(record, identityKey) === 'same') return Signal.IdentityChange.NewOrUnchanged;
    if (record !== undefined) await noteOwner(this.#store, address.name(), record.identityKey);
    this.events.push(adoptIdentity(this.#store, address.name(), record, identityKey, this.#nowMs));
    return record === undefined ? Signal.IdentityChange.NewOrUnchanged : Signal.IdentityChange.ReplacedExisting;
  }
  override async getIdentity(address: Signal.ProtocolAddress): Promise<Signal.PublicKey | null> {
    if (address.name() === this.#local.interopId) return this.#local.pair.publicKey;
    const record = await readIdentityRecord(this.#store, address.name());
    return record === undefined ? null : Signal.PublicKey.deserialize(Uint8Array.from(record.identityKey));
  }
}

/** The three prekey stores share what they say about a stopped operation. */
export class Prekeys {
  refusal: StoreRefusal | undefined;
  readonly oneTime: Signal.PreKeyStore;
  readonly signed: Signal.SignedPreKeyStore;
  readonly kem: Signal.KyberPreKeyStore;
  constructor(store: StagedStore) {
    const refuse = (refusal: StoreRefusal): StoreRefused => {
      this.refusal = refusal;
      return new StoreRefused(refusal);
    };
    this.oneTime = new OneTimePrekeys(store, refuse);
    this.signed = new SignedPrekeys(store, refuse);
    this.kem = new KemPrekeys(store, refuse);
  }
}

type Refuse = (refusal: StoreRefusal) => StoreRefused;

function parse<T>(store: StagedStore, bytes: Bytes, deserialize: (bytes: Bytes) => T): T {
  try {
    return deserialize(bytes);
  } catch (cause) {
    throw store.fail(cause);
  }
}

class OneTimePrekeys extends Signal.PreKeyStore {
  readonly #store: StagedStore;
  readonly #refuse: Refuse;
  constructor(store: StagedStore, refuse: Refuse) {
    super();
    this.#store = store;
    this.#refuse = refuse;
  }
  override async savePreKey(id: number, record: Signal.PreKeyRecord): Promise<void> {
    this.#store.put('prekey', String(id), record.serialize());
  }
  override async getPreKey(id: number): Promise<Signal.PreKeyRecord> {
    const bytes = await this.#store.read('prekey', String(id));
    if (bytes === undefined) throw this.#refuse('unknown-prekey');
    return parse(this.#store, bytes, each => Signal.PreKeyRecord.deserialize(each));
  }
  override async removePreKey(id: number): Promise<void> {
    this.#store.delete('prekey', String(id));
  }
}

class SignedPrekeys extends Signal.SignedPreKeyStore {
  readonly #store: StagedStore;
  readonly #refuse: Refuse;
  constructor(store: StagedStore, refuse: Refuse) {
    super();
    this.#store = store;
    this.#refuse = refuse;
  }
  override async saveSignedPreKey(id: number, record: Signal.SignedPreKeyRecord): Promise<void> {
    this.#store.put('signed-prekey', String(id), record.serialize());
  }
  override async getSignedPreKey(id: number): Promise<Signal.SignedPreKeyRecord> {
    const bytes = await this.#store.read('signed-prekey', String(id));
    if (bytes === undefined) throw this.#refuse('unknown-prekey');
    return parse(this.#store, bytes, each => Signal.SignedPreKeyRecord.deserialize(each));
  }
}

class KemPrekeys extends Signal.KyberPreKeyStore {
  readonly #store: StagedStore;
  readonly #refuse: Refuse;
  constructor(store: StagedStore, refuse: Refuse) {
    super();
    this.#store = store;
    this.#refuse = refuse;
  }
  override async saveKyberPreKey(id: number, record: Signal.KyberPreKeyRecord): Promise<void> {
    this.#store.put('kem-prekey', String(id), record.serialize());
  }
  override async getKyberPreKey(id: number): Promise<Signal.KyberPreKeyRecord> {
    const key = String(id);
    const bytes =
      (await this.#store.read('kem-prekey', key)) ?? (await this.#store.read('last-resort-kem-prekey', key));
    if (bytes === undefined) throw this.#refuse('unknown-prekey');
    return parse(this.#store, bytes, each => Signal.KyberPreKeyRecord.deserialize(each));
  }
  override async markKyberPreKeyUsed(id: number, signedPrekeyId: number, baseKey: Signal.PublicKey): Promise<void> {
    if ((await this.#store.read('kem-prekey', String(id))) !== undefined) {
      this.#store.delete('kem-prekey', String(id));
      return;
    }
    // A last-resort key serves many sessions, but one base key once: a second one is the same message played again.
    const scope = String(id);
    const used = `${id}:${signedPrekeyId}:${Buffer.from(baseKey.serialize()).toString('hex')}`;
    const seen = await this.#store.read('kem-base-key', used, scope);
    if (seen !== undefined || (await this.#store.count('kem-base-key', scope)) >= MAX_LAST_RESORT_USES) {
      throw this.#refuse('replayed-prekey-message');
    }
    this.#store.put('kem-base-key', used, new Uint8Array([1]), scope);
  }
}
