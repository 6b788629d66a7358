// Folders that were restored from a backup, or of which there are two, in seeded variety: what was said since, what was on its way and
// what was still to be sent, before a gatekeeper that counts, one that hides the count and one that keeps none. Everything that is said
// from then on arrives, and after two rounds nothing is left to mend: one stanza for each message, one for its receipt, in sessions that
// both have.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { childElements, childElement, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_DEVICES, NS_STANZAS } from '@drawbridge/wire/namespaces';
import { type Random, seededRandom } from '../durability/random.ts';
import { CheatingNetwork, type Person, until } from './network.ts';
import { withAttributes, withPayload } from './stanzas.ts';

let network: CheatingNetwork;
before(async () => {
  network = await CheatingNetwork.open();
});
after(() => network.close());

const folderOf = ({ name }: Person): string => join(network.folder, 'people', name.identifier);

/** The folder of this person, or another copy of it, in another process. */
async function started(person: Person, folder = folderOf(person)): Promise<Person> {
  const client = await network.client(person.name.identifier, person.name.provider, { folder });
  await client.connect();
  return network.watch(client, person.name);
}

type Counting = 'counts' | 'hides the count' | 'keeps no count';

/** What the gatekeeper says of the store of this person. */
function count(person: Person, how: Counting): void {
  network.gatekeeper.lies.answer = (_, answer, who) => {
    const store = childElement(answer, 'store', NS_DEVICES);
    if (who !== person.jid || store === undefined || how === 'counts') return answer;
    if (how === 'hides the count') return withPayload(answer, withAttributes(store, { before: '0' }));
    const error = element('error', NS_CLIENT, { type: 'cancel' }, [element('service-unavailable', NS_STANZAS)]);
    return withAttributes(withPayload(answer, error), { type: 'error' });
  };
}

const isRestored = ({ client }: Person): boolean =>
  client.notices.list().some(({ change }) => change.kind === 'store-restored');

/** One message each way; the next speaks when the other has read it. */
async function round(first: Person, second: Person, words: string): Promise<void> {
  for (const [from, to] of [
    [first, second],
    [second, first],
  ] as const) {
    const receipts = from.receipts().length;
    const text = `${words}, ${from.id === first.id ? 'there' : 'and back'}`;
    await from.say(to, text);
    await to.sees(text);
    await until(() => from.receipts().length > receipts, `${from.name.identifier} hears that it came: ${text}`);
  }
}

/** What leaves while `work` is done: who it is from, and the kinds of its ciphertexts. */
async function leaving(work: () => Promise<void>): Promise<string[]> {
  const left: string[] = [];
  network.gatekeeper.lies.accept = (el, who) => {
    for (const kind of kindsIn(el)) left.push(`${who.split('@')[0]} ${kind}`);
    return [el];
  };
  await work();
  delete network.gatekeeper.lies.accept;
  return left;
}

function kindsIn(el: Element): string[] {
  const own = el.name === 'ciphertext' ? [el.attrs[el.attrs.indexOf('kind') + 1]!] : [];
  return [...own, ...childElements(el).flatMap(kindsIn)];
}

/** Two rounds mend what there is to mend; a third one finds nothing. */
async function heals(anna: Person, bob: Person, random: Random, name: string): Promise<void> {
  const [first, second] = random.share() < 0.5 ? [anna, bob] : [bob, anna];
  await round(first, second, `${name}, first round`);
  await round(first, second, `${name}, second round`);
  const left = await leaving(() => round(first, second, `${name}, third round`));
  const each = [first, second].flatMap(({ id }) => [`${id} session`, `${id} session`]);
  assert.deepEqual(left.toSorted(), each.toSorted(), 'a message and a receipt of each, in sessions that both have');
  for (const person of [anna, bob]) {
    const other = person === anna ? bob : anna;
    const lines = await person.client.chats.messages({ chat: { interopId: other.id }, limit: 200 });
    assert(!lines.some(({ message }) => message.kind === 'lost'), `${person.name.identifier} is missing nothing`);
    assert(!lines.some(({ message }) => message.state === 'failed'), `nothing of ${person.name.identifier}’s failed`);
  }
}

