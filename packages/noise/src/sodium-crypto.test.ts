// libsodium and node:crypto are two adapters of one port: they must not be told apart by what they compute or refuse.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { CipherState } from './cipher-state.ts';
import { ClosedKey, type NoiseCrypto } from './crypto.ts';
import { isNoiseError, noiseError } from './errors.ts';
import { generatePrivateKey, nodeCrypto } from './node-crypto.ts';
import { chooseCrypto, platformCrypto, sodiumAbsence } from './platform-crypto.ts';
import { startInitiator, startResponder } from './pipes.ts';
import { type Sodium, sodiumCrypto } from './sodium-crypto.ts';

const sodium = createRequire(import.meta.url)('sodium-native') as Sodium;
const fast = sodiumCrypto(sodium, { ...nodeCrypto, generatePrivateKey });
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const nonceHalf = fc.oneof(fc.constantFrom(0, 1, 0xffff_ffff), fc.nat(0xffff_ffff));

const plain = (bytes: Uint8Array | undefined): Uint8Array | undefined => bytes && Uint8Array.from(bytes);

test('where the repository is developed, libsodium is used', () => {
  assert.equal(sodiumAbsence, undefined);
  assert.notEqual(platformCrypto, nodeCrypto);
});

test('ChaChaPoly: both seal to the same bytes, and each opens or refuses what the other does', () => {
  fc.assert(
    fc.property(
      bytes32,
      nonceHalf,
      nonceHalf,
      fc.uint8Array({ maxLength: 40 }),
      fc.oneof(
        fc.uint8Array({ maxLength: 600 }),
        fc.nat(65_519).map(length => new Uint8Array(length).fill(length)),
      ),
      fc.nat(7),
      fc.nat(),
      fc.nat(7),
      (key, high, low, ad, plaintext, offset, at, bit) => {
        const [one, two] = [fast, nodeCrypto].map(each => {
          const aead = each.suite('ChaChaPoly', 'SHA256').aead(key);
          const out = new Uint8Array(offset + plaintext.length + 16 + 5);
          aead.seal(high, low, ad, plaintext, out, offset);
          return { aead, out };
        });
        assert.deepEqual(one!.out, two!.out);
        const sealed = one!.out.subarray(offset, offset + plaintext.length + 16);
        const changed = Uint8Array.from(sealed);
        changed[at % changed.length]! ^= 1 << bit;
        const cut = sealed.subarray(0, at % sealed.length);
        for (const [data, message] of [
          [ad, sealed],
          [ad, changed],
          [ad, cut],
          [Uint8Array.from([...ad, 0]), sealed],
        ] as const) {
          const [a, b] = [one!, two!].map(each => plain(each.aead.open(high, low, data, message)));
          assert.deepEqual(a, b);
          assert.equal(a === undefined, message !== sealed || data !== ad);
        }
        assert.deepEqual(plain(one!.aead.open(high, low, ad, sealed)), plaintext);
      },
    ),
    { numRuns: 300 },
  );
});

test('X25519: both make the same public keys and secrets of any bytes, and refuse the same', () => {
  const points = fc.oneof(
    bytes32,
    fc.constantFrom(
      new Uint8Array(32),
      Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0)),
      Uint8Array.from(Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex')),
      Uint8Array.from(Buffer.from('ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', 'hex')),
      Uint8Array.from(Buffer.from('eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', 'hex')),
    ),
    fc.uint8Array({ maxLength: 34 }),
  );
  fc.assert(
    fc.property(bytes32, points, (privateKey, point) => {
      const [a, b] = [fast, nodeCrypto].map(each => each.keyPairFromPrivateKey(privateKey)!);
      assert.deepEqual(plain(a!.publicKey), plain(b!.publicKey));
      assert.deepEqual(plain(a!.agree(point)), plain(b!.agree(point)));
    }),
    { numRuns: 300 },
  );
  for (const length of [0, 31, 33]) assert.equal(fast.keyPairFromPrivateKey(new Uint8Array(length)), undefined);
});

