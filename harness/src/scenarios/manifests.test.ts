// How a person's device manifest is kept: renewed in time, mended after a crash, and by one of two devices that remove each
// other. Real SDKs; the gatekeeper in between is honest, and only looks and cuts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Clock } from '@drawbridge/client';
import { systemClock } from '@drawbridge/client/clock';
import { childElement, childElements, attribute, element } from '@drawbridge/wire/element';
import { type DeviceManifest, parseManifest } from '@drawbridge/wire/device-manifest';
import { NS_DEVICES, NS_KEYS } from '@drawbridge/wire/namespaces';
import { CheatingNetwork, type Person, until } from '../cheating/network.ts';
import { textOf } from '../cheating/stanzas.ts';

let network: CheatingNetwork;
before(async () => {
  network = await CheatingNetwork.open();
});
after(() => network.close());

type Served = { readonly listed: readonly number[]; readonly manifest: DeviceManifest | undefined };

/** What anybody is given about this person; `asker` has a stream. */
async function served(asker: Person, { id }: { readonly id: string }): Promise<Served> {
  const asked = element('manifest', NS_KEYS, { jid: `${id}@citadel.example` });
  const list = childElement(await network.gatekeeper.ask(asker.jid, asked), 'manifest', NS_KEYS)!;
  const devices = childElements(list).filter(child => child.name === 'device');
  const text = childElement(list, 'text', NS_KEYS);
  return {
    listed: devices.map(child => Number(attribute(child, 'id'))),
    manifest: text === undefined ? undefined : parseManifest(textOf(text)),
  };
}

const named = ({ manifest }: Served): number[] => manifest!.devices.map(({ id }) => id);

async function namedBecomes(asker: Person, person: { readonly id: string }, ids: readonly number[]): Promise<void> {
  let now: readonly number[] = [];
  const endMs = performance.now() + 30_000;
  while (JSON.stringify(now) !== JSON.stringify(ids)) {
    if (performance.now() > endMs) assert.fail(`it names ${now.join()}`);
    now = named(await served(asker, person));
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

/** The same folder in another process. */
async function again({ client, name }: Person, clock: Clock = systemClock): Promise<Person> {
  await client.close();
  const opened = await network.client(name.identifier, name.provider, { clock });
  await opened.connect();
  return network.watch(opened, name);
}

const dayMs = 86_400_000;

test('a manifest is renewed long before it ends, and not before it is due', async () => {
  const bob = await network.round().person('bob');
  const clockAt = (days: number): Clock => ({ ...systemClock, nowMs: () => Date.now() + days * dayMs });
  // The device comes to the gatekeeper with a clock of weeks ago: nobody takes a manifest from the future.
  let anna = await network.person('anna', 'citadel.example', { clock: clockAt(-35) });
  const first = (await served(bob, anna)).manifest!;
  assert.equal(first.epoch, 1);
  assert(first.freshUntilMs - Date.now() < 26 * dayMs);
  anna = await again(anna, clockAt(-10));
  await anna.say(bob, 'not due');
  await bob.sees('not due');
  assert.equal((await served(bob, anna)).manifest!.epoch, 1, '35 of 60 days are left');
  anna = await again(anna);
  await until(() => anna.client.status.kind === 'online', 'online');
  let latest = first;
  while (latest.epoch === 1) latest = (await served(bob, anna)).manifest!;
  assert.equal(latest.epoch, 2);
  assert.deepEqual(latest.devices, first.devices);
  assert(latest.freshUntilMs - Date.now() > 59 * dayMs);
  await network.leave();
});

test('a manifest that has ended is told and kept as a notice; it is still the latest word', async () => {
  const anna = await network.round().person('anna');
  let bob = await network.person('bob');
  await bob.say(anna, 'hello');
  await anna.sees('hello');
  // Ten days after its end, by Bob's clock.
  bob = await again(bob, { ...systemClock, nowMs: () => Date.now() + 70 * dayMs });
  await bob.say(anna, 'are you still there?');
  await anna.sees('are you still there?');
  const change = await bob.told(event => {
    const said = event.kind === 'devices' ? event.change : undefined;
    return said?.kind === 'manifest-warning' && said.interopId === anna.id ? said : undefined;
  }, 'it is out of date');
  assert.deepEqual(change, { kind: 'manifest-warning', interopId: anna.id, isOwn: false, warning: 'expired' });
  assert(bob.client.notices.list().some(notice => notice.change.kind === 'manifest-warning'));
  await network.leave();
});

test('a device that stops between the removal and the manifest makes it with its next stream', async () => {
  const bob = await network.round().person('bob');
  let anna = await network.person('anna');
  const { interopId } = anna.client.me!;
  await network.furtherDevice(anna);
  await namedBecomes(bob, anna, [1, 2]);
  network.gatekeeper.lies.answer = (asked, answer, who) => {
    // The gatekeeper has removed it; whoever asked never hears of it.
    if (who === anna.jid && asked.ns === NS_DEVICES && asked.name === 'remove') network.gatekeeper.cut();
    return answer;
  };
  await assert.rejects(anna.client.devices.remove(2, { renewIdentity: false }));
  await anna.client.close();
  network.gatekeeper.lies = {};
  await until(() => bob.client.status.kind === 'online', 'Bob is back');
  const between = await served(bob, { id: interopId });
  assert.deepEqual([between.listed, named(between)], [[1], [1, 2]]);
  anna = await again(anna);
  await namedBecomes(bob, { id: interopId }, [1]);
  await network.leave();
});

for (const renewIdentity of [false, true]) {
  const how = renewIdentity ? 'with a fresh identity' : 'under the same identity';
  test(`two devices remove each other, ${how}: one stays, and its manifest names it alone`, async () => {
    const bob = await network.round().person('bob');
    const anna = await network.person('anna');
    const second = await network.furtherDevice(anna);
    await namedBecomes(bob, anna, [1, 2]);
    await anna.say(bob, 'before');
    await bob.sees('before');
    const results = await Promise.allSettled([
      anna.client.devices.remove(2, { renewIdentity }),
      second.client.devices.remove(1, { renewIdentity }),
    ]);
    const done = results.map(({ status }) => status === 'fulfilled');
    assert.equal(done.filter(Boolean).length, 1, JSON.stringify(results.map(String)));
    const survivor = done[0] === true ? anna : second;
    const { deviceId } = survivor.client.me!;
    await namedBecomes(bob, anna, [deviceId]);
    assert.deepEqual((await served(bob, anna)).listed, [deviceId]);
    await survivor.say(bob, 'after');
    await bob.sees('after');
    const changes = survivor.client.notices.list().map(({ change }) => change.kind);
    assert.equal(changes.includes('identity-renewed'), renewIdentity);
    await network.leave();
  });
}
