// The decoder's work grows with the bytes it is given and not with how they are cut. Counted, not timed: the built-in
// functions that look at or copy characters are replaced by ones that count (this file is a process of its own).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xmlLimitsAfterLogin } from './limits.ts';
import { XmlStreamDecoder } from './xml-decoder.ts';

let work = 0;
// oxlint-disable-next-line typescript/unbound-method -- called with call and apply only
const { charCodeAt, indexOf, slice, startsWith } = String.prototype;
// oxlint-disable-next-line typescript/unbound-method -- called with call and apply only
const { copy, toString } = Buffer.prototype;
const counting = {
  charCodeAt(this: string, at: number): number {
    work++;
    return charCodeAt.call(this, at);
  },
  indexOf(this: string, wanted: string, from = 0): number {
    const found = indexOf.call(this, wanted, from);
    work += (found === -1 ? this.length : found) - from + 1;
    return found;
  },
  slice(this: string, from?: number, to?: number): string {
    const part = slice.call(this, from, to);
    work += part.length;
    return part;
  },
  startsWith(this: string, wanted: string, from?: number): boolean {
    work += wanted.length;
    return startsWith.call(this, wanted, from);
  },
};
const countingBuffer = {
  copy(this: Buffer, ...args: Parameters<Buffer['copy']>): number {
    const copied = copy.apply(this, args);
    work += copied;
    return copied;
  },
  toString(this: Buffer, ...args: Parameters<Buffer['toString']>): string {
    const text = toString.apply(this, args);
    work += text.length;
    return text;
  },
};

function workOf(bytes: Uint8Array, size: number): number {
  const decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
  let elements = 0;
  Object.assign(String.prototype, counting);
  Object.assign(Buffer.prototype, countingBuffer);
  work = 0;
  try {
    for (let i = 0; i < bytes.length; i += size) {
      for (const event of decoder.push(bytes.subarray(i, i + size))) if (event.kind === 'element') elements++;
    }
  } finally {
    Object.assign(String.prototype, { charCodeAt, indexOf, slice, startsWith });
    Object.assign(Buffer.prototype, { copy, toString });
  }
  assert.equal(elements, 1);
  return work;
}

const header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const long = 250 * 1024;
const stanzas: Record<string, string> = {
  'a long text': `<a>${'QUJD'.repeat(long / 4)}</a>`,
  'a long text with references': `<a>${'&amp;é'.repeat(long / 8)}</a>`,
  'a long CDATA section': `<a><![CDATA[${']]x'.repeat(long / 4)}]]></a>`,
  'many brackets': `<a><![CDATA[${']'.repeat(long)}]]></a>`,
  'long attributes': `<a ${Array.from({ length: 15 }, (_, i) => `a${i}='${'x'.repeat(16_000)}'`).join(' ')}/>`,
  'white space inside a tag': `<a${' '.repeat(long)}/>`,
  'white space inside an end tag': `<a></a${' '.repeat(long)}>`,
  'many attributes and elements': `<a>${"<b c='1' d='2' e='3'/>".repeat(4000)}</a>`,
  'text between elements': `<a>${'<b/>x'.repeat(2000)}</a>`,
};

for (const [what, stanza] of Object.entries(stanzas)) {
  test(`linear work for ${what}`, () => {
    const bytes = Buffer.from(header + stanza);
    for (const size of [bytes.length, 65_536, 1000, 64, 1]) {
      const perByte = workOf(bytes, size) / bytes.length;
      assert.ok(perByte < 14, `${perByte.toFixed(1)} characters looked at per byte in pieces of ${size}`);
    }
  });
}
