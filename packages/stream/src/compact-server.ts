// The gatekeeper's side of a compact connection: prologue, Noise handshake with the login in its payload, then frames
// of stanzas. Knows nothing of sockets, accounts or sessions; crypto and certificates are injected.
// Source: docs/protocol/05-compact.md; docs/protocol/08-noise.md.
import type { CipherState } from '@drawbridge/noise/cipher-state';
import type { KeyPair, Suite } from '@drawbridge/noise/crypto';
import { isNoiseError } from '@drawbridge/noise/errors';
import { type PipePattern, type PipeResponder, type PipeTransport, startResponder } from '@drawbridge/noise/pipes';
import { maxFrameStanzas } from '@drawbridge/wire/compact-decoder';
import { type CompactContext, compactContext } from '@drawbridge/wire/compact-value';
import type { Element } from '@drawbridge/wire/element';
import { xmlLimitsOfSession } from '@drawbridge/wire/limits';
import {
  encodeStanzas,
  type FrameErrorCode,
  FrameReader,
  frameOf,
  maxFrameBytes,
  maxHandshakeFrameBytes,
  openFrame,
  sealStanzas,
} from './compact-frames.ts';
import { compactPrologue, noisePrologue, parseLogin, refusal, temporaryRefusal } from './compact-login.ts';

/** Bytes that a client may send ahead while its proof is verified. */
const maxAheadBytes = 128 * 1024;
/** Answers up to this size go into the handshake's reply; larger ones follow it in frames, all of them. */
const maxReplyBytes = 24 * 1024;

export type CompactServerSettings = {
  readonly domain: string;
  /** One for each cipher that clients may choose. */
  readonly suites: readonly Suite[];
  /** The current static key, then those it replaced and clients may still know. */
  readonly staticKeyPairs: readonly [KeyPair, ...KeyPair[]];
  /** The handshake payload that certifies the current static key (`encodeCertificate`). */
  readonly certificate: Uint8Array;
  /** Shown what the handshake gave, once; for tests. */
  readonly opened?: (transport: PipeTransport) => void;
};

export type CompactServerFailure =
  | 'not-compact'
  | 'version-unsupported'
  | 'frame-too-long'
  | 'too-much-ahead'
  | 'handshake-failed'
  | 'login-malformed'
  | FrameErrorCode
  | 'key-used-up';

export type CompactServerEvent =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /** Verify the proof for the holder of `deviceKey`, then call `admit` or `refuse`. */
  | {
      readonly kind: 'login';
      readonly pattern: PipePattern;
      readonly deviceKey: Uint8Array;
      readonly proof: string;
      readonly stanzas: readonly Element[];
    }
  /** `frameBytes`: of the frame that they came in, which each of them may keep alive. */
  | { readonly kind: 'elements'; readonly elements: readonly Element[]; readonly frameBytes: number }
  /** Close the connection without a word. */
  | { readonly kind: 'failed'; readonly code: CompactServerFailure };

type State =
  | { readonly kind: 'prologue' }
  | { readonly kind: 'handshake'; readonly responder: PipeResponder }
  | { readonly kind: 'verifying'; readonly responder: PipeResponder; readonly transport: PipeTransport | undefined }
  /** Only the two keys: what else the handshake gave is let go of, since most connections are idle. */
  | { readonly kind: 'open'; readonly send: CipherState; readonly receive: CipherState }
  | { readonly kind: 'closed' };

export class CompactServer {
  readonly #settings: CompactServerSettings;
  readonly #context: CompactContext;
  readonly #reader = new FrameReader(maxHandshakeFrameBytes);
  #state: State = { kind: 'prologue' };

  constructor(settings: CompactServerSettings) {
    this.#settings = settings;
    this.#context = compactContext(settings.domain);
  }

  /** The session's keys, once it is open. */
  get transport(): { readonly send: CipherState; readonly receive: CipherState } | undefined {
    return this.#state.kind === 'open' ? this.#state : undefined;
  }

