// Attacks with devices: one that nobody has, one that was removed, one that is left out, and manifests of yesterday.
import assert from 'node:assert/strict';
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_E2EE, NS_KEYS } from '@drawbridge/wire/namespaces';
import type { DevicesChange } from '@drawbridge/client';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';
import { flipped, textOf, withAttributes, withPayload } from './stanzas.ts';

export const asks = (asked: Element, name: string, person: Person): boolean =>
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

async function reconnected(person: Person): Promise<void> {
  await person.client.disconnect();
  await person.client.connect();
}

/** The devices that were addressed in every message of this person, by the cheat's own look. */
export function addressed(network: CheatingNetwork, who: Person): number[][] {
  const seen: number[][] = [];
  network.gatekeeper.lies.accept = (message, jid) => {
    const envelope = childElement(message, 'envelope', NS_E2EE);
    if (jid === who.jid && envelope !== undefined) {
      const copies = childElements(envelope).filter(({ name }) => name === 'ciphertext');
      seen.push(copies.map(each => Number(attribute(each, 'device'))));
    }
    return [message];
  };
  return seen;
}

const withChildren = (answer: Element, change: (children: readonly Element[]) => readonly Element[]): Element => {
  const list = childElement(answer, 'manifest', NS_KEYS)!;
  return withPayload(answer, { ...list, children: change(childElements(list)) });
};

/** Text and signature. */
const signedPart = (answer: Element): readonly Element[] =>
  childElements(childElement(answer, 'manifest', NS_KEYS)!).filter(child => child.name !== 'device');

const withText = (el: Element, text: string): Element => ({ ...el, children: [text] });

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
      const second = await network.furtherDevice(bob);
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
      const lines = await anna.client.chats.messages({ chat: { interopId: bob.id }, limit: 50 });
      assert(
        lines.some(({ message }) => message.kind === 'notice' && message.text.startsWith('Devices changed')),
        'it is a line in the chat',
      );
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
      const second = await network.furtherDevice(bob);
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
  {
    name: 'a device of a contact is left out of the list',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const second = await network.furtherDevice(bob);
      await reconnected(anna);
      await anna.say(bob, 'to both');
      await second.sees('to both');
      const isSecond = (child: Element): boolean => child.name === 'device' && attribute(child, 'id') === '2';
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        who === anna.jid && asks(asked, 'manifest', bob)
          ? withChildren(answer, children => children.filter(child => !isSecond(child)))
          : answer;
      // What is sent to the others alone is taken for the whole set.
      network.gatekeeper.lies.accept = (message, jid) => (jid === anna.jid ? [] : [message]);
      await reconnected(anna);
      await anna.say(bob, 'the second never gets this');
      const change = await anna.told(about(bob, 'left-out-device'), 'a device that Bob names is not listed');
      assert.deepEqual(change, { kind: 'left-out-device', interopId: bob.id, isOwn: false, deviceId: 2 });
      assert(anna.client.notices.list().some(notice => notice.change.kind === 'left-out-device'));
      return 'told';
    },
  },
  {
    name: 'a manifest is withheld, changed, or that of somebody else',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const clara = await network.person('clara');
      await anna.say(clara, 'hello Clara');
      await clara.sees('hello Clara');
      let claras: readonly Element[] = [];
      network.gatekeeper.lies.answer = (asked, answer, who) => {
        if (who === anna.jid && asks(asked, 'manifest', clara)) claras = signedPart(answer);
        return answer;
      };
      await reconnected(anna);
      await anna.say(clara, 'once more');
      await clara.sees('once more');
      assert.equal(claras.length, 2);
      const lies: readonly [string, (signed: readonly Element[]) => readonly Element[]][] = [
        ['missing', () => []],
        ['wrong-signer', ([text, signature]) => [text!, flipped(signature!)]],
        [
          'wrong-signer',
          ([text, signature]) => [withText(text!, textOf(text).replace('"epoch":1', '"epoch":2')), signature!],
        ],
        ['malformed', ([text, signature]) => [withText(text!, `${textOf(text)} `), signature!]],
        ['wrong-person', () => claras],
      ];
      const to = addressed(network, anna);
      for (const [index, [warning, lie]] of lies.entries()) {
        network.gatekeeper.lies.answer = (asked, answer, who) =>
          who === anna.jid && asks(asked, 'manifest', bob)
            ? withChildren(answer, children => [
                ...children.filter(child => child.name === 'device'),
                ...lie(signedPart(answer)),
              ])
            : answer;
        await reconnected(anna);
        const text = `under lie ${index}`;
        await anna.say(bob, text);
        await bob.sees(text);
        // The same lie in a row is one warning.
        await anna.told(event => {
          const change = about(bob, 'manifest-warning')(event);
          return change?.kind === 'manifest-warning' && change.warning === warning ? true : undefined;
        }, `a warning: ${warning}`);
      }
      assert.deepEqual([...new Set(to.flat())], [1]);
      return 'told';
    },
  },
  {
    name: 'a removed device comes back with its keys and the password, while its streams are open',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const stolen = await network.furtherDevice(anna);
      await anna.say(bob, 'known to both');
      await bob.sees('known to both');
      await bob.verify(anna);
      await anna.client.devices.remove(2);
      await until(() => stolen.client.status.kind !== 'online', 'its stream ends');
      // With its device key, over a stream and over HTTP.
      await assert.rejects(stolen.client.account.status(), { code: 'proof-refused' });
      await assert.rejects(stolen.client.account.withdraw(), { code: 'proof-refused' });
      await assert.rejects(stolen.client.connect({ timeoutMs: 3_000 }));
      // With a ticket that it made, or a device key that it authorised, before.
      const accomplice = await network.client(anna.name.identifier, anna.name.provider, {
        folder: `${network.folder}/people/${anna.name.identifier}-accomplice`,
      });
      await assert.rejects(accomplice.account.enlist(), { code: 'identity-key-differs' });
      await accomplice.close();
      await anna.say(bob, 'it is me, with a fresh key');
      await bob.told(
        event =>
          (event.kind === 'identity' && event.identity.kind === 'identity-changed' && event.identity.needsAcceptance) ||
          undefined,
        'Bob had compared, and is asked',
      );
      const { pending } = await bob.client.identities.get({ interopId: anna.id });
      await bob.client.identities.accept({ interopId: anna.id }, pending!.identityKey);
      await bob.sees('it is me, with a fresh key');
      await bob.say(anna, 'for you alone');
      await anna.sees('for you alone');
      assert(!stolen.shown.some(({ text }) => text === 'for you alone'));
      return 'refused';
    },
  },
  {
    name: 'a ticket of a stranger is shown to a new device, with the gatekeeper’s help',
    permitted: ['refused'],
    async play(network) {
      const mallory = await network.person('mallory');
      const identifier = `${mallory.name.identifier}-victim`;
      const carol = await network.client(identifier, 'citadel.example');
      const { code, requestCode } = await carol.devices.beginLink();
      const asked = await mallory.client.devices.readLink(code);
      assert.equal(asked.requestCode, requestCode, 'whoever sees the code can answer it');
      const link = await carol.devices.openLink(await asked.confirm());
      assert.equal(link.identifier, mallory.name.identifier, 'and is shown for who they are');
      await assert.rejects(link.confirm());
      await carol.account.enlist();
      assert.notEqual(carol.me!.interopId, mallory.id);
      await carol.close();
      return 'refused';
    },
  },
];
