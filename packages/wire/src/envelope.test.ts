import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { decodeCompact, decodeCompactFrame } from './compact-decoder.ts';
import { encodeCompact } from './compact-encoder.ts';
import { compactContext } from './compact-value.ts';
import { type Child, type Element, element, withAttribute } from './element.ts';
import {
  type Ciphertext,
  EnvelopeElement,
  type EnvelopeMessage,
  type EnvelopeRefusalCode,
  type Sender,
  ciphertextBytes,
  detachMessage,
  deviceListError,
  deviceMessage,
  encodeEnvelopeMessage,
  envelopeRefusalElement,
  envelopeRefusals,
  isCanonicalBase64,
  parseDeviceList,
  parseDeviceMessage,
  parseEnvelopeMessage,
  stampableOf,
  stamped,
} from './envelope.ts';
import { maxCiphertextBytes, maxCiphertexts, xmlLimitsAfterLogin } from './limits.ts';
import { NS_CLIENT, NS_DELAY, NS_DELIVERY, NS_E2EE, NS_ERRORS, NS_HINTS } from './namespaces.ts';
import { parseStanzaError, stanzaErrorElement } from './stanza-error.ts';
import { parseXmlDocument } from './xml-decoder.ts';
import { encodeElement } from './xml-encoder.ts';

const bob = '0-abcdefghijklmnopqrstuvwxyz@citadel.example';
/** Of 128 bits, as gatekeepers give them: the one above has more, which is well-formed but has no packed form. */
const carol = '0-abcdefghijklmnopqrstuvwxya@citadel.example';
const alice = '7-zyxwvutsrqponmlkjihgfedcba@citadel.example';

function sender(device: number): Sender {
  const [interopId, domain] = alice.split('@') as [string, string];
  return { interopId, domain, fullJid: `${alice}/${device}` };
}

function read(text: string): Element {
  const el = parseXmlDocument(text, { ...xmlLimitsAfterLogin, elementBytes: 1 << 20, attributeBytes: 1 << 18 });
  assert.ok(!('kind' in el), text);
  return el;
}

const sample = `<message xmlns='jabber:client' to='${bob}' id='m1' type='chat' from='whoever' xml:lang='en'>
<envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'>
<ciphertext device='1' registration='4711' kind='prekey'>QUJD</ciphertext>
<ciphertext device='2' kind='session'>QUI=</ciphertext>
</envelope><no-store xmlns='urn:xmpp:hints'/><silent xmlns='urn:drawbridge:delivery:1'/></message>`.replaceAll(
  '\n',
  '',
);

test('the message of the specification is read', () => {
  assert.deepEqual(parseEnvelopeMessage(read(sample)), {
    kind: 'envelope-message',
    to: { local: '0-abcdefghijklmnopqrstuvwxyz', domain: 'citadel.example', resource: '' },
    toDevice: undefined,
    id: 'm1',
    type: 'chat',
    suite: 'signal-1',
    fromDevice: 1,
    commitment: undefined,
    ciphertexts: [
      { deviceId: 1, registrationId: 4711, kind: 'prekey', payload: 'QUJD' },
      { deviceId: 2, registrationId: undefined, kind: 'session', payload: 'QUI=' },
    ],
    payloadBytes: 5,
    noStore: true,
    silent: true,
  } satisfies EnvelopeMessage);
});

const delay = "<delay xmlns='urn:xmpp:delay' from='bob@citadel.example/1' stamp='2026-01-01T00:00:00Z'/>";

test('a client that sends again after a resumption may say since when it tries (XEP-0198, XEP-0203): it counts for nothing', () => {
  assert.deepEqual(
    parseEnvelopeMessage(read(sample.replace('<silent', `${delay}<silent`))),
    parseEnvelopeMessage(read(sample)),
  );
});

