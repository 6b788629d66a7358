import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { KeyPair, Suite } from './crypto.ts';
import { isNoiseError, noiseError } from './errors.ts';
import { createHandshake, type HandshakeOptions, HandshakeState, type Role, type Split } from './handshake-state.ts';
import { generateKeyPair, nodeSuite } from './node-crypto.ts';
import { basePatternNames, type HandshakePattern, parsePattern } from './patterns.ts';

const suite = nodeSuite('AESGCM', 'SHA256');
const keys = { initiator: generateKeyPair(), responder: generateKeyPair() };
const ephemeral = generateKeyPair();
const psk = Buffer.alloc(32, 5);

/** The keys that `role` needs for a pattern, and no others. */
function optionsFor(pattern: HandshakePattern, role: Role, prologue = Buffer.from('DB')): HandshakeOptions {
  const other = role === 'initiator' ? 'responder' : 'initiator';
  const pre = { initiator: pattern.initiatorPre, responder: pattern.responderPre };
  const sends = pattern.messages.some((tokens, i) => (i % 2 === 0) === (role === 'initiator') && tokens.includes('s'));
  return {
    suite,
    pattern,
    role,
    prologue,
    staticKeyPair: sends || pre[role].includes('s') ? keys[role] : undefined,
    remoteStatic: pre[other].includes('s') ? keys[other].publicKey : undefined,
    ephemeralKeyPair: pre[role].includes('e') ? ephemeral : undefined,
    remoteEphemeral: pre[other].includes('e') ? ephemeral.publicKey : undefined,
    psks: Array.from({ length: pattern.psks }, () => psk),
  };
}

function open(options: HandshakeOptions): HandshakeState {
  const handshake = createHandshake(options);
  assert.ok(handshake instanceof HandshakeState, JSON.stringify(handshake));
  return handshake;
}

const names = [...basePatternNames, 'XXfallback', 'XXpsk3', 'NNpsk0', 'IKpsk2', 'XXfallback+psk0', 'Kpsk0'];
const anyPattern = fc.constantFrom(...names).map(name => parsePattern(name)!);

test('whatever the pattern: attacks are refused without a trace, and the handshake still succeeds', () => {
  fc.assert(
    fc.property(
      anyPattern,
      fc.infiniteStream(fc.nat()),
      fc.uint8Array({ maxLength: 100 }),
      (pattern, numbers, junk) => {
        const number = () => numbers.next().value as number;
        const sides = {
          initiator: open(optionsFor(pattern, 'initiator')),
          responder: open(optionsFor(pattern, 'responder')),
        };
        const ends: Partial<Record<Role, Split>> = {};
        for (const i of pattern.messages.keys()) {
          const [sender, receiver] =
            i % 2 === 0 ? (['initiator', 'responder'] as const) : (['responder', 'initiator'] as const);
          const payload = Buffer.from(`payload ${i}`);
          assert.equal(sides[sender].turn, 'write');
          assert.equal(sides[receiver].turn, 'read');
          assert.equal(sides[receiver].writeMessage(payload), noiseError('out-of-turn'));
          assert.equal(sides[sender].readMessage(payload), noiseError('out-of-turn'));
          assert.equal(sides[sender].writeMessage(Buffer.alloc(65_530)), noiseError('message-too-long'));
          const written = sides[sender].writeMessage(payload);
          assert.ok(!isNoiseError(written));
          const { message } = written;
          assert.equal(sides[receiver].readMessage(Buffer.alloc(65_536)), noiseError('message-too-long'));
          assert.equal(sides[receiver].readMessage(new Uint8Array(0)), noiseError('message-truncated'));
          assert.equal(
            sides[receiver].readMessage(message.subarray(0, number() % (message.length - payload.length))),
            noiseError('message-truncated'),
          );
          // Before the first key agreement nothing is authenticated; afterwards every bit is.
          const keyed =
            pattern.psks > 0 || pattern.messages.slice(0, i + 1).some(tokens => tokens.some(t => t.length === 2));
          if (keyed) {
            const flipped = new Uint8Array(message);
            flipped[number() % flipped.length]! ^= 1 << (number() % 8);
            for (const bad of [flipped, junk, new Uint8Array([...message, 1]), message.subarray(0, -1)]) {
              const refused = sides[receiver].readMessage(bad);
              assert.ok(isNoiseError(refused), 'refused');
            }
          }
          const read = sides[receiver].readMessage(message);
          assert.ok(!isNoiseError(read), JSON.stringify(read));
          assert.deepEqual(Buffer.from(read.payload), payload);
          if (written.kind === 'complete') ends[sender] = written.split;
          if (read.kind === 'complete') ends[receiver] = read.split;
        }
        const { initiator, responder } = ends;
        assert.ok(initiator && responder);
        assert.deepEqual(initiator.handshakeHash, responder.handshakeHash);
        const sealed = initiator.send!.encrypt(junk) as Uint8Array;
        assert.deepEqual(Buffer.from(responder.receive!.decrypt(sealed) as Uint8Array), Buffer.from(junk));
        assert.equal(responder.send === undefined, pattern.oneWay);
        assert.equal(initiator.receive === undefined, pattern.oneWay);
        if (!pattern.oneWay) {
          assert.deepEqual(initiator.receive!.decrypt(responder.send!.encrypt(psk) as Uint8Array), psk);
          // A frame sent back to its sender is not the other direction's frame.
          assert.equal(initiator.receive!.decrypt(sealed), noiseError('decryption-failed'));
        }
        for (const side of Object.values(sides)) {
          assert.equal(side.turn, 'over');
          assert.equal(side.writeMessage(psk), noiseError('out-of-turn'));
          assert.equal(side.readMessage(psk), noiseError('out-of-turn'));
        }
      },
    ),
    { numRuns: 120 },
  );
});

