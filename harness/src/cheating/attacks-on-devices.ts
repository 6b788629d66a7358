// Attacks with devices: one that nobody has, one that was removed, one that is left out, and manifests of yesterday.
import assert from 'node:assert/strict';
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_E2EE, NS_KEYS } from '@drawbridge/wire/namespaces';
import type { DevicesChange } from '@drawbridge/client';
import type { Attack } from './attack.ts';
import type { CheatingNetwork, Person } from './network.ts';
import { withAttributes, withPayload } from './stanzas.ts';

const asks = (asked: Element, name: string, person: Person): boolean =>
  asked.ns === NS_KEYS && asked.name === name && attribute(asked, 'jid') === `${person.id}@citadel.example`;

const about = (person: Person, kind: DevicesChange['kind']) => (event: Parameters<Parameters<Person['told']>[0]>[0]) =>
  event.kind === 'devices' && event.change.kind === kind && event.change.interopId === person.id
    ? event.change
    : undefined;

const sent = (id: string) => (event: Parameters<Parameters<Person['told']>[0]>[0]) =>
  event.kind === 'message' && event.message.id === id && event.message.state === 'sent' ? true : undefined;

async function talked(network: CheatingNetwork): Promise<[Person, Person]> {
  const anna = await network.person('anna');
  const bob = await network.person('bob');
  await anna.say(bob, 'hello');
  await bob.sees('hello');
  return [anna, bob];
}

async function secondDevice(network: CheatingNetwork, person: Person): Promise<Person> {
  const { identifier, provider } = person.name;
  const client = await network.client(identifier, provider, {
    folder: `${network.folder}/people/${identifier}-second`,
  });
  const { code } = await client.devices.beginLink();
  const ticket = await (await person.client.devices.readLink(code)).confirm();
  await (await client.devices.openLink(ticket)).confirm();
  await client.connect();
  return network.watch(client, person.name);
}

async function reconnected(person: Person): Promise<void> {
  await person.client.disconnect();
  await person.client.connect();
}

/** The devices that were addressed in every message of this person, by the cheat's own look. */
function addressed(network: CheatingNetwork, who: Person): number[][] {
  const seen: number[][] = [];
  network.gatekeeper.lies.accept = (message, jid) => {
    const envelope = childElement(message, 'envelope', NS_E2EE);
    if (jid === who.jid && envelope !== undefined)
      seen.push(childElements(envelope).map(each => Number(attribute(each, 'device'))));
    return [message];
  };
  return seen;
}

const withChildren = (answer: Element, change: (children: readonly Element[]) => readonly Element[]): Element => {
  const list = childElement(answer, 'manifest', NS_KEYS)!;
  return withPayload(answer, { ...list, children: change(childElements(list)) });
};

/** A device of the gatekeeper's own in a list: its bundle is a copy of the true device's. */
function addGhost(network: CheatingNetwork, anna: Person, target: Person, ghost: number): void {
  network.gatekeeper.lies.answer = (asked, answer, who) => {
    if (who !== anna.jid) return answer;
    if (asks(asked, 'bundle', target) && attribute(asked, 'device') === String(ghost)) {
      const key = element('device', NS_KEYS, { id: String(ghost), registration: '4711' });
      return withPayload(answer, element('bundle', NS_KEYS, {}, [key]));
    }
    if (!asks(asked, 'manifest', target)) return answer;
    return withChildren(answer, children => [
      ...children,
      withAttributes(children[0]!, { id: String(ghost), registration: '4711' }),
    ]);
  };
}

export const falseDevices: readonly Attack[] = [
  {
    name: 'a device that nobody has is put into the list of a contact',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const to = addressed(network, anna);
      addGhost(network, anna, bob, 9);
      await reconnected(anna);
      await anna.say(bob, 'for Bob alone');
      await bob.sees('for Bob alone');
      const change = await anna.told(about(bob, 'unlisted-device'), 'a device that Bob does not name');
      assert.deepEqual(change, { kind: 'unlisted-device', interopId: bob.id, isOwn: false, deviceId: 9 });
      assert(!to.flat().includes(9));
      assert(anna.client.notices.list().some(notice => notice.change.kind === 'unlisted-device'));
      return 'told';
    },
  },
  {
    name: "a device that nobody has is put into one's own list: copies of what is sent do not pile up",
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      addGhost(network, anna, anna, 9);
      await reconnected(anna);
      const { id } = await anna.say(bob, 'still going out');
      await anna.told(sent(id), 'it was sent');
      await anna.told(about(anna, 'unlisted-device'), 'an own device that nobody named');
      await anna.say(bob, 'and again');
      await bob.sees('and again');
      return 'told';
    },
  },
  {
    name: 'an older manifest is served: the newer one holds, and the person is told',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      let old: readonly Element[] | undefined;
      network.gatekeeper.lies.answer = (asked, answer, who) => {
        if (who === anna.jid && asks(asked, 'manifest', bob))
          old ??= childElements(childElement(answer, 'manifest', NS_KEYS)!).filter(child => child.name !== 'device');
        return answer;
      };
      await reconnected(anna);
      await anna.say(bob, 'to one');
      await bob.sees('to one');
      const second = await secondDevice(network, bob);
      await reconnected(anna);
      await anna.say(bob, 'to both');
      await second.sees('to both');
      assert.deepEqual(await anna.told(about(bob, 'devices-changed'), 'Bob has another device'), {
        kind: 'devices-changed',
        interopId: bob.id,
        isOwn: false,
        added: [2],
        removed: [],
      });
      assert(old !== undefined);
      const to = addressed(network, anna);
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        who === anna.jid && asks(asked, 'manifest', bob)
          ? withChildren(answer, children => [...children.filter(child => child.name === 'device'), ...old!])
          : answer;
      await reconnected(anna);
      await anna.say(bob, 'to both, still');
      await second.sees('to both, still');
      const warning = await anna.told(about(bob, 'manifest-warning'), 'an older manifest');
      assert.deepEqual(warning, { kind: 'manifest-warning', interopId: bob.id, isOwn: false, warning: 'older-epoch' });
      assert.deepEqual(to.at(-1), [1, 2]);
      return 'told';
    },
  },
  {
    name: 'a removed device is listed again, and the manifest withheld',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const second = await secondDevice(network, bob);
      await reconnected(anna);
      await anna.say(bob, 'to both');
      await second.sees('to both');
      let list: Element | undefined;
      network.gatekeeper.lies.answer = (asked, answer, who) => {
        if (who === anna.jid && asks(asked, 'manifest', bob)) list = answer;
        return answer;
      };
      await reconnected(anna);
      await anna.say(bob, 'to both again');
      await second.sees('to both again');
      await bob.client.devices.remove(2, { renewIdentity: false });
      await reconnected(anna);
      await anna.say(bob, 'to the first alone');
      await bob.sees('to the first alone');
      await anna.told(about(bob, 'devices-changed'), 'Bob has one device');
      const to = addressed(network, anna);
      const devices = childElements(childElement(list!, 'manifest', NS_KEYS)!).filter(child => child.name === 'device');
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        who === anna.jid && asks(asked, 'manifest', bob) ? withChildren(answer, () => devices) : answer;
      await reconnected(anna);
      await anna.say(bob, 'not to the second');
      await bob.sees('not to the second');
      assert(!to.flat().includes(2), 'nothing is encrypted to what Bob removed');
      return 'told';
    },
  },
];
