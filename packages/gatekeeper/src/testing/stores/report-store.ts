// What each adapter of ReportStore must do: reports and what is decided about them. Knows no store.
import assert from 'node:assert/strict';
import { mailboxRow, unbounded } from '../mailbox-contract.ts';
import { type Contract, enlisted, nowMs } from './contract.ts';

export function testReportStore(contract: Contract): void {
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
}