  /** Takes bytes in any pieces. After `failed` it gives nothing any more. */
  receive(chunk: Uint8Array): CompactServerEvent[] {
    if (this.#state.kind === 'closed') return [];
    this.#reader.push(chunk);
    return this.#proceed();
  }

  /**
   * Lets the peer in. `elements` are the answers to its first stanzas. Gives the bytes to send and what the peer had
   * sent ahead.
   */
  admit(elements: readonly Element[]): CompactServerEvent[] {
    if (this.#state.kind !== 'verifying') return [];
    const sent = this.#answer(elements);
    if (sent === undefined) return this.#fail('handshake-failed');
    return [{ kind: 'send', bytes: sent }, ...this.#proceed()];
  }

  /** Tells the peer the one word, of two: refused, or not to be judged now. Close the connection when it is sent. */
  refuse(word: 'refused' | 'temporary-auth-failure' = 'refused'): Uint8Array {
    if (this.#state.kind !== 'verifying') return new Uint8Array(0);
    const sent = this.#answer([word === 'refused' ? refusal : temporaryRefusal]);
    this.close();
    return sent ?? new Uint8Array(0);
  }

  /** Seals stanzas. Undefined when the session's key is used up, or it is not open. */
  send(elements: readonly Element[]): Uint8Array | undefined {
    return this.#state.kind === 'open' ? sealStanzas(elements, this.#context, this.#state.send) : undefined;
  }

  close(): void {
    const state = this.#state;
    this.#state = { kind: 'closed' };
    if (state.kind === 'handshake' || state.kind === 'verifying') state.responder.close();
    if (state.kind === 'open') closeKeys(state);
    if (state.kind === 'verifying' && state.transport !== undefined) closeKeys(state.transport);
  }

  /** In IK the answer travels in the handshake's reply; in XX and XXfallback in the first frame. */
  #answer(elements: readonly Element[]): Uint8Array | undefined {
    if (this.#state.kind !== 'verifying') return undefined;
    const { responder } = this.#state;
    let transport = this.#state.transport;
    let rest: readonly Element[] = elements;
    const parts: Uint8Array[] = [];
    if (transport === undefined) {
      const payload = encodeStanzas(elements, this.#context);
      const fits = payload.length <= maxReplyBytes && elements.length <= maxFrameStanzas;
      const reply = responder.reply(fits ? payload : new Uint8Array(0));
      if (isNoiseError(reply) || reply.kind !== 'established') return undefined;
      if (fits) rest = [];
      transport = reply.transport;
      parts.push(frameOf(reply.message));
    }
    this.#settings.opened?.(transport);
    this.#state = { kind: 'open', send: transport.send, receive: transport.receive };
    this.#reader.setMaximum(maxFrameBytes);
    if (rest.length > 0) {
      const sealed = sealStanzas(rest, this.#context, transport.send);
      if (sealed === undefined) return undefined;
      parts.push(sealed);
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  #proceed(): CompactServerEvent[] {
    const events: CompactServerEvent[] = [];
    for (;;) {
      if (this.#state.kind === 'prologue') {
        const prologue = this.#reader.takeBytes(compactPrologue.length);
        if (prologue === undefined) return events;
        if (prologue[0] !== compactPrologue[0] || prologue[1] !== compactPrologue[1])
          return this.#fail('not-compact', events);
        if (prologue[2] !== compactPrologue[2] || prologue[3] !== compactPrologue[3]) {
          return this.#fail('version-unsupported', events);
        }
        const responder = startResponder({
          suites: this.#settings.suites,
          staticKeyPairs: this.#settings.staticKeyPairs,
          prologue: noisePrologue(this.#settings.domain),
        });
        if (isNoiseError(responder)) return this.#fail('handshake-failed', events);
        this.#state = { kind: 'handshake', responder };
      }
      if (this.#state.kind === 'verifying') {
        return this.#reader.heldBytes > maxAheadBytes ? this.#fail('too-much-ahead', events) : events;
      }
      if (this.#state.kind === 'closed') return events;
      const frame = this.#reader.next();
      if (frame === undefined) return events;
      if (frame === 'frame-too-long') return this.#fail('frame-too-long', events);
      const event = this.#state.kind === 'open' ? this.#opened(frame, this.#state.receive) : this.#handshake(frame);
      if (event === undefined) continue;
      if (event.kind === 'failed') return this.#fail(event.code, events);
      events.push(event);
    }
  }

  #opened(frame: Uint8Array, key: CipherState): CompactServerEvent | undefined {
    const elements = openFrame(frame, this.#context, xmlLimitsOfSession, key);
    if (typeof elements === 'string') return { kind: 'failed', code: elements };
    return elements.length === 0 ? undefined : { kind: 'elements', elements, frameBytes: frame.length };
  }

  #handshake(frame: Uint8Array): CompactServerEvent {
    if (this.#state.kind !== 'handshake') return { kind: 'failed', code: 'handshake-failed' };
    const { responder } = this.#state;
    const step = responder.read(frame);
    if (isNoiseError(step)) return { kind: 'failed', code: 'handshake-failed' };
    if (step.kind === 'present') {
      const reply = responder.reply(this.#settings.certificate);
      if (isNoiseError(reply)) return { kind: 'failed', code: 'handshake-failed' };
      return { kind: 'send', bytes: frameOf(reply.message) };
    }
    const login = parseLogin(step.payload, this.#context);
    if (login === undefined) return { kind: 'failed', code: 'login-malformed' };
    const transport = step.kind === 'established' ? step.transport : undefined;
    const deviceKey = step.kind === 'established' ? step.transport.remoteStatic : step.remoteStatic;
    this.#state = { kind: 'verifying', responder, transport };
    return { kind: 'login', pattern: step.pattern, deviceKey, proof: login.proof, stanzas: login.stanzas };
  }

  #fail(code: CompactServerFailure, events: CompactServerEvent[] = []): CompactServerEvent[] {
    this.close();
    events.push({ kind: 'failed', code });
    return events;
  }
}

function closeKeys({ send, receive }: { readonly send: CipherState; readonly receive: CipherState }): void {
  send.close();
  receive.close();
}
