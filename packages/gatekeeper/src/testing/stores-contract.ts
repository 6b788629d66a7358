// What every adapter of the storage ports must do, as tests (mailboxes have their own: mailbox-contract.ts). Knows no
// store.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { contactKeys } from '../consent/contact.ts';
import type { Admitted, AdmitArgs, DecideArgs } from '../consent/contact-store.ts';
import type { Account } from '../enlistment/account.ts';
import type { EnlistArgs, PublishManifest } from '../enlistment/account-store.ts';
import type { NewEvent } from '../events/event-outbox.ts';
import type { SubjectChange, SubjectEvent } from '../events/subject-event-store.ts';
import type { Stores } from '../storage/stores.ts';
import { mailboxRow, unbounded } from './mailbox-contract.ts';

export type OpenStores = () => Promise<{ readonly stores: Stores; readonly close: () => Promise<void> }>;

const nowMs = 1_800_000_000_000;
const key = (id: number, seed = id) => ({ id, publicKey: new Uint8Array(33).fill(seed) });
const signedKey = (id: number, seed = id) => ({ ...key(id, seed), signature: new Uint8Array(64).fill(seed) });

/** Somebody new of provider 1, named by one letter. */
function person(letter: string, more: Partial<EnlistArgs> = {}): EnlistArgs {
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
    ...more,
  };
}

