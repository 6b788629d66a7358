// What each adapter of SubjectEventStore must do: what providers tell of their people. Knows no store.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { contactKeys } from '../../consent/contact.ts';
import type { DecideArgs } from '../../consent/contact-store.ts';
import type { SubjectChange, SubjectEvent } from '../../events/subject-event-store.ts';
import type { Stores } from '../../storage/stores.ts';
import { type Contract, enlisted, nowMs, person } from './contract.ts';

export function testSubjectEvents(contract: Contract): void {
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
    'what is told again when its id is forgotten changes nothing, and leaves no entry in the audit log',
    async stores => {
      const { accounts, audit } = stores;
      const a = await enlisted(stores, 'a');
      const at = nowMs + 10;
      const again = (ofId: number) => ({ id: new Uint8Array(32).fill(ofId) });
      const compromise = { kind: 'compromise', proofsFromMs: nowMs + 1_000, reason: undefined } as const;
      assert.equal((await tell(stores, 'a', compromise, at)).kind, 'applied');
      const authorisation = { account: a.row, by: a.device, judgeMs: nowMs, expiresAtMs: nowMs + 9_000, max: 1 };
      assert.equal(await accounts.authoriseDevice({ ...authorisation, thumbprint: 'z' }), 'authorised');
      assert.deepEqual(await tell(stores, 'a', compromise, at, again(1)), { kind: 'same' });
      assert.equal(
        await accounts.authoriseDevice({ ...authorisation, thumbprint: 'y' }),
        'full',
        'what was made since stays',
      );
      await accounts.setStatus({ interopId: a.id, status: 'suspended', actor: 'rosa', nowMs });
      const purge = { kind: 'purge' } as const;
      assert.equal((await tell(stores, 'a', purge, at + 1)).kind, 'applied');
      const entries = (await audit.page(0, 10, a.id)).length;
      assert.deepEqual(await tell(stores, 'a', purge, at + 1, again(2)), { kind: 'same' });
      assert.equal((await audit.page(0, 10, a.id)).length, entries);
      assert.equal(
        (await tell(stores, 'a', purge, at + 2, again(3))).kind,
        'applied',
        'closed once more is another event',
      );
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
    const authorisation = { account: row, by: device, thumbprint: 'n'.repeat(43), judgeMs: nowMs, max: 10 };
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
}
