// Two people write to each other and send files over a line that is bad as a seed says, to a gatekeeper that is started
// again in between; then the line heals. What each was shown is compared with what the other sent.
// The comparison knows nothing of the SDK's own books: only what `send` took, what `messages` gave, and the history.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { devGatekeeperIssuer } from '@drawbridge/cli/dev-config';
import { type DevGatekeeper, startDevGatekeeper, startDevProvider } from '@drawbridge/cli/dev-network';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { type Client, type ConnectionStatus, type Message, openClient } from '@drawbridge/client';
import type { TransportName } from '@drawbridge/client/connection/transports';
import { type Random, seededRandom } from '../durability/random.ts';
import { type FlakyLine, openFlakyLine } from './line.ts';
import { reservePorts } from './reserved-ports.ts';

export type FlakyOptions = {
  readonly seed: number;
  readonly transport: TransportName;
  /** How long the line is bad. */
  readonly badMs: number;
  /** After the line has healed something new must be there within this time, again and again until everything is. */
  readonly patienceMs: number;
  /** Whether connections may be lost for ever without a word; then a quiet client needs 80 s to see it. */
  readonly mayLose: boolean;
  readonly print?: (line: string) => void;
};

export type FlakyOutcome = {
  readonly sent: number;
  readonly files: number;
  /** That something could not be read: each gave way to what was sent again, and stays a thing to look into. */
  readonly lines: readonly string[];
  readonly faults: string;
  readonly healedMs: number;
  /** What both connections went through, the latest last. */
  readonly statuses: readonly string[];
};

/** The gatekeeper's own address, so that its ports on 127.0.0.1 are the line's. */
const hiddenHost = '127.0.0.2';
const lineHost = '127.0.0.1';
const maxFileBytes = 200_000;
const maxFiles = 20;
const maxStatuses = 60;
const progressEveryMs = 5_000;

export type Person = {
  readonly name: string;
  readonly client: Client;
  readonly other: { readonly provider: string; readonly identifier: string };
  /** What `send` took, in order. */
  readonly sent: string[];
  readonly shown: string[];
  /** What stood there for a while in place of what could not be read, and what the SDK said of it. */
  readonly lines: string[];
  /** Files by name: the hash of what was sent, and the messages that showed it. */
  readonly files: Map<string, string>;
  readonly shownFiles: Map<string, Message[]>;
  readonly refused: string[];
  /** Of their connection, the latest last. */
  readonly statuses: string[];
  /** They are about to close: what failed is not tried again. */
  over: boolean;
};

/** Throws when something is missing, twice or out of order when everything is there or nothing moves any more. */
export async function playFlaky(options: FlakyOptions): Promise<FlakyOutcome> {
  const random = seededRandom(options.seed);
  const network = await startNetwork(options, random);
  let people: Person[] = [];
  try {
    people = await network.people();
    const readers = people.map(person => showTo(person));
    network.lines.forEach(line => (line.bad = true));
    const endMs = performance.now() + options.badMs;
    await Promise.all([
      ...people.map(person => talk(person, endMs, random, network.folder)),
      trouble(network, endMs, random),
    ]);
    network.lines.forEach(line => line.heal());
    people.forEach(({ statuses }) => statuses.push('the line heals'));
    const healedAtMs = performance.now();
    const [anna, bob] = people as [Person, Person];
    const isThere = (): boolean =>
      people.every(({ shown }, i) => shown.length >= people[1 - i]!.sent.length) &&
      people.every(({ shownFiles }, i) => shownFiles.size >= people[1 - i]!.files.size);
    const progress = setInterval(
      () => people.forEach((person, i) => noteShown(person, people[1 - i]!)),
      progressEveryMs,
    );
    const count = (): number => people.reduce((sum, { shown, shownFiles }) => sum + shown.length + shownFiles.size, 0);
    for (
      let [last, movedAtMs] = [count(), healedAtMs];
      !isThere() && performance.now() < movedAtMs + options.patienceMs;
    ) {
      await pause(50);
      const now = count();
      if (now > last) [last, movedAtMs] = [now, performance.now()];
    }
    clearInterval(progress);
    const healedMs = performance.now() - healedAtMs;
    // Whatever comes twice comes now.
    await pause(300);
    await compare(anna, bob);
    await compare(bob, anna);
    await compareFiles(anna, bob, network.folder);
    await compareFiles(bob, anna, network.folder);
    people.forEach(person => (person.over = true));
    await Promise.all(people.map(({ client }) => client.close()));
    await Promise.all(readers);
    const faults = network.lines.reduce<Record<string, number>>((sum, line) => {
      for (const [kind, count] of Object.entries(line.faults)) sum[kind] = (sum[kind] ?? 0) + count;
      return sum;
    }, {});
    const sent = anna.sent.length + bob.sent.length;
    const files = anna.files.size + bob.files.size;
    const lines = people.flatMap(person => person.lines);
    const statuses = people.map(person => `${person.name}: ${person.statuses.join(', ')}`);
    return { sent, files, lines, faults: JSON.stringify(faults), healedMs, statuses };
  } finally {
    people.forEach(person => (person.over = true));
    await network.close();
  }
}

