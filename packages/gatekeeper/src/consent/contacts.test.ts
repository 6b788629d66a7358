// Decisions about people: what they lead to beside what is kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFixture } from '../testing/control-fixture.ts';
import { contactKeys } from './contact.ts';

test('a block by name is told to other nodes as any other one: their memory is out of date', async t => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const { account } = await fixture.enlist(0, 'bob');
  fixture.events.length = 0;
  const eve = { provider: 1, identifier: 'eve' };
  const about = { interopId: undefined, provider: 1, contacts: contactKeys(eve) };
  assert.equal(await fixture.control.contacts.decide(account, about, 'block'), 'blocked');
  assert.deepEqual(fixture.events, [{ kind: 'account-changed', interopId: account.interopId }]);
  assert.deepEqual(fixture.notices, [], 'there is no address to name to the devices');
  fixture.events.length = 0;
  await fixture.control.contacts.decide(account, about, 'unblock');
  assert.equal(fixture.events.length, 1);
});
