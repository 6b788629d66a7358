// What each adapter of AdminStore must do: admins and their tokens. Knows no store.
import assert from 'node:assert/strict';
import { type Contract, nowMs } from './contract.ts';

export function testAdminStore(contract: Contract): void {
  contract('an admin has one name and one token, and is gone at once; each step is in the audit log', async stores => {
    const { admins, audit } = stores;
    const tokenDigest = new Uint8Array(32).fill(1);
    const rosa = { name: 'rosa', role: 'operator', tokenDigest, actor: 'command', nowMs } as const;
    assert.equal(await admins.add(rosa), 'added');
    assert.equal(await admins.add({ ...rosa, tokenDigest: new Uint8Array(32).fill(2) }), 'name-taken');
    const expected = { name: 'rosa', role: 'operator', addedAtMs: nowMs };
    assert.deepEqual(await admins.list(), [expected]);
    assert.deepEqual(await admins.findByToken(tokenDigest), expected);
    assert.equal(await admins.findByToken(new Uint8Array(32).fill(2)), undefined);
    assert.equal(await admins.remove({ name: 'rosa', actor: 'zoe', nowMs }), 'removed');
    assert.equal(await admins.remove({ name: 'rosa', actor: 'zoe', nowMs }), 'unknown');
    assert.equal(await admins.findByToken(tokenDigest), undefined);
    await audit.note({ atMs: nowMs, actor: 'zoe', action: 'enlistment-exported', subject: 'rosa' });
    const entries = await audit.page(0, 10, 'rosa');
    assert.deepEqual(
      entries.map(({ actor, action, reason }) => [actor, action, reason]),
      [
        ['command', 'admin-added', 'operator'],
        ['zoe', 'admin-removed', undefined],
        ['zoe', 'enlistment-exported', undefined],
      ],
    );
    assert.deepEqual(await audit.page(entries[0]!.seq, 1, 'rosa'), [entries[1]]);
  });
}
