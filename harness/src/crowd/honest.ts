// The honest ones: pairs that write to each other at a steady rate and keep books of what was sent, acknowledged and came;
// and what they ask of the gatekeeper beside it: logins, keys, files, the right password. Knows nothing of attacks.
import { request } from 'node:https';
import { readFileSync } from 'node:fs';
import { attribute, childElement, type Element } from '@drawbridge/wire/element';
import type { RawStream } from '../durability/raw-stream.ts';
import { mediaFileBytes, type Network, type Person } from './network.ts';

export const owner = { identifier: 'olga', password: 'the right password of olga' };

export function messageText(from: Person, to: Person, id: string, ciphertext: string): string {
  return (
    `<message to='${to.bareJid}' id='${id}' type='chat'><envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' ` +
    `from-device='${from.deviceId}'><ciphertext device='${to.deviceId}' kind='session'>${ciphertext}</ciphertext></envelope></message>`
  );
}

/** What became of all messages of the honest pairs. */
export type Book = {
  sent: number;
  acknowledged: number;
  received: number;
  refused: number;
  /** Came before one that was sent earlier, or a second time. */
  disordered: number;
  /** Streams that ended though nobody wanted it, with the reason. */
  readonly ended: string[];
};

type Line = { readonly from: RawStream; readonly sender: Person; readonly to: Person; next: number; expected: number };

const ciphertext = Buffer.alloc(600, 3).toString('base64');

/** Pairs of people, each writing to the other every `everyMs`. */
export class HonestPairs {
  readonly book: Book = { sent: 0, acknowledged: 0, received: 0, refused: 0, disordered: 0, ended: [] };
  /** From the moment at which a message should have been sent until it came, by when that was. */
  readonly samples: { readonly atMs: number; readonly tookMs: number }[] = [];
  readonly #dueAtMs = new Map<string, number>();
  readonly #lines: Line[] = [];
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #nextAtMs = 0;
  #turn = 0;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  async add(network: Network, pair: readonly [Person, Person]): Promise<void> {
    const index = this.#lines.length;
    const streams: RawStream[] = [];
    for (const [i, person] of pair.entries()) streams.push(await this.#open(network, person, index + (1 - i)));
    for (const [i, sender] of pair.entries()) {
      this.#lines.push({ from: streams[i]!, sender, to: pair[1 - i]!, next: 0, expected: 0 });
    }
  }