/** Once, and in the order of the history: what had to be sent again comes later, and stands where it came first. */
async function compare(from: Person, to: Person): Promise<void> {
  const lines = [...[from, to].map(({ name, statuses }) => `${name}: ${statuses.join(', ')}`), ...to.lines].join('; ');
  assert.deepEqual(await textsOf(to), from.sent, `what stands at ${to.name} is what ${from.name} sent (${lines})`);
  const [shown, sent] = [to.shown, from.sent].map(texts => texts.toSorted());
  assert.deepEqual(shown, sent, `what ${to.name} was shown is what ${from.name} sent (${lines})`);
  assert.deepEqual(from.refused, [], 'nothing of an account in order is refused');
}

/** What the other person said, as it stands in the history. */
export async function textsOf({ client, other }: Person): Promise<string[]> {
  const texts: string[] = [];
  for (let before: number | undefined; ; ) {
    const page = await client.chats.messages({
      chat: other,
      limit: 1_000,
      ...(before === undefined ? {} : { before }),
    });
    if (page.length === 0) return texts.toReversed();
    before = page.at(-1)!.sequence;
    for (const { message } of page) {
      if (message.author === client.me?.interopId || message.kind === 'notice' || nameOf(message) !== undefined)
        continue;
      texts.push(message.kind === 'text' ? message.text : wordOf(message));
    }
  }
}

/** Every file once, with the bytes that were sent. */
async function compareFiles(from: Person, to: Person, folder: string): Promise<void> {
  for (const [name, hash] of from.files) {
    const shown = to.shownFiles.get(name) ?? [];
    assert.equal(shown.length, 1, `${name} is shown once`);
    const target = join(folder, `got ${name}`);
    await to.client.files.save(shown[0]!, 0, target);
    assert.equal(hashOf(readFileSync(target)), hash, `${name} is what was sent`);
  }
}

export type Network = {
  readonly folder: string;
  readonly lines: readonly FlakyLine[];
  people(): Promise<Person[]>;
  restart(): Promise<void>;
  close(): Promise<void>;
};

