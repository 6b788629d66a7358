// Noise Pipes: which handshake two sides run. IK when the initiator knows the responder's static key (one round trip),
// XX when it does not, XXfallback when the key that it knows is no longer the responder's.
// Knows nothing of what payloads and certificates mean, of frames or sockets: the caller verifies what it is presented.
// Source: Noise Protocol Framework revision 34, section 10.4; docs/protocol/08-noise.md for the pattern byte and order.

import type { CipherState } from './cipher-state.ts';
import { type CipherName, copyBytes, type KeyPair, maximumMessageBytes, publicKeyBytes, type Suite } from './crypto.ts';
import { isNoiseError, type NoiseError, noiseError } from './errors.ts';
import { createHandshake, type HandshakeState, type ReadStep, type Split } from './handshake-state.ts';
import { type HandshakePattern, parsePattern } from './patterns.ts';

export type PipePattern = 'XX' | 'IK' | 'XXfallback';

const patternNumbers: Readonly<Record<PipePattern, number>> = { XX: 0x01, IK: 0x02, XXfallback: 0x03 };
const cipherNumbers: Readonly<Record<CipherName, number>> = { AESGCM: 0x00, ChaChaPoly: 0x10 };

/** The first byte of the first message of each side. Nothing has to protect it: the protocol's name is in the transcript. */
export function patternByte(pattern: PipePattern, cipher: CipherName): number {
  return cipherNumbers[cipher] | patternNumbers[pattern];
}

/** The cipher that a pattern byte names; undefined when the byte is none. */
export function cipherOf(byte: number | undefined): CipherName | undefined {
  return pipeNames.get(byte)?.cipher;
}

const pipeNames: ReadonlyMap<number | undefined, { readonly pattern: PipePattern; readonly cipher: CipherName }> =
  new Map(
    (['AESGCM', 'ChaChaPoly'] as const).flatMap(cipher =>
      (['XX', 'IK', 'XXfallback'] as const).map(pattern => [patternByte(pattern, cipher), { pattern, cipher }]),
    ),
  );

/** A handshake message with its pattern byte. */
export const maximumPipeMessageBytes = maximumMessageBytes + 1;

/** Static keys a responder holds at once: each costs a wrong IK message one key agreement more. */
export const maximumStaticKeyPairs = 4;

const patterns: Readonly<Record<PipePattern, HandshakePattern>> = {
  XX: parsePattern('XX')!,
  IK: parsePattern('IK')!,
  XXfallback: parsePattern('XXfallback')!,
};

/** Both directions of an established session. */
export type PipeTransport = {
  readonly send: CipherState;
  readonly receive: CipherState;
  /** Names this session for both sides (channel binding). */
  readonly handshakeHash: Uint8Array;
  /** The peer's static key: the peer has proven that it holds the private half. */
  readonly remoteStatic: Uint8Array;
};

export type InitiatorOptions = {
  readonly suite: Suite;
  readonly staticKeyPair: KeyPair;
  /** The responder's static key as last certified; leads to IK. */
  readonly remoteStatic?: Uint8Array | undefined;
  readonly prologue: Uint8Array;
  /**
   * Sent encrypted: in message 1 of IK, in message 3 of XX and XXfallback. In IK it can be replayed by whoever recorded
   * it and has no forward secrecy against theft of the responder's static key, so it must hold nothing that works twice.
   */
  readonly payload: Uint8Array;
};

export type InitiatorStep =
  /**
   * The responder shows its static key and what certifies it. Nothing of the initiator's is revealed until the caller
   * has verified the certificate in `payload` for `remoteStatic` and calls `confirm`.
   */
  | {
      readonly kind: 'responder-presented';
      readonly pattern: 'XX' | 'XXfallback';
      readonly remoteStatic: Uint8Array;
      readonly payload: Uint8Array;
    }
  | {
      readonly kind: 'established';
      readonly pattern: 'IK';
      readonly payload: Uint8Array;
      readonly transport: PipeTransport;
    };

/**
 * Begins a session as initiator; `message` is the first one to send.
 *
 * Refuses `key-malformed`, `low-order-point` (in `remoteStatic`) and `message-too-long` (a payload that does not fit).
 */
export function startInitiator(
  options: InitiatorOptions,
): { readonly kind: 'started'; readonly message: Uint8Array; readonly initiator: PipeInitiator } | NoiseError {
  const { suite, staticKeyPair, remoteStatic, prologue } = options;
  const pattern = remoteStatic === undefined ? 'XX' : 'IK';
  const handshake = createHandshake({
    suite,
    staticKeyPair,
    remoteStatic,
    prologue,
    pattern: patterns[pattern],
    role: 'initiator',
  });
  if (isNoiseError(handshake)) return handshake;
  // XX's first message is readable by everybody: it carries nothing.
  const written = handshake.writeMessage(pattern === 'IK' ? options.payload : new Uint8Array(0));
  if (isNoiseError(written)) return written;
  const initiator = new PipeInitiator({ ...options, prologue: copyBytes(prologue) }, pattern, handshake);
  return { kind: 'started', message: withPatternByte(pattern, suite, written.message), initiator };
}

