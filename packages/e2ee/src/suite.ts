// The interface of an end-to-end encryption suite. `signal-1` (sessions.ts) is one; another may take its place.
// Types only: knows nothing of libsignal, stanzas, streams or storage.
// Source: docs/protocol/06-stanzas.md (envelope, key directory), docs/protocol/09-content.md.
import type { CiphertextKind, SessionKind } from '@drawbridge/wire/envelope';
import type { InteropId } from '@drawbridge/wire/jid';
import type { DeviceAddress } from './addresses.ts';
import type { Commit, StoreChange } from './stores.ts';

export type { DeviceAddress };

export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

/**
 * Why a content is not taken for what it came as: it says no place, or another one (content/binding.ts); its sender committed to
 * another content, or to none though that device commits (content/commitment.ts).
 */
export type Misbound = 'missing' | 'place' | 'commitment' | 'uncommitted';

/** A recipient's device as the directory lists it; a registration id that differs from the session's makes the session stale. */
export type KnownDevice = { readonly deviceId: number; readonly registrationId?: number };

/** Content (serialised, not padded) for some devices of one person. */
export type EncryptTarget = {
  readonly to: InteropId;
  readonly devices: readonly KnownDevice[];
  readonly content: Uint8Array;
};

export type DeviceCiphertext = {
  readonly to: InteropId;
  readonly deviceId: number;
  readonly registrationId: number;
  readonly kind: SessionKind;
  readonly bytes: Uint8Array;
};

/** Commit `changes` with the outbox rows; only then may a ciphertext leave the process. */
export type Encrypted = {
  readonly ciphertexts: readonly DeviceCiphertext[];
  /** For each target the fingerprint of the identity key in force: who was addressed. */
  readonly identities: ReadonlyMap<InteropId, string>;
  readonly changes: readonly StoreChange[];
};

/** What the directory answers for one device (docs/protocol/06 section 6.2); raw bytes. `kemPrekey` may be the last-resort key. */
export type RemoteBundle = {
  readonly address: DeviceAddress;
  readonly registrationId: number;
  /** 33 bytes. */
  readonly identityKey: Uint8Array;
  readonly signedPrekey: { readonly id: number; readonly publicKey: Uint8Array; readonly signature: Uint8Array };
  readonly prekey?: { readonly id: number; readonly publicKey: Uint8Array };
  readonly kemPrekey: { readonly id: number; readonly publicKey: Uint8Array; readonly signature: Uint8Array };
};

/**
 * What a person should see about somebody's identity key. `fingerprint`s are lower-case hex SHA-256 of the key.
 *
 * `identity-changed` with `needsAcceptance`: the safety number had been verified; nothing is sent to or read from that
 * person until `acceptIdentity`. Without it, the new key is in force already.
 */
export type IdentityEvent =
  | { readonly kind: 'identity-first-seen'; readonly interopId: InteropId; readonly fingerprint: string }
  | {
      readonly kind: 'identity-changed';
      readonly interopId: InteropId;
      readonly oldFingerprint: string;
      readonly newFingerprint: string;
      readonly newIdentityKey: Uint8Array;
      readonly needsAcceptance: boolean;
    };

export type SessionStarted = { readonly changes: readonly StoreChange[]; readonly events: readonly IdentityEvent[] };

export type IncomingCiphertext = {
  readonly from: DeviceAddress;
  readonly kind: CiphertextKind;
  readonly bytes: Uint8Array;
};

/**
 * A decryption error message that came outside a session: nobody's text, and not authenticated. `tag` is `stanzaTag` of the
 * stanza that failed, `deviceId` always this device. End and restart the session only when `ratchetKeyIsCurrent`.
 */
export type PlaintextRetry = { readonly tag: number; readonly deviceId: number; readonly ratchetKeyIsCurrent: boolean };

/** What one incoming ciphertext turned out to be. Everything in it is committed with `changes`, then acknowledged. */
export type DecryptOutcome =
  | {
      readonly kind: 'content';
      readonly from: DeviceAddress;
      /** Fingerprint of the identity key that it came under. */
      readonly identity: string;
      /** Serialised content, without padding. */
      readonly content: Uint8Array;
      readonly changes: readonly StoreChange[];
      readonly events: readonly IdentityEvent[];
    }
  | {
      readonly kind: 'retry-request';
      readonly from: DeviceAddress;
      readonly request: PlaintextRetry;
      readonly changes: readonly StoreChange[];
    }
  | {
      readonly kind: 'refused';
      readonly from: DeviceAddress;
      readonly error: DecryptError;
      readonly changes: readonly StoreChange[];
      readonly events: readonly IdentityEvent[];
    };

