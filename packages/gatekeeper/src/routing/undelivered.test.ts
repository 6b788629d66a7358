// Who is told that a message will not be delivered, how, and who is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { parseUndelivered, placedNotice } from '@drawbridge/wire/envelope';
import { NS_CLIENT, NS_E2EE } from '@drawbridge/wire/namespaces';
import { parseStanzaError } from '@drawbridge/wire/stanza-error';
import { mayReach } from '../consent/may-reach.ts';
import { noContacts } from '../consent/contact.ts';
import type { Account, Accounts } from '../enlistment/account.ts';
import type { Delivery } from '../mailbox/delivery.ts';
import { type Receipt, refuse, type RefusedBecause, settle } from '../mailbox/device-mailbox.ts';
import { createTellSender } from './undelivered.ts';

const domain = 'citadel.example';
const bert: Account = {
  row: 7,
  interopId: `1-${'b'.repeat(26)}`,
  provider: 1,
  identifier: 'bert',
  status: 'active',
  proofsFromMs: 0,
  devices: [{ row: 70, id: 2, registrationId: 1, thumbprint: 't', listed: true }],
  optIns: [],
  linkOnly: false,
  contacts: noContacts,
  version: 1,
};
const anna = `0-${'a'.repeat(26)}@${domain}/1`;
const bertJid = `${bert.interopId}@${domain}/2`;

function message(more: Readonly<Record<string, string>> = {}): Element {
  return element('message', NS_CLIENT, { from: bertJid, to: anna, id: 'm1', type: 'chat', ...more });
}

function scene(sender: Account | undefined = bert) {
  const delivered: { device: number; element: Element; keep: boolean; receipt: Receipt }[] = [];
  const find: Accounts['find'] = async interopId => (interopId === sender?.interopId ? sender : undefined);
  const delivery: Delivery = {
    refusal: () => undefined,
    drop: () => assert.fail('a notice is wanted'),
    deliver: (device, el, _sizeBytes, keep, receipt) => delivered.push({ device, element: el, keep, receipt }),
  };
  const tell = createTellSender({
    accounts: { peek: () => undefined, find, findAfresh: id => find(id), findByIdentifier: async () => undefined },
    delivery,
    mayReach: (from, to) => mayReach(from, to, { isLive: () => true, admitsPair: () => false }),
  });
  return { tell, delivered };
}

/** Everything that can happen has happened. */
const settled = (): Promise<void> => new Promise(resolve => void setImmediate(resolve));

test('the sending device is told by an error of the message, and told means kept', async () => {
  for (const cause of ['expired', 'gone'] as const) {
    const { tell, delivered } = scene();
    let isTold = false;
    void tell(message(), cause).then(() => (isTold = true));
    await settled();
    const [{ device, element: notice, keep, receipt }] = delivered as [(typeof delivered)[0]];
    assert.deepEqual([device, keep, isTold], [70, true, false]);
    assert.deepEqual(
      ['type', 'from', 'to', 'id'].map(name => attribute(notice, name)),
      ['error', anna, bertJid, 'm1'],
    );
    const error = parseStanzaError(notice)!;
    assert.equal(error.condition, cause === 'expired' ? 'recipient-unavailable' : 'service-unavailable');
    assert.equal(parseUndelivered(error.application!), cause);
    assert.equal(childElement(notice, 'envelope', NS_E2EE), undefined, 'no ciphertext goes back');
    settle(receipt);
    await settled();
    assert.equal(isTold, true);
  }
});

test('storage that fails is told, so that the message stays; a sender without room is not waited for', async () => {
  for (const [because, outcome] of [
    ['storage-failed', 'again'],
    ['full', 'told'],
    ['share-full', 'told'],
  ] as const satisfies readonly (readonly [RefusedBecause, string])[]) {
    const { tell, delivered } = scene();
    const told = tell(message(), 'expired').then(
      () => 'told',
      () => 'again',
    );
    await settled();
    refuse(delivered[0]!.receipt, because);
    assert.equal(await told, outcome, because);
  }
});

test('nobody is told about what the gatekeeper says itself, of errors, or of copies for own devices', async () => {
  const { tell, delivered } = scene();
  await tell(placedNotice(domain, bertJid, 'm1'), 'expired');
  await tell(message({ type: 'error' }), 'expired');
  await tell(message({ to: `${bert.interopId}@${domain}/3` }), 'expired');
  await tell(message({ from: `${bert.interopId}@${domain}/3` }), 'expired');
  await tell(message({ from: anna, to: bertJid }), 'expired');
  assert.deepEqual(delivered, []);
});

test('of a person who has gone only those hear who could reach them', async () => {
  const admits = { provider: 0, optIns: [1] };
  const shutOut = { provider: 0, optIns: [2] };
  const { tell, delivered } = scene();
  await tell(message(), 'gone', shutOut);
  assert.deepEqual(delivered, []);
  void tell(message(), 'gone', admits);
  await settled();
  assert.equal(delivered.length, 1);
  const suspended = scene({ ...bert, status: 'suspended' });
  void suspended.tell(message(), 'gone', admits);
  await settled();
  assert.equal(suspended.delivered.length, 1, 'it waits until the suspension is over');
});
