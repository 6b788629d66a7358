// Which address a request comes from, for budgets and places. Knows nothing of what is asked for; addresses are never
// logged.
import type { IncomingMessage } from 'node:http';
import { BlockList, isIPv4 } from 'node:net';
import { addressKey, plainAddress } from '@drawbridge/identity/network-prefix';
import { peerAddress } from '../listeners/peer-address.ts';

/** Whether an address is one of these reverse proxies. */
export function proxyCheck(trustedProxies: readonly string[]): (address: string) => boolean {
  if (trustedProxies.length === 0) return () => false;
  const proxies = new BlockList();
  for (const proxy of trustedProxies) {
    const [address = '', prefix] = proxy.split('/', 2);
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    const whole = family === 'ipv4' ? 32 : 128;
    proxies.addSubnet(address, Number(prefix ?? whole), family);
  }
  return address => {
    const plain = plainAddress(address);
    return plain !== '' && proxies.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6');
  };
}

/** Reads the address key of a request; `X-Forwarded-For` counts only from the right and only through these proxies. */
export function clientAddress(trustedProxies: readonly string[]): (request: IncomingMessage) => string {
  const trusted = proxyCheck(trustedProxies);
  return request => {
    let address = plainAddress(peerAddress(request.socket));
    if (trustedProxies.length === 0) return addressKey(address);
    const header = request.headers['x-forwarded-for'];
    const forwarded = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').slice(-16);
    while (trusted(address)) {
      const next = plainAddress(forwarded.pop() ?? '');
      if (next === '') break;
      address = next;
    }
    return addressKey(address);
  };
}
