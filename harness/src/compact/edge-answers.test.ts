// Answers that clients understand, on the compact transport: over TCP and over a WebSocket. XMPP: ../edge-answers.test.ts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fakeWorld, issuers } from '@drawbridge/gatekeeper/testing/control-fixture';
import { attribute, childElement, type Element, element, isElement } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_SM, NS_STREAM } from '@drawbridge/wire/namespaces';
import { acknowledge, bind, CompactDevice, CompactNetwork, enable, idOf, resume } from './network.ts';

let network: CompactNetwork;
before(async () => {
  network = await CompactNetwork.open();
});
after(() => network.close());

const conditionOf = (error: Element): string => error.children.filter(isElement)[0]!.name;

for (const carrier of ['tcp', 'websocket'] as const) {
  test(`${carrier}: a resumption that can't be gets <failed/>, and a login is still possible`, async () => {
    const anna = await network.person(`resume-${carrier}`);
    for (const wrong of [
      element('resume', NS_SM, { h: '0' }),
      element('resume', NS_SM, { previd: 'x', h: '-1' }),
      resume({ id: 'x', handled: 0 }),
    ]) {
      const device = await CompactDevice.open(network, anna, { carrier, stanzas: [wrong, bind, enable] });
      await device.received.next('failed');
      await device.received.next('enabled');
      device.send(wrong);
      assert.equal(conditionOf(await device.received.next('failed', 2)), 'unexpected-request');
      device.send(element('iq', NS_CLIENT, { type: 'get', id: 'p' }, [element('ping', 'urn:xmpp:ping')]));
      await device.received.until('an answer', () => device.received.named('iq').some(el => idOf(el) === 'p'));
      device.cut();
    }
  });

  test(`${carrier}: an acknowledgement of too much ends stream and session, and says why`, async () => {
    const anna = await network.person(`ahead-${carrier}`);
    const device = await CompactDevice.open(network, anna, { carrier });
    await device.received.next('enabled');
    device.send(acknowledge(7));
    const tooHigh = childElement(await device.received.next('error'), 'handled-count-too-high', NS_SM)!;
    assert.deepEqual([attribute(tooHigh, 'h'), attribute(tooHigh, 'send-count')], ['7', '0']);
    await device.received.closed();
    assert.equal(network.core.sessions.ofDevice(anna.device), undefined);
  });

  test(`${carrier}: elements that are not stanzas are not counted: unsupported-stanza-type`, async () => {
    const anna = await network.person(`unknown-${carrier}`);
    const device = await CompactDevice.open(network, anna, { carrier });
    await device.received.next('enabled');
    device.send(element('broadcast', NS_CLIENT, { id: '1' }));
    const error = await device.received.next('error');
    assert.deepEqual([error.ns, conditionOf(error)], [NS_STREAM, 'unsupported-stanza-type']);
    await device.received.closed();
  });

  test(`${carrier}: a provider's outage is not a refusal: a word of its own, and the next try is judged`, async () => {
    const world = fakeWorld(Object.values(issuers));
    world.published.set(issuers.own, []);
    const lone = await CompactNetwork.open({ fixture: { world } });
    try {
      const anna = await lone.person('anna');
      const refused = await CompactDevice.open(lone, anna, { carrier });
      await refused.received.closed();
      assert.equal(refused.failure, 'temporary-auth-failure');
      world.published.delete(issuers.own);
      lone.fixture.clock.nowMs += 60_000;
      const admitted = await CompactDevice.open(lone, anna, { carrier });
      await admitted.received.next('enabled');
      admitted.cut();
    } finally {
      await lone.close();
    }
  });
}
