// What a new device of a person takes over of the trust of the others: identity keys and whether they were compared.
// Knows nothing of tickets, names or stores beyond the rows of identities.
// Source: docs/protocol/09-content.md section 9.5.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { isInteropId, type InteropId } from '@drawbridge/wire/jid';
import { IdentityRecordSchema } from './gen/device_pb.ts';
import { identityFingerprint } from './identities.ts';
import type { StoreChange } from './stores.ts';

export type TrustedIdentity = {
  readonly interopId: InteropId;
  readonly identityKey: Uint8Array;
  readonly verified: boolean;
  readonly firstSeenAtMs: number;
  /** SHA-256 of the keys that were this person's before: one that comes back is for a person to accept. */
  readonly formerIdentities?: readonly Uint8Array[];
};

/** From a row of the table `identity`; undefined for the rows that lead from a key to its owner. Throws for a broken row. */
export function readTrust(key: string, value: Uint8Array): TrustedIdentity | undefined {
  if (!isInteropId(key)) return undefined;
  const { identityKey, verified, firstSeenAtMs } = fromBinary(IdentityRecordSchema, value);
  return { interopId: key, identityKey, verified, firstSeenAtMs: Number(firstSeenAtMs) };
}

/** From a row that leads from a key to its owner: whose, and the SHA-256 of the key; undefined for the other rows. */
export function readOwnedKey(
  key: string,
  value: Uint8Array,
): { readonly owner: InteropId; readonly fingerprint: Uint8Array } | undefined {
  if (!key.startsWith(ownedKey)) return undefined;
  const fingerprint = Buffer.from(key.slice(ownedKey.length), 'hex');
  return { owner: Buffer.from(value).toString(), fingerprint };
}

/** Of the keys that a person had, all but the one in force. */
export function formerIdentities(
  { identityKey }: TrustedIdentity,
  fingerprints: readonly Uint8Array[] = [],
): readonly Uint8Array[] {
  const inForce = Buffer.from(identityFingerprint(identityKey), 'hex');
  return fingerprints.filter(each => Buffer.compare(each, inForce) !== 0);
}

/** For an empty store. A pending key stays where it is: what it means is for a person at that device to say. */
export function trustChanges(identities: readonly TrustedIdentity[]): StoreChange[] {
  // A key in force is its holder's, whoever is said to have had it.
  const former = identities.flatMap(({ interopId, formerIdentities = [] }) =>
    formerIdentities.map(each => putOwner(Buffer.from(each).toString('hex'), interopId)),
  );
  const inForce = identities.flatMap(({ interopId, identityKey, verified, firstSeenAtMs }) => {
    const record = create(IdentityRecordSchema, { identityKey, verified, firstSeenAtMs: BigInt(firstSeenAtMs) });
    const value = toBinary(IdentityRecordSchema, record);
    return [
      { op: 'put', table: 'identity', key: interopId, value } as const,
      putOwner(identityFingerprint(identityKey), interopId),
    ];
  });
  return [...former, ...inForce];
}

const ownedKey = 'key ';

function putOwner(fingerprint: string, interopId: InteropId): StoreChange {
  return { op: 'put', table: 'identity', key: `${ownedKey}${fingerprint}`, value: new TextEncoder().encode(interopId) };
}
