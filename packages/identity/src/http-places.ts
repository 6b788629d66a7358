// Who may hold a connection of an HTTP port: a limited number in all, per address and per site. When there is none left, the
// connection that has been idle for longest gives way; one with a request under way never does.
// Knows nothing of HTTP. Source: threat 10 of docs/threat-model.md.
import { PrefixCounts, siteKey } from './network-prefix.ts';

export type HttpPlaceLimits = {
  readonly maxConnections: number;
  readonly maxPerAddress: number;
  readonly maxPerSite: number;
};

export type HttpPlace = { readonly key: string; readonly cut: () => void; requests: number; held: boolean };

export class HttpPlaces {
  #limits: HttpPlaceLimits;
  readonly #byPrefix: PrefixCounts;
  /** Without a request under way, the longest idle first; by prefix too, so that looking for one costs no more. */
  readonly #idle = new Map<string, Set<HttpPlace>>();
  #count = 0;

  constructor(limits: HttpPlaceLimits) {
    this.#limits = limits;
    this.#byPrefix = new PrefixCounts(limits.maxPerAddress, limits.maxPerSite);
  }

  /** Others from now on; nobody is sent away. */
  setLimits(limits: HttpPlaceLimits): void {
    this.#limits = limits;
    this.#byPrefix.setBounds(limits.maxPerAddress, limits.maxPerSite);
  }

  get count(): number {
    return this.#count;
  }

  /**
   * A place for a connection of this address key; `cut` ends it when it has to give way. An empty key has no share of
   * its own: a reverse proxy. Undefined when nobody who is idle could make room.
   */
  take(key: string, cut: () => void, isFull: boolean): HttpPlace | undefined {
    const full = key === '' ? undefined : this.#byPrefix.full(key);
    if (full !== undefined && !this.#makeRoom(full)) return undefined;
    if ((isFull || this.#count >= this.#limits.maxConnections) && !this.#makeRoom('')) return undefined;
    const place: HttpPlace = { key, cut, requests: 0, held: true };
    this.#count++;
    if (key !== '') this.#byPrefix.add(key);
    this.#setIdle(place, true);
    return place;
  }

  requestBegan(place: HttpPlace): void {
    if (place.requests++ === 0) this.#setIdle(place, false);
  }

  requestEnded(place: HttpPlace): void {
    if (--place.requests === 0 && place.held) this.#setIdle(place, true);
  }

  /** The connection is over, or has become something else. Repeats do nothing. */
  leave(place: HttpPlace): void {
    if (!place.held) return;
    place.held = false;
    this.#count--;
    if (place.key !== '') this.#byPrefix.remove(place.key);
    this.#setIdle(place, false);
  }

  #makeRoom(prefix: string): boolean {
    const [oldest] = this.#idle.get(prefix) ?? [];
    if (oldest === undefined) return false;
    this.leave(oldest);
    oldest.cut();
    return true;
  }

  #setIdle(place: HttpPlace, isIdle: boolean): void {
    for (const prefix of place.key === '' ? [''] : ['', place.key, siteKey(place.key)]) {
      if (prefix === undefined) continue;
      const idle = this.#idle.get(prefix);
      if (isIdle) {
        if (idle === undefined) this.#idle.set(prefix, new Set([place]));
        else idle.add(place);
      } else if (idle?.delete(place) === true && idle.size === 0) this.#idle.delete(prefix);
    }
  }
}
