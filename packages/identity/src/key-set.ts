// The public keys of one issuer: found by OpenID discovery, refreshed within bounds, never older than a day.
// Knows nothing of tokens. Time and the network are arguments.
// Source: docs/protocol/02 (Keys); OpenID Connect Discovery 1.0 section 4, RFC 7517 section 5, RFC 9111 (max-age).

import type { EgressErrorCode, EgressFetch } from './egress.ts';
import { importVerificationKey, type KeyErrorCode, type VerificationKey } from './jwk.ts';
import { parseStrictJson } from './strict-json.ts';
import type { KeyLookup, KeySource } from './verify-ownership-proof.ts';

/** Named limits of docs/protocol/02. */
export const keySetLimits = {
  maxKeys: 32,
  maxBytes: 65_536,
  fetchTimeoutMs: 5_000,
  defaultRefreshMs: 300_000,
  minRefreshMs: 60_000,
  maxRefreshMs: 3_600_000,
  discoveryMaxAgeMs: 3_600_000,
  unknownKeyCooldownMs: 30_000,
  firstRetryMs: 1_000,
  maxRetryMs: 30_000,
  maxStaleMs: 86_400_000,
} as const;

/** Why a fetch brought no new set; the last good one stays. */
export type KeySetErrorCode = EgressErrorCode | 'status-refused' | 'discovery-refused' | 'key-set-refused';

/** For the log: no key, no address, no person. */
export type KeySetEvent =
  | {
      readonly kind: 'refreshed';
      readonly keys: number;
      readonly ignored: readonly IgnoredKeyCode[];
      /** There was a set before, and not one of its keys is in this one: no rotation, which overlaps, but a break. */
      readonly replacedAll: boolean;
    }
  | { readonly kind: 'failed'; readonly code: KeySetErrorCode; readonly failures: number };

export type IgnoredKeyCode = KeyErrorCode | 'duplicate-key-id';

export type KeySetOptions = {
  /** The registered issuer URL, without a slash at its end. */
  readonly issuer: string;
  /** Where the set lies, when that is registered or fixed by the protocol: then nothing is discovered. */
  readonly keySetUrl?: string;
  /** Origins besides the issuer's own where its key set may lie, as registered. */
  readonly keySetOrigins?: readonly string[];
  readonly fetch: EgressFetch;
  /** A clock that only goes forward, such as `performance.now`: a step of the wall clock must not age or renew a set. */
  readonly nowMs: () => number;
  readonly onEvent?: (event: KeySetEvent) => void;
  /**
   * A set that an earlier process fetched: used until the first fetch, and while its issuer can't be reached, for its day. After
   * that its keys tell the issuer's people from strangers, and vouch for nobody.
   */
  readonly kept?: KeptKeySet;
  /** Called with each set that was fetched, to be kept for a later process. */
  readonly keep?: (body: Uint8Array) => void;
};

/** The document as it came, and how long ago it was fetched. */
export type KeptKeySet = { readonly body: Uint8Array; readonly ageMs: number };

export type KeySet = KeySource & {
  /**
   * Fetches now unless a fetch is under way already; settles when it is done, however it went. `rediscover`: where the
   * set lies is asked again too, in a fetch that begins after this call.
   */
  readonly refresh: (rediscover?: boolean) => Promise<void>;
  /** When the next refresh is due; after failures, when the next try is. */
  readonly dueAtMs: () => number;
  /** Whether the key of this thumbprint is in the set now, under whatever id; asks nobody. */
  readonly holds: (thumbprint: string) => boolean;
  /** When the set in use was fetched; `undefined` while there is none that may be used. For readiness checks. */
  readonly fetchedAtMs: () => number | undefined;
};

type Held = { readonly keys: ReadonlyMap<string, VerificationKey>; readonly fetchedAtMs: number };

type FetchedKeySet = ParsedKeySet & { readonly body: Uint8Array; readonly refreshMs: number };

/** An age that can't be (a wall clock was set back) or beyond a day says nothing good of a set: its keys vouch for nobody any more. */
function heldFrom(kept: KeptKeySet | undefined, nowMs: () => number): Held | undefined {
  const parsed = kept && parseKeySet(kept.body);
  if (kept === undefined || parsed === undefined) return undefined;
  const ageMs = kept.ageMs >= 0 ? kept.ageMs : keySetLimits.maxStaleMs;
  return { keys: parsed.keys, fetchedAtMs: nowMs() - ageMs };
}

