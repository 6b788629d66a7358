import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as fc from 'fast-check';
import {
  type Content,
  type ContentBody,
  decodeContent,
  encodeContent,
  MAX_CONTENT_BYTES,
  MAX_TEXT_BYTES,
  ownCapabilities,
} from './content.ts';
import { ContentSchema, ReceiptKind, Style } from './gen/content_pb.ts';

const person = `3-${'q'.repeat(26)}`;
const id = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);
const target = { messageId: id(2), author: person, sentAtMs: 1_800_000_000_123 };

function content(body: ContentBody, more: Partial<Content> = {}): Content {
  return { messageId: id(1), sentAtMs: 1_800_000_000_000, ...more, body };
}

function roundTrip(sent: Content) {
  const encoded = encodeContent(sent);
  assert(encoded.ok, JSON.stringify(encoded));
  const decoded = decodeContent(encoded.value);
  assert(decoded.ok, JSON.stringify(decoded));
  assert.deepEqual(decoded.value.raw, encoded.value);
  const { raw: _, ...fields } = decoded.value;
  return JSON.parse(
    JSON.stringify(fields, (_key, value: unknown) => (value instanceof Uint8Array ? [...value] : value)),
  ) as unknown;
}

const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, each: unknown) => (each instanceof Uint8Array ? [...each] : each)),
  ) as unknown;

const bodies: ContentBody[] = [
  { kind: 'text', text: 'hé 👋' },
  {
    kind: 'text',
    text: 'see https://a.example/x now',
    styles: [{ start: 0, length: 3, style: 'bold' }],
    mentions: [{ start: 24, length: 3, interopId: person }],
    preview: { url: 'https://a.example/x', title: 't', description: '' },
  },
  { kind: 'reaction', target, emoji: '👍🏽' },
  { kind: 'reaction', target, emoji: '' },
  { kind: 'edit', targetMessageId: id(3), text: { text: 'better' } },
  { kind: 'delete', targetMessageId: id(3) },
  { kind: 'receipt', receipt: 'played', messageIds: [id(4), id(5)] },
  { kind: 'typing', state: 'started' },
  { kind: 'typing', state: 'stopped' },
  { kind: 'expiry-timer', seconds: 3_600, version: 2 },
  { kind: 'sent-transcript', to: person, content: id(9) },
  { kind: 'retry-request', stanzaId: 'a1-b', decryptionError: new Uint8Array([1, 2]), attempt: 1 },
  { kind: 'nothing' },
];

test('every body comes back as it was sent', () => {
  for (const body of bodies) {
    const sent = content(body, {
      expiresAfterSeconds: 60,
      chatId: id(7),
      viewOnce: true,
      replyTo: { target, excerpt: 'what?' },
    });
    assert.deepEqual(roundTrip(sent), plain({ ...sent, capabilities: ownCapabilities }));
  }
});

test('any text survives, and text that is not Unicode is refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }), text => {
      assert.deepEqual(
        roundTrip(content({ kind: 'text', text })),
        plain({ ...content({ kind: 'text', text }), capabilities: ownCapabilities }),
      );
    }),
  );
  assert.equal(encodeContent(content({ kind: 'text', text: 'a\ud800' })).ok, false);
});

test('unknown fields, bodies and styles are kept or left out, never misread', () => {
  const encoded = encodeContent(content({ kind: 'text', text: 'hello' }));
  assert(encoded.ok);
  // Field 60 (reserved), a string: beside the body, and instead of one.
  const later = Uint8Array.from([0xe2, 0x03, 0x02, 0x68, 0x69]);
  const beside = Uint8Array.from([...encoded.value, ...later]);
  const read = decodeContent(beside);
  assert(read.ok && read.value.body.kind === 'text');
  assert.deepEqual(read.value.raw, beside);
  assert.deepEqual(
    toBinary(ContentSchema, fromBinary(ContentSchema, beside)),
    beside,
    'the schema itself keeps them too',
  );

  const envelope = toBinary(ContentSchema, create(ContentSchema, { messageId: id(1), sentAtMs: 5n }));
  const unknown = decodeContent(Uint8Array.from([...envelope, ...later]));
  assert(unknown.ok && unknown.value.body.kind === 'unsupported' && unknown.value.body.name === undefined);
  assert.deepEqual([...unknown.value.body.raw.subarray(-5)], [...later]);

  const make = (body: NonNullable<Parameters<typeof create<typeof ContentSchema>>[1]>['body'], requiredVersion = 0) =>
    decodeContent(
      toBinary(
        ContentSchema,
        create(ContentSchema, { messageId: id(1), sentAtMs: 5n, requiredVersion, ...(body ? { body } : {}) }),
      ),
    );
  const poll = make({ case: 'poll', value: { question: 'when?', options: ['a', 'b'] } });
  assert(poll.ok && poll.value.body.kind === 'unsupported' && poll.value.body.name === 'poll');
  const newer = make({ case: 'text', value: { text: 'from the future' } }, 2);
  assert(newer.ok && newer.value.body.kind === 'unsupported');
  const style = make({
    case: 'text',
    value: {
      text: 'abc',
      styles: [
        { start: 0, length: 1, style: 99 as Style },
        { start: 1, length: 1, style: Style.BOLD },
      ],
    },
  });
  assert.deepEqual(style.ok && style.value.body, {
    kind: 'text',
    text: 'abc',
    styles: [{ start: 1, length: 1, style: 'bold' }],
  });
  const receipt = make({ case: 'receipt', value: { kind: 77 as ReceiptKind, messageIds: [id(1)] } });
  assert(receipt.ok && receipt.value.body.kind === 'unsupported');
  const strayPreview = make({
    case: 'text',
    value: { text: 'go to https://bank.example/', preview: { url: 'https://evil.example/', title: 'bank' } },
  });
  assert.deepEqual(strayPreview.ok && strayPreview.value.body, { kind: 'text', text: 'go to https://bank.example/' });
});