/** The initiator after its first message. A refused message changes nothing; the caller closes the connection. */
export class PipeInitiator {
  readonly #options: InitiatorOptions;
  #pattern: PipePattern;
  #handshake: HandshakeState;

  /** Use `startInitiator`. */
  constructor(options: InitiatorOptions, pattern: PipePattern, handshake: HandshakeState) {
    this.#options = options;
    this.#pattern = pattern;
    this.#handshake = handshake;
  }

  /** Reads the responder's message. Refuses `unexpected-pattern` and what `readMessage` refuses. */
  read(message: Uint8Array): InitiatorStep | NoiseError {
    if (this.#handshake.turn !== 'read') return noiseError('out-of-turn');
    const pattern = patternOf(message, this.#options.suite);
    let handshake = this.#handshake;
    if (pattern === 'XXfallback' && this.#pattern === 'IK') {
      // The responder has read the ephemeral key of message 1 and starts from there, with itself as Noise's initiator.
      const fallback = createHandshake({
        suite: this.#options.suite,
        staticKeyPair: this.#options.staticKeyPair,
        ephemeralKeyPair: handshake.ephemeralKeyPair,
        prologue: this.#options.prologue,
        pattern: patterns.XXfallback,
        role: 'responder',
      });
      if (isNoiseError(fallback)) return fallback;
      handshake = fallback;
    } else if (pattern !== this.#pattern) return noiseError('unexpected-pattern');
    const read = handshake.readMessage(message.subarray(1));
    if (isNoiseError(read)) {
      if (handshake !== this.#handshake) handshake.close();
      return read;
    }
    if (handshake !== this.#handshake) this.#handshake.close();
    this.#handshake = handshake;
    this.#pattern = pattern;
    if (read.kind === 'complete') {
      return { kind: 'established', pattern: 'IK', payload: read.payload, transport: transportOf(read.split) };
    }
    return {
      kind: 'responder-presented',
      pattern: pattern === 'XX' ? 'XX' : 'XXfallback',
      remoteStatic: copyBytes(handshake.remoteStatic!),
      payload: read.payload,
    };
  }

  /** After `responder-presented`: makes message 3 with the initiator's payload. Refuses `out-of-turn`, `message-too-long`, `low-order-point`. */
  confirm():
    | { readonly kind: 'established'; readonly message: Uint8Array; readonly transport: PipeTransport }
    | NoiseError {
    const written = this.#handshake.writeMessage(this.#options.payload);
    if (isNoiseError(written)) return written;
    if (written.kind !== 'complete') return noiseError('out-of-turn');
    return { kind: 'established', message: written.message, transport: transportOf(written.split) };
  }

  /** Forgets all secrets, when the session is given up. */
  close(): void {
    this.#handshake.close();
  }
}

export type ResponderOptions = {
  /** One for each cipher that initiators may choose. */
  readonly suites: readonly Suite[];
  /** The current key pair, then previous ones that initiators may still know: 1..4. */
  readonly staticKeyPairs: readonly [KeyPair, ...KeyPair[]];
  readonly prologue: Uint8Array;
};

export type ResponderStep =
  /** Call `reply` with what certifies `staticKeyPair`. The initiator has shown nothing yet. */
  | { readonly kind: 'present'; readonly pattern: 'XX' | 'XXfallback'; readonly staticKeyPair: KeyPair }
  /**
   * The initiator's payload came with the first message. It may be a replay: whoever sends it can finish only with the
   * private key of `remoteStatic`, which the first transport message shows. Verify, then call `reply`.
   */
  | {
      readonly kind: 'initiator-presented';
      readonly pattern: 'IK';
      readonly staticKeyPair: KeyPair;
      readonly remoteStatic: Uint8Array;
      readonly payload: Uint8Array;
    }
  | {
      readonly kind: 'established';
      readonly pattern: 'XX' | 'XXfallback';
      readonly payload: Uint8Array;
      readonly transport: PipeTransport;
    };

export type ResponderReply =
  | { readonly kind: 'awaiting-initiator'; readonly message: Uint8Array }
  | { readonly kind: 'established'; readonly message: Uint8Array; readonly transport: PipeTransport };

/** Begins a session as responder. Refuses `key-malformed` and `key-unexpected` (more than four key pairs). */
export function startResponder(options: ResponderOptions): PipeResponder | NoiseError {
  if (options.staticKeyPairs.length > maximumStaticKeyPairs) return noiseError('key-unexpected');
  if (options.staticKeyPairs.some(pair => pair.publicKey.length !== publicKeyBytes)) return noiseError('key-malformed');
  return new PipeResponder({ ...options, prologue: copyBytes(options.prologue) });
}

/** A responder. A refused message changes nothing; the caller closes the connection. */
export class PipeResponder {
  readonly #options: ResponderOptions;
  #running: { readonly pattern: PipePattern; readonly suite: Suite; readonly handshake: HandshakeState } | undefined;

  /** Use `startResponder`. */
  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /**
   * Reads the initiator's first message, or its third.
   *
   * A first IK message that none of the static keys opens is not an error: the step asks for XXfallback.
   * Refuses `out-of-turn`, `unexpected-pattern` and what `readMessage` refuses.
   */
  read(message: Uint8Array): ResponderStep | NoiseError {
    if (this.#running === undefined) return this.#readFirst(message);
    const { pattern, handshake } = this.#running;
    const read = handshake.readMessage(message);
    if (isNoiseError(read)) return read;
    if (read.kind !== 'complete' || pattern === 'IK') return noiseError('out-of-turn');
    return { kind: 'established', pattern, payload: read.payload, transport: transportOf(read.split) };
  }

  /** Answers the first message: with a certificate in XX and XXfallback. Refuses what `writeMessage` refuses. */
  reply(payload: Uint8Array): ResponderReply | NoiseError {
    if (this.#running === undefined) return noiseError('out-of-turn');
    const { pattern, suite, handshake } = this.#running;
    const written = handshake.writeMessage(payload);
    if (isNoiseError(written)) return written;
    const message = withPatternByte(pattern, suite, written.message);
    if (written.kind === 'continue') return { kind: 'awaiting-initiator', message };
    return { kind: 'established', message, transport: transportOf(written.split) };
  }

  /** Forgets all secrets, when the session is given up. */
  close(): void {
    this.#running?.handshake.close();
  }

  #readFirst(message: Uint8Array): ResponderStep | NoiseError {
    const cipher = cipherOf(message[0]);
    const suite = this.#options.suites.find(each => each.cipher === cipher);
    if (suite === undefined) return noiseError('unexpected-pattern');
    const pattern = patternOf(message, suite);
    const body = message.subarray(1);
    const [current] = this.#options.staticKeyPairs;
    if (pattern === 'XX') {
      const step = this.#tryFirst('XX', suite, current, body);
      return isNoiseError(step) ? step : { kind: 'present', pattern: 'XX', staticKeyPair: current };
    }
    if (pattern !== 'IK') return noiseError('unexpected-pattern');
    for (const staticKeyPair of this.#options.staticKeyPairs) {
      const step = this.#tryFirst('IK', suite, staticKeyPair, body);
      if (!isNoiseError(step)) {
        const remoteStatic = copyBytes(this.#running!.handshake.remoteStatic!);
        return { kind: 'initiator-presented', pattern: 'IK', staticKeyPair, remoteStatic, payload: step.payload };
      }
      if (step.code !== 'decryption-failed') return step;
    }
    const handshake = createHandshake({
      suite,
      staticKeyPair: current,
      remoteEphemeral: body.subarray(0, publicKeyBytes),
      prologue: this.#options.prologue,
      pattern: patterns.XXfallback,
      role: 'initiator',
    });
    if (isNoiseError(handshake)) return handshake;
    this.#running = { pattern: 'XXfallback', suite, handshake };
    return { kind: 'present', pattern: 'XXfallback', staticKeyPair: current };
  }

  #tryFirst(pattern: 'XX' | 'IK', suite: Suite, staticKeyPair: KeyPair, body: Uint8Array): ReadStep | NoiseError {
    const { prologue } = this.#options;
    const handshake = createHandshake({
      suite,
      staticKeyPair,
      prologue,
      pattern: patterns[pattern],
      role: 'responder',
    });
    if (isNoiseError(handshake)) return handshake;
    const read = handshake.readMessage(body);
    if (isNoiseError(read)) handshake.close();
    else this.#running = { pattern, suite, handshake };
    return read;
  }
}

/** Undefined when the message names no pattern, or another cipher. */
function patternOf(message: Uint8Array, suite: Suite): PipePattern | undefined {
  const named = pipeNames.get(message[0]);
  return named?.cipher === suite.cipher ? named.pattern : undefined;
}

function withPatternByte(pattern: PipePattern, suite: Suite, message: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(message.length + 1);
  framed[0] = patternByte(pattern, suite.cipher);
  framed.set(message, 1);
  return framed;
}

function transportOf(split: Split): PipeTransport {
  // XX, IK and XXfallback are interactive and transmit both static keys: all four are there.
  return {
    send: split.send!,
    receive: split.receive!,
    handshakeHash: split.handshakeHash,
    remoteStatic: split.remoteStatic!,
  };
}
