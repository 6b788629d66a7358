// What a device that acknowledges nothing makes the gatekeeper hold: its own stanzas, counted, and not the reads and frames
// that they came in. Measured in bytes of memory, the clients being in this process and holding nothing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { attribute, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import { CompactDevice, CompactNetwork } from './compact/network.ts';
import { ciphertextFor, envelope, RawNetwork } from './raw-network.ts';
import type { RawTransport } from './raw-xmpp.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** When it no longer changes: what earlier tests left is freed late. */
async function memoryMiB(): Promise<number> {
  for (let before = Number.NaN, same = 0; ; ) {
    collect();
    await new Promise(resolve => setTimeout(resolve, 30));
    const { heapUsed, external } = process.memoryUsage();
    const nowMiB = (heapUsed + external) / 1024 / 1024;
    same = Math.abs(nowMiB - before) < 0.1 ? same + 1 : 0;
    if (same === 5) return nowMiB;
    before = nowMiB;
  }
}

// One of each for all tests: what a network leaves when it is closed goes late, and would be measured.
let network: RawNetwork;
let compact: CompactNetwork;
before(async () => {
  network = await RawNetwork.open();
  compact = await CompactNetwork.open();
});
after(() => Promise.all([network.close(), compact.close()]));

/** White space that comes in the same read as a stanza. */
const blank = ' '.repeat(60_000);
/** What all of it would be: 15 MB, within what a device may send at once. */
const count = 250;
/** A counted stanza is below 2 KiB. */
const mostMiB = 3;

for (const transport of ['direct', 'websocket'] as const satisfies readonly RawTransport[]) {
  test(`${transport}: messages that nobody acknowledges hold no more than themselves`, { timeout: 60_000 }, async t => {
    const [anna, bob] = [await network.person(`anna-${transport}`), await network.person(`bob-${transport}`)];
    const to = await network.login(bob);
    const from = await network.login(anna, transport);
    const beforeMiB = await memoryMiB();
    for (let i = 0; i < count; i++) {
      // Each alone, so that each read has one stanza.
      from.send(`${envelope(anna, bob.bareJid, `m${i}-${'x'.repeat(40)}`, ciphertextFor(1, 600))}${blank}`);
      from.request();
      assert.equal(Number(attribute(await from.expect('a'), 'h')), i + 1);
    }
    await to.until('all messages', () => to.inbox.filter(el => el.name === 'message').length === count);
    to.inbox.length = 0;
    from.inbox.length = 0;
    const session = network.core.sessions.ofDevice(bob.device)!;
    assert.equal(session.core.unacknowledgedCount, count);
    const grownMiB = (await memoryMiB()) - beforeMiB;
    t.diagnostic(`${grownMiB.toFixed(1)} MiB more`);
    assert.ok(grownMiB < mostMiB, `${grownMiB.toFixed(1)} MiB more`);
  });

  test(`${transport}: answers that nobody acknowledges hold no more than themselves`, { timeout: 60_000 }, async t => {
    const anna = await network.person(`carl-${transport}`);
    const from = await network.login(anna, transport);
    const beforeMiB = await memoryMiB();
    for (let i = 0; i < count; i++) {
      const id = `q${i}-${'x'.repeat(40)}`;
      const wrong = i % 2 === 0 ? "<ping xmlns='urn:xmpp:ping'/>" : "<nothing xmlns='urn:example:nothing'/>";
      from.send(`<iq xmlns='jabber:client' type='get' id='${id}'>${wrong}</iq>${blank}`);
      await from.expect(el => attribute(el, 'id') === id);
    }
    from.inbox.length = 0;
    assert.equal(network.core.sessions.ofDevice(anna.device)!.core.unacknowledgedCount, count);
    const grownMiB = (await memoryMiB()) - beforeMiB;
    t.diagnostic(`${grownMiB.toFixed(1)} MiB more`);
    assert.ok(grownMiB < mostMiB, `${grownMiB.toFixed(1)} MiB more`);
  });
}

test('compact: small messages in large frames hold no frames', { timeout: 60_000 }, async t => {
  const [anna, bob] = [await compact.person('anna'), await compact.person('bob')];
  const to = await CompactDevice.open(compact, bob);
  const from = await CompactDevice.open(compact, anna);
  for (const each of [to, from]) await each.received.next('enabled');
  const beforeMiB = await memoryMiB();
  const frames = 120;
  for (let i = 0; i < frames; i++) {
    // Refused at once, but in the same frame.
    const filler = element('iq', NS_CLIENT, { type: 'get', id: `f${i}` }, [
      element('nothing', 'urn:example:nothing', {}, ['x'.repeat(200_000)]),
    ]);
    from.send(compact.message(anna, bob, `m${i}`, 60), filler, element('r', NS_SM));
    await from.received.until('its count', () =>
      from.received.named('a').some(el => Number(attribute(el, 'h')) === 2 * (i + 1)),
    );
    for (const each of [to, from]) {
      each.captured.client.length = 0;
      each.captured.server.length = 0;
      each.events.length = 0;
    }
  }
  to.received.elements.length = 0;
  from.received.elements.length = 0;
  assert.equal(compact.core.sessions.ofDevice(bob.device)!.core.unacknowledgedCount, frames);
  const grownMiB = (await memoryMiB()) - beforeMiB;
  t.diagnostic(`${grownMiB.toFixed(1)} MiB more`);
  assert.ok(grownMiB < mostMiB, `${grownMiB.toFixed(1)} MiB more`);
});
