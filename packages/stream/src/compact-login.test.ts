// Login on the compact transport between our two ends: every pattern, every refusal, and what an attacker on the wire can do.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { CipherName, Suite } from '@drawbridge/noise/crypto';
import { generateKeyPair, nodeSuite } from '@drawbridge/noise/node-crypto';
import { compactContext } from '@drawbridge/wire/compact-value';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_BIND, NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import * as fc from 'fast-check';
import { type Alter, CompactPair, domain, goodProof, type PairOptions } from './testing/compact-pair.ts';
import type { CompactClientEvent } from './compact-client.ts';
import { compactCiphers, encodeLogin, encodeCertificate, parseCertificate, parseLogin } from './compact-login.ts';
import { CompactServer, type CompactServerEvent } from './compact-server.ts';

const bind = element('iq', NS_CLIENT, { type: 'set', id: 'bind' }, [element('bind', NS_BIND)]);
const enable = element('enable', NS_SM, { resume: 'true' });
const answers = [
  element('iq', NS_CLIENT, { type: 'result', id: 'bind' }),
  element('enabled', NS_SM, { id: 's1', resume: 'true' }),
];

function message(id: number, size = 300): Element {
  return element('message', NS_CLIENT, { id: `m${id}` }, [element('body', NS_CLIENT, {}, ['~'.repeat(size)])]);
}

const known = generateKeyPair();
const patterns: Readonly<Record<'XX' | 'IK' | 'IK with the last key but two' | 'XXfallback', PairOptions>> = {
  XX: {},
  IK: { staticKeyPairs: [known], client: { knownStaticKey: known.publicKey } },
  'IK with the last key but two': {
    staticKeyPairs: [generateKeyPair(), generateKeyPair(), known],
    client: { knownStaticKey: known.publicKey },
  },
  XXfallback: { staticKeyPairs: [generateKeyPair()], client: { knownStaticKey: known.publicKey } },
};

