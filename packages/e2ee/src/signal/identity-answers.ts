// What a person says about somebody's identity key, and what they are shown to decide by.
// Knows nothing of messages, devices or directories.
// Source: docs/protocol/09-content.md section 9.6.
import type { InteropId } from '@drawbridge/wire/jid';
import type { IdentityRecord } from '../gen/device_pb.ts';
import { adoptIdentity, identityState, putIdentity, readIdentityRecord, sameKey } from '../identities.ts';
import { safetyNumberOf } from '../safety-number.ts';
import type { StagedStore } from '../staged.ts';
import type { E2eeSuite, IdentityError, Result, SafetyNumber } from '../suite.ts';
import { done, settle, type Workbench } from './workbench.ts';

type Answers = Pick<
  E2eeSuite,
  'readIdentity' | 'setVerified' | 'acceptIdentity' | 'rejectIdentity' | 'safetyNumber' | 'safetyNumbers'
>;

export function identityAnswers(bench: Workbench): Answers {
  const readIdentity: Answers['readIdentity'] = interopId =>
    bench.operate([interopId], async store => {
      const record = await readIdentityRecord(store, interopId);
      if (record === undefined) return { ok: false, error: { code: 'unknown-identity' } };
      return { ok: true, value: identityState(record) };
    });

  const safetyNumbers: Answers['safetyNumbers'] = async interopId => {
    const state = await readIdentity(interopId);
    if (!state.ok) return state;
    const mine = { interopId: bench.local.interopId, identityKey: bench.local.publicKey };
    const numberOf = (identityKey: Uint8Array): SafetyNumber => safetyNumberOf(mine, { interopId, identityKey });
    const { identityKey, pending } = state.value;
    const inForce = numberOf(identityKey);
    return {
      ok: true,
      value: pending === undefined ? { inForce } : { inForce, pending: numberOf(pending.identityKey) },
    };
  };

  return {
    readIdentity,
    safetyNumbers,
    safetyNumber: async interopId => {
      const numbers = await safetyNumbers(interopId);
      return numbers.ok ? { ok: true, value: numbers.value.inForce } : numbers;
    },
    setVerified: (interopId, identityKey, verified, commit) =>
      bench.operate<void, IdentityError>([interopId], async store => {
        const record = await readIdentityRecord(store, interopId);
        if (record === undefined) return { ok: false, error: { code: 'unknown-identity' } };
        if (!sameKey(record.identityKey, identityKey)) return { ok: false, error: { code: 'identity-key-differs' } };
        const { firstSeenAtMs } = record;
        // A person who has compared the true key has answered what another one asked.
        const pendingIdentityKey = verified ? new Uint8Array() : record.pendingIdentityKey;
        putIdentity(store, interopId, { identityKey: record.identityKey, firstSeenAtMs, verified, pendingIdentityKey });
        return done(await settle(commit, { changes: store.changes }));
      }),
    acceptIdentity: (interopId, identityKey, commit) =>
      bench.operate<void, IdentityError>([interopId], async store => {
        const record = await pendingRecord(store, interopId, identityKey);
        if (!record.ok) return record;
        adoptIdentity(store, interopId, record.value, record.value.pendingIdentityKey, bench.nowMs());
        return done(await settle(commit, { changes: store.changes }));
      }),
    rejectIdentity: (interopId, pendingKey, commit) =>
      bench.operate<void, IdentityError>([interopId], async store => {
        const record = await pendingRecord(store, interopId, pendingKey);
        if (!record.ok) return record;
        const { identityKey, firstSeenAtMs, verified } = record.value;
        putIdentity(store, interopId, { identityKey, firstSeenAtMs, verified });
        return done(await settle(commit, { changes: store.changes }));
      }),
  };
}

/** What is known of a person whose pending key is exactly this one. */
async function pendingRecord(
  store: StagedStore,
  interopId: InteropId,
  pendingKey: Uint8Array,
): Promise<Result<IdentityRecord, IdentityError>> {
  const record = await readIdentityRecord(store, interopId);
  if (record === undefined) return { ok: false, error: { code: 'unknown-identity' } };
  if (record.pendingIdentityKey.length === 0 || !sameKey(record.pendingIdentityKey, pendingKey)) {
    return { ok: false, error: { code: 'identity-key-differs' } };
  }
  return { ok: true, value: record };
}