/** Words of both sides, in random order and number, each read before the next. */
async function talk(anna: Person, bob: Person, random: Random, words: string): Promise<void> {
  const many = random.integer(1, 5);
  for (let i = 0; i < many; i++) {
    const [from, to] = random.share() < 0.5 ? [anna, bob] : [bob, anna];
    await from.say(to, `${words} ${i}`);
    await to.sees(`${words} ${i}`);
  }
}

async function met(): Promise<{ anna: Person; bob: Person }> {
  const [anna, bob] = [await network.person('anna'), await network.person('bob')];
  await round(anna, bob, 'before');
  return { anna, bob };
}

async function played(work: () => Promise<void>): Promise<void> {
  network.round();
  try {
    await work();
    network.check();
  } finally {
    await network.leave();
  }
}

for (const counting of ['counts', 'hides the count', 'keeps no count'] as const) {
  for (const seed of [1, 2, 3]) {
    test(`a backup comes back, seed ${seed}, before a gatekeeper that ${counting}: two rounds heal every conversation`, {
      timeout: 180_000,
    }, async () => {
      await played(async () => {
        const random = seededRandom(seed);
        const { anna, bob } = await met();
        count(bob, counting);
        // Some words are still to be sent when the backup is made: both copies send them.
        await bob.client.disconnect();
        const waiting = Array.from({ length: random.integer(0, 2) }, (_, i) => `was still to be sent ${i}`);
        for (const text of waiting) await bob.say(anna, text);
        await bob.client.close();
        cpSync(folderOf(bob), `${folderOf(bob)}-backup`, { recursive: true });

        const live = await started(bob);
        for (const text of waiting) await anna.sees(text);
        await talk(anna, live, random, 'since the backup');
        const carla = await network.person('carla');
        await talk(carla, live, random, 'met since the backup');
        await live.client.close();
        const missed = Array.from({ length: random.integer(0, 3) }, (_, i) => `while nobody was there ${i}`);
        for (const text of missed) await anna.say(bob, text);

        rmSync(folderOf(bob), { recursive: true });
        cpSync(`${folderOf(bob)}-backup`, folderOf(bob), { recursive: true });
        const restored = await started(bob);
        for (const text of missed) await restored.sees(text);
        await heals(anna, restored, random, 'anna');
        await heals(carla, restored, random, 'carla');
        if (counting === 'counts') assert(isRestored(restored), 'and the person is told');
      });
    });
  }
}

for (const counting of ['counts', 'hides the count'] as const) {
  test(`two clones take turns before a gatekeeper that ${counting}: two rounds heal, with every turn`, {
    timeout: 180_000,
  }, async () => {
    await played(async () => {
      const random = seededRandom(4);
      const { anna, bob } = await met();
      count(bob, counting);
      await bob.client.close();
      const folders = [folderOf(bob), `${folderOf(bob)}-clone`];
      cpSync(folders[0]!, folders[1]!, { recursive: true });
      for (let turn = 0; turn < 5; turn++) {
        const clone = await started(bob, folders[turn % 2]);
        await heals(anna, clone, random, `turn ${turn}`);
        if (counting === 'counts') assert.equal(isRestored(clone), turn > 0, `turn ${turn}`);
        await clone.client.close();
      }
    });
  });
}

test('a copy of a running client, which was killed: two rounds heal, whether it is found out or not', {
  timeout: 180_000,
}, async () => {
  await played(async () => {
    const random = seededRandom(5);
    const { anna, bob } = await met();
    const copied = `${folderOf(bob)}-copy`;
    cpSync(folderOf(bob), copied, { recursive: true });
    await talk(anna, bob, random, 'since the copy');
    // What a killed process does not do any more: its last count does not come.
    network.gatekeeper.cut();
    count(bob, 'hides the count');
    await bob.client.close();
    const copy = await started(bob, copied);
    await heals(anna, copy, random, 'with the copy');
  });
});