/**
 * The key set of one issuer, empty until the first fetch.
 *
 * `findKey` answers from memory while the set is fresh. When it is due, it waits for one shared fetch; when the last try
 * failed, it answers from the last good set at once and lets the next try run beside it, for at most 24 h since that set
 * was fetched, then `unavailable`, with the key as it was known last. An unknown key id causes at most one fetch in 30 s. Never more than one is under way.
 */
export function createKeySet(options: KeySetOptions): KeySet {
  return new IssuerKeySet(options);
}

class IssuerKeySet implements KeySet {
  readonly #options: KeySetOptions;
  readonly #origins: readonly string[];
  readonly #fixedUrl: URL | undefined;
  #held: Held | undefined;
  #refreshMs: number;
  #discovered: { readonly uri: string; readonly atMs: number } | undefined;
  #failures = 0;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #unknownFetchAtMs = Number.NEGATIVE_INFINITY;
  #underWay: Promise<void> | undefined;

  constructor(options: KeySetOptions) {
    this.#options = options;
    // Registered URLs were checked at registration: a malformed one is a defect of the caller and throws here, at once.
    this.#origins = [new URL(options.issuer).origin, ...(options.keySetOrigins ?? [])];
    this.#fixedUrl = options.keySetUrl === undefined ? undefined : new URL(options.keySetUrl);
    this.#held = heldFrom(options.kept, options.nowMs);
    // What an earlier process kept is due at once.
    this.#refreshMs = this.#held === undefined ? keySetLimits.defaultRefreshMs : 0;
  }

  dueAtMs(): number {
    if (this.#failures > 0) {
      return (
        this.#triedAtMs +
        Math.min(keySetLimits.maxRetryMs, keySetLimits.firstRetryMs * 2 ** Math.min(this.#failures - 1, 10))
      );
    }
    return this.#held === undefined ? this.#triedAtMs : this.#held.fetchedAtMs + this.#refreshMs;
  }

  refresh(rediscover = false): Promise<void> {
    if (rediscover) {
      // That one may have begun before the keys or their place changed.
      if (this.#underWay !== undefined) return this.#underWay.then(() => this.refresh(true));
      this.#discovered = undefined;
    }
    this.#underWay ??= this.#tryOnce().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  async #tryOnce(): Promise<void> {
    this.#triedAtMs = this.#options.nowMs();
    const outcome = await this.#fetchKeySet();
    if (typeof outcome === 'string') {
      this.#failures++;
      // The place may have moved: look it up again with the next try.
      this.#discovered = undefined;
      this.#options.onEvent?.({ kind: 'failed', code: outcome, failures: this.#failures });
      return;
    }
    this.#failures = 0;
    const before = this.#held?.keys;
    const stayed = [...outcome.keys].some(([kid, key]) => before?.get(kid)?.publicKey.equals(key.publicKey) === true);
    const replacedAll = before !== undefined && before.size > 0 && !stayed;
    // Age counts from before the fetch: what was removed meanwhile is seen in time.
    this.#held = { keys: outcome.keys, fetchedAtMs: this.#triedAtMs };
    this.#refreshMs = outcome.refreshMs;
    this.#options.keep?.(outcome.body);
    this.#options.onEvent?.({ kind: 'refreshed', keys: outcome.keys.size, ignored: outcome.ignored, replacedAll });
  }

  async #fetchKeySet(): Promise<FetchedKeySet | KeySetErrorCode> {
    if (
      this.#discovered === undefined ||
      this.#options.nowMs() - this.#discovered.atMs >= keySetLimits.discoveryMaxAgeMs
    ) {
      const uri = await this.#discover();
      if (typeof uri === 'string') return uri;
      this.#discovered = { uri: uri.href, atMs: this.#options.nowMs() };
    }
    const response = await this.#get(this.#discovered.uri);
    if (typeof response === 'string') return response;
    const parsed = parseKeySet(response.body);
    if (parsed === undefined) return 'key-set-refused';
    return { ...parsed, body: response.body, refreshMs: refreshAfterMs(response.cacheControl) };
  }

  async #discover(): Promise<URL | KeySetErrorCode> {
    if (this.#fixedUrl !== undefined) return this.#fixedUrl;
    const response = await this.#get(`${this.#options.issuer}/.well-known/openid-configuration`);
    if (typeof response === 'string') return response;
    const document = parseStrictJson(response.body);
    if (document.kind === 'refused' || document.value['issuer'] !== this.#options.issuer) return 'discovery-refused';
    const uri = document.value['jwks_uri'];
    if (typeof uri !== 'string' || !URL.canParse(uri)) return 'discovery-refused';
    const url = new URL(uri);
    return this.#origins.includes(url.origin) ? url : 'discovery-refused';
  }

  async #get(url: string): Promise<{ body: Uint8Array; cacheControl: string } | KeySetErrorCode> {
    const port = new URL(url).port;
    const response = await this.#options.fetch(url, {
      headers: { accept: 'application/json' },
      maxBodyBytes: keySetLimits.maxBytes,
      timeoutMs: keySetLimits.fetchTimeoutMs,
      // The port stands in the registered issuer or a registered origin: both were compared before.
      ...(port === '' ? {} : { ports: [Number(port)] }),
    });
    if (response.kind === 'failed') return response.code;
    if (response.status !== 200) return 'status-refused';
    return { body: response.body, cacheControl: response.headers['cache-control'] ?? '' };
  }