for (const [name, options] of Object.entries(patterns)) {
  const pattern = name.split(' ')[0];

  test(`${name}: first stanzas arrive with the login, and their answers at once`, () => {
    const pair = new CompactPair({
      ...options,
      client: { ...options.client, stanzas: [bind, enable] },
      answers: () => answers,
    }).run();
    assert.equal(pair.clientFailure ?? pair.serverFailure, undefined);
    assert.equal(pair.login?.pattern, pattern);
    assert.equal(pair.login?.proof, goodProof);
    assert.deepEqual(pair.login?.stanzas, [bind, enable]);
    assert.equal(hex(pair.login?.deviceKey), hex(pair.deviceKeyPair.publicKey));
    assert.equal(pair.established?.pattern, pattern);
    assert.deepEqual(pair.clientElements, answers);
    assert.deepEqual(pair.client.transport?.handshakeHash, pair.serverTransport?.handshakeHash);
    // In IK everything is said in one message each.
    if (pattern === 'IK') assert.equal(pair.sent.length, 2);
    else assert.equal(hex(pair.established?.certificate?.publicKey), hex(pair.client.transport?.remoteStatic));
  });

  test(`${name}: stanzas of any size both ways, keep-alives in between, in any pieces`, () => {
    let piece = 1;
    const dripping: Alter = bytes => {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; piece = (piece * 7 + 3) % 20_011) {
        pieces.push(Uint8Array.from(bytes.subarray(at, at + piece + 1)));
        at += piece + 1;
      }
      return pieces;
    };
    const pair = new CompactPair({ ...options, alter: dripping }).run();
    const sizes = [10, 250_000, 0, 66_000, 1_000, 130_000];
    pair.clientSends(sizes.map((size, i) => message(i, size)));
    pair.clientSendsBytes(pair.client.keepAlive());
    pair.clientSends([message(99)]);
    pair.serverSends(sizes.map((size, i) => message(i, size)));
    const expected = sizes.map((size, i) => message(i, size));
    assert.equal(pair.serverFailure ?? pair.clientFailure, undefined);
    assert.equal(JSON.stringify(pair.clientElements), JSON.stringify(expected.map(normal)));
    assert.equal(JSON.stringify(pair.serverElements), JSON.stringify([...expected, message(99)].map(normal)));
  });

  test(`${name}: a refused proof gets one word and no session`, () => {
    const pair = new CompactPair({ ...options, client: { ...options.client, proof: 'not.a.proof' } }).run();
    assert.equal(pair.clientFailure, 'refused');
    assert.deepEqual(pair.clientElements, []);
    assert.equal(pair.client.send([message(1)]), undefined);
    assert.equal(pair.server.send([message(1)]), undefined);
  });

  test(`${name}: answers that don't fit into the handshake's reply follow it`, () => {
    const large = Array.from({ length: 3 }, (_, i) => message(i, 100_000));
    const many = Array.from({ length: 1_500 }, (_, i) => element('a', NS_SM, { h: String(i) }));
    for (const long of [large, many]) {
      const pair = new CompactPair({ ...options, answers: () => long }).run();
      assert.equal(JSON.stringify(pair.clientElements), JSON.stringify(long.map(normal)));
    }
  });

  test(`${name}: a flipped bit anywhere gives no exception, and no session in which it could matter`, () => {
    const honest = new CompactPair(options).run();
    const total = honest.sent.reduce((sum, { bytes }) => sum + bytes.length, 0);
    for (let at = 0; at < total; at++) {
      let before = 0;
      const flipping: Alter = bytes => {
        const start = before;
        before += bytes.length;
        if (at < start || at >= before) return [bytes];
        const changed = Uint8Array.from(bytes);
        changed[at - start]! ^= 1 << (at % 8);
        return [changed];
      };
      const pair = new CompactPair({ ...options, alter: flipping }).run();
      const isWhole = pair.client.transport !== undefined && pair.server.transport !== undefined;
      if (isWhole) {
        // Whoever spoils the sealed part of IK's first message gets what an outdated key gets: a fallback, which is whole.
        assert.equal(pair.login?.pattern, 'XXfallback', `byte ${at} of ${total} was changed and nobody noticed`);
        assert.equal(hex(pair.client.transport?.handshakeHash), hex(pair.serverTransport?.handshakeHash));
        assert.ok(at >= 40 && at < honest.sent[0]!.bytes.length);
      }
      assert.deepEqual([...pair.clientElements, ...pair.serverElements], []);
    }
  });
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex');
}

/** A tree as it comes back: an empty text is none. */
function normal(el: Element): Element {
  const children = el.children.filter(child => child !== '').map(child => (isTree(child) ? normal(child) : child));
  return { name: el.name, ns: el.ns, attrs: el.attrs, children };
}

function isTree(child: Element['children'][number]): child is Element {
  return typeof child === 'object' && !(child instanceof Uint8Array);
}

test('a client reveals nothing to a gatekeeper whose key is not certified', () => {
  for (const options of [patterns.XX, patterns.XXfallback]) {
    const cases: PairOptions[] = [
      { ...options, certificate: { signature: randomBytes(64) } },
      { ...options, certificate: { publicKey: generateKeyPair().publicKey } },
      { ...options, client: { ...options.client, isCertified: () => false } },
    ];
    for (const each of cases) {
      const pair = new CompactPair(each).run();
      assert.equal(pair.clientFailure, 'gatekeeper-not-certified');
      assert.equal(pair.login, undefined);
      assert.equal(pair.sent.filter(({ from }) => from === 'client').length, 1);
      assert.equal(pair.established, undefined);
    }
  }
});

test('the certificate is asked about the domain, key and time that it holds', () => {
  const asked: unknown[] = [];
  const pair = new CompactPair({
    client: {
      isCertified: certificate => {
        asked.push(certificate);
        return true;
      },
    },
  }).run();
  const [certificate] = asked as [{ publicKey: Uint8Array; notBefore: number; notAfter: number }];
  assert.equal(hex(certificate.publicKey), hex(pair.client.transport?.remoteStatic));
  assert.deepEqual([certificate.notBefore, certificate.notAfter], [1_790_000_000, 1_797_776_000]);
});

