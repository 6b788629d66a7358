// Key sets: discovery, refresh within bounds, unknown keys, outages, and what is refused of a fetched set.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EgressResponse } from './egress.ts';
import { exportSigningKey, generateSigningKey, type PublicSigningJwk, publicJwk } from './jwk.ts';
import {
  createKeySet,
  type KeySet,
  type KeySetEvent,
  type KeySetOptions,
  keySetLimits,
  parseKeySet,
  refreshAfterMs,
} from './key-set.ts';
import { keepFresh } from './key-set-timer.ts';

const issuer = 'https://id.skylark.example';
const first = publicJwk(generateSigningKey('ES256'));
const second = publicJwk(generateSigningKey('EdDSA'));

type Site = {
  nowMs: number;
  keys: readonly object[];
  cacheControl: string;
  down: boolean;
  discovery: object;
  readonly asked: string[];
  readonly events: KeySetEvent[];
  readonly set: KeySet;
  /** Requests for the set itself since the last question. */
  readonly fetches: () => number;
};

function site(options: Partial<Pick<KeySetOptions, 'keySetOrigins' | 'kept' | 'keep'>> = {}): Site {
  const asked: string[] = [];
  const events: KeySetEvent[] = [];
  let counted = 0;
  let nowMs = 1_000_000;
  const it: Site = {
    get nowMs() {
      return nowMs;
    },
    set nowMs(value) {
      nowMs = value;
    },
    keys: [first],
    cacheControl: '',
    down: false,
    discovery: { issuer, jwks_uri: `${issuer}/jwks.json`, response_types_supported: ['none'] },
    asked,
    events,
    fetches: () => {
      const count = asked.filter(url => url.endsWith('/jwks.json')).length - counted;
      counted += count;
      return count;
    },
    set: createKeySet({
      issuer,
      ...options,
      nowMs: () => nowMs,
      onEvent: event => events.push(event),
      fetch: async (url): Promise<EgressResponse> => {
        asked.push(url);
        await new Promise(resolve => setImmediate(resolve));
        if (it.down) return { kind: 'failed', code: 'connect-failed' };
        const body = url.endsWith('/jwks.json') ? { keys: it.keys } : it.discovery;
        const headers: Record<string, string> = it.cacheControl === '' ? {} : { 'cache-control': it.cacheControl };
        return { kind: 'response', status: 200, headers, body: Buffer.from(JSON.stringify(body)) };
      },
    }),
  };
  return it;
}

const kindOf = async (it: Site, jwk: PublicSigningJwk | string): Promise<string> =>
  (await it.set.findKey(typeof jwk === 'string' ? jwk : jwk.kid)).kind;

test('a set that was kept is used over a restart while its issuer is down, for the rest of its day', async () => {
  const keptBodies: Uint8Array[] = [];
  const before = site({ keep: body => keptBodies.push(body) });
  assert.equal(await kindOf(before, first), 'found');
  assert.equal(keptBodies.length, 1);
  const body = keptBodies[0]!;

  const after = site({ kept: { body, ageMs: 3_600_000 } });
  after.down = true;
  assert.equal(await kindOf(after, first), 'found');
  assert.ok(after.asked.length > 0, 'it asked all the same');
  after.nowMs += keySetLimits.maxStaleMs - 3_600_000;
  assert.equal(await kindOf(after, first), 'unavailable');

  const rotated = site({ kept: { body, ageMs: 1 } });
  rotated.keys = [second];
  assert.equal(await kindOf(rotated, first), 'unknown');
  assert.deepEqual(
    rotated.events.map(event => event.kind === 'refreshed' && event.replacedAll),
    [true],
  );

  for (const kept of [
    { body, ageMs: -1 },
    { body, ageMs: Number.NaN },
    { body, ageMs: keySetLimits.maxStaleMs },
    { body: Buffer.from('{'), ageMs: 1 },
  ]) {
    const useless = site({ kept });
    useless.down = true;
    assert.equal(await kindOf(useless, first), 'unavailable');
    assert.equal(useless.set.fetchedAtMs(), undefined);
  }
});

