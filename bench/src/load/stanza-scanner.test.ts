// The scanner finds the same stanzas however the bytes are cut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StanzaScanner } from './stanza-scanner.ts';

const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0'>`;
const stanzas = [
  `<r xmlns='urn:xmpp:sm:3'/>`,
  `<message to='a@b' id='m1'><body>text</body></message>`,
  `<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>`,
  `<message><envelope><ciphertext device='1'>QUJD</ciphertext></envelope><no-store/></message>`,
  `<presence></presence>`,
];

function scan(
  bytes: Buffer,
  cuts: readonly number[],
): { found: string[]; tags: string[]; headers: number; ends: number } {
  const result = { found: [] as string[], tags: [] as string[], headers: 0, ends: 0 };
  const scanner = new StanzaScanner({
    header: () => void result.headers++,
    stanza: (lent, start, tagEnd, end) => {
      result.found.push(lent.toString('latin1', start, end));
      result.tags.push(lent.toString('latin1', start, tagEnd));
    },
    ended: () => void result.ends++,
  });
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    scanner.push(bytes.subarray(from, cut));
    from = cut;
  }
  scanner.push(bytes.subarray(from));
  return result;
}

test('finds stanzas, opening tags, header and end in any cutting', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...stanzas), { maxLength: 12 }),
      fc.array(fc.nat({ max: 2_000 }), { maxLength: 40 }),
      (chosen, places) => {
        const bytes = Buffer.from(`${header}${chosen.join(' ')}</stream:stream>`);
        const { found, tags, headers, ends } = scan(
          bytes,
          places.map(place => Math.min(place, bytes.length)),
        );
        assert.deepEqual(found, chosen);
        assert.deepEqual(
          tags,
          chosen.map(stanza => stanza.slice(0, stanza.indexOf('>') + 1)),
        );
        assert.deepEqual([headers, ends], [1, 1]);
      },
    ),
  );
});

test('begins again when told so within a stanza', () => {
  const found: string[] = [];
  let headers = 0;
  const scanner: StanzaScanner = new StanzaScanner({
    header: () => void headers++,
    stanza: (bytes, start, _, end) => {
      found.push(bytes.toString('latin1', start, end));
      if (found.length === 1) scanner.restart();
    },
    ended: () => assert.fail('no stream ended'),
  });
  scanner.push(Buffer.from(`${header}<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>`));
  scanner.push(Buffer.from(`${header}<stream:features/>`));
  assert.deepEqual([headers, found.length, found[1]], [2, 2, '<stream:features/>']);
});