test('two sides that mean different gatekeepers have no session', () => {
  // XX: message 2 does not open. IK: message 1 does not, and neither does the fallback.
  for (const options of [patterns.XX, patterns.IK]) {
    const pair = new CompactPair({ ...options, serverDomain: 'skylark.example' }).run();
    assert.equal(pair.clientFailure, 'handshake-failed');
    assert.equal(pair.login, undefined);
  }
});

test('another version, another dictionary or something else altogether is refused at its first bytes', () => {
  const replacing =
    (start: readonly number[]): Alter =>
    (bytes, from) =>
      from === 'client' && bytes[0] === 0x44 ? [Uint8Array.from([...start, ...bytes.subarray(4)])] : [bytes];
  const failure = (start: readonly number[]) => new CompactPair({ alter: replacing(start) }).run().serverFailure;
  assert.equal(failure([0x44, 0x42, 2, 1]), 'version-unsupported');
  assert.equal(failure([0x44, 0x42, 1, 2]), 'version-unsupported');
  assert.equal(failure([0x16, 0x03, 1, 1]), 'not-compact');
  assert.equal(failure([...Buffer.from('GET ')]), 'not-compact');
});

test('a first message with a wrong pattern byte, a point of low order, or far too long, is refused', () => {
  const first = (bytes: Uint8Array) => {
    const { server } = new CompactPair();
    return server.receive(Buffer.concat([Uint8Array.of(0x44, 0x42, 1, 1), bytes])).at(-1);
  };
  const frame = (...body: number[]) => Uint8Array.of(0, 0, body.length, ...body);
  assert.deepEqual(first(frame(3, ...randomBytes(32))), { kind: 'failed', code: 'handshake-failed' });
  assert.deepEqual(first(frame(9)), { kind: 'failed', code: 'handshake-failed' });
  assert.deepEqual(first(frame()), { kind: 'failed', code: 'handshake-failed' });
  assert.deepEqual(first(frame(1, ...new Uint8Array(32))), { kind: 'failed', code: 'handshake-failed' });
  assert.deepEqual(first(frame(2, ...new Uint8Array(96))), { kind: 'failed', code: 'handshake-failed' });
  assert.deepEqual(first(Uint8Array.of(0, 0x80, 1)), { kind: 'failed', code: 'frame-too-long' });
});

test('a login whose payload is not a login is refused', () => {
  const malformed = [
    new Uint8Array(0),
    randomBytes(40),
    Buffer.concat([encodeLogin({ proof: 'a.b.c', stanzas: [] }, compactContext(domain)), Uint8Array.of(0xff)]),
  ];
  for (const payload of malformed) assert.equal(parseLogin(payload, compactContext(domain)), undefined);
  const context = compactContext(domain);
  assert.deepEqual(parseLogin(encodeLogin({ proof: 'a.b.c', stanzas: [bind] }, context), context), {
    proof: 'a.b.c',
    stanzas: [bind],
  });
});

test('a certificate comes back as it was, and nothing else is read as one', () => {
  const context = compactContext(domain);
  const certificate = {
    publicKey: Uint8Array.from(randomBytes(32)),
    notBefore: 1_790_000_000,
    notAfter: 1_797_776_000,
    signature: Uint8Array.from(randomBytes(64)),
  };
  const read = parseCertificate(encodeCertificate(certificate, context), context);
  assert.deepEqual(
    { ...read, publicKey: Uint8Array.from(read!.publicKey), signature: Uint8Array.from(read!.signature) },
    certificate,
  );
  for (const changed of [
    { publicKey: randomBytes(31) },
    { signature: randomBytes(63) },
    { notBefore: -1 },
    { notAfter: 1.5 },
    { notAfter: Number.NaN },
  ]) {
    assert.equal(parseCertificate(encodeCertificate({ ...certificate, ...changed }, context), context), undefined);
  }
});

