// What is changed of a content, and that all else stays, also what this code does not know.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bindContent } from './binding.ts';
import { decodeContent, encodeContent, type Content } from './content.ts';
import { withExpiry, withoutExcerpt } from './rewriting.ts';

const author = `0-${'a'.repeat(26)}`;
const messageId = new Uint8Array(16).fill(1);
const reply: Content = {
  messageId,
  sentAtMs: 5,
  stampMs: 9,
  expiresAfterSeconds: 900,
  fallbackText: 'instead',
  replyTo: { target: { messageId, author, sentAtMs: 3 }, excerpt: 'words of another' },
  body: { kind: 'text', text: 'an answer', styles: [{ start: 0, length: 2, style: 'bold' }] },
};
const binding = { place: new Uint8Array(16).fill(2), number: 7, salt: new Uint8Array(16).fill(3) };
/** Field 4000, a varint; and field 1999 with a text. */
const unknown = Buffer.concat([
  Buffer.from([0x80, 0xfa, 0x01, 0x01]),
  Buffer.from([0xfa, 0x7c, 0x05]),
  Buffer.from('later'),
]);

function bytesOf(content: Content): Uint8Array {
  const encoded = encodeContent(content);
  assert(encoded.ok);
  return Buffer.concat([bindContent(encoded.value, binding), unknown]);
}

/** Bytes as they are, whoever holds them. */
function read(content: Uint8Array) {
  const decoded = decodeContent(Uint8Array.from(content));
  assert(decoded.ok);
  const { raw: _, binding: bound, messageId: id, ...fields } = decoded.value;
  const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');
  return { ...fields, ids: [id, bound?.place, bound?.salt].map(hex), number: bound?.number };
}

test('an excerpt goes, and all else stays', () => {
  const before = bytesOf(reply);
  const after = withoutExcerpt(before);
  const fields = read(before);
  const target = JSON.stringify(read(after).replyTo!.target);
  assert.equal(target, JSON.stringify(fields.replyTo!.target));
  assert.deepEqual({ ...read(after), replyTo: 0 }, { ...fields, replyTo: 0 });
  assert.equal(read(after).replyTo!.excerpt, '');
  assert(!Buffer.from(after).includes('words of another'));
  for (const part of [Buffer.from([0x80, 0xfa, 0x01, 0x01]), Buffer.from('later')])
    assert(Buffer.from(after).includes(part));
  assert.equal(withoutExcerpt(after), after, 'there is none any more');
});

test('so it does from the copy for one’s own devices', () => {
  const content = bytesOf(reply);
  const copy = bytesOf({ messageId, sentAtMs: 6, body: { kind: 'sent-transcript', to: author, content } });
  const { body } = read(withoutExcerpt(copy));
  assert(body.kind === 'sent-transcript');
  assert.deepEqual(body.content, withoutExcerpt(content));
  const other = bytesOf({ messageId, sentAtMs: 6, body: { kind: 'text', text: 'no reply' } });
  assert.equal(withoutExcerpt(other), other);
});

test('a time goes on, and all else stays', () => {
  const before = bytesOf(reply);
  const after = withExpiry(before, 12);
  assert.equal(read(after).expiresAfterSeconds, 12);
  const others = (content: Uint8Array) => JSON.stringify({ ...read(content), expiresAfterSeconds: 0 });
  assert.equal(others(after), others(before));
  assert(Buffer.from(after).includes('later'));
});

test('what is no content stays as it is', () => {
  for (const bytes of [Buffer.from([0xff]), Buffer.from('no content at all')])
    assert.deepEqual([withoutExcerpt(bytes), withExpiry(bytes, 1)], [bytes, bytes]);
});
