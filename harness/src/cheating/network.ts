// A gatekeeper behind one that cheats, providers that can cheat, and people who use the SDK. What each said to
// whom is in a book that knows nothing of the SDK; so is what each was shown and told.
// Knows nothing of attacks.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { devGatekeeperIssuer, freePorts } from '@drawbridge/cli/dev-config';
import { startDevGatekeeper, startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import {
  type Client,
  type ClientEvent,
  type ClientOptions,
  type KnownPerson,
  type Message,
  openClient,
} from '@drawbridge/client';
import { type CheatingGatekeeper, openCheatingGatekeeper } from './gatekeeper.ts';
import { type CheatingProvider, openCheatingProvider } from './provider.ts';

/** Of every client's store: a cheat may have a copy. */
export const storeKey = new Uint8Array(32).fill(5);

export type Name = { readonly provider: string; readonly identifier: string };

/** A person with one device. */
export class Person {
  readonly client: Client;
  readonly name: Name;
  /** Texts that this person was shown, with who they are said to be from. */
  readonly shown: Pick<Message, 'author' | 'id' | 'text'>[] = [];
  /** Whose messages could not be read, as this person was shown. */
  readonly lost: string[] = [];
  /** Everything that happened, for a person who looks. */
  readonly events: ClientEvent[] = [];
  readonly #network: CheatingNetwork;

  constructor(network: CheatingNetwork, client: Client, name: Name) {
    this.#network = network;
    this.client = client;
    this.name = name;
    void this.#watch();
    void this.#read();
  }

  get id(): KnownPerson {
    return this.client.me!.interopId;
  }

  get jid(): string {
    return this.client.me!.jid;
  }

  get address(): { readonly interopId: string; readonly deviceId: number } {
    const { interopId, deviceId } = this.client.me!;
    return { interopId, deviceId };
  }

  async say(to: Person, text: string, how: Parameters<Client['send']>[0] = to.name): Promise<Message> {
    this.#network.book.push({ author: this.id, to: to.id, text });
    return await this.client.send(how, { text });
  }

  /** Waits until this person was shown a text. */
  async sees(text: string): Promise<void> {
    await until(() => this.shown.some(each => each.text === text), `${this.name.identifier} sees ${text}`);
  }

  /** The messages of this person that somebody says they have. */
  receipts(): string[] {
    // Each of several devices says it; an earlier time that comes later is told again.
    const ids = this.events.flatMap(event =>
      event.kind === 'message' && event.message.state === 'delivered' ? [event.message.id] : [],
    );
    return [...new Set(ids)];
  }

  /** Waits for an event, from the beginning or to come. */
  async told<T>(read: (event: ClientEvent) => T | undefined, what: string): Promise<T> {
    const found = (): T | undefined => {
      for (const event of this.events) {
        const value = read(event);
        if (value !== undefined) return value;
      }
      return undefined;
    };
    await until(() => found() !== undefined, `${this.name.identifier} is told: ${what}`);
    return found()!;
  }

  async verify(other: Person): Promise<void> {
    const { identityKey } = await this.client.identities.get({ interopId: other.id });
    await this.client.identities.setVerified({ interopId: other.id }, identityKey);
  }

  /** Reports what this person was shown; gives the report's id. */
  async report(text: string): Promise<string> {
    const message = this.shown.find(each => each.text === text)!;
    return (await this.client.reports.send({ message, category: 'abuse' })).id;
  }

  canReport(text: string): boolean {
    return this.client.reports.canReport(this.shown.find(each => each.text === text)!);
  }

  async #watch(): Promise<void> {
    for await (const event of this.client.events()) this.events.push(event);
  }

  async #read(): Promise<void> {
    for await (const { author, id, text, kind } of this.client.messages()) {
      if (kind === 'lost') this.lost.push(author);
      else this.shown.push({ author, id, text });
    }
  }
}

const patienceMs = 60_000;

