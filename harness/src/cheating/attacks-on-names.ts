// Attacks of a gatekeeper that answers wrongly who somebody is.
import assert from 'node:assert/strict';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_DIRECTORY } from '@drawbridge/wire/namespaces';
import type { ClientEvent } from '@drawbridge/client';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';
import { notFound, returned, withPayload } from './stanzas.ts';

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

/** Whoever asks for this identifier is told that it is that person's. */
const names =
  (anna: Person, identifier: string, other: Person) =>
  (asked: Element, answer: Element, who: string): Element =>
    who === anna.jid && asked.name === 'lookup' && attribute(asked, 'identifier') === identifier
      ? withPayload(answer, element('lookup', NS_DIRECTORY, { jid: `${other.id}@citadel.example` }))
      : answer;

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

/** Bob was not verified: Anna takes his name to be Mallory's, as she was told. */
async function takenFromBob(network: CheatingNetwork): Promise<[Person, Person, Person]> {
  const [anna, bob, mallory] = await three(network, false);
  network.gatekeeper.lies.answer = misname(anna, bob, mallory);
  const { provider, identifier } = bob.name;
  assert.equal((await anna.client.contacts.find(provider, identifier)).interopId, mallory.id);
  return [anna, bob, mallory];
}

const moves = (person: Person) =>
  person.client.notices.list().flatMap(({ change }) => (change.kind === 'contact-moved' ? [change] : []));

const renamings = (person: Person) =>
  person.client.notices.list().flatMap(({ change }) => (change.kind === 'contact-renamed' ? [change] : []));

/** The lines of a chat that tell of names. */
async function linesAbout(person: Person, other: Person): Promise<readonly string[]> {
  const rows = await person.client.chats.messages({ chat: { interopId: other.id }, limit: 200 });
  return rows.flatMap(({ message: { notice } }) => (notice?.kind.startsWith('contact-') === true ? [notice.kind] : []));
}

