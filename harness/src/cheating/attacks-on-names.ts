// Attacks of a gatekeeper that answers wrongly who somebody is.
import assert from 'node:assert/strict';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_DIRECTORY } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import type { CheatingNetwork, Person } from './network.ts';
import { notFound, withPayload } from './stanzas.ts';

const isRefused = { code: 'untrusted-identity' };

/** Anna knows Bob, and Mallory is there; with `verified` Anna has compared Bob's safety number. */
async function three(network: CheatingNetwork, verified: boolean): Promise<[Person, Person, Person]> {
  const anna = await network.person('anna');
  const bob = await network.person('bob');
  const mallory = await network.person('mallory');
  await anna.say(bob, 'hello Bob');
  await bob.sees('hello Bob');
  if (verified) await anna.verify(bob);
  return [anna, bob, mallory];
}

/** Bob's name is said to be Mallory's, both ways. */
const misname =
  (anna: Person, bob: Person, mallory: Person) =>
  (asked: Element, answer: Element, who: string): Element => {
    if (who !== anna.jid || asked.ns !== NS_DIRECTORY) return answer;
    const { provider, identifier } = bob.name;
    if (asked.name === 'lookup' && attribute(asked, 'identifier') === identifier)
      return withPayload(answer, element('lookup', NS_DIRECTORY, { jid: `${mallory.id}@citadel.example` }));
    if (asked.name === 'identify' && attribute(asked, 'jid') === `${mallory.id}@citadel.example`)
      return withPayload(answer, element('identify', NS_DIRECTORY, { provider, identifier, number: '0' }));
    return answer;
  };

const moves = (person: Person) =>
  person.client.notices.list().flatMap(({ change }) => (change.kind === 'contact-moved' ? [change] : []));

export const falseNames: readonly Attack[] = [
  {
    name: 'the name of a verified contact leads to somebody else',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob, mallory] = await three(network, true);
      network.gatekeeper.lies.answer = misname(anna, bob, mallory);
      const { provider, identifier } = bob.name;
      await assert.rejects(anna.client.contacts.find(provider, identifier), isRefused);
      // By whichever form the application addresses either of them.
      for (const to of [bob.name, { interopId: bob.id }, bob.id, { interopId: mallory.id }, mallory.id])
        await assert.rejects(anna.client.send(to, { text: 'who are you?' }), isRefused);
      const [move] = moves(anna);
      assert(move !== undefined);
      assert.deepEqual([move.before, move.interopId, move.needsAcceptance], [bob.id, mallory.id, true]);
      const lines = await anna.client.chats.messages({ chat: { interopId: bob.id }, limit: 50 });
      assert.equal(lines.filter(({ message }) => message.kind === 'notice').length, 1);
      anna.client.contacts.rejectMove(move);
      await anna.say(bob, 'still to you');
      await bob.sees('still to you');
      // The same lie again is refused and not asked about.
      await assert.rejects(anna.client.contacts.find(provider, identifier), isRefused);
      await anna.say(bob, 'and again');
      await bob.sees('and again');
      return 'refused';
    },
  },
  {
    name: 'the name of a verified contact leads to nobody, then to somebody else',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob, mallory] = await three(network, true);
      const { provider, identifier } = bob.name;
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        who === anna.jid && asked.name === 'lookup' ? notFound(answer) : answer;
      await assert.rejects(anna.client.contacts.find(provider, identifier), { code: 'not-found' });
      network.gatekeeper.lies.answer = misname(anna, bob, mallory);
      await assert.rejects(anna.client.send(bob.name, { text: 'who are you?' }), isRefused);
      const [move] = moves(anna);
      assert(move !== undefined);
      anna.client.contacts.acceptMove(move);
      await anna.say(mallory, 'so you are Bob', { interopId: mallory.id });
      await mallory.sees('so you are Bob');
      return 'refused';
    },
  },
  {
    name: 'a stranger writes under the name of a verified contact',
    permitted: ['told'],
    async play(network) {
      const [anna, bob, mallory] = await three(network, true);
      network.gatekeeper.lies.answer = misname(anna, bob, mallory);
      await mallory.say(anna, 'I am Bob, this is my new number');
      await anna.sees('I am Bob, this is my new number');
      const stranger = await anna.client.contacts.get(mallory.id);
      assert.equal(stranger.identifier, undefined, 'nobody is shown under the name');
      assert.equal(moves(anna).length, 1);
      return 'told';
    },
  },
  {
    name: 'the name of a contact who was not verified leads to somebody else',
    permitted: ['told'],
    async play(network) {
      const [anna, bob, mallory] = await three(network, false);
      network.gatekeeper.lies.answer = misname(anna, bob, mallory);
      const found = await anna.client.contacts.find(bob.name.provider, bob.name.identifier);
      assert.equal(found.interopId, mallory.id);
      assert.deepEqual(
        moves(anna).map(({ needsAcceptance }) => needsAcceptance),
        [false],
      );
      return 'told';
    },
  },
];
