// Decrypts one ciphertext, and says what it is or why it can't be read; nothing of a failed attempt is kept, except an identity
// key that a person must look at.
// Knows nothing of what contents mean: the caller inspects them before anything counts.
// Source: docs/protocol/06-stanzas.md section 6.1, docs/protocol/09-content.md sections 9.6 and 9.11.
import * as Signal from '@signalapp/libsignal-client';
import { maxCiphertextBytes } from '@drawbridge/wire/limits';
import { type DeviceAddress, isDeviceAddress } from '../addresses.ts';
import { identityFingerprint } from '../identities.ts';
import { formerSessionPrefix, Identities, Prekeys, Sessions } from '../libsignal-stores.ts';
import { unpadContent } from '../padding.ts';
import type { StagedStore } from '../staged.ts';
import type { Commit, StoreChange } from '../stores.ts';
import type { DecryptError, DecryptOutcome, IncomingCiphertext, Misbound, Result, StoreError } from '../suite.ts';
import { own, PREKEYS_LOCK, protocolAddress, settle, type Workbench } from './workbench.ts';

type Inspect = (content: Uint8Array) => Misbound | undefined;
type Encrypted = Exclude<ParsedCiphertext, { kind: 'plaintext-retry' }>;

export async function decrypt(
  bench: Workbench,
  incoming: IncomingCiphertext,
  commit: Commit<DecryptOutcome>,
  inspect: Inspect = () => undefined,
): Promise<Result<DecryptOutcome, StoreError>> {
  const { from, kind, bytes } = incoming;
  if (!isDeviceAddress(from) || bench.isSelf(from)) return settle(commit, refused(from, { code: 'invalid-address' }));
  const message = parseCiphertext(kind, bytes);
  if (message === undefined) return settle(commit, refused(from, { code: 'malformed-ciphertext' }));
  const keys = message.kind === 'prekey' ? [from.interopId, PREKEYS_LOCK] : [from.interopId];
  return bench.operate<DecryptOutcome, StoreError>(keys, async store =>
    settle(
      commit,
      message.kind === 'plaintext-retry'
        ? await readRetry(bench, store, message.error, from)
        : await readContent(bench, store, message, from, inspect),
    ),
  );
}

function refused(
  from: DeviceAddress,
  error: DecryptError,
  changes: readonly StoreChange[] = [],
  events: Extract<DecryptOutcome, { kind: 'refused' }>['events'] = [],
): DecryptOutcome {
  return { kind: 'refused', from, error, changes, events };
}

async function readRetry(
  { address }: Workbench,
  store: StagedStore,
  error: Signal.DecryptionErrorMessage,
  from: DeviceAddress,
): Promise<DecryptOutcome> {
  if (error.deviceId() !== address.deviceId) return refused(from, { code: 'malformed-ciphertext' });
  const ratchetKey = error.ratchetKey();
  const session = await new Sessions(store).getSession(protocolAddress(from));
  const ratchetKeyIsCurrent =
    ratchetKey !== undefined && session !== null && session.currentRatchetKeyMatches(ratchetKey);
  const request = { tag: error.timestamp(), deviceId: error.deviceId(), ratchetKeyIsCurrent };
  return { kind: 'retry-request', from, request, changes: [] };
}

async function readContent(
  bench: Workbench,
  store: StagedStore,
  message: Encrypted,
  from: DeviceAddress,
  inspect: Inspect,
): Promise<DecryptOutcome> {
  let sessions = new Sessions(store);
  const identities = new Identities(store, bench.local, bench.nowMs(), message.kind === 'prekey');
  const prekeys = new Prekeys(store);
  let padded: Uint8Array;
  try {
    if (message.kind === 'prekey') padded = await open(bench, message, from, { sessions, identities, prekeys });
    else {
      const opened = await openInSession(bench, store, message, from, { identities, prekeys });
      if (opened === 'no-session') return refused(from, { code: opened });
      ({ padded, sessions } = opened);
    }
  } catch (error) {
    if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw error;
    return unread(bench, message, from, inspect, { identities, prekeys, error });
  }
  if (sessions.isTooLarge) {
    const reset: StoreChange = { op: 'delete', table: 'session', key: sessions.keyOf(protocolAddress(from)) };
    return refused(from, { code: 'session-too-large' }, [reset]);
  }
  const content = unpadContent(padded);
  const { changes } = store;
  // Authentic, so the ratchet has moved: committed even though there is nothing to show.
  if (content === undefined) return refused(from, { code: 'bad-padding' }, changes, identities.events);
  const part = inspect(content);
  if (part !== undefined) return refused(from, { code: 'misbound', part });
  const identity = await bench.fingerprintInForce(store, from.interopId);
  return { kind: 'content', from, identity, content, changes, events: identities.events };
}

type Stores = { readonly sessions: Sessions; readonly identities: Identities; readonly prekeys: Prekeys };