test('the schema is closed', () => {
  const cases: [from: string | RegExp, to: string, code: EnvelopeRefusalCode][] = [
    ["xmlns='jabber:client'", "xmlns='jabber:server'", 'not-a-message'],
    [/message/g, 'presence', 'not-a-message'],
    ["type='chat'", "type='error'", 'error-message'],
    ["type='chat'", "x='1' type='error'", 'error-message'],
    ["type='chat'", "type='groupchat'", 'type-refused'],
    ["type='chat'", "type='headline'", 'type-refused'],
    ["type='chat'", "type=''", 'type-refused'],
    ["type='chat'", "x='1'", 'attribute-refused'],
    ["type='chat'", "xmlns:x='urn:x' x:type='chat'", 'attribute-refused'],
    ["type='chat'", "xml:space='preserve'", 'attribute-refused'],
    ["id='m1'", '', 'id-refused'],
    ["id='m1'", "id=''", 'id-refused'],
    ["id='m1'", "id='hello there'", 'id-refused'],
    ["id='m1'", `id='${'x'.repeat(65)}'`, 'id-refused'],
    [`to='${bob}'`, '', 'to-malformed'],
    [`to='${bob}'`, "to='citadel.example'", 'to-nobody'],
    [`to='${bob}'`, "to='bob@citadel.example'", 'to-nobody'],
    [`to='${bob}'`, `to='${bob}/phone'`, 'to-nobody'],
    [`to='${bob}'`, `to='${bob}/0'`, 'to-nobody'],
    [`to='${bob}'`, `to='${bob}/128'`, 'to-nobody'],
    [/<envelope.*<\/envelope>/, '', 'envelope-missing'],
    [/<envelope.*<\/envelope>/, '<body>hello</body>', 'child-refused'],
    ['<no-store', '<body>hello</body><no-store', 'child-refused'],
    ['<no-store', '\n<no-store', 'text-refused'],
    ['<no-store', 'hello<no-store', 'text-refused'],
    [/(<envelope.*<\/envelope>)/, '$1$1', 'child-repeated'],
    [/(<no-store.*?>)/, '$1$1', 'child-repeated'],
    [/(<silent.*?>)/, '$1$1', 'child-repeated'],
    ["urn:xmpp:hints'/>", "urn:xmpp:hints'>x</no-store>", 'child-refused'],
    ["urn:xmpp:hints'/>", "urn:xmpp:hints' a='b'/>", 'child-refused'],
    ["urn:drawbridge:delivery:1'/>", "urn:drawbridge:delivery:1'><x/></silent>", 'child-refused'],
    ["urn:drawbridge:delivery:1'/>", "urn:drawbridge:delivery:1' a='b'/>", 'child-refused'],
    ['urn:xmpp:hints', 'urn:xmpp:hint', 'child-refused'],
    ['urn:drawbridge:e2ee:1', 'urn:drawbridge:e2ee:2', 'child-refused'],
    ['<silent', `${delay}${delay}<silent`, 'child-repeated'],
    ['<silent', `${delay.replace('/>', '>Offline Storage</delay>')}<silent`, 'delay-malformed'],
    ['<silent', `${delay.replace(' stamp', " reason='hi' stamp")}<silent`, 'delay-malformed'],
    ['<silent', `${delay.replace('2026-01-01T', 'hello ')}<silent`, 'delay-malformed'],
    ["suite='signal-1'", '', 'suite-malformed'],
    ["suite='signal-1'", "suite=''", 'suite-malformed'],
    ["suite='signal-1'", "suite='Hello you'", 'suite-malformed'],
    ["suite='signal-1'", `suite='${'a'.repeat(33)}'`, 'suite-malformed'],
    ["suite='signal-1'", "suite='signal-1' x='y'", 'attribute-refused'],
    ["from-device='1'", '', 'device-malformed'],
    ["from-device='1'", "from-device='01'", 'device-malformed'],
    ["from-device='1'", "from-device='128'", 'device-malformed'],
    [/<ciphertext.*<\/ciphertext>/, '', 'ciphertext-count'],
    ['<ciphertext', 'x<ciphertext', 'text-refused'],
    ['<ciphertext', '<plaintext/><ciphertext', 'child-refused'],
    ['<ciphertext', "<ciphertext xmlns='urn:x'/><ciphertext", 'child-refused'],
    ["device='2'", "device='1'", 'device-repeated'],
    ["device='2'", "device='0'", 'device-malformed'],
    ["device='2'", '', 'device-malformed'],
    ["device='2'", "device='2' note='hi'", 'attribute-refused'],
    ["device='2'", "device='2' xml:lang='en'", 'attribute-refused'],
    ["registration='4711'", "registration=''", 'registration-malformed'],
    ["registration='4711'", "registration='16381'", 'registration-malformed'],
    ["kind='session'", "kind='plaintext'", 'kind-refused'],
    ["kind='session'", '', 'kind-refused'],
    ['<ciphertext', `<commitment>${'A'.repeat(40)}</commitment><ciphertext`, 'commitment-malformed'],
    ['<ciphertext', `<commitment>${'A'.repeat(44)}</commitment><ciphertext`, 'commitment-malformed'],
    ['<ciphertext', `<commitment x='1'>${'A'.repeat(43)}=</commitment><ciphertext`, 'commitment-malformed'],
    ['<ciphertext', `<commitment><x/></commitment><ciphertext`, 'commitment-malformed'],
    ['<ciphertext', `${`<commitment>${'A'.repeat(43)}=</commitment>`.repeat(2)}<ciphertext`, 'child-repeated'],
    [
      '<ciphertext',
      `<commitment>${'A'.repeat(43)}=</commitment><stamp at='1'>${'A'.repeat(43)}=</stamp><ciphertext`,
      'child-refused',
    ],
    ['>QUI=<', '><', 'ciphertext-malformed'],
    ['>QUI=<', '>QUI<', 'ciphertext-malformed'],
    ['>QUI=<', '>QUJ=<', 'ciphertext-malformed'],
    ['>QUI=<', '>QUI= <', 'ciphertext-malformed'],
    ['>QUI=<', '>QUI=\n<', 'ciphertext-malformed'],
    ['>QUI=<', '>QU_-<', 'ciphertext-malformed'],
    ['>QUI=<', '>QUI=<x/><', 'ciphertext-malformed'],
    ['>QUI=<', '><x/><', 'child-refused'],
    ['>QUI=<', `>${'A'.repeat(87_384)}<`, 'ciphertext-too-large'],
    ['>QUI=<', `>${'A'.repeat(100_000)}<`, 'ciphertext-too-large'],
  ];
  for (const [from, to, code] of cases) {
    const text = sample.replace(from, to);
    assert.notEqual(text, sample, String(from));
    assert.deepEqual(
      parseEnvelopeMessage(read(text)),
      { kind: 'refused', code },
      `${String(from)} -> ${to.slice(0, 80)}`,
    );
  }
});

