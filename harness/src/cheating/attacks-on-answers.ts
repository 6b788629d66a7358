// Attacks with what a client answers by itself: messages sent again, receipts, and what it keeps for a session. Mallory is a
// real person whose keys are the cheat's own, so that a contact goes wrong, and not only the gatekeeper.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type Content, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { makeDecryptionError, MAX_RETRIES_PER_DEVICE, MAX_RETRIES_PER_STANZA } from '@drawbridge/e2ee/retry';
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { NS_E2EE, NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { asks } from './attacks-on-devices.ts';
import { Impostor } from './impostor.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';
import { bytesOf, withPayload } from './stanzas.ts';

export type Mallory = {
  readonly person: Person;
  readonly keys: Impostor;
  /** What the other has sent to these keys, read or not. */
  readonly got: readonly Element[];
  /** Whatever was sent is opened. */
  readonly settled: () => Promise<unknown>;
};

/** Somebody with keys of the cheat's own, whose every message from `other` the cheat takes. */
export async function mallory(network: CheatingNetwork, other: Person): Promise<Mallory> {
  const person = await network.person('mallory');
  const keys = await Impostor.pose({ interopId: person.id, deviceId: 1 });
  const got: Element[] = [];
  let work: Promise<unknown> = Promise.resolve();
  const device = element('device', NS_KEYS, { id: '1', registration: String(keys.registrationId) });
  const list = element('manifest', NS_KEYS, { jid: `${person.id}@citadel.example` }, [device]);
  network.gatekeeper.lies = {
    answer(asked, answer, who) {
      if (who !== other.jid) return answer;
      if (asks(asked, 'manifest', person)) return withPayload(answer, list);
      return asks(asked, 'bundle', person) ? withPayload(answer, keys.bundle()) : answer;
    },
    accept(message, who) {
      if (who !== other.jid || !attribute(message, 'to')!.startsWith(person.id)) return [message];
      got.push(message);
      work = work.then(() => keys.open(message, other.address));
      return [];
    },
  };
  return { person, keys, got, settled: () => work };
}

/** Mallory begins a session with somebody. */
export async function meets(network: CheatingNetwork, { person, keys }: Mallory, other: Person): Promise<void> {
  const bundle = element('bundle', NS_KEYS, { jid: `${other.id}@citadel.example`, device: '1' });
  await keys.meet(other.id, await network.gatekeeper.ask(person.jid, bundle));
}

/** Asks for a message that came, or for another by its id. */
async function askFor(
  network: CheatingNetwork,
  { keys }: Mallory,
  other: Person,
  message: Element,
  stanzaId = attribute(message, 'id')!,
): Promise<void> {
  const ciphertext = childElement(childElement(message, 'envelope', NS_E2EE)!, 'ciphertext', NS_E2EE)!;
  const kind = attribute(ciphertext, 'kind') === 'prekey' ? 'prekey' : 'session';
  const error = makeDecryptionError({ from: other.address, kind, bytes: bytesOf(ciphertext), stanzaId });
  assert(error.ok);
  const body = { kind: 'retry-request', stanzaId, decryptionError: error.value, attempt: 1 } as const;
  network.gatekeeper.give(other.jid, await keys.say(other.address, body));
}

/** Everything that was given to `other` so far is done with: they read, and answer, what comes last. */
export async function readToTheEnd(
  network: CheatingNetwork,
  { person, keys, got, settled }: Mallory,
  other: Person,
  text: string,
): Promise<void> {
  network.book.push({ author: person.id, to: other.id, text });
  const before = got.length;
  network.gatekeeper.give(other.jid, await keys.say(other.address, { kind: 'text', text }));
  await other.sees(text);
  await until(() => got.length > before, `a receipt for ${text}`);
  await settled();
}

const times = (texts: readonly string[], text: string): number => texts.filter(each => each === text).length;

export const falseAnswers: readonly Attack[] = [
  {
    name: 'a contact asks again and again, about many messages: the count for one of them is not pushed out',
    permitted: ['delivered'],
    async play(network) {
      const anna = await network.person('anna');
      const cheat = await mallory(network, anna);
      await anna.say(cheat.person, 'the one');
      await until(() => cheat.keys.read.includes('the one'), 'it came');
      const [message] = cheat.got;
      // One after the other: what waits to be sent again is sent once.
      for (let i = 0; i < 6; i++) {
        await askFor(network, cheat, anna, message!);
        await readToTheEnd(network, cheat, anna, `was that all? ${i}`);
      }
      const answered = times(cheat.keys.read, 'the one');
      assert.equal(answered, 1 + MAX_RETRIES_PER_STANZA);
      // Of messages that there are, which count for the device, and of others.
      for (let i = 0; i < 25; i++) {
        await anna.say(cheat.person, `another ${i}`);
        await until(() => cheat.keys.read.includes(`another ${i}`), 'it came');
      }
      const others = cheat.got.slice(-25);
      for (const other of others) await askFor(network, cheat, anna, other);
      for (let i = 0; i < 300; i++) await askFor(network, cheat, anna, message!, randomBytes(16).toString('base64url'));
      for (let i = 0; i < 6; i++) await askFor(network, cheat, anna, message!);
      await readToTheEnd(network, cheat, anna, 'and now?');
      assert.equal(times(cheat.keys.read, 'the one'), answered, 'not once more');
      const repeated = cheat.keys.read.length - new Set(cheat.keys.read).size;
      assert(repeated > answered && repeated <= MAX_RETRIES_PER_DEVICE, `${repeated} messages came again`);
      return 'delivered';
    },
  },
  {
    name: 'what may be seen once is asked for again: it is not there any more',
    permitted: ['delivered'],
    async play(network) {
      const anna = await network.person('anna');
      const cheat = await mallory(network, anna);
      await anna.say(cheat.person, 'for ever');
      await until(() => cheat.keys.read.includes('for ever'), 'it came');
      await anna.client.send(cheat.person.name, { text: 'for one look', viewOnce: true });
      await until(() => cheat.keys.read.includes('for one look'), 'it came once');
      const [first, once] = cheat.got;
      for (let i = 0; i < 3; i++) await askFor(network, cheat, anna, once!);
      // So that this asks at all.
      await askFor(network, cheat, anna, first!);
      await readToTheEnd(network, cheat, anna, 'what was it?');
      await until(() => times(cheat.keys.read, 'for ever') === 2, 'what is kept is sent again');
      assert.equal(times(cheat.keys.read, 'for one look'), 1);
      return 'delivered';
    },
  },
  {
    name: 'a contact repeats one message and sends empty ones: one receipt, and it says no more of who is there',
    permitted: ['delivered'],
    async play(network) {
      const bob = await network.person('bob');
      const cheat = await mallory(network, bob);
      await meets(network, cheat, bob);
      await readToTheEnd(network, cheat, bob, 'are you there?');
      const messageId = randomBytes(MESSAGE_ID_BYTES);
      const again = { kind: 'text', text: 'and now?' } as const;
      network.book.push({ author: cheat.person.id, to: bob.id, text: again.text });
      for (let i = 0; i < 10; i++)
        network.gatekeeper.give(bob.jid, await cheat.keys.say(bob.address, again, true, messageId));
      const nowhere = randomBytes(MESSAGE_ID_BYTES);
      const empty: readonly Content['body'][] = [
        { kind: 'nothing' },
        { kind: 'typing', state: 'started' },
        { kind: 'receipt', receipt: 'delivered', messageIds: [nowhere] },
        { kind: 'delete', targetMessageId: nowhere },
      ];
      for (let i = 0; i < 3; i++)
        for (const body of empty) network.gatekeeper.give(bob.jid, await cheat.keys.say(bob.address, body));
      await readToTheEnd(network, cheat, bob, 'that is all');
      await until(() => cheat.got.length >= 3, 'a receipt for each of three');
      assert.equal(cheat.got.length, 3, 'one for each message that was shown, and none for anything else');
      return 'delivered';
    },
  },
  {
    name: 'gaps in the counters make a session too large: it is ended, told, and nothing behind it waits',
    permitted: ['told'],
    async play(network) {
      const bob = await network.person('bob');
      const clara = await network.person('clara');
      const cheat = await mallory(network, bob);
      await meets(network, cheat, bob);
      for (let round = 0; round < 7 && bob.lost.length === 0; round++) {
        const text = `after gap ${round}`;
        network.book.push({ author: cheat.person.id, to: bob.id, text });
        for (let i = 0; i < 1_900; i++) await cheat.keys.say(bob.address, { kind: 'text', text: 'never given' });
        const before = cheat.got.length;
        network.gatekeeper.give(bob.jid, await cheat.keys.say(bob.address, { kind: 'text', text }));
        await until(() => cheat.got.length > before || bob.lost.length > 0, 'it is read, or said to be unreadable');
        await cheat.settled();
      }
      await until(() => bob.lost.includes(cheat.person.id), 'it is a line in the chat');
      await clara.say(bob, 'behind it');
      await bob.sees('behind it');
      await meets(network, cheat, bob);
      await readToTheEnd(network, cheat, bob, 'in another session');
      return 'told';
    },
  },
];
