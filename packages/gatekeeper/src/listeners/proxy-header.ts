// The header of the PROXY protocol, version 2: whose connection a load balancer passes on. Pure; knows no sockets.
// Source: "The PROXY protocol", sections 2.2 and 5 (haproxy.org/download/3.0/doc/proxy-protocol.txt).

export type ProxyHeaderFault = 'not-version-2' | 'malformed' | 'too-long' | 'family-refused';

export type ProxyHeader =
  /** More bytes are needed. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'refused'; readonly code: ProxyHeaderFault }
  /** For a client at `address`; the connection goes on behind `sizeBytes`. */
  | { readonly kind: 'client'; readonly address: string; readonly sizeBytes: number }
  /** The proxy's own connection, such as its health check, or one whose client it doesn't know. */
  | { readonly kind: 'proxy'; readonly sizeBytes: number };

/** Addresses take 36 bytes at most; the rest is for extensions, which are passed over. */
export const maxProxyHeaderBytes = 4_096;

const signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const fixedBytes = 16;
const command = { local: 0x20, proxy: 0x21 } as const;
const family = { unspecified: 0x00, tcp4: 0x11, tcp6: 0x21 } as const;
/** Two addresses and two ports. */
const addressBytes = { tcp4: 12, tcp6: 36 } as const;

const refused = (code: ProxyHeaderFault): ProxyHeader => ({ kind: 'refused', code });

/** Reads the header at the beginning of a connection. Whatever the bytes are, it gives one of the four. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader {
  for (let i = 0; i < signature.length && i < bytes.length; i++) {
    if (bytes[i] !== signature[i]) return refused('not-version-2');
  }
  if (bytes.length < fixedBytes) return { kind: 'incomplete' };
  const [verb, kind, high, low] = bytes.subarray(signature.length, fixedBytes);
  const restBytes = high! * 256 + low!;
  const sizeBytes = fixedBytes + restBytes;
  if (verb! >> 4 !== 2) return refused('not-version-2');
  if (verb !== command.local && verb !== command.proxy) return refused('malformed');
  if (sizeBytes > maxProxyHeaderBytes) return refused('too-long');
  if (bytes.length < sizeBytes) return { kind: 'incomplete' };
  if (verb === command.local || kind === family.unspecified) return { kind: 'proxy', sizeBytes };
  const body = bytes.subarray(fixedBytes, sizeBytes);
  if (kind === family.tcp4) {
    return body.length < addressBytes.tcp4
      ? refused('malformed')
      : { kind: 'client', address: ipv4(body.subarray(0, 4)), sizeBytes };
  }
  if (kind === family.tcp6) {
    return body.length < addressBytes.tcp6
      ? refused('malformed')
      : { kind: 'client', address: ipv6(body.subarray(0, 16)), sizeBytes };
  }
  return refused('family-refused');
}

function ipv4(bytes: Uint8Array): string {
  return bytes.join('.');
}

/** A mapped IPv4 address as IPv4: all of them would be one /64 otherwise. */
function ipv6(bytes: Uint8Array): string {
  const isMapped = bytes.subarray(0, 10).every(byte => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (isMapped) return ipv4(bytes.subarray(12));
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16));
  return groups.join(':');
}
