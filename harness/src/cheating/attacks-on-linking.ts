// Attacks on a device that was linked to one that knows more people than a ticket holds: what the ticket left out is withheld,
// repeated and made up, and false keys are given meanwhile for somebody whom the person has verified.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { openEncryptedStore } from '@drawbridge/client/store/encrypted-store';
import { MAX_LINK_PEOPLE } from '@drawbridge/e2ee/device-link';
import { trustChanges } from '@drawbridge/e2ee/inherited-trust';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { mallory, meets, readToTheEnd } from './attacks-on-answers.ts';
import { asks } from './attacks-on-devices.ts';
import { Impostor } from './impostor.ts';
import { type CheatingNetwork, type Person, storeKey, until } from './network.ts';
import { withPayload } from './stanzas.ts';

const letters = 'abcdefghijklmnopqrstuvwxyz234567';
const inventedPeople = MAX_LINK_PEOPLE + 700;

/** Somebody's device has verified so many more people that a ticket has no room for those whom it met before them. */
async function meetsMany(network: CheatingNetwork, person: Person): Promise<Person> {
  await person.client.close();
  const folder = join(network.folder, 'people', person.name.identifier);
  const opened = await openEncryptedStore({
    path: join(folder, 'drawbridge.db'),
    key: { kind: 'key', key: storeKey },
  });
  assert(opened.ok);
  const people = Array.from({ length: inventedPeople }, () => ({
    interopId: `0-${Array.from(randomBytes(26), byte => letters[byte % letters.length]).join('')}`,
    identityKey: Buffer.concat([Buffer.of(5), randomBytes(32)]),
    verified: true,
    firstSeenAtMs: Date.now(),
  }));
  assert(opened.value.transaction(tx => tx.apply(trustChanges(people))).ok);
  opened.value.close();
  const client = await network.client(person.name.identifier, person.name.provider);
  await client.connect();
  return network.watch(client, person.name);
}

/** Anna has verified Bob, then many others, and links a further device, which hears nothing of her first one. */
async function linked(
  network: CheatingNetwork,
): Promise<{ first: Person; second: Person; bob: Person; clara: Person }> {
  const before = await network.person('anna');
  const bob = await network.person('bob');
  const clara = await network.person('clara');
  // One of each provider is in a ticket: of theirs it is Clara, who was met last.
  for (const other of [bob, clara]) {
    await before.say(other, `hello ${other.id}`);
    await other.sees(`hello ${other.id}`);
    await before.verify(other);
  }
  const first = await meetsMany(network, before);
  network.gatekeeper.lies.deliver = (el, who) =>
    who !== first.jid && who.startsWith(first.id) && attribute(el, 'from') === first.jid ? [] : [el];
  const second = await network.furtherDevice(first);
  const { deviceId, count } = second.client.devices.peopleToCome()!;
  assert.equal(deviceId, first.address.deviceId);
  assert(count > inventedPeople - MAX_LINK_PEOPLE);
  assert(second.client.notices.list().some(({ change }) => change.kind === 'people-missing'));
  return { first, second, bob, clara };
}

/** The gatekeeper gives an impostor's keys for Bob's to this device, and takes what it sends to him. */
function giveFalseKeys(network: CheatingNetwork, second: Person, bob: Person, impostor: Impostor): void {
  const device = element('device', NS_KEYS, { id: '1', registration: String(impostor.registrationId) });
  const list = element('manifest', NS_KEYS, { jid: `${bob.id}@citadel.example` }, [device]);
  network.gatekeeper.lies.answer = (asked, answer, who) => {
    if (who !== second.jid) return answer;
    if (asks(asked, 'manifest', bob)) return withPayload(answer, list);
    return asks(asked, 'bundle', bob) ? withPayload(answer, impostor.bundle()) : answer;
  };
  network.gatekeeper.lies.accept = (message, who) => {
    if (who !== second.jid || !attribute(message, 'to')!.startsWith(bob.id)) return [message];
    void impostor.open(message, second.address);
    return [];
  };
}

/** The impostor writes to this device as Bob. */
async function forge(network: CheatingNetwork, second: Person, impostor: Impostor, text: string): Promise<void> {
  const asked = element('bundle', NS_KEYS, { jid: `${second.id}@citadel.example`, device: '2' });
  const front = network.people.find(({ id }) => id === impostor.as.interopId)!;
  await impostor.meet(second.id, await network.gatekeeper.ask(front.jid, asked));
  network.gatekeeper.give(second.jid, await impostor.say(second.address, { kind: 'text', text }));
}

const isHeld = (person: Person, id: string): boolean =>
  person.events.some(event => event.kind === 'message' && event.message.id === id && event.message.state === 'held');

