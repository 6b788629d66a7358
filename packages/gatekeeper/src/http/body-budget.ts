// How many bytes of request bodies may be under way at once: in all, per address and per site. A body counts from its
// headers to the end of its answer, for what it may become: the length that was declared, or the largest one that is read.
// When all is full, the party that holds most gives way to one that holds less: half-sent bodies keep nobody out.
// Knows nothing of routes. Source: threat 10 of docs/threat-model.md; docs/protocol/03.
import type { IncomingMessage } from 'node:http';
import { PrefixCounts, siteKey } from '@drawbridge/identity/network-prefix';

export type BodyLimits = {
  readonly httpBodyMebibytes: number;
  readonly httpBodyMebibytesPerAddress: number;
  readonly httpBodyMebibytesPerSite: number;
};

export type BodyPlace =
  | { readonly kind: 'taken'; readonly release: () => void }
  /** This address or its site has as much under way as it may; or all together have. */
  | { readonly kind: 'share-full' | 'full' };

const mebibyte = 1_048_576;
const nothing: BodyPlace = { kind: 'taken', release: () => {} };

type Held = { readonly request: IncomingMessage; readonly party: string; readonly release: () => void };

export class BodyBudget {
  readonly #limits: BodyLimits;
  readonly #maxBodyBytes: number;
  readonly #shares: PrefixCounts;
  /** The oldest first. */
  readonly #held = new Set<Held>();
  readonly #bytesOfParty = new Map<string, number>();
  #bytes = 0;

  /** The limits object is read at each body: it may change. No body is read beyond `maxBodyBytes`. */
  constructor(limits: BodyLimits, maxBodyBytes: number) {
    this.#limits = limits;
    this.#maxBodyBytes = maxBodyBytes;
    this.#shares = new PrefixCounts(0, 0);
  }

  /** Bytes of all bodies under way. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Room for the body of this request from this address key; with an empty key no share holds. Release it once, when the
   * request is over.
   */
  take(request: IncomingMessage, key: string): BodyPlace {
    const bytes = this.#bytesOf(request);
    if (bytes === 0) return nothing;
    const { httpBodyMebibytes, httpBodyMebibytesPerAddress, httpBodyMebibytesPerSite } = this.#limits;
    this.#shares.setBounds(httpBodyMebibytesPerAddress * mebibyte, httpBodyMebibytesPerSite * mebibyte);
    if (key !== '' && this.#shares.full(key, bytes) !== undefined) return { kind: 'share-full' };
    const party = siteKey(key) ?? key;
    while (this.#bytes + bytes > httpBodyMebibytes * mebibyte) {
      if (key === '' || !this.#makeWay((this.#bytesOfParty.get(party) ?? 0) + bytes)) return { kind: 'full' };
    }
    return { kind: 'taken', release: this.#hold(request, key, party, bytes) };
  }

  #hold(request: IncomingMessage, key: string, party: string, bytes: number): () => void {
    const held: Held = {
      request,
      party,
      release: () => {
        if (this.#held.delete(held)) this.#count(key, party, -bytes);
      },
    };
    this.#held.add(held);
    this.#count(key, party, bytes);
    return held.release;
  }

  #count(key: string, party: string, by: number): void {
    this.#bytes += by;
    if (key === '') return;
    if (by > 0) this.#shares.add(key, by);
    else this.#shares.remove(key, -by);
    const bytes = (this.#bytesOfParty.get(party) ?? 0) + by;
    if (bytes > 0) this.#bytesOfParty.set(party, bytes);
    else this.#bytesOfParty.delete(party);
  }

  /** Cuts the oldest half-sent body of the party that has most of them, if that one holds more than `bytes`. */
  #makeWay(bytes: number): boolean {
    let most = bytes;
    let victim: Held | undefined;
    for (const held of this.#held) {
      const theirs = this.#bytesOfParty.get(held.party) ?? 0;
      if (held.request.complete || theirs <= most) continue;
      most = theirs;
      victim = held;
    }
    if (victim === undefined) return false;
    victim.release();
    victim.request.destroy();
    return true;
  }

  #bytesOf({ headers }: IncomingMessage): number {
    if (headers['transfer-encoding'] !== undefined) return this.#maxBodyBytes;
    const declared = Number(headers['content-length'] ?? 0);
    // One that declares more is refused before a byte of it is read.
    return declared <= this.#maxBodyBytes ? declared : 0;
  }
}