/** The padded content. Rejects with libsignal's errors. */
function open(
  { here }: Workbench,
  message: Encrypted,
  from: DeviceAddress,
  { sessions, identities, prekeys }: Stores,
): Promise<Uint8Array> {
  const remote = protocolAddress(from);
  if (message.kind === 'session') return Signal.signalDecrypt(message.message, remote, here, sessions, identities);
  const { oneTime, signed, kem } = prekeys;
  return Signal.signalDecryptPreKey(message.message, remote, here, sessions, identities, oneTime, signed, kem);
}

/** A message that the session does not open may be of the session under this device's identity before (renewal.ts). */
async function openInSession(
  bench: Workbench,
  store: StagedStore,
  message: Encrypted,
  from: DeviceAddress,
  rest: Omit<Stores, 'sessions'>,
): Promise<{ readonly padded: Uint8Array; readonly sessions: Sessions } | 'no-session'> {
  const remote = protocolAddress(from);
  const sessions = new Sessions(store);
  const former = new Sessions(store, formerSessionPrefix);
  const attempt = async (each: Sessions) => ({
    padded: await open(bench, message, from, { sessions: each, ...rest }),
    sessions: each,
  });
  const hasFormer = async (): Promise<boolean> => (await former.getSession(remote)) !== null;
  if ((await sessions.getSession(remote)) === null) return (await hasFormer()) ? attempt(former) : 'no-session';
  try {
    return await attempt(sessions);
  } catch (error) {
    if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw error;
    if (error.code === Signal.ErrorCode.DuplicatedMessage || !(await hasFormer())) throw error;
    return await attempt(former);
  }
}

/** Why libsignal gave no content. */
async function unread(
  bench: Workbench,
  message: Encrypted,
  from: DeviceAddress,
  inspect: Inspect,
  tried: {
    readonly identities: Identities;
    readonly prekeys: Prekeys;
    readonly error: Signal.LibSignalErrorBase;
  },
): Promise<DecryptOutcome> {
  const { identities, prekeys, error } = tried;
  if (identities.isOfAnother) return refused(from, { code: 'identity-of-another' });
  const untrusted = identities.refused;
  if (untrusted !== undefined) {
    const { identityKey, pending, awaitsAcceptance } = untrusted;
    // A key that nobody has shown to hold is not a reason to stop a conversation.
    if (awaitsAcceptance && !(await canBeRead(bench, message, from, inspect))) {
      return refused(from, { code: 'malformed-ciphertext' });
    }
    const fingerprint = identityFingerprint(identityKey);
    const code = { code: 'untrusted-identity', fingerprint, awaitsAcceptance } as const;
    return pending === undefined ? refused(from, code) : refused(from, code, [pending.change], [pending.event]);
  }
  if (prekeys.refusal !== undefined) return refused(from, { code: prekeys.refusal });
  const duplicate = error.code === Signal.ErrorCode.DuplicatedMessage;
  return refused(from, { code: duplicate ? 'duplicate' : 'undecryptable' });
}

/** Whether a first message opens under the identity key that it brings, and says where it belongs. Keeps nothing. */
async function canBeRead(
  bench: Workbench,
  message: Encrypted,
  from: DeviceAddress,
  inspect: Inspect,
): Promise<boolean> {
  if (message.kind !== 'prekey') return false;
  const store = bench.stage();
  const identities = new Identities(store, bench.local, bench.nowMs(), true, true);
  try {
    const stores = { sessions: new Sessions(store), identities, prekeys: new Prekeys(store) };
    const content = unpadContent(await open(bench, message, from, stores));
    return content !== undefined && inspect(content) === undefined;
  } catch (error) {
    if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw store.failure ?? error;
    return false;
  }
}

type ParsedCiphertext =
  | { readonly kind: 'prekey'; readonly message: Signal.PreKeySignalMessage }
  | { readonly kind: 'session'; readonly message: Signal.SignalMessage }
  | { readonly kind: 'plaintext-retry'; readonly error: Signal.DecryptionErrorMessage };

function parseCiphertext(kind: IncomingCiphertext['kind'], bytes: Uint8Array): ParsedCiphertext | undefined {
  if (bytes.length === 0 || bytes.length > maxCiphertextBytes) return undefined;
  try {
    switch (kind) {
      case 'prekey':
        return { kind, message: Signal.PreKeySignalMessage.deserialize(own(bytes)) };
      case 'session':
        return { kind, message: Signal.SignalMessage.deserialize(own(bytes)) };
      case 'plaintext-retry': {
        const body = Signal.PlaintextContent.deserialize(own(bytes)).body();
        return { kind, error: Signal.DecryptionErrorMessage.extractFromSerializedBody(body) };
      }
      default:
        return undefined;
    }
  } catch {
    // Bytes of a stranger that are not this kind of message; libsignal says so by throwing.
    return undefined;
  }
}