test('of a set that is too old the keys are known, and vouch for nobody until it is fetched again', async () => {
  const keptBodies: Uint8Array[] = [];
  const before = site({ keep: body => keptBodies.push(body) });
  await kindOf(before, first);
  before.down = true;
  before.nowMs += keySetLimits.maxStaleMs;
  const after = site({ kept: { body: keptBodies[0]!, ageMs: 40 * keySetLimits.maxStaleMs } });
  after.down = true;
  for (const it of [before, after]) {
    const found = await it.set.findKey(first.kid);
    assert.equal(found.kind === 'unavailable' && found.lastKnown?.kid, first.kid);
    assert.deepEqual(await it.set.findKey('another'), { kind: 'unavailable', lastKnown: undefined });
    assert.equal(it.set.fetchedAtMs(), undefined);
    it.down = false;
    it.nowMs += keySetLimits.maxRetryMs;
    assert.equal(await kindOf(it, first), 'found');
  }
});

test('the first question discovers and fetches, the next ones are answered from memory', async () => {
  const it = site();
  const found = await it.set.findKey(first.kid);
  assert.ok(found.kind === 'found');
  assert.equal(found.key.algorithm, 'ES256');
  assert.deepEqual(it.asked, [`${issuer}/.well-known/openid-configuration`, `${issuer}/jwks.json`]);
  for (let i = 0; i < 100; i++) assert.equal(await kindOf(it, first), 'found');
  assert.equal(it.asked.length, 2);
  assert.equal(it.set.fetchedAtMs(), 1_000_000);
});

test('60 questions at once at the start share one fetch', async () => {
  const it = site();
  const kinds = await Promise.all(Array.from({ length: 60 }, () => kindOf(it, first)));
  assert.ok(kinds.every(kind => kind === 'found'));
  assert.equal(it.asked.length, 2);
});

test('60 unknown key ids at once cause one fetch, and none again within 30 s', async () => {
  const it = site();
  await it.set.refresh();
  it.fetches();
  const kinds = await Promise.all(Array.from({ length: 60 }, (_, index) => kindOf(it, `unknown-${index}`)));
  assert.ok(kinds.every(kind => kind === 'unknown'));
  assert.equal(it.fetches(), 1);
  it.nowMs += 29_999;
  assert.equal(await kindOf(it, 'unknown-again'), 'unknown');
  assert.equal(it.fetches(), 0);
  it.nowMs += 1;
  for (let i = 0; i < 60; i++) await kindOf(it, `one-after-the-other-${i}`);
  assert.equal(it.fetches(), 1);
});

test('60 unknown key ids at once on a set that is due cause one fetch, not two', async () => {
  const it = site();
  await it.set.refresh();
  it.fetches();
  it.nowMs += keySetLimits.defaultRefreshMs;
  await Promise.all(Array.from({ length: 60 }, (_, index) => kindOf(it, `unknown-${index}`)));
  assert.equal(it.fetches(), 1);
});

test('a new key is found through its unknown id', async () => {
  const it = site();
  await it.set.refresh();
  it.keys = [first, second];
  assert.equal(await kindOf(it, second), 'found');
});

test('a key that was removed stops within the refresh time, also when nobody asked in between', async () => {
  const it = site();
  await it.set.refresh();
  it.keys = [second];
  it.nowMs += keySetLimits.defaultRefreshMs - 1;
  assert.equal(await kindOf(it, first), 'found');
  it.nowMs += 1;
  assert.equal(await kindOf(it, first), 'unknown');
  assert.equal(await kindOf(it, second), 'found');
});

