// The Noise handshake: interprets a pattern's tokens for either role. Knows nothing of what payloads mean, of pattern
// negotiation (see pipes.ts) or of sockets. A refused message leaves the state as it was.
// Source: Noise Protocol Framework revision 34, sections 5.3, 7 and 9.

import type { CipherState } from './cipher-state.ts';
import {
  copyBytes,
  type KeyPair,
  maximumMessageBytes,
  publicKeyBytes,
  type Suite,
  symmetricKeyBytes,
  tagBytes,
  wipe,
} from './crypto.ts';
import { isNoiseError, type NoiseError, type NoiseErrorCode, noiseError } from './errors.ts';
import type { HandshakePattern, KeyToken, Token } from './patterns.ts';
import { SymmetricState } from './symmetric-state.ts';

export type Role = 'initiator' | 'responder';

export type HandshakeOptions = {
  readonly suite: Suite;
  readonly pattern: HandshakePattern;
  readonly role: Role;
  /** What both sides must agree on for the handshake to succeed; may be empty. */
  readonly prologue: Uint8Array;
  readonly staticKeyPair?: KeyPair | undefined;
  /** The peer's static key, when the pattern has it as a pre-message. */
  readonly remoteStatic?: Uint8Array | undefined;
  /** For fallback patterns, whose pre-message is an ephemeral key of an earlier message, and whose handshake wipes it. */
  readonly ephemeralKeyPair?: KeyPair | undefined;
  readonly remoteEphemeral?: Uint8Array | undefined;
  /** 32 bytes each, in the order of their tokens. */
  readonly psks?: readonly Uint8Array[] | undefined;
};

/** What a finished handshake leaves. A one-way pattern has only the initiator's direction. */
export type Split = {
  readonly send: CipherState | undefined;
  readonly receive: CipherState | undefined;
  /** Names this session for both sides (channel binding, section 11.2). */
  readonly handshakeHash: Uint8Array;
  /** The peer's static key, proven by the pattern; undefined when the pattern gives it none. */
  readonly remoteStatic: Uint8Array | undefined;
};

export type WriteStep =
  | { readonly kind: 'continue'; readonly message: Uint8Array }
  | { readonly kind: 'complete'; readonly message: Uint8Array; readonly split: Split };

export type ReadStep =
  | { readonly kind: 'continue'; readonly payload: Uint8Array }
  | { readonly kind: 'complete'; readonly payload: Uint8Array; readonly split: Split };

// What a message may change; replaced as a whole when the message is good.
type Keys = {
  readonly symmetric: SymmetricState;
  ephemeral: KeyPair | undefined;
  remoteEphemeral: Uint8Array | undefined;
  remoteStatic: Uint8Array | undefined;
  pskIndex: number;
};

/**
 * Initialize() of the specification.
 *
 * Refuses `key-missing` (the pattern needs it), `key-unexpected` (the pattern has no place for it: a remote static key
 * that the pattern transmits would otherwise be a pin that nobody checks) and `key-malformed`.
 */
export function createHandshake(options: HandshakeOptions): HandshakeState | NoiseError {
  const problem = keyProblem(options);
  return problem === undefined ? new HandshakeState(options) : noiseError(problem);
}

function keyProblem(options: HandshakeOptions): NoiseErrorCode | undefined {
  const { pattern, role, psks = [] } = options;
  const initiator = role === 'initiator';
  const ownPre = initiator ? pattern.initiatorPre : pattern.responderPre;
  const remotePre = initiator ? pattern.responderPre : pattern.initiatorPre;
  const ownStatic =
    ownPre.includes('s') || pattern.messages.some((m, i) => (i % 2 === 0) === initiator && m.includes('s'));
  const needs: readonly [boolean, KeyPair | Uint8Array | undefined][] = [
    [ownStatic, options.staticKeyPair],
    [ownPre.includes('e'), options.ephemeralKeyPair],
    [remotePre.includes('s'), options.remoteStatic],
    [remotePre.includes('e'), options.remoteEphemeral],
  ];
  for (const [needed, key] of needs) {
    if (needed !== (key !== undefined)) return needed ? 'key-missing' : 'key-unexpected';
    if (key !== undefined && ('publicKey' in key ? key.publicKey : key).length !== publicKeyBytes)
      return 'key-malformed';
  }
  if (psks.length !== pattern.psks) return psks.length < pattern.psks ? 'key-missing' : 'key-unexpected';
  return psks.every(psk => psk.length === symmetricKeyBytes) ? undefined : 'key-malformed';
}