test('a login that does not fit into a handshake message is refused before anything is sent', () => {
  const pair = new CompactPair({ client: { stanzas: [message(1, 33_000)] } }).run();
  assert.equal(pair.clientFailure, 'login-too-long');
  assert.equal(pair.sent.length, 0);
  // As much as fits is taken, by every pattern.
  for (const options of Object.values(patterns)) {
    const size = 30_000;
    const login = encodeLogin({ proof: goodProof, stanzas: [message(1, size)] }, compactContext(domain));
    const stanzas = [message(1, size + 32_768 - 97 - login.length)];
    const largest = new CompactPair({ ...options, client: { ...options.client, stanzas } }).run();
    assert.equal(largest.clientFailure ?? largest.serverFailure, undefined);
    assert.equal(largest.login?.stanzas.length, 1);
  }
});

test('while the proof is verified a client may send ahead, up to a limit', () => {
  for (const name of ['XX', 'XXfallback'] as const) {
    const pair = new CompactPair({ ...patterns[name], waits: true }).run();
    assert.equal(pair.client.transport !== undefined, true);
    pair.clientSends([message(1)]);
    assert.deepEqual(pair.serverElements, []);
    pair.decide(goodProof, []);
    assert.deepEqual(pair.serverElements, [message(1)]);

    const flooding = new CompactPair({ ...patterns[name], waits: true }).run();
    flooding.clientSends([message(1, 140_000)]);
    assert.equal(flooding.serverFailure, 'too-much-ahead');
    flooding.decide(goodProof, []);
    assert.equal(flooding.server.transport, undefined);
  }
});

const attacks: Record<string, (frames: Uint8Array[]) => Uint8Array[]> = {
  'a repeated frame': ([a, b, c]) => [a!, a!, b!, c!],
  'frames in another order': ([a, b, c]) => [b!, a!, c!],
  'a frame left out': ([, b, c]) => [b!, c!],
  'a frame without its last byte': ([a, b, c]) => [shortened(a!), b!, c!],
  'a frame of zeros': ([a, b, c]) => [
    a!,
    Uint8Array.from([...b!.subarray(0, 3), ...new Uint8Array(b!.length - 3)]),
    c!,
  ],
  'a frame shorter than a tag': ([a, b, c]) => [a!, Uint8Array.of(0, 0, 1, 7), b!, c!],
  'an empty frame without a tag': ([a, b, c]) => [Uint8Array.of(0, 0, 0), a!, b!, c!],
  'a frame too long': ([a, b, c]) => [a!, Uint8Array.of(0xff, 0xff, 0xff), b!, c!],
};

function shortened(frame: Uint8Array): Uint8Array {
  const cut = Uint8Array.from(frame.subarray(0, -1));
  const length = cut.length - 3;
  cut.set([length >>> 16, (length >>> 8) & 255, length & 255]);
  return cut;
}

for (const [name, attack] of Object.entries(attacks)) {
  test(`${name} ends the connection, on either side, and what came before it is all that was read`, () => {
    for (const side of ['client', 'server'] as const) {
      const pair = new CompactPair(patterns.IK).run();
      const sender = side === 'client' ? pair.client : pair.server;
      const frames = [1, 2, 3].map(id => sender.send([message(id)])!);
      const receiver = side === 'client' ? pair.server : pair.client;
      const events = attack(frames).flatMap((frame): (CompactClientEvent | CompactServerEvent)[] =>
        receiver.receive(frame),
      );
      const last = events.at(-1);
      assert.equal(last?.kind, 'failed');
      const read = events.flatMap(event => (event.kind === 'elements' ? event.elements : []));
      assert.deepEqual(read, [1, 2, 3].map(id => message(id)).slice(0, read.length));
      assert.ok(read.length < 3);
      assert.equal(receiver.send([message(4)]), undefined);
      assert.deepEqual(receiver.receive(frames[2]!), []);
    }
  });
}

test('a frame of another connection, or of the other direction, is not authentic', () => {
  const one = new CompactPair(patterns.IK).run();
  const other = new CompactPair(patterns.IK).run();
  const refused = [{ kind: 'failed', code: 'frame-not-authentic' }];
  assert.deepEqual(other.server.receive(one.client.send([message(1)])!), refused);
  assert.deepEqual(one.client.receive(one.client.send([message(1)])!), refused);
});

