// The short way through long base64 gives what the slow way gives: a text that comes in two pieces takes the slow one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { canonicalBase64At, isCanonicalBase64 } from './canonical-base64.ts';
import { xmlLimitsAfterLogin } from './limits.ts';
import { XmlStreamDecoder } from './xml-decoder.ts';

const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`;

function decoded(...pieces: readonly string[]): unknown {
  const decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
  return [header, ...pieces].flatMap(piece => decoder.push(Buffer.from(piece, 'latin1'))).slice(1);
}

const base64 = fc.uint8Array({ minLength: 30, maxLength: 400 }).map(bytes => Buffer.from(bytes).toString('base64'));
const spoilt = fc
  .tuple(base64, fc.nat(), fc.constantFrom('&', '&amp;', '\r', ']]>', ' ', '\n', '\u0001', 'é', '=', 'B', '-', ''))
  .map(([text, at, put]) => text.slice(0, at % text.length) + put + text.slice((at % text.length) + 1));

test('a long text is read the same whole and in two pieces, whether it is base64 or not quite', () => {
  fc.assert(
    fc.property(fc.oneof(base64, spoilt), fc.nat(), (text, at) => {
      const cut = at % (text.length + 1);
      const whole = decoded(`<message><body>${text}</body></message>`);
      const pieces = decoded(`<message><body>${text.slice(0, cut)}`, `${text.slice(cut)}</body></message>`);
      assert.deepEqual(pieces, whole);
    }),
    { numRuns: 2_000 },
  );
});

test('only base64 in its one form is found, where it begins, up to what ends it', () => {
  const text = Buffer.alloc(61, 0xa5).toString('base64');
  assert.equal(canonicalBase64At(`<b>${text}</b>`, 3), text);
  for (const other of [text.replace('==', '='), `${text}\n`, text.replace('pQ==', 'pR=='), text.slice(0, 40)]) {
    assert.equal(canonicalBase64At(`<b>${other}</b>`, 3), undefined, other);
  }
  assert.equal(canonicalBase64At(`<b>${text}`, 3), undefined);
});

test('what was found once is looked at again when it is asked about twice', () => {
  const text = Buffer.alloc(60, 0xa5).toString('base64');
  assert.equal(canonicalBase64At(`${text}<`, 0), text);
  for (let i = 0; i < 3; i++) assert.equal(isCanonicalBase64(text), true);
  assert.equal(isCanonicalBase64(`${text.slice(0, -1)}=`), false);
});
