// What each adapter of ProofIds must do: ownership proofs that were used. Knows no store.
import assert from 'node:assert/strict';
import { type Contract, nowMs } from './contract.ts';

export function testProofIds(contract: Contract): void {
  contract('a proof id has one taker, and is forgotten when it has expired', async stores => {
    const { proofIds } = stores;
    const id = (seed: number): Uint8Array => new Uint8Array(32).fill(seed);
    const both = [proofIds.take([id(1), id(2)], [nowMs, nowMs]), proofIds.take([id(2), id(3)], [nowMs, nowMs])];
    assert.deepEqual(await Promise.all(both), [
      [true, true],
      [false, true],
    ]);
    assert.equal(await proofIds.sweep(nowMs - 1, 10), 0);
    assert.equal(await proofIds.sweep(nowMs, 2), 2);
    assert.equal(await proofIds.sweep(nowMs, 2), 1);
    assert.deepEqual(await proofIds.take([id(1)], [nowMs]), [true]);
  });
}