test('each is a good peer of the other, in both ciphers', () => {
  const sides: readonly (readonly [NoiseCrypto, NoiseCrypto])[] = [
    [fast, nodeCrypto],
    [nodeCrypto, fast],
  ];
  const prologue = Buffer.from('p');
  const payload = Buffer.from('payload');
  for (const [ours, theirs] of sides) {
    for (const cipher of ['AESGCM', 'ChaChaPoly'] as const) {
      const staticKeyPair = theirs.generateKeyPair();
      const suite = ours.suite(cipher, 'SHA256');
      const remoteStatic = staticKeyPair.publicKey;
      const began = startInitiator({ suite, staticKeyPair: ours.generateKeyPair(), remoteStatic, prologue, payload });
      const suites = (['AESGCM', 'ChaChaPoly'] as const).map(name => theirs.suite(name, 'SHA256'));
      const responder = startResponder({ suites, staticKeyPairs: [staticKeyPair], prologue });
      assert.ok(!isNoiseError(began) && !isNoiseError(responder));
      assert.equal(began.message[0], cipher === 'AESGCM' ? 0x02 : 0x12);
      const presented = responder.read(began.message);
      assert.ok(presented.kind === 'initiator-presented' && Buffer.compare(presented.payload, payload) === 0);
      const reply = responder.reply(payload);
      assert.ok(reply.kind === 'established');
      const step = began.initiator.read(reply.message);
      assert.ok(step.kind === 'established');
      const sealed = step.transport.send.encrypt(payload);
      assert.ok(!isNoiseError(sealed));
      assert.deepEqual(plain(reply.transport.receive.decrypt(sealed) as Uint8Array), plain(payload));
    }
  }
});

test('sealing over its own plaintext gives what sealing beside it does, wherever it lies', () => {
  for (const [at, offset] of [
    [0, 0],
    [5, 5],
    [0, 7],
    [9, 2],
    [40, 0],
  ] as const) {
    const out = new Uint8Array(80);
    const plaintext = Uint8Array.from({ length: 30 }, (_, i) => i);
    out.set(plaintext, at);
    const expected = new CipherState(nodeCrypto.suite('ChaChaPoly', 'SHA256'), new Uint8Array(32)).encrypt(plaintext);
    const state = new CipherState(fast.suite('ChaChaPoly', 'SHA256'), new Uint8Array(32));
    assert.equal(state.encryptInto(out.subarray(at, at + 30), out, offset), 46);
    assert.deepEqual(plain(out.subarray(offset, offset + 46)), plain(expected as Uint8Array));
  }
});

test('keys that share memory are each their own, whatever becomes of others', () => {
  const crypto = sodiumCrypto(sodium, { ...nodeCrypto, generatePrivateKey });
  const suites = [crypto, nodeCrypto].map(each => each.suite('ChaChaPoly', 'SHA256'));
  const open: { ours: CipherState; theirs: CipherState }[] = [];
  for (let i = 0; i < 300; i++) {
    const key = Buffer.alloc(32, i % 251);
    const [ours, theirs] = suites.map(suite => new CipherState(suite, key)) as [CipherState, CipherState];
    open.push({ ours, theirs });
    if (i % 3 === 0) for (const state of open.splice((i * 7) % open.length, 1)) state.ours.close();
    if (i % 10 === 0) open[i % open.length]?.ours.rekey();
    if (i % 10 === 0) open[i % open.length]?.theirs.rekey();
  }
  for (const { ours, theirs } of open) {
    assert.deepEqual(
      plain(theirs.decrypt(ours.encrypt(Buffer.from('text')) as Uint8Array) as Uint8Array),
      plain(Buffer.from('text')),
    );
  }
});

test('a closed key is wiped in the memory that libsodium read, and does nothing any more', () => {
  const used: Uint8Array[] = [];
  const wiped: string[] = [];
  const watched: Sodium = {
    ...sodium,
    sodium_memzero: secret => {
      wiped.push(Buffer.from(secret).toString('hex'));
      sodium.sodium_memzero(secret);
    },
    crypto_aead_chacha20poly1305_ietf_encrypt: (...args) => {
      used.push(args[5]);
      return sodium.crypto_aead_chacha20poly1305_ietf_encrypt(...args);
    },
    crypto_scalarmult: (...args) => {
      used.push(args[1]);
      sodium.crypto_scalarmult(...args);
    },
  };
  const crypto = sodiumCrypto(watched, { ...nodeCrypto, generatePrivateKey });
  const state = new CipherState(crypto.suite('ChaChaPoly', 'SHA256'), Buffer.alloc(32, 7));
  const sealed = state.encrypt(Buffer.from('text')) as Uint8Array;
  state.rekey();
  state.encrypt(Buffer.from('text'));
  const pair = crypto.generateKeyPair();
  pair.agree(nodeCrypto.generateKeyPair().publicKey);
  assert.ok(
    used.length >= 3 && Buffer.compare(used[0]!, Buffer.alloc(32, 7)) !== 0,
    'nothing of the old key is there after a rekey',
  );
  assert.ok(used.slice(2).every(key => key.some(byte => byte !== 0)));
  state.close();
  pair.close();
  assert.ok(used.every(key => key.every(byte => byte === 0)));
  // Where it stood beside others, and where libsodium has read it last.
  assert.equal(wiped.filter(key => key === '07'.repeat(32)).length, 2);
  assert.equal(state.encrypt(Buffer.from('text')), noiseError('closed'));
  assert.equal(state.decrypt(sealed), noiseError('closed'));
  state.rekey();
  state.close();
  assert.throws(() => pair.agree(nodeCrypto.generateKeyPair().publicKey), ClosedKey);
});