test('the largest envelope is read and one byte more is not', () => {
  const build = (sizes: readonly number[]): Element =>
    encodeEnvelopeMessage({
      to: bob,
      id: 'm1',
      type: undefined,
      suite: 'signal-1',
      fromDevice: 1,
      ciphertexts: sizes.map((size, i) => ({
        deviceId: i + 1,
        registrationId: undefined,
        kind: 'session',
        payload: new Uint8Array(size),
      })),
      noStore: false,
      silent: false,
    });
  const outcome = (sizes: readonly number[]): string => {
    const message = parseEnvelopeMessage(build(sizes));
    return message.kind === 'refused' ? message.code : message.kind;
  };
  const full = 64 * 1024;
  assert.equal(outcome([full, full, full, full]), 'envelope-message');
  assert.equal(outcome([full + 1]), 'ciphertext-too-large');
  assert.equal(outcome([full, full, full, full, 1]), 'envelope-too-large');
  assert.equal(outcome([0]), 'ciphertext-malformed');
  assert.equal(outcome(Array.from({ length: 127 }, () => 1)), 'envelope-message');
  assert.equal(outcome(Array.from({ length: 128 }, () => 1)), 'ciphertext-count');
  const text = withText(build([full]), Buffer.alloc(full).toString('base64'));
  assert.equal(parseEnvelopeMessage(text).kind, 'envelope-message');
});

