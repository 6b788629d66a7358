// What each adapter of ContactStore must do: what people decide about each other. Knows no store.
import assert from 'node:assert/strict';
import type { Admitted, AdmitArgs, DecideArgs } from '../../consent/contact-store.ts';
import { everybodyOf } from '@drawbridge/wire/jid';
import { providerKey } from '../../consent/contact.ts';
import type { Account } from '../../enlistment/account.ts';
import type { EnlistArgs } from '../../enlistment/account-store.ts';
import { type Contract, enlisted, nowMs, person } from './contract.ts';

export function testContactStore(contract: Contract): void {
  contract(
    'a block of a provider holds for whoever writes, is listed once, and leaves nothing behind',
    async stores => {
      const [a, b] = [await enlisted(stores, 'a'), await enlisted(stores, 'b')];
      const party = async (id: string): Promise<Account> => (await stores.accounts.find(id))!;
      const admit = async (): Promise<string> => {
        const args = { accepts: false, isFirst: true, isLoud: true, isSmall: true, maxMessages: 2, maxWaiting: 10 };
        const { kind } = await stores.contacts.admit({
          ...{ from: await party(a.id), to: await party(b.id), ...args, maxContacts: 10, nowMs },
        });
        return kind;
      };
      const decide = async (decision: 'block' | 'unblock') => {
        const contacts = { key: providerKey(1), sharedKey: undefined };
        const about = { interopId: everybodyOf(1), provider: 1, contacts };
        return stores.contacts.decide({ account: b.row, about, decision, isOpen: false, maxContacts: 10, nowMs });
      };
      const list = async (): Promise<string[]> =>
        (await stores.contacts.page(b.row, 0, 10)).map(({ interopId, state }) => `${interopId} ${state}`);
      assert.equal(await decide('block'), 'blocked');
      assert.deepEqual([await admit(), await admit(), await admit()], ['shut', 'shut', 'too-many']);
      assert.deepEqual(
        await list(),
        [`${everybodyOf(1)} blocked`],
        'nobody is listed whom this person did not decide about',
      );
      const { version } = await party(b.id);
      assert.equal(await decide('unblock'), undefined);
      assert((await party(b.id)).version > version);
      assert.deepEqual(await list(), []);
      assert.deepEqual([await admit(), await list()], ['open', [`${a.id} request`]], 'as if nothing had been');
    },
  );

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
        linkOnly: false,
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
}
