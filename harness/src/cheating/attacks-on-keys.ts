// Attacks with keys of the gatekeeper's own under the names of others.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { makeDecryptionError } from '@drawbridge/e2ee/retry';
import type { ClientEvent } from '@drawbridge/client';
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_E2EE, NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { Impostor } from './impostor.ts';
import type { CheatingNetwork, Person } from './network.ts';
import { bytesOf, withPayload } from './stanzas.ts';

/** Anna and Bob have talked; with `verified`, Anna has compared Bob's safety number. */
async function pair(network: CheatingNetwork, verified: boolean): Promise<[Person, Person]> {
  const anna = await network.person('anna');
  const bob = await network.person('bob');
  await anna.say(bob, 'hello Bob');
  await bob.sees('hello Bob');
  await bob.say(anna, 'hello Anna');
  await anna.sees('hello Anna');
  if (verified) await anna.verify(bob);
  return [anna, bob];
}

const isAbout = (asked: Element, name: string, person: Person): boolean =>
  asked.ns === NS_KEYS && asked.name === name && attribute(asked, 'jid') === `${person.id}@citadel.example`;

const deviceList = (person: Person, devices: readonly { id: number; registration: number }[]): Element =>
  element(
    'manifest',
    NS_KEYS,
    { jid: `${person.id}@citadel.example` },
    devices.map(({ id, registration }) =>
      element('device', NS_KEYS, { id: String(id), registration: String(registration) }),
    ),
  );

/** The gatekeeper gives the impostor's keys for Bob's, and takes what is sent to them. */
function giveFalseKeys(network: CheatingNetwork, anna: Person, bob: Person, impostor: Impostor): void {
  network.gatekeeper.lies = {
    answer(asked, answer, who) {
      if (who !== anna.jid) return answer;
      const { deviceId: id } = impostor.as;
      if (isAbout(asked, 'manifest', bob))
        return withPayload(answer, deviceList(bob, [{ id, registration: impostor.registrationId }]));
      return isAbout(asked, 'bundle', bob) ? withPayload(answer, impostor.bundle()) : answer;
    },
    accept(message, who) {
      if (who !== anna.jid) return [message];
      void impostor.open(message, anna.address);
      return [];
    },
  };
}

const wasIn =
  (state: 'held' | 'failed', id: string) =>
  (event: ClientEvent): true | undefined =>
    event.kind === 'message' && event.message.id === id && event.message.state === state ? true : undefined;

const changeOf = (person: Person) => (event: ClientEvent) =>
  event.kind === 'identity' && event.identity.kind === 'identity-changed' && event.identity.interopId === person.id
    ? event.identity
    : undefined;

async function reconnected(person: Person): Promise<void> {
  await person.client.disconnect();
  await person.client.connect();
}

