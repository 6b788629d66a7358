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
  MAX_EXPIRY_SECONDS,
  ownCapabilities,
} from './content.ts';
import { MAX_TEXT_BYTES } from './text.ts';
import { type AttachmentPointer, pointerMessage } from './attachment-pointer.ts';
import { type AttachmentKind as AttachmentKindCode, ContentSchema, ReceiptKind, Style } from '../gen/content_pb.ts';

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

const pointer: AttachmentPointer = {
  url: 'https://media.example/f/1',
  key: new Uint8Array(64).fill(3),
  digest: new Uint8Array(32).fill(4),
  incrementalMac: new Uint8Array(64).fill(5),
  incrementalMacChunkBytes: 65_536,
  sizeBytes: 1_234,
  kind: 'voice',
  mediaType: 'audio/ogg',
};
const fullPointer: AttachmentPointer = {
  ...pointer,
  kind: 'video',
  fileName: 'a b.mp4',
  caption: 'look',
  width: 640,
  height: 480,
  durationMs: 12_345,
  blurhash: 'LEHV6n',
  thumbnail: id(6),
  waveform: id(7),
  uploadedAtMs: 1_800_000_000_000,
  animated: true,
};

const bodies: ContentBody[] = [
  { kind: 'attachment', attachments: [pointer, fullPointer], caption: { text: 'two' } },
  { kind: 'attachment', attachments: [pointer] },
  { kind: 'profile', displayName: 'Änna', about: 'here', avatar: pointer },
  { kind: 'profile', displayName: '' },
  {
    kind: 'contacts',
    contacts: [
      { displayName: 'Bob', phones: ['+49 30 1'], emails: ['b@b.example'], interopId: person, avatar: pointer },
      { displayName: 'Eve' },
    ],
  },
  {
    kind: 'location',
    latitude: -33.5,
    longitude: 151.25,
    accuracyMeters: 7.5,
    name: 'here',
    address: 'Road 1',
    liveUntilMs: 1_800_000_000_000,
    liveSequence: 2,
  },
  { kind: 'location', latitude: 0, longitude: 0 },
  { kind: 'sticker', image: pointer, emoji: '🐎', pack: 'horses' },
  { kind: 'poll', question: 'when?', options: ['now', 'later'], choices: 1, anonymous: true },
  { kind: 'poll', question: 'who?', options: ['a', 'b', 'c'] },
  { kind: 'poll-vote', poll: target, options: [0, 2], version: 3 },
  { kind: 'poll-vote', poll: target, options: [], version: 4 },
  { kind: 'overruled', overruledId: id(8), stampMs: 0 },
  { kind: 'overruled', overruledId: id(8), stampMs: 9_007_199_254, version: 3, message: target },
  { kind: 'overruled', overruledId: id(8), stampMs: 5, chat: person },
  { kind: 'poll-close', pollMessageId: id(8) },
  { kind: 'poll-close', pollMessageId: id(8), counted: [] },
  { kind: 'poll-close', pollMessageId: id(8), counted: [id(9), id(10)] },
  {
    kind: 'device-sync',
    reads: [
      { message: target, chat: person, readAtMs: 5 },
      { message: target, chat: person, readAtMs: 6, opened: true },
    ],
    hidden: [{ message: target, chat: person }],
    chats: [
      { chat: person, pinned: true, mutedUntilMs: 0, archived: false },
      { sendDelivered: true, sendRead: false, sendPlayed: false, sendTyping: true, separateInbox: true },
    ],
    progress: [
      { message: target, chat: person, state: 'held' },
      { message: target, chat: person, state: 'sent' },
      { message: target, chat: person, state: 'failed', reason: 'not-reachable' },
    ],
    notApplied: [
      ...(['edit', 'reaction', 'delete', 'poll-vote', 'poll-close', 'message'] as const).map(what => {
        return { what, message: target, chat: person };
      }),
      { what: 'expiry-timer', chat: person },
      { what: 'profile', chat: person },
    ],
    decisions: [
      ...(['none', 'accepted', 'denied', 'blocked'] as const).map(state => ({ chat: person, state })),
      { chat: person, state: 'blocked', decided: { atMs: 7, messageId: id(9) } },
    ],
    decisionsAsked: true,
  },
  {
    kind: 'history-piece',
    transferId: id(1),
    index: 3,
    items: [{ author: person, chat: person, receivedAtMs: 9, content: id(2) }],
    messagesDone: 4,
    messagesTotal: 5,
    last: true,
  },
  { kind: 'history-request', nextIndex: 0 },
  { kind: 'history-request', transferId: id(1), nextIndex: 7 },
  {
    kind: 'text',
    text: 'https://a.example/x',
    preview: { url: 'https://a.example/x', title: 't', description: 'd', image: pointer },
  },
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
      fallbackText: 'something',
      quiet: true,
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
  // Field 62 (reserved), a string: beside the body, and instead of one.
  const later = Uint8Array.from([0xf2, 0x03, 0x02, 0x68, 0x69]);
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
  const kind = make({
    case: 'attachments',
    value: { attachments: [{ ...pointerMessage(pointer), kind: 99 as AttachmentKindCode }] },
  });
  assert(kind.ok && kind.value.body.kind === 'attachment' && kind.value.body.attachments[0]?.kind === 'file');
  const newer = make({ case: 'text', value: { text: 'from the future' } }, 3);
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

test('no style and no mention splits a character: refused on the way out, made wider on the way in', () => {
  const text = 'a👩🏽\u200d🚀e\u0301z';
  const make = (start: number, length: number): Content =>
    content({ kind: 'text', text, styles: [{ start, length, style: 'bold' }] });
  const woman = 1;
  const accented = woman + '👩🏽\u200d🚀'.length;
  for (let start = 0; start < text.length; start++) {
    for (let length = 1; start + length <= text.length; length++) {
      const edges = [0, woman, accented, accented + 2, text.length];
      const isWhole = edges.includes(start) && edges.includes(start + length);
      assert.equal(encodeContent(make(start, length)).ok, isWhole, `${start}+${length}`);
      const bytes = toBinary(
        ContentSchema,
        create(ContentSchema, {
          messageId: id(1),
          body: {
            case: 'text',
            value: {
              text,
              styles: [{ start, length, style: Style.BOLD }],
              mentions: [{ start, length, interopId: person }],
            },
          },
        }),
      );
      const read = decodeContent(bytes);
      assert(read.ok && read.value.body.kind === 'text');
      const from = edges.findLast(edge => edge <= start)!;
      const whole = { start: from, length: edges.find(edge => edge >= start + length)! - from };
      assert.deepEqual(read.value.body.styles, [{ ...whole, style: 'bold' }]);
      assert.deepEqual(read.value.body.mentions, [{ ...whole, interopId: person }]);
      assert(encodeContent(content(read.value.body)).ok);
    }
  }
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
    [content({ kind: 'attachment', attachments: [] }), 'attachments'],
    [content({ kind: 'attachment', attachments: [{ ...pointer, url: 'http://a.example/' }] }), 'attachments.url'],
    [content({ kind: 'attachment', attachments: [{ ...pointer, key: id(1) }] }), 'attachments.key'],
    [content({ kind: 'attachment', attachments: [{ ...pointer, digest: id(1) }] }), 'attachments.digest'],
    [
      content({ kind: 'attachment', attachments: [{ ...pointer, incrementalMac: id(1) }] }),
      'attachments.incrementalMac',
    ],
    [
      content({ kind: 'attachment', attachments: [{ ...pointer, thumbnail: new Uint8Array(16_385) }] }),
      'attachments.thumbnail',
    ],
    [content({ kind: 'location', latitude: 90.1, longitude: 0 }), 'location.latitude'],
    [content({ kind: 'location', latitude: 0, longitude: Number.NaN }), 'location.longitude'],
    [content({ kind: 'location', latitude: 0, longitude: 0, accuracyMeters: -1 }), 'location.accuracyMeters'],
    [content({ kind: 'poll', question: '', options: ['a', 'b'] }), 'poll.question'],
    [content({ kind: 'poll', question: 'q', options: ['a'] }), 'poll.options'],
    [content({ kind: 'poll', question: 'q', options: ['a', 'a'] }), 'poll.options'],
    [content({ kind: 'poll', question: 'q', options: ['a', 'b'], choices: 3 }), 'poll.choices'],
    [content({ kind: 'poll-vote', poll: target, options: [1, 1], version: 1 }), 'pollVote.options'],
    [content({ kind: 'poll-vote', poll: target, options: [20], version: 1 }), 'pollVote.options'],
    [content({ kind: 'poll-vote', poll: target, options: [0], version: 0 }), 'pollVote.version'],
    [content({ kind: 'poll-close', pollMessageId: new Uint8Array(3) }), 'pollClose.poll'],
    [content({ kind: 'overruled', overruledId: new Uint8Array(3), stampMs: 1 }), 'overruled.messageId'],
    [content({ kind: 'overruled', overruledId: id(8), stampMs: 2 ** 53 - 1 }), 'overruled.stampMs'],
    [content({ kind: 'overruled', overruledId: id(8), stampMs: 1, chat: 'x' }), 'overruled.chat'],
    [content({ kind: 'poll-close', pollMessageId: id(8), counted: [new Uint8Array(3)] }), 'pollClose.counted'],
    [
      content({ kind: 'poll-close', pollMessageId: id(8), counted: Array.from({ length: 1_025 }, () => id(9)) }),
      'pollClose.counted',
    ],
    [content({ kind: 'contacts', contacts: [] }), 'contacts'],
    [content({ kind: 'contacts', contacts: [{ displayName: '' }] }), 'contacts.displayName'],
    [content({ kind: 'contacts', contacts: [{ displayName: 'x', interopId: 'x' }] }), 'contacts.interopId'],
    [content({ kind: 'profile', displayName: 'x'.repeat(257) }), 'profile.displayName'],
    [content({ kind: 'expiry-timer', seconds: MAX_EXPIRY_SECONDS + 1, version: 1 }), 'expiryTimer.seconds'],
    [content({ kind: 'expiry-timer', seconds: 1, version: 1_000_001 }), 'expiryTimer.version'],
    [content({ kind: 'device-sync', hidden: [{ message: target, chat: 'x' }] }), 'deviceSync.chat'],
    [content({ kind: 'device-sync', notApplied: [{ what: 'profile', chat: 'x' }] }), 'deviceSync.chat'],
    [content({ kind: 'device-sync', notApplied: [{ what: 'edit', chat: person }] }), 'deviceSync.message'],
    [
      content({ kind: 'device-sync', notApplied: [{ what: 'profile', message: target, chat: person }] }),
      'deviceSync.message',
    ],
    [content({ kind: 'device-sync', decisions: [{ chat: 'x', state: 'blocked' }] }), 'deviceSync.chat'],
    [
      content({
        kind: 'device-sync',
        decisions: [{ chat: person, state: 'blocked', decided: { atMs: 1, messageId: new Uint8Array(15) } }],
      }),
      'deviceSync.decisions',
    ],
    [
      content({
        kind: 'device-sync',
        decisions: Array.from({ length: 201 }, () => ({ chat: person, state: 'blocked' as const })),
      }),
      'deviceSync',
    ],
    [
      content({
        kind: 'device-sync',
        hidden: Array.from({ length: 201 }, () => ({ message: target, chat: person })),
      }),
      'deviceSync',
    ],
    [
      content({
        kind: 'history-piece',
        transferId: id(1),
        index: 0,
        items: [{ author: 'x', chat: person, receivedAtMs: 0, content: id(1) }],
        messagesDone: 0,
        messagesTotal: 0,
        last: false,
      }),
      'historyPiece.items',
    ],
    [content({ kind: 'nothing' }, { fallbackText: 'x'.repeat(1_025) }), 'fallbackText'],
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
