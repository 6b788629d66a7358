// Attacks of a gatekeeper that carries messages otherwise than they were sent. It has no keys of its own.
import assert from 'node:assert/strict';
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_E2EE } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';
import { flipped, withAttributes, returned } from './stanzas.ts';

/** Anna and Clara who both write to Bob, and have. */
async function three(network: CheatingNetwork): Promise<[Person, Person, Person]> {
  const anna = await network.person('anna');
  const bob = await network.person('bob');
  const clara = await network.person('clara');
  for (const person of [anna, clara]) {
    await person.say(bob, `hello from ${person.name.identifier}`);
    await bob.sees(`hello from ${person.name.identifier}`);
  }
  return [anna, bob, clara];
}

const isFrom = (el: Element, person: Person): boolean => attribute(el, 'from') === person.jid;

export const carriedElsewhere: readonly Attack[] = [
  {
    name: "A's message is delivered as C's",
    permitted: ['told'],
    async play(network) {
      const [anna, bob, clara] = await three(network);
      network.gatekeeper.lies.deliver = (el, who) =>
        who === bob.jid && isFrom(el, anna) ? [withAttributes(el, { from: clara.jid })] : [el];
      const { id } = await anna.say(bob, 'it is I, Anna');
      await clara.say(bob, 'it is I, Clara');
      await bob.sees('it is I, Clara');
      await until(() => clara.receipts().length > 1, 'Clara has her receipts');
      assert(!anna.receipts().includes(id), 'nobody says that it was delivered');
      // Soon, and not after a day: something was said here that could not be read.
      await until(() => bob.lost.includes(clara.id), 'Bob is shown that something could not be read');
      return 'told';
    },
  },
  {
    name: "A's first message is delivered as C's",
    permitted: ['told', 'delivered'],
    async play(network) {
      const anna = await network.person('anna');
      const bob = await network.person('bob');
      const clara = await network.person('clara');
      network.gatekeeper.lies.deliver = (el, who) =>
        who === bob.jid && isFrom(el, anna) ? [withAttributes(el, { from: clara.jid })] : [el];
      await anna.say(bob, 'we have never met');
      await bob.told(event => event.kind === 'problem' || undefined, 'a message of somebody else');
      // Nothing of it is kept: Clara's own first message is read.
      await clara.say(bob, 'the true Clara');
      await bob.sees('the true Clara');
      return 'told';
    },
  },
  {
    name: 'a message is delivered to somebody else',
    permitted: ['told', 'delivered'],
    async play(network) {
      const [anna, bob, clara] = await three(network);
      let stolen: Element | undefined;
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who !== bob.jid || !isFrom(el, anna)) return [el];
        stolen = el;
        return [];
      };
      await anna.say(bob, 'for Bob alone');
      await until(() => stolen !== undefined, 'the message is on its way');
      network.gatekeeper.give(clara.jid, withAttributes(stolen!, { to: clara.jid }));
      network.gatekeeper.give(clara.jid, stolen!);
      await clara.told(event => event.kind === 'problem' || undefined, 'a message for somebody else');
      return 'told';
    },
  },
  {
    name: 'messages are repeated, under the same id and under others',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = await three(network);
      network.gatekeeper.lies.deliver = (el, who) =>
        who === bob.jid && isFrom(el, anna)
          ? [el, el, withAttributes(el, { id: 'again' }), withAttributes(el, { id: 'and-again' })]
          : [el];
      for (let i = 0; i < 5; i++) await anna.say(bob, `once ${i}`);
      for (let i = 0; i < 5; i++) await bob.sees(`once ${i}`);
      return 'delivered';
    },
  },
  {
    name: 'messages come late and in another order',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = await three(network);
      const kept: Element[] = [];
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who !== bob.jid || !isFrom(el, anna)) return [el];
        kept.push(el);
        return kept.length < 5 ? [] : kept.splice(0).reverse();
      };
      for (let i = 0; i < 5; i++) await anna.say(bob, `in disorder ${i}`);
      for (let i = 0; i < 5; i++) await bob.sees(`in disorder ${i}`);
      return 'delivered';
    },
  },
  {
    name: 'bits of a message are changed on the way',
    permitted: ['told', 'delivered'],
    async play(network) {
      const [anna, bob] = await three(network);
      let changed = 0;
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who !== bob.jid || !isFrom(el, anna) || changed++ > 0) return [el];
        return [flipped(el)];
      };
      await anna.say(bob, 'to be changed');
      await anna.say(bob, 'and after it');
      await bob.sees('and after it');
      // It is asked for again, in a session of its own.
      await bob.sees('to be changed');
      return 'delivered';
    },
  },
  {
    name: 'the gatekeeper says that a person is gone',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await three(network);
      network.gatekeeper.lies.accept = (el, who) => {
        if (who !== anna.jid || network.gatekeeper.lies.accept === undefined) return [el];
        network.gatekeeper.give(who, returned(el, `${bob.id}@citadel.example`, who));
        return [];
      };
      const { id } = await anna.say(bob, 'are you there?');
      await anna.told(
        event => (event.kind === 'message' && event.message.id === id && event.message.state === 'failed') || undefined,
        'the message failed',
      );
      return 'told';
    },
  },
  {
    name: 'receipts of one person are delivered as of another',
    permitted: ['withheld'],
    async play(network) {
      const [anna, bob, clara] = await three(network);
      let receipts = 0;
      // Whatever Clara and Bob answer to each other comes to Anna as Bob's.
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who === bob.jid && isFrom(el, anna)) return [];
        if (!isFrom(el, bob) || who !== clara.jid) return [el];
        receipts++;
        network.gatekeeper.give(anna.jid, withAttributes(el, { to: anna.jid }));
        return [el];
      };
      const { id } = await anna.say(bob, 'did you get it?');
      await clara.say(bob, 'and mine?');
      await bob.sees('and mine?');
      await until(() => receipts > 0, 'Bob has sent receipts');
      await bob.say(anna, 'no news');
      await anna.sees('no news');
      assert(!anna.receipts().includes(id), 'nobody says that it was delivered');
      return 'withheld';
    },
  },
  {
    name: 'garbage of every kind comes in place of messages: the inbox goes on behind it',
    permitted: ['told', 'delivered'],
    async play(network) {
      const [anna, bob, clara] = await three(network);
      let garbled = 0;
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who !== bob.jid || !isFrom(el, anna)) return [el];
        const envelope = childElement(el, 'envelope', NS_E2EE)!;
        const ciphertext = childElement(envelope, 'ciphertext', NS_E2EE);
        const inside = (changed: Element): Element => ({ ...el, children: [{ ...envelope, children: [changed] }] });
        const kinds: readonly Element[] = [
          { ...el, children: [] },
          { ...el, children: [{ ...envelope, children: [] }] },
          inside({ ...ciphertext!, children: ['AA=='] }),
          inside({ ...ciphertext!, children: ['!'] }),
          inside(withAttributes(ciphertext!, { kind: 'prekey' })),
          inside(withAttributes(ciphertext!, { kind: 'plaintext-retry' })),
          inside(withAttributes(ciphertext!, { kind: 'riddle' })),
          withAttributes(el, { from: 'nobody' }),
          withAttributes(el, { id: '' }),
          element('message', NS_CLIENT, { from: anna.jid, to: bob.jid }, ['words']),
        ];
        return [kinds[garbled++ % kinds.length]!];
      };
      for (let i = 0; i < 10; i++) await anna.say(bob, `garbled ${i}`);
      await until(() => garbled >= 10, 'all of them came');
      await clara.say(bob, 'behind the garbage');
      await bob.sees('behind the garbage');
      network.gatekeeper.lies = {};
      await anna.say(bob, 'and from Anna again');
      await bob.sees('and from Anna again');
      return 'told';
    },
  },
];
