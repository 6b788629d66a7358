// Which address a request comes from, for budgets. Knows nothing of what is asked for; addresses are never logged.
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';

/** IPv4-mapped IPv6 addresses as IPv4; anything that is no address gives an empty string. */
function plainAddress(address: string): string {
  const text = address.trim().toLowerCase();
  const mapped = /^::ffff:([0-9.]+)$/.exec(text)?.[1] ?? text;
  return isIP(mapped) === 0 ? '' : mapped;
}

/** What has one budget: an IPv4 address, or the /64 of an IPv6 one, since that much belongs to one customer. */
export function addressKey(address: string): string {
  const plain = plainAddress(address);
  if (plain === '' || isIPv4(plain)) return plain;
  const [head = '', tail] = plain.split('::', 2);
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? 0 : tail.split(':').length;
  while (groups.length + after < 8) groups.push('0');
  return groups
    .slice(0, 4)
    .map(group => group.replace(/^0+(?=.)/, ''))
    .join(':');
}

/** Reads the address key of a request; `X-Forwarded-For` counts only from the right and only through these proxies. */
export function clientAddress(trustedProxies: readonly string[]): (request: IncomingMessage) => string {
  const proxies = new BlockList();
  for (const proxy of trustedProxies) {
    const [address = '', prefix] = proxy.split('/', 2);
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    proxies.addSubnet(address, prefix === undefined ? (family === 'ipv4' ? 32 : 128) : Number(prefix), family);
  }
  const trusted = (address: string): boolean =>
    address !== '' && proxies.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
  return request => {
    let address = plainAddress(request.socket.remoteAddress ?? '');
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
