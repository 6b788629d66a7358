import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capability, MAX_FALLBACK_BYTES, ownCapabilities } from '@drawbridge/e2ee/content';
import { capabilitiesAgeMs, fallbackFor, lackingOf } from './capabilities.ts';

const nowMs = capabilitiesAgeMs * 2;
const modern = { capabilities: ownCapabilities, seenAtMs: nowMs };
const older = { capabilities: capability.text | capability.reactions, seenAtMs: nowMs };
const poll = { kind: 'poll', question: 'when?', options: ['now', 'later'] } as const;

test('what one device lacks, the person lacks; a device that was not heard of for long counts no more', () => {
  assert.equal(lackingOf([], nowMs), undefined);
  assert.deepEqual(lackingOf([modern], nowMs), []);
  const lacking = lackingOf([modern, older], nowMs);
  assert.ok(lacking !== undefined);
  assert.ok(lacking.includes('polls') && lacking.includes('viewOnce') && !lacking.includes('reactions'));
  assert.deepEqual(lackingOf([modern, { ...older, seenAtMs: 0 }], nowMs), []);
});

test('words go along unless all devices can show the message itself', () => {
  assert.equal(fallbackFor(poll, false, undefined), 'when? (now / later)');
  assert.equal(fallbackFor(poll, false, ['polls']), 'when? (now / later)');
  assert.equal(fallbackFor(poll, false, ['stickers']), undefined);
  assert.equal(fallbackFor({ kind: 'text', text: 'x' }, false, undefined), undefined);
  assert.equal(fallbackFor(poll, true, ['polls', 'viewOnce']), undefined);
});

test('words that are too long end between two characters', () => {
  const question = '🐎'.repeat(256);
  const words = fallbackFor({ kind: 'poll', question, options: ['a', 'b'] }, false, undefined);
  assert.ok(words?.isWellFormed() && Buffer.byteLength(words) <= MAX_FALLBACK_BYTES && words.length > 400);
});