/**
 * Why a ciphertext gave no content. What to do with each is in `decryptErrorTable` (errors.ts).
 *
 * `untrusted-identity` with `awaitsAcceptance`: keep the ciphertext, it becomes readable by `acceptIdentity`.
 */
export type DecryptError =
  | { readonly code: 'invalid-address' }
  | { readonly code: 'malformed-ciphertext' }
  | { readonly code: 'duplicate' }
  | { readonly code: 'replayed-prekey-message' }
  | { readonly code: 'no-session' }
  | { readonly code: 'unknown-prekey' }
  | { readonly code: 'undecryptable' }
  | { readonly code: 'bad-padding' }
  /** Bound to another author, device, recipient or gatekeeper, or not bound. Nothing of it is kept, its identity key above all. */
  | { readonly code: 'misbound'; readonly part: Misbound }
  /** The session grew beyond what is stored (`MAX_SESSION_BYTES`, libsignal-stores.ts): it is ended, this message is asked for in another. */
  | { readonly code: 'session-too-large' }
  /** This identity key is another person's. */
  | { readonly code: 'identity-of-another' }
  | { readonly code: 'untrusted-identity'; readonly fingerprint: string; readonly awaitsAcceptance: boolean };

/** The store refused to be read, or the caller's commit failed: nothing happened, the operation may be repeated. */
export type StoreError =
  | { readonly code: 'store-failed'; readonly cause: unknown }
  | { readonly code: 'commit-failed'; readonly cause: unknown }
  /** More than `MAX_WAITING_OPERATIONS` (locks.ts) are under way. */
  | { readonly code: 'too-many-waiting' };

export type EncryptError =
  | StoreError
  | { readonly code: 'invalid-address' }
  | { readonly code: 'content-too-large'; readonly maxBytes: number }
  | { readonly code: 'too-many-devices'; readonly max: number }
  /** Fetch bundles of these devices, `startSession` with each, encrypt again. */
  | { readonly code: 'no-session'; readonly devices: readonly DeviceAddress[] }
  | { readonly code: 'untrusted-identity'; readonly interopId: InteropId; readonly fingerprint: string };

export type SessionError =
  | StoreError
  | { readonly code: 'invalid-address' }
  /** A field has a wrong shape or a signature does not hold. */
  | { readonly code: 'invalid-bundle' }
  /** The identity key in it is another person's. */
  | { readonly code: 'identity-of-another' }
  | { readonly code: 'untrusted-identity'; readonly interopId: InteropId; readonly fingerprint: string };

export type IdentityState = {
  readonly identityKey: Uint8Array;
  readonly fingerprint: string;
  readonly firstSeenAtMs: number;
  readonly verified: boolean;
  /** Seen after verification, not accepted. */
  readonly pending?: { readonly identityKey: Uint8Array; readonly fingerprint: string };
};

export type IdentityError =
  | StoreError
  | { readonly code: 'unknown-identity' }
  /** The key that the person looked at is not the one that is stored now: show it again. */
  | { readonly code: 'identity-key-differs' };

/** Public keys to publish (docs/protocol/06 section 6.2). */
export type KeyPublication = {
  readonly signedPrekey?: { readonly id: number; readonly publicKey: Uint8Array; readonly signature: Uint8Array };
  readonly lastResortKemPrekey?: {
    readonly id: number;
    readonly publicKey: Uint8Array;
    readonly signature: Uint8Array;
  };
  readonly prekeys: readonly { readonly id: number; readonly publicKey: Uint8Array }[];
  readonly kemPrekeys: readonly {
    readonly id: number;
    readonly publicKey: Uint8Array;
    readonly signature: Uint8Array;
  }[];
};

/** 60 digits in twelve groups of five are the usual way to show `digits`; `scannable` is what a QR code holds. */
export type SafetyNumber = { readonly digits: string; readonly scannable: Uint8Array };

/**
 * One device's end of one suite. Every operation that changes something takes a `commit` (see `Commit`) and holds the
 * locks of the people concerned from the first read until the commit is done. No method throws or rejects.
 */
export interface E2eeSuite {
  readonly name: string;
  readonly local: DeviceAddress;
  /** This device's identity key, 33 bytes. */
  readonly identityKey: Uint8Array;