export async function startNetwork(
  { transport, mayLose }: Pick<FlakyOptions, 'transport' | 'mayLose'>,
  random: Random,
): Promise<Network> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-flaky-'));
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example', 'skylark.example']);
  // Not by the seed: a run that repeats another must not wait for its ports.
  const reserved = await reservePorts(5, [lineHost, hiddenHost], seededRandom(randomInt(0xffff_ffff)));
  const [http, xmpp, xmpps, websocket, compact] = reserved.ports as [number, number, number, number, number];
  const provider = await startDevProvider({
    folder: join(folder, 'skylark'),
    pki,
    gatekeepers: [devGatekeeperIssuer(http)],
  });
  const start = (): Promise<DevGatekeeper> =>
    startDevGatekeeper({
      folder: join(folder, 'citadel'),
      pki,
      host: hiddenHost,
      domain: 'citadel.example',
      ports: { http, xmpp, xmpps, websocket, compact },
      providers: [{ number: 1, name: 'skylark.example', issuer: provider.issuer, wakeUpUrl: provider.wakeUpUrl }],
      unlimited: true,
    });
  let gatekeeper = await start();
  const lines: FlakyLine[] = [];
  for (const port of [http, xmpp, xmpps, websocket, compact])
    lines.push(await openFlakyLine(port, { host: hiddenHost, port }, random, mayLose));
  const clients: Client[] = [];
  const open = async (identifier: string, url: string): Promise<Client> => {
    const client = await openClient({
      folder: join(folder, 'people', identifier),
      key: new Uint8Array(32).fill(9),
      gatekeeper: gatekeeper.issuer,
      provider: { url, identifier, password: `the password of ${identifier}`, signUp: true },
      ca: pki.caFile,
      transports: [transport],
    });
    clients.push(client);
    await client.account.enlist();
    await client.connect();
    return client;
  };
  const person = (name: string, client: Client, provider: string, identifier: string): Person => {
    const someone: Person = {
      name,
      client,
      other: { provider, identifier },
      sent: [],
      shown: [],
      lines: [],
      files: new Map(),
      shownFiles: new Map(),
      refused: [],
      statuses: [],
      over: false,
    };
    void watch(someone);
    return someone;
  };
  return {
    folder,
    lines,
    async people() {
      const bob = await open('bob', `${gatekeeper.issuer}/users`);
      await bob.account.optIn('skylark.example');
      const anna = await open('anna', provider.issuer);
      // The names are looked up while the line is good: asking for them does not concern streams.
      await anna.contacts.find('citadel.example', 'bob');
      await bob.contacts.find('skylark.example', 'anna');
      return [person('anna', anna, 'citadel.example', 'bob'), person('bob', bob, 'skylark.example', 'anna')];
    },
    async restart() {
      await gatekeeper.close();
      gatekeeper = await start();
    },
    async close() {
      for (const client of clients) await client.close();
      for (const line of lines) await line.close();
      await gatekeeper.close();
      await provider.close();
      await reserved.release();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Notes what the SDK gave up of what this person sent, and what it says of what came. */
async function watch({ client, refused, lines, statuses, name }: Person): Promise<void> {
  for await (const event of client.events()) {
    if (event.kind === 'status') note(statuses, event.status);
    if (event.kind === 'problem' && event.error.code === 'protocol-error') lines.push(`${name}: ${event.error.detail}`);
    if (event.kind !== 'message' || event.message.state !== 'failed') continue;
    refused.push(`${name}: ${event.message.text} ${event.message.failure?.code} ${event.message.failure?.detail}`);
  }
}

function note(statuses: string[], status: ConnectionStatus): void {
  if (statuses.length >= maxStatuses) statuses.shift();
  const why = 'error' in status && status.error !== undefined ? ` (${status.error.code} ${status.error.detail})` : '';
  statuses.push(`${new Date().toISOString().slice(14, 23)} ${status.kind}${why}`);
}

function noteShown({ shown, shownFiles, statuses }: Person, { sent, files }: Person): void {
  statuses.push(`${shown.length} of ${sent.length} texts, ${shownFiles.size} of ${files.size} files`);
}

async function talk(person: Person, endMs: number, random: Random, folder: string): Promise<void> {
  const { client, name, other, sent } = person;
  for (let number = 0; performance.now() < endMs; number++) {
    const text = `${name} ${number}`;
    sent.push(text);
    await client.send(other, { text });
    if (person.files.size < maxFiles && random.share() < 0.03) sendFile(person, `${text}.bin`, folder, random);
    await pause(random.share() < 0.05 ? random.integer(100, 900) : random.integer(0, 25));
  }
}

/** As a person does it: a file that fails is sent again, until it is a message. */
function sendFile(person: Person, name: string, folder: string, random: Random): void {
  const { client, other, files } = person;
  const bytes = randomBytes(random.integer(1, maxFileBytes));
  const path = join(folder, name);
  writeFileSync(path, bytes);
  files.set(name, hashOf(bytes));
  const send = async (): Promise<void> => {
    for (let isSent = false; !isSent && !person.over; ) {
      isSent = await client.files.send(other, { path, name, kind: 'file' }).then(
        () => true,
        () => false,
      );
      if (!isSent) await pause(500);
    }
  };
  void send();
}

/** Shows a person their messages, as an application does. */
async function showTo({ client, shown, shownFiles, lines, name: person }: Person): Promise<void> {
  for await (const message of client.messages()) {
    const name = nameOf(message);
    if (message.kind === 'lost') lines.push(`${person}: ${wordOf(message)} behind ${shown.at(-1)}`);
    else if (name === undefined) shown.push(message.kind === 'text' ? message.text : wordOf(message));
    else shownFiles.set(name, [...(shownFiles.get(name) ?? []), message]);
  }
}

/** Of the file that a message shows. */
function nameOf({ body }: Pick<Message, 'body'>): string | undefined {
  return body?.kind === 'attachment' ? body.attachments[0]?.fileName : undefined;
}

/** In place of a text: what stands there, such as a line for what could not be read. */
function wordOf({ kind, sentAtMs, receivedAtMs, notice }: Omit<Message, 'from' | 'markRead'>): string {
  const said = notice === undefined ? '' : ` ${JSON.stringify(notice)}`;
  return `[${kind}${said}, said ${new Date(sentAtMs).toISOString()}, here ${new Date(receivedAtMs).toISOString()}]`;
}

/** Partitions, restarts and resets of everything, now and then. */
async function trouble(network: Network, endMs: number, random: Random): Promise<void> {
  while (performance.now() < endMs) {
    await pause(random.integer(200, 3_000));
    const share = random.share();
    if (share < 0.2) await network.restart();
    else if (share < 0.5) network.lines.forEach(line => line.resetAll());
    else if (share < 0.8) {
      network.lines.forEach(line => (line.partitioned = true));
      await pause(random.integer(50, 2_500));
      network.lines.forEach(line => {
        line.heal();
        line.bad = true;
      });
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
