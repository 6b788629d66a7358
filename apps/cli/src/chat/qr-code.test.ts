// QR codes as another implementation makes them (python-qrcode 8.2, level L, byte mode): each with its eight masks.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { maxQrBytes, qrCode, qrLines } from './qr-code.ts';

/** The beginning of SHA-256 of all modules, row by row, by mask. */
const vectors: readonly { readonly text: string; readonly version: number; readonly masks: readonly string[] }[] = [
  {
    text: 'a',
    version: 1,
    masks: [
      'c8b94007197ad57d',
      '98ac86431c415eca',
      '641125bded80d614',
      '2a29499fa66525ef',
      '0690556ff7a460a5',
      'd6c4f28b3a2f609e',
      '6b854c01f5f5ebfc',
      '94b395feca9defed',
    ],
  },
  {
    text: `drawbridge:meet?at=citadel.example&of=skylark.example&name=anna&secret=${'s'.repeat(22)}&key=${'k'.repeat(44)}`,
    version: 7,
    masks: [
      'b7614b1c18c63249',
      '7af8b917ad5999eb',
      'e9bbd44ee014c505',
      'b0edeea7ab11364e',
      'd7d42c5083484bb5',
      '8c60d182fb1a635e',
      'eb0ee2e6c2743242',
      'ad056d0db2e19efc',
    ],
  },
  {
    text: 'x'.repeat(400),
    version: 13,
    masks: [
      'defd450cf62e87ff',
      'b1e4e65e930b8028',
      '47a3a20093314eb0',
      '8cd36069388abcd4',
      'b810b367a331453e',
      '1efdf8cee268b8ff',
      'ce84ab130a04fef0',
      '5b6c9902b75515b3',
    ],
  },
];

test('a code is one of those that another implementation makes', () => {
  for (const { text, version, masks } of vectors) {
    const code = qrCode(Buffer.from(text))!;
    assert.equal(code.length, 17 + 4 * version);
    const modules = code.map(row => row.map(isDark => (isDark ? '1' : '0')).join('')).join('');
    assert.ok(masks.includes(createHash('sha256').update(modules).digest('hex').slice(0, 16)), `version ${version}`);
  }
});

test('the longest that fits, and not one above; every version between is made', () => {
  assert.equal(qrCode(new Uint8Array(maxQrBytes))!.length, 97);
  assert.equal(qrCode(new Uint8Array(maxQrBytes + 1)), undefined);
  let before = 0;
  for (let bytes = 0; bytes <= maxQrBytes; bytes += 33) {
    const { length } = qrCode(new Uint8Array(bytes).fill(bytes))!;
    assert.ok(length >= before && (length - 17) % 4 === 0);
    before = length;
  }
});

test('two rows stand in one line, with a light margin of four around', () => {
  const lines = qrLines([[true]]);
  assert.deepEqual(lines, ['█████████', '█████████', '████▄████', '█████████', '▀▀▀▀▀▀▀▀▀']);
});