/** Runs the contract of every port against stores that `open` makes, each of them empty. */
export function testStores(name: string, open: OpenStores): void {
  const contract = (what: string, check: (stores: Stores) => Promise<void>): void => {
    void test(`${name}: ${what}`, async () => {
      const { stores, close } = await open();
      try {
        await stores.providers.register([{ number: 1, name: 'skylark.example' }], nowMs);
        await check(stores);
      } finally {
        await close();
      }
    });
  };
  const enlisted = async (stores: Stores, letter: string): Promise<{ row: number; device: number; id: string }> => {
    const result = await stores.accounts.enlist(person(letter));
    assert.equal(result.kind, 'enlisted');
    const account = (await stores.accounts.findByIdentifier(1, letter))!;
    return { row: account.row, device: account.devices[0]!.row, id: account.interopId };
  };

  contract('decisions: a request is counted, an answer accepts, a refusal is told to nobody', async stores => {
    const [a, b] = [await enlisted(stores, 'a'), await enlisted(stores, 'b')];
    const party = async (id: string): Promise<Account> => (await stores.accounts.find(id))!;
    const admit = async (from: string, to: string, more: Partial<AdmitArgs> = {}): Promise<Admitted> =>
      await stores.contacts.admit({
        from: await party(from),
        to: await party(to),
        accepts: true,
        isFirst: true,
        isLoud: true,
        isSmall: true,
        maxMessages: 2,
        maxWaiting: 10,
        maxContacts: 10,
        nowMs,
        ...more,
      });
    const list = async (row: number): Promise<string[]> =>
      (await stores.contacts.page(row, 0, 10)).map(({ interopId, state }) => `${interopId[2]} ${state}`);
    const silent = { isLoud: false, accepts: false };
    assert.equal((await admit(a.id, b.id, silent)).kind, 'shut', 'a silent one asks for nothing');
    assert.deepEqual(await admit(a.id, b.id), { kind: 'open', accepted: true, requested: true });
    assert.deepEqual([await list(a.row), await list(b.row)], [['b accepted'], ['a request']]);
    assert.deepEqual(await admit(a.id, b.id), { kind: 'open', accepted: false, requested: false });
    assert.equal((await admit(a.id, b.id)).kind, 'too-many');
    assert.equal((await admit(a.id, b.id, { isSmall: false })).kind, 'too-large');
    assert.equal((await admit(a.id, b.id, silent)).kind, 'open');
    const { version } = await party(b.id);
    const decide = async (decision: DecideArgs['decision']): Promise<unknown> => {
      const about = await party(a.id);
      return await stores.contacts.decide({ account: b.row, about, decision, isOpen: false, maxContacts: 1, nowMs });
    };
    assert.equal(await decide('deny'), 'denied');
    assert((await party(b.id)).version > version, 'whoever has it in memory reads again');
    assert.equal((await admit(a.id, b.id)).kind, 'too-many', 'as before');
    assert.equal((await admit(b.id, a.id, { isFirst: false })).accepted, true, 'an answer accepts');
    const { key } = (await party(a.id)).contacts;
    assert.deepEqual((await party(b.id)).contacts.decided.get(key), {
      state: 'accepted',
      isOpen: true,
      interopId: a.id,
    });
    assert.equal(await decide('block'), 'blocked');
    assert.equal((await admit(a.id, b.id)).kind, 'shut', 'no bound, as before the block');
    const other = { ...(await party(b.id)), contacts: { key: 'another', sharedKey: undefined } };
    const further = { account: b.row, about: other, decision: 'block', isOpen: true, maxContacts: 1, nowMs } as const;
    assert.equal(await stores.contacts.decide(further), 'full');
    assert.deepEqual(await stores.contacts.findKey(b.row, a.id), { key, provider: 1 });
    // They go and come back: another InteropId, the same decision.
    await stores.accounts.withdraw(a.row);
    await stores.accounts.enlist(person('a', { interopId: `1-${'c'.repeat(26)}` }));
    const back = (await stores.accounts.findByIdentifier(1, 'a'))!;
    assert.equal((await admit(back.interopId, b.id)).kind, 'shut');
    assert.equal(await decide('unblock').catch(() => 'gone'), 'gone', 'the earlier one is not there');
    const about = (await stores.accounts.find(back.interopId))!;
    const undo = { account: b.row, about, decision: 'unblock', isOpen: false, maxContacts: 1, nowMs } as const;
    assert.equal(await stores.contacts.decide(undo), 'accepted');
    await stores.accounts.withdraw(b.row);
    assert.deepEqual(await stores.contacts.page(b.row, 0, 10), []);
  });

  contract(
    'decisions: whatever they change of what is kept raises the version, and nothing else does',
    async stores => {
      const { row, id } = await enlisted(stores, 'a');
      const versionOf = async (): Promise<number> => (await stores.accounts.find(id))!.version;
      const number = { interopId: undefined, provider: 1, contacts: { key: 'of one provider', sharedKey: '*of all' } };
      const other = { interopId: undefined, provider: 2, contacts: { key: 'of another', sharedKey: '*of all' } };
      let version = await versionOf();
      const isRaisedBy = async (about: DecideArgs['about'], decision: DecideArgs['decision']): Promise<boolean> => {
        await stores.contacts.decide({ account: row, about, decision, isOpen: true, maxContacts: 10, nowMs });
        const before = version;
        version = await versionOf();
        return version > before;
      };
      assert.equal(await isRaisedBy(other, 'accept'), true);
      assert.equal(await isRaisedBy(other, 'accept'), false);
      assert.equal(await isRaisedBy(number, 'block'), true);
      assert.equal(
        await isRaisedBy(other, 'accept'),
        true,
        'the block of the identifier is gone, the decision is as before',
      );
      assert.deepEqual([...(await stores.accounts.find(id))!.contacts.decided.keys()].toSorted(), [
        'of another',
        'of one provider',
      ]);
      assert.equal(await isRaisedBy(other, 'unblock'), false);
    },
  );

  contract(
    'an account is found by both names, with its devices; an unknown one is not, also for an asker',
    async stores => {
      const { row, device, id } = await enlisted(stores, 'a');
      const expected = {
        row,
        interopId: id,
        provider: 1,
        identifier: 'a',
        status: 'active',
        proofsFromMs: 0,
        devices: [{ row: device, id: 1, registrationId: 97, thumbprint: 'a'.repeat(43), listed: true }],
        optIns: [],
      };
      for (const found of [
        await stores.accounts.find(id),
        await stores.accounts.find(id, 77),
        await stores.accounts.findByIdentifier(1, 'a'),
        await stores.accounts.findByIdentifier(1, 'a', 77),
      ]) {
        const { version, contacts, ...account } = found!;
        assert.match(contacts.key, /^[A-Za-z0-9_-]{43}$/);
        assert.deepEqual(account, expected);
        assert(version >= 1);
      }
      assert.equal(await stores.accounts.find('1-nobody'), undefined);
      assert.equal(await stores.accounts.find('1-nobody', row), undefined);
      assert.equal(await stores.accounts.findByIdentifier(2, 'a', row), undefined);
      assert.deepEqual(await stores.accounts.readIdentityKey(row), new Uint8Array(33).fill(97));
      assert.deepEqual(await stores.accounts.listDevices(row), [{ id: 1, enlistedAtMs: nowMs }]);
    },
  );

  contract('enlisting is idempotent by device key, and keeps its rules', async stores => {
    const { accounts } = stores;
    await enlisted(stores, 'a');
    assert.deepEqual(await accounts.enlist(person('a')), {
      kind: 'enlisted',
      interopId: `1-${'a'.repeat(26)}`,
      deviceId: 1,
      change: 'same',
      removed: [],
    });
    const refusal = async (args: EnlistArgs): Promise<string> => {
      const result = await accounts.enlist(args);
      return result.kind === 'refused' ? result.code : 'enlisted';
    };
    assert.equal(await refusal(person('b', { provider: 5 })), 'provider-unknown');
    assert.equal(await refusal(person('b', { maxEnlistments: 1 })), 'provider-quota');
    assert.equal(await refusal(person('b', { device: person('a').device })), 'identity-key-in-use');
    assert.equal(await refusal(person('b', { joins: '1-other' })), 'enlistment-unknown');
    const outcomes = await accounts.enlistMany([person('b'), person('b', { joins: '1-other' }), person('c')]);
    assert.deepEqual(
      outcomes.map(outcome => outcome.kind),
      ['enlisted', 'refused', 'enlisted'],
    );
  });

  contract(
    'a renewal keeps the device and its mailbox, and nothing else of the person’s keys and devices',
    async stores => {
      const { accounts, keys } = stores;
      const { row, device: by, id } = await enlisted(stores, 'a');
      const second = { ...person('a').device, thumbprint: 'z'.repeat(43) };
      const waiting = { account: row, by, nowMs, expiresAtMs: nowMs + 1, max: 9 };
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
    const authorisation = { account: row, by, thumbprint: 'z'.repeat(43), nowMs, expiresAtMs: nowMs + 1, max: 1 };
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
        nowMs,
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

  contract('authorisations are swept when they have expired, up to a limit', async stores => {
    const { row, device: by } = await enlisted(stores, 'a');
    for (const letter of ['x', 'y', 'z']) {
      const thumbprint = letter.repeat(43);
      await stores.accounts.authoriseDevice({ account: row, by, thumbprint, nowMs, expiresAtMs: nowMs + 10, max: 9 });
    }
    assert.equal(await stores.accounts.sweepAuthorisations(nowMs + 9, 2), 0);
    assert.equal(await stores.accounts.sweepAuthorisations(nowMs + 10, 2), 2);
    assert.equal(await stores.accounts.sweepAuthorisations(nowMs + 10, 2), 1);
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

  contract('a provider keeps its number and name; what operators do is in the audit log, once', async stores => {
    const { providers, audit } = stores;
    const listed = [
      { number: 1, name: 'skylark.example' },
      { number: 2, name: 'heron.example' },
    ];
    assert.deepEqual(await providers.register(listed, nowMs), { kind: 'registered', statuses: ['live', 'live'] });
    assert.equal((await providers.register([{ number: 1, name: 'other.example' }], nowMs)).kind, 'refused');
    assert.equal((await providers.register([{ number: 3, name: 'heron.example' }], nowMs)).kind, 'refused');
    const suspension = { number: 2, status: 'suspended', actor: 'admin', nowMs: nowMs + 5 } as const;
    assert.equal(await providers.setStatus(suspension), 'changed');
    assert.equal(await providers.setStatus(suspension), 'same');
    assert.equal(await providers.setStatus({ ...suspension, number: 9 }), 'unknown');
    assert.deepEqual(await providers.register(listed, nowMs), { kind: 'registered', statuses: ['live', 'suspended'] });
    await providers.noteKeysRevoked({ number: 1, actor: 'admin', nowMs });
    const entries = await audit.page(0, 10);
    assert.deepEqual(
      entries.map(({ action, subject, actor }) => `${actor} ${action} ${subject}`),
      [
        'configuration provider-registered 1',
        'configuration provider-registered 2',
        'admin provider-suspended 2',
        'admin provider-keys-revoked 1',
      ],
    );
    assert.deepEqual(await audit.page(entries[1]!.seq, 1), [entries[2]]);
  });

  contract('an application takes the steps of its stage, once, each with its audit entry', async stores => {
    const { applications, providers, audit } = stores;
    await providers.register([{ number: 1, name: 'skylark.example' }], nowMs);
    const terms = {
      name: 'wren.example',
      keySetOrigins: [],
      mediaOrigins: ['https://media.wren.example'],
      suites: ['signal-1'],
      regions: [],
      contact: { name: 'Wren', email: 'a@wren.example' },
    };
    const sent = {
      ...{ id: 'a1', issuer: 'https://wren.example', terms, agreement: 1, domain: 'wren.example' },
      ...{ maxWaiting: 3, maxWaitingPerDomain: 2, nowMs },
    };
    assert.equal(await applications.apply(sent), 'applied');
    assert.equal(await applications.apply({ ...sent, id: 'a2' }), 'issuer-known');
    const other = { ...sent, id: 'a3', issuer: 'https://x.wren.example', nowMs: nowMs + 1 };
    assert.equal(await applications.apply(other), 'name-taken');
    const skylarks = { ...terms, name: 'skylark.example' };
    assert.equal(await applications.apply({ ...other, terms: skylarks }), 'name-taken');
    assert.equal(await applications.apply({ ...other, terms: { ...terms, name: 'x.wren.example' } }), 'applied');
    const third = { ...other, id: 'a4', issuer: 'https://y.example', terms: { ...terms, name: 'y.example' } };
    assert.equal(await applications.apply(third), 'full', 'of the domain');
    assert.equal(await applications.apply({ ...third, domain: 'y.example' }), 'applied');
    const fourth = { ...third, id: 'a5', issuer: 'https://z.example', terms: { ...terms, name: 'z.example' } };
    assert.equal(await applications.apply({ ...fourth, domain: 'z.example' }), 'full', 'in all');
    assert.deepEqual(
      (await applications.list(10, 'applied')).map(({ id }) => id),
      ['a3', 'a4', 'a1'],
    );
    assert.equal((await applications.list(1)).length, 1);

    const step = { id: 'a1', actor: 'rosa', reason: 'checked', nowMs: nowMs + 2 };
    const grant = { enlistments: 5, trustClass: 'trial', suites: ['signal-1'] } as const;
    const wrong = { kind: 'refused', code: 'wrong-stage' };
    assert.deepEqual(await applications.step(step, { stage: 'live', grant }), wrong);
    const to = (number: number | undefined) => ({ stage: 'sandbox', number, grant }) as const;
    assert.deepEqual(await applications.step(step, to(1)), { kind: 'refused', code: 'number-taken' });
    assert.deepEqual(await applications.step(step, to(undefined)), { kind: 'done', number: 1_000 });
    assert.deepEqual(await applications.step(step, to(undefined)), wrong);
    assert.deepEqual(await applications.step({ ...step, id: 'a4' }, to(65_535)), { kind: 'done', number: 65_535 });
    assert.deepEqual(await applications.step({ ...step, id: 'a3' }, to(1_000)), {
      kind: 'refused',
      code: 'number-taken',
    });
    assert.deepEqual(await applications.step({ ...step, id: 'zz' }, { stage: 'refused' }), {
      kind: 'refused',
      code: 'application-unknown',
    });
    assert.deepEqual(
      (await applications.admitted()).map(({ number, stage, status }) => [number, stage, status]),
      [
        [1_000, 'sandbox', 'live'],
        [65_535, 'sandbox', 'live'],
      ],
    );
    assert.equal((await applications.step(step, { stage: 'live', grant: { ...grant, enlistments: 9 } })).kind, 'done');
    assert.equal((await applications.changeGrant(step, { ...grant, enlistments: 7 })).kind, 'done');
    assert.equal(await applications.acceptAgreement('a1', 1, nowMs), 'same');
    assert.equal(await applications.acceptAgreement('a1', 2, nowMs), 'accepted');
    await providers.setStatus({ number: 1_000, status: 'suspended', actor: 'rosa', nowMs });
    assert.deepEqual(await applications.findByNumber(1_000), {
      ...{ id: 'a1', issuer: 'https://wren.example', terms, agreement: 2, stage: 'live', number: 1_000 },
      ...{ grant: { ...grant, enlistments: 7 }, status: 'suspended', appliedAtMs: nowMs },
    });
    assert.equal((await applications.step(step, { stage: 'withdrawn' })).kind, 'done');
    assert.equal((await applications.findByIssuer('https://wren.example'))?.stage, 'withdrawn');
    assert.equal(await applications.apply({ ...sent, id: 'a6' }), 'name-taken', 'a name and its people stay together');
    assert.equal(await applications.expire(nowMs + 1, nowMs + 3), 0);
    assert.equal(await applications.expire(nowMs + 2, nowMs + 3), 1);
    assert.equal((await applications.find('a3'))?.stage, 'refused');
    assert.equal(
      await applications.apply({ ...other, id: 'a7', terms: { ...terms, name: 'x.wren.example' } }),
      'applied',
    );
    assert.equal((await applications.findByIssuer('https://x.wren.example'))?.id, 'a7', 'the one that counts');
    const actions = async (subject: string) => (await audit.page(0, 20, subject)).map(({ action }) => action);
    assert.deepEqual(await actions('a1'), ['provider-applied', 'provider-admitted']);
    assert.deepEqual(await actions('1000'), [
      ...(['provider-admitted', 'provider-went-live', 'provider-terms-changed'] as const),
      ...(['provider-agreement-accepted', 'provider-suspended', 'provider-withdrawn'] as const),
    ]);

    const first = await applications.keepAgreement({ digest: 'd1', text: 'one', nowMs });
    assert.deepEqual(first, { version: 1, digest: 'd1', text: 'one', sinceMs: nowMs });
    assert.deepEqual(await applications.keepAgreement({ digest: 'd1', text: 'one', nowMs: nowMs + 9 }), first);
    assert.equal((await applications.keepAgreement({ digest: 'd2', text: 'two', nowMs })).version, 2);
    assert.equal((await applications.keepAgreement({ digest: 'd1', text: 'one', nowMs })).version, 3);
    assert.deepEqual(await applications.agreement(1), first);
    assert.equal(await applications.agreement(4), undefined);
  });

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

  contract(
    'a report is kept once, within its bounds, decided once, and goes with its reporter or its time',
    async stores => {
      const { reports, accounts, people, audit } = stores;
      const { row, id: reporter } = await enlisted(stores, 'a');
      const message = {
        stanzaId: 'm1',
        acceptedAtMs: nowMs,
        content: new Uint8Array(40).fill(1),
        salt: new Uint8Array(16).fill(2),
        commitment: new Uint8Array(32).fill(3),
        stamp: new Uint8Array(32).fill(4),
      };
      const report = (seed: number) => ({
        id: `r${seed}`,
        digest: new Uint8Array(32).fill(seed),
        account: row,
        reporter,
        reported: `1-${'z'.repeat(26)}`,
        category: 'abuse' as const,
        comment: seed === 1 ? 'threats' : undefined,
        messages: [message, { ...message, stanzaId: 'm2' }],
        atMs: nowMs + seed,
      });
      const bounds = { perReporter: 3, inAll: 100, bytesInAll: 100_000 };
      assert.deepEqual(await reports.add(report(1), bounds), { kind: 'added', id: 'r1' });
      assert.deepEqual(await reports.add({ ...report(1), id: 'other' }, bounds), { kind: 'known', id: 'r1' });
      assert.deepEqual(await reports.add(report(2), bounds), { kind: 'added', id: 'r2' });
      for (const tight of [{ perReporter: 2 }, { inAll: 2 }, { bytesInAll: 900 }])
        assert.equal(await reports.add(report(3), { ...bounds, ...tight }), 'full');
      assert.equal((await people.export(reporter))!.kept['report']?.length, 2);
      const found = (await reports.find('r1'))!;
      assert.deepEqual(found.messages, report(1).messages);
      assert.deepEqual([found.comment, found.count, found.decided], ['threats', 2, undefined]);
      assert.equal((await reports.find('r2'))!.comment, undefined);
      assert.equal(await reports.find('r3'), undefined);
      const decision = { decision: 'upheld', actor: 'rosa', reason: 'ticket 1', nowMs: nowMs + 9 } as const;
      assert.equal(await reports.decide({ id: 'r3', ...decision }), 'unknown');
      assert.equal(await reports.decide({ id: 'r2', ...decision }), 'changed');
      assert.equal(await reports.decide({ id: 'r2', ...decision, decision: 'dismissed' }), 'decided');
      const [entry, ...more] = await audit.page(0, 10, 'r2');
      assert.deepEqual([entry?.action, entry?.actor, entry?.reason, more], ['report-upheld', 'rosa', 'ticket 1', []]);
      const ids = async (which: Partial<Parameters<typeof reports.list>[0]>): Promise<string[]> =>
        (await reports.list({ limit: 10, ...which })).map(each => each.id);
      assert.deepEqual(await ids({}), ['r2', 'r1']);
      assert.deepEqual(await ids({ open: true }), ['r1']);
      assert.deepEqual(await ids({ beforeMs: nowMs + 2 }), ['r1']);
      assert.deepEqual(await ids({ reported: reporter }), []);
      assert.deepEqual(await ids({ reported: report(1).reported, limit: 1 }), ['r2']);
      assert.deepEqual((await reports.list({ limit: 1 }))[0]?.decided, {
        decision: 'upheld',
        actor: 'rosa',
        atMs: nowMs + 9,
      });
      assert.equal(await reports.sweep(nowMs + 2, 10), 1);
      assert.deepEqual(await ids({}), ['r2']);
      await accounts.withdraw(row);
      assert.deepEqual(await ids({}), []);
    },
  );

  contract('an operator sees a person, takes out all that is kept, and removes a suspended one', async stores => {
    const { accounts, people, audit, providers } = stores;
    const { row, device, id } = await enlisted(stores, 'a');
    await enlisted(stores, 'b');
    await stores.mailboxes.append([mailboxRow(device, 1, 100), mailboxRow(device, 2, 50)], unbounded);
    const suspension = { interopId: id, status: 'suspended', actor: 'rosa', reason: 'spam', nowMs } as const;
    await accounts.setStatus(suspension);
    const person = (await people.view(id))!;
    assert.deepEqual(person.suspension, { atMs: nowMs, actor: 'rosa', reason: 'spam' });
    const [viewed] = person.devices;
    assert.deepEqual(viewed?.keys, { prekeys: 2, kemPrekeys: 1 });
    assert.deepEqual(viewed.waiting, { count: 2, bytes: 150 });
    const exported = (await people.export(id))!;
    assert.deepEqual(exported.person, person);
    assert.equal(exported.kept['account']?.length, 1);
    assert.equal(exported.kept['one_time_key']?.length, 3);
    const first = await people.mail(device, 0, 10, 1);
    assert.deepEqual(
      first.map(({ seq, sender }) => [seq, sender]),
      [[1, 'anna']],
      'one at least, however large',
    );
    assert.equal((await people.mail(device, 1, 10, 1_000)).length, 1);
    assert.deepEqual(await providers.listUse(), [{ number: 1, enlistments: 2, mailboxBytes: 150 }]);
    const removed = await accounts.remove({ interopId: id, actor: 'rosa', reason: 'asked', nowMs });
    assert.deepEqual(
      removed?.map(each => each.row),
      [device],
    );
    assert.equal(await accounts.remove({ interopId: id, actor: 'rosa', nowMs }), undefined);
    assert.equal(await people.view(id), undefined);
    assert.equal(await people.export(id), undefined);
    assert.deepEqual(await people.mail(device, 0, 10, 1_000), []);
    assert.equal(await accounts.readIdentityKey(row), undefined);
    assert.deepEqual(await providers.listUse(), [{ number: 1, enlistments: 1, mailboxBytes: 0 }]);
    const entries = await audit.page(0, 10, id);
    assert.deepEqual(
      entries.map(({ action, reason }) => [action, reason]),
      [
        ['enlistment-suspended', 'spam'],
        ['enlistment-deleted', 'asked'],
      ],
    );
  });

  const tell = (
    stores: Stores,
    identifier: string,
    change: SubjectChange,
    occurredAtMs: number,
    more: Partial<SubjectEvent> = {},
  ) =>
    stores.subjectEvents.apply({
      provider: 1,
      identifier,
      change,
      occurredAtMs,
      nowMs: occurredAtMs,
      id: hash('sha256', `${identifier} ${change.kind} ${occurredAtMs}`, 'buffer'),
      idExpiresAtMs: occurredAtMs + 600_000,
      ...more,
    });

  contract(
    'a provider disables and enables its people: each event once, none after a later one, none of others',
    async stores => {
      const { accounts, audit, people } = stores;
      const { id, row } = await enlisted(stores, 'a');
      const disable = { kind: 'disable', reason: 'hijacking' } as const;
      const enable = { kind: 'enable' } as const;
      const at = nowMs + 10;
      assert.deepEqual(await tell(stores, 'a', disable, at), {
        kind: 'applied',
        interopId: id,
        removed: undefined,
        deciders: [],
      });
      assert.deepEqual(await tell(stores, 'a', disable, at), { kind: 'repeated' });
      assert.deepEqual(await tell(stores, 'a', disable, at + 1), { kind: 'same' });
      assert.deepEqual(await tell(stores, 'a', enable, at), { kind: 'older' });
      assert.deepEqual(await tell(stores, 'nobody', enable, at), { kind: 'unknown' });
      await stores.providers.register([{ number: 2, name: 'heron.example' }], nowMs);
      assert.deepEqual(await tell(stores, 'a', enable, at + 5, { provider: 2 }), { kind: 'unknown' });
      const found = (await accounts.findByIdentifier(1, 'a'))!;
      assert.equal(found.status, 'suspended');
      assert.equal((await accounts.find(found.interopId))?.status, 'suspended');
      assert.deepEqual((await people.view(id))?.suspension, { atMs: at, actor: 'provider', reason: 'hijacking' });
      assert.deepEqual(await accounts.withdraw(row), { kind: 'refused', code: 'enlistment-suspended' });
      const again = await accounts.enlist(person('a', { interopId: `1-${'z'.repeat(26)}` }));
      assert.deepEqual(again, { kind: 'refused', code: 'enlistment-suspended' });
      // Neither side takes back what the other has done.
      const suspension = { interopId: found.interopId, actor: 'rosa', nowMs } as const;
      assert.equal(await accounts.setStatus({ ...suspension, status: 'suspended' }), 'changed');
      assert.equal((await tell(stores, 'a', enable, at + 2)).kind, 'applied');
      assert.equal((await accounts.find(found.interopId))?.status, 'suspended');
      assert.equal(await accounts.setStatus({ ...suspension, status: 'active' }), 'changed');
      assert.equal((await accounts.find(found.interopId))?.status, 'active');
      assert.deepEqual(await tell(stores, 'a', enable, at + 3), { kind: 'same' });
      const entries = await audit.page(0, 10, id);
      assert.deepEqual(
        entries.map(({ actor, action }) => [actor, action]),
        [
          ['provider', 'enlistment-disabled'],
          ['rosa', 'enlistment-suspended'],
          ['provider', 'enlistment-enabled'],
          ['rosa', 'enlistment-resumed'],
        ],
      );
    },
  );

  contract(
    'a closed account is deleted, unless an operator has suspended it; what happened before somebody came is not theirs',
    async stores => {
      const { accounts } = stores;
      const { id, device } = await enlisted(stores, 'a');
      const purge = { kind: 'purge' } as const;
      const done = await tell(stores, 'a', purge, nowMs + 1);
      assert(done.kind === 'applied');
      assert.deepEqual(
        done.removed?.map(each => each.row),
        [device],
      );
      assert.equal(await accounts.findByIdentifier(1, 'a'), undefined);
      // Somebody else has the name now, or the same person again.
      const later = nowMs + 200_000;
      await accounts.enlist(person('a', { interopId: `1-${'y'.repeat(26)}`, nowMs: later }));
      assert.deepEqual(await tell(stores, 'a', purge, nowMs + 2), { kind: 'older' });
      assert.equal((await accounts.findByIdentifier(1, 'a'))?.interopId, `1-${'y'.repeat(26)}`);
      const { id: held } = await enlisted(stores, 'b');
      await accounts.setStatus({ interopId: held, status: 'suspended', actor: 'rosa', nowMs });
      const kept = await tell(stores, 'b', purge, nowMs + 3);
      assert.deepEqual([kept.kind, kept.kind === 'applied' && kept.removed], ['applied', undefined]);
      await accounts.setStatus({ interopId: held, status: 'active', actor: 'rosa', nowMs });
      assert.equal((await accounts.findByIdentifier(1, 'b'))?.status, 'suspended');
      assert.notEqual(id, held);
    },
  );

  contract(
    'another name: the person stays, and what others decided goes along; a name that is taken changes nothing',
    async stores => {
      const { accounts, contacts } = stores;
      const a = await enlisted(stores, 'a');
      const b = await enlisted(stores, 'b');
      const keyOf = (identifier: string): string => contactKeys({ provider: 1, identifier }).key;
      const rename = (from: string, identifier: string) =>
        ({
          kind: 'rename',
          identifier,
          keys: { from: keyOf(from), to: keyOf(identifier) },
          maxCarriedBlocks: 5,
        }) as const;
      const eve = (await accounts.findByIdentifier(1, 'a'))!;
      const party = { interopId: eve.interopId, provider: 1, contacts: eve.contacts };
      const decide = { account: b.row, about: party, isOpen: true, maxContacts: 10, nowMs } as const;
      await contacts.decide({ ...decide, decision: 'block' });
      assert.deepEqual(await tell(stores, 'a', rename('a', 'b'), nowMs + 1), { kind: 'identifier-taken' });
      const before = (await accounts.find(b.id))!.version;
      const done = await tell(stores, 'a', rename('a', 'new'), nowMs + 1);
      assert.deepEqual(done, { kind: 'applied', interopId: a.id, removed: undefined, deciders: [b.id] });
      assert.equal(await accounts.findByIdentifier(1, 'a'), undefined);
      const renamed = (await accounts.findByIdentifier(1, 'new'))!;
      assert.deepEqual([renamed.interopId, renamed.row, renamed.devices.length], [a.id, a.row, 1]);
      const decider = (await accounts.find(b.id))!;
      assert.ok(decider.version > before);
      assert.equal(decider.contacts.decided.get(renamed.contacts.key)?.state, 'blocked');
      assert.equal(decider.contacts.decided.size, 1);
      assert.deepEqual(await tell(stores, 'new', rename('new', 'new'), nowMs + 2), { kind: 'same' });
      assert.equal((await accounts.find(b.id))?.contacts.decided.size, 1);
    },
  );

  contract(
    'a block stands when the name of whoever was blocked goes to somebody whom one had accepted',
    async stores => {
      const { accounts, contacts } = stores;
      await enlisted(stores, 'a');
      const b = await enlisted(stores, 'b');
      const named = (identifier: string) => contactKeys({ provider: 1, identifier });
      const about = (identifier: string) => ({
        interopId: undefined,
        provider: 1,
        contacts: { ...named(identifier), decided: new Map() },
      });
      const decide = { account: b.row, isOpen: true, maxContacts: 10, nowMs } as const;
      await contacts.decide({ ...decide, about: about('a'), decision: 'accept' });
      await contacts.decide({ ...decide, about: about('old'), decision: 'block' });
      const keys = { from: named('a').key, to: named('old').key };
      await tell(stores, 'a', { kind: 'rename', identifier: 'old', keys, maxCarriedBlocks: 5 }, nowMs + 1);
      const { decided } = (await accounts.find(b.id))!.contacts;
      assert.deepEqual(
        [...decided].map(([key, { state }]) => [key, state]),
        [[keys.to, 'blocked']],
      );
    },
  );

  contract('a block of a mail address at any provider goes along when its holder is renamed', async stores => {
    const { accounts, contacts } = stores;
    const a = await enlisted(stores, 'a@x.example');
    const [b, c] = [await enlisted(stores, 'b'), await enlisted(stores, 'c')];
    const elsewhere = { interopId: undefined, provider: 2 };
    const about = {
      ...elsewhere,
      contacts: { ...contactKeys({ provider: 2, identifier: 'a@x.example' }), decided: new Map() },
    };
    const decide = { isOpen: false, maxContacts: 10, nowMs, decision: 'block', about } as const;
    await contacts.decide({ ...decide, account: b.row });
    const before = contactKeys({ provider: 1, identifier: 'a@x.example' });
    const { key: to } = contactKeys({ provider: 1, identifier: 'new' });
    const keys = { from: before.key, to, sharedFrom: before.sharedKey };
    const done = await tell(
      stores,
      'a@x.example',
      { kind: 'rename', identifier: 'new', keys, maxCarriedBlocks: 5 },
      nowMs + 1,
    );
    assert.deepEqual(done, { kind: 'applied', interopId: a.id, removed: undefined, deciders: [b.id] });
    const decided = (await accounts.find(b.id))!.contacts.decided.get(to);
    assert.deepEqual(decided, { state: 'blocked', isOpen: false, interopId: a.id });
    assert.equal((await accounts.find(b.id))!.contacts.decided.size, 3);
    assert.equal((await accounts.find(c.id))!.contacts.decided.size, 0);
  });

  contract(
    'blocks that come with renames are bounded by provider, and take no place of blocks that a person makes',
    async stores => {
      const { accounts, contacts } = stores;
      await stores.providers.register([{ number: 2, name: 'heron.example' }], nowMs);
      const b = await enlisted(stores, 'b');
      const shared = 'x@y.example';
      const named = (identifier: string, provider = 1) => contactKeys({ provider, identifier });
      const about = (identifier: string, provider = 1) => ({
        interopId: undefined,
        provider,
        contacts: named(identifier, provider),
      });
      const decide = (identifier: string, decision: DecideArgs['decision'], provider = 1) => {
        const args = { account: b.row, isOpen: false, maxContacts: 4, nowMs, decision };
        return contacts.decide({ ...args, about: about(identifier, provider) });
      };
      // The person's own block of the address: of provider 3's holder, and of whoever has it at any other.
      assert.equal(await decide(shared, 'block', 3), 'blocked');
      let at = nowMs;
      const rename = async (identifier: string, to: string, provider = 1): Promise<string> => {
        const { key, sharedKey } = named(identifier, provider);
        const keys = { from: key, to: named(to, provider).key, sharedFrom: sharedKey };
        const change = { kind: 'rename', identifier: to, keys, maxCarriedBlocks: 2 } as const;
        return (await tell(stores, identifier, change, ++at, { provider })).kind;
      };
      const states = async (): Promise<(string | undefined)[]> => {
        const { decided } = (await accounts.find(b.id))!.contacts;
        const names = [...['n1', 'n2', 'n3', 'n4'].map(name => named(name)), named('m1', 2)];
        return names.map(({ key }) => decided.get(key)?.state);
      };
      // One after another has the address for a moment.
      for (const [letter, provider, name] of [
        ['m', 2, 'm1'],
        ['c', 1, 'n1'],
        ['d', 1, 'n2'],
        ['e', 1, 'n3'],
      ] as const) {
        const one = { interopId: `${provider}-${letter.repeat(26)}`, identifier: shared, provider, maxEnlistments: 9 };
        assert.equal((await accounts.enlist(person(letter, one))).kind, 'enlisted');
        assert.equal(await rename(shared, name, provider), 'applied');
      }
      assert.deepEqual(
        await states(),
        [undefined, 'blocked', 'blocked', undefined, 'blocked'],
        'the oldest of its provider goes',
      );
      assert.equal(await decide('p', 'block'), 'blocked', 'there is a place for an own block');
      // An own decision about a name makes the block their own: it needs a place, and is not forgotten any more.
      assert.equal(await decide('n2', 'block'), 'blocked');
      assert.equal(await decide('q', 'block'), 'full');
      assert.equal(await decide('n3', 'block'), 'full');
      assert.deepEqual(
        await states(),
        [undefined, 'blocked', 'blocked', undefined, 'blocked'],
        'and nothing was changed',
      );
      // It follows the person, as their own.
      assert.equal(await rename('n2', 'n4'), 'applied');
      assert.deepEqual(await states(), [undefined, undefined, 'blocked', 'blocked', 'blocked']);
      assert.equal(await decide('q', 'block'), 'full');
      assert.equal(await decide('n3', 'unblock'), undefined);
      assert.deepEqual(await states(), [undefined, undefined, undefined, 'blocked', 'blocked']);
    },
  );

  contract('two who are to have one name at once: one has it, and of the other nothing is changed', async stores => {
    const { accounts, contacts } = stores;
    const names = ['a', 'c'] as const;
    for (const name of names) await enlisted(stores, name);
    const b = await enlisted(stores, 'b');
    const named = (identifier: string) => contactKeys({ provider: 1, identifier });
    const about = { interopId: undefined, provider: 1, contacts: named('one') };
    const decide = { account: b.row, isOpen: true, maxContacts: 9, nowMs, about } as const;
    await contacts.decide({ ...decide, decision: 'deny' });
    const results = await Promise.all(
      names.map(name => {
        const keys = { from: named(name).key, to: named('one').key };
        return tell(stores, name, { kind: 'rename', identifier: 'one', keys, maxCarriedBlocks: 5 }, nowMs + 1);
      }),
    );
    assert.deepEqual(results.map(({ kind }) => kind).toSorted(), ['applied', 'identifier-taken']);
    const left = await Promise.all([...names, 'one'].map(name => accounts.findByIdentifier(1, name)));
    assert.equal(left.filter(found => found !== undefined).length, 2);
    assert.notEqual(left.at(-1), undefined);
    // Nothing was decided about any of them: what was decided about the name before stands.
    assert.equal((await accounts.find(b.id))!.contacts.decided.get(named('one').key)?.state, 'denied');
  });

  contract('after compromised credentials earlier proofs and authorisations are void', async stores => {
    const { accounts } = stores;
    const { id, row, device } = await enlisted(stores, 'a');
    const authorisation = { account: row, by: device, thumbprint: 'n'.repeat(43), nowMs, max: 10 };
    await accounts.authoriseDevice({ ...authorisation, expiresAtMs: nowMs + 600_000 });
    const change = { kind: 'compromise', proofsFromMs: nowMs + 5_000, reason: 'found in a list' } as const;
    assert.equal((await tell(stores, 'a', change, nowMs + 4_000)).kind, 'applied');
    assert.equal((await accounts.find(id))?.proofsFromMs, nowMs + 5_000);
    const earlier = { ...change, proofsFromMs: nowMs + 1_000 };
    assert.equal((await tell(stores, 'a', earlier, nowMs + 4_001)).kind, 'applied');
    assert.equal((await accounts.find(id))?.proofsFromMs, nowMs + 5_000, 'it only grows');
    const further = person('a');
    const joining = { ...further, device: { ...further.device, thumbprint: 'n'.repeat(43), registrationId: 7 } };
    const join = (proofIssuedAtMs: number) => accounts.enlist({ ...joining, proofIssuedAtMs });
    assert.deepEqual(await join(nowMs + 4_999), { kind: 'refused', code: 'proof-outdated' });
    assert.deepEqual(await join(nowMs + 5_000), { kind: 'refused', code: 'device-authorisation-required' });
  });

  const told = (subject: string, occurredAtMs: number, more: Partial<NewEvent> = {}): NewEvent => ({
    provider: 1,
    url: 'https://skylark.example/events',
    audience: 'https://skylark.example',
    tokenId: `${subject} ${occurredAtMs}`,
    subject,
    event: 'urn:drawbridge:event:enlistment-suspended',
    payload: {},
    occurredAtMs,
    maxWaiting: 3,
    maxDead: 2,
    ...more,
  });
  const dayMs = 86_400_000;
  const lease = (atMs: number, more: object = {}) => ({
    provider: 1,
    nowMs: atMs,
    farthestMs: atMs + dayMs,
    leaseUntilMs: atMs + 60_000,
    limit: 10,
    ...more,
  });

  contract(
    'an event is kept with the change that it tells of, and is given in order, to one at a time',
    async stores => {
      const { accounts, outgoingEvents: events } = stores;
      const a = await enlisted(stores, 'a');
      const b = await enlisted(stores, 'b');
      const change = async (id: string, status: Account['status'], event: NewEvent) =>
        accounts.setStatus({ interopId: id, status, actor: 'rosa', nowMs, event });
      await change(a.id, 'suspended', told('a', nowMs));
      assert.equal(await change(a.id, 'suspended', told('a', nowMs)), 'same', 'nothing changed, nothing is told');
      await change(a.id, 'active', told('a', nowMs + 1, { payload: { step: 'x' } }));
      assert.equal((await stores.people.export(a.id))?.kept['outgoing_event']?.length, 2);
      assert.equal((await stores.people.export(b.id))?.kept['outgoing_event'], undefined);
      await accounts.withdraw(b.row, told('b', nowMs + 2));
      assert.deepEqual(await events.due(nowMs - 1, nowMs + dayMs), []);
      assert.deepEqual(await events.due(nowMs + 2, nowMs + dayMs), [1]);
      const subjectsOf = (list: readonly { tokenId: string }[]): string[] => list.map(({ tokenId }) => tokenId);
      const [both, none] = [await events.take(lease(nowMs + 2)), await events.take(lease(nowMs + 2))];
      assert.deepEqual(subjectsOf(both), [`a ${nowMs}`, `b ${nowMs + 2}`]);
      assert.deepEqual(none, [], 'the second about a waits for the first');
      assert.equal((await events.take(lease(nowMs + 60_002))).length, 2, 'whoever took them has died');
      await events.postpone(both[0]!.seq, nowMs + 500_000, 'timed-out');
      await events.remove(both[1]!.seq);
      assert.deepEqual(await events.take(lease(nowMs + 499_999)), []);
      assert.equal(
        (await events.take(lease(nowMs - 2 * dayMs))).length,
        1,
        'a clock that was set back holds nothing up',
      );
      await events.remove(both[0]!.seq);
      const [second] = await events.take(lease(nowMs + 500_000));
      assert.deepEqual([second?.tokenId, second?.payload, second?.attempts], [`a ${nowMs + 1}`, { step: 'x' }, 0]);
      assert.deepEqual(await events.counts(), [{ provider: 1, waiting: 1, dead: 0 }]);
    },
  );

  contract(
    'what can not be told is dead, bounded, listed, and told again when asked; the latest are kept',
    async stores => {
      const { outgoingEvents: events, providers, audit } = stores;
      const add = (i: number) =>
        providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs: nowMs + i, event: told(`s${i}`, nowMs + i) });
      for (let i = 0; i < 6; i++) await add(i);
      // Three wait, of the three beyond the bound two are kept.
      assert.deepEqual(await events.counts(), [{ provider: 1, waiting: 3, dead: 2 }]);
      const listed = (isDead: boolean, more: object = {}) => events.list({ isDead, afterSeq: 0, limit: 10, ...more });
      assert.deepEqual(
        (await listed(true)).map(({ subject, code, deadAtMs }) => [subject, code, deadAtMs]),
        [
          ['s4', 'queue-full', nowMs + 4],
          ['s5', 'queue-full', nowMs + 5],
        ],
      );
      assert.deepEqual(await listed(true, { provider: 2 }), []);
      const [first] = await listed(false);
      await events.bury(first!.seq, nowMs + 9, 'status-400', 2);
      await events.bury(first!.seq, nowMs + 10, 'again', 2);
      assert.deepEqual(
        (await listed(true)).map(({ subject }) => subject),
        ['s4', 's5'],
        'the oldest goes',
      );
      const [dead] = await listed(true);
      assert.equal(await events.revive({ seq: dead!.seq, actor: 'rosa', nowMs: nowMs + 20 }), 1);
      assert.equal(await events.revive({ seq: dead!.seq, actor: 'rosa', nowMs: nowMs + 20 }), 0);
      assert.equal(await events.revive({ provider: 1, actor: 'rosa', nowMs: nowMs + 21 }), 1);
      assert.deepEqual(await events.counts(), [{ provider: 1, waiting: 4, dead: 0 }]);
      assert.equal((await audit.page(0, 100, '1')).filter(({ action }) => action === 'events-told-again').length, 2);
      const [again] = await listed(false);
      await events.bury(again!.seq, nowMs + 30, 'too-old', 2);
      assert.equal(await events.sweep(nowMs + 30, 10), 0);
      assert.equal(await events.sweep(nowMs + 31, 10), 1);
    },
  );

  contract('two who take at once are given each event once', async stores => {
    const { outgoingEvents: events, providers } = stores;
    for (let i = 0; i < 20; i++) {
      const event = told(`s${i}`, nowMs, { maxWaiting: 100 });
      await providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs, event });
    }
    const taken = await Promise.all(Array.from({ length: 8 }, () => events.take(lease(nowMs, { limit: 5 }))));
    const seqs = taken.flat().map(({ seq }) => seq);
    assert.equal(new Set(seqs).size, seqs.length);
    assert.ok(seqs.length >= 5);
  });

  contract('a provider has one key set, the last that was kept', async stores => {
    const { providers } = stores;
    await providers.register([{ number: 1, name: 'skylark.example' }], nowMs);
    const set = { number: 1, places: 'https://a', body: Uint8Array.of(1), fetchedAtMs: nowMs };
    await providers.keepKeySet(set);
    await providers.keepKeySet({ ...set, number: 9 });
    const later = { ...set, places: 'https://b', body: Uint8Array.of(2, 3), fetchedAtMs: nowMs + 1 };
    await providers.keepKeySet(later);
    const kept = await providers.keptKeySets();
    assert.deepEqual(
      kept.map(each => ({ ...each, body: Uint8Array.from(each.body) })),
      [later],
    );
  });

  contract('an account has one wake-up, removed only under its own token', async stores => {
    const { wakeUps } = stores;
    const { row } = await enlisted(stores, 'a');
    await wakeUps.write([
      { account: row, tokenId: 'one', requestedAtMs: 1 },
      { account: row, tokenId: 'two', requestedAtMs: 2 },
      { account: row, tokenId: 'one' },
      { account: 999, tokenId: 'gone', requestedAtMs: 3 },
    ]);
    const [waiting, ...more] = await wakeUps.page(0, 10);
    assert.deepEqual(more, []);
    assert.equal(waiting?.tokenId, 'two');
    assert.equal(waiting?.identifier, 'a');
    assert.deepEqual(await wakeUps.page(row, 10), []);
    await wakeUps.write([{ account: row, tokenId: 'two' }]);
    assert.deepEqual(await wakeUps.page(0, 10), []);
  });

  contract('a removed device takes its keys and its mailbox along', async stores => {
    const { row, device } = await enlisted(stores, 'a');
    await stores.mailboxes.append([mailboxRow(device, 1)], unbounded);
    await stores.accounts.removeDevice({ account: row, deviceId: 1, by: device });
    assert.deepEqual(await stores.mailboxes.devices(), []);
    assert.deepEqual(await stores.keys.takeBundles([device]), []);
  });

  contract('the depth of mailboxes is what waits, and the oldest is told', async stores => {
    assert.deepEqual(await stores.measureDepth(), { devices: 0, entries: 0, oldestAcceptedAtMs: undefined });
    const { device: a } = await enlisted(stores, 'a');
    const { device: b } = await enlisted(stores, 'b');
    const entry = (device: number, number: number, acceptedAtMs: number) =>
      mailboxRow(device, number, 10, { acceptedAtMs });
    await stores.mailboxes.append([entry(a, 1, 700), entry(a, 2, 800), entry(b, 3, 500)], unbounded);
    assert.deepEqual(await stores.measureDepth(), { devices: 2, entries: 3, oldestAcceptedAtMs: 500 });
    await stores.mailboxes.remove([{ device: b, epoch: undefined, first: 1, last: 1 }]);
    assert.deepEqual(await stores.measureDepth(), { devices: 1, entries: 2, oldestAcceptedAtMs: 700 });
  });

  contract(
    'the time that was believed last is remembered, and only a person takes it back',
    async ({ clock, audit }) => {
      const { seenMs, storageMs } = await clock.read();
      assert.equal(seenMs, undefined);
      assert.equal((await clock.note(nowMs)).seenMs, nowMs);
      assert.equal((await clock.note(nowMs - 1)).seenMs, nowMs);
      assert.equal((await clock.read()).seenMs, nowMs);
      await clock.confirm({ nowMs: nowMs - 1_000, actor: 'command' });
      const confirmed = (await clock.read()).seenMs!;
      if (storageMs === undefined) assert.equal(confirmed, nowMs - 1_000);
      else assert(Math.abs(confirmed - Date.now()) < 60_000, 'the database goes by its own clock');
      const last = (await audit.page(0, 100)).at(-1)!;
      assert.deepEqual(
        [last.action, last.actor, last.subject, last.atMs],
        ['clock-confirmed', 'command', 'clock', confirmed],
      );
    },
  );

  contract('it is readable, and nothing waits when everything was answered', async stores => {
    assert.equal(await stores.health(), 'works');
    assert.equal(stores.waiting(), 0);
  });
}
