// Question: how many bytes are a stanza on the wire, and what does it cost to write and read it, as XML and compact? And
// what does a Noise handshake cost the side that answers it? No network: the functions themselves, in this process.
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { CipherState } from '@drawbridge/noise/cipher-state';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { CompactClient, type CompactClientEvent } from '@drawbridge/stream/compact-client';
import { encodeCertificate, type StaticKeyCertificate } from '@drawbridge/stream/compact-login';
import { openFrame, sealStanzas } from '@drawbridge/stream/compact-frames';
import { CompactServer, type CompactServerEvent } from '@drawbridge/stream/compact-server';
import { decodeCompactFrame } from '@drawbridge/wire/compact-decoder';
import { encodeCompact } from '@drawbridge/wire/compact-encoder';
import { compactContext } from '@drawbridge/wire/compact-value';
import { type Element, element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_BIND, NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import { XmlStreamDecoder } from '@drawbridge/wire/xml-decoder';
import { encodeElement, encodeStreamHeader } from '@drawbridge/wire/xml-encoder';
import type { Figures } from '../results.ts';
import { ciphertextBytes, domain } from './target.ts';

export type WireJob = { readonly kind: 'wire'; readonly milliseconds: number };
export type WireResult = {
  readonly stanzas: Readonly<Record<string, Figures>>;
  readonly handshakes: Readonly<Record<string, Figures>>;
};

const alice = `1-abcdefghijklmnopqrstuvwxya@${domain}/1`;
const bob = `0-k5xeq4zvvkh2dzrmqmz4yfq2ia@${domain}/1`;

function message(bytes: number, kind: string): Element {
  return element('message', NS_CLIENT, { from: alice, to: bob, id: 'm4711', type: 'chat' }, [
    element('envelope', 'urn:drawbridge:e2ee:1', { suite: 'signal-1', 'from-device': '1' }, [
      element('ciphertext', 'urn:drawbridge:e2ee:1', { device: '1', registration: '4711', kind }, [randomBytes(bytes)]),
    ]),
  ]);
}

const stanzas: Readonly<Record<string, Element>> = {
  'text of 400 bytes': message(ciphertextBytes['equal-content'].text, 'session'),
  'first message (prekey)': message(2_020, 'prekey'),
  receipt: message(ciphertextBytes['equal-content'].receipt, 'session'),
  'acknowledgement <a/>': element('a', NS_SM, { h: '4711' }),
  'request <r/>': element('r', NS_SM),
  binding: element('iq', NS_CLIENT, { type: 'set', id: 'b' }, [element('bind', NS_BIND)]),
};

export function wire(job: WireJob): WireResult {
  const context = compactContext(domain);
  const sizes: Record<string, Figures> = {};
  for (const [name, stanza] of Object.entries(stanzas)) {
    const xml = Buffer.from(encodeElement(stanza, NS_CLIENT));
    const compact = encodeCompact(stanza, context);
    const decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
    decoder.push(Buffer.from(encodeStreamHeader({ to: domain, version: '1.0' })));
    const time = (work: () => void): number => microsEach(work, job.milliseconds);
    const [sealing, opening] = keys();
    sizes[name] = {
      xmlBytes: xml.length,
      // TLS 1.3: header, content type, tag, for one record.
      xmlTlsBytes: xml.length + 22,
      compactBytes: compact.length,
      compactFrameBytes: compact.length + 19,
      xmlEncodeMicros: time(() => Buffer.from(encodeElement(stanza, NS_CLIENT))),
      xmlDecodeMicros: time(() => decoder.push(xml)),
      compactEncodeMicros: time(() => encodeCompact(stanza, context)),
      compactDecodeMicros: time(() => decodeCompactFrame(compact, context, xmlLimitsAfterLogin)),
      sealAndOpenMicros: time(() =>
        openFrame(sealStanzas([stanza], context, sealing)!.subarray(3), context, xmlLimitsAfterLogin, opening),
      ),
    };
  }
  return { stanzas: sizes, handshakes: handshakes(job.milliseconds) };
}

/** Time of one call, microseconds: the best of five stretches, after one that is not counted. */
function microsEach(work: () => void, milliseconds: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let stretch = 0; stretch < 6; stretch++) {
    const began = performance.now();
    let calls = 0;
    let elapsed = 0;
    do {
      for (let i = 0; i < 50; i++) work();
      calls += 50;
      elapsed = performance.now() - began;
    } while (elapsed < milliseconds / 6);
    if (stretch > 0) best = Math.min(best, (elapsed * 1_000) / calls);
  }
  return best;
}