  async #open(network: Network, person: Person, incoming: number): Promise<RawStream> {
    let before = 0;
    return await network.login(person, {
      onStanza: stanza => this.#came(stanza, incoming),
      onAcknowledged: handled => {
        this.book.acknowledged += handled - before;
        before = handled;
      },
      onClosed: reason => this.#timer !== undefined && this.book.ended.push(reason),
    });
  }

  #came(stanza: Element, incoming: number): void {
    const id = attribute(stanza, 'id') ?? '';
    if (stanza.name !== 'message' || !id.startsWith('h')) return;
    if (attribute(stanza, 'type') === 'error') {
      this.book.refused++;
      return;
    }
    const nowMs = performance.now();
    const dueAtMs = this.#dueAtMs.get(id);
    const line = this.#lines[incoming]!;
    if (dueAtMs === undefined || Number(id.slice(id.indexOf('-') + 1)) !== line.expected) this.book.disordered++;
    line.expected++;
    if (dueAtMs === undefined) return;
    this.#dueAtMs.delete(id);
    this.book.received++;
    this.samples.push({ atMs: dueAtMs, tookMs: nowMs - dueAtMs });
  }

  /** Lines take turns, so that messages are spread evenly over the time. */
  start(): void {
    this.#nextAtMs = performance.now();
    const stepMs = this.#everyMs / this.#lines.length;
    this.#timer = setInterval(() => {
      for (const nowMs = performance.now(); this.#nextAtMs <= nowMs; this.#nextAtMs += stepMs) {
        const index = this.#turn++ % this.#lines.length;
        const line = this.#lines[index]!;
        const id = `h${index}-${line.next++}`;
        this.#dueAtMs.set(id, this.#nextAtMs);
        this.book.sent++;
        line.from.send(messageText(line.sender, line.to, id, ciphertext));
        line.from.ask();
      }
    }, 2);
  }

  /** Sends no more, and waits until everything is acknowledged and has come, or for so long. */
  async stop(patienceMs: number): Promise<void> {
    clearInterval(this.#timer);
    const giveUpAtMs = performance.now() + patienceMs;
    const { book } = this;
    while ((book.received < book.sent || book.acknowledged < book.sent) && performance.now() < giveUpAtMs) {
      for (const line of this.#lines) line.from.ask();
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    this.#timer = undefined;
    for (const line of this.#lines) line.from.cut();
  }
}

/**
 * What honest people ask beside writing, one person after the other; how often it was given, and what went wrong. They take turns:
 * one who asked all of it would log in and look somebody up three times a second, which no person does and budgets don't allow.
 */
export class HonestErrands {
  readonly done = new Map<string, number>();
  readonly failed: string[] = [];
  readonly #network: Network;
  readonly #people: readonly Person[];
  readonly #away: Person;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  /** `away`: somebody who is never there, and has to be woken. */
  constructor(network: Network, people: readonly Person[], away: Person) {
    this.#network = network;
    this.#people = people;
    this.#away = away;
  }

  /** Signs the owner of the password up. */
  async prepare(): Promise<void> {
    const answer = await this.#post('/users/v1/users', owner);
    if (answer.status !== 201) throw new Error(`no user was made: ${answer.status} ${answer.body}`);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let round = 0; !this.#stopped; round++) {
      await this.#try('stream', () => this.#streamErrands(round));
      await this.#try('password', async () => {
        const { status, body } = await this.#post('/users/v1/sessions', owner);
        if (status !== 200 && status !== 201) throw new Error(`${status} ${body}`);
      });
      await new Promise(resolve => setTimeout(resolve, 250));
    }
  }

  async #try(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.done.set(name, (this.done.get(name) ?? 0) + 1);
    } catch (error) {
      this.failed.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** A new login, somebody's devices, a grant for a file and the file, a message to somebody who has to be woken. */
  async #streamErrands(round: number): Promise<void> {
    const person = this.#people[round % this.#people.length]!;
    const answers = new Map<string, (stanza: Element) => void>();
    const stream = await this.#network.login(person, {
      onStanza: stanza => answers.get(attribute(stanza, 'id') ?? '')?.(stanza),
    });
    const ask = async (id: string, payload: string): Promise<Element> => {
      const { promise, resolve, reject } = Promise.withResolvers<Element>();
      answers.set(id, resolve);
      const timer = setTimeout(() => reject(new Error(`no answer to ${id}`)), 20_000);
      stream.send(`<iq type='get' id='${id}'>${payload}</iq>`);
      const answer = await promise.finally(() => clearTimeout(timer));
      if (attribute(answer, 'type') !== 'result') throw new Error(`${id} was refused`);
      return answer;
    };
    try {
      await ask('devices', `<devices xmlns='urn:drawbridge:keys:1' jid='${this.#away.bareJid}'/>`);
      const grant = `<grant xmlns='urn:drawbridge:media:1' url='${this.#network.honestFile}' size='${mediaFileBytes}'/>`;
      const granted = childElement(await ask('grant', grant), 'grant', 'urn:drawbridge:media:1')!;
      const { status, body } = await this.#call('GET', attribute(granted, 'href')!, undefined);
      if (status !== 200 || body.length !== mediaFileBytes) throw new Error(`file: ${status}, ${body.length} bytes`);
      stream.send(messageText(person, this.#away, `away${round}`, ciphertext));
    } finally {
      await stream.end();
    }
  }

  async #post(path: string, body: unknown): Promise<{ status: number; body: string }> {
    return await this.#call(
      'POST',
      `https://localhost:${this.#network.target.ports.http}${path}`,
      JSON.stringify(body),
    );
  }

  #call(method: string, url: string, body: string | undefined): Promise<{ status: number; body: string }> {
    const ca = readFileSync(this.#network.target.pki.caFile);
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    return new Promise((resolve, reject) => {
      const sent = request(url, { method, ca, headers, agent: false, family: 4, timeout: 20_000 }, response => {
        let text = '';
        response.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
        response.on('error', reject);
      });
      sent.on('timeout', () => sent.destroy(new Error('no answer within 20 s')));
      sent.on('error', reject);
      sent.end(body);
    });
  }
}
