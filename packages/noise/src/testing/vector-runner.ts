// Runs published Noise test vectors (the JSON form that cacophony and snow share) through both roles of the machine.
// Knows no files and no crypto library; what it does not have is skipped with a reason, never silently.

import type { CipherState } from '../cipher-state.ts';
import type { CipherName, HashName, KeyPair, Suite } from '../crypto.ts';
import { isNoiseError } from '../errors.ts';
import { createHandshake, type HandshakeState, type Split } from '../handshake-state.ts';
import { parsePattern } from '../patterns.ts';

export type VectorOutcome =
  | { readonly kind: 'passed'; readonly name: string }
  | { readonly kind: 'failed'; readonly name: string; readonly reason: string }
  | { readonly kind: 'skipped'; readonly name: string; readonly reason: string };

export type VectorCrypto = {
  readonly suite: (cipher: CipherName, hash: HashName) => Suite;
  readonly keyPair: (privateKey: Uint8Array) => KeyPair | undefined;
};

const keyFields = ['static', 'ephemeral', 'remote_static', 'remote_ephemeral'] as const;
const knownFields = new Set([
  'protocol_name',
  'handshake_hash',
  'messages',
  ...['init', 'resp'].flatMap(side => ['prologue', 'psks', ...keyFields].map(field => `${side}_${field}`)),
]);

class Failure extends Error {}

/** The vectors of a parsed file: `{"vectors": […]}`, as cacophony and snow publish them. Undefined for anything else. */
export function vectorsOf(file: unknown): readonly unknown[] | undefined {
  const vectors = isRecord(file) ? file['vectors'] : undefined;
  return Array.isArray(vectors) ? vectors : undefined;
}

/** Runs one vector whole: every message both ways, payloads, handshake hash, transport messages. Never throws on bad vectors. */
export function runVector(vector: unknown, crypto: VectorCrypto): VectorOutcome {
  const name = isRecord(vector) && typeof vector['protocol_name'] === 'string' ? vector['protocol_name'] : '(no name)';
  if (!isRecord(vector) || name === '(no name)') {
    return { kind: 'skipped', name, reason: 'not in the cacophony or snow form: no protocol_name' };
  }
  const [prefix, patternName, dh, cipher, hash, ...more] = name.split('_');
  if (prefix !== 'Noise' || hash === undefined || more.length > 0) {
    return { kind: 'skipped', name, reason: 'not a protocol name of the form Noise_PATTERN_DH_CIPHER_HASH' };
  }
  const pattern = parsePattern(patternName!);
  if (pattern === undefined) return { kind: 'skipped', name, reason: `pattern ${patternName} is not in the table` };
  if (dh !== '25519') return { kind: 'skipped', name, reason: `key agreement ${dh} is not among our primitives` };
  if (!isCipher(cipher)) return { kind: 'skipped', name, reason: `cipher ${cipher} is not among our primitives` };
  if (!isHash(hash)) return { kind: 'skipped', name, reason: `hash ${hash} is not among our primitives` };
  const foreign = Object.keys(vector).filter(field => !knownFields.has(field));
  if (foreign.length > 0) return { kind: 'skipped', name, reason: `has fields we do not know: ${foreign.join(', ')}` };
  try {
    run(vector, pattern.oneWay, side => {
      const initiator = side === 'init';
      const key = (field: string) => {
        const bytes = optionalBytes(vector, `${side}_${field}`);
        if (bytes === undefined) return undefined;
        const pair = crypto.keyPair(bytes);
        if (pair === undefined) throw new Failure(`${side}_${field} is not a private key`);
        return pair;
      };
      const ephemeral = key('ephemeral');
      const suite = crypto.suite(cipher, hash);
      // In fallback patterns an ephemeral key is known beforehand; the vectors give its private half to its owner only.
      const remotePre = initiator ? pattern.responderPre : pattern.initiatorPre;
      const ownPre = initiator ? pattern.initiatorPre : pattern.responderPre;
      let remoteEphemeral = optionalBytes(vector, `${side}_remote_ephemeral`);
      if (remotePre.includes('e') && remoteEphemeral === undefined) {
        const owner = optionalBytes(vector, initiator ? 'resp_ephemeral' : 'init_ephemeral');
        remoteEphemeral = owner && crypto.keyPair(owner)?.publicKey;
      }
      const handshake = createHandshake({
        suite: {
          ...suite,
          generateKeyPair: () => {
            if (ephemeral === undefined) throw new Failure(`${side}_ephemeral is needed and missing`);
            return ephemeral;
          },
        },
        pattern,
        role: initiator ? 'initiator' : 'responder',
        prologue: optionalBytes(vector, `${side}_prologue`) ?? new Uint8Array(0),
        staticKeyPair: key('static'),
        remoteStatic: optionalBytes(vector, `${side}_remote_static`),
        ephemeralKeyPair: ownPre.includes('e') ? ephemeral : undefined,
        remoteEphemeral: remotePre.includes('e') ? remoteEphemeral : undefined,
        psks: list(vector[`${side}_psks`] ?? [], `${side}_psks`).map((psk, i) => bytesOf(psk, `${side}_psks[${i}]`)),
      });
      if (isNoiseError(handshake)) throw new Failure(`${side}: ${handshake.code}`);
      return handshake;
    });
  } catch (error) {
    if (error instanceof Failure) return { kind: 'failed', name, reason: error.message };
    throw error;
  }
  return { kind: 'passed', name };
}

