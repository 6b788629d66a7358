// The key directory's port: publish, count, take. Knows no store, no signatures and not who may ask.
// Source: docs/protocol/06 section 6.2; threat 6 (one-time keys are given once).

/** A key with the identity key's signature over it (libsignal's serialised forms). */
export type SignedKeyRow = { readonly id: number; readonly publicKey: Uint8Array; readonly signature: Uint8Array };
/** A one-time key: an X25519 prekey has no signature, a KEM prekey has one. */
export type OneTimeKeyRow = { readonly id: number; readonly publicKey: Uint8Array; readonly signature?: Uint8Array };
export type KeyCounts = { readonly prekeys: number; readonly kemPrekeys: number };

/** What another device needs to start a session with this one. Without a one-time KEM prekey: the last-resort one. */
export type BundleRow = {
  readonly device: number;
  readonly identityKey: Uint8Array;
  readonly signedPrekey: SignedKeyRow;
  readonly prekey: OneTimeKeyRow | undefined;
  readonly kemPrekey: SignedKeyRow;
  /** One-time keys left after this. */
  readonly left: KeyCounts;
};

export type KeyPublication = {
  readonly device: number;
  readonly signedPrekey?: SignedKeyRow;
  readonly lastResortKemPrekey?: SignedKeyRow;
  readonly prekeys: readonly OneTimeKeyRow[];
  readonly kemPrekeys: readonly OneTimeKeyRow[];
  /** One-time keys that are there besides these go, and count as given out. */
  readonly only?: boolean;
  /** One-time keys of each kind that the device may have. */
  readonly maxKept: number;
};

/** Keys of a device go with the device (`AccountStore`). Devices are named by row. Rejects with StoreError alone. */
export interface KeyDirectory {
  /**
   * Replaces the signed prekey and the last-resort key when given and adds one-time keys, all or nothing. A key that is
   * there already, or was given out before, is passed over: a repeated upload changes nothing.
   */
  publish(keys: KeyPublication): Promise<'published' | 'key-conflict' | 'too-many-keys' | 'device-gone'>;
  /** Takes one bundle for each device that is still there; a one-time key is given to one caller alone. Not idempotent. */
  takeBundles(devices: readonly number[], lastResortOnly?: readonly number[]): Promise<readonly BundleRow[]>;
  countOneTimeKeys(device: number): Promise<KeyCounts>;
}
