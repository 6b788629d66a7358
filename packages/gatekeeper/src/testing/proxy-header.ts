// Headers of the PROXY protocol, version 2, as a load balancer writes them: for tests.
import { isIPv4 } from 'node:net';

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** For a client at this address: IPv4, or IPv6 with all eight groups. */
export function proxyHeader(address: string): Buffer {
  const source = isIPv4(address)
    ? Buffer.from(address.split('.').map(Number))
    : Buffer.from(
        address
          .split(':')
          .map(group => group.padStart(4, '0'))
          .join(''),
        'hex',
      );
  const ports = Buffer.from('d4311466', 'hex');
  const body = Buffer.concat([source, Buffer.alloc(source.length), ports]);
  return Buffer.concat([signature, Buffer.from([0x21, isIPv4(address) ? 0x11 : 0x21, 0, body.length]), body]);
}

/** The proxy's own connection, such as a health check. */
export const localHeader = Buffer.concat([signature, Buffer.from([0x20, 0, 0, 0])]);
