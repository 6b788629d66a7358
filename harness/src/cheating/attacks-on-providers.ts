// Attacks of a gatekeeper that passes people of one provider for another's: the number in an InteropId says whose they are.
import assert from 'node:assert/strict';
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import type { ClientEvent } from '@drawbridge/client';
import { NS_CLIENT, NS_CONSENT, NS_DIRECTORY } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import type { CheatingNetwork, Person } from './network.ts';
import { withPayload } from './stanzas.ts';

const isRefused = { code: 'provider-differs' };

/** Anna and Mallory are the gatekeeper's own users, Carol is of the provider crow. Nobody knows anybody. */
async function three(network: CheatingNetwork): Promise<[Person, Person, Person]> {
  return [await network.person('anna'), await network.person('carol', 'crow.example'), await network.person('mallory')];
}

/** Whoever looks up this provider's people is led to one. */
const leadsTo =
  (provider: string, other: Person) =>
  (asked: Element, answer: Element): Element =>
    asked.name === 'lookup' && attribute(asked, 'provider') === provider
      ? withPayload(answer, element('lookup', NS_DIRECTORY, { jid: `${other.id}@citadel.example` }))
      : answer;

/** The same person in another process, who reads the offer again. */
async function startedAgain(network: CheatingNetwork, { client, name }: Person): Promise<Person> {
  await client.close();
  const again = await network.client(name.identifier, name.provider);
  await again.connect();
  return network.watch(again, name);
}

const others = [
  { number: 1, name: 'skylark.example' },
  { number: 2, name: 'crow.example' },
];

