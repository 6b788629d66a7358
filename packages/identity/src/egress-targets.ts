// Where a request may go: the URL, its port, and every address of its name, each in one spelling.
// Knows nothing of connections, bodies or what requests mean.
// Source: docs/protocol/02 section 2.1; threats 4 and 5 of the threat model.
import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { isPublicAddress } from './addresses.ts';

/** All addresses of a name, in the order to try them. Rejects when there are none. */
export type ResolveName = (name: string) => Promise<readonly string[]>;

/** What a client may reach besides public addresses over TLS. */
export type EgressAllowance = {
  /** Exact addresses that may be reached although they aren't public: `127.0.0.1` and `::1` in development. */
  readonly addresses?: readonly string[];
  /** Exact origins of loopback that may be reached without TLS, in development: `http://127.0.0.1:8080`. */
  readonly plainHttpOrigins?: readonly string[];
  /** PEM certificates of authorities that are trusted instead of the system's. */
  readonly ca?: string | readonly string[];
  /** Ports besides 443 that every request may use. */
  readonly ports?: readonly number[];
};

export type TargetRefusal = 'url-refused' | 'port-refused' | 'address-refused' | 'name-not-found';

export class Targets {
  readonly #addresses: ReadonlySet<string>;
  readonly #plainOrigins: ReadonlySet<string>;
  readonly #ports: ReadonlySet<number>;
  readonly #resolve: ResolveName;
  readonly #maxAddresses: number;

  /** Throws when an allowance is malformed. */
  constructor(maxAddresses: number, resolve: ResolveName, allow: EgressAllowance = {}) {
    this.#addresses = new Set((allow.addresses ?? []).map(allowedAddress));
    this.#plainOrigins = new Set((allow.plainHttpOrigins ?? []).map(plainLoopbackOrigin));
    this.#ports = new Set(allow.ports ?? []);
    this.#resolve = resolve;
    this.#maxAddresses = maxAddresses;
  }

  /** `ports`: those that this request alone may use besides. */
  checkUrl(text: string, ports: readonly number[] = []): URL | TargetRefusal {
    // The parser turns every spelling of an IPv4 host (decimal, octal, hexadecimal, short) into four decimal numbers.
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || url.username !== '' || url.password !== '' || url.hostname === '') return 'url-refused';
    if (this.#plainOrigins.has(url.origin)) return url;
    if (url.protocol !== 'https:') return 'url-refused';
    const port = url.port === '' ? 443 : Number(url.port);
    if (port !== 443 && !this.#ports.has(port) && !ports.includes(port)) return 'port-refused';
    return url;
  }

  async checkAddresses(url: URL): Promise<readonly string[] | TargetRefusal> {
    const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
    let addresses: readonly string[];
    if (isIP(host) !== 0) addresses = [host];
    else {
      try {
        addresses = await this.#resolve(host);
      } catch {
        return 'name-not-found';
      }
    }
    if (addresses.length === 0) return 'name-not-found';
    // Too many to check is refused, not shortened: what isn't checked can't be vouched for.
    if (addresses.length > this.#maxAddresses) return 'address-refused';
    const plain = url.protocol === 'http:';
    const fits = addresses.every(address =>
      plain ? isLoopback(address) : isPublicAddress(address) || this.#addresses.has(canonicalAddress(address) ?? ''),
    );
    return fits ? addresses : 'address-refused';
  }
}

/** One spelling per address: the URL parser compresses IPv6. `undefined` for what is not an address, or has a zone. */
function canonicalAddress(address: string): string | undefined {
  if (isIP(address) === 0) return undefined;
  const text = address.includes(':') ? `https://[${address}]/` : `https://${address}/`;
  return URL.canParse(text) ? new URL(text).hostname : undefined;
}

function allowedAddress(address: string): string {
  const canonical = canonicalAddress(address);
  assert(canonical !== undefined, 'an allowed address is an IP address');
  return canonical;
}

function isLoopback(address: string): boolean {
  return isIP(address) !== 0 && (address.startsWith('127.') || address === '::1');
}

function plainLoopbackOrigin(origin: string): string {
  const url = new URL(origin);
  const loopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  assert(url.protocol === 'http:' && url.origin === origin && loopback, 'plain http is for exact loopback origins');
  return origin;
}
