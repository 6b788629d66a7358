// The order and the memory of what one compact connection reads, without sockets: the login that takes its time, and frames of more
// stanzas than one turn has room for.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { systemAfter } from '@drawbridge/identity/timers';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { CompactClient, type CompactClientEvent } from '@drawbridge/stream/compact-client';
import { encodeCertificate } from '@drawbridge/stream/compact-login';
import { compactContext } from '@drawbridge/wire/compact-value';
import { attribute, element, type Element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT } from '@drawbridge/wire/namespaces';
import { Mailboxes } from '../mailbox/mailbox.ts';
import { defaultMailboxLimits } from '../mailbox/mailbox-limits.ts';
import { createStanzaCodec } from '../mailbox/stanza-codec.ts';
import type { DeviceSession, SessionHost } from '../routing/device-session.ts';
import { HeldMemory } from '../routing/held-memory.ts';
import { defaultSessionLimits, maxTurnStanzas } from '../routing/session-limits.ts';
import { KeptShapers } from '../routing/stream-shaper.ts';
import { MemoryMailboxStore } from '../testing/memory-mailbox.ts';
import { type Admission, defaultListenerLimits, type ListenerHost } from './admission.ts';
import { CompactStream } from './compact-stream.ts';

const domain = 'citadel.example';
const suite = nodeSuite('AESGCM', 'SHA256');
const bind = element('iq', NS_CLIENT, { type: 'set', id: 'bind' }, [element('bind', NS_BIND)]);

function ping(id: string, text = ''): Element {
  return element('iq', NS_CLIENT, { type: 'get', id }, [
    element('ping', 'urn:xmpp:ping', {}, text === '' ? [] : [text]),
  ]);
}

/** What waits of all streams, as the process counts it. */
class WatchedMemory extends HeldMemory {
  waitingBytes = 0;
  mostBytes = 0;
  override changeWaitingInput(bytes: number): boolean {
    const isTaken = super.changeWaitingInput(bytes);
    if (isTaken) this.waitingBytes += bytes;
    this.mostBytes = Math.max(this.mostBytes, this.waitingBytes);
    return isTaken;
  }
}