test('an outage: the last good set serves at once for 24 h since it was fetched, then everything is refused', async () => {
  const it = site();
  await it.set.refresh();
  it.down = true;
  it.nowMs += keySetLimits.defaultRefreshMs;
  assert.equal(await kindOf(it, first), 'found');
  it.asked.length = 0;
  // Further failures are spaced out: 1, 2, 4 … 30 s.
  for (let second = 0; second < 600; second++) {
    it.nowMs += 1000;
    assert.equal(await kindOf(it, first), 'found');
    await it.set.findKey(first.kid);
    await new Promise(resolve => setImmediate(resolve));
  }
  assert.ok(it.asked.length >= 20 && it.asked.length <= 26, `${it.asked.length} tries in 10 minutes`);
  it.nowMs = 1_000_000 + keySetLimits.maxStaleMs - 1;
  assert.equal(await kindOf(it, first), 'found');
  it.nowMs += 1;
  assert.equal(await kindOf(it, first), 'unavailable');
  it.down = false;
  it.nowMs += keySetLimits.maxRetryMs;
  assert.equal(await kindOf(it, first), 'found');
});

test('never fetched: unavailable, and tried again soon', async () => {
  const it = site();
  it.down = true;
  assert.equal(await kindOf(it, first), 'unavailable');
  const tries = it.asked.length;
  assert.equal(await kindOf(it, first), 'unavailable');
  assert.equal(it.asked.length, tries);
  it.down = false;
  it.nowMs += keySetLimits.firstRetryMs;
  assert.equal(await kindOf(it, first), 'found');
});

test('discovery must name exactly the issuer and a place of its own', async () => {
  const bad: readonly object[] = [
    { issuer: `${issuer}/`, jwks_uri: `${issuer}/jwks.json` },
    { issuer: 'https://heron.example', jwks_uri: `${issuer}/jwks.json` },
    { issuer, jwks_uri: 'https://evil.example/jwks.json' },
    { issuer, jwks_uri: 'http://id.skylark.example/jwks.json' },
    { issuer, jwks_uri: 'https://id.skylark.example:8443/jwks.json' },
    { issuer, jwks_uri: 'https://id.skylark.example.evil.example/jwks.json' },
    { issuer, jwks_uri: '/jwks.json' },
    { issuer, jwks_uri: 7 },
    { issuer },
  ];
  for (const discovery of bad) {
    const it = site();
    it.discovery = discovery;
    assert.equal(await kindOf(it, first), 'unavailable');
    assert.deepEqual(it.events, [{ kind: 'failed', code: 'discovery-refused', failures: 1 }]);
    assert.equal(it.fetches(), 0);
  }
  const elsewhere = site({ keySetOrigins: ['https://keys.example'] });
  elsewhere.discovery = { issuer, jwks_uri: 'https://keys.example/jwks.json' };
  assert.equal(await kindOf(elsewhere, first), 'found');
});

test('refresh times come from Cache-Control, within bounds', () => {
  for (const [header, seconds] of [
    ['', 300],
    ['public', 300],
    ['max-age=600', 600],
    ['public, MAX-AGE="120"', 120],
    ['max-age=0', 60],
    ['max-age=99999999', 3600],
    ['max-age=-5', 300],
    ['max-age=abc', 300],
    ['no-store', 60],
    ['no-cache, max-age=3000', 60],
    ['s-maxage=7', 300],
  ] as const) {
    assert.equal(refreshAfterMs(header), seconds * 1000, header);
  }
});