const failed = (id: string) => (event: ClientEvent) =>
  (event.kind === 'message' && event.message.id === id && event.message.state === 'failed') || undefined;

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
  {
    name: 'a new name leads to a verified contact: they are not shown, found or written to under it',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob] = await three(network, true);
      const { provider, identifier } = bob.name;
      const bank = { provider, identifier: `bank of ${identifier}` };
      network.gatekeeper.lies.answer = names(anna, bank.identifier, bob);
      const { contacts, identities } = anna.client;
      for (const ask of [
        () => contacts.find(provider, bank.identifier),
        () => identities.get(bank),
        () => anna.client.send(bank, { text: 'my account' }),
      ])
        await assert.rejects(ask, isRefused);
      assert.equal((await contacts.get(bob.id)).identifier, identifier);
      const [renaming, ...more] = renamings(anna);
      assert(renaming !== undefined && more.length === 0, 'told once');
      assert.deepEqual([renaming.before, renaming.interopId, renaming.needsAcceptance], [bob.name, bob.id, true]);
      assert.deepEqual(await linesAbout(anna, bob), ['contact-renamed']);
      assert.deepEqual(contacts.moves(), [{ ...bank, interopId: bob.id }]);
      await anna.say(bob, 'to you, under your name');
      await bob.sees('to you, under your name');
      contacts.rejectMove(renaming);
      await assert.rejects(contacts.find(provider, bank.identifier), isRefused);
      assert.deepEqual(contacts.moves(), [], 'a refused one is not asked about again');
      const other = { provider, identifier: `boss of ${identifier}` };
      network.gatekeeper.lies.answer = names(anna, other.identifier, bob);
      await assert.rejects(contacts.find(provider, other.identifier), isRefused);
      contacts.acceptMove({ ...other, interopId: bob.id });
      assert.equal((await contacts.get(bob.id)).identifier, other.identifier, 'as a person has decided');
      return 'refused';
    },
  },
  {
    name: 'a new name leads to a contact who was not verified: the person is told',
    permitted: ['told'],
    async play(network) {
      const [anna, bob] = await three(network, false);
      const { provider, identifier } = bob.name;
      const bank = `bank of ${identifier}`;
      network.gatekeeper.lies.answer = names(anna, bank, bob);
      assert.equal((await anna.client.contacts.find(provider, bank)).interopId, bob.id);
      assert.deepEqual(
        renamings(anna).map(({ before, needsAcceptance }) => [before, needsAcceptance]),
        [[bob.name, false]],
      );
      assert.deepEqual(await linesAbout(anna, bob), ['contact-renamed']);
      await anna.told(
        event => (event.kind === 'message' && event.message.notice?.kind === 'contact-renamed') || undefined,
        'Bob is called otherwise',
      );
      // A person has one name: who is verified under this one is not under the one before.
      await anna.verify(bob);
      await assert.rejects(anna.client.send(bob.name, { text: 'who are you?' }), isRefused);
      return 'told';
    },
  },
  {
    name: 'the name of a verified contact is spelled otherwise: what is sent goes to them',
    permitted: ['delivered'],
    async play(network) {
      const anna = await network.person('anna');
      const bob = await network.person('Andr\u00e9');
      const mallory = await network.person('mallory');
      await anna.say(bob, 'hello Andr\u00e9');
      await bob.sees('hello Andr\u00e9');
      await anna.verify(bob);
      const { provider, identifier } = bob.name;
      const blocks: Element[] = [];
      network.gatekeeper.lies.answer = (asked, answer, who) => {
        if (asked.name === 'block') blocks.push(asked);
        if (who !== anna.jid || asked.name !== 'lookup') return answer;
        const isBob = attribute(asked, 'provider') === provider && attribute(asked, 'identifier') === identifier;
        return isBob
          ? answer
          : withPayload(answer, element('lookup', NS_DIRECTORY, { jid: `${mallory.id}@citadel.example` }));
      };
      const apart = identifier.normalize('NFD');
      assert.notEqual(apart, identifier);
      const same = [
        { provider, identifier: apart },
        { provider: provider.toUpperCase(), identifier },
        { provider: `${provider}.`, identifier },
        { provider: `Citadel.Example.`, identifier: apart },
      ];
      for (const [at, name] of same.entries()) {
        await anna.say(bob, `way ${at}`, name);
        await bob.sees(`way ${at}`);
        const found = await anna.client.contacts.find(name.provider, name.identifier);
        assert.deepEqual([found.interopId, found.provider, found.identifier], [bob.id, provider, identifier]);
      }
      const none = [
        { provider, identifier: `${identifier} ` },
        { provider, identifier: ` ${identifier}` },
        { provider, identifier: `${identifier}\u200b` },
        { provider: `${provider}..`, identifier },
        { provider: `${provider} `, identifier },
        { provider: provider.replace('c', '\u0441'), identifier },
      ];
      for (const name of none)
        for (const ask of [
          () => anna.client.send(name, { text: 'to whom?' }),
          () => anna.client.contacts.find(name.provider, name.identifier),
          () => anna.client.contacts.block(name),
          () => anna.client.identities.get(name),
          () => anna.client.chats.messages({ chat: name }),
        ])
          await assert.rejects(ask, { code: 'invalid-argument' }, JSON.stringify(name));
      await anna.client.contacts.block(same[3]!);
      const [asked] = blocks;
      assert(asked !== undefined);
      assert.deepEqual([attribute(asked, 'provider'), attribute(asked, 'identifier')], [provider, identifier]);
      assert.equal(blocks.length, 1);
      return 'delivered';
    },
  },
  {
    name: 'the name of a verified contact leads to two others in turn: each is refused once',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob, mallory] = await three(network, true);
      const eve = await network.person('eve');
      const { provider, identifier } = bob.name;
      const { contacts } = anna.client;
      for (let turn = 0; turn < 3; turn++) {
        for (const other of [mallory, eve]) {
          network.gatekeeper.lies.answer = misname(anna, bob, other);
          await assert.rejects(contacts.find(provider, identifier), isRefused);
          for (const move of contacts.moves()) {
            assert.equal(turn, 0, 'asked about once');
            contacts.rejectMove(move);
          }
          await anna.say(bob, `after ${other.name.identifier}, ${turn}`);
          await bob.sees(`after ${other.name.identifier}, ${turn}`);
        }
      }
      assert.deepEqual(await linesAbout(anna, bob), ['contact-moved', 'contact-moved']);
      // Without an answer of the person it is one question, however often the answer changes.
      const clara = await network.person('clara');
      const dora = await network.person('dora');
      for (const other of [clara, dora, clara, dora]) {
        network.gatekeeper.lies.answer = misname(anna, bob, other);
        await assert.rejects(contacts.find(provider, identifier), isRefused);
      }
      assert.deepEqual(contacts.moves(), [{ ...bob.name, interopId: clara.id }]);
      return 'refused';
    },
  },
  {
    name: 'a moved name waits: nothing of what a person says leaves, but what takes back',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob, mallory] = await three(network, true);
      const { chats, contacts } = anna.client;
      const poll = {
        kind: 'poll',
        question: 'when?',
        options: ['now', 'later'],
        choices: 1,
        anonymous: false,
      } as const;
      const said = await anna.say(bob, 'a word');
      const shownPoll = 'when? (now / later)';
      network.book.push({ author: anna.id, to: bob.id, text: shownPoll });
      network.book.push({ author: bob.id, to: anna.id, text: shownPoll });
      const asked = await anna.client.send(bob.name, poll);
      await bob.sees('a word');
      const theirs = await bob.say(anna, 'an answer');
      const theirPoll = await bob.client.send(anna.name, poll);
      await anna.sees('an answer');
      const hasCome = (id: string) => (event: ClientEvent) =>
        (event.kind === 'message' && event.message.id === id) || undefined;
      await anna.told(hasCome(theirPoll.id), 'the poll of Bob');
      network.gatekeeper.lies.accept = (el, who) => {
        if (who !== anna.jid || !attribute(el, 'to')!.startsWith(bob.id)) return [el];
        network.gatekeeper.give(who, returned(el, `${bob.id}@citadel.example`, who));
        return [];
      };
      const { id } = await anna.say(bob, 'this comes back');
      await anna.told(failed(id), 'the message failed');
      network.gatekeeper.lies = {};
      // Takes along that the number before it is nobody's.
      await anna.say(bob, 'this arrives');
      await bob.sees('this arrives');
      const left: Element[] = [];
      const isForOthers = (el: Element): boolean =>
        [bob, mallory].some(each => attribute(el, 'to')!.startsWith(each.id));
      network.gatekeeper.lies = {
        answer: misname(anna, bob, mallory),
        accept(el, who) {
          if (who === anna.jid && isForOthers(el)) left.push(el);
          return [el];
        },
      };
      await assert.rejects(contacts.find(bob.name.provider, bob.name.identifier), isRefused);
      const target = { author: bob.id, id: theirs.id };
      const ways = {
        edit: () => chats.edit(said.id, { text: 'another word' }),
        react: () => chats.react(target, '👍'),
        vote: () => chats.vote({ author: bob.id, id: theirPoll.id }, [0]),
        'close a poll': () => chats.closePoll(asked.id),
        'set a timer': () => chats.setTimer({ interopId: bob.id }, 3_600),
        'a timer for the other': () => chats.setTimer({ interopId: mallory.id }, 3_600),
        type: () => chats.typing({ interopId: bob.id }),
        'send again': () => chats.resend(id),
        'send a file': () => anna.client.files.send(bob.name, { kind: 'file', path: '/etc/hostname' }),
      };
      for (const [way, go] of Object.entries(ways)) await assert.rejects(go, isRefused, way);
      await chats.markRead({ interopId: bob.id });
      assert.equal((await chats.messages({ chat: bob.name })).filter(row => row.message.id === id).length, 1);
      await chats.delete(said.id);
      await until(() => left.length > 0, 'the word is taken back');
      await until(
        () => bob.events.some(event => event.kind === 'message' && event.message.kind === 'deleted'),
        'Bob does not have it any more',
      );
      assert.equal(left.length, 1, 'and that alone');
      contacts.rejectMove(contacts.moves()[0]!);
      await chats.react(target, '👍');
      await until(() => left.length > 1, 'all goes on');
      return 'refused';
    },
  },
  {
    name: 'the name of a contact who was not verified goes to another and comes back: it waits for a person',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob, mallory] = await takenFromBob(network);
      const { provider, identifier } = bob.name;
      const { contacts } = anna.client;
      // Nobody but the one who has it now is shown under it, also not to be compared.
      assert.equal((await contacts.get(bob.id)).identifier, undefined);
      await anna.verify(bob);
      await assert.rejects(anna.client.identities.get(bob.name), { code: 'identity-unknown' });
      network.gatekeeper.lies = {};
      for (let turn = 0; turn < 3; turn++) {
        await assert.rejects(contacts.find(provider, identifier), isRefused);
        network.gatekeeper.lies.answer = misname(anna, bob, mallory);
        await contacts.find(provider, identifier);
        network.gatekeeper.lies = {};
      }
      const [move, ...more] = contacts.moves();
      assert(move !== undefined && more.length === 0);
      assert.deepEqual([move.interopId, (await linesAbout(anna, mallory)).length], [bob.id, 1]);
      await assert.rejects(anna.client.send(bob.name, { text: 'to whom?' }), isRefused);
      contacts.acceptMove(move);
      assert.equal((await contacts.get(mallory.id)).identifier, undefined);
      await anna.say(bob, 'so it is you');
      await bob.sees('so it is you');
      return 'refused';
    },
  },
  {
    name: 'a name comes back to a contact who was called otherwise in between: it waits, and nobody is renamed in silence',
    permitted: ['refused'],
    async play(network) {
      const [anna, bob] = await takenFromBob(network);
      const { provider, identifier } = bob.name;
      const { contacts } = anna.client;
      const between = `boss of ${identifier}`;
      network.gatekeeper.lies.answer = names(anna, between, bob);
      assert.equal((await contacts.find(provider, between)).interopId, bob.id);
      assert.deepEqual(
        renamings(anna).map(({ before, needsAcceptance }) => [before, needsAcceptance]),
        [[bob.name, false]],
      );
      network.gatekeeper.lies = {};
      await assert.rejects(contacts.find(provider, identifier), isRefused);
      assert.deepEqual(contacts.moves(), [{ ...bob.name, interopId: bob.id }]);
      assert.equal((await contacts.get(bob.id)).identifier, between);
      return 'refused';
    },
  },
];
