import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { parseDevice } from '../keys/device-keys.ts';
import { mailboxRow, unbounded } from '../testing/mailbox-contract.ts';
import { type SampleDevice, sampleDevice, sampleIdentity } from '../testing/sample-device.ts';
import { type Fixture, openFixture } from '../testing/control-fixture.ts';

const opened: Fixture[] = [];
async function open(...options: Parameters<typeof openFixture>): Promise<Fixture> {
  const fixture = await openFixture(...options);
  opened.push(fixture);
  return fixture;
}
after(async () => {
  for (const fixture of opened) await fixture.close();
});

const anna = { provider: 1, identifier: 'anna', replace: false };

test('a person is enlisted once, whatever races, and again by the same key is the same', async () => {
  const { control, clock, events } = await open();
  const device = parseDevice(sampleDevice({ prekeys: 2 }).json)!;
  const results = await Promise.all(
    Array.from({ length: 20 }, () => control.enlistment.enlist({ ...anna, device }, clock.nowMs)),
  );
  const changes = results.map(result => (result.kind === 'enlisted' ? result.change : result.code));
  assert.equal(changes.filter(change => change === 'account-added').length, 1);
  assert.equal(changes.filter(change => change === 'same').length, 19);
  assert.equal(new Set(results.map(result => result.kind === 'enlisted' && result.interopId)).size, 1);
  assert.deepEqual(
    events.map(event => event.kind),
    ['account-changed'],
  );
});

test('two people race for one identity key: one has it', async () => {
  const { control, clock } = await open();
  const identity = sampleIdentity();
  const results = await Promise.all(
    ['anna', 'bert', 'cleo'].map(identifier => {
      const device = parseDevice(sampleDevice({ identity }).json)!;
      return control.enlistment.enlist({ ...anna, identifier, device }, clock.nowMs);
    }),
  );
  const codes = results.map(result => (result.kind === 'refused' ? result.code : 'enlisted')).sort();
  assert.deepEqual(codes, ['enlisted', 'identity-key-in-use', 'identity-key-in-use']);
});

test('a second device needs an authorisation, and its own identity key is refused', async () => {
  const { control, clock, enlist } = await open();
  const { account, device: first, sample } = await enlist(1, 'anna');
  const second = parseDevice(sampleDevice({ identity: sample.identity }).json)!;
  const enlistSecond = (device = second) => control.enlistment.enlist({ ...anna, device }, clock.nowMs);
  assert.deepEqual(await enlistSecond(), { kind: 'refused', code: 'device-authorisation-required' });
  const stranger = parseDevice(sampleDevice().json)!;
  assert.deepEqual(await enlistSecond(stranger), { kind: 'refused', code: 'identity-key-differs' });

  assert.equal(await control.enlistment.authorise(account, first, second.thumbprint), 'authorised');
  const wrong = await control.enlistment.enlist(
    { ...anna, device: second, joins: '1-aaaaaaaaaaaaaaaaaaaaaaaaaa' },
    clock.nowMs,
  );
  assert.deepEqual(wrong, { kind: 'refused', code: 'enlistment-unknown' });
  clock.nowMs += 600_001;
  assert.deepEqual(await enlistSecond(), { kind: 'refused', code: 'device-authorisation-required' }, 'it has expired');

  await control.enlistment.authorise(account, first, second.thumbprint);
  const joined = await control.enlistment.enlist({ ...anna, device: second, joins: account.interopId }, clock.nowMs);
  assert(joined.kind === 'enlisted' && joined.deviceId === 2 && joined.change === 'device-added');
  assert.equal((await control.accounts.find(account.interopId))?.devices.length, 2);
  await control.enlistment.removeDevice((await control.accounts.find(account.interopId))!, first, 2);
  assert.deepEqual(
    await enlistSecond(),
    { kind: 'refused', code: 'device-authorisation-required' },
    'it was good once',
  );
});

