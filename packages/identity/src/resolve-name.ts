// Name resolution of our own: c-ares on the event loop, with a time-out for each name. The system's getaddrinfo runs on
// Node's few shared threads, where two names whose servers are slow stop every other name, and files and hashes too.
// Knows nothing of who asks or of which addresses are allowed.
// Source: RFC 6761 section 6.3 (localhost), hosts(5), RFC 8305 (order of families).
import { NODATA, NOTFOUND, Resolver } from 'node:dns/promises';
import { readFileSync, statSync } from 'node:fs';

export type NameResolverOptions = {
  /** `address` or `address:port`; the system's when left out. */
  readonly servers?: readonly string[];
  readonly hostsFile?: string;
  /** For one name, over all tries and servers. */
  readonly timeoutMs?: number;
};

/** For one name; less than an outgoing request may take. */
const defaultTimeoutMs = 3_000;
const maxHostsBytes = 1_048_576;
/** The hosts file is looked at again after this. */
const hostsAgeMs = 5_000;
const loopback = ['127.0.0.1', '::1'] as const;

/** There is none, or no answer came in time. */
export class NameUnresolved extends Error {
  readonly code: 'no-address' | 'timed-out';
  constructor(code: NameUnresolved['code']) {
    super(code);
    this.code = code;
  }
}

/** Gives all addresses of a name, IPv6 and IPv4 in turns. Rejects with a NameUnresolved, or as the resolver does. */
export function createNameResolver(options: NameResolverOptions = {}): (name: string) => Promise<readonly string[]> {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 3), tries: 2 });
  if (options.servers !== undefined) resolver.setServers(options.servers);
  const hosts = hostsReader(options.hostsFile ?? '/etc/hosts');

  /** The addresses of one family; none when the name has none of it, or nobody said. */
  async function family(question: Promise<string[]>): Promise<{ addresses: string[]; failed: unknown }> {
    try {
      return { addresses: await question, failed: undefined };
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      return { addresses: [], failed: code === NODATA || code === NOTFOUND ? undefined : error };
    }
  }

  async function ask(name: string): Promise<readonly string[]> {
    const [four, six] = await Promise.all([family(resolver.resolve4(name)), family(resolver.resolve6(name))]);
    const addresses: string[] = [];
    for (let i = 0; i < Math.max(four.addresses.length, six.addresses.length); i++) {
      if (six.addresses[i] !== undefined) addresses.push(six.addresses[i]!);
      if (four.addresses[i] !== undefined) addresses.push(four.addresses[i]!);
    }
    if (addresses.length === 0) throw four.failed ?? six.failed ?? new NameUnresolved('no-address');
    return addresses;
  }

  return async name => {
    const plain = name.toLowerCase().replace(/\.$/, '');
    const known = hosts(plain);
    if (known !== undefined) return known;
    if (plain === 'localhost' || plain.endsWith('.localhost')) return loopback;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new NameUnresolved('timed-out')), timeoutMs);
    });
    try {
      return await Promise.race([ask(plain), late]);
    } finally {
      clearTimeout(timer);
    }
  };
}

/** Reads the hosts file when it has changed. A file that can't be read has no names. */
function hostsReader(file: string): (name: string) => readonly string[] | undefined {
  let names = new Map<string, string[]>();
  let version = '';
  let lookAgainAtMs = Number.NEGATIVE_INFINITY;
  return name => {
    const nowMs = performance.now();
    if (nowMs >= lookAgainAtMs) {
      lookAgainAtMs = nowMs + hostsAgeMs;
      try {
        const { mtimeMs, size } = statSync(file);
        if (`${mtimeMs} ${size}` !== version && size <= maxHostsBytes) names = parseHosts(readFileSync(file, 'utf8'));
        version = `${mtimeMs} ${size}`;
      } catch {
        names = new Map();
        version = '';
      }
    }
    return names.get(name);
  };
}

export function parseHosts(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (address === undefined || address === '') continue;
    for (const alias of aliases) {
      const name = alias.toLowerCase();
      const known = names.get(name);
      if (known === undefined) names.set(name, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return names;
}