export async function until(isSo: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!isSo()) {
    if (performance.now() > endMs) assert.fail(`it never came: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

/** The real gatekeeper's own address: its ports on 127.0.0.1 are the cheat's. */
const realHost = '127.0.0.2';

type Parts = {
  readonly folder: string;
  readonly ca: string;
  readonly gatekeeper: CheatingGatekeeper;
  readonly home: CheatingProvider;
  readonly crow: CheatingProvider;
  readonly skylark: string;
  readonly issuer: string;
  readonly close: () => Promise<void>;
};

export class CheatingNetwork {
  readonly gatekeeper: CheatingGatekeeper;
  /** Vouches for the gatekeeper's own users (`citadel.example`). */
  readonly home: CheatingProvider;
  /** A third party's (`crow.example`). */
  readonly crow: CheatingProvider;
  /** The URL of an honest one (`skylark.example`), where people sign in: for the terminal. */
  readonly skylark: string;
  readonly issuer: string;
  readonly ca: string;
  readonly folder: string;
  readonly book: { readonly author: string; readonly to: string; readonly text: string }[] = [];
  readonly people: Person[] = [];
  readonly #parts: Parts;
  /** Stands behind each identifier, so that every attack has people of its own. */
  #round = 0;

  static async open(): Promise<CheatingNetwork> {
    const folder = mkdtempSync(join(tmpdir(), 'drawbridge-cheats-'));
    const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example', realHost]);
    const [http, websocket] = (await freePorts(2, realHost)) as [number, number];
    const issuer = devGatekeeperIssuer(http);
    const home = await openCheatingProvider(pki);
    const crow = await openCheatingProvider(pki);
    const skylark = await startDevProvider({ folder: join(folder, 'skylark'), pki, gatekeepers: [issuer] });
    const gatekeeper = await openCheatingGatekeeper({ pki, realHost, ports: { http, websocket } });
    const real = await startDevGatekeeper({
      folder: join(folder, 'citadel'),
      pki,
      host: realHost,
      domain: 'citadel.example',
      ports: { http, websocket },
      ownUsers: { issuer: home.issuer },
      providers: [
        { number: 1, name: 'crow.example', issuer: crow.issuer },
        { number: 2, name: 'skylark.example', issuer: skylark.issuer, wakeUpUrl: skylark.wakeUpUrl },
      ],
      unlimited: true,
    });
    const close = async (): Promise<void> => {
      await gatekeeper.close();
      await real.close();
      await home.close();
      await crow.close();
      await skylark.close();
    };
    return new CheatingNetwork({
      folder,
      ca: pki.caFile,
      gatekeeper,
      home,
      crow,
      skylark: skylark.issuer,
      issuer,
      close,
    });
  }

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.gatekeeper = parts.gatekeeper;
    this.home = parts.home;
    this.crow = parts.crow;
    this.skylark = parts.skylark;
    this.issuer = parts.issuer;
    this.ca = parts.ca;
    this.folder = parts.folder;
  }

  /** Not enlisted, not connected. */
  async client(identifier: string, provider: string, extra: Partial<ClientOptions> = {}): Promise<Client> {
    const issuer = provider === 'citadel.example' ? this.home : this.crow;
    return await openClient({
      folder: join(this.folder, 'people', identifier),
      key: storeKey,
      gatekeeper: this.issuer,
      proofSource: ({ audience, jkt }) => issuer.proof({ subject: identifier, audience, jkt }),
      ca: this.ca,
      // One element is one message there, which is all that the cheat needs.
      transports: ['websocket'],
      ...extra,
    });
  }

  /** Enlisted and connected; of the gatekeeper's own users, reachable for both providers. */
  async person(name: string, provider = 'citadel.example', extra: Partial<ClientOptions> = {}): Promise<Person> {
    const identifier = `${name}-${this.#round}`;
    const client = await this.client(identifier, provider, extra);
    await client.account.enlist();
    await client.connect();
    if (provider === 'citadel.example') await client.account.optIn('crow.example');
    return this.watch(client, { provider, identifier });
  }

  /** Another device of this person, linked and connected. */
  async furtherDevice(person: Person): Promise<Person> {
    const { identifier, provider } = person.name;
    const client = await this.client(identifier, provider, {
      folder: join(this.folder, 'people', `${identifier}-second`),
    });
    const { code } = await client.devices.beginLink();
    const ticket = await (await person.client.devices.readLink(code)).confirm();
    await (await client.devices.openLink(ticket)).confirm();
    await client.connect();
    return this.watch(client, person.name);
  }

  watch(client: Client, name: Name): Person {
    const person = new Person(this, client, name);
    this.people.push(person);
    return person;
  }

  /** For the next attack: people by the same names are others. */
  round(): this {
    this.#round++;
    return this;
  }

  /** Nobody was shown what was not said to them, by the one it is said to be from, once. */
  check(): void {
    for (const person of this.people) {
      const { id, shown, name } = person;
      for (const { author, text } of shown) {
        const isSaid = this.book.some(each => each.author === author && each.to === id && each.text === text);
        assert(isSaid, `${name.identifier} was shown “${text}” of ${author}, who never said it to them`);
      }
      const texts = shown.map(({ author, text }) => `${author} ${text}`);
      assert.equal(new Set(texts).size, texts.length, `${name.identifier} was shown something twice`);
    }
  }

  /** Ends these people and all lies. */
  async leave(): Promise<void> {
    this.gatekeeper.lies = {};
    for (const { client } of this.people.splice(0)) await client.close();
    this.book.length = 0;
  }

  async close(): Promise<void> {
    await this.leave();
    await this.#parts.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
