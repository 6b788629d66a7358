// Three people who have compared their safety numbers write to each other while the gatekeeper lies as a seed says, and providers
// vouch for devices that are not theirs. Then it is honest again, they refuse whatever it made them ask, and their last words must arrive.
// What happened is judged by the book alone: who said what to whom, who was shown what, who was told what.
import assert from 'node:assert/strict';
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_DIRECTORY, NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Message } from '@drawbridge/client';
import type { Random } from '../durability/random.ts';
import { Impostor } from './impostor.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';
import { flipped, type Marks, marksOf, notFound, textOf, withAttributes, withMarks, withPayload } from './stanzas.ts';
import { vouchFalsely } from './vouching.ts';

export type MixOptions = { readonly random: Random; readonly lyingMs: number };
export type MixOutcome = {
  readonly said: number;
  readonly seen: number;
  /** Of what was seen: reports that the true gatekeeper took, and such as the lies left without proof. */
  readonly reports: { readonly taken: number; readonly refused: number };
  readonly lies: Record<string, number>;
};

/** A message, and whom it was for. */
type Said = { readonly from: Person; readonly to: Person; readonly text: string; readonly message: Message };

/** Throws when somebody was shown or told what is not so, an impostor could read something, or last words stay away. */
export async function playMix(network: CheatingNetwork, { random, lyingMs }: MixOptions): Promise<MixOutcome> {
  const people = [await network.person('anna'), await network.person('bob'), await network.person('clara')];
  const impostors = await Promise.all(people.map(({ id }) => Impostor.pose({ interopId: id, deviceId: 1 })));
  const liar = new Liar(network, people, impostors, random);
  network.gatekeeper.lies = { answer: (asked, answer) => liar.remember(asked, answer) };
  await acquaint(people);
  // From here on there is a manifest of yesterday.
  const tablet = await network.furtherDevice(people[2]!);
  for (const person of people) await reconnected(person);
  network.gatekeeper.lies = liar.lies();
  const devicesOf = ({ id }: Person): Person[] => network.people.filter(each => each.id === id);
  const said: Said[] = [];
  const endMs = performance.now() + lyingMs;
  for (let number = 0; performance.now() < endMs; number++) {
    const from = random.pick(people);
    const to = random.pick(people.filter(each => each !== from));
    const text = `${from.name.identifier} to ${to.name.identifier}: ${number}`;
    const how = random.pick([to.name, { interopId: to.id }]);
    // A refusal in words is an outcome too.
    await from.say(to, text, how).then(
      message => said.push({ from, to, text, message }),
      () => liar.note('refused'),
    );
    if (random.share() < 0.1) await liar.forge();
    if (random.share() < 0.1) await reconnected(from);
    if (random.share() < 0.1) await lookedUp(from, to);
    if (random.share() < 0.05) liar.note(`vouched ${await vouchFalsely(network, to, random)}`);
    await new Promise(resolve => setTimeout(resolve, random.integer(0, 40)));
  }
  network.gatekeeper.lies = {};
  liar.release();
  for (const person of [...people, tablet]) await refuseAll(person);
  const last = await lastWords(people, random);
  network.check();
  for (const { to, text } of last) await to.report(text);
  const reports = { taken: 0, refused: 0 };
  for (const { to, text } of said) {
    if (to.shown.some(each => each.text === text)) reports[await reported(to, text)]++;
  }
  for (const { read } of impostors) assert.deepEqual(read, [], 'an impostor could read this');
  for (const { from, to, text, message } of said) {
    const isSeen = devicesOf(to).some(({ shown }) => shown.some(each => each.text === text));
    assert(isSeen || !from.receipts().includes(message.id), `“${text}” is delivered, and was never shown`);
  }
  const seen = said.filter(({ to, text }) => to.shown.some(each => each.text === text)).length;
  return { said: said.length, seen, reports, lies: liar.count };
}

