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
};

/** From a row of the table `identity`; undefined for the rows that lead from a key to its owner. Throws for a broken row. */
export function readTrust(key: string, value: Uint8Array): TrustedIdentity | undefined {
  if (!isInteropId(key)) return undefined;
  const { identityKey, verified, firstSeenAtMs } = fromBinary(IdentityRecordSchema, value);
  return { interopId: key, identityKey, verified, firstSeenAtMs: Number(firstSeenAtMs) };
}

/** For an empty store. A pending key stays where it is: what it means is for a person at that device to say. */
export function trustChanges(identities: readonly TrustedIdentity[]): StoreChange[] {
  return identities.flatMap(({ interopId, identityKey, verified, firstSeenAtMs }) => {
    const record = create(IdentityRecordSchema, { identityKey, verified, firstSeenAtMs: BigInt(firstSeenAtMs) });
    const value = toBinary(IdentityRecordSchema, record);
    const owner = new TextEncoder().encode(interopId);
    return [
      { op: 'put', table: 'identity', key: interopId, value } as const,
      { op: 'put', table: 'identity', key: `key ${identityFingerprint(identityKey)}`, value: owner } as const,
    ];
  });
}