test('what breaks a limit is refused, on the way out and on the way in', () => {
  const refused: [Content, string][] = [
    [content({ kind: 'text', text: '' }), 'text'],
    [content({ kind: 'text', text: 'x'.repeat(MAX_TEXT_BYTES + 1) }), 'text'],
    [content({ kind: 'text', text: 'ab', styles: [{ start: 1, length: 2, style: 'bold' }] }), 'text.styles'],
    [content({ kind: 'text', text: 'ab', styles: [{ start: 0, length: 0, style: 'bold' }] }), 'text.styles'],
    [content({ kind: 'text', text: 'ab', styles: [{ start: -1, length: 1, style: 'bold' }] }), 'text.styles'],
    [content({ kind: 'text', text: 'ab', mentions: [{ start: 0, length: 1, interopId: 'me' }] }), 'text.mentions'],
    [
      content({ kind: 'text', text: 'ab', preview: { url: 'javascript:ab', title: '', description: '' } }),
      'text.preview',
    ],
    [content({ kind: 'delete', targetMessageId: new Uint8Array(15) }), 'delete.target'],
    [content({ kind: 'receipt', receipt: 'read', messageIds: [] }), 'receipt.messageIds'],
    [
      content({ kind: 'receipt', receipt: 'read', messageIds: Array.from({ length: 501 }, () => id(1)) }),
      'receipt.messageIds',
    ],
    [content({ kind: 'reaction', target: { ...target, author: '' }, emoji: 'x' }), 'reaction.target'],
    [content({ kind: 'reaction', target, emoji: 'x'.repeat(65) }), 'reaction.emoji'],
    [content({ kind: 'retry-request', stanzaId: 'a b', decryptionError: id(1), attempt: 1 }), 'retryRequest.stanzaId'],
    [content({ kind: 'retry-request', stanzaId: 'a', decryptionError: id(1), attempt: 0 }), 'retryRequest.attempt'],
    [content({ kind: 'sent-transcript', to: 'x', content: id(1) }), 'sentTranscript.to'],
    [content({ kind: 'nothing' }, { messageId: id(1).subarray(1) }), 'messageId'],
    [content({ kind: 'nothing' }, { sentAtMs: -1 }), 'sentAtMs'],
    [content({ kind: 'nothing' }, { sentAtMs: 1.5 }), 'sentAtMs'],
    [content({ kind: 'nothing' }, { chatId: new Uint8Array(5) }), 'chatId'],
  ];
  for (const [sent, field] of refused) {
    assert.deepEqual(encodeContent(sent), { ok: false, error: { code: 'invalid-content', field } });
  }
  const wire = (init: Parameters<typeof create<typeof ContentSchema>>[1]): ReturnType<typeof decodeContent> =>
    decodeContent(toBinary(ContentSchema, create(ContentSchema, init)));
  const base = { messageId: id(1), sentAtMs: 5n };
  const incoming: [Parameters<typeof wire>[0], string][] = [
    [{ ...base, messageId: new Uint8Array(17) }, 'messageId'],
    [{ ...base, sentAtMs: 2n ** 60n }, 'sentAtMs'],
    [{ ...base, replyTo: {} }, 'replyTo'],
    [
      {
        ...base,
        body: { case: 'text', value: { text: 'ab', styles: [{ start: 4_294_967_295, length: 1, style: 1 }] } },
      },
      'text.styles',
    ],
    [{ ...base, body: { case: 'edit', value: { targetMessageId: id(1) } } }, 'text'],
    [
      { ...base, body: { case: 'receipt', value: { kind: ReceiptKind.READ, messageIds: [new Uint8Array(1)] } } },
      'receipt.messageIds',
    ],
  ];
  for (const [init, field] of incoming)
    assert.deepEqual(wire(init), { ok: false, error: { code: 'invalid-content', field } });
  assert.deepEqual(decodeContent(new Uint8Array(MAX_CONTENT_BYTES + 1)), {
    ok: false,
    error: { code: 'content-too-large', maxBytes: MAX_CONTENT_BYTES },
  });
  // A text field (16) whose string is not UTF-8.
  const head = toBinary(ContentSchema, create(ContentSchema, base));
  const notText = decodeContent(Uint8Array.from([...head, 0x82, 0x01, 0x04, 0x0a, 0x02, 0xc3, 0x28]));
  assert.deepEqual(notText, { ok: false, error: { code: 'invalid-content', field: 'encoding' } });
});

test('any bytes give content or a refusal', () => {
  const seeds = bodies.flatMap(body => {
    const encoded = encodeContent(content(body));
    return encoded.ok ? [encoded.value] : [];
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      fc.nat(),
      (seed, flips, cut) => {
        const damaged = Uint8Array.from(seed).subarray(0, seed.length - (cut % 3));
        for (const [at, value] of flips) damaged[at % damaged.length] = value;
        const decoded = decodeContent(damaged);
        if (decoded.ok && decoded.value.body.kind !== 'unsupported') {
          const { raw: _, body, ...fields } = decoded.value;
          assert(encodeContent({ ...fields, body }).ok, 'what is accepted can be sent');
        }
      },
    ),
    { numRuns: 2_000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), bytes => typeof decodeContent(bytes).ok === 'boolean'));
});
