// Counts instead of times, for CI: what one routed message makes the gatekeeper's inside allocate, write, store and send.
// Listener, session, router, mailbox and codecs are the real ones; link, accounts and storage are counted stand-ins, so
// that two runs on two machines give the same figures. Fixed input, one message in each turn of the event loop.

import { createHook } from 'node:async_hooks';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { type Core, openCore } from '@drawbridge/gatekeeper/core';
import { judge } from '@drawbridge/gatekeeper/consent/first-contact';
import type { Account, Accounts } from '@drawbridge/gatekeeper/enlistment/account';
import { defaultListenerLimits } from '@drawbridge/gatekeeper/listeners/admission';
import { CompactStream } from '@drawbridge/gatekeeper/listeners/compact-stream';
import { XmppStream } from '@drawbridge/gatekeeper/listeners/xmpp-stream';
import { defaultMailboxLimits } from '@drawbridge/gatekeeper/mailbox/mailbox-limits';
import type { AppendOutcome, MailboxStore, StoredEntry } from '@drawbridge/gatekeeper/mailbox/mailbox-store';
import { createStanzaCodec } from '@drawbridge/gatekeeper/mailbox/stanza-codec';
import { defaultSessionLimits } from '@drawbridge/gatekeeper/routing/session-limits';
import { unlimitedShaper } from '@drawbridge/gatekeeper/routing/stream-shaper';
import { platformCrypto } from '@drawbridge/noise/platform-crypto';
import { CompactClient } from '@drawbridge/stream/compact-client';
import { encodeCertificate } from '@drawbridge/stream/compact-login';
import { compactContext } from '@drawbridge/wire/compact-value';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import { encodeElement, encodeStreamHeader } from '@drawbridge/wire/xml-encoder';
import { compareCounts, type Counts, type CountedFile, isCountedFile } from './compare-counts.ts';
import { messageElement, type Person } from './load/target.ts';
import { median, resultsFolder, round } from './results.ts';

export type { Counts } from './compare-counts.ts';

const domain = 'localhost';
const file = join(resultsFolder, 'counts.json');
const warmUps = 12_000;
const measured = 6_000;
/** Messages with a hook on everything asynchronous; a hook costs too much for the others. */
const hooked = 1_000;
/** What is allocated depends a little on when the compiler and the collector run: the median of this number of runs. */
const runs = 3;

/** Both have accepted each other, as when people write for a while. */
function decidedAbout(index: number): Account['contacts']['decided'] {
  return new Map([[`k${index}`, { state: 'accepted', isOpen: true, interopId: undefined }]]);
}

/** Sender (third party) and recipient (own user), as everywhere in this folder. */
const accounts: readonly Account[] = [1, 0].map((provider, index) => ({
  row: index + 1,
  interopId: `${provider}-${'abcdefghijklmnopqrstuvwxya'.slice(index)}${'a'.repeat(index)}`,
  provider,
  identifier: `u${index}`,
  status: 'active',
  proofsFromMs: 0,
  devices: [{ row: index + 1, id: 1, registrationId: 1, thumbprint: `t${index}`, listed: true }],
  version: 1,
  optIns: [1],
  linkOnly: false,
  contacts: { key: `k${index}`, sharedKey: undefined, decided: decidedAbout(1 - index) },
}));
const people: readonly Person[] = accounts.map((account, index) => ({
  index,
  bareJid: `${account.interopId}@${domain}`,
  device: 1,
  devicePrivateKey: undefined,
}));
const ciphertext = Buffer.alloc(586, 0xa5);

/** Storage that answers at once, and counts. */
class CountedStore implements MailboxStore {
  transactions = 0;
  statements = 0;
  readonly #rows = new Map<number, Map<number, StoredEntry>>();
  #lastSeq = 0;