test('replacing starts again under the same InteropId: other devices, their keys and their mail are gone', async () => {
  const { control, clock, enlist, store, events } = await open();
  const { account, device: old } = await enlist(1, 'anna', { prekeys: 3, kemPrekeys: 2 });
  await store.run('mailboxAppend', { rows: [mailboxRow(old.row, 1)], bounds: unbounded });
  const device = parseDevice(sampleDevice().json)!;
  const result = await control.enlistment.enlist({ ...anna, device, replace: true }, clock.nowMs);
  assert(result.kind === 'enlisted' && result.interopId === account.interopId && result.deviceId === 2);
  assert.deepEqual(events.slice(1), [
    { kind: 'device-removed', interopId: account.interopId, device: old },
    { kind: 'account-changed', interopId: account.interopId },
  ]);
  const [only, ...more] = (await control.accounts.find(account.interopId))!.devices;
  assert(only !== undefined && more.length === 0 && only.row > old.row);
  assert.deepEqual(await store.read('mailboxDevices', { afterRow: 0, limit: 9 }), []);
  assert.deepEqual(await store.read('keysCount', { device: old.row }), { prekeys: 0, kemPrekeys: 0 });
});

test('nobody starts again with an identity key that a removed device may hold', async () => {
  const { control, clock, enlist } = await open();
  const { account, device: phone, sample: lost } = await enlist(1, 'anna');
  const start = (sample: SampleDevice) =>
    control.enlistment.enlist({ ...anna, device: parseDevice(sample.json)!, replace: true }, clock.nowMs);
  const notFresh = { kind: 'refused', code: 'identity-key-not-fresh' };
  const withIdentity = (): SampleDevice => sampleDevice({ identity: lost.identity });
  assert.deepEqual(await start(withIdentity()), notFresh, 'the one that is there');
  assert.equal((await control.accounts.find(account.interopId))?.devices[0]?.row, phone.row, 'and nothing is changed');
  const fresh = sampleDevice();
  assert.equal((await start(fresh)).kind, 'enlisted');
  assert.equal((await start(fresh)).kind, 'enlisted', 'a repeat of the same is not another start');
  assert.deepEqual(await start(lost), notFresh, 'one that was there before');
  assert.deepEqual(await start(withIdentity()), notFresh);
  const now = (await control.accounts.find(account.interopId))!;
  await control.enlistment.removeDevice(now, now.devices[0]!, 2);
  assert.deepEqual(await start(sampleDevice({ identity: fresh.identity })), notFresh, 'also when no device is left');
  assert.deepEqual(
    await control.enlistment.enlist({ ...anna, device: parseDevice(fresh.json)! }, clock.nowMs),
    notFresh,
    'a removed device does not come back by the proof alone',
  );
});

test('two devices that remove each other: one goes, and what it had authorised goes with it', async () => {
  const { control, clock, enlist } = await open();
  const { account, device: first, sample } = await enlist(1, 'anna');
  const [second, guest] = [sampleDevice({ identity: sample.identity }), sampleDevice({ identity: sample.identity })];
  await control.enlistment.authorise(account, first, second.jkt);
  await control.enlistment.enlist({ ...anna, device: parseDevice(second.json)! }, clock.nowMs);
  const now = (await control.accounts.find(account.interopId))!;
  const other = now.devices[1]!;
  assert.equal(await control.enlistment.authorise(now, other, guest.jkt), 'authorised');
  const removed = await Promise.all([
    control.enlistment.removeDevice(now, first, other.id),
    control.enlistment.removeDevice(now, other, first.id),
  ]);
  assert.deepEqual(removed, [true, false]);
  assert.equal(await control.enlistment.authorise(now, other, guest.jkt), 'device-gone');
  const joined = await control.enlistment.enlist({ ...anna, device: parseDevice(guest.json)! }, clock.nowMs);
  assert.deepEqual(joined, { kind: 'refused', code: 'device-authorisation-required' });
});

test('device ids are never used twice until all 127 were', async () => {
  const { control, clock, enlist } = await open({ config: { limits: { devicesPerAccount: 2 } } });
  const { account, device: first, sample } = await enlist(1, 'anna');
  const ids: number[] = [];
  for (let i = 0; i < 128; i++) {
    const device = parseDevice(sampleDevice({ identity: sample.identity }).json)!;
    const now = (await control.accounts.find(account.interopId))!;
    await control.enlistment.authorise(now, first, device.thumbprint);
    const result = await control.enlistment.enlist({ ...anna, device }, clock.nowMs);
    assert(result.kind === 'enlisted');
    ids.push(result.deviceId);
    if (i === 5) {
      const third = parseDevice(sampleDevice({ identity: sample.identity }).json)!;
      await control.enlistment.authorise(now, first, third.thumbprint);
      const refused = await control.enlistment.enlist({ ...anna, device: third }, clock.nowMs);
      assert.deepEqual(refused, { kind: 'refused', code: 'device-limit' });
    }
    await control.enlistment.removeDevice((await control.accounts.find(account.interopId))!, first, result.deviceId);
  }
  assert.deepEqual(
    ids.slice(0, 126),
    Array.from({ length: 126 }, (_, i) => i + 2),
  );
  assert.deepEqual(ids.slice(126), [2, 2]);
});