const suite = nodeSuite('ChaChaPoly', 'SHA256');
const device = generateKeyPair();
const gatekeeper = generateKeyPair();
const certificate: StaticKeyCertificate = {
  publicKey: gatekeeper.publicKey,
  notBefore: 1_790_000_000,
  notAfter: 1_890_000_000,
  signature: new Uint8Array(64),
};

type Handshake = {
  readonly serverMs: number;
  readonly clientMs: number;
  readonly bytes: number;
  readonly send: CipherState;
  readonly receive: CipherState;
};

/** As long as a proof is, and of the same letters. */
const proof = [120, 290, 86].map(length => randomBytes(length).toString('base64url').slice(0, length)).join('.');

/** One handshake with login, both sides here; what each side's own calls took. */
function shakeHands(knownStaticKey: Uint8Array | undefined): Handshake {
  const client = new CompactClient({
    domain,
    suite,
    deviceKeyPair: device,
    knownStaticKey,
    isCertified: () => true,
    proof,
    stanzas: [element('iq', NS_CLIENT, { type: 'set', id: 'b' }, [element('bind', NS_BIND)])],
  });
  const server = new CompactServer({
    domain,
    suites: [suite],
    staticKeyPairs: [gatekeeper],
    certificate: encodeCertificate(certificate, compactContext(domain)),
  });
  let [serverMs, clientMs, bytes] = [0, 0, 0];
  const timedServer = (work: () => CompactServerEvent[]): CompactServerEvent[] => {
    const began = performance.now();
    const events = work();
    serverMs += performance.now() - began;
    return events;
  };
  const timedClient = (work: () => CompactClientEvent[]): CompactClientEvent[] => {
    const began = performance.now();
    const events = work();
    clientMs += performance.now() - began;
    return events;
  };
  const answer = [
    element('iq', NS_CLIENT, { type: 'result', id: 'b' }, [
      element('bind', NS_BIND, {}, [element('jid', NS_BIND, {}, [alice])]),
    ]),
  ];
  const fromServer = (events: CompactServerEvent[]): void => {
    for (const event of events) {
      if (event.kind === 'send') {
        bytes += event.bytes.length;
        fromClient(timedClient(() => client.receive(event.bytes)));
      } else if (event.kind === 'login') fromServer(timedServer(() => server.admit(answer)));
      else if (event.kind === 'failed') throw new Error(event.code);
    }
  };
  const fromClient = (events: CompactClientEvent[]): void => {
    for (const event of events) {
      if (event.kind === 'send') {
        bytes += event.bytes.length;
        fromServer(timedServer(() => server.receive(event.bytes)));
      } else if (event.kind === 'failed') throw new Error(event.code);
    }
  };
  fromClient(timedClient(() => client.start()));
  return { serverMs, clientMs, bytes, send: client.transport!.send, receive: server.transport!.receive };
}

/** A sealing and an opening state of one session. */
function keys(): readonly [CipherState, CipherState] {
  const { send, receive } = shakeHands(undefined);
  return [send, receive];
}

function handshakes(milliseconds: number): Record<string, Figures> {
  const results: Record<string, Figures> = {};
  for (const [name, known] of [
    ['XX', undefined],
    ['IK', gatekeeper.publicKey],
  ] as const) {
    for (let i = 0; i < 50; i++) shakeHands(known);
    const began = performance.now();
    let [count, serverMs, clientMs, bytes] = [0, 0, 0, 0];
    do {
      const each = shakeHands(known);
      count++;
      serverMs += each.serverMs;
      clientMs += each.clientMs;
      bytes = each.bytes;
    } while (performance.now() - began < milliseconds * 3);
    results[name] = {
      responderMicros: (serverMs * 1_000) / count,
      initiatorMicros: (clientMs * 1_000) / count,
      responderPerCpuSecond: (count * 1_000) / serverMs,
      bytes,
    };
  }
  return results;
}