function withText(message: Element, payload: string): Element {
  const envelope = message.children[0] as Element;
  const ciphertext = envelope.children[0] as Element;
  return { ...message, children: [{ ...envelope, children: [{ ...ciphertext, children: [payload] }] }] };
}

const payload = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 100 }),
  fc.uint8Array({ minLength: 1, maxLength: 100 }).map(bytes => Buffer.from(bytes).toString('base64')),
);
const ciphertext: fc.Arbitrary<Ciphertext> = fc.record(
  {
    deviceId: fc.integer({ min: 1, max: 127 }),
    registrationId: fc.option(fc.integer({ min: 1, max: 16380 }), { nil: undefined }),
    kind: fc.constantFrom('prekey', 'session', 'plaintext-retry'),
    payload,
  },
  { noNullPrototype: true },
);
const digest = fc.oneof(
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map(bytes => Buffer.from(bytes).toString('base64')),
);
const message = fc.record({
  to: fc.constantFrom(bob, `${bob}/3`, carol, `${carol}/127`, carol.replace('0-', '65535-')),
  id: fc.stringMatching(/^[A-Za-z0-9._~:+/=-]{1,64}$/),
  type: fc.constantFrom('chat' as const, 'normal' as const, undefined),
  suite: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
  fromDevice: fc.integer({ min: 1, max: 127 }),
  commitment: fc.option(digest, { nil: undefined }),
  ciphertexts: fc.uniqueArray(ciphertext, { minLength: 1, maxLength: 6, selector: one => one.deviceId }),
  noStore: fc.boolean(),
  silent: fc.boolean(),
});

/** The same stanza as a plain tree. */
function withChildrenOf({ name, ns, attrs }: Element, children: readonly Child[]): Element {
  return { name, ns, attrs, children };
}

test('what a client writes the gate reads, and each device reads its own part of it', () => {
  fc.assert(
    fc.property(message, fc.boolean(), (fields, delayed) => {
      const parsed = parseEnvelopeMessage(encodeEnvelopeMessage(fields));
      assert.ok(parsed.kind === 'envelope-message');
      const { to: _, ...rest } = fields;
      assert.deepEqual({ ...parsed, ...rest }, parsed);
      assert.equal(
        parsed.payloadBytes,
        fields.ciphertexts.reduce((sum, one) => sum + ciphertextBytes(one.payload).length, 0),
      );

      for (const own of parsed.ciphertexts) {
        const delay = delayed ? { from: 'citadel.example', stamp: '2026-11-23T10:00:00.123Z' } : undefined;
        const sent = deviceMessage(parsed, own, sender(fields.fromDevice));
        const tree = withChildrenOf(sent, sent.children);
        assert.equal(encodeElement(sent, NS_CLIENT), encodeElement(tree, NS_CLIENT));
        for (const context of contexts) assert.deepEqual(encodeCompact(sent, context), encodeCompact(tree, context));
        const el =
          delay === undefined ? sent : withChildrenOf(sent, [...sent.children, element('delay', NS_DELAY, delay)]);
        const names = [
          'envelope',
          ...(fields.noStore ? ['no-store'] : []),
          ...(fields.silent ? ['silent'] : []),
          ...(delayed ? ['delay'] : []),
        ];
        assert.deepEqual(
          el.children.map(child => (child as Element).name),
          names,
        );
        const received = parseDeviceMessage(read(encodeElement(el, '')));
        assert.ok(received.kind === 'device-message');
        assert.equal(received.to.resource, String(own.deviceId));
        assert.equal(received.delayedSince, delay?.stamp);
        assert.equal(received.ciphertext.registrationId, own.registrationId);
        assert.equal(Buffer.compare(ciphertextBytes(received.ciphertext.payload), ciphertextBytes(own.payload)), 0);
      }
    }),
    { numRuns: 300, seed: 61 },
  );
});

