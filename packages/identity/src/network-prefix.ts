// What counts as one party on the network: an IPv4 address, or the /64 of an IPv6 one, which one customer has; and the
// /48 around it, the site, of which one customer may have all /64s. Knows nothing of what is counted.
// Source: RFC 6177 (sites get up to a /48), RFC 4291; threat 10 of docs/threat-model.md.
import { isIP, isIPv4 } from 'node:net';

/** IPv4-mapped and translated (RFC 6052) IPv6 addresses as IPv4; anything that is not an address gives an empty string. */
export function plainAddress(address: string): string {
  const text = address.trim().toLowerCase().split('%', 1)[0]!;
  const mapped = /^(?:::ffff:|64:ff9b::)([0-9.]+)$/.exec(text)?.[1] ?? text;
  if (isIP(mapped) === 0) return '';
  if (!mapped.startsWith('64:ff9b::')) return mapped;
  const groups = groupsOf(mapped);
  const [high, low] = [Number.parseInt(groups[6]!, 16), Number.parseInt(groups[7]!, 16)];
  return groups[5] === '0' ? `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}` : mapped;
}

function groupsOf(plain: string): string[] {
  const [head = '', tail] = plain.split('::', 2);
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // A dotted end stands for two groups.
  const width = after.length + (after.at(-1)?.includes('.') === true ? 1 : 0);
  while (groups.length + width < 8) groups.push('0');
  return [...groups, ...after].map(group => group.replace(/^0+(?=.)/, ''));
}

/** What has one budget: an IPv4 address, or the /64 of an IPv6 one. */
export function addressKey(address: string): string {
  const plain = plainAddress(address);
  return plain === '' || isIPv4(plain) ? plain : groupsOf(plain).slice(0, 4).join(':');
}

/** The /48 of the key of an IPv6 address; undefined for IPv4, whose neighbours are strangers to each other. */
export function siteKey(key: string): string | undefined {
  const third = key.lastIndexOf(':');
  return third < 0 ? undefined : `${key.slice(0, third)}/48`;
}

/** What stands for all connections of one relay, behind which are many people: it has the shares of so many addresses. */
export function relayKey(number: number, shares: number): string {
  return `relay-${number}*${shares}`;
}

/** Of how many addresses a key has the shares: 1 but for a relay's. */
export function sharesOf(key: string): number {
  return key.startsWith('relay-') ? Number(/^relay-[0-9]+\*([1-9][0-9]*)$/.exec(key)?.[1] ?? 1) : 1;
}

/** Bounds a count, of whatever unit, per address and per site. */
export class PrefixCounts {
  readonly #counts = new Map<string, number>();
  #maxPerAddress = 0;
  #maxPerSite = 0;

  constructor(maxPerAddress: number, maxPerSite: number) {
    this.setBounds(maxPerAddress, maxPerSite);
  }

  /** Other bounds from now on: what is counted stays. A site may have at least what one of its addresses may. */
  setBounds(maxPerAddress: number, maxPerSite: number): void {
    this.#maxPerAddress = maxPerAddress;
    this.#maxPerSite = Math.max(maxPerAddress, maxPerSite);
  }

  /** How many prefixes are remembered: none that has nothing. */
  get size(): number {
    return this.#counts.size;
  }

  /** The full prefix of this key, or undefined: there is room for this many more. */
  full(key: string, amount = 1): string | undefined {
    if ((this.#counts.get(key) ?? 0) + amount > this.#maxPerAddress * sharesOf(key)) return key;
    const site = siteKey(key);
    return site !== undefined && (this.#counts.get(site) ?? 0) + amount > this.#maxPerSite ? site : undefined;
  }

  add(key: string, amount = 1): void {
    this.#change(key, amount);
    const site = siteKey(key);
    if (site !== undefined) this.#change(site, amount);
  }

  remove(key: string, amount = 1): void {
    this.#change(key, -amount);
    const site = siteKey(key);
    if (site !== undefined) this.#change(site, -amount);
  }

  #change(prefix: string, by: number): void {
    const count = (this.#counts.get(prefix) ?? 0) + by;
    if (count <= 0) this.#counts.delete(prefix);
    else this.#counts.set(prefix, count);
  }
}
