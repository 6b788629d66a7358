// What each adapter of KeyDirectory must do: device keys, one-time keys and manifests. Knows no store.
import assert from 'node:assert/strict';
import type { PublishManifest } from '../../enlistment/account-store.ts';
import { type Contract, enlisted, key, nowMs, person } from './contract.ts';

export function testKeyDirectory(contract: Contract): void {
  contract(
    'a manifest is taken when its epoch is higher, by a device that is there, under the key in force',
    async stores => {
      const { accounts } = stores;
      const { row, device: by, id } = await enlisted(stores, 'a');
      const named = { id: 1, registration: 97, deviceKeyThumbprint: 'a'.repeat(43) };
      const manifest = (epoch: number, more: Partial<PublishManifest> = {}): PublishManifest => ({
        account: row,
        by,
        identityKey: new Uint8Array(33).fill(97),
        epoch,
        text: `epoch ${epoch}`,
        signature: new Uint8Array(64).fill(epoch),
        devices: [named],
        ...more,
      });
      assert.equal(await accounts.readManifest(row), undefined);
      assert.equal(await accounts.publishManifest(manifest(1, { by: 99 })), 'device-gone');
      assert.equal(
        await accounts.publishManifest(manifest(1, { identityKey: new Uint8Array(33).fill(98) })),
        'identity-changed',
      );
      assert.equal(await accounts.publishManifest(manifest(5)), 'published');
      assert.equal(await accounts.publishManifest(manifest(5)), 'published', 'a repeat');
      assert.equal(await accounts.publishManifest(manifest(5, { text: 'another' })), 'older-epoch');
      assert.equal(await accounts.publishManifest(manifest(4)), 'older-epoch');
      const { text, signature } = manifest(5);
      const { epoch } = manifest(5);
      assert.deepEqual(await accounts.readManifest(row), { epoch, text, signature });
      const listed = async (): Promise<boolean[]> => (await accounts.find(id))!.devices.map(device => device.listed);
      const second = { ...person('a').device, thumbprint: 'z'.repeat(43) };
      await accounts.authoriseDevice({
        account: row,
        by,
        thumbprint: second.thumbprint,
        judgeMs: nowMs,
        expiresAtMs: nowMs + 1,
        max: 1,
      });
      await accounts.enlist(person('a', { device: second }));
      assert.deepEqual(await listed(), [true, false], 'until a manifest names it');
      const { version } = (await accounts.find(id))!;
      const both = [named, { id: 2, registration: 97, deviceKeyThumbprint: second.thumbprint }];
      await accounts.publishManifest(manifest(6, { devices: both }));
      assert.deepEqual(await listed(), [true, true]);
      assert((await accounts.find(id))!.version > version);
      await accounts.publishManifest(manifest(7, { devices: [named, { ...both[1]!, registration: 98 }] }));
      assert.deepEqual(await listed(), [true, false], 'by id, registration and key together');
      const again = { ...second, thumbprint: 'y'.repeat(43), identityKey: new Uint8Array(33).fill(99) };
      await accounts.enlist(person('a', { device: again, replace: true }));
      assert.equal(await accounts.readManifest(row), undefined, 'it goes with its identity key');
      assert.deepEqual(await listed(), [true]);
    },
  );

  contract('the highest count that the store of a device told stays, and goes with the device', async stores => {
    const { accounts } = stores;
    const { row, device, id } = await enlisted(stores, 'a');
    const { version } = (await accounts.find(id))!;
    assert.equal(await accounts.raiseStoreCount(device, 5), 0);
    assert.equal(await accounts.raiseStoreCount(device, 4), 5, 'a lower one changes nothing');
    assert.equal(await accounts.raiseStoreCount(device, 5), 5);
    assert.equal(await accounts.raiseStoreCount(device, 999_999_999_999_999), 5);
    assert.equal(await accounts.raiseStoreCount(device, 6), 999_999_999_999_999);
    assert.equal((await accounts.find(id))!.version, version);
    await accounts.removeDevice({ account: row, deviceId: 1, by: device });
    assert.equal(await accounts.raiseStoreCount(device, 7), undefined);
  });

  contract('a one-time key is given once, also to askers at the same time, and never comes back', async stores => {
    const { keys } = stores;
    const { device } = await enlisted(stores, 'a');
    const taken = await Promise.all([1, 2, 3].map(async () => (await keys.takeBundles([device, 999]))[0]!));
    assert.deepEqual(new Set(taken.map(bundle => bundle.prekey?.id)), new Set([1, 2, undefined]));
    assert.deepEqual(
      taken.map(bundle => bundle.kemPrekey.id).toSorted((a, b) => a - b),
      [3, 9, 9],
      'then the last-resort key',
    );
    assert.deepEqual(await keys.countOneTimeKeys(device), { prekeys: 0, kemPrekeys: 0 });
    const upload = { device, prekeys: [key(1), key(7)], kemPrekeys: [], maxKept: 2 };
    assert.equal(await keys.publish(upload), 'published');
    assert.equal(await keys.publish(upload), 'published');
    assert.deepEqual(await keys.countOneTimeKeys(device), { prekeys: 1, kemPrekeys: 0 });
    assert.equal(await keys.publish({ ...upload, prekeys: [key(7, 8)] }), 'key-conflict');
    assert.equal(await keys.publish({ ...upload, prekeys: [key(20), key(21)] }), 'too-many-keys');
    assert.deepEqual(await keys.countOneTimeKeys(device), { prekeys: 1, kemPrekeys: 0 }, 'all or nothing');
    assert.equal(await keys.publish({ ...upload, device: 999 }), 'device-gone');
  });

  contract('keys that are published as the only ones take the place of all others, also twice', async stores => {
    const { keys } = stores;
    const { device } = await enlisted(stores, 'a');
    const upload = { device, prekeys: [key(1, 50), key(7)], kemPrekeys: [], maxKept: 2, only: true };
    assert.equal(await keys.publish(upload), 'published', 'an id that clashes is free');
    assert.equal(await keys.publish(upload), 'published');
    assert.deepEqual(await keys.countOneTimeKeys(device), { prekeys: 2, kemPrekeys: 0 });
    assert.equal(await keys.publish({ ...upload, prekeys: [key(2)], only: false }), 'published');
    assert.deepEqual(await keys.countOneTimeKeys(device), { prekeys: 2, kemPrekeys: 0 }, 'what went stays away');
    const [bundle] = await keys.takeBundles([device]);
    assert.deepEqual(bundle!.prekey?.publicKey, Uint8Array.from(key(1, 50).publicKey));
  });
}