test('a stamp goes beside a commitment, and both go for a device that takes neither', () => {
  fc.assert(
    fc.property(message, digest, fc.integer({ min: 1, max: 1e14 }), (fields, mac, atMs) => {
      const parsed = parseEnvelopeMessage(encodeEnvelopeMessage(fields));
      assert.ok(parsed.kind === 'envelope-message');
      const own = parsed.ciphertexts[0]!;
      const sent = deviceMessage(parsed, own, sender(fields.fromDevice));
      // As it is, and as it comes back from storage.
      for (const el of [sent, read(encodeElement(sent, ''))]) {
        const stampable = stampableOf(el);
        if (fields.commitment === undefined) assert.equal(stampable, undefined);
        else {
          const commitment = Uint8Array.from(ciphertextBytes(fields.commitment));
          const [from, to] = [alice, fields.to].map(jid => jid.split('@')[0]);
          assert.deepEqual(
            { ...stampable, commitment: Uint8Array.from(stampable!.commitment) },
            { from, to, id: fields.id, commitment },
          );
          const marked = stamped(el, { atMs, mac });
          const tree = withChildrenOf(marked, marked.children);
          assert.equal(encodeElement(marked, NS_CLIENT), encodeElement(tree, NS_CLIENT));
          for (const context of contexts)
            assert.deepEqual(encodeCompact(marked, context), encodeCompact(tree, context));
          const received = parseDeviceMessage(read(encodeElement(marked, '')));
          assert.ok(received.kind === 'device-message');
          assert.deepEqual(
            Buffer.from(ciphertextBytes(received.commitment!)),
            Buffer.from(ciphertextBytes(fields.commitment)),
          );
          assert.equal(received.stamp?.atMs, atMs);
          assert.deepEqual(Buffer.from(ciphertextBytes(received.stamp.mac)), Buffer.from(ciphertextBytes(mac)));
        }
        const bare = parseDeviceMessage(read(encodeElement(stamped(el, undefined), '')));
        assert.ok(bare.kind === 'device-message');
        assert.equal(bare.commitment, undefined);
        assert.equal(bare.stamp, undefined);
        assert.equal(encodeElement(stamped(el, undefined), '').includes('commitment'), false);
      }
      detachMessage(sent);
      if (fields.commitment !== undefined)
        assert.equal(Buffer.compare(stampableOf(sent)!.commitment, ciphertextBytes(fields.commitment)), 0);
    }),
    { numRuns: 300, seed: 67 },
  );
});

test('no device takes a stamp without a commitment', () => {
  const from = `${alice}/1`;
  const stamp = `<stamp at='1'>${'A'.repeat(43)}=</stamp>`;
  const own = `<ciphertext device='1' kind='session'>QUI=</ciphertext>`;
  const envelope = `<envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'>${stamp}${own}</envelope>`;
  const text = `<message xmlns='jabber:client' to='${bob}/1' from='${from}' id='m1'>${envelope}</message>`;
  assert.deepEqual(parseDeviceMessage(read(text)), { kind: 'refused', code: 'commitment-malformed' });
});

const contexts = ['citadel.example', 'skylark.example', '-not-an-address', undefined].map(compactContext);

/** With a known suite, and ciphertexts as long as real ones at least. */
function usual(fields: Parameters<typeof encodeEnvelopeMessage>[0]): typeof fields {
  const ciphertexts = fields.ciphertexts.map(one => ({ ...one, payload: new Uint8Array(one.payload.length + 16) }));
  return { ...fields, suite: 'signal-1', ciphertexts };
}

