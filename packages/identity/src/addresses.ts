// Which IP addresses an outgoing request may reach: public unicast ones only. A pure table.
// Knows nothing of names, sockets or who is asking.
// Source: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), RFC 4291, RFC 6052.

import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** Everything of IPv4 that isn't public unicast. */
const specialIpv4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8], // this network, unspecified (RFC 791)
  ['10.0.0.0', 8], // private (RFC 1918)
  ['100.64.0.0', 10], // carrier-grade NAT (RFC 6598); some clouds keep their metadata service here
  ['127.0.0.0', 8], // loopback (RFC 1122)
  ['168.63.129.16', 32], // a public number that is one cloud's internal host service
  ['169.254.0.0', 16], // link-local (RFC 3927), with the metadata service 169.254.169.254
  ['172.16.0.0', 12], // private (RFC 1918)
  ['192.0.0.0', 24], // IETF protocol assignments (RFC 6890)
  ['192.0.2.0', 24], // documentation (RFC 5737)
  ['192.31.196.0', 24], // AS112 (RFC 7535)
  ['192.52.193.0', 24], // AMT (RFC 7450)
  ['192.88.99.0', 24], // 6to4 relay anycast (RFC 7526)
  ['192.168.0.0', 16], // private (RFC 1918)
  ['192.175.48.0', 24], // AS112 (RFC 7534)
  ['198.18.0.0', 15], // benchmarking (RFC 2544)
  ['198.51.100.0', 24], // documentation (RFC 5737)
  ['203.0.113.0', 24], // documentation (RFC 5737)
  ['224.0.0.0', 4], // multicast (RFC 5771)
  ['240.0.0.0', 4], // reserved (RFC 1112), with the broadcast address
];

/**
 * What is special inside 2000::/3. Everything outside it is refused as a whole: unspecified, loopback, mapped and
 * compatible IPv4 (::/96, ::ffff:0:0/96), NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard, unique local, link-local,
 * site-local, multicast and what nobody has been given yet.
 */
const specialIpv6: readonly (readonly [string, number])[] = [
  ['2001::', 23], // IETF protocol assignments: Teredo, benchmarking, AMT, AS112, ORCHID (RFC 2928)
  ['2001:db8::', 32], // documentation (RFC 3849)
  ['2002::', 16], // 6to4: embeds any IPv4 address (RFC 3056)
  ['2620:4f:8000::', 48], // AS112 (RFC 7534)
  ['3fff::', 20], // documentation (RFC 9637)
];

const special = new BlockList();
for (const [net, prefix] of specialIpv4) special.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of specialIpv6) special.addSubnet(net, prefix, 'ipv6');
const globalUnicastIpv6 = new BlockList();
globalUnicastIpv6.addSubnet('2000::', 3, 'ipv6');

/**
 * True when `address`, a plain textual IP address without brackets or zone, is public unicast.
 * Anything that isn't an IP address is not.
 */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special.check(address, 'ipv4');
  if (!isIPv6(address) || address.includes('%')) return false;
  return globalUnicastIpv6.check(address, 'ipv6') && !special.check(address, 'ipv6');
}