/** Everybody knows everybody, and has compared. */
async function acquaint(people: readonly Person[]): Promise<void> {
  for (const from of people) {
    for (const to of people.filter(each => each !== from)) {
      const text = `hello ${to.name.identifier}, I am ${from.name.identifier}`;
      await from.say(to, text);
      await to.sees(text);
    }
  }
  for (const from of people) for (const to of people.filter(each => each !== from)) await from.verify(to);
}

async function reconnected({ client }: Person): Promise<void> {
  await client.disconnect();
  await client.connect();
}

/** The directory is asked again who somebody is: refused, or not found, is an outcome too. */
async function lookedUp({ client }: Person, { name }: Person): Promise<void> {
  await client.contacts.find(name.provider, name.identifier).catch(() => undefined);
}

/** What a careful person does: no key and no name is accepted that the other did not speak of. */
async function refuseAll(person: Person): Promise<void> {
  await refuseAsked(person);
  await reconnected(person);
}

async function refuseAsked({ client }: Person): Promise<void> {
  for (const { change } of client.notices.list()) {
    if (change.kind === 'identity-changed') {
      const { pending } = await client.identities.get({ interopId: change.interopId });
      if (pending !== undefined) await client.identities.reject({ interopId: change.interopId }, pending.identityKey);
    }
  }
  for (const move of client.contacts.moves()) client.contacts.rejectMove(move);
}

/** A report is taken, or the person is told that nothing proves the message. */
async function reported(person: Person, text: string): Promise<'taken' | 'refused'> {
  try {
    await person.report(text);
    return 'taken';
  } catch (error) {
    const { code } = error as { readonly code?: string };
    assert(code === 'not-reportable' || code === 'request-refused', String(error));
    return 'refused';
  }
}

async function lastWords(people: readonly Person[], random: Random): Promise<readonly Omit<Said, 'message'>[]> {
  const last: Omit<Said, 'message'>[] = [];
  for (const from of people) {
    for (const to of people.filter(each => each !== from)) {
      const text = `last words ${random.integer(0, 1e9)}`;
      last.push({ from, to, text });
      const { id } = await from.say(to, text, { interopId: to.id });
      let isOver = false;
      // A lie that was on its way when the gatekeeper became honest asks once more.
      const answering = (async () => {
        while (!isOver) {
          await refuseAsked(from);
          await new Promise(resolve => setTimeout(resolve, 500));
        }
      })();
      try {
        await until(
          () => to.shown.some(each => each.text === text),
          `${to.name.identifier} sees the last words of ${from.name.identifier}`,
        );
      } catch (error) {
        throw new Error(`${String(error)}\n${await circumstances(from, to, id)}`, { cause: error });
      } finally {
        isOver = true;
        await answering;
      }
    }
  }
  return last;
}

/** What either end knows, for whoever looks into a failure. */
async function circumstances(from: Person, to: Person, id: string): Promise<string> {
  const rows = await from.client.chats.messages({ chat: { interopId: to.id }, limit: 200 });
  const mine = rows.find(({ message }) => message.id === id)?.message;
  const problems = (person: Person): string[] =>
    person.events.flatMap(event => (event.kind === 'problem' ? [event.error.message] : [])).slice(-8);
  const known = (person: Person): string[] => person.client.notices.list().map(({ change }) => JSON.stringify(change));
  const { pending } = await from.client.identities.get({ interopId: to.id });
  const before = rows.filter(({ message }) => message.author === from.id).map(({ message }) => message.state);
  return JSON.stringify(
    {
      state: mine?.state,
      before,
      pending: pending?.fingerprint,
      failure: mine?.failure,
      sender: { status: from.client.status.kind, problems: problems(from), notices: known(from) },
      recipient: { status: to.client.status.kind, lost: to.lost.length, problems: problems(to), notices: known(to) },
    },
    undefined,
    1,
  );
}

const ways = ['dropped', 'repeated', 'late', 'swapped', 'flipped', 'misdirected'] as const;
const marks = [
  'commitment altered',
  'commitment of another',
  'no commitment',
  'stamp altered',
  'stamp of another',
  'stamp of another time',
  'no stamp',
] as const;