test('a recorded login that is played again shows the same proof, and its player can do nothing with the answer', () => {
  for (const options of Object.values(patterns)) {
    const pair = new CompactPair({ ...options, client: { ...options.client, stanzas: [bind, enable] } }).run();
    pair.clientSends([message(1)]);
    const recorded = pair.sent.filter(({ from }) => from === 'client').map(({ bytes }) => bytes);
    const staticKeyPairs = options.staticKeyPairs ?? [generateKeyPair()];
    const { server } = new CompactPair({ ...options, staticKeyPairs });
    const events = recorded.flatMap(bytes => server.receive(bytes));
    const login = events.find(event => event.kind === 'login');
    if (pair.login?.pattern === 'IK') {
      // It is for the proof's `jti`, which was taken, to refuse it. Even if it were not:
      assert.equal(login?.proof, goodProof);
      const admitted = server.admit(answers);
      assert.deepEqual(admitted.at(-1), { kind: 'failed', code: 'frame-not-authentic' });
    } else {
      assert.equal(login, undefined);
      assert.deepEqual(events.at(-1), { kind: 'failed', code: 'handshake-failed' });
    }
    assert.deepEqual(
      events.filter(event => event.kind === 'elements'),
      [],
    );
  }
});

test('any bytes at any moment give events, never an exception', () => {
  const suite = nodeSuite('AESGCM', 'SHA256');
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(patterns)),
      fc.nat(5),
      fc.constantFrom('client' as const, 'server' as const),
      fc.uint8Array({ maxLength: 400 }),
      fc.nat(40),
      (options, moment, to, bytes, length) => {
        let moves = 0;
        // A length that fits half of the time, so that the bytes are taken for a frame.
        const wild = length > 20 ? bytes : Uint8Array.from([0, bytes.length >>> 8, bytes.length & 255, ...bytes]);
        const pair = new CompactPair({
          ...options,
          suite,
          alter: (sent, from) => (moves++ === moment && from !== to ? [wild, sent] : [sent]),
        });
        pair.run();
        pair.clientSends([message(1)]);
        pair.serverSends([message(1)]);
      },
    ),
    { numRuns: 300 },
  );
});

test('a server that has failed stays silent', () => {
  const { server } = new CompactPair();
  assert.equal(server.receive(Buffer.from('HTTP')).length, 1);
  assert.deepEqual(server.receive(Buffer.from('DB\u0001\u0001')), []);
  assert.deepEqual(server.admit(answers), []);
  assert.deepEqual(server.refuse(), new Uint8Array(0));
  assert.ok(server instanceof CompactServer);
});

/** A suite that counts the keys that live: made and not closed. */
function counted(cipher: CipherName): {
  readonly suite: Suite;
  readonly live: () => number;
  readonly made: () => number;
} {
  const plain = nodeSuite(cipher, 'SHA256');
  let [made, closed] = [0, 0];
  const once = (close: () => void) => {
    made++;
    let isOpen = true;
    return () => {
      if (isOpen) closed++;
      isOpen = false;
      close();
    };
  };
  const suite: Suite = {
    ...plain,
    generateKeyPair: () => {
      const pair = plain.generateKeyPair();
      return { publicKey: pair.publicKey, agree: remote => pair.agree(remote), close: once(() => pair.close()) };
    },
    aead: key => {
      const aead = plain.aead(key);
      return {
        seal: (...args) => aead.seal(...args),
        open: (...args) => aead.open(...args),
        close: once(() => aead.close()),
      };
    },
  };
  return { suite, live: () => made - closed, made: () => made };
}

