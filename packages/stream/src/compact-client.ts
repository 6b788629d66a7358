// The client's side of a compact connection: Noise handshake with the login in its payload, then frames of stanzas.
// Knows nothing of sockets, proofs' meaning or sessions; crypto and the judgement of certificates are injected.
// Source: docs/protocol/05-compact.md; docs/protocol/08-noise.md.
import type { KeyPair, Suite } from '@drawbridge/noise/crypto';
import { isNoiseError } from '@drawbridge/noise/errors';
import { type PipeInitiator, type PipePattern, type PipeTransport, startInitiator } from '@drawbridge/noise/pipes';
import { decodeCompactFrame } from '@drawbridge/wire/compact-decoder';
import { type CompactContext, compactContext } from '@drawbridge/wire/compact-value';
import type { Element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import {
  type FrameErrorCode,
  FrameReader,
  frameOf,
  maxFrameBytes,
  maxHandshakeFrameBytes,
  openFrame,
  sealNothing,
  sealStanzas,
} from './compact-frames.ts';
import {
  compactPrologue,
  encodeLogin,
  isRefusal,
  isTemporaryRefusal,
  noisePrologue,
  parseCertificate,
  preferredCipher,
  type StaticKeyCertificate,
} from './compact-login.ts';

/** What message 1 of IK adds to its payload: pattern byte, ephemeral key, sealed static key, tag. In message 3 it is less. */
const handshakeOverheadBytes = 1 + 32 + 48 + 16;

export type CompactClientSettings = {
  readonly domain: string;
  /** Of the cipher that the gatekeeper is known to offer (`preferredCipher`). */
  readonly suite: Suite;
  /** The device key: its thumbprint stands in the proof. */
  readonly deviceKeyPair: KeyPair;
  /** The gatekeeper's static key as last certified and not expired; leads to IK, one round trip less. */
  readonly knownStaticKey: Uint8Array | undefined;
  /** Whether the pinned long-term key signed this certificate and it is valid now. */
  readonly isCertified: (certificate: StaticKeyCertificate) => boolean;
  readonly proof: string;
  /** Sent with the login: binding or resumption, and what is to be said at once. */
  readonly stanzas: readonly Element[];
};

export type CompactClientFailure =
  /** The known static key is not a usable public key. */
  | 'key-refused'
  /** Proof and first stanzas don't fit into a handshake message: send fewer of them. */
  | 'login-too-long'
  | 'frame-too-long'
  | 'handshake-failed'
  /** The gatekeeper's key is not certified by the pinned one: somebody is in between, or the pin is out of date. */
  | 'gatekeeper-not-certified'
  /**
   * The certificate offers a better cipher than was used: what the client was told before is out of date, or somebody
   * has changed it. Nothing was revealed; connect again with the better one, not by another transport.
   */
  | 'cipher-downgraded'
  /** The proof was refused. */
  | 'refused'
  /** The proof can't be judged now. */
  | 'temporary-auth-failure'
  | FrameErrorCode;

export type CompactClientEvent =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /**
   * The handshake is done; whether the proof was taken shows in what follows. `certificate` is the one that `isCertified`
   * approved, to be kept for the next time; none in IK, where the key was known.
   */
  | {
      readonly kind: 'established';
      readonly pattern: PipePattern;
      readonly staticKey: Uint8Array;
      readonly certificate: StaticKeyCertificate | undefined;
    }
  | { readonly kind: 'elements'; readonly elements: readonly Element[] }
  | { readonly kind: 'failed'; readonly code: CompactClientFailure };

type State =
  | { readonly kind: 'handshake'; readonly initiator: PipeInitiator }
  | { readonly kind: 'open'; readonly transport: PipeTransport }
  | { readonly kind: 'closed' };

export class CompactClient {
  readonly #settings: CompactClientSettings;
  readonly #context: CompactContext;
  readonly #reader = new FrameReader(maxHandshakeFrameBytes);
  #state: State = { kind: 'closed' };
  #heard = false;

  constructor(settings: CompactClientSettings) {
    this.#settings = settings;
    this.#context = compactContext(settings.domain);
  }

  /** The session's keys, once it is open: for captures in development. */
  get transport(): PipeTransport | undefined {
    return this.#state.kind === 'open' ? this.#state.transport : undefined;
  }

  /** The first bytes of the connection. */
  start(): CompactClientEvent[] {
    const { suite, deviceKeyPair, knownStaticKey, domain, proof, stanzas } = this.#settings;
    const payload = encodeLogin({ proof, stanzas }, this.#context);
    if (payload.length > maxHandshakeFrameBytes - handshakeOverheadBytes) return this.#fail('login-too-long');
    const started = startInitiator({
      suite,
      staticKeyPair: deviceKeyPair,
      remoteStatic: knownStaticKey,
      prologue: noisePrologue(domain),
      payload,
    });
    if (isNoiseError(started)) return this.#fail('key-refused');
    this.#state = { kind: 'handshake', initiator: started.initiator };
    return [{ kind: 'send', bytes: Buffer.concat([compactPrologue, frameOf(started.message)]) }];
  }

  receive(chunk: Uint8Array): CompactClientEvent[] {
    if (this.#state.kind === 'closed') return [];
    this.#reader.push(chunk);
    const events: CompactClientEvent[] = [];
    for (;;) {
      if (this.#kind === 'closed') return events;
      const frame = this.#reader.next();
      if (frame === undefined) return events;
      if (frame === 'frame-too-long') events.push(...this.#fail('frame-too-long'));
      else if (this.#state.kind === 'open') events.push(...this.#opened(frame, this.#state.transport));
      else if (this.#state.kind === 'handshake') events.push(...this.#handshake(frame, this.#state.initiator));
    }
  }

  /** Seals stanzas. Undefined when the session is not open or its key is used up. */
  send(elements: readonly Element[]): Uint8Array | undefined {
    return this.#state.kind === 'open' ? sealStanzas(elements, this.#context, this.#state.transport.send) : undefined;
  }

  keepAlive(): Uint8Array | undefined {
    return this.#state.kind === 'open' ? sealNothing(this.#state.transport.send) : undefined;
  }

  close(): void {
    if (this.#state.kind === 'handshake') this.#state.initiator.close();
    if (this.#state.kind === 'open') {
      this.#state.transport.send.close();
      this.#state.transport.receive.close();
    }
    this.#state = { kind: 'closed' };
  }

  get #kind(): State['kind'] {
    return this.#state.kind;
  }

  #handshake(frame: Uint8Array, initiator: PipeInitiator): CompactClientEvent[] {
    const step = initiator.read(frame);
    if (isNoiseError(step)) return this.#fail('handshake-failed');
    if (step.kind === 'established') {
      this.#open(step.transport);
      const staticKey = step.transport.remoteStatic;
      const established: CompactClientEvent = { kind: 'established', pattern: 'IK', staticKey, certificate: undefined };
      if (step.payload.length === 0) return [established];
      const elements = decodeCompactFrame(step.payload, this.#context, xmlLimitsAfterLogin);
      if ('code' in elements) return this.#fail('frame-malformed');
      return this.#heardFrom(elements, [established]);
    }
    const certificate = parseCertificate(step.payload, this.#context);
    const fits = certificate !== undefined && Buffer.compare(certificate.publicKey, step.remoteStatic) === 0;
    if (!fits || !this.#settings.isCertified(certificate)) return this.#fail('gatekeeper-not-certified');
    const { cipher } = this.#settings.suite;
    if (cipher === 'AESGCM' && preferredCipher(certificate.ciphers) !== cipher) return this.#fail('cipher-downgraded');
    const confirmed = initiator.confirm();
    if (isNoiseError(confirmed)) return this.#fail('handshake-failed');
    this.#open(confirmed.transport);
    return [
      { kind: 'send', bytes: frameOf(confirmed.message) },
      { kind: 'established', pattern: step.pattern, staticKey: step.remoteStatic, certificate },
    ];
  }

  #opened(frame: Uint8Array, transport: PipeTransport): CompactClientEvent[] {
    const elements = openFrame(frame, this.#context, xmlLimitsAfterLogin, transport.receive);
    if (typeof elements === 'string') return this.#fail(elements);
    return elements.length === 0 ? [] : this.#heardFrom(elements, []);
  }

  #heardFrom(elements: readonly Element[], before: CompactClientEvent[]): CompactClientEvent[] {
    const first = elements[0]!;
    if (!this.#heard && isRefusal(first)) return [...before, ...this.#fail('refused')];
    if (!this.#heard && isTemporaryRefusal(first)) return [...before, ...this.#fail('temporary-auth-failure')];
    this.#heard = true;
    return [...before, { kind: 'elements', elements }];
  }

  #open(transport: PipeTransport): void {
    this.#state = { kind: 'open', transport };
    this.#reader.setMaximum(maxFrameBytes);
  }

  #fail(code: CompactClientFailure): CompactClientEvent[] {
    this.close();
    return [{ kind: 'failed', code }];
  }
}