export class HandshakeState {
  readonly #suite: Suite;
  readonly #pattern: HandshakePattern;
  readonly #initiator: boolean;
  readonly #staticKeyPair: KeyPair | undefined;
  readonly #psks: readonly Uint8Array[];
  #keys: Keys;
  /** The ephemeral pair that this handshake has made: it is wiped with it, one that was given is not. */
  #ownEphemeral: KeyPair | undefined;
  #next = 0;

  /** Use `createHandshake`, which checks the keys. */
  constructor(options: HandshakeOptions) {
    this.#suite = options.suite;
    this.#pattern = options.pattern;
    this.#initiator = options.role === 'initiator';
    this.#staticKeyPair = options.staticKeyPair;
    this.#psks = (options.psks ?? []).map(copyBytes);
    const symmetric = SymmetricState.initialise(options.suite, `Noise_${options.pattern.name}_${options.suite.name}`);
    symmetric.mixHash(options.prologue);
    this.#keys = {
      symmetric,
      ephemeral: options.ephemeralKeyPair,
      remoteEphemeral: options.remoteEphemeral && copyBytes(options.remoteEphemeral),
      remoteStatic: options.remoteStatic && copyBytes(options.remoteStatic),
      pskIndex: 0,
    };
    this.#mixPreMessage(options.pattern.initiatorPre, this.#initiator);
    this.#mixPreMessage(options.pattern.responderPre, !this.#initiator);
  }

  /** Whose turn it is. */
  get turn(): 'write' | 'read' | 'over' {
    if (this.#next >= this.#pattern.messages.length) return 'over';
    return (this.#next % 2 === 0) === this.#initiator ? 'write' : 'read';
  }

  /** This side's ephemeral key pair once it is made: fallback starts from it. */
  get ephemeralKeyPair(): KeyPair | undefined {
    return this.#keys.ephemeral;
  }

  /** The peer's static key as soon as it is known; what proves it depends on the pattern and comes with later messages. */
  get remoteStatic(): Uint8Array | undefined {
    return this.#keys.remoteStatic;
  }

  /**
   * Makes the next handshake message around `payload`. How well a payload is protected depends on pattern and place
   * (section 7.7): in the first message of XX it is plaintext.
   *
   * Refuses `out-of-turn`, `message-too-long` and `low-order-point`.
   */
  writeMessage(payload: Uint8Array): WriteStep | NoiseError {
    if (this.turn !== 'write') return noiseError('out-of-turn');
    const tokens = this.#pattern.messages[this.#next]!;
    const length = this.#overhead(tokens) + payload.length;
    if (length > maximumMessageBytes) return noiseError('message-too-long');
    const message = Buffer.allocUnsafe(length);
    const split = this.#attempt(keys => {
      let offset = 0;
      for (const token of tokens) {
        if (token === 'e') {
          keys.ephemeral = this.#suite.generateKeyPair();
          message.set(keys.ephemeral.publicKey, offset);
          offset += publicKeyBytes;
          this.#mixEphemeral(keys, keys.ephemeral.publicKey);
        } else if (token === 's') {
          offset = keys.symmetric.encryptAndHash(this.#staticKeyPair!.publicKey, message, offset);
        } else {
          const error = this.#mixSecret(keys, token);
          if (error !== undefined) return error;
        }
      }
      keys.symmetric.encryptAndHash(payload, message, offset);
      return undefined;
    });
    if (isNoiseError(split)) return split;
    return split === undefined ? { kind: 'continue', message } : { kind: 'complete', message, split };
  }

  /**
   * Reads the peer's next handshake message; the payload is a new buffer.
   *
   * Refuses `out-of-turn`, `message-too-long`, `message-truncated`, `decryption-failed` and `low-order-point`.
   */
  readMessage(message: Uint8Array): ReadStep | NoiseError {
    if (this.turn !== 'read') return noiseError('out-of-turn');
    const tokens = this.#pattern.messages[this.#next]!;
    if (message.length > maximumMessageBytes) return noiseError('message-too-long');
    if (message.length < this.#overhead(tokens)) return noiseError('message-truncated');
    let payload: Uint8Array | undefined;
    const split = this.#attempt(keys => {
      let offset = 0;
      for (const token of tokens) {
        if (token === 'e') {
          keys.remoteEphemeral = copyBytes(message.subarray(offset, offset + publicKeyBytes));
          offset += publicKeyBytes;
          this.#mixEphemeral(keys, keys.remoteEphemeral);
        } else if (token === 's') {
          const end = offset + publicKeyBytes + (keys.symmetric.keyed ? tagBytes : 0);
          keys.remoteStatic = keys.symmetric.decryptAndHash(message.subarray(offset, end));
          if (keys.remoteStatic === undefined) return noiseError('decryption-failed');
          offset = end;
        } else {
          const error = this.#mixSecret(keys, token);
          if (error !== undefined) return error;
        }
      }
      payload = keys.symmetric.decryptAndHash(message.subarray(offset));
      return payload === undefined ? noiseError('decryption-failed') : undefined;
    });
    if (isNoiseError(split)) return split;
    return split === undefined
      ? { kind: 'continue', payload: payload! }
      : { kind: 'complete', payload: payload!, split };
  }

  /** Forgets all secrets, when a handshake is given up. */
  close(): void {
    this.#keys.symmetric.wipe();
    wipe(...this.#psks);
    this.#ownEphemeral?.close();
    this.#ownEphemeral = undefined;
    this.#keys.ephemeral = undefined;
    this.#next = this.#pattern.messages.length;
  }

  /** Lets `step` work on a copy of the state, which then replaces the state, or is wiped when there is an error. */
  #attempt(step: (keys: Keys) => NoiseError | undefined): Split | NoiseError | undefined {
    const before = this.#keys;
    const keys: Keys = { ...before, symmetric: before.symmetric.fork() };
    const error = step(keys);
    if (error !== undefined) {
      keys.symmetric.wipe();
      if (keys.ephemeral !== before.ephemeral) keys.ephemeral?.close();
      return error;
    }
    keys.symmetric.takeOver(before.symmetric);
    if (keys.ephemeral !== before.ephemeral) this.#ownEphemeral = keys.ephemeral;
    this.#keys = keys;
    this.#next += 1;
    if (this.#next < this.#pattern.messages.length) return undefined;
    const [first, second] = keys.symmetric.split();
    const back = this.#pattern.oneWay ? undefined : second;
    const split: Split = {
      send: this.#initiator ? first : back,
      receive: this.#initiator ? back : first,
      handshakeHash: keys.symmetric.hash,
      remoteStatic: keys.remoteStatic,
    };
    this.close();
    return split;
  }

  #mixPreMessage(tokens: readonly KeyToken[], own: boolean): void {
    const keys = this.#keys;
    for (const token of tokens) {
      if (token === 'e') this.#mixEphemeral(keys, own ? keys.ephemeral!.publicKey : keys.remoteEphemeral!);
      else keys.symmetric.mixHash(own ? this.#staticKeyPair!.publicKey : keys.remoteStatic!);
    }
  }

  #mixEphemeral(keys: Keys, publicKey: Uint8Array): void {
    keys.symmetric.mixHash(publicKey);
    // In psk handshakes ephemerals are mixed in as keys too, so that no key depends on the psk alone (section 9.2).
    if (this.#pattern.psks > 0) keys.symmetric.mixKey(copyBytes(publicKey));
  }

  #mixSecret(keys: Keys, token: Exclude<Token, KeyToken>): NoiseError | undefined {
    if (token === 'psk') {
      keys.symmetric.mixKeyAndHash(this.#psks[keys.pskIndex]!);
      keys.pskIndex += 1;
      return undefined;
    }
    // The first letter is the initiator's key, the second the responder's.
    const ownKey = token[this.#initiator ? 0 : 1];
    const remoteKey = token[this.#initiator ? 1 : 0];
    const own = ownKey === 'e' ? keys.ephemeral! : this.#staticKeyPair!;
    const secret = own.agree(remoteKey === 'e' ? keys.remoteEphemeral! : keys.remoteStatic!);
    if (secret === undefined) return noiseError('low-order-point');
    keys.symmetric.mixKey(secret);
    return undefined;
  }

  /** Bytes of a message besides its payload. */
  #overhead(tokens: readonly Token[]): number {
    let keyed = this.#keys.symmetric.keyed;
    let length = 0;
    for (const token of tokens) {
      if (token === 'e') {
        length += publicKeyBytes;
        keyed ||= this.#pattern.psks > 0;
      } else if (token === 's') length += publicKeyBytes + (keyed ? tagBytes : 0);
      else keyed = true;
    }
    return length + (keyed ? tagBytes : 0);
  }
}
