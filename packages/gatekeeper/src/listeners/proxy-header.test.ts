// Headers of the PROXY protocol: the specification's layout by hand, every cut, every wrong byte, and any bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { proxyHeader } from '../testing/proxy-header.ts';
import { maxProxyHeaderBytes, parseProxyHeader } from './proxy-header.ts';

const tcp4 = Buffer.from('0d0a0d0a000d0a515549540a2111000cc6336407c0000201d4311466', 'hex');
const tcp6 = Buffer.from(
  '0d0a0d0a000d0a515549540a2121002420010db8000100020000000000000003fe800000000000000000000000000001d4311466',
  'hex',
);

test('clients of both families, the proxy itself, unknown clients; extensions are passed over', () => {
  assert.deepEqual(parseProxyHeader(tcp4), { kind: 'client', address: '198.51.100.7', sizeBytes: 28 });
  assert.deepEqual(parseProxyHeader(tcp6), { kind: 'client', address: '2001:db8:1:2:0:0:0:3', sizeBytes: 52 });
  assert.deepEqual(parseProxyHeader(proxyHeader('198.51.100.7')), parseProxyHeader(tcp4));
  const mapped = Buffer.from(tcp6);
  Buffer.from('00000000000000000000ffffc6336407', 'hex').copy(mapped, 16);
  assert.deepEqual(parseProxyHeader(mapped), { kind: 'client', address: '198.51.100.7', sizeBytes: 52 });
  assert.deepEqual(parseProxyHeader(Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')), {
    kind: 'proxy',
    sizeBytes: 16,
  });
  const unknown = Buffer.from(tcp4);
  unknown[13] = 0;
  assert.deepEqual(parseProxyHeader(unknown), { kind: 'proxy', sizeBytes: 28 });
  const extended = Buffer.concat([tcp4, Buffer.from('0400020102', 'hex')]);
  extended[15] = 17;
  assert.deepEqual(parseProxyHeader(extended), { kind: 'client', address: '198.51.100.7', sizeBytes: 33 });
  assert.deepEqual(parseProxyHeader(Buffer.concat([tcp4, Buffer.from('GET /')])), parseProxyHeader(tcp4));
});

test('what is cut waits for more; what is wrong is refused by name', () => {
  for (let end = 0; end < tcp4.length; end++) {
    assert.deepEqual(parseProxyHeader(tcp4.subarray(0, end)), { kind: 'incomplete' }, String(end));
  }
  const wrong = (change: (bytes: Buffer) => void): unknown => {
    const bytes = Buffer.from(tcp4);
    change(bytes);
    return parseProxyHeader(bytes);
  };
  const refused = (code: string): object => ({ kind: 'refused', code });
  for (let i = 0; i < 12; i++)
    assert.deepEqual(
      wrong(bytes => (bytes[i]! ^= 1)),
      refused('not-version-2'),
      String(i),
    );
  assert.deepEqual(parseProxyHeader(Buffer.from('PROXY TCP4 198.51.100.7')), refused('not-version-2'));
  assert.deepEqual(parseProxyHeader(Buffer.from([0x16, 3, 1])), refused('not-version-2'), 'TLS without a header');
  assert.deepEqual(
    wrong(bytes => (bytes[12] = 0x11)),
    refused('not-version-2'),
  );
  assert.deepEqual(
    wrong(bytes => (bytes[12] = 0x22)),
    refused('malformed'),
  );
  assert.deepEqual(
    wrong(bytes => (bytes[15] = 11)),
    refused('malformed'),
  );
  assert.deepEqual(
    wrong(bytes => (bytes[13] = 0x12)),
    refused('family-refused'),
    'UDP',
  );
  assert.deepEqual(
    wrong(bytes => (bytes[13] = 0x31)),
    refused('family-refused'),
    'a path',
  );
  assert.deepEqual(
    wrong(bytes => bytes.writeUInt16BE(maxProxyHeaderBytes - 15, 14)),
    refused('too-long'),
  );
});

test('any bytes give one of the four, and never more than there is', () => {
  const start = fc.constantFrom(Buffer.alloc(0), tcp4.subarray(0, 12), tcp6.subarray(0, 14), tcp4);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 80 }), (first, more) => {
      const bytes = Buffer.concat([first, more]);
      const header = parseProxyHeader(bytes);
      if ('sizeBytes' in header) assert.ok(header.sizeBytes <= bytes.length && header.sizeBytes <= maxProxyHeaderBytes);
    }),
    { numRuns: 2_000 },
  );
});