test('a closed key does nothing, and closed twice it gives its place to one other key', () => {
  const suite = fast.suite('ChaChaPoly', 'SHA256');
  const none = new Uint8Array(0);
  const closed = suite.aead(Buffer.alloc(32, 7));
  closed.close();
  closed.close();
  const keys = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const later = keys.map(key => suite.aead(key));
  for (const [i, aead] of later.entries()) {
    const [ours, expected] = [aead, nodeCrypto.suite('ChaChaPoly', 'SHA256').aead(keys[i]!)].map(each => {
      const out = new Uint8Array(16);
      each.seal(0, 0, none, none, out, 0);
      return out;
    });
    assert.deepEqual(ours, expected);
    assert.throws(() => closed.seal(0, 0, none, none, new Uint8Array(16), 0), ClosedKey);
    assert.throws(() => closed.open(0, 0, none, expected!), ClosedKey);
  }
  for (const aead of later) aead.close();
});

test('a closed key of node:crypto is wiped too', () => {
  for (const cipher of ['AESGCM', 'ChaChaPoly'] as const) {
    const aead = nodeCrypto.suite(cipher, 'SHA256').aead(Buffer.alloc(32, 7));
    const key: unknown = Reflect.get(aead, 'key');
    aead.close();
    if (key instanceof Uint8Array) assert.ok(key.every(byte => byte === 0));
    assert.equal(Reflect.get(aead, 'key'), undefined);
    assert.throws(() => aead.seal(0, 0, new Uint8Array(0), new Uint8Array(0), new Uint8Array(16), 0), ClosedKey);
  }
});

test('without a binary that works, node:crypto does everything', () => {
  const missing = Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' });
  const unfit = Object.assign(new Error('Cannot find addon'), { code: 'ADDON_NOT_FOUND' });
  const fail = (error: Error) => (): never => {
    throw error;
  };
  assert.equal(chooseCrypto(fail(missing)).sodiumAbsence, 'not-installed');
  const throws = Object.defineProperty({ ...sodium }, 'crypto_scalarmult', { get: fail(unfit) });
  const loads = [fail(unfit), () => undefined, () => ({}), () => ({ ...sodium, crypto_scalarmult: 1 }), () => throws];
  for (const load of loads) {
    const chosen = chooseCrypto(load);
    assert.equal(chosen.sodiumAbsence, 'not-loadable');
    assert.equal(chosen.crypto, nodeCrypto);
  }
  const broken: readonly Partial<Sodium>[] = [
    { crypto_scalarmult_base: publicKey => void publicKey.fill(9) },
    { crypto_scalarmult: shared => void shared.fill(1) },
    { crypto_aead_chacha20poly1305_ietf_encrypt: sealed => sealed.length },
    // Opens whatever comes, as an unsigned -1 taken for success would.
    { crypto_aead_chacha20poly1305_ietf_decrypt: plaintext => plaintext.length },
    { crypto_aead_chacha20poly1305_ietf_decrypt: () => 2 ** 64 },
    // Right with associated data, and wrong without, as messages are sealed.
    {
      crypto_aead_chacha20poly1305_ietf_encrypt: (sealed, plaintext, ad, ...rest) =>
        sodium.crypto_aead_chacha20poly1305_ietf_encrypt(sealed, plaintext, ad ?? new Uint8Array(1), ...rest),
    },
    { sodium_memzero: fail(new Error('no')) },
  ];
  for (const change of broken) {
    const chosen = chooseCrypto(() => ({ ...sodium, ...change }));
    assert.equal(chosen.sodiumAbsence, 'computes-wrongly');
    assert.equal(chosen.crypto, nodeCrypto);
  }
});
