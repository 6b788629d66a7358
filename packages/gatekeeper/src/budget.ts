// One budget of many parties, in bounded memory. A party that has spent is remembered until the bucket is full again: strangers can not
// make it be forgotten by coming as many. Time is an argument, of a clock that only goes forward: a wall clock that is set
// back would lock out whoever had spent anything. Knows nothing of what is asked for.
// Source: threats 6 and 7 of docs/threat-model.md; the generic cell rate algorithm (ITU-T I.371): a party is one number, the
// time at which its bucket is full again.
import { hash, randomBytes } from 'node:crypto';
import { sharesOf, siteKey } from '@drawbridge/identity/network-prefix';

export type BudgetRate = { readonly burst: number; readonly refillSeconds: number };

/** So many /64s of one /48 have buckets of their own at a time; what comes from more of them shares the site's, of this many rates. */
export const maxKeysPerSite = 64;
export const siteRates = 16;
/** Of all places, a network (a /32, which one customer may have) takes one in so many; its other addresses share this many rates. */
export const networksInFull = 16;
export const networkRates = 64;
/** Newcomers share so many buckets, of this many rates each, while every place is taken by somebody in debt. */
export const newcomerBuckets = 1_024;
export const newcomerRates = 16;
/** What adding and taking away of fractions may leave: nobody waits for that. */
const roundingMs = 0.001;
/** Of the places that were used longest ago, for each newcomer that finds all taken. */
const looksForRoom = 8;

/** The /48 and the /32 of the key of an IPv6 address; none for every other party, and none above a bucket that many share. */
function prefixesOf(key: string): readonly string[] {
  if (/^[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){3}$/.test(key)) return [siteKey(key)!, networkOf(key)];
  return key.endsWith('/48') ? [networkOf(key)] : [];
}

function networkOf(key: string): string {
  return `${key.split(':', 2).join(':')}/32`;
}

type Bucket = {
  readonly key: string;
  /** It gets so many times the rate of one party. */
  readonly rates: number;
};

/**
 * At most `maxKeys` parties are remembered, and `newcomerBuckets`. What is full again is like new, and is forgotten; whoever
 * is in debt is not. Newcomers that find no place share buckets with some others by where they come from.
 */
export class Budget {
  readonly #seed = randomBytes(8).toString('base64url');
  #refillMs = 0;
  #burst = 0;
  #maxKeys = 0;
  /** Theoretical arrival time by bucket, about in the order of the last spending. */
  readonly #fullAtMs = new Map<string, number>();
  /** Buckets in each /48 and /32. */
  readonly #keysOf = new Map<string, number>();

  constructor(rate: BudgetRate, maxKeys: number) {
    this.reconfigure(rate, maxKeys);
  }

  /** Another rate from now on; what was spent stays spent. */
  reconfigure(rate: BudgetRate, maxKeys: number): void {
    this.#refillMs = rate.refillSeconds * 1000;
    this.#burst = rate.burst;
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#fullAtMs.size;
  }

  /** How long until `cost` can be spent, 0 for now; nothing is spent. A cost above the burst counts as the burst. */
  waitMs(party: string, nowMs: number, cost = 1): number {
    const bucket = this.#bucketOf(party, nowMs);
    const usableMs = this.#burst * this.#refillMs;
    const waitMs = this.#startMs(bucket, nowMs) + this.#costMs(bucket, cost) - usableMs - nowMs;
    return waitMs > roundingMs ? waitMs : 0;
  }

  spend(party: string, nowMs: number, cost = 1): void {
    const bucket = this.#bucketOf(party, nowMs);
    const fullAtMs = this.#startMs(bucket, nowMs) + this.#costMs(bucket, cost);
    this.#forget(bucket.key);
    // Two of the oldest for each spending.
    let looked = 0;
    for (const [oldest, fullAgainMs] of this.#fullAtMs) {
      if (looked++ === 2 || fullAgainMs > nowMs) break;
      this.#forget(oldest);
    }
    this.#fullAtMs.set(bucket.key, fullAtMs);
    for (const prefix of prefixesOf(bucket.key)) this.#keysOf.set(prefix, (this.#keysOf.get(prefix) ?? 0) + 1);
  }

  /** A party's own, or that of its crowded site or network, or one of the newcomers'. */
  #bucketOf(party: string, nowMs: number): Bucket {
    const [site, network] = prefixesOf(party);
    let bucket: Bucket = { key: party, rates: sharesOf(party) };
    const isNew = (): boolean => !this.#fullAtMs.has(bucket.key);
    if (site !== undefined && isNew() && this.#count(site) >= maxKeysPerSite) bucket = { key: site, rates: siteRates };
    const most = Math.max(maxKeysPerSite, Math.floor(this.#maxKeys / networksInFull));
    if (network !== undefined && isNew() && this.#count(network) >= most)
      bucket = { key: network, rates: networkRates };
    return isNew() && !this.#hasRoom(nowMs) ? this.#newcomers(network ?? party) : bucket;
  }

  #newcomers(from: string): Bucket {
    // Neighbours in IPv4 too: they share with one another rather than with all.
    const place = /^\d+\.\d+\./.exec(from)?.[0] ?? from;
    const number = hash('sha256', this.#seed + place, 'buffer').readUInt32LE() % newcomerBuckets;
    return { key: `newcomers ${number}`, rates: newcomerRates };
  }

  /** Passes over those in debt, so that the next newcomer looks at others. */
  #hasRoom(nowMs: number): boolean {
    for (let looked = 0; this.#fullAtMs.size >= this.#maxKeys && looked < looksForRoom; looked++) {
      const [oldest, fullAgainMs] = this.#fullAtMs.entries().next().value!;
      if (fullAgainMs <= nowMs) this.#forget(oldest);
      else {
        this.#fullAtMs.delete(oldest);
        this.#fullAtMs.set(oldest, fullAgainMs);
      }
    }
    return this.#fullAtMs.size < this.#maxKeys;
  }

  #costMs({ rates }: Bucket, cost: number): number {
    return (Math.min(cost, this.#burst) * this.#refillMs) / rates;
  }

  #count(prefix: string): number {
    return this.#keysOf.get(prefix) ?? 0;
  }

  #forget(key: string): void {
    if (!this.#fullAtMs.delete(key)) return;
    for (const prefix of prefixesOf(key)) {
      const left = this.#count(prefix) - 1;
      if (left === 0) this.#keysOf.delete(prefix);
      else this.#keysOf.set(prefix, left);
    }
  }

  #startMs({ key }: Bucket, nowMs: number): number {
    return Math.max(this.#fullAtMs.get(key) ?? nowMs, nowMs);
  }
}