  get #isUsable(): boolean {
    return this.#held !== undefined && this.#options.nowMs() - this.#held.fetchedAtMs < keySetLimits.maxStaleMs;
  }

  #lookUp(kid: string): KeyLookup {
    const key = this.#held?.keys.get(kid);
    if (!this.#isUsable) return { kind: 'unavailable', lastKnown: key };
    return key === undefined ? { kind: 'unknown' } : { kind: 'found', key };
  }

  async findKey(kid: string): Promise<KeyLookup> {
    let waited = false;
    if (this.#options.nowMs() >= this.dueAtMs() || (!this.#isUsable && this.#underWay !== undefined)) {
      const attempt = this.refresh();
      waited = this.#failures === 0 || !this.#isUsable;
      if (waited) await attempt;
    }
    const found = this.#lookUp(kid);
    if (found.kind !== 'unknown' || waited) return found;
    if (this.#underWay === undefined) {
      const now = this.#options.nowMs();
      if (now - this.#unknownFetchAtMs < keySetLimits.unknownKeyCooldownMs) return found;
      this.#unknownFetchAtMs = now;
    }
    await this.refresh();
    return this.#lookUp(kid);
  }

  holds(thumbprint: string): boolean {
    return this.#held !== undefined && [...this.#held.keys.values()].some(key => key.thumbprint === thumbprint);
  }

  fetchedAtMs(): number | undefined {
    return this.#isUsable ? this.#held?.fetchedAtMs : undefined;
  }
}

/** Keys that are at hand in this process: one's own issuer, and tests. */
export function localKeySource(keys: () => readonly VerificationKey[]): KeySource {
  return {
    findKey: async kid => {
      const key = keys().find(each => each.kid === kid);
      return key === undefined ? { kind: 'unknown' } : { kind: 'found', key };
    },
  };
}

export type ParsedKeySet = {
  readonly keys: ReadonlyMap<string, VerificationKey>;
  readonly ignored: readonly IgnoredKeyCode[];
};

/**
 * Reads a JWK set. `undefined` when it isn't one, or has more than 32 keys: then nothing of it is trusted.
 * Keys for other purposes are left out; so are keys published with their private half, and all that share a key id.
 */
export function parseKeySet(body: Uint8Array): ParsedKeySet | undefined {
  if (body.length > keySetLimits.maxBytes) return undefined;
  const document = parseStrictJson(body);
  const list = document.kind === 'parsed' ? document.value['keys'] : undefined;
  if (!Array.isArray(list) || list.length > keySetLimits.maxKeys) return undefined;
  const keys = new Map<string, VerificationKey>();
  const ignored: IgnoredKeyCode[] = [];
  const repeated = new Set<string>();
  for (const jwk of list) {
    const imported = importVerificationKey(jwk);
    if (imported.kind === 'refused') ignored.push(imported.code);
    else if (keys.has(imported.key.kid)) repeated.add(imported.key.kid);
    else keys.set(imported.key.kid, imported.key);
  }
  for (const kid of repeated) {
    keys.delete(kid);
    ignored.push('duplicate-key-id');
  }
  return { keys, ignored };
}

/** From `Cache-Control`: `max-age` within 1 minute … 1 hour, `no-store` and `no-cache` a minute, otherwise 5 minutes. */
export function refreshAfterMs(cacheControl: string): number {
  const directives = cacheControl
    .toLowerCase()
    .split(',')
    .map(directive => directive.trim());
  if (directives.includes('no-store') || directives.includes('no-cache')) return keySetLimits.minRefreshMs;
  const age = directives.map(directive => /^max-age="?([0-9]{1,10})"?$/.exec(directive)?.[1]).find(Boolean);
  if (age === undefined) return keySetLimits.defaultRefreshMs;
  return Math.min(keySetLimits.maxRefreshMs, Math.max(keySetLimits.minRefreshMs, Number(age) * 1000));
}