class Liar {
  readonly count: Record<string, number> = {};
  readonly #network: CheatingNetwork;
  readonly #people: readonly Person[];
  readonly #impostors: readonly Impostor[];
  readonly #random: Random;
  /** Manifests by the person who signed them, the oldest first. */
  readonly #signed = new Map<string, (readonly Element[])[]>();
  /** Of messages that came. */
  readonly #marked: Marks[] = [];
  readonly #kept: { readonly who: string; readonly message: Element }[] = [];

  constructor(network: CheatingNetwork, people: readonly Person[], impostors: readonly Impostor[], random: Random) {
    this.#network = network;
    this.#people = people;
    this.#impostors = impostors;
    this.#random = random;
  }

  note(lie: string): void {
    this.count[lie] = (this.count[lie] ?? 0) + 1;
  }

  lies(): CheatingNetwork['gatekeeper']['lies'] {
    return {
      deliver: (message, who) => this.#deliver(message, who),
      answer: (asked, answer, who) => this.#answer(asked, answer, who),
      enabled: enabled => {
        if (this.#random.share() < 0.8) return enabled;
        this.note('no stamps');
        return { ...enabled, children: [] };
      },
      accept: (message, who) => {
        const author = this.#people.find(each => each.jid === who);
        if (author !== undefined) for (const each of this.#impostors) void each.open(message, author.address);
        return [message];
      },
    };
  }

  /** What was held back comes now. */
  release(): void {
    for (const { who, message } of this.#kept.splice(0)) this.#network.gatekeeper.give(who, message);
  }

  /** A message of an impostor, as of the person it poses as. */
  async forge(): Promise<void> {
    const impostor = this.#random.pick(this.#impostors);
    const victim = this.#random.pick(this.#people.filter(each => each.id !== impostor.as.interopId));
    const jid = `${victim.id}@citadel.example`;
    const asked = element('bundle', NS_KEYS, { jid, device: String(victim.address.deviceId) });
    const front = this.#people.find(each => each.id === impostor.as.interopId)!;
    await impostor.meet(victim.id, await this.#network.gatekeeper.ask(front.jid, asked));
    const body = { kind: 'text', text: 'a forgery' } as const;
    const message = await impostor.say(victim.address, body, this.#random.share() < 0.7);
    this.note('forged');
    this.#network.gatekeeper.give(victim.jid, message);
  }

  #deliver(message: Element, who: string): readonly Element[] {
    const share = this.#random.share();
    if (share < 0.7) return [message];
    const other = this.#random.pick(this.#people);
    const lie = this.#random.pick([...ways, ...marks]);
    this.note(lie);
    switch (lie) {
      case 'dropped':
        return [];
      case 'repeated':
        return [message, withAttributes(message, { id: `again-${this.#random.integer(0, 1e9)}` }), message];
      case 'late':
        this.#kept.push({ who, message });
        return this.#kept.length > 4
          ? this.#kept.splice(0).flatMap(each => (each.who === who ? [each.message] : []))
          : [];
      case 'swapped':
        return [withAttributes(message, { from: other.jid })];
      case 'flipped':
        return [flipped(message)];
      case 'misdirected':
        this.#network.gatekeeper.give(other.jid, withAttributes(message, { to: other.jid }));
        return [message];
      default:
        return [this.#remarked(lie, message)];
    }
  }

  /** With another commitment or stamp than it came with, or none. */
  #remarked(lie: (typeof marks)[number], message: Element): Element {
    const { commitment, stamp } = marksOf(message);
    if (commitment === undefined || stamp === undefined) return message;
    this.#marked.push({ commitment, stamp });
    const other = this.#random.pick(this.#marked);
    switch (lie) {
      case 'commitment altered':
        return withMarks(message, { commitment: flipped(commitment), stamp });
      case 'commitment of another':
        return withMarks(message, { commitment: other.commitment, stamp });
      case 'no commitment':
        return withMarks(message, {});
      case 'stamp altered':
        return withMarks(message, { commitment, stamp: flipped(stamp) });
      case 'stamp of another':
        return withMarks(message, { commitment, stamp: other.stamp });
      case 'stamp of another time':
        return withMarks(message, { commitment, stamp: withAttributes(stamp, { at: '1' }) });
      case 'no stamp':
        return withMarks(message, { commitment });
    }
  }

  /** Where clients look for devices: the list, and what its person has signed. */
  #manifest(answer: Element, person: string, registrationId: number): Element {
    const list = childElement(answer, 'manifest', NS_KEYS);
    if (list === undefined) return answer;
    const devices = childElements(list).filter(child => child.name === 'device');
    const signed = childElements(list).filter(child => child.name !== 'device');
    const changed = (children: readonly Element[]): Element => withPayload(answer, { ...list, children });
    const [text, signature] = signed;
    const ghost = (id: string, registration: number): Element =>
      element('device', NS_KEYS, { id, registration: String(registration), jkt: 'a'.repeat(43) });
    const others = [...this.#signed].filter(([each]) => each !== person).flatMap(([, each]) => each);
    const own = this.#signed.get(person) ?? [];
    const lie = this.#random.pick([
      'ghost device',
      'false devices',
      'no devices',
      'left out',
      'no manifest',
      'false text',
      'false signature',
      'older manifest',
      'manifest of another',
    ] as const);
    this.note(lie);
    switch (lie) {
      case 'ghost device':
        return changed([...devices, ghost('9', registrationId), ...signed]);
      case 'false devices':
        return changed(this.#random.pick([['1'], ['1', '2'], ['2']]).map(id => ghost(id, registrationId)));
      case 'no devices':
        return changed(signed);
      case 'left out':
        return changed([...devices.slice(1), ...signed]);
      case 'no manifest':
        return changed(devices);
      case 'false text':
        return text === undefined || signature === undefined
          ? answer
          : changed([...devices, { ...text, children: [textOf(text).replace(/"id":\d+/, '"id":9')] }, signature]);
      case 'false signature':
        return text === undefined || signature === undefined ? answer : changed([...devices, text, flipped(signature)]);
      case 'older manifest':
        return own.length === 0 ? answer : changed([...devices, ...this.#random.pick(own)]);
      case 'manifest of another':
        return others.length === 0 ? answer : changed([...devices, ...this.#random.pick(others)]);
    }
  }

  /** What was served in truth, so that it can be served again, and to whom it does not belong. */
  remember(asked: Element, answer: Element): Element {
    const list = childElement(answer, 'manifest', NS_KEYS);
    if (asked.ns !== NS_KEYS || asked.name !== 'manifest' || list === undefined) return answer;
    const signed = childElements(list).filter(child => child.name !== 'device');
    const person = (attribute(asked, 'jid') ?? '').split('@')[0]!;
    if (signed.length === 2) this.#signed.set(person, [...(this.#signed.get(person) ?? []), signed].slice(0, 50));
    return answer;
  }

  #answer(asked: Element, answer: Element, who: string): Element {
    const person = (attribute(asked, 'jid') ?? '').split('@')[0]!;
    this.remember(asked, answer);
    const impostor = this.#impostors.find(each => each.as.interopId === person);
    const isOwn = impostor !== undefined && who.startsWith(impostor.as.interopId);
    if (isOwn || this.#random.share() < 0.5) return answer;
    if (asked.ns === NS_KEYS && asked.name === 'bundle' && impostor !== undefined) {
      this.note('false keys');
      return withPayload(answer, impostor.bundle());
    }
    if (asked.ns === NS_KEYS && asked.name === 'manifest' && impostor !== undefined)
      return this.#manifest(answer, impostor.as.interopId, impostor.registrationId);
    if (asked.ns === NS_DIRECTORY) {
      this.note('false names');
      const other = this.#random.pick(this.#people).id;
      // Also somebody of another provider.
      const id = this.#random.share() < 0.3 ? other.replace('0-', '1-') : other;
      return asked.name === 'lookup'
        ? withPayload(answer, element('lookup', NS_DIRECTORY, { jid: `${id}@citadel.example` }))
        : notFound(answer);
    }
    return answer;
  }
}