test('an open connection holds its two keys and no other; a closed one holds none, however it ended', () => {
  const endings: readonly ((pair: CompactPair) => void)[] = [
    pair => pair.client.close(),
    pair => pair.client.receive(Buffer.from([0, 0, 17, ...new Uint8Array(17)])),
  ];
  for (const options of Object.values(patterns)) {
    for (const end of endings) {
      const [client, server] = [counted('ChaChaPoly'), counted('ChaChaPoly')];
      const pair = new CompactPair({
        ...options,
        serverSuites: [server.suite],
        client: { ...options.client, suite: client.suite },
      }).run();
      assert.equal(pair.clientFailure, undefined);
      assert.deepEqual([client.live(), server.live()], [2, 2]);
      end(pair);
      pair.server.close();
      assert.deepEqual([client.live(), server.live()], [0, 0]);
      assert.ok(client.made() > 3 && server.made() > 3);
    }
  }
});

test('a handshake that goes wrong at any byte leaves no key behind', () => {
  for (const options of Object.values(patterns)) {
    for (let moment = 0; moment < 3; moment++) {
      for (const how of ['changed', 'refused', 'cut'] as const) {
        const [client, server] = [counted('ChaChaPoly'), counted('ChaChaPoly')];
        let moves = 0;
        const pair = new CompactPair({
          ...options,
          serverSuites: [server.suite],
          client: { ...options.client, suite: client.suite, ...(how === 'refused' ? { proof: 'a.b.c' } : {}) },
          alter: sent => {
            if (moves++ !== moment || how === 'refused') return [sent];
            const changed = Uint8Array.from(sent);
            changed[changed.length - 1]! ^= 1;
            return how === 'cut' ? [] : [changed];
          },
        }).run();
        pair.client.close();
        pair.server.close();
        assert.deepEqual([client.live(), server.live()], [0, 0], `${how} at ${moment}`);
      }
    }
  }
});

const bothSuites = (['AESGCM', 'ChaChaPoly'] as const).map(cipher => nodeSuite(cipher, 'SHA256'));

test('one server speaks with clients of both ciphers, in every pattern', () => {
  for (const options of Object.values(patterns)) {
    for (const suite of bothSuites) {
      const pair = new CompactPair({ ...options, suite, serverSuites: bothSuites, answers: () => [message(7)] }).run();
      assert.equal(pair.clientFailure, undefined);
      assert.equal(pair.clientElements.length, 1);
      const frame = pair.sent[0]!.bytes;
      assert.equal(frame[7]! >>> 4, suite.cipher === 'AESGCM' ? 0 : 1);
    }
  }
});

test('whoever changes the cipher that a handshake names ends it', () => {
  for (const options of Object.values(patterns)) {
    for (const suite of bothSuites) {
      for (let moment = 0; moment < 2; moment++) {
        let moves = 0;
        const pair = new CompactPair({
          ...options,
          suite,
          serverSuites: bothSuites,
          alter: sent => {
            const changed = Uint8Array.from(sent);
            if (moves++ === moment) changed[moment === 0 ? 7 : 3]! ^= 0x10;
            return [changed];
          },
        }).run();
        assert.equal(pair.established, undefined);
        // Message 1 of IK is read before its answer is changed; the client then never finishes.
        if (moment === 0) assert.equal(pair.login, undefined);
      }
    }
  }
});

test('a certificate that offers a better cipher than was used stops the client before it reveals itself', () => {
  for (const [ciphers, suite, stops] of [
    [compactCiphers, bothSuites[0]!, true],
    [compactCiphers, bothSuites[1]!, false],
    [['AESGCM'], bothSuites[0]!, false],
    [['AESGCM', 'ChaChaPoly-of-a-later-version'], bothSuites[0]!, false],
    [undefined, bothSuites[0]!, false],
    [['AESGCM'], bothSuites[1]!, false],
  ] as const) {
    for (const options of [patterns.XX, patterns.XXfallback]) {
      const pair = new CompactPair({ ...options, suite, serverSuites: bothSuites, certificate: { ciphers } }).run();
      assert.equal(pair.clientFailure, stops ? 'cipher-downgraded' : undefined);
      assert.equal(pair.login === undefined, stops);
      if (!stops) assert.deepEqual(pair.established?.certificate?.ciphers, ciphers);
    }
  }
});
