// Attacks with a copy of somebody's folder, or that pretend that there is one: a backup from before the identity was renewed, a
// manifest that the key in a copy signs, and a gatekeeper that lies about the count of a store.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openEncryptedStore } from '@drawbridge/client/store/encrypted-store';
import type { ClientEvent } from '@drawbridge/client';
import { readDeviceKeys } from '@drawbridge/e2ee/device-keys';
import { signAsIdentity } from '@drawbridge/e2ee/identity-signature';
import { encodeManifest, manifestSignedBytes, parseManifest } from '@drawbridge/wire/device-manifest';
import { attribute, childElement, type Element } from '@drawbridge/wire/element';
import { NS_DEVICES, NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { addressed, asks } from './attacks-on-devices.ts';
import { type CheatingNetwork, type Person, storeKey, until } from './network.ts';
import { textOf, withAttributes, withPayload } from './stanzas.ts';

async function talked(network: CheatingNetwork): Promise<[Person, Person]> {
  const anna = await network.person('anna');
  const bob = await network.person('bob');
  await anna.say(bob, 'hello Bob');
  await bob.sees('hello Bob');
  await bob.say(anna, 'hello Anna');
  await anna.sees('hello Anna');
  return [anna, bob];
}

const folderOf = (network: CheatingNetwork, { name }: Person): string =>
  join(network.folder, 'people', name.identifier);

/** The same folder in another process. */
async function startedAgain(network: CheatingNetwork, person: Person): Promise<Person> {
  const { identifier, provider } = person.name;
  const client = await network.client(identifier, provider);
  await client.connect();
  return network.watch(client, person.name);
}

const isRestored = ({ client }: Person): boolean =>
  client.notices.list().some(({ change }) => change.kind === 'store-restored');

const isAsked = (person: Person) => (event: ClientEvent) =>
  event.kind === 'identity' &&
  event.identity.kind === 'identity-changed' &&
  event.identity.interopId === person.id &&
  event.identity.needsAcceptance
    ? true
    : undefined;

/** The identity key pair that is in a folder, as whoever took a copy of it reads it. */
async function identityIn(folder: string): Promise<Uint8Array> {
  const opened = await openEncryptedStore({
    path: join(folder, 'drawbridge.db'),
    key: { kind: 'key', key: storeKey },
  });
  assert(opened.ok);
  const keys = await readDeviceKeys(opened.value.e2ee);
  opened.value.close();
  assert(keys.ok && keys.value !== undefined);
  return keys.value.identityKeyPair;
}

/** The gatekeeper's answers about the counts of this person's store. */
function lieAboutCount(network: CheatingNetwork, person: Person, before: (true_: number) => number): void {
  network.gatekeeper.lies.answer = (asked, answer, who) => {
    const store = childElement(answer, 'store', NS_DEVICES);
    if (who !== person.jid || asked.ns !== NS_DEVICES || store === undefined) return answer;
    return withPayload(answer, withAttributes(store, { before: String(before(Number(attribute(store, 'before')))) }));
  };
}

export const falseCopies: readonly Attack[] = [
  {
    name: 'a folder from before an identity was renewed comes back: its identity does not, unasked',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const folder = folderOf(network, bob);
      await network.furtherDevice(bob);
      await bob.client.close();
      cpSync(folder, `${folder}-backup`, { recursive: true });
      const renewed = await startedAgain(network, bob);
      await renewed.client.devices.remove(2);
      await renewed.say(anna, 'with a fresh key');
      await anna.sees('with a fresh key');
      // A device that Anna links now has never heard of the identity before.
      const second = await network.furtherDevice(anna);
      const { fingerprint } = await anna.client.identities.get({ interopId: renewed.id });
      await renewed.client.close();
      rmSync(folder, { recursive: true });
      cpSync(`${folder}-backup`, folder, { recursive: true });
      const restored = await startedAgain(network, bob);
      await until(() => isRestored(restored), 'the person is told that the folder is older');
      const change = await restored.told(
        event => (event.kind === 'devices' && event.change.kind === 'earlier-identity' && event.change) || undefined,
        'and that its identity is one from before',
      );
      const lines = await restored.client.chats.messages({ chat: { interopId: restored.id }, limit: 50 });
      assert.deepEqual(lines.find(({ message }) => message.notice?.kind === change.kind)?.message.notice, change);
      await restored.say(anna, 'with the key of yesterday');
      await anna.told(isAsked(restored), 'Anna is asked, though she never compared the key');
      await second.told(isAsked(restored), 'and so is she at her new device');
      for (const { client, shown } of [anna, second]) {
        assert.equal((await client.identities.get({ interopId: restored.id })).fingerprint, fingerprint);
        assert(!shown.some(({ text }) => text === 'with the key of yesterday'));
      }
      return 'told';
    },
  },
  {
    name: 'two manifests of one epoch: the first holds, and the person is told',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const folder = folderOf(network, bob);
      cpSync(folder, `${folder}-stolen`, { recursive: true });
      const pair = await identityIn(`${folder}-stolen`);
      const ghost = 9;
      const to = addressed(network, anna);
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        who === anna.jid && asks(asked, 'manifest', bob)
          ? withPayload(answer, secondStory(childElement(answer, 'manifest', NS_KEYS)!, pair, ghost))
          : answer;
      await anna.client.disconnect();
      await anna.client.connect();
      await anna.say(bob, 'for the devices of the first story');
      await bob.sees('for the devices of the first story');
      await anna.told(
        event =>
          (event.kind === 'devices' &&
            event.change.kind === 'manifest-warning' &&
            event.change.warning === 'two-of-one-epoch') ||
          undefined,
        'somebody tells two stories',
      );
      assert(
        anna.client.notices
          .list()
          .some(({ change }) => change.kind === 'manifest-warning' && change.warning === 'two-of-one-epoch'),
      );
      assert(!to.flat().includes(ghost), 'nothing is encrypted to the device of the second story');
      return 'told';
    },
  },
  {
    name: 'the gatekeeper says that a folder is older than it is: the person is told, and everything goes on',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await talked(network);
      await bob.client.close();
      lieAboutCount(network, bob, count => count + 1_000);
      let again = await startedAgain(network, bob);
      await until(() => isRestored(again), 'the person is told');
      await anna.say(again, 'can you read this?');
      await again.sees('can you read this?');
      await again.say(anna, 'as ever');
      await anna.sees('as ever');
      // The same lie with every start, up to the highest count that there is.
      lieAboutCount(network, bob, () => 999_999_999_999_999);
      for (let start = 0; start < 3; start++) {
        await again.client.close();
        again = await startedAgain(network, bob);
        await anna.say(again, `start ${start}`);
        await again.sees(`start ${start}`);
        await again.say(anna, `answer ${start}`);
        await anna.sees(`answer ${start}`);
      }
      return 'told';
    },
  },
  {
    name: 'the gatekeeper hides that a folder was restored: words of both sides arrive all the same',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = await talked(network);
      const folder = folderOf(network, bob);
      await bob.client.close();
      cpSync(folder, `${folder}-backup`, { recursive: true });
      const later = await startedAgain(network, bob);
      for (let i = 0; i < 3; i++) {
        await anna.say(later, `after the backup ${i}`);
        await later.sees(`after the backup ${i}`);
        await later.say(anna, `answer after the backup ${i}`);
        await anna.sees(`answer after the backup ${i}`);
      }
      await later.client.close();
      rmSync(folder, { recursive: true });
      cpSync(`${folder}-backup`, folder, { recursive: true });
      lieAboutCount(network, bob, () => 0);
      const restored = await startedAgain(network, bob);
      await anna.say(restored, 'do you remember?');
      await restored.sees('do you remember?');
      await restored.say(anna, 'not all of it');
      await anna.sees('not all of it');
      return 'delivered';
    },
  },
];

/** The list with another manifest of the same epoch, signed by the same key, that names one more device. */
function secondStory(list: Element, pair: Uint8Array, ghost: number): Element {
  const text = childElement(list, 'text', NS_KEYS)!;
  const signature = childElement(list, 'signature', NS_KEYS)!;
  const device = childElement(list, 'device', NS_KEYS)!;
  const told = parseManifest(textOf(text))!;
  const devices = [...told.devices, { ...told.devices[0]!, id: ghost, registration: 4711 }];
  const words = encodeManifest({ ...told, devices });
  const signed = Buffer.from(signAsIdentity(pair, manifestSignedBytes(words))).toString('base64');
  const listed = withAttributes(device, { id: String(ghost), registration: '4711' });
  return {
    ...list,
    children: [device, listed, { ...text, children: [words] }, { ...signature, children: [signed] }],
  };
}
