// What each adapter of AccountStore must do: accounts, their devices and authorisations. Knows no store.
import assert from 'node:assert/strict';
import type { EnlistArgs } from '../../enlistment/account-store.ts';
import { type Contract, enlisted, key, nowMs, person, signedKey } from './contract.ts';

export function testAccountStore(contract: Contract): void {
  contract(
    'a renewal keeps the device and its mailbox, and nothing else of the person’s keys and devices',
    async stores => {
      const { accounts, keys } = stores;
      const { row, device: by, id } = await enlisted(stores, 'a');
      const second = { ...person('a').device, thumbprint: 'z'.repeat(43) };
      const waiting = { account: row, by, judgeMs: nowMs, expiresAtMs: nowMs + 1, max: 9 };
      await accounts.authoriseDevice({ ...waiting, thumbprint: second.thumbprint });
      await accounts.enlist(person('a', { device: second }));
      await accounts.authoriseDevice({ ...waiting, thumbprint: 'y'.repeat(43) });
      const identityKey = new Uint8Array(33).fill(9);
      const fresh = {
        ...person('a').device,
        registrationId: 7,
        identityKey,
        signedPrekey: signedKey(1, 77),
        prekeys: [key(1, 50)],
      };
      const renewal = (more: Partial<EnlistArgs> = {}): EnlistArgs =>
        person('a', { device: fresh, renews: id, ...more });
      const codeOf = async (args: EnlistArgs): Promise<string> => {
        const result = await accounts.enlist(args);
        return result.kind === 'refused' ? result.code : result.change;
      };
      await enlisted(stores, 'b');
      const { version } = (await accounts.find(id))!;
      assert.equal(await codeOf(renewal({ renews: '1-other' })), 'enlistment-unknown');
      assert.equal(await codeOf(renewal({ device: { ...fresh, thumbprint: 'y'.repeat(43) } })), 'device-unknown');
      assert.equal(
        await codeOf(renewal({ device: { ...fresh, identityKey: person('b').device.identityKey } })),
        'identity-key-in-use',
      );
      assert.equal(
        await codeOf(renewal({ device: { ...fresh, identityKey: person('a').device.identityKey } })),
        'identity-key-not-fresh',
      );
      assert.equal((await accounts.find(id))!.version, version, 'a refusal changes nothing');
      const result = await accounts.enlist(renewal());
      assert(result.kind === 'enlisted');
      assert.deepEqual([result.change, result.deviceId], ['identity-renewed', 1]);
      assert.deepEqual(
        result.removed.map(device => device.id),
        [2],
      );
      const account = (await accounts.find(id))!;
      assert(account.version > version);
      assert.deepEqual(account.devices, [
        { row: by, id: 1, registrationId: 7, thumbprint: 'a'.repeat(43), listed: true },
      ]);
      assert.deepEqual(await accounts.readIdentityKey(row), identityKey);
      const [bundle] = await keys.takeBundles([by]);
      assert.deepEqual(
        [bundle?.identityKey, bundle?.signedPrekey, bundle?.prekey],
        [identityKey, signedKey(1, 77), key(1, 50)],
      );
      assert.deepEqual(bundle?.left, { prekeys: 0, kemPrekeys: 0 }, 'nothing is left of the keys before');
      assert.equal(await codeOf(renewal()), 'same', 'its answer may have been lost');
      // Nobody comes back: not under the key before, nor by what was authorised.
      assert.equal(await codeOf(person('a', { device: person('a').device, renews: id })), 'identity-key-not-fresh');
      assert.equal(
        await codeOf(person('a', { device: { ...fresh, thumbprint: 'y'.repeat(43) }, joins: id })),
        'device-authorisation-required',
      );
    },
  );

  contract('every change raises the version, what changes nothing does not', async stores => {
    const { accounts } = stores;
    const { row, device: by, id } = await enlisted(stores, 'a');
    const version = async (): Promise<number> => (await accounts.find(id))!.version;
    let before = await version();
    const raises = async (what: string, change: () => Promise<unknown>): Promise<void> => {
      await change();
      const after = await version();
      assert(after > before, what);
      before = after;
    };
    await raises('opt-in', () => accounts.setOptIn(row, 3, true));
    await accounts.setOptIn(row, 3, true);
    assert.equal(await version(), before);
    await raises('opt-out', () => accounts.setOptIn(row, 3, false));
    const second = { ...person('a').device, thumbprint: 'z'.repeat(43) };
    const authorisation = {
      account: row,
      by,
      thumbprint: 'z'.repeat(43),
      judgeMs: nowMs,
      expiresAtMs: nowMs + 1,
      max: 1,
    };
    assert.equal(await accounts.authoriseDevice(authorisation), 'authorised');
    assert.equal(await accounts.authoriseDevice({ ...authorisation, thumbprint: 'y'.repeat(43) }), 'full');
    await raises('device added', () => accounts.enlist(person('a', { device: second })));
    await raises('device removed', () => accounts.removeDevice({ account: row, deviceId: 2, by }));
    assert.equal(await accounts.removeDevice({ account: row, deviceId: 2, by }), undefined);
    assert.equal(await version(), before);
    const suspension = { interopId: id, status: 'suspended', actor: 'admin', nowMs } as const;
    await raises('suspended', () => accounts.setStatus(suspension));
    assert.equal(await accounts.setStatus(suspension), 'same');
    assert.equal(await version(), before);
    assert.deepEqual(await accounts.withdraw(row), { kind: 'refused', code: 'enlistment-suspended' });
    await raises('resumed', () => accounts.setStatus({ ...suspension, status: 'active' }));
    assert.equal((await accounts.withdraw(row)).kind, 'withdrawn');
    assert.equal(await accounts.find(id), undefined);
    assert.equal(await accounts.setOptIn(row, 3, true), false);
    assert.equal(await accounts.authoriseDevice(authorisation), 'device-gone');
    assert.deepEqual(await accounts.withdraw(row), { kind: 'refused', code: 'enlistment-unknown' });
  });

  contract('an authorisation is over by the clock that is believed, whatever the other one shows', async stores => {
    const { accounts } = stores;
    const { row, device: by } = await enlisted(stores, 'a');
    const in2090Ms = nowMs + 64 * 365 * 86_400_000;
    const thumbprint = 'z'.repeat(43);
    const authorisation = { account: row, by, judgeMs: nowMs, expiresAtMs: nowMs + 10, max: 9 };
    await accounts.authoriseDevice({ ...authorisation, thumbprint });
    await accounts.authoriseDevice({ ...authorisation, thumbprint: 'y'.repeat(43) });
    const join = (judgeMs: number) =>
      accounts.enlist(person('a', { device: { ...person('a').device, thumbprint }, nowMs: in2090Ms, judgeMs }));
    assert.equal((await join(nowMs + 9)).kind, 'enlisted');
    assert.equal((await accounts.listDevices(row))[1]!.enlistedAtMs, in2090Ms);
    await accounts.authoriseDevice({ ...authorisation, thumbprint: 'x'.repeat(43) });
    const late = { ...person('a').device, thumbprint: 'x'.repeat(43), registrationId: 9 };
    const joined = await accounts.enlist(person('a', { device: late, maxDevices: 9, nowMs: 0, judgeMs: nowMs + 10 }));
    assert.deepEqual(joined, { kind: 'refused', code: 'device-authorisation-required' });
  });

  contract('authorisations are swept when they have expired, up to a limit', async stores => {
    const { row, device: by } = await enlisted(stores, 'a');
    for (const letter of ['x', 'y', 'z']) {
      const thumbprint = letter.repeat(43);
      await stores.accounts.authoriseDevice({
        account: row,
        by,
        thumbprint,
        judgeMs: nowMs,
        expiresAtMs: nowMs + 10,
        max: 9,
      });
    }
    assert.equal(await stores.accounts.sweepAuthorisations(nowMs + 9, 2), 0);
    assert.equal(await stores.accounts.sweepAuthorisations(nowMs + 10, 2), 2);
    assert.equal(await stores.accounts.sweepAuthorisations(nowMs + 10, 2), 1);
  });
}