export const falseProviders: readonly Attack[] = [
  {
    name: 'the name of somebody at one provider leads to somebody of another, at first contact',
    permitted: ['refused'],
    async play(network) {
      const [anna, carol, mallory] = await three(network);
      network.gatekeeper.lies.answer = leadsTo('crow.example', mallory);
      const { provider, identifier } = carol.name;
      await assert.rejects(anna.client.contacts.find(provider, identifier), isRefused);
      await assert.rejects(anna.client.send(carol.name, { text: 'are you Carol?' }), isRefused);
      // And the other way round.
      network.gatekeeper.lies.answer = leadsTo('citadel.example', carol);
      await assert.rejects(anna.client.send(mallory.name, { text: 'are you Mallory?' }), isRefused);
      assert.deepEqual(anna.client.contacts.list(), [], 'nothing of it is remembered');
      network.gatekeeper.lies = {};
      await anna.say(carol, 'so you are');
      await carol.sees('so you are');
      return 'refused';
    },
  },
  {
    name: 'a stranger of one provider is said to be somebody of another',
    permitted: ['told'],
    async play(network) {
      const [anna, carol, mallory] = await three(network);
      const said = [
        { provider: 'citadel.example', number: '0' },
        { provider: 'citadel.example', number: '1' },
        { provider: 'skylark.example', number: '2' },
        { provider: 'skylark.example', number: '1' },
      ];
      let lie = 0;
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        who === anna.jid && asked.name === 'identify' && attribute(asked, 'jid')!.startsWith(carol.id)
          ? withPayload(
              answer,
              element('identify', NS_DIRECTORY, { ...said[lie]!, identifier: mallory.name.identifier }),
            )
          : answer;
      for (; lie < said.length; lie++) {
        await carol.say(anna, `I am Mallory ${lie}`);
        await anna.sees(`I am Mallory ${lie}`);
        const { identifier } = await anna.client.contacts.get(carol.id);
        assert.equal(identifier, undefined, `nobody is shown under the name: ${JSON.stringify(said[lie])}`);
      }
      const told = anna.client.notices.list().filter(({ change }) => change.kind === 'provider-differs');
      assert.equal(told.length, 1);
      const rows = await anna.client.chats.messages({ chat: { interopId: carol.id } });
      assert(rows.some(({ message }) => message.notice?.kind === 'provider-differs'));
      return 'told';
    },
  },
  {
    name: 'a later offer gives a provider the number of another',
    permitted: ['refused'],
    async play(network) {
      const [anna, carol] = await three(network);
      network.gatekeeper.lies.offer = offer => ({ ...offer, providers: others });
      network.gatekeeper.lies.answer = leadsTo('skylark.example', carol);
      const again = await startedAgain(network, anna);
      const name = { provider: 'skylark.example', identifier: 'dora' };
      await assert.rejects(again.client.send(name, { text: 'are you Dora?' }), isRefused);
      await again.say(carol, 'to Carol of crow');
      await carol.sees('to Carol of crow');
      return 'refused';
    },
  },
  {
    name: 'who opts in to one provider is made to let in another',
    permitted: ['refused'],
    async play(network) {
      const anna = await network.person('anna');
      const optedIn: string[] = [];
      network.gatekeeper.lies.answer = (asked, answer) => {
        if (asked.ns !== NS_CONSENT) return answer;
        if (asked.name === 'opt-in') optedIn.push(attribute(asked, 'provider')!);
        if (childElement(answer, 'consent', NS_CONSENT) === undefined) return answer;
        const list = others.map(({ number, name }) =>
          element('provider', NS_CONSENT, { number: String(number), name, 'opted-in': 'false' }),
        );
        return withPayload(answer, element('consent', NS_CONSENT, undefined, list));
      };
      await assert.rejects(anna.client.account.optIn('skylark.example'), isRefused);
      network.gatekeeper.lies = {};
      await anna.client.account.optIn('Skylark.Example.');
      const consent = await anna.client.account.consent();
      assert.equal(consent.find(({ number }) => number === 2)?.optedIn, true);
      assert.deepEqual(optedIn, []);
      return 'refused';
    },
  },
  {
    name: 'a list to choose from calls providers by one another’s numbers',
    permitted: ['refused'],
    async play(network) {
      const anna = await network.person('anna');
      const list = element(
        'consent',
        NS_CONSENT,
        undefined,
        others.map(({ number, name }) =>
          element('provider', NS_CONSENT, { number: String(number), name, 'opted-in': 'false' }),
        ),
      );
      const from = 'citadel.example';
      network.gatekeeper.give(anna.jid, element('message', NS_CLIENT, { from, to: anna.jid }, [list]));
      network.gatekeeper.lies.answer = (asked, answer) =>
        asked.ns === NS_CONSENT && asked.name === 'consent' ? withPayload(answer, list) : answer;
      await assert.rejects(anna.client.account.consent(), isRefused);
      const isToldOf = (event: ClientEvent): boolean =>
        event.kind === 'consent' && event.consents.some(({ number, name }) => number === 1 && name !== 'crow.example');
      assert(!anna.events.some(isToldOf), 'nobody chooses by it');
      network.gatekeeper.lies = {};
      assert.equal((await anna.client.account.consent()).find(({ number }) => number === 1)?.name, 'crow.example');
      return 'refused';
    },
  },
  {
    name: 'a client hears of more providers than it remembers: what it could not hold the gatekeeper to is refused',
    permitted: ['refused'],
    async play(network) {
      const anna = await network.person('anna');
      const invented = Array.from({ length: 2_100 }, (_, at) => ({ number: 100 + at, name: `p${at}.example` }));
      network.gatekeeper.lies.offer = offer => ({ ...offer, providers: invented });
      const again = await startedAgain(network, anna);
      network.gatekeeper.lies.answer = (asked, answer) =>
        asked.name === 'lookup'
          ? withPayload(answer, element('lookup', NS_DIRECTORY, { jid: `3-${'a'.repeat(26)}@citadel.example` }))
          : answer;
      for (const provider of ['raven.example', 'rook.example'])
        await assert.rejects(again.client.contacts.find(provider, 'dora'), isRefused);
      return 'refused';
    },
  },
];