test('what the compact decoder reads straight into a message is what the tree says', () => {
  let straight = 0;
  fc.assert(
    fc.property(
      fc.array(fc.record({ fields: message, isUsual: fc.boolean() }), { minLength: 1, maxLength: 3 }),
      fc.constantFrom(...contexts),
      fc.option(fc.record({ at: fc.nat(2_000), value: fc.nat(255) }), { freq: 1 }),
      (messages, context, damage) => {
        const bytes = Buffer.concat(
          messages.map(({ fields, isUsual }) =>
            encodeCompact(encodeEnvelopeMessage(isUsual ? usual(fields) : fields), context),
          ),
        );
        if (damage !== null) bytes[damage.at % bytes.length] = damage.value;
        const frame = decodeCompactFrame(bytes, context, xmlLimitsAfterLogin);
        let offset = 0;
        for (const el of 'code' in frame ? [] : frame) {
          const tree = decodeCompact(bytes, offset, context, xmlLimitsAfterLogin);
          assert.ok(!('code' in tree));
          offset = tree.nextOffset;
          assert.deepEqual(withChildrenOf(el, el.children), tree.element);
          assert.deepEqual(parseEnvelopeMessage(el), parseEnvelopeMessage(tree.element));
          if (el instanceof EnvelopeElement) straight++;
        }
        if ('code' in frame) {
          let tree: ReturnType<typeof decodeCompact>;
          do {
            tree = decodeCompact(bytes, offset, context, xmlLimitsAfterLogin);
            offset = 'code' in tree ? tree.offset : tree.nextOffset;
          } while (!('code' in tree));
          assert.equal(tree.code, frame.code);
        }
      },
    ),
    { numRuns: 2_000, seed: 63 },
  );
  assert.ok(straight > 250, String(straight));
});

test('what is read straight keeps to the limits of what is read as a tree', () => {
  const context = compactContext('citadel.example');
  const build = (sizes: readonly number[]): Element =>
    encodeEnvelopeMessage({
      to: carol,
      id: 'm1',
      type: 'chat',
      suite: 'signal-1',
      fromDevice: 1,
      ciphertexts: sizes.map((size, index) => ({
        deviceId: index + 1,
        registrationId: index + 1,
        kind: 'session',
        payload: new Uint8Array(size),
      })),
      noStore: true,
      silent: true,
    });
  const many = Array.from({ length: maxCiphertexts }, () => 16);
  const straight = (sizes: readonly number[], elementBytes: number): boolean => {
    const bytes = encodeCompact(build(sizes), context);
    const limits = { ...xmlLimitsAfterLogin, elementBytes };
    const frame = decodeCompactFrame(bytes, context, limits);
    const tree = decodeCompact(bytes, 0, context, limits);
    assert.equal('code' in frame ? frame.code : 'read', 'code' in tree ? tree.code : 'read');
    return !('code' in frame) && frame[0] instanceof EnvelopeElement;
  };

  assert.ok(straight(many, 256 * 1024));
  assert.ok(straight([maxCiphertextBytes], 256 * 1024));
  assert.ok(!straight([maxCiphertextBytes + 1], 256 * 1024));
  assert.ok(!straight([15], 256 * 1024));
  for (const sizes of [[16], [500], [1_000, 1_000], many]) {
    let least = 1;
    for (let step = 65_536; step >= 1; step >>= 1) {
      const bytes = encodeCompact(build(sizes), context);
      const refused = (size: number): boolean =>
        'code' in decodeCompact(bytes, 0, context, { ...xmlLimitsAfterLogin, elementBytes: size });
      if (refused(least + step)) least += step;
    }
    assert.ok(!straight(sizes, least), 'what is too large as a tree is too large');
    assert.ok(!straight(sizes, least + 1), 'near the limit every byte is counted');
  }
});

test('a device takes nothing that is not meant for it', () => {
  const parsed = parseEnvelopeMessage(read(sample));
  assert.ok(parsed.kind === 'envelope-message');
  const sent = deviceMessage(parsed, parsed.ciphertexts[1]!, sender(1));
  const delay = element('delay', NS_DELAY, { from: 'citadel.example', stamp: '2026-11-23T10:00:00Z' });
  const good = withChildrenOf(sent, [...sent.children, delay]);
  const code = (el: Element): string => {
    const result = parseDeviceMessage(el);
    return result.kind === 'refused' ? result.code : result.kind;
  };
  assert.equal(code(good), 'device-message');
  assert.equal(code(withAttribute(good, 'to', `${bob}/1`)), 'to-malformed');
  assert.equal(code(withAttribute(good, 'to', bob)), 'to-malformed');
  assert.equal(code(withAttribute(good, 'from', `${alice}/2`)), 'from-malformed');
  assert.equal(code(withAttribute(good, 'from', undefined)), 'from-malformed');
  assert.equal(code(withAttribute(good, 'from', 'citadel.example')), 'from-malformed');
  assert.equal(code(withAttribute(good, 'type', 'error')), 'error-message');
  assert.equal(code(withAttribute(good, 'x', '1')), 'attribute-refused');
  assert.equal(code(withAttribute(good, 'id', ' ')), 'id-refused');
  const withChildren = (children: readonly Child[]): Element => ({ ...good, children });
  assert.equal(code(withChildren([...good.children, element('body', NS_CLIENT)])), 'child-refused');
  assert.equal(code(withChildren([...good.children, 'x'])), 'text-refused');
  assert.equal(code(withChildren(encodeEnvelopeMessage({ ...parsed, to: bob }).children)), 'ciphertext-count');
  for (const attrs of [
    {},
    { from: 'citadel.example' },
    { from: '@', stamp: '2026-11-23T10:00:00Z' },
    { from: 'b', stamp: 'yesterday' },
    { from: 'b', stamp: '2026-11-23T10:00:00Z', x: '' },
  ]) {
    assert.equal(code(withChildren([good.children[0]!, element('delay', NS_DELAY, attrs)])), 'delay-malformed');
  }
});