  /**
   * Encrypts for all devices of all targets, or for none. Targets may be several people (the recipient and, with a
   * transcript, oneself): they are committed together. Devices are 1..127 without repeats, never this device itself.
   */
  encryptFor(targets: readonly EncryptTarget[], commit: Commit<Encrypted>): Promise<Result<Encrypted, EncryptError>>;

  /**
   * Starts a fresh session from a bundle; an older one is kept for messages on their way.
   * `commit` is also called when the identity is refused, because the refused key is remembered.
   */
  startSession(bundle: RemoteBundle, commit: Commit<SessionStarted>): Promise<Result<SessionStarted, SessionError>>;

  /**
   * Decrypts one ciphertext. `commit` is called once for every outcome, readable or refused, so that the caller stores
   * the message (or what it will do about it) and the ratchet together before it acknowledges. `inspect` looks at the content
   * before anything of it counts: `misbound` when it names a fault.
   */
  decrypt(
    incoming: IncomingCiphertext,
    commit: Commit<DecryptOutcome>,
    inspect?: (content: Uint8Array) => Misbound | undefined,
  ): Promise<Result<DecryptOutcome, StoreError>>;

  /** Forgets the session with one device (it was removed), or with all devices of a person. */
  endSessions(
    interopId: InteropId,
    deviceIds: readonly number[] | 'all',
    commit: Commit<{ readonly changes: readonly StoreChange[] }>,
  ): Promise<Result<void, StoreError>>;

  /** Nothing more is encrypted in these sessions: what follows begins new ones. What is on its way is still read. */
  archiveSessions(
    devices: readonly DeviceAddress[],
    commit: Commit<{ readonly changes: readonly StoreChange[] }>,
  ): Promise<Result<void, StoreError>>;

  readIdentity(interopId: InteropId): Promise<Result<IdentityState, IdentityError>>;
  /** Records that a person has (or has not) compared the safety number of exactly this key; having compared it answers a pending one. */
  setVerified(
    interopId: InteropId,
    identityKey: Uint8Array,
    verified: boolean,
    commit: Commit<{ readonly changes: readonly StoreChange[] }>,
  ): Promise<Result<void, IdentityError>>;
  /** A person accepts the pending key that they were shown: it is in force, unverified; sessions under the old one end. */
  acceptIdentity(
    interopId: InteropId,
    identityKey: Uint8Array,
    commit: Commit<{ readonly changes: readonly StoreChange[] }>,
  ): Promise<Result<void, IdentityError>>;
  /** A person does not accept the pending key that they were shown: it is forgotten, the one in force stays as it was. */
  rejectIdentity(
    interopId: InteropId,
    identityKey: Uint8Array,
    commit: Commit<{ readonly changes: readonly StoreChange[] }>,
  ): Promise<Result<void, IdentityError>>;
  /** Of the key in force, between this device's person and another. Takes about 5 ms of this thread. */
  safetyNumber(interopId: InteropId): Promise<Result<SafetyNumber, IdentityError>>;
  /** Side by side: of the key in force, and of the pending one, which a person compares before accepting it. */
  safetyNumbers(
    interopId: InteropId,
  ): Promise<Result<{ readonly inForce: SafetyNumber; readonly pending?: SafetyNumber }, IdentityError>>;

  /**
   * What must be published now, by age and by the directory's counts of one-time keys; undefined when nothing.
   * Private keys are committed before the publication may be sent. At most 50 one-time keys of each kind.
   */
  refillKeys(
    counts: { readonly prekeys: number; readonly kemPrekeys: number },
    commit: Commit<{ readonly changes: readonly StoreChange[]; readonly publication: KeyPublication }>,
  ): Promise<Result<KeyPublication | undefined, StoreError>>;
  /** Replaces everything that was published, in a store that is older than that; committed as by `refillKeys`. */
  renewKeys(
    commit: Commit<{ readonly changes: readonly StoreChange[]; readonly publication: KeyPublication }>,
  ): Promise<Result<KeyPublication, StoreError>>;
  /** The directory has taken it: the rotating keys in it need not be published again. */
  confirmPublished(
    publication: KeyPublication,
    commit: Commit<{ readonly changes: readonly StoreChange[] }>,
  ): Promise<Result<void, StoreError>>;
  /** From now on nothing is committed any more: what is under way, and what comes, answers `commit-failed`. */
  end(): void;
}