type Side = { readonly handshake: HandshakeState; split: Split | undefined };

function run(vector: Record<string, unknown>, oneWay: boolean, open: (side: 'init' | 'resp') => HandshakeState): void {
  const sides: readonly [Side, Side] = [
    { handshake: open('init'), split: undefined },
    { handshake: open('resp'), split: undefined },
  ];
  const messages = list(vector['messages'], 'messages');
  for (const [i, message] of messages.entries()) {
    if (!isRecord(message)) throw new Failure(`messages[${i}] is not an object`);
    const payload = bytesOf(message['payload'], `messages[${i}].payload`);
    const expected = bytesOf(message['ciphertext'], `messages[${i}].ciphertext`);
    const fromInitiator = oneWay || i % 2 === 0;
    const sender = sides[fromInitiator ? 0 : 1];
    const receiver = sides[fromInitiator ? 1 : 0];
    if (sender.split === undefined) {
      const written = sender.handshake.writeMessage(payload);
      if (isNoiseError(written)) throw new Failure(`message ${i}: writing gives ${written.code}`);
      same(written.message, expected, `message ${i}`);
      const read = receiver.handshake.readMessage(expected);
      if (isNoiseError(read)) throw new Failure(`message ${i}: reading gives ${read.code}`);
      same(read.payload, payload, `payload ${i}`);
      if (written.kind !== read.kind) throw new Failure(`message ${i}: only one side is finished`);
      if (written.kind === 'complete' && read.kind === 'complete') {
        sender.split = written.split;
        receiver.split = read.split;
        const hash = optionalBytes(vector, 'handshake_hash') ?? written.split.handshakeHash;
        same(written.split.handshakeHash, hash, 'handshake hash of the sender');
        same(read.split.handshakeHash, hash, 'handshake hash of the receiver');
      }
    } else {
      const sealed = direction(sender.split.send, i).encrypt(payload);
      if (isNoiseError(sealed)) throw new Failure(`message ${i}: sealing gives ${sealed.code}`);
      same(sealed, expected, `message ${i}`);
      const opened = direction(receiver.split?.receive, i).decrypt(expected);
      if (isNoiseError(opened)) throw new Failure(`message ${i}: opening gives ${opened.code}`);
      same(opened, payload, `payload ${i}`);
    }
  }
  if (sides[0].split === undefined) throw new Failure('the handshake is not finished after the last message');
}

function direction(state: CipherState | undefined, message: number): CipherState {
  if (state === undefined) throw new Failure(`message ${message}: a one-way pattern has no such direction`);
  return state;
}

function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) !== 0) throw new Failure(`${what} differs`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Failure(`${what} is not a list`);
  return value;
}

function optionalBytes(vector: Record<string, unknown>, field: string): Uint8Array | undefined {
  return vector[field] === undefined ? undefined : bytesOf(vector[field], field);
}

function bytesOf(value: unknown, what: string): Uint8Array {
  if (typeof value !== 'string' || !/^([0-9a-f]{2})*$/i.test(value)) throw new Failure(`${what} is not hexadecimal`);
  return Buffer.from(value, 'hex');
}

function isCipher(name: string | undefined): name is CipherName {
  return name === 'AESGCM' || name === 'ChaChaPoly';
}

function isHash(name: string): name is HashName {
  return name === 'SHA256' || name === 'SHA512' || name === 'BLAKE2s' || name === 'BLAKE2b';
}