export const gapsInTrust: readonly Attack[] = [
  {
    name: 'whom a ticket left out is withheld from a linked device: false keys of somebody verified get nothing, and it is told',
    permitted: ['told'],
    async play(network) {
      const { first, second, bob, clara } = await linked(network);
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 1 });
      giveFalseKeys(network, second, bob, impostor);
      const { id } = await second.say(bob, 'for the true Bob', { interopId: bob.id });
      await until(() => isHeld(second, id), 'it is held');
      // The name is not known there yet either.
      await assert.rejects(second.client.send(bob.name, { text: 'to a name' }), { code: 'people-missing' });
      await assert.rejects(second.client.identities.get({ interopId: bob.id }), { code: 'identity-unknown' });
      for (let again = 0; again < 2; again++) {
        await second.client.disconnect();
        await second.client.connect();
      }
      await forge(network, second, impostor, 'send me money');
      // Whom the ticket names it writes to, and reads, behind what was forged.
      await second.say(clara, 'from a new device');
      await clara.sees('from a new device');
      await clara.say(second, 'welcome');
      await second.sees('welcome');
      assert.equal(second.shown.length, 1);
      assert.deepEqual(impostor.read, []);
      // The gatekeeper is honest again: what it gave as Bob's is another key than the one that was verified.
      network.gatekeeper.lies = {};
      for (const { client } of [first, second]) {
        await client.disconnect();
        await client.connect();
      }
      await until(() => second.client.devices.peopleToCome() === undefined, 'everybody is known');
      await second.told(
        event =>
          (event.kind === 'identity' && event.identity.kind === 'identity-changed' && event.identity.needsAcceptance) ||
          undefined,
        'somebody wrote as Bob under another key',
      );
      const { pending, verified } = await second.client.identities.get({ interopId: bob.id });
      assert.equal(verified, true);
      await second.client.identities.reject({ interopId: bob.id }, pending!.identityKey);
      await bob.sees('for the true Bob');
      await second.say(bob, 'by his name');
      await bob.sees('by his name');
      await bob.say(second, 'to both of you');
      await second.sees('to both of you');
      assert.deepEqual(impostor.read, []);
      assert(!second.client.notices.list().some(({ change }) => change.kind === 'people-missing'));
      return 'told';
    },
  },
  {
    name: 'pages of people are repeated, swapped and made up by a contact: they count once, and only from the device that is asked',
    permitted: ['delivered'],
    async play(network) {
      const { first, second, bob } = await linked(network);
      const cheat = await mallory(network, first);
      await meets(network, cheat, first);
      await readToTheEnd(network, cheat, first, 'hello from a contact');
      const ofMallory = {
        interopId: bob.id,
        identityKey: Buffer.concat([Buffer.of(5), randomBytes(32)]),
        verified: true,
      };
      const person = { ...ofMallory, firstSeenAtMs: 1, provider: '', providerNumber: 0, identifier: '' };
      const page = { kind: 'device-sync', peoplePage: { after: 0, people: [person] } } as const;
      network.gatekeeper.give(first.jid, await cheat.keys.say(first.address, page));
      const question = { kind: 'device-sync', peopleQuestion: { after: 0 } } as const;
      network.gatekeeper.give(first.jid, await cheat.keys.say(first.address, question));
      await readToTheEnd(network, cheat, first, 'that is all');
      assert(
        cheat.keys.contents.every(({ body }) => body.kind !== 'device-sync'),
        'a contact hears about nobody',
      );
      const kept: Element[] = [];
      network.gatekeeper.lies = {
        deliver(el, who) {
          if (who !== second.jid || attribute(el, 'from') !== first.jid) return [el];
          kept.push(el);
          return [el, ...kept.toReversed()];
        },
      };
      for (const { client } of [first, second]) {
        await client.disconnect();
        await client.connect();
      }
      await until(() => second.client.devices.peopleToCome() === undefined, 'everybody is known');
      const { identityKey, verified } = await second.client.identities.get({ interopId: bob.id });
      const atFirst = await first.client.identities.get({ interopId: bob.id });
      assert.deepEqual(identityKey, atFirst.identityKey);
      assert.equal(verified, true);
      await second.say(bob, 'by his name');
      await bob.sees('by his name');
      return 'delivered';
    },
  },
  {
    name: 'a person goes on without whom the ticket left out: they are told whom to compare again with',
    permitted: ['told'],
    async play(network) {
      const { second, bob } = await linked(network);
      const { id } = await second.say(bob, 'as if it were the first time', { interopId: bob.id });
      await until(() => isHeld(second, id), 'it is held');
      await bob.say(second, 'where are you?');
      second.client.devices.forgoPeople();
      await bob.sees('as if it were the first time');
      await second.sees('where are you?');
      assert.equal((await second.client.identities.get({ interopId: bob.id })).verified, false);
      const rows = await second.client.chats.messages({ chat: { interopId: second.id }, limit: 10 });
      assert(rows.some(({ message }) => message.notice?.kind === 'people-forgone'));
      assert(second.client.notices.list().some(({ change }) => change.kind === 'people-forgone'));
      return 'told';
    },
  },
];
