// A device that is still to be told whom its person knows meets nobody new: nothing leaves for somebody whose key is not known here,
// and nothing of theirs is read; those who are known go on as ever.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readTrust } from '@drawbridge/e2ee/inherited-trust';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { Authoring } from '../history/authoring.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listMessages, readMessage } from '../history/history.ts';
import { chatWith } from '../history/message-names.ts';
import { Inbox } from '../inbox/inbox.ts';
import { Outbox, type Sending } from '../outbox/outbox.ts';
import type { Transaction } from '../store/store.ts';
import { PlayedClock } from '../testing/played-clock.ts';
import { domain, meet, type PlayedDevice, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { expectPeople, forgoPeople, hearOfPeople } from './people-to-come.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-meets-nobody-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const carlasId = `1-${'c'.repeat(26)}`;

/** Anna's new device, which knows Carla by now, and nobody else. */
async function desk(name: string) {
  const clock = new PlayedClock();
  const nowMs = (): number => clock.nowMs();
  const anna = await playedDevice(folder, annasId, nowMs, `anna-${name}`);
  const bob = await playedDevice(folder, bobsId, nowMs, `bob-${name}`);
  const carla = await playedDevice(folder, carlasId, nowMs, `carla-${name}`);
  for (const other of [bob, carla]) await meet(other, anna);
  await meet(anna, carla);
  const asked: string[] = [];
  const request: Request = async (_, payload) => {
    const about = payload.attrs.find(value => value.startsWith('1-')) ?? '';
    asked.push(about.split('@')[0]!);
    const { registrationId } = about.startsWith(bobsId) ? bob.bundle : carla.bundle;
    return element('manifest', NS_KEYS, {}, [
      element('device', NS_KEYS, { id: '1', registration: String(registrationId) }),
    ]);
  };
  const sent: Sending[] = [];
  const base = { ...anna, domain, clock, request, emit: () => {} };
  const lists = new DeviceLists({ ...base, ownIdentityKey: async () => anna.bundle.identityKey });
  const outbox = new Outbox({
    ...base,
    isStamped: () => false,
    random: () => 0.5,
    lists,
    send: (_, sending) => sent.push(sending) > 0,
  });
  const inbox = new Inbox({
    ...base,
    outbox,
    transfer: new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} }),
    lists,
    deliveryReceipts: true,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  const authoring = new Authoring({ ...base, own: annasId, outbox });
  const done = <T>(work: (tx: Transaction) => T): T => {
    const result = anna.store.transaction(work);
    assert(result.ok);
    return result.value;
  };
  done(tx => expectPeople(tx, { deviceId: 1, count: 3 }, nowMs()));
  const shown = (): string[] => done(tx => listMessages(tx, annasId, { limit: 100 })).map(each => each.message.text);
  const write = (to: string, text: string): string => {
    const content = authoring.content({ kind: 'text', text });
    const id = Buffer.from(content.messageId).toString('hex');
    authoring.announce(
      authoring.transaction(tx => authoring.say(tx, chatWith(to), content, id)),
      chatWith(to),
    );
    return id;
  };
  const state = (id: string): string | undefined =>
    done(tx => readMessage(tx, annasId, { author: annasId, id }))?.state;
  const says = async (from: PlayedDevice, text: string): Promise<void> => {
    const body = { kind: 'text', text } as const;
    const content = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: nowMs(), body });
    assert(content.ok);
    const stanza = await stanzaFrom(from, anna, content.value);
    await new Promise<void>(resolve => inbox.receive(stanza, resolve, false));
  };
  const close = async (): Promise<void> => {
    outbox.close();
    await inbox.close();
    for (const { store } of [anna, bob, carla]) store.close();
  };
  return { anna, bob, carla, inbox, outbox, asked, sent, done, shown, write, state, says, nowMs, close };
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    assert(tries < 2_000, 'it never came');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

const texts = (at: Awaited<ReturnType<typeof desk>>): string[] => at.shown().toSorted();

test('what a stranger says is kept as it came, and nobody hears that it did, until everybody is known', async () => {
  const at = await desk('inbox');
  await at.says(at.bob, 'from bob');
  await at.says(at.carla, 'from carla');
  assert.deepEqual(texts(at), ['from carla']);
  assert.equal(
    at.done(tx => tx.get('identity', bobsId)),
    undefined,
    'not even the key is taken',
  );
  assert.deepEqual(
    at.done(tx => [tx.count('held', bobsId), tx.count('outbox')]),
    [1, 1],
    'a receipt is for Carla alone',
  );
  await at.inbox.readForgotten();
  await at.says(at.carla, 'more');
  assert.deepEqual(texts(at), ['from carla', 'more']);
  at.done(tx => assert(forgoPeople(tx, at.nowMs())));
  at.inbox.everybodyMet();
  await until(() => texts(at).includes('from bob'));
  assert.deepEqual(
    at.done(tx => tx.count('held', bobsId)),
    0,
  );
  await at.close();
});

test('what is written to a stranger is held, and the directory is not asked about them, until everybody is known', async () => {
  const at = await desk('outbox');
  at.outbox.online(false);
  const [toBob, toCarla] = [at.write(bobsId, 'to bob'), at.write(carlasId, 'to carla')];
  await until(() => at.sent.length === 1 && at.state(toBob) === 'held');
  assert.equal(at.state(toCarla), 'queued');
  assert(!at.asked.includes(bobsId));
  // The page names Bob, with a key of his: it is that one from now on.
  const identityKey = Buffer.from(at.bob.bundle.identityKey);
  at.done(tx => {
    const context = { own: annasId, domain, outbox: at.outbox, nowMs: at.nowMs(), telling: {} };
    const bob = { interopId: bobsId, identityKey, verified: true, firstSeenAtMs: 7 };
    const page = { after: 0, people: [{ ...bob, provider: '', providerNumber: 1, identifier: '' }] };
    assert.equal(hearOfPeople(tx, context, 1, { kind: 'device-sync', peoplePage: page }), 'told-all');
    assert.deepEqual(Buffer.from(readTrust(bobsId, tx.get('identity', bobsId)!)!.identityKey), identityKey);
  });
  await meet(at.anna, at.bob);
  at.inbox.everybodyMet();
  await until(() => at.sent.length === 2);
  assert(at.asked.includes(bobsId));
  await at.close();
});