test('sides that differ in prologue, pattern, pre-shared key or expected key do not meet', () => {
  const meet = (a: HandshakeOptions, b: HandshakeOptions): boolean => {
    const sides = [open(a), open(b)] as const;
    for (let i = 0; ; i++) {
      const written = sides[i % 2 === 0 ? 0 : 1].writeMessage(psk);
      if (isNoiseError(written)) return false;
      const read = sides[i % 2 === 0 ? 1 : 0].readMessage(written.message);
      if (isNoiseError(read)) return false;
      if (read.kind === 'complete') return true;
    }
  };
  for (const name of ['XX', 'IK', 'KK', 'XXpsk3', 'NNpsk0', 'X1X1', 'XXfallback']) {
    const pattern = parsePattern(name)!;
    const initiator = optionsFor(pattern, 'initiator');
    const responder = optionsFor(pattern, 'responder');
    assert.equal(meet(initiator, responder), true);
    assert.equal(meet(initiator, { ...responder, prologue: Buffer.from('DC') }), false);
    assert.equal(meet(initiator, { ...responder, suite: nodeSuite('AESGCM', 'BLAKE2s') }), false);
    assert.equal(meet(initiator, { ...responder, pattern: { ...pattern, name: `${name}x` } }), false);
    if (pattern.psks > 0) assert.equal(meet(initiator, { ...responder, psks: [Buffer.alloc(32, 6)] }), false);
    if (initiator.remoteStatic !== undefined) {
      assert.equal(meet({ ...initiator, remoteStatic: ephemeral.publicKey }, responder), false);
    }
  }
});

test('keys that a pattern lacks, has no use for, or that are not keys are refused at the start', () => {
  const short = new Uint8Array(31);
  const badPair: KeyPair = { publicKey: short, agree: () => undefined, close() {} };
  for (const name of names) {
    const pattern = parsePattern(name)!;
    for (const role of ['initiator', 'responder'] as const) {
      const options = optionsFor(pattern, role);
      const check = (field: keyof HandshakeOptions, extra: unknown, bad: unknown) => {
        const given = options[field] !== undefined;
        const changed = createHandshake({ ...options, [field]: given ? undefined : extra });
        assert.equal(changed, noiseError(given ? 'key-missing' : 'key-unexpected'), `${name} ${role} ${field}`);
        if (given) assert.equal(createHandshake({ ...options, [field]: bad }), noiseError('key-malformed'));
      };
      check('staticKeyPair', ephemeral, badPair);
      check('remoteStatic', ephemeral.publicKey, short);
      check('ephemeralKeyPair', ephemeral, badPair);
      check('remoteEphemeral', ephemeral.publicKey, short);
      assert.equal(createHandshake({ ...options, psks: [...options.psks!, psk] }), noiseError('key-unexpected'));
      if (pattern.psks > 0) {
        assert.equal(createHandshake({ ...options, psks: [] }), noiseError('key-missing'));
        assert.equal(createHandshake({ ...options, psks: [short] }), noiseError('key-malformed'));
      }
    }
  }
});