test('base64 has one form: the judgement of a second implementation', () => {
  const canonical = (text: string): boolean => Buffer.from(text, 'base64').toString('base64') === text;
  const character = fc.constantFrom(
    ...'ABQRgwxyz019+/='.split(''),
    '=',
    '-',
    '_',
    ' ',
    '\n',
    'é',
    '\u0141',
    '\u{1d11e}',
  );
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: character, maxLength: 9 }),
        fc.uint8Array({ maxLength: 20 }).map(bytes => Buffer.from(bytes).toString('base64')),
        fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 7 }), character, fc.nat(8)).map(([bytes, c, at]) => {
          const text = Buffer.from(bytes).toString('base64');
          return text.slice(0, at) + c + text.slice(at + 1);
        }),
      ),
      text => {
        const expected = canonical(text);
        if (expected) accepted++;
        assert.equal(isCanonicalBase64(text), expected, text);
      },
    ),
    { numRuns: 6000, seed: 4648 },
  );
  assert.ok(accepted > 1000 && accepted < 5900);
});

test('every refusal has its answer, and an error has none', () => {
  for (const code of Object.keys(envelopeRefusals) as EnvelopeRefusalCode[]) {
    const answer = envelopeRefusalElement(code);
    if (code === 'error-message') assert.equal(answer, undefined);
    else if (code === 'to-nobody') assert.deepEqual(answer, stanzaErrorElement('service-unavailable'));
    else if (code === 'to-malformed') assert.deepEqual(answer, stanzaErrorElement('jid-malformed'));
    else {
      assert.deepEqual(
        answer,
        stanzaErrorElement('policy-violation', {
          type: 'modify',
          application: element('envelope-required', NS_ERRORS),
        }),
      );
    }
  }
});

test('device lists are read as they are written', () => {
  const list = { missing: [3], extra: [2, 7], stale: [1] };
  const error = parseStanzaError(element('message', NS_CLIENT, { type: 'error' }, [deviceListError(list)]));
  assert.ok(error?.application !== undefined);
  assert.deepEqual({ condition: error.condition, type: error.type }, { condition: 'conflict', type: 'modify' });
  assert.deepEqual(parseDeviceList(error.application), list);
  const bad = [
    element('device-list', NS_HINTS),
    element('device-list', NS_E2EE, {}, ['x']),
    element('device-list', NS_E2EE, {}, [element('missing', NS_E2EE)]),
    element('device-list', NS_E2EE, {}, [element('missing', NS_E2EE, { device: '0' })]),
    element('device-list', NS_E2EE, {}, [element('missing', NS_DELIVERY, { device: '1' })]),
    element('device-list', NS_E2EE, {}, [element('other', NS_E2EE, { device: '1' })]),
    element('device-list', NS_E2EE, {}, [
      element('extra', NS_E2EE, { device: '1' }),
      element('extra', NS_E2EE, { device: '1' }),
    ]),
  ];
  for (const el of bad) assert.equal(parseDeviceList(el), undefined);
});