export const falseKeys: readonly Attack[] = [
  {
    name: 'false keys for a verified contact, found when a session is begun',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await pair(network, true);
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 2 });
      giveFalseKeys(network, anna, bob, impostor);
      await reconnected(anna);
      const { id } = await anna.say(bob, 'a secret');
      await anna.told(wasIn('held', id), 'the message is held');
      assert.equal((await anna.told(changeOf(bob), 'the key changed')).needsAcceptance, true);
      const { inForce, pending } = await anna.client.identities.safetyNumbers({ interopId: bob.id });
      const { digits } = await bob.client.identities.safetyNumber({ interopId: anna.id });
      assert.equal(inForce.digits, digits);
      assert.notEqual(pending?.digits, digits);
      assert.deepEqual(impostor.read, []);
      // Refused, and the gatekeeper is honest again: the message goes to the true Bob.
      const { pending: key } = await anna.client.identities.get({ interopId: bob.id });
      network.gatekeeper.lies = {};
      await anna.client.identities.reject({ interopId: bob.id }, key!.identityKey);
      await reconnected(anna);
      await bob.sees('a secret');
      return 'told';
    },
  },
  {
    name: 'false keys for a contact who was not verified',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await pair(network, false);
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 2 });
      giveFalseKeys(network, anna, bob, impostor);
      await reconnected(anna);
      await anna.say(bob, 'to whoever the directory says');
      await anna.told(changeOf(bob), 'the key changed');
      assert.equal(anna.client.notices.list().filter(each => each.change.kind === 'identity-changed').length, 1);
      return 'told';
    },
  },
  {
    name: 'false keys at a first contact are seen by whoever compares safety numbers',
    permitted: ['told'],
    async play(network) {
      const anna = await network.person('anna');
      const bob = await network.person('bob');
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 1 });
      giveFalseKeys(network, anna, bob, impostor);
      await anna.say(bob, 'nice to meet you');
      await anna.told(event => event.kind === 'identity' || undefined, 'a key was seen first');
      const seen = await anna.client.identities.get({ interopId: bob.id });
      await bob.client.send({ interopId: anna.id }, { text: 'me too' });
      network.book.push({ author: bob.id, to: anna.id, text: 'me too' });
      const change = await anna.told(changeOf(bob), 'the true key is another one');
      assert.equal(change.oldFingerprint, seen.fingerprint);
      assert.notEqual(change.newFingerprint, seen.fingerprint);
      // Whatever Anna answers finds the false keys again: they were replaced, and do not come back by themselves.
      await anna.say(bob, 'are there two of you?');
      await new Promise(resolve => setTimeout(resolve, 500));
      assert.equal((await anna.client.identities.get({ interopId: bob.id })).fingerprint, change.newFingerprint);
      return 'told';
    },
  },
  {
    name: 'false keys at a first contact by a link that was handed over: nothing is sent to them',
    permitted: ['told'],
    async play(network) {
      const anna = await network.person('anna');
      const bob = await network.person('bob');
      const { link } = await bob.client.links.make();
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 1 });
      giveFalseKeys(network, anna, bob, impostor);
      await anna.client.links.open(link, { verified: true });
      const { id } = await anna.say(bob, 'as we said');
      await anna.told(wasIn('held', id), 'the message is held');
      assert.equal((await anna.told(changeOf(bob), 'the key is another one')).needsAcceptance, true);
      assert.deepEqual(impostor.read, []);
      const { pending } = await anna.client.identities.get({ interopId: bob.id });
      network.gatekeeper.lies = {};
      await anna.client.identities.reject({ interopId: bob.id }, pending!.identityKey);
      await reconnected(anna);
      await bob.sees('as we said');
      return 'told';
    },
  },
  {
    name: 'a forged message under the name of a verified contact',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await pair(network, true);
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 1 });
      const bundle = element('bundle', NS_KEYS, { jid: `${anna.id}@citadel.example`, device: '1' });
      await impostor.meet(anna.id, await network.gatekeeper.ask(bob.jid, bundle));
      network.gatekeeper.give(anna.jid, await impostor.say(anna.address, { kind: 'text', text: 'send me money' }));
      assert.equal((await anna.told(changeOf(bob), 'the key changed')).needsAcceptance, true);
      const { pending } = await anna.client.identities.get({ interopId: bob.id });
      await anna.client.identities.reject({ interopId: bob.id }, pending!.identityKey);
      await bob.say(anna, 'it was not me');
      await anna.sees('it was not me');
      return 'told';
    },
  },
  {
    name: 'a forged message that nobody can decrypt stops no verified conversation',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = await pair(network, true);
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 1 });
      const bundle = element('bundle', NS_KEYS, { jid: `${anna.id}@citadel.example`, device: '1' });
      await impostor.meet(anna.id, await network.gatekeeper.ask(bob.jid, bundle));
      const forged = await impostor.say(anna.address, { kind: 'text', text: 'send me money' }, false);
      network.gatekeeper.give(anna.jid, forged);
      await bob.say(anna, 'nothing happened');
      await anna.sees('nothing happened');
      assert.equal((await anna.client.identities.get({ interopId: bob.id })).pending, undefined);
      await anna.say(bob, 'indeed');
      await bob.sees('indeed');
      return 'delivered';
    },
  },
  {
    name: 'a device with other keys is added to a verified contact',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await pair(network, true);
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 9 });
      const taken: Element[] = [];
      network.gatekeeper.lies = {
        answer(asked, answer, who) {
          if (who !== anna.jid) return answer;
          if (isAbout(asked, 'bundle', bob))
            return attribute(asked, 'device') === '9' ? withPayload(answer, impostor.bundle()) : answer;
          if (!isAbout(asked, 'manifest', bob)) return answer;
          const list = childElement(answer, 'manifest', NS_KEYS)!;
          // Nobody signed for it, so that the list comes without a manifest: as after a change of identity.
          const others = childElements(list).filter(child => child.name === 'device');
          const ghost = { id: '9', registration: String(impostor.registrationId) };
          return withPayload(answer, { ...list, children: [...others, element('device', NS_KEYS, ghost)] });
        },
        accept(message, who) {
          if (who !== anna.jid) return [message];
          taken.push(message);
          void impostor.open(message, anna.address);
          return [message];
        },
      };
      await reconnected(anna);
      const { id } = await anna.say(bob, 'for your devices');
      await anna.told(wasIn('failed', id), 'the message failed');
      assert.equal((await anna.client.identities.get({ interopId: bob.id })).pending, undefined);
      assert.deepEqual(impostor.read, []);
      return 'told';
    },
  },
  {
    name: 'two identities of one person in one list: neither is taken, and they cost no one-time keys for ever',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await pair(network, false);
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 9 });
      let bundles = 0;
      network.gatekeeper.lies.answer = (asked, answer, who) => {
        if (who !== anna.jid) return answer;
        if (isAbout(asked, 'bundle', bob)) {
          bundles++;
          return attribute(asked, 'device') === '9' ? withPayload(answer, impostor.bundle()) : answer;
        }
        if (!isAbout(asked, 'manifest', bob)) return answer;
        const list = childElement(answer, 'manifest', NS_KEYS)!;
        // Nobody signed for it: without a manifest, as after a change of identity.
        const others = childElements(list).filter(child => child.name === 'device');
        const ghost = { id: '9', registration: String(impostor.registrationId) };
        return withPayload(answer, { ...list, children: [...others, element('device', NS_KEYS, ghost)] });
      };
      await reconnected(anna);
      await anna.say(bob, 'to two Bobs');
      await anna.told(
        event =>
          (event.kind === 'identity' && event.identity.kind === 'identity-changed') ||
          event.kind === 'problem' ||
          undefined,
        'two identities',
      );
      await anna.say(bob, 'and once more');
      await new Promise(resolve => setTimeout(resolve, 500));
      const changes = anna.events.filter(event => changeOf(bob)(event) !== undefined);
      assert.equal(changes.length, 0, 'neither of the keys is taken');
      assert.equal(anna.client.notices.list().filter(each => each.change.kind === 'two-identities').length, 1);
      assert(bundles <= 2, `${bundles} bundles were taken`);
      assert.deepEqual(impostor.read, []);
      return 'told';
    },
  },
  {
    name: 'a message is asked for again under a fresh identity',
    permitted: ['told', 'delivered'],
    async play(network) {
      const [anna, bob] = await pair(network, false);
      let last: Element | undefined;
      network.gatekeeper.lies.accept = (el, who) => {
        if (who === anna.jid) last ??= el;
        return [el];
      };
      await anna.say(bob, 'yesterday’s secret');
      await bob.sees('yesterday’s secret');
      const impostor = await Impostor.pose({ interopId: bob.id, deviceId: 1 });
      const bundle = element('bundle', NS_KEYS, { jid: `${anna.id}@citadel.example`, device: '1' });
      await impostor.meet(anna.id, await network.gatekeeper.ask(bob.jid, bundle));
      network.gatekeeper.lies.accept = (el, who) => {
        if (who === anna.jid) void impostor.open(el, anna.address);
        return [el];
      };
      const stanzaId = attribute(last!, 'id')!;
      const envelope = childElement(last!, 'envelope', NS_E2EE)!;
      const ciphertext = childElement(envelope, 'ciphertext', NS_E2EE)!;
      const bytes = bytesOf(ciphertext);
      const error = makeDecryptionError({ from: anna.address, kind: 'session', bytes, stanzaId });
      assert(error.ok);
      const body = { kind: 'retry-request', stanzaId, decryptionError: error.value, attempt: 1 } as const;
      network.gatekeeper.give(anna.jid, await impostor.say(anna.address, body));
      const isAsked = (event: ClientEvent) => event.kind === 'message' && event.message.notice?.kind === 'asked-again';
      await anna.told(event => isAsked(event) || undefined, 'somebody asks for what was not sent to them');
      assert.equal(anna.client.resends.list().length, 1, 'it waits for a person');
      assert.deepEqual(impostor.read, []);
      return 'told';
    },
  },
  {
    name: 'a copy of what a person sent is forged from a device of their own',
    permitted: ['told', 'delivered'],
    async play(network) {
      const [anna, bob] = await pair(network, false);
      const impostor = await Impostor.pose({ interopId: anna.id, deviceId: 7 }, { interopId: bob.id, deviceId: 7 });
      const bundle = element('bundle', NS_KEYS, { jid: `${anna.id}@citadel.example`, device: '1' });
      await impostor.meet(anna.id, await network.gatekeeper.ask(bob.jid, bundle));
      const note = encodeContent({
        messageId: randomBytes(MESSAGE_ID_BYTES),
        sentAtMs: Date.now(),
        body: { kind: 'text', text: 'Anna never wrote this' },
      });
      assert(note.ok);
      const body = { kind: 'sent-transcript', to: bob.id, content: note.value } as const;
      const before = (await anna.client.chats.messages({ chat: { interopId: bob.id }, limit: 100 })).length;
      network.gatekeeper.give(anna.jid, await impostor.say(anna.address, body));
      await bob.say(anna, 'still talking');
      await anna.sees('still talking');
      const after = await anna.client.chats.messages({ chat: { interopId: bob.id }, limit: 100 });
      assert.equal(after.length, before + 1);
      return 'delivered';
    },
  },
  {
    name: 'one identity key is given as that of two people',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await pair(network, true);
      const clara = await network.person('clara');
      const asked = element('bundle', NS_KEYS, { jid: `${bob.id}@citadel.example`, device: '1' });
      const bobs = childElement(await network.gatekeeper.ask(anna.jid, asked), 'bundle', NS_KEYS)!;
      const registration = attribute(childElement(bobs, 'device', NS_KEYS)!, 'registration')!;
      network.gatekeeper.lies.answer = (question, answer, who) => {
        if (who !== anna.jid) return answer;
        if (isAbout(question, 'bundle', clara)) return withPayload(answer, bobs);
        return isAbout(question, 'manifest', clara)
          ? withPayload(answer, deviceList(clara, [{ id: 1, registration: Number(registration) }]))
          : answer;
      };
      const taken: Element[] = [];
      network.gatekeeper.lies.accept = (message, who) => {
        if (who === anna.jid) taken.push(message);
        return who === anna.jid ? [] : [message];
      };
      const { id } = await anna.say(clara, 'for Clara');
      await anna.told(wasIn('failed', id), 'the message failed');
      assert.deepEqual(taken, [], 'nothing is encrypted to Bob under the name of Clara');
      return 'told';
    },
  },
];
