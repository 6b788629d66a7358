// How many bytes of request bodies may be under way at once: in all, per address and per site. A body counts from its
// headers to the end of its answer, for what it may become: the length that was declared, or the largest one that is read.
// Knows nothing of routes. Source: threat 10 of docs/threat-model.md; docs/protocol/03.
import type { IncomingMessage } from 'node:http';
import { PrefixCounts } from '@drawbridge/identity/network-prefix';

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

export class BodyBudget {
  readonly #limits: BodyLimits;
  readonly #maxBodyBytes: number;
  readonly #shares: PrefixCounts;
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
    if (this.#bytes + bytes > httpBodyMebibytes * mebibyte) return { kind: 'full' };
    this.#bytes += bytes;
    if (key !== '') this.#shares.add(key, bytes);
    return {
      kind: 'taken',
      release: () => {
        this.#bytes -= bytes;
        if (key !== '') this.#shares.remove(key, bytes);
      },
    };
  }

  #bytesOf({ headers }: IncomingMessage): number {
    if (headers['transfer-encoding'] !== undefined) return this.#maxBodyBytes;
    const declared = Number(headers['content-length'] ?? 0);
    // One that declares more is refused before a byte of it is read.
    return declared <= this.#maxBodyBytes ? declared : 0;
  }
}