  claim: MailboxStore['claim'] = device => {
    const count = this.#rows.get(device)?.size ?? 0;
    return Promise.resolve({ kind: 'claimed', epoch: 1, lastSeq: this.#lastSeq, count, bytes: 0 });
  };
  release: MailboxStore['release'] = () => Promise.resolve();
  append: MailboxStore['append'] = rows => {
    this.transactions++;
    this.statements += rows.length;
    const outcomes = rows.map(({ device, acceptedAtMs, expiresAtMs, stanza }): AppendOutcome => {
      let entries = this.#rows.get(device);
      if (entries === undefined) this.#rows.set(device, (entries = new Map()));
      const seq = ++this.#lastSeq;
      entries.set(seq, { seq, acceptedAtMs, expiresAtMs, stanza });
      return { kind: 'stored', seq };
    });
    return Promise.resolve(outcomes);
  };
  remove: MailboxStore['remove'] = ranges => {
    this.transactions++;
    this.statements += ranges.length;
    for (const { device, first, last } of ranges) {
      const entries = this.#rows.get(device);
      for (const seq of [...(entries?.keys() ?? [])]) if (seq >= first && seq <= last) entries!.delete(seq);
    }
    return Promise.resolve([]);
  };
  page: MailboxStore['page'] = (device, _epoch, afterSeq, maxCount) => {
    this.statements++;
    const entries = [...(this.#rows.get(device)?.values() ?? [])].filter(entry => entry.seq > afterSeq);
    return Promise.resolve(entries.sort((a, b) => a.seq - b.seq).slice(0, maxCount));
  };
  devices: MailboxStore['devices'] = () => Promise.resolve([]);
  hasLoud: MailboxStore['hasLoud'] = () => Promise.resolve(false);
  endOtherClaims: MailboxStore['endOtherClaims'] = () => Promise.resolve([]);
  expired: MailboxStore['expired'] = () => Promise.resolve({ entries: [], next: undefined });
  orphaned: MailboxStore['orphaned'] = () => Promise.resolve(undefined);
  removeOrphaned: MailboxStore['removeOrphaned'] = () => Promise.resolve();
}

async function openCountedCore(store: CountedStore): Promise<Core> {
  const peek: Accounts['peek'] = interopId => accounts.find(account => account.interopId === interopId);
  const find: Accounts['find'] = interopId => Promise.resolve(peek(interopId));
  const unlimited = Number.MAX_SAFE_INTEGER;
  return await openCore({
    domain,
    accounts: { peek, find, findAfresh: id => find(id), findByIdentifier: () => Promise.resolve(undefined) },
    mailboxStore: store,
    codec: createStanzaCodec(domain),
    iqHandlers: new Map(),
    stamps: { stamp: () => new Uint8Array(32) },
    mayReach: () => true,
    contacts: {
      judge: (from, to, isLoud) => judge(from, to, 'across-providers', isLoud),
      admit: () => Promise.resolve('open'),
    },
    suiteAdmitted: () => true,
    keyStands: () => true,
    wakeUp: () => {},
    authenticate: token => {
      const account = accounts[Number(token.at(-1))]!;
      return Promise.resolve({
        kind: 'admitted',
        account,
        device: account.devices[0]!,
        keyThumbprint: 'k',
        proofExpiresAtMs: unlimited,
      });
    },
    nowMs: Date.now,
    log: () => {},
    mailboxLimits: defaultMailboxLimits,
    sessionLimits: { ...defaultSessionLimits, shaper: unlimitedShaper },
    listenerLimits: defaultListenerLimits,
  });
}

/** One end of a stream: what the gatekeeper wrote there. */
class CountedLink {
  writes = 0;
  bytes = 0;
  congested = false;
  send = (data: string | Uint8Array): void => {
    this.writes++;
    this.bytes += data.length;
  };
  end(): void {}
  pause(): void {}
  resume(): void {}
  startTls(): void {}
}

/** A logged-in stream: takes bytes, and has prepared what its client will say. */
type End = {
  readonly link: CountedLink;
  readonly take: (bytes: Uint8Array) => void;
  readonly prepare: (elements: readonly Element[]) => Uint8Array;
};

const asked = element('r', NS_SM);

function message(number: number): Element {
  return messageElement(people[0]!, people[1]!, `m${number}`, ciphertext);
}

function ack(handled: number): Element {
  return element('a', NS_SM, { h: String(handled) });
}

async function openXml(core: Core, index: number): Promise<End> {
  const link = new CountedLink();
  const place = core.listenerHost.gate.enter('127.0.0.1')!;
  const stream = new XmppStream(core.listenerHost, link, { framing: 'stream', carrier: 'secured', place });
  const say = async (text: string): Promise<void> => {
    stream.bytes(Buffer.from(text));
    await turn();
    await turn();
  };
  const header = encodeStreamHeader({ to: domain, version: '1.0' });
  await say(header);
  const response = Buffer.from(`n,,\u0001auth=Bearer a.b.${index}\u0001\u0001`).toString('base64');
  await say(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='OAUTHBEARER'>${response}</auth>`);
  await say(header);
  await say(`<iq type='set' id='b'><bind xmlns='${NS_BIND}'/></iq>`);
  await say(`<enable xmlns='${NS_SM}' resume='true'/>`);
  return {
    link,
    take: bytes => stream.bytes(bytes),
    prepare: elements => Buffer.from(elements.map(el => encodeElement(el, NS_CLIENT)).join('')),
  };
}

const suite = platformCrypto.suite('ChaChaPoly', 'SHA256');
const gatekeeper = platformCrypto.generateKeyPair();

async function openCompact(core: Core, index: number): Promise<End> {
  const link = new CountedLink();
  const certificate = { publicKey: gatekeeper.publicKey, notBefore: 1, notAfter: 2, signature: new Uint8Array(64) };
  const client = new CompactClient({
    domain,
    suite,
    deviceKeyPair: platformCrypto.generateKeyPair(),
    knownStaticKey: gatekeeper.publicKey,
    isCertified: () => true,
    proof: `a.b.${index}`,
    stanzas: [
      element('iq', NS_CLIENT, { type: 'set', id: 'b' }, [element('bind', NS_BIND)]),
      element('enable', NS_SM, { resume: 'true' }),
    ],
  });
  const place = core.listenerHost.gate.enter('127.0.0.1')!;
  const settings = {
    domain,
    suites: [suite],
    staticKeyPairs: [gatekeeper] as const,
    certificate: encodeCertificate(certificate, compactContext(domain)),
  };
  const stream = new CompactStream(core.listenerHost, link, { settings, place, keyLog: undefined });
  const received: Uint8Array[] = [];
  const count = link.send;
  link.send = bytes => void received.push(bytes as Uint8Array);
  for (const event of client.start()) if (event.kind === 'send') stream.bytes(event.bytes);
  for (let i = 0; i < 5; i++) await turn();
  for (const bytes of received) client.receive(bytes);
  if (client.transport === undefined) throw new Error('the compact login failed');
  link.send = count;
  return { link, take: bytes => stream.bytes(bytes), prepare: elements => client.send(elements)! };
}

/** How many asynchronous resources the work begins: what a hot path should do in batches. */
async function asynchronous(work: () => Promise<void>): Promise<number> {
  let begun = 0;
  const hook = createHook({ init: () => void begun++ }).enable();
  await work();
  hook.disable();
  return begun;
}

/** One of the online counts, for whoever wants to look on. */
export async function countOnline(carrier: 'xml' | 'compact'): Promise<Counts> {
  return await online(carrier === 'xml' ? openXml : openCompact, carrier);
}

/** Sender and recipient are there and acknowledge: nothing is stored. */
async function online(open: (core: Core, index: number) => Promise<End>, name: string): Promise<Counts> {
  const store = new CountedStore();
  const core = await openCountedCore(store);
  const [sender, recipient] = [await open(core, 0), await open(core, 1)];
  const total = warmUps + measured + hooked;
  const messages: Uint8Array[] = [];
  const answers: Uint8Array[] = [];
  for (let i = 0; i < total; i++) {
    messages.push(sender.prepare([message(i), asked]));
    answers.push(recipient.prepare([ack(i + 1)]));
  }
  let before = { allocated: 0, writes: 0, bytes: 0, statements: 0 };
  const now = (): typeof before => ({
    allocated: (getHeapStatistics() as unknown as { total_allocated_bytes: number }).total_allocated_bytes,
    writes: sender.link.writes + recipient.link.writes,
    bytes: sender.link.bytes + recipient.link.bytes,
    statements: store.statements,
  });
  const routed = core.counters.routed;
  const exchange = async (i: number): Promise<void> => {
    sender.take(messages[i]!);
    await turn();
    recipient.take(answers[i]!);
    await turn();
  };
  for (let i = 0; i < warmUps; i++) await exchange(i);
  before = now();
  for (let i = warmUps; i < warmUps + measured; i++) await exchange(i);
  const after = now();
  const begun = await asynchronous(async () => {
    for (let i = warmUps + measured; i < total; i++) await exchange(i);
  });
  // What this loop itself begins.
  const own = await asynchronous(async () => {
    const nothing = async (): Promise<void> => {
      await turn();
      await turn();
    };
    for (let i = 0; i < hooked; i++) await nothing();
  });
  if (core.counters.routed - routed !== total)
    throw new Error(`${name}: ${core.counters.routed} of ${total} were routed`);
  await core.close();
  const each = (key: keyof typeof before): number => round((after[key] - before[key]) / measured);
  return {
    [`${name}: bytes allocated on the heap per message`]: each('allocated'),
    [`${name}: writes per message (message, acknowledgement)`]: each('writes'),
    [`${name}: characters or bytes written per message`]: each('bytes'),
    [`${name}: SQL statements per message`]: each('statements'),
    [`${name}: promises, timers and immediates begun per message`]: round(Math.max(0, begun - own) / hooked),
  };
}

/** The recipient is away: ten messages come in each read. Then it comes back. */
async function offline(): Promise<Counts> {
  const store = new CountedStore();
  const core = await openCountedCore(store);
  const sender = await openXml(core, 0);
  const perRead = 10;
  const total = 2_000;
  for (let i = 0; i < total; i += perRead) {
    const stanzas = Array.from({ length: perRead }, (_, index) => message(i + index));
    sender.take(sender.prepare([...stanzas, asked]));
    await turn();
    await turn();
  }
  const stored = { transactions: store.transactions, statements: store.statements };
  const recipient = await openXml(core, 1);
  let handled = 0;
  // The session hands over 512 at most before it wants an acknowledgement.
  for (let i = 0; i < 100 && handled < total; i++) {
    for (let k = 0; k < 10; k++) await turn();
    handled = Math.min(total, handled + 512);
    recipient.take(recipient.prepare([ack(handled)]));
  }
  const writes = recipient.link.writes;
  await core.close();
  return {
    'stored: transactions per message (10 in a read)': round(stored.transactions / total),
    'stored: SQL statements per message': round(stored.statements / total),
    'drained: SQL statements per message': round((store.statements - stored.statements) / total),
    'drained: writes per message': round(writes / total),
  };
}

/** Medians, count by count. */
async function medianOf(count: () => Promise<Counts>): Promise<Counts> {
  const all: Counts[] = [];
  for (let i = 0; i < runs; i++) all.push(await count());
  return Object.fromEntries(Object.keys(all[0]!).map(name => [name, median(all.map(counts => counts[name]!))]));
}

export async function countAll(): Promise<Counts> {
  return {
    ...(await medianOf(() => online(openXml, 'XML'))),
    ...(await medianOf(() => online(openCompact, 'compact'))),
    ...(await offline()),
  };
}

/** Counts, prints, and writes the file; with `check` compares with it instead. Gives the exit code. */
export async function runCounts(check: boolean): Promise<number> {
  const counts = await countAll();
  const now: CountedFile = { node: process.version, counts };
  const known = readKnown();
  const { lines, failures } = compareCounts(known, now);
  for (const line of lines) process.stdout.write(`${line}\n`);
  if (!check) {
    writeFileSync(file, `${JSON.stringify(now, undefined, 1)}\n`);
    return 0;
  }
  for (const failure of failures) process.stderr.write(`bench: ${failure}\n`);
  if (failures.length === 0) return 0;
  process.stderr.write(
    'Next: find what grew; if it is meant to, npm run bench -- --counts, and say why in the commit\n',
  );
  return 1;
}

function readKnown(): CountedFile | undefined {
  if (!existsSync(file)) return undefined;
  const known: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return isCountedFile(known) ? known : undefined;
}
