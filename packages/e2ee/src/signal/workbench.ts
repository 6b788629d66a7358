// What every operation of the suite works with: who this device is, locks, a staged view of the store, and the way back to the
// caller's commit.
// Knows nothing of what the operations do; the clock is an argument.
// Source: docs/protocol/09-content.md; design: one lock per person, since identity and sessions of a person change together.
import * as Signal from '@signalapp/libsignal-client';
import type { InteropId } from '@drawbridge/wire/jid';
import type { DeviceAddress } from '../addresses.ts';
import { identityFingerprint, readIdentityRecord } from '../identities.ts';
import type { LocalIdentity } from '../libsignal-stores.ts';
import { createLocks } from '../locks.ts';
import { StagedStore, StoreFailure } from '../staged.ts';
import type { Commit, E2eeStore } from '../stores.ts';
import type { Result, StoreError } from '../suite.ts';

/** Held by what gives out or uses up this device's one-time keys. */
export const PREKEYS_LOCK = 'prekeys';

export class Workbench {
  readonly address: DeviceAddress;
  /** This device, as libsignal names it. */
  readonly here: Signal.ProtocolAddress;
  readonly local: LocalIdentity;
  readonly nowMs: () => number;
  readonly #store: E2eeStore;
  readonly #locks = createLocks();

  constructor(address: DeviceAddress, local: LocalIdentity, store: E2eeStore, nowMs: () => number) {
    this.address = address;
    this.here = protocolAddress(address);
    this.local = local;
    this.nowMs = nowMs;
    this.#store = store;
  }

  /** Runs one operation under its locks over a fresh staged view; a failing store becomes a value. */
  async operate<T, E>(
    keys: readonly string[],
    work: (store: StagedStore) => Promise<Result<T, E | StoreError>>,
  ): Promise<Result<T, E | StoreError>> {
    const store = this.stage();
    try {
      const running = this.#locks.run(keys, () => work(store));
      if (running === undefined) return { ok: false, error: { code: 'too-many-waiting' } };
      return await running;
    } catch (error) {
      // libsignal wraps what its stores throw; the staged view remembers it.
      const failure = store.failure ?? (error instanceof StoreFailure ? error : undefined);
      if (failure === undefined) throw error;
      return { ok: false, error: { code: 'store-failed', cause: failure.cause } };
    }
  }

  /** A view of the store of its own, whose changes go nowhere by themselves. */
  stage(): StagedStore {
    return new StagedStore(this.#store);
  }

  /** Of the identity key under which an operation spoke with somebody. */
  async fingerprintInForce(store: StagedStore, person: InteropId): Promise<string> {
    const record = person === this.local.interopId ? undefined : await readIdentityRecord(store, person);
    return identityFingerprint(record?.identityKey ?? this.local.publicKey);
  }

  isSelf({ interopId, deviceId }: DeviceAddress): boolean {
    return interopId === this.address.interopId && deviceId === this.address.deviceId;
  }
}

export function protocolAddress(address: DeviceAddress): Signal.ProtocolAddress {
  return Signal.ProtocolAddress.new(address.interopId, address.deviceId);
}

/** A copy, as libsignal wants bytes. */
export function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}

/** Hands the staged result to the caller's commit. */
export async function settle<T>(commit: Commit<T>, staged: T): Promise<Result<T, StoreError>> {
  try {
    await commit(staged);
    return { ok: true, value: staged };
  } catch (cause) {
    return { ok: false, error: { code: 'commit-failed', cause } };
  }
}

export function done<E>(result: Result<unknown, E>): Result<void, E> {
  return result.ok ? { ok: true, value: undefined } : result;
}
