// Keys of a store that is older than the directory: a clashing id holds nothing up, and the person is told.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ROTATE_AFTER_MS } from '@drawbridge/e2ee/device-keys';
import { attribute, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_KEYS, NS_STANZAS } from '@drawbridge/wire/namespaces';
import { parseStanzaError, type StanzaError } from '@drawbridge/wire/stanza-error';
import { RequestRefused } from '../connection/requests.ts';
import type { ClientEvent } from '../events.ts';
import { listNotices } from '../notices/notice-records.ts';
import { playedDevice } from '../testing/played-device.ts';
import { KeyUpkeep } from './key-upkeep.ts';
import { RestoredStore } from './restored-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-upkeep-'));
after(() => rmSync(folder, { recursive: true }));

/** A directory as the specification says: all of a publication, or nothing when an id is there with another key. */
class Directory {
  readonly kept = new Set<string>();
  /** Whether it knows keys that are the only ones; 0.1.0 does not. */
  readonly knowsOnly: boolean;

  constructor(knowsOnly: boolean) {
    this.knowsOnly = knowsOnly;
  }

  readonly rotating: string[] = [];

  readonly request = async (_type: 'get' | 'set', payload: Element): Promise<Element | undefined> => {
    if (payload.name === 'count') {
      const count = (name: string): string => String([...this.kept].filter(key => key.startsWith(`${name} `)).length);
      return element('count', NS_KEYS, { prekeys: count('prekey'), 'kem-prekeys': count('kem-prekey') });
    }
    const keys = childElements(payload);
    if (attribute(payload, 'only') === 'true') {
      if (!this.knowsOnly) throw new RequestRefused(refusal('bad-request'));
      this.kept.clear();
    }
    const names = keys.filter(({ name }) => name === 'prekey' || name === 'kem-prekey').map(nameOf);
    if (names.some(name => this.kept.has(name))) throw new RequestRefused(refusal('conflict'));
    for (const name of names) this.kept.add(name);
    this.rotating.push(...keys.filter(({ name }) => !names.includes(name) && /signed|last/.test(name)).map(nameOf));
    return undefined;
  };
}

const nameOf = (el: Element): string => `${el.name} ${attribute(el, 'id')}`;

function refusal(condition: string): StanzaError {
  return parseStanzaError(
    element('iq', 'jabber:client', { type: 'error', id: 'a' }, [
      element('error', 'jabber:client', { type: 'cancel' }, [element(condition, NS_STANZAS)]),
    ]),
  )!;
}

for (const knowsOnly of [false, true]) {
  const gatekeeper = knowsOnly ? 'this version' : '0.1.0';
  test(`ids that clash hold up no other key, and the person is told once; the gatekeeper is of ${gatekeeper}`, async () => {
    const startMs = 1_800_000_000_000;
    let nowMs = startMs;
    const { store, suite } = await playedDevice(folder, `0-${'a'.repeat(26)}`, () => nowMs, `${knowsOnly}`);
    const directory = new Directory(knowsOnly);
    // What the store published after the backup was taken: the next ids of both kinds, as it will count them again.
    for (let id = 51; id <= 60; id++) directory.kept.add(`prekey ${id}`).add(`kem-prekey ${id + 1}`);
    const events: ClientEvent[] = [];
    const clock = { nowMs: () => nowMs, after: () => () => {} };
    const base = { store, suite, request: directory.request, clock, emit: (event: ClientEvent) => events.push(event) };
    const upkeep = new KeyUpkeep({ ...base, restored: new RestoredStore(base) });
    nowMs = startMs + ROTATE_AFTER_MS + 1;
    upkeep.keep();
    await upkeep.close();
    assert(directory.kept.size >= 100, `only ${directory.kept.size} keys`);
    assert.equal(directory.kept.has('prekey 51'), !knowsOnly, 'keys of the other copy');
    assert.deepEqual(
      [...new Set(directory.rotating.map(name => name.split(' ')[0]))],
      ['signed-prekey', 'last-resort-kem-prekey'],
    );
    const notices = store.transaction(listNotices);
    assert(notices.ok);
    assert.deepEqual(
      notices.value.map(({ change, times }) => [change.kind, times]),
      [['store-restored', 1]],
    );
    assert.equal(events.length, 1);
    store.close();
  });
}