test('withdrawal leaves nothing of the person in any table, also after a restart', async () => {
  const first = await open();
  const { account, device, sample } = await first.enlist(0, 'anna-the-person', { prekeys: 5, kemPrekeys: 5 });
  const { control, store } = first;
  await control.enlistment.setOptIn(account, 1, true);
  await control.enlistment.authorise(account, device, 'A'.repeat(43));
  await store.run('mailboxClaim', { device: device.row, node: 'a' });
  await store.run('mailboxAppend', { rows: [mailboxRow(device.row, 1)], bounds: unbounded });
  await store.run('keysTake', { devices: [device.row] });
  await store.run('wakeUpsWrite', [{ account: account.row, tokenId: 'token', requestedAtMs: 1 }]);
  await store.run('manifestPublish', {
    account: account.row,
    by: device.row,
    identityKey: sample.identity.publicKey,
    epoch: 1,
    text: 'of anna-the-person',
    signature: new Uint8Array(64),
    devices: [{ id: 1, registration: device.registrationId, deviceKeyThumbprint: device.thumbprint }],
  });
  assert(rowsWith(first, 'anna-the-person', sample.identity.publicKey).length > 0, 'the scan finds what is there');

  assert.equal(await control.enlistment.withdraw(account), 'withdrawn');
  assert.deepEqual(first.events.at(-1), { kind: 'account-withdrawn', interopId: account.interopId, devices: [device] });
  assert.equal(await control.accounts.find(account.interopId), undefined);
  assert.equal(await control.accounts.findByIdentifier(0, 'anna-the-person'), undefined);
  const again = await first.restart();
  opened.push(again);
  assert.deepEqual(rowsWith(again, 'anna-the-person', sample.identity.publicKey), []);
  // What waited for them leaves in pieces, after those who wrote it have been told.
  await again.store.run('mailboxRemoveOrphaned', { device: device.row, last: 1, limit: 10 });
  await again.store.run('mailboxRemoveOrphaned', { device: device.row, last: 0, limit: 10 });
  const tables = [
    'account',
    'device',
    'one_time_key',
    'given_key',
    'opt_in',
    'device_authorisation',
    'wake_up',
    'mailbox',
    'device_manifest',
    'retired_identity',
    'mailbox_head',
    'mailbox_share',
    'mailbox_person',
    'mailbox_orphan',
  ];
  for (const table of tables) {
    assert.deepEqual({ ...again.store.reads.prepare(`SELECT count(*) AS n FROM ${table}`).get() }, { n: 0 }, table);
  }
  assert.deepEqual(
    { ...again.store.reads.prepare('SELECT enlistments AS n FROM provider WHERE number = 0').get() },
    { n: 0 },
  );
  const returned = await again.enlist(0, 'anna-the-person');
  assert.notEqual(returned.account.interopId, account.interopId);
  assert(returned.device.row > device.row, 'row numbers are never used again');
});

/** Every row of every table that holds this text or these bytes. */
function rowsWith({ store }: Fixture, text: string, bytes: Uint8Array): string[] {
  const found: string[] = [];
  const tables = store.reads
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .all();
  for (const { name } of tables as unknown as { name: string }[]) {
    for (const row of store.reads.prepare(`SELECT * FROM ${name}`).all()) {
      const holds = Object.values(row).some(
        value =>
          (typeof value === 'string' && value.includes(text)) ||
          (value instanceof Uint8Array && Buffer.from(value).includes(bytes)),
      );
      if (holds) found.push(name);
    }
  }
  return found;
}

