// Looks for the keys of closed sessions in the memory of this whole process, as somebody would who has a dump of it: private
// keys, shared secrets, chaining keys and transport keys. Linux shows a process its own memory.
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { type KeyPair, type NoiseCrypto, type Suite, symmetricKeyBytes } from './crypto.ts';
import { isNoiseError } from './errors.ts';
import { startInitiator, startResponder } from './pipes.ts';
import { generatePrivateKey, nodeCrypto } from './node-crypto.ts';
import { type Sodium, sodiumCrypto } from './sodium-crypto.ts';

/** What is looked for must not itself be found: it is kept changed by this. */
const mask = 0x5a5a_5a5a;
const words = symmetricKeyBytes / 4;
const bytesAtOnce = 64 * 1024;
const untouched = Buffer.alloc(bytesAtOnce);
const skip = process.platform === 'linux' ? false : 'only Linux shows a process its own memory';

type Secret = { readonly what: string; readonly masked: Uint32Array };

/** Libsodium's primitives, whose secrets are noted, masked. What begins a chain is the protocol's name, and no secret. */
function watched(secrets: Secret[]): { readonly crypto: NoiseCrypto; readonly suite: Suite } {
  const note = (what: string, key: Uint8Array): void => {
    const view = new DataView(key.buffer, key.byteOffset, key.length);
    secrets.push({ what, masked: Uint32Array.from({ length: words }, (_, i) => view.getUint32(i * 4, true) ^ mask) });
  };
  const sodium = createRequire(import.meta.url)('sodium-native') as Sodium;
  const crypto = sodiumCrypto(sodium, {
    ...nodeCrypto,
    generatePrivateKey: () => {
      const key = generatePrivateKey();
      note('private key', key);
      return key;
    },
  });
  const suite = crypto.suite('ChaChaPoly', 'SHA256');
  const noting: Suite = {
    ...suite,
    aead: key => {
      note('key of a cipher', key);
      return suite.aead(key);
    },
    hkdf: (chainingKey, input, outputs) => {
      if (Buffer.from(chainingKey.subarray(0, 5)).toString() !== 'Noise') note('chaining key', chainingKey);
      if (input.length === symmetricKeyBytes) note('shared secret', input);
      return suite.hkdf(chainingKey, input, outputs);
    },
  };
  return { crypto, suite: noting };
}

/** Which of them stand somewhere in what this process may write to. */
function findInMemory(secrets: readonly Secret[]): string[] {
  const begins = new Uint8Array(0x1_0000);
  for (const { masked } of secrets) begins[masked[0]! & 0xffff] = 1;
  const found = new Set<string>();
  const chunk = Buffer.allocUnsafeSlow(bytesAtOnce);
  const view = new DataView(chunk.buffer);
  const memory = openSync('/proc/self/mem', 'r');
  const look = (at: number): void => {
    for (const { what, masked } of secrets) {
      if (masked.every((word, i) => word === (view.getUint32(at + i * 4, true) ^ mask) >>> 0)) found.add(what);
    }
  };
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
    if (range === null) continue;
    const end = Number.parseInt(range[2]!, 16);
    for (let start = Number.parseInt(range[1]!, 16); start < end; start += bytesAtOnce - symmetricKeyBytes) {
      const read = readOrNothing(memory, chunk, Math.min(bytesAtOnce, end - start), start);
      if (chunk.equals(untouched)) continue;
      for (let at = 0; at + symmetricKeyBytes <= read; at++) {
        if (begins[(chunk[at]! | (chunk[at + 1]! << 8)) ^ (mask & 0xffff)] === 1) look(at);
      }
      // Or the next round would find it here.
      chunk.fill(0);
    }
  }
  closeSync(memory);
  return [...found].sort();
}

/** Some ranges can't be read, though they may be written to. */
function readOrNothing(memory: number, into: Buffer, length: number, position: number): number {
  try {
    return readSync(memory, into, 0, length, position);
  } catch {
    return 0;
  }
}

/** Both sides of an IK handshake, and a message each way; gives what ends it. */
function session({ crypto, suite }: ReturnType<typeof watched>): () => void {
  const keyPairs: readonly [KeyPair, KeyPair] = [crypto.generateKeyPair(), crypto.generateKeyPair()];
  const [own, remote] = keyPairs;
  const common = { prologue: Buffer.from('p'), payload: Buffer.from('login') };
  const began = startInitiator({ ...common, suite, staticKeyPair: own, remoteStatic: remote.publicKey });
  const responder = startResponder({ ...common, suites: [suite], staticKeyPairs: [remote] });
  assert.ok(!isNoiseError(began) && !isNoiseError(responder));
  assert.ok(!isNoiseError(responder.read(began.message)));
  const reply = responder.reply(common.payload);
  assert.ok(!isNoiseError(reply) && reply.kind === 'established');
  const step = began.initiator.read(reply.message);
  assert.ok(!isNoiseError(step) && step.kind === 'established');
  for (const [from, to] of [
    [step.transport.send, reply.transport.receive],
    [reply.transport.send, step.transport.receive],
  ] as const) {
    const sealed = from.encrypt(common.payload);
    assert.ok(!isNoiseError(sealed) && !isNoiseError(to.decrypt(sealed)));
  }
  return () => {
    for (const { send, receive } of [step.transport, reply.transport]) {
      send.close();
      receive.close();
    }
    for (const pair of keyPairs) pair.close();
  };
}

test('the keys of an open session are in memory, and those of a closed one nowhere', { skip }, () => {
  const secrets: Secret[] = [];
  const end = session(watched(secrets));
  const kinds = new Set(secrets.map(({ what }) => what));
  assert.deepEqual([...kinds].sort(), ['chaining key', 'key of a cipher', 'private key', 'shared secret']);
  assert.deepEqual(findInMemory(secrets), ['key of a cipher', 'private key']);
  end();
  assert.deepEqual(findInMemory(secrets), []);
});
