// Which address a request comes from, and what it counts as, for budgets and places: an address, its site, or a relay with
// shares for the people behind it. Knows nothing of what is asked for; addresses are never logged.
import type { IncomingMessage } from 'node:http';
import { BlockList, isIPv4 } from 'node:net';
import { addressKey, plainAddress, relayKey, sharesOf } from '@drawbridge/identity/network-prefix';
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

/** A relay (`drawbridge relay`) as an operator names it: all its addresses together have the shares of so many. */
export type NamedRelay = { readonly addresses: readonly string[]; readonly shares: number };

/** The key of an address: one of a relay that is named has its relay's. */
export function addressKeys(relays: readonly NamedRelay[]): (address: string) => string {
  if (relays.length === 0) return addressKey;
  const named = relays.map(({ addresses, shares }, index) => ({
    has: proxyCheck(addresses),
    key: relayKey(index, shares),
  }));
  return address => named.find(({ has }) => has(address))?.key ?? addressKey(address);
}

/**
 * Who pays for a request by its address: behind a relay that is named also the connection, as one address does, so that no
 * one there spends what is for all of them in one go.
 */
export function payersOf(key: string, remotePort: number | undefined): readonly string[] {
  return sharesOf(key) === 1 ? [key] : [key, `${key} port ${remotePort ?? 0}`];
}

/** Reads the address key of a request; `X-Forwarded-For` counts only from the right and only through these proxies. */
export function clientAddress(
  trustedProxies: readonly string[],
  relays: readonly NamedRelay[] = [],
): (request: IncomingMessage) => string {
  const trusted = proxyCheck(trustedProxies);
  const keyOf = addressKeys(relays);
  return request => {
    let address = plainAddress(peerAddress(request.socket));
    if (trustedProxies.length === 0) return keyOf(address);
    const header = request.headers['x-forwarded-for'];
    const forwarded = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').slice(-16);
    while (trusted(address)) {
      const next = plainAddress(forwarded.pop() ?? '');
      if (next === '') break;
      address = next;
    }
    return keyOf(address);
  };
}
