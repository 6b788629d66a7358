// Whom a device of a person tells a further one of: identity keys, whether they were compared, and names, as messages.
// Knows nothing of tickets and contents, which carry them.
// Source: docs/protocol/09-content.md section 9.5, schema/device.proto.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import type { KnownPerson as KnownPersonMessage, KnownPersonSchema } from './gen/device_pb.ts';

/** As many as a client has chats. */
export const MAX_KNOWN_PEOPLE = 10_000;
/** Of one person; the earliest are left out. */
export const MAX_FORMER_IDENTITIES = 8;

const FINGERPRINT_BYTES = 32;
const IDENTITY_KEY_BYTES = 33;
/** The first byte of a serialised Curve25519 key. */
const IDENTITY_KEY_TYPE = 5;
/** Of a person, beside names: key, times, tags and lengths. */
const PERSON_BYTES = 64;

/** What the devices of a person know of another one. Names are empty when they are not known. */
export type KnownPerson = {
  readonly interopId: InteropId;
  readonly identityKey: Uint8Array;
  readonly verified: boolean;
  readonly firstSeenAtMs: number;
  readonly provider: string;
  readonly providerNumber: number;
  readonly identifier: string;
  /** SHA-256 of the identity keys before this one, the latest last. */
  readonly formerIdentities?: readonly Uint8Array[];
};

export function personMessage(person: KnownPerson): MessageInitShape<typeof KnownPersonSchema> {
  const { interopId, identityKey, verified, firstSeenAtMs, provider, providerNumber, identifier } = person;
  const said = { interopId, identityKey, verified, provider, providerNumber, identifier };
  return { ...said, firstSeenAtMs: BigInt(firstSeenAtMs), formerIdentities: [...formerOf(person)] };
}

/** Undefined when it names nobody, or no key. */
export function readPerson(message: KnownPersonMessage): KnownPerson | undefined {
  const { interopId, identityKey, verified, firstSeenAtMs, provider, providerNumber, identifier } = message;
  const isKey = identityKey.length === IDENTITY_KEY_BYTES && identityKey[0] === IDENTITY_KEY_TYPE;
  if (!isInteropId(interopId) || !isKey || firstSeenAtMs > Number.MAX_SAFE_INTEGER) return undefined;
  return {
    interopId,
    identityKey,
    verified,
    firstSeenAtMs: Number(firstSeenAtMs),
    provider,
    providerNumber,
    identifier,
    formerIdentities: formerOf(message).filter(each => each.length === FINGERPRINT_BYTES),
  };
}

/** What somebody takes in a message, give or take a few bytes. */
export function personBytes(person: KnownPerson): number {
  const { interopId, provider, identifier } = person;
  const names = Buffer.byteLength(interopId + provider + identifier);
  return PERSON_BYTES + names + formerOf(person).length * (FINGERPRINT_BYTES + 2);
}

function formerOf({ formerIdentities = [] }: Pick<KnownPerson, 'formerIdentities'>): readonly Uint8Array[] {
  return formerIdentities.slice(-MAX_FORMER_IDENTITIES);
}
