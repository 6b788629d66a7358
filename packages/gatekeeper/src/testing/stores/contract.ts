// What the contracts of the storage ports share: somebody who enlists, and stores that are opened for one test. Knows no store.
import assert from 'node:assert/strict';
import type { EnlistArgs } from '../../enlistment/account-store.ts';
import type { Stores } from '../../storage/stores.ts';

/** One test of a contract, with stores of its own in which provider 1 is registered. */
export type Contract = (what: string, check: (stores: Stores) => Promise<void>) => void;

export const nowMs = 1_800_000_000_000;
export const key = (id: number, seed = id) => ({ id, publicKey: new Uint8Array(33).fill(seed) });
export const signedKey = (id: number, seed = id) => ({ ...key(id, seed), signature: new Uint8Array(64).fill(seed) });

/** Somebody new of provider 1, named by one letter. */
export function person(letter: string, more: Partial<EnlistArgs> = {}): EnlistArgs {
  const seed = letter.charCodeAt(0);
  return {
    interopId: `1-${letter.repeat(26)}`,
    provider: 1,
    identifier: letter,
    device: {
      registrationId: seed,
      thumbprint: letter.repeat(43),
      identityKey: new Uint8Array(33).fill(seed),
      signedPrekey: signedKey(1),
      lastResortKemPrekey: signedKey(9),
      prekeys: [key(1), key(2)],
      kemPrekeys: [signedKey(3)],
    },
    replace: false,
    maxDevices: 2,
    maxEnlistments: 3,
    nowMs,
    judgeMs: nowMs,
    ...more,
  };
}

export async function enlisted(stores: Stores, letter: string): Promise<{ row: number; device: number; id: string }> {
  const result = await stores.accounts.enlist(person(letter));
  assert.equal(result.kind, 'enlisted');
  const account = (await stores.accounts.findByIdentifier(1, letter))!;
  return { row: account.row, device: account.devices[0]!.row, id: account.interopId };
}
