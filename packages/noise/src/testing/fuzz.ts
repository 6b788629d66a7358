// Seeded attacks on whole Noise sessions: a wire that changes, cuts, repeats and swaps messages between honest sides.
// Throws when a law is broken: bytes of any kind give a value or an error, a refused message changes nothing,
// and whoever is established shares session, peer and payloads with the true other side.

import type { CipherState } from '../cipher-state.ts';
import type { KeyPair, Suite } from '../crypto.ts';
import { isNoiseError, type NoiseError } from '../errors.ts';
import { keyPairFromPrivateKey } from '../node-crypto.ts';
import { type PipeTransport, startInitiator, startResponder } from '../pipes.ts';
import { platformCrypto } from '../platform-crypto.ts';

type Random = (below: number) => number;

/** mulberry32: small, and the same on every machine. */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function bytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random(256));
}

function law(holds: boolean, text: string): asserts holds {
  if (!holds) throw new Error(`Noise law broken: ${text}`);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Something else than `message`; `other` is a message of another session, direction or moment. */
function corrupted(random: Random, message: Uint8Array, other: Uint8Array): Uint8Array {
  for (;;) {
    let changed = new Uint8Array(message);
    switch (random(7)) {
      case 0:
        if (changed.length > 0) changed[random(changed.length)]! ^= 1 << random(8);
        break;
      case 1:
        changed = changed.subarray(0, random(changed.length + 1));
        break;
      case 2:
        changed = new Uint8Array([...changed, ...bytes(random, 1 + random(40))]);
        break;
      case 3:
        changed = new Uint8Array(bytes(random, random(200)));
        break;
      case 4:
        if (changed.length > 0) changed[0] = random(5);
        break;
      case 5:
        if (changed.length > 32) changed.fill(0, 1, 33);
        break;
      default:
        changed = new Uint8Array(other);
    }
    if (!equal(changed, message)) return changed;
  }
}

/** Runs `iterations` sessions; the same seed gives the same attacks. Throws when a law is broken. */
export function fuzzNoise(seed: number, iterations: number): void {
  const random = randomOf(seed);
  const newKeyPair = (): KeyPair => keyPairFromPrivateKey(bytes(random, 32))!;
  const suites = (['AESGCM', 'ChaChaPoly'] as const).map(
    (cipher): Suite => ({ ...platformCrypto.suite(cipher, 'SHA256'), generateKeyPair: newKeyPair }),
  );
  const initiatorKey = newKeyPair();
  const current = newKeyPair();
  const previous = newKeyPair();
  const forgotten = newKeyPair();
  let other: Uint8Array = bytes(random, 96);
  for (let i = 0; i < iterations; i++) other = session(suites[i % 2]!);

  function session(suite: Suite): Uint8Array {
    const prologue = bytes(random, random(8));
    const payload = bytes(random, random(64));
    const certificate = bytes(random, random(64));
    const remoteStatic = [undefined, current, previous, forgotten][random(4)]?.publicKey;
    const began = startInitiator({ suite, staticKeyPair: initiatorKey, remoteStatic, prologue, payload });
    const responder = startResponder({ suites, staticKeyPairs: [current, previous], prologue });
    law(!isNoiseError(began) && !isNoiseError(responder), 'a session with good keys begins');
    const { initiator, message: message1 } = began;
    // A changed message that is taken, because nothing in it is authenticated yet, makes the session a lost one.
    let poisoned = false;

    function deliver<T extends { readonly kind: string }>(
      message: Uint8Array,
      read: (m: Uint8Array) => T | NoiseError,
    ): T | undefined {
      if (random(2) === 0) {
        const answer = read(corrupted(random, message, other));
        if (!isNoiseError(answer)) {
          poisoned = true;
          return answer;
        }
      }
      const answer = read(message);
      law(poisoned || !isNoiseError(answer), 'a refused message leaves the handshake as it was');
      return isNoiseError(answer) ? undefined : answer;
    }

    let initiatorEnd: PipeTransport | undefined;
    let responderEnd: PipeTransport | undefined;
    const first = deliver(message1, m => responder.read(m));
    if (first === undefined) return message1;
    if (first.kind === 'initiator-presented') {
      law(equal(first.remoteStatic, initiatorKey.publicKey), 'IK shows the static key of the initiator');
    }
    const reply = responder.reply(certificate);
    law(!isNoiseError(reply) || poisoned, 'an honest first message is answered');
    if (isNoiseError(reply)) return message1;
    if (reply.kind === 'established') responderEnd = reply.transport;
    const second = deliver(reply.message, m => initiator.read(m));
    if (second === undefined) return reply.message;
    law(equal(second.payload, certificate), 'the initiator reads the certificate that was sent');
    let message3: Uint8Array = new Uint8Array(0);
    if (second.kind === 'established') initiatorEnd = second.transport;
    else {
      const presented = equal(second.remoteStatic, current.publicKey);
      law(presented, 'the responder presents its current key');
      const confirmed = initiator.confirm();
      law(!isNoiseError(confirmed), 'the initiator finishes what it has accepted');
      initiatorEnd = confirmed.transport;
      message3 = confirmed.message;
      const third = deliver(message3, m => responder.read(m));
      if (third?.kind === 'established') {
        law(equal(third.payload, payload), 'the responder reads the payload that was sent');
        responderEnd = third.transport;
      }
    }
    law(responderEnd !== undefined, 'an initiator is established only with a responder that can be');
    law(equal(initiatorEnd.handshakeHash, responderEnd.handshakeHash), 'both sides have one transcript');
    law(equal(responderEnd.remoteStatic, initiatorKey.publicKey), 'the responder knows the initiator');
    const known = [current, previous].some(key => equal(key.publicKey, initiatorEnd.remoteStatic));
    law(known, 'the initiator knows the responder');
    transport(initiatorEnd.send, responderEnd.receive, message3);
    transport(responderEnd.send, initiatorEnd.receive, reply.message);
    return random(2) === 0 ? message1 : reply.message;
  }

  function transport(send: CipherState, receive: CipherState, elsewhere: Uint8Array): void {
    let last = elsewhere;
    for (let count = random(4); count >= 0; count--) {
      if (random(8) === 0) {
        send.rekey();
        receive.rekey();
      }
      const plaintext = bytes(random, random(100));
      const frame = send.encrypt(plaintext);
      law(!isNoiseError(frame), 'a frame is sealed');
      const before = receive.nonce;
      law(isNoiseError(receive.decrypt(corrupted(random, frame, last))), 'a changed frame is refused');
      law(isNoiseError(receive.decrypt(last)), 'a repeated or foreign frame is refused');
      law(receive.nonce === before, 'a refused frame changes nothing');
      const opened = receive.decrypt(frame);
      law(!isNoiseError(opened) && equal(opened, plaintext), 'the true frame is opened');
      last = frame;
    }
  }
}
