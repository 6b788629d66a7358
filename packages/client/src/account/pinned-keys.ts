// The gatekeeper's keys that an account is held to, as they lie in its record.
// Knows nothing of offers, transports or who asks.
// Source: docs/protocol/08-noise.md section 8.4.
import { followStatements, type PinnedKeys, type SignedSigningKey } from '@drawbridge/identity/signing-key-succession';
import type { AccountRecord } from '../store/account-records.ts';

type PinFields = Pick<AccountRecord, 'signingKey' | 'backupKey' | 'keysSince'>;

/** What is pinned after these statements; without a key, nothing is. */
export function pinsAfter(pinned: PinFields, domain: string, statements: readonly SignedSigningKey[]): PinFields {
  const { signingKey, backupKey, keysSince = 0 } = pinned;
  if (signingKey === undefined) return {};
  const before: PinnedKeys = { signingKey, since: keysSince, ...(backupKey === undefined ? {} : { backupKey }) };
  const after = followStatements(domain, before, statements);
  return {
    signingKey: after.signingKey,
    keysSince: after.since,
    ...(after.backupKey === undefined ? {} : { backupKey: after.backupKey }),
  };
}
