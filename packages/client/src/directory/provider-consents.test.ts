// What a gatekeeper's word about providers does to a real store: which list holds, and which is not believed.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_CONSENT } from '@drawbridge/wire/namespaces';
import type { ClientEvent } from '../events.ts';
import { testStore } from '../testing/test-store.ts';
import { isOptedOut, ProviderConsents, refuseOptedOut } from './provider-consents.ts';

const domain = 'citadel.example';
const ofSkylark = `1-${'a'.repeat(26)}`;
const { store, inStore, remove } = await testStore('consents');
after(remove);

function consent(optedIn: boolean, name = 'skylark.example'): Element {
  return element('consent', NS_CONSENT, {}, [
    element('provider', NS_CONSENT, { number: '1', name, 'opted-in': String(optedIn) }),
  ]);
}
const told = (list: Element, from = domain): Element => element('message', NS_CLIENT, { from }, [list]);
const isOut = (): boolean => inStore(tx => isOptedOut(tx, ofSkylark));

test('a list that is told is later than one that was asked for before, and one with another number is not believed', async () => {
  const events: ClientEvent[] = [];
  let changes = 0;
  const lists: ((answer: Element) => void)[] = [];
  const request = (): Promise<Element> => new Promise(resolve => lists.push(resolve));
  const consents = new ProviderConsents({
    store,
    domain,
    request,
    emit: event => void events.push(event),
    changed: () => void changes++,
  });
  assert.equal(isOut(), false, 'nothing is known');
  const asked = consents.refresh();
  lists[0]!(consent(true));
  await asked;
  assert.deepEqual([isOut(), events.length], [false, 1]);
  const onItsWay = consents.refresh();
  assert(consents.hear(told(consent(false))));
  lists[1]!(consent(true));
  await onItsWay;
  assert.deepEqual([isOut(), events.length], [true, 2]);
  assert.throws(() => inStore(tx => refuseOptedOut(tx, ofSkylark)), { code: 'opted-out' });
  // The same again is not news; from anybody else it is not a notice; by another's name it changes nothing.
  assert(consents.hear(told(consent(false))));
  assert.equal(consents.hear(told(consent(true), `${ofSkylark}@${domain}`)), false);
  assert(consents.hear(told(consent(true, 'crow.example'))));
  assert.deepEqual([isOut(), events.length, changes], [true, 2, 2]);
  assert.equal(
    inStore(tx => isOptedOut(tx, `0-${'a'.repeat(26)}`)),
    false,
    'own users have no list',
  );
});
