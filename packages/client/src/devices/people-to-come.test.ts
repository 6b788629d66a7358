// Two real stores of one person: what the ticket had no room for comes in pages, from the device that is asked, in order, once.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ContentBody, decodeContent } from '@drawbridge/e2ee/content';
import { readTrust, trustChanges } from '@drawbridge/e2ee/inherited-trust';
import { MAX_KNOWN_PEOPLE } from '@drawbridge/e2ee/known-people';
import { element } from '@drawbridge/wire/element';
import { NS_DIRECTORY } from '@drawbridge/wire/namespaces';
import { readContact, writeContact } from '../directory/contact-records.ts';
import { People } from '../directory/people.ts';
import { readUserName } from '../directory/user-name.ts';
import { historyLimits } from '../history/history.ts';
import { listNotices } from '../notices/notice-records.ts';
import { writeSetting } from '../store/account-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import {
  askForPeople,
  expectPeople,
  forgoPeople,
  hearOfPeople,
  isUnmet,
  type PeopleContext,
  peoplePageLimits,
  readPeopleToCome,
  type Telling,
} from './people-to-come.ts';

type Sync = ContentBody<'device-sync'>;

const own = `0-${'a'.repeat(26)}`;
const letters = 'abcdefghijklmnopqrstuvwxyz234567';
const nowMs = 1_000_000;
const folder = mkdtempSync(join(tmpdir(), 'drawbridge-people-'));
const stores: EncryptedStore[] = [];
after(() => {
  for (const store of stores) store.close();
  rmSync(folder, { recursive: true });
});

/** One device: its store, and what it has said to which other one. */
class Device {
  readonly store: EncryptedStore;
  readonly deviceId: number;
  readonly said: { readonly toDevice: number | undefined; readonly body: Sync }[] = [];
  hasRoom = true;
  /** Anew after a restart. */
  telling: Telling = {};

  private constructor(store: EncryptedStore, deviceId: number) {
    this.store = store;
    this.deviceId = deviceId;
  }

  static async open(deviceId: number): Promise<Device> {
    const path = join(folder, `${stores.length}.db`);
    const opened = await openEncryptedStore({ path, key: { kind: 'key', key: new Uint8Array(32) } });
    assert(opened.ok);
    stores.push(opened.value);
    return new Device(opened.value, deviceId);
  }

  in<T>(work: (tx: Transaction, context: PeopleContext) => T): T {
    const outbox: PeopleContext['outbox'] = {
      hasRoom: () => this.hasRoom,
      add: (_tx, { toDevice, payload }) => {
        assert(payload.kind === 'content');
        const content = decodeContent(Buffer.from(payload.content, 'base64'));
        assert(content.ok && content.value.body.kind === 'device-sync');
        this.said.push({ toDevice, body: content.value.body });
        return 'row';
      },
    };
    const done = this.store.transaction(tx =>
      work(tx, { own, domain: 'citadel.example', outbox, nowMs, telling: this.telling }),
    );
    assert(done.ok, JSON.stringify(done));
    return done.value;
  }

  /** Hears what another device said last. */
  hears(other: Device, body: Sync = other.said.at(-1)!.body): string {
    return this.in((tx, context) => hearOfPeople(tx, context, other.deviceId, body));
  }
}

function somebody(verified = true) {
  const interopId = `1-${Array.from(randomBytes(26), byte => letters[byte % letters.length]).join('')}`;
  return { interopId, identityKey: Buffer.concat([Buffer.of(5), randomBytes(32)]), verified, firstSeenAtMs: 7 };
}

async function pair(count: number): Promise<{ old: Device; fresh: Device; people: ReturnType<typeof somebody>[] }> {
  const old = await Device.open(1);
  const fresh = await Device.open(2);
  const people = Array.from({ length: count }, (_, i) => somebody(i % 2 === 0));
  old.in(tx => tx.apply(trustChanges(people)));
  fresh.in(tx => expectPeople(tx, { deviceId: 1, count }, nowMs));
  return { old, fresh, people };
}

const ask = (device: Device): boolean => device.in(askForPeople);

test('as many people as a client has chats come over, with names, verifications and former keys', async () => {
  const { old, fresh, people } = await pair(1_200);
  assert.equal(MAX_KNOWN_PEOPLE, historyLimits.maxChats);
  const [first] = people;
  const former = randomBytes(32);
  old.in(tx => {
    writeContact(tx, first!.interopId, readUserName('skylark.example', 'dora')!);
    tx.apply(trustChanges([{ ...first!, formerIdentities: [former] }]));
  });
  assert(ask(fresh));
  let pages = 0;
  while (fresh.in(readPeopleToCome) !== undefined) {
    assert.equal(fresh.said.at(-1)!.toDevice, 1);
    assert.equal(old.hears(fresh), 'said');
    assert.equal(old.said.at(-1)!.toDevice, 2);
    const page = old.said.at(-1)!.body.peoplePage!;
    assert(page.people.length <= peoplePageLimits.people);
    assert(fresh.in(tx => isUnmet(tx, own, people.at(-1)!.interopId)));
    assert.equal(old.telling.people === undefined, page.next === undefined, 'nothing is kept behind the last page');
    if (pages === 1) old.telling = {};
    assert.equal(fresh.hears(old), page.next === undefined ? 'told-all' : 'said');
    pages++;
  }
  assert(pages >= 3);
  fresh.in(tx => {
    for (const { interopId, identityKey, verified } of people) {
      const trust = readTrust(interopId, tx.get('identity', interopId)!);
      assert.deepEqual(Buffer.from(trust!.identityKey), identityKey);
      assert.equal(trust!.verified, verified);
      assert(!isUnmet(tx, own, interopId));
    }
    assert.deepEqual(readContact(tx, first!.interopId), { provider: 'skylark.example', identifier: 'dora' });
    assert.equal(tx.get('identity', `key ${former.toString('hex')}`)?.toString(), first!.interopId);
    assert(!isUnmet(tx, own, somebody().interopId), 'and strangers can be met');
    assert.deepEqual(listNotices(tx), []);
  });
});

