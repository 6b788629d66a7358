// What each adapter of RestrictionStore must do: what others have decided about somebody, and what holds of it. Knows no store.
import assert from 'node:assert/strict';
import type { RestrictedSubject } from '../../integrity/restriction-store.ts';
import type { Stores } from '../../storage/stores.ts';
import { type Contract, enlisted, nowMs } from './contract.ts';

const provider: RestrictedSubject = { kind: 'provider', number: 1 };

async function subjectOf({ accounts }: Stores, id: string): Promise<RestrictedSubject & { readonly kind: 'person' }> {
  const { interopId, row, contacts } = (await accounts.find(id))!;
  return { kind: 'person', interopId, row, key: contacts.key };
}

async function writeFirst(stores: Stores, from: string, to: string, isLoud: boolean): Promise<void> {
  const [sender, recipient] = [(await stores.accounts.find(from))!, (await stores.accounts.find(to))!];
  await stores.contacts.admit({
    from: sender,
    to: recipient,
    accepts: false,
    isFirst: true,
    isLoud,
    isSmall: true,
    maxMessages: 3,
    maxWaiting: 10,
    maxContacts: 10,
    nowMs,
  });
}

async function decide(stores: Stores, by: string, about: string, decision: 'accept' | 'deny' | 'block'): Promise<void> {
  const { row: account } = (await stores.accounts.find(by))!;
  const person = (await stores.accounts.find(about))!;
  await stores.contacts.decide({ account, about: person, decision, isOpen: true, maxContacts: 10, nowMs: nowMs + 5 });
}

export function testRestrictionStore(contract: Contract): void {
  contract('whoever was written to first has a voice, and whoever reports; nobody else', async stores => {
    const { restrictions, reports } = stores;
    const [a, b, c] = [await enlisted(stores, 'a'), await enlisted(stores, 'b'), await enlisted(stores, 'c')];
    const subject = await subjectOf(stores, a.id);
    const heard = async (whom: RestrictedSubject = subject, sinceMs = 0, limit = 10): Promise<string[]> =>
      (await restrictions.voices(whom, sinceMs, limit)).map(
        voice => `${voice.voter === b.row ? 'b' : 'c'} ${voice.says}`,
      );
    await decide(stores, c.id, a.id, 'block');
    assert.deepEqual(await heard(), [], 'who was never written to may block, and that counts for nothing');
    await writeFirst(stores, a.id, b.id, true);
    assert.deepEqual(await heard(), ['b waiting']);
    const [voice] = await restrictions.voices(subject, 0, 10);
    assert.deepEqual(voice, { voter: b.row, provider: 1, enlistedAtMs: nowMs, says: 'waiting', atMs: nowMs });
    await decide(stores, b.id, a.id, 'accept');
    assert.deepEqual(await heard(), ['b accepted']);
    await decide(stores, b.id, a.id, 'block');
    assert.deepEqual(await heard(), ['b refused']);
    assert.deepEqual(await heard(provider), ['b refused']);
    assert.deepEqual(await heard({ kind: 'provider', number: 2 }), []);
    assert.deepEqual(await heard(subject, nowMs + 6), [], 'earlier ones are not read');
    const report = (id: string, account: number, reporter: string) => ({
      id,
      digest: Buffer.from(id.padEnd(32)),
      account,
      reporter,
      reported: a.id,
      category: 'spam' as const,
      comment: undefined,
      messages: [],
      atMs: nowMs + 7,
    });
    const bounds = { perReporter: 9, inAll: 9, bytesInAll: 9_999 };
    await reports.add(report('r1', c.row, c.id), bounds);
    assert.deepEqual(await heard(), ['b refused', 'c refused']);
    assert.deepEqual(await heard(provider), ['b refused'], 'of a provider those alone that were upheld');
    await reports.decide({ id: 'r1', decision: 'upheld', actor: 'rosa', nowMs });
    assert.deepEqual(await heard(), ['b refused', 'c upheld']);
    assert.deepEqual(await heard(provider), ['b refused', 'c upheld']);
    await reports.add(report('r2', b.row, b.id), bounds);
    assert.deepEqual(await heard(subject, nowMs + 6, 1), ['b refused'], 'the latest, within the limit');
    await reports.decide({ id: 'r2', decision: 'dismissed', actor: 'rosa', nowMs });
    assert.deepEqual(await heard(subject, nowMs + 6), ['c upheld']);
    await stores.accounts.withdraw(b.row);
    assert.deepEqual(await heard(), ['c upheld'], 'a voice goes with its person');
  });

  contract('a level comes into force once, with its audit entry, and goes with its person', async stores => {
    const { restrictions, audit, people } = stores;
    const { id, row } = await enlisted(stores, 'a');
    const subject = await subjectOf(stores, id);
    const note = { atMs: nowMs, actor: 'integrity', action: 'restriction-slowed', subject: id, reason: 'r' } as const;
    const put = { subject, before: undefined, level: 'slowed', countedFromMs: 0, nowMs, audit: note } as const;
    assert.equal(await restrictions.put(put), 'changed');
    assert.equal(await restrictions.put(put), 'overtaken', 'somebody else did it');
    assert.equal(await restrictions.put({ ...put, before: 'accepted-only' }), 'overtaken');
    assert.deepEqual(await restrictions.find(id), { subject: id, level: 'slowed', sinceMs: nowMs, countedFromMs: 0 });
    assert.equal((await audit.page(0, 10, id)).length, 1);
    const ofProvider = { ...put, subject: provider, audit: undefined };
    assert.equal(await restrictions.put(ofProvider), 'changed');
    assert.deepEqual(
      (await restrictions.list('', 10)).map(each => each.subject),
      ['1', id],
    );
    assert.deepEqual(
      (await restrictions.list('1', 1)).map(each => each.subject),
      [id],
    );
    assert.equal((await people.export(id))!.kept['restriction']?.length, 1);
    await restrictions.forget('1', nowMs);
    assert.notEqual(await restrictions.find('1'), undefined, 'what is in force stays');
    const lifted = { before: 'slowed', level: 'none', countedFromMs: nowMs, nowMs: nowMs + 1 } as const;
    assert.equal(await restrictions.put({ subject: provider, ...lifted }), 'changed');
    await restrictions.forget('1', nowMs);
    assert.deepEqual((await restrictions.find('1'))?.countedFromMs, nowMs, 'not before its time');
    await restrictions.forget('1', nowMs + 1);
    assert.equal(await restrictions.find('1'), undefined);
    await stores.accounts.withdraw(row);
    assert.equal(await restrictions.find(id), undefined);
    assert.equal(await restrictions.put({ ...put, level: 'suspended' }), 'overtaken', 'nobody is there');
  });
}