/** A connection whose turns of login, end of turn and answer about the proof come when the test says so. */
async function scene(t: TestContext) {
  const memory = new WatchedMemory(64 * 1024 * 1024);
  const routed: string[] = [];
  const dirty = new Set<DeviceSession>();
  const loginTurns: (() => void)[] = [];
  const proof = Promise.withResolvers<Admission>();
  const mailboxes = new Mailboxes({
    store: new MemoryMailboxStore(),
    node: 'a',
    codec: createStanzaCodec(domain),
    nowMs: () => 0,
    monotonicMs: () => 0,
    limits: defaultMailboxLimits,
    events: { congested: () => {}, damaged: () => {} },
    tellSender: () => Promise.resolve(),
  });
  const sessionHost: SessionHost = {
    domain,
    limits: defaultSessionLimits,
    mailboxes,
    monotonicMs: () => 0,
    after: systemAfter,
    newId: () => 'id',
    route: (session, el, sequence) => {
      routed.push(attribute(el, 'id')!);
      session.resolve(sequence);
    },
    stillWanted: () => true,
    flushSoon: session => void dirty.add(session),
    flushLater: () => {},
    readLater: session => session.nextTurn(),
    mailWaits: () => {},
    ended: () => {},
    congested: false,
    memory,
    stamp: () => new Uint8Array(32),
    shapers: new KeptShapers(defaultSessionLimits.shaper),
    pausedByCongestion: () => {},
  };
  const host = {
    tap: undefined,
    domain,
    limits: defaultListenerLimits,
    sessions: { ofDevice: () => undefined, add: () => {}, newId: () => 'id', resume: () => undefined },
    sessionHost,
    log: () => {},
    stillAdmitted: () => true,
    authenticate: () => proof.promise,
    streamErrors: new Map(),
  } as unknown as ListenerHost;
  const answers: Uint8Array[] = [];
  const link = {
    send: (bytes: Uint8Array) => void answers.push(bytes),
    end: () => {},
    pause: () => {},
    resume: () => {},
    congested: false,
  };
  const staticKeyPair = generateKeyPair();
  const certificate = {
    ...{ publicKey: staticKeyPair.publicKey, ciphers: ['AESGCM'] },
    ...{ notBefore: 1, notAfter: 2_000_000_000, signature: new Uint8Array(64) },
  };
  const stream = new CompactStream(host, link, {
    settings: {
      domain,
      suites: [suite],
      staticKeyPairs: [staticKeyPair],
      certificate: encodeCertificate(certificate, compactContext(domain)),
    },
    place: { network: '192.0.2.1', turn: step => void loginTurns.push(step), admitted: () => {}, leave: () => {} },
    keyLog: undefined,
  });
  t.after(() => stream.linkLost());
  const client = new CompactClient({
    domain,
    suite,
    deviceKeyPair: generateKeyPair(),
    knownStaticKey: undefined,
    isCertified: () => true,
    proof: 'proof',
    stanzas: [bind],
  });
  const sentBy = (events: readonly CompactClientEvent[]): Buffer =>
    Buffer.concat(events.flatMap(event => (event.kind === 'send' ? [event.bytes] : [])));
  const takeLoginTurns = (): void => {
    for (const step of loginTurns.splice(0)) step();
  };
  stream.bytes(sentBy(client.start()));
  takeLoginTurns();
  const login = sentBy(client.receive(answers.splice(0)[0]!));
  const account = { row: 1, interopId: `0-${'a'.repeat(26)}`, provider: 0, identifier: 'anna', proofsFromMs: 0 };
  const device = { row: 1, id: 1, registrationId: 1, thumbprint: 't', listed: true };
  return {
    stream,
    memory,
    routed,
    login,
    takeLoginTurns,
    frame: (elements: readonly Element[]) => client.send(elements)!,
    admit: async (): Promise<void> => {
      proof.resolve({ kind: 'admitted', account, device, keyThumbprint: 'k', proofExpiresAtMs: 1 } as never);
      await new Promise(resolve => setImmediate(resolve));
    },
    /** Ends the turn of the event loop as the process does, and lets streams be read again. */
    endTurn: async (): Promise<void> => {
      for (const session of dirty) session.flush();
      dirty.clear();
      await new Promise(resolve => setImmediate(resolve));
    },
  };
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `p${i}`);

test('what comes while a proof is verified waits behind what was sent ahead, however many turns that takes', async t => {
  const { stream, routed, login, frame, takeLoginTurns, admit, endTurn } = await scene(t);
  const ahead = numbered(2 * maxTurnStanzas + 20);
  stream.bytes(Buffer.concat([login, frame(ahead.map(id => ping(id)))]));
  takeLoginTurns();
  stream.bytes(frame([ping('behind')]));
  await admit();
  assert.equal(routed.length, maxTurnStanzas, 'one turn of them');
  takeLoginTurns();
  stream.bytes(frame([ping('last')]));
  for (let i = 0; i < 6; i++) await endTurn();
  assert.deepEqual(routed, [...ahead, 'behind', 'last']);
});

test('what waits of a frame counts for all that it keeps alive, and for nothing when it was taken', async t => {
  const open = async () => {
    const opened = await scene(t);
    opened.stream.bytes(opened.login);
    opened.takeLoginTurns();
    await opened.admit();
    await opened.endTurn();
    return opened;
  };
  for (const [count, textBytes, leastBytes] of [
    // The frame, and what was read of it.
    [200, 200_000, 300_000],
    // Almost nothing on the wire, and a tree each.
    [1_000, 0, (1_000 - maxTurnStanzas) * 200],
  ] as const) {
    const { stream, memory, routed, frame, endTurn } = await open();
    const ids = numbered(count);
    const sent = frame(ids.map((id, i) => ping(id, i === count - 1 ? 'x'.repeat(textBytes) : '')));
    for (let at = 0; at < sent.length; at += 64 * 1024)
      stream.bytes(Uint8Array.from(sent.subarray(at, at + 64 * 1024)));
    for (let i = 0; i < 20; i++) await endTurn();
    assert.ok(memory.mostBytes >= leastBytes, `${memory.mostBytes} of ${leastBytes}`);
    assert.deepEqual(routed, ids);
    assert.equal(memory.waitingBytes, 0);
  }
});