test('a suspended person stays suspended: neither enlisting again nor withdrawing undoes it', async () => {
  const first = await open();
  const { account } = await first.enlist(1, 'anna');
  assert.equal(
    await first.control.enlistment.setStatus(account.interopId, 'suspended', 'admin', first.clock.nowMs),
    'changed',
  );
  const device = parseDevice(sampleDevice().json)!;
  const again = await first.control.enlistment.enlist({ ...anna, device, replace: true }, first.clock.nowMs);
  assert.deepEqual(again, { kind: 'refused', code: 'enlistment-suspended' });
  assert.equal(await first.control.enlistment.withdraw(account), 'enlistment-suspended');
  const second = await first.restart();
  opened.push(second);
  assert.equal((await second.control.accounts.find(account.interopId))?.status, 'suspended');
  const audit = await second.store.read('auditPage', { afterSeq: 0, limit: 100 });
  const { digest, ...entry } = audit.at(-1)!;
  assert.match(digest, /^[0-9a-f]{64}$/);
  assert.deepEqual(entry, {
    seq: audit.length,
    atMs: first.clock.nowMs,
    actor: 'admin',
    action: 'enlistment-suspended',
    subject: account.interopId,
  });
  assert.equal(await second.control.enlistment.setStatus(account.interopId, 'active', 'admin', 1), 'changed');
});

test("a provider's quota counts people, also after withdrawals", async () => {
  const provider = {
    number: 1,
    name: 'skylark.example',
    issuer: 'https://skylark.example',
    quotas: { enlistments: 2 },
  };
  const { control, clock, enlist } = await open({ config: { providers: [provider] } });
  const { account } = await enlist(1, 'a');
  await enlist(1, 'b');
  const device = parseDevice(sampleDevice().json)!;
  const third = () => control.enlistment.enlist({ ...anna, identifier: 'c', device }, clock.nowMs);
  assert.deepEqual(await third(), { kind: 'refused', code: 'provider-quota' });
  await control.enlistment.withdraw(account);
  assert.equal((await third()).kind, 'enlisted');
});

test('the cache is bounded, holds no unknown people, and sees every change', async () => {
  const { control, enlist, clock } = await open({ config: { limits: { accountCacheEntries: 10 } } });
  const people = [];
  for (let i = 0; i < 30; i++) people.push(await enlist(0, `user ${i}`));
  for (const { account } of people) assert.equal((await control.accounts.find(account.interopId))?.row, account.row);
  assert(control.accounts.cached <= 10);
  const before = control.accounts.cached;
  for (let i = 0; i < 1_000; i++) assert.equal(await control.accounts.findByIdentifier(0, `nobody ${i}`), undefined);
  assert(control.accounts.cached <= before);
  const { account } = people[0]!;
  await control.enlistment.setOptIn(account, 2, true);
  assert.deepEqual((await control.accounts.find(account.interopId))!.optIns, [2]);
  assert.deepEqual(
    await control.accounts.findAfresh(account.interopId, account),
    await control.accounts.find(account.interopId),
  );
  await control.enlistment.setStatus(account.interopId, 'suspended', 'admin', clock.nowMs);
  assert.equal((await control.accounts.findByIdentifier(0, 'user 0'))?.status, 'suspended');
});

test('many people at once are checked like one', async () => {
  const { control } = await open();
  const good = sampleDevice();
  const list = Array.from({ length: 300 }, (_, i) => ({
    provider: i % 2,
    identifier: `user ${i}`,
    device: sampleDevice().json,
  }));
  const bad = structuredClone(good.json) as { signedPrekey: { signature: string } } & typeof good.json;
  const results = await control.bulkEnlist([
    ...list,
    { provider: 1, identifier: 'bad signature', device: { ...bad, identityKey: sampleDevice().json.identityKey } },
    { provider: 1, identifier: ' bad name', device: good.json },
    { provider: 1, identifier: 'bad name\ufffe', device: good.json },
    { provider: 7, identifier: 'bad provider', device: good.json },
    { provider: 1, identifier: 'good', device: good.json },
  ]);
  assert(results.slice(0, 300).every(result => result.kind === 'enlisted'));
  assert.deepEqual(
    results.slice(300).map(result => (result.kind === 'refused' ? result.code : result.kind)),
    ['device-keys-refused', 'identifier-refused', 'identifier-refused', 'provider-unknown', 'enlisted'],
  );
});