test('what is refused of a fetched set', () => {
  const parse = (value: unknown): ReturnType<typeof parseKeySet> =>
    parseKeySet(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
  const many = (count: number): object => ({
    keys: Array.from({ length: count }, (_, n) => ({ ...second, kid: `k${n}` })),
  });
  assert.equal(parse(many(32))?.keys.size, 32);
  assert.equal(parse(many(33)), undefined);
  for (const bad of ['', '[]', 'null', '{}', '{"keys":{}}', '{"keys":[],"keys":[]}', '\ufeff{"keys":[]}', '<html>']) {
    assert.equal(parse(bad), undefined, bad);
  }
  assert.equal(parse({ keys: [], padding: 'x'.repeat(keySetLimits.maxBytes) }), undefined);
  assert.equal(parse({ keys: [] })?.keys.size, 0);
  const leaked = exportSigningKey(generateSigningKey('EdDSA'));
  const mixed = parse({
    keys: [first, second, { ...first, kid: second.kid }, leaked, { kty: 'RSA', n: 'AQAB', e: 'AQAB', kid: 'r' }, 7],
  });
  assert.deepEqual([...(mixed?.keys.keys() ?? [])], [first.kid]);
  assert.deepEqual(mixed?.ignored, ['private-key-published', 'key-of-other-kind', 'key-refused', 'duplicate-key-id']);
});

test('a set that is not a set leaves the last good one in place', async () => {
  const it = site();
  await it.set.refresh();
  it.keys = Array.from({ length: 33 }, () => second);
  await it.set.refresh();
  assert.equal(await kindOf(it, first), 'found');
  assert.equal(it.events.at(-1)?.kind, 'failed');
});

test('the timer fetches before the set is due, and stops', async context => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const it = site();
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await new Promise(resolve => setImmediate(resolve));
  };
  const advance = async (ms: number): Promise<void> => {
    it.nowMs += ms;
    context.mock.timers.tick(ms);
    await settle();
  };
  const stop = keepFresh(it.set, () => it.nowMs);
  await settle();
  assert.equal(it.fetches(), 1);
  await advance(keySetLimits.defaultRefreshMs - 5_001);
  assert.equal(it.fetches(), 0);
  await advance(1);
  assert.equal(it.fetches(), 1);
  it.down = true;
  await advance(keySetLimits.defaultRefreshMs - 5_000);
  it.asked.length = 0;
  for (let second = 0; second < 600; second++) await advance(1000);
  assert.ok(it.asked.length >= 20 && it.asked.length <= 26, `${it.asked.length} tries in 10 minutes`);
  stop();
  it.asked.length = 0;
  await advance(3_600_000);
  assert.deepEqual(it.asked, []);
});

test('a set holds keys, not their names: another key under an old id is another key', async () => {
  const it = site();
  await it.set.refresh();
  const found = await it.set.findKey(first.kid);
  assert(found.kind === 'found');
  assert.equal(it.set.holds(found.key.thumbprint), true);
  it.keys = [{ ...publicJwk(generateSigningKey('ES256')), kid: first.kid }];
  await it.set.refresh();
  assert.equal((await it.set.findKey(first.kid)).kind, 'found');
  assert.equal(it.set.holds(found.key.thumbprint), false);
  it.keys = [{ ...first, kid: 'another-name' }];
  await it.set.refresh();
  assert.equal(it.set.holds(found.key.thumbprint), true);
});

test('a revocation joins no fetch that began before it, whoever else asks meanwhile', async () => {
  const it = site();
  await it.set.refresh();
  it.asked.length = 0;
  it.discovery = { issuer, jwks_uri: `${issuer}/moved/jwks.json` };
  const earlier = it.set.refresh();
  // Somebody who waited for the earlier one starts another, without discovery, before the revocation's can begin.
  const next = earlier.then(() => it.set.refresh());
  await Promise.all([next, it.set.refresh(true)]);
  assert.deepEqual(it.asked.slice(-2), [`${issuer}/.well-known/openid-configuration`, `${issuer}/moved/jwks.json`]);
});

test('when keys are revoked, the place of the set is asked for again too', async () => {
  const it = site();
  await it.set.refresh();
  it.asked.length = 0;
  await it.set.refresh();
  assert.deepEqual(it.asked, [`${issuer}/jwks.json`]);
  it.asked.length = 0;
  it.discovery = { issuer, jwks_uri: `${issuer}/moved/jwks.json` };
  await it.set.refresh(true);
  assert.deepEqual(it.asked, [`${issuer}/.well-known/openid-configuration`, `${issuer}/moved/jwks.json`]);
});
