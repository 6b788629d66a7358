// Makes a certificate authority and server certificates for tests, the demo and the sandbox. Never for production:
// the authority's key lives in memory only, and nothing is ever revoked.
// Knows nothing of servers or clients.
// Source: RFC 5280 (X.509), RFC 5758 (ECDSA), ITU-T X.690 (DER).

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4, SocketAddress } from 'node:net';

export type DevelopmentAuthority = {
  /** The authority's certificate, PEM: what clients are told to trust. */
  readonly ca: string;
  /** A server certificate with its key, both PEM. `names` are DNS names and IP addresses. */
  readonly issue: (names: readonly string[]) => { readonly cert: string; readonly key: string };
};

export type DevelopmentAuthorityOptions = { readonly nowMs: number; readonly days?: number };

/** Makes an authority on P-256. Certificates are valid from a day before `nowMs`, for 90 days unless `days` says more. */
export function createDevelopmentAuthority(options: DevelopmentAuthorityOptions): DevelopmentAuthority {
  const { nowMs, days = 90 } = options;
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const authorityName = `Drawbridge development authority ${randomBytes(4).toString('hex')}`;
  const validity = sequence(time(nowMs - 86_400_000), time(nowMs + days * 86_400_000));
  const authorityKeyId = keyId(authority.publicKey);

  function certify(subject: string, publicKey: KeyObject, extensions: readonly Buffer[]): string {
    const serial = randomBytes(16);
    // A positive number without leading zeros.
    serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
    const body = sequence(
      tagged(0xa0, tagged(0x02, Buffer.from([2]))),
      tagged(0x02, serial),
      ecdsaWithSha256,
      distinguishedName(authorityName),
      validity,
      distinguishedName(subject),
      publicKey.export({ format: 'der', type: 'spki' }),
      tagged(0xa3, sequence(...extensions)),
    );
    const signature = sign('sha256', body, authority.privateKey);
    return pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bitString(signature)));
  }

  return {
    ca: certify(authorityName, authority.publicKey, [
      extension('2.5.29.19', true, sequence(tagged(0x01, Buffer.from([0xff])))),
      // Key usage: keyCertSign and cRLSign.
      extension('2.5.29.15', true, tagged(0x03, Buffer.from([1, 0x06]))),
      extension('2.5.29.14', false, tagged(0x04, authorityKeyId)),
    ]),
    issue: names => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const cert = certify(names[0] ?? '', pair.publicKey, [
        extension('2.5.29.19', true, sequence()),
        // Key usage: digitalSignature. Extended key usage: serverAuth.
        extension('2.5.29.15', true, tagged(0x03, Buffer.from([7, 0x80]))),
        extension('2.5.29.37', false, sequence(objectId('1.3.6.1.5.5.7.3.1'))),
        extension('2.5.29.17', false, sequence(...names.map(generalName))),
        extension('2.5.29.14', false, tagged(0x04, keyId(pair.publicKey))),
        extension('2.5.29.35', false, sequence(tagged(0x80, authorityKeyId))),
      ]);
      return { cert, key: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }) };
    },
  };
}

function tagged(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  const lengthBytes = length < 128 ? [length] : long;
  return Buffer.concat([Buffer.from([tag, ...lengthBytes]), content]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return tagged(0x30, ...contents);
}

function bitString(bytes: Buffer): Buffer {
  return tagged(0x03, Buffer.from([0]), bytes);
}

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Buffer.from(bytes));
}

const ecdsaWithSha256 = sequence(objectId('1.2.840.10045.4.3.2'));

/** UTCTime until 2049, as RFC 5280 section 4.1.2.5 asks for, then GeneralizedTime. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return digits < '2050' ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits));
}

/** A common name alone. The names that count stand in the alternative names. */
function distinguishedName(commonName: string): Buffer {
  const text = Buffer.from(Buffer.from(commonName).subarray(0, 64));
  return sequence(tagged(0x31, sequence(objectId('2.5.4.3'), tagged(0x0c, text))));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [tagged(0x01, Buffer.from([0xff]))] : [];
  return sequence(objectId(id), ...flag, tagged(0x04, value));
}

function generalName(name: string): Buffer {
  if (isIPv4(name)) return tagged(0x87, Buffer.from(name.split('.').map(Number)));
  if (name.includes(':')) return tagged(0x87, ipv6Bytes(name));
  return tagged(0x82, Buffer.from(name, 'ascii'));
}

function ipv6Bytes(address: string): Buffer {
  const [head = '', tail = ''] = new SocketAddress({ address, family: 'ipv6' }).address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  const groups = [...before, ...zeros, ...after].map(group => Number.parseInt(group, 16));
  return Buffer.from(groups.flatMap(group => [group >> 8, group & 0xff]));
}

/** RFC 5280 section 4.2.1.2, method 1, over the whole public key information: any unique value does. */
function keyId(publicKey: KeyObject): Buffer {
  return createHash('sha1')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest();
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
