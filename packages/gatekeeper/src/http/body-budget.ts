// How many bytes of request bodies may be under way at once: in all, per address and per site. A body counts for what has come
// of it, in steps, until the end of its answer: what was only declared costs nobody anything. When all is full, the party that
// holds most gives way, and where all hold alike a body that hardly moves: half-sent bodies keep nobody out.
// Knows nothing of routes. Source: threat 10 of docs/threat-model.md; docs/protocol/03.
import type { IncomingMessage } from 'node:http';
import { PrefixCounts, sharesOf, siteKey } from '@drawbridge/identity/network-prefix';

export type BodyLimits = {
  readonly httpBodyMebibytes: number;
  readonly httpBodyMebibytesPerAddress: number;
  readonly httpBodyMebibytesPerSite: number;
};

/** `share-full`: this address or its site has as much under way as it may; `full`: all together have. */
export type BodyPlace = 'taken' | 'share-full' | 'full';

const mebibyte = 1_048_576;
const stepBytes = 16 * 1024;
/** A body that does not come on by a step in this time is slow: it gives way to one that does. */
const slowMs = 1_000;

type Held = {
  readonly request: IncomingMessage;
  readonly key: string;
  readonly party: string;
  receivedBytes: number;
  /** What counts for it. */
  bytes: number;
  steppedAtMs: number;
};

export class BodyBudget {
  readonly #limits: BodyLimits;
  readonly #maxBodyBytes: number;
  readonly #monotonicMs: () => number;
  readonly #shares = new PrefixCounts(0, 0);
  /** The oldest first. */
  readonly #held = new Set<Held>();
  readonly #bytesOfParty = new Map<string, number>();
  #bytes = 0;

  /** The limits object is read at each step: it may change. No body is read beyond `maxBodyBytes`. */
  constructor(limits: BodyLimits, maxBodyBytes: number, monotonicMs = (): number => performance.now()) {
    this.#limits = limits;
    this.#maxBodyBytes = maxBodyBytes;
    this.#monotonicMs = monotonicMs;
  }

  /** Bytes of all bodies under way. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Decides about a request from this address key when the first of its body comes, or at once when it has none; with an empty
   * key no share holds. One that was taken and finds no room later is cut. Release it once, when the request is over.
   */
  admit(request: IncomingMessage, key: string, decided: (place: BodyPlace) => void): () => void {
    const { headers } = request;
    const declared = Number(headers['content-length'] ?? 0);
    const hasBody = headers['transfer-encoding'] !== undefined || declared > 0;
    // One that declares more is refused before a byte of it is read.
    if (!hasBody || declared > this.#maxBodyBytes) {
      decided('taken');
      return () => undefined;
    }
    const held: Held = {
      request,
      key,
      party: siteKey(key) ?? key,
      receivedBytes: 0,
      bytes: 0,
      steppedAtMs: this.#monotonicMs(),
    };
    this.#watch(held, decided);
    return () => this.#release(held);
  }

  /** Node's parser pushes what has come: seen here before anybody reads it. */
  #watch(held: Held, decided: (place: BodyPlace) => void): void {
    const { request } = held;
    const push = request.push.bind(request);
    let isDecided = false;
    request.push = (chunk: Buffer | null, ...more) => {
      const place = this.#held.has(held) || !isDecided ? this.#received(held, chunk?.length ?? 0) : 'taken';
      if (!isDecided) {
        isDecided = true;
        // What is refused is read and thrown away, so that the answer arrives.
        if (place !== 'taken') request.push = push;
        const goesOn = push(chunk, ...more);
        decided(place);
        return goesOn;
      }
      if (place === 'taken') return push(chunk, ...more);
      request.destroy();
      return false;
    };
  }

  #received(held: Held, length: number): BodyPlace {
    held.receivedBytes += length;
    this.#held.add(held);
    const bytes = Math.min(Math.ceil(held.receivedBytes / stepBytes) * stepBytes, this.#maxBodyBytes);
    const more = bytes - held.bytes;
    if (more <= 0) return 'taken';
    const place = this.#placeFor(held, more);
    if (place !== 'taken') {
      this.#release(held);
      return place;
    }
    held.bytes = bytes;
    held.steppedAtMs = this.#monotonicMs();
    this.#count(held, more);
    return place;
  }

  #placeFor(held: Held, more: number): BodyPlace {
    const { httpBodyMebibytes, httpBodyMebibytesPerAddress, httpBodyMebibytesPerSite } = this.#limits;
    this.#shares.setBounds(httpBodyMebibytesPerAddress * mebibyte, httpBodyMebibytesPerSite * mebibyte);
    if (held.key !== '' && this.#shares.full(held.key, more) !== undefined) return 'share-full';
    while (this.#bytes + more > httpBodyMebibytes * mebibyte) {
      if (!this.#makeWay(held, this.#holdingOf(held.party, more))) return 'full';
    }
    return 'taken';
  }

  /** For each of its shares. */
  #holdingOf(party: string, more = 0): number {
    return ((this.#bytesOfParty.get(party) ?? 0) + more) / sharesOf(party);
  }

  #release(held: Held): void {
    this.#held.delete(held);
    if (held.bytes > 0) this.#count(held, -held.bytes);
    held.bytes = 0;
  }

  #count({ key, party }: Held, by: number): void {
    this.#bytes += by;
    if (key === '') return;
    if (by > 0) this.#shares.add(key, by);
    else this.#shares.remove(key, -by);
    const bytes = (this.#bytesOfParty.get(party) ?? 0) + by;
    if (bytes > 0) this.#bytesOfParty.set(party, bytes);
    else this.#bytesOfParty.delete(party);
  }

  /**
   * Cuts the oldest half-sent body of the party that has most of them, if that one holds more than `bytes`; else the one that
   * has not come on for longest.
   */
  #makeWay(held: Held, bytes: number): boolean {
    let most = bytes;
    let largest: Held | undefined;
    let slowest: Held | undefined;
    for (const other of this.#held) {
      if (other === held || other.bytes === 0 || other.request.complete) continue;
      const theirs = this.#holdingOf(other.party);
      if (theirs > most) {
        most = theirs;
        largest = other;
      }
      if (slowest === undefined || other.steppedAtMs < slowest.steppedAtMs) slowest = other;
    }
    const isSlow = slowest !== undefined && this.#monotonicMs() - slowest.steppedAtMs >= slowMs;
    const victim = largest ?? (isSlow ? slowest : undefined);
    if (victim === undefined) return false;
    this.#release(victim);
    victim.request.destroy();
    return true;
  }
}