test('what is not asked for, comes from another device, again, or in another order changes nothing', async () => {
  const { old, fresh, people } = await pair(900);
  const stranger = somebody();
  const forged: Sync = {
    kind: 'device-sync',
    peoplePage: { after: 0, people: [{ ...stranger, provider: '', providerNumber: 1, identifier: '' }] },
  };
  const third = await Device.open(3);
  assert.equal(fresh.hears(third, forged), 'nothing');
  assert(fresh.in(tx => isUnmet(tx, own, stranger.interopId)));
  ask(fresh);
  old.hears(fresh);
  const first = old.said.at(-1)!.body;
  fresh.hears(old);
  const state = fresh.in(readPeopleToCome);
  for (const body of [
    first,
    forged,
    { kind: 'device-sync', peoplePage: { after: state!.after + 1, people: [] } } as const,
  ])
    assert.equal(fresh.hears(old, body), 'nothing');
  assert.deepEqual(fresh.in(readPeopleToCome), state);
  // A key that is known here meanwhile stays: what a page says of it is not newer.
  const other = { ...people.at(-1)!, identityKey: Buffer.concat([Buffer.of(5), randomBytes(32)]) };
  fresh.in(tx => tx.apply(trustChanges([other])));
  while (fresh.in(readPeopleToCome) !== undefined) {
    old.hears(fresh);
    fresh.hears(old);
  }
  const kept = fresh.in(tx => readTrust(other.interopId, tx.get('identity', other.interopId)!));
  assert.deepEqual(Buffer.from(kept!.identityKey), other.identityKey);
  assert.equal(fresh.hears(old, first), 'nothing', 'nothing is asked any more');
});

test('a device that is itself still to be told, or has no room, does not answer; it is asked again', async () => {
  const { old, fresh } = await pair(3);
  const third = await Device.open(3);
  third.in(tx => expectPeople(tx, { deviceId: 2, count: 5 }, nowMs));
  ask(third);
  assert.equal(fresh.hears(third), 'nothing');
  fresh.hasRoom = false;
  assert.equal(ask(fresh), false);
  fresh.hasRoom = true;
  assert(ask(fresh));
  old.hasRoom = false;
  assert.equal(old.hears(fresh), 'nothing');
  old.hasRoom = true;
  assert(ask(fresh));
  old.hears(fresh);
  assert.equal(fresh.hears(old), 'told-all');
  assert(ask(third));
  assert.equal(fresh.hears(third), 'said');
  assert.equal(third.hears(fresh), 'told-all');
});

test('until everybody is known no new name is looked up or learned; known ones are asked about as ever', async () => {
  const { fresh, people } = await pair(1);
  const known = somebody();
  const name = readUserName('skylark.example', 'dora')!;
  fresh.in(tx => {
    tx.apply(trustChanges([known]));
    writeContact(tx, known.interopId, name);
  });
  const asked: string[] = [];
  const directory = new People({
    store: fresh.store,
    own,
    domain: 'citadel.example',
    request: async (_, payload) => {
      asked.push(payload.name);
      return element('lookup', NS_DIRECTORY, { jid: `${known.interopId}@citadel.example` });
    },
    clock: { nowMs: () => nowMs, after: () => () => undefined },
    status: () => ({ kind: 'online', jid: `${own}@citadel.example/2`, resumed: false }),
    show: () => undefined,
  });
  const other = { provider: 'skylark.example', identifier: 'emil' };
  await assert.rejects(directory.resolve(other), { code: 'people-missing' });
  await assert.rejects(directory.find(other.provider, other.identifier), { code: 'people-missing' });
  assert.equal((await directory.contact(people[0]!.interopId)).identifier, undefined);
  assert.deepEqual(asked, []);
  assert.equal(await directory.resolve(name), known.interopId);
  assert.equal((await directory.find(name.provider, name.identifier)).interopId, known.interopId);
  assert.deepEqual(asked, ['lookup']);
  fresh.in(tx => forgoPeople(tx, nowMs));
  await directory.contact(people[0]!.interopId);
  assert.deepEqual(asked, ['lookup', 'identify']);
});

test('beyond the limit nothing is taken and the device stays incomplete; a person may go on without, and is told', async () => {
  const { old, fresh } = await pair(2);
  fresh.in(tx => {
    const state = readPeopleToCome(tx)!;
    writeSetting(tx, 'people-to-come', JSON.stringify({ ...state, told: MAX_KNOWN_PEOPLE - 1 }));
  });
  ask(fresh);
  old.hears(fresh);
  assert.equal(fresh.hears(old), 'nothing');
  const stranger = somebody().interopId;
  assert(fresh.in(tx => isUnmet(tx, own, stranger)));
  assert.equal(
    fresh.in(tx => isUnmet(tx, own, own)),
    false,
    'oneself is not a stranger',
  );
  assert.equal(
    fresh.in(tx => forgoPeople(tx, nowMs)),
    true,
  );
  assert.equal(
    fresh.in(tx => isUnmet(tx, own, stranger)),
    false,
  );
  assert.deepEqual(
    fresh.in(tx => listNotices(tx)).map(({ change }) => change),
    [{ kind: 'people-forgone', deviceId: 1, count: 2 }],
  );
  assert.equal(
    fresh.in(tx => forgoPeople(tx, nowMs)),
    false,
  );
});