test('the greatest message is 65,535 bytes', () => {
  const initiator = open(optionsFor(parsePattern('IK')!, 'initiator'));
  const responder = open(optionsFor(parsePattern('IK')!, 'responder'));
  const greatest = 65_535 - 32 - 48 - 16;
  assert.equal(initiator.writeMessage(Buffer.alloc(greatest + 1)), noiseError('message-too-long'));
  const written = initiator.writeMessage(Buffer.alloc(greatest, 1));
  assert.ok(!isNoiseError(written));
  assert.equal(written.message.length, 65_535);
  const read = responder.readMessage(written.message);
  assert.ok(!isNoiseError(read));
  assert.deepEqual(Buffer.from(read.payload), Buffer.alloc(greatest, 1));
});

test('nothing is kept of the buffers a message came in', () => {
  const initiator = open(optionsFor(parsePattern('XX')!, 'initiator'));
  const responder = open(optionsFor(parsePattern('XX')!, 'responder'));
  let split: Split | undefined;
  for (let i = 0; i < 3; i++) {
    const written = (i % 2 === 0 ? initiator : responder).writeMessage(psk);
    assert.ok(!isNoiseError(written));
    const network = Buffer.from(written.message);
    const read = (i % 2 === 0 ? responder : initiator).readMessage(network);
    network.fill(0);
    assert.ok(!isNoiseError(read));
    assert.deepEqual(Buffer.from(read.payload), psk);
    if (read.kind === 'complete') split = read.split;
  }
  assert.deepEqual(Buffer.from(split!.remoteStatic!), Buffer.from(keys.initiator.publicKey));
});

test('secrets in buffers of ours are zero after the handshake, also after failed messages', () => {
  for (const name of ['XX', 'IKpsk2', 'NNpsk0+psk2']) {
    const secrets: Uint8Array[] = [];
    const watched = (pair: KeyPair): KeyPair => ({
      publicKey: pair.publicKey,
      agree: remote => {
        const secret = pair.agree(remote);
        if (secret !== undefined) secrets.push(secret);
        return secret;
      },
      close() {},
    });
    const watching: Suite = {
      ...suite,
      generateKeyPair: () => watched(generateKeyPair()),
      hkdf: (chainingKey, input, outputs) => {
        const made = suite.hkdf(chainingKey, input, outputs);
        secrets.push(chainingKey, input, ...made);
        return made;
      },
    };
    const pattern = parsePattern(name)!;
    const sides = (['initiator', 'responder'] as const).map(role => {
      const options = optionsFor(pattern, role);
      return open({
        ...options,
        suite: watching,
        staticKeyPair: options.staticKeyPair && watched(options.staticKeyPair),
        psks: options.psks!.map(bytes => Buffer.from(bytes)),
      });
    });
    for (const i of pattern.messages.keys()) {
      const written = sides[i % 2]!.writeMessage(psk);
      assert.ok(!isNoiseError(written));
      const broken = new Uint8Array(written.message);
      broken[broken.length - 1]! ^= 1;
      if (i > 0) assert.ok(isNoiseError(sides[(i + 1) % 2]!.readMessage(broken)));
      assert.ok(!isNoiseError(sides[(i + 1) % 2]!.readMessage(written.message)));
    }
    assert.ok(secrets.length > 12);
    for (const secret of secrets)
      assert.ok(
        secret.every(byte => byte === 0),
        name,
      );
  }
});

test('a closed handshake does nothing more', () => {
  const initiator = open(optionsFor(parsePattern('XX')!, 'initiator'));
  initiator.close();
  assert.equal(initiator.writeMessage(psk), noiseError('out-of-turn'));
  assert.equal(initiator.ephemeralKeyPair, undefined);
});
