// A folder is told from an older copy of itself: by whoever counts less than the gatekeeper has heard, and by nothing else.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_DEVICES, NS_STANZAS } from '@drawbridge/wire/namespaces';
import { parseStanzaError } from '@drawbridge/wire/stanza-error';
import { RequestRefused } from '../connection/requests.ts';
import { ClientError } from '../errors.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { StoreCount, storeCountLimits } from './store-count.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-count-'));
after(() => rmSync(folder, { recursive: true }));
const path = (name: string): string => join(folder, `${name}.db`);
const nowMs = 1_800_000_000_000;

/** Remembers the highest count, as the specification says; `fail` once, before or after it has heard. */
class Gatekeeper {
  highest = 0;
  asked = 0;
  fail: 'before' | 'after' | undefined;

  readonly request = async (_type: 'get' | 'set', payload: Element): Promise<Element | undefined> => {
    this.asked++;
    const { fail } = this;
    this.fail = undefined;
    if (fail === 'before') throw new ClientError('not-connected');
    const before = this.highest;
    this.highest = Math.max(before, Number(attribute(payload, 'count')));
    if (fail === 'after') throw new ClientError('not-connected');
    return element('store', NS_DEVICES, { before: String(before) });
  };
}

type Timer = { readonly ms: number; readonly run: () => void };

/** One start of the folder with this name. */
async function start(gatekeeper: Gatekeeper, name: string) {
  const opened = await openEncryptedStore({ path: path(name), key: { kind: 'key', key: new Uint8Array(32) } });
  assert(opened.ok);
  const store = opened.value;
  const timers: Timer[] = [];
  const clock = {
    nowMs: () => nowMs,
    after(ms: number, run: () => void) {
      const timer = { ms, run };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
  };
  let found = 0;
  const restored = {
    note: () => {
      found++;
      return [];
    },
    said: () => {},
  };
  const { request } = gatekeeper;
  const count = new StoreCount({ store, request, clock, restored, emit: () => {} });
  return { count, timers, found: () => found, close: () => store.close() };
}

const once = async (gatekeeper: Gatekeeper, name: string): Promise<number> => {
  const started = await start(gatekeeper, name);
  await started.count.count();
  started.close();
  return started.found();
};

const copy = (from: string, to: string): void => {
  for (const log of ['', '-wal']) if (existsSync(path(from) + log)) copyFileSync(path(from) + log, path(to) + log);
};

test('a store that starts again and again is never taken for a copy, whatever is lost on the way', async () => {
  const gatekeeper = new Gatekeeper();
  for (const fail of [
    undefined,
    'before',
    undefined,
    'after',
    undefined,
    'after',
    'before',
    'after',
    undefined,
  ] as const) {
    gatekeeper.fail = fail;
    assert.equal(await once(gatekeeper, 'live'), 0);
  }
  // The gatekeeper itself was restored.
  gatekeeper.highest = 2;
  assert.equal(await once(gatekeeper, 'live'), 0);
  assert(gatekeeper.highest > 9);
});

test('a backup that comes back is found once, and is the live store from then on', async () => {
  const gatekeeper = new Gatekeeper();
  await once(gatekeeper, 'a');
  copy('a', 'a-backup');
  await once(gatekeeper, 'a');
  assert.equal(await once(gatekeeper, 'a-backup'), 1);
  assert.equal(await once(gatekeeper, 'a-backup'), 0);
});

test('two copies that take turns are found with every turn', async () => {
  const gatekeeper = new Gatekeeper();
  await once(gatekeeper, 'b');
  copy('b', 'b-clone');
  assert.equal(await once(gatekeeper, 'b-clone'), 0, 'the first one goes on where both were');
  for (const name of ['b', 'b-clone', 'b', 'b-clone']) assert.equal(await once(gatekeeper, name), 1, name);
});

test('what changed while a stream was up is counted in time, and when it ends', async () => {
  const gatekeeper = new Gatekeeper();
  const live = await start(gatekeeper, 'c');
  await live.count.count();
  copy('c', 'c-copy');
  for (let i = 0; i < 100; i++) live.count.note();
  assert.deepEqual(
    live.timers.map(({ ms }) => ms),
    [storeCountLimits.batchMs],
  );
  live.timers[0]!.run();
  await live.count.count();
  copy('c', 'c-later-copy');
  assert.equal(await once(gatekeeper, 'c-copy'), 1);
  const { asked } = gatekeeper;
  live.count.note();
  await live.count.close();
  live.close();
  assert(gatekeeper.asked > asked);
  live.count.note();
  assert.deepEqual(live.timers, [], 'nothing is left running');
});

test('a gatekeeper that does not count is asked, and nothing comes of it', async () => {
  const error = element('error', 'jabber:client', { type: 'cancel' }, [element('service-unavailable', NS_STANZAS)]);
  const stanzaError = parseStanzaError(element('iq', 'jabber:client', { type: 'error', id: 'a' }, [error]))!;
  const gatekeeper = new Gatekeeper();
  const request = async (): Promise<undefined> => {
    throw new RequestRefused(stanzaError);
  };
  const live = await start(Object.assign(gatekeeper, { request }), 'd');
  assert.equal(await live.count.count(), true);
  assert.equal(live.found(), 0);
  live.close();
});
