// A device whose clock was days ahead says something that reaches the other person alone, and is lost. What is said afterwards on
// a device that is left holds everywhere, for each kind of word. And who lies about stamps gains nothing.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeContent } from '@drawbridge/e2ee/content';
import { MAX_TOLD_STAMP_MS } from '@drawbridge/e2ee/hybrid-clock';
import { idleLimits } from '../inbox/idle-budget.ts';
import { readStamp } from '../store/account-records.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { readChat } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';
import { anna, bob, decide, end, newDevice, type PlayedDevice, settle, talk } from '../testing/played-conversation.ts';
import { settingsOf } from './chat-state.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-overruled-'));
after(() => rmSync(folder, { recursive: true }));
const monthMs = 30 * 86_400_000;

/** Anna with two devices or three, and Bob; each has said a text and a poll. */
async function meeting(annas: number) {
  const devices: PlayedDevice[] = [];
  for (let at = 1; at <= annas; at++) devices.push(await newDevice(folder, anna, at));
  devices.push(await newDevice(folder, bob, 1));
  const network = { devices, said: [] };
  const [first, second] = [devices[0]!, devices[1]!];
  const his = devices.at(-1)!;
  const ids = { hers: first.say('hers'), herPoll: first.say('which', 'poll'), his: his.say('his'), hisPoll: '' };
  ids.hisPoll = his.say('when', 'poll');
  await settle(network);
  const one = (device: PlayedDevice, id: string) => device.here().find(message => message.id === id)!;
  return { network, devices, first, second, his, ids, one };
}
type Meeting = Awaited<ReturnType<typeof meeting>>;

type Word = {
  readonly say: (met: Meeting, by: PlayedDevice, which: number) => Promise<void> | void;
  readonly read: (met: Meeting, by: PlayedDevice) => unknown;
  readonly expected: unknown;
};

const words: Readonly<Record<string, Word>> = {
  'a timer': {
    say: (_, by, which) => by.preferences.setTimer(by.other, which * 60),
    read: (_, by) => by.read(tx => readChat(tx, by.other).timer?.seconds),
    expected: 120,
  },
  'a name': {
    say: (_, by, which) => {
      by.profile.set({ displayName: `Anna ${which}` });
      by.read(tx => by.profile.introduce(tx, by.other));
    },
    read: (_, by) => by.read(tx => readProfile(tx, anna)?.profile.displayName),
    expected: 'Anna 2',
  },
  'a reaction': {
    say: ({ ids, one }, by, which) => by.changeOne('react', one(by, ids.his), which),
    read: ({ ids, one }, by) => one(by, ids.his).reactions?.[anna],
    expected: '2',
  },
  'an edit': {
    say: ({ ids, one }, by, which) => by.changeOne('edit', one(by, ids.hers), which),
    read: ({ ids, one }, by) => one(by, ids.hers).text,
    expected: 'hers, 2',
  },
  'a vote': {
    say: ({ ids, one }, by, which) => by.changeOne('vote', one(by, ids.hisPoll), which),
    read: ({ ids, one }, by) => one(by, ids.hisPoll).poll?.votes[anna],
    expected: [2],
  },
  'several votes, where one is left': {
    say: async ({ ids, one }, by, which) => {
      for (let more = which; more < 3; more++) await by.changeOne('vote', one(by, ids.hisPoll), which);
    },
    read: ({ ids, one }, by) => one(by, ids.hisPoll).poll?.votes[anna],
    expected: [2],
  },
  'the end of a poll': {
    say: async ({ ids, one }, by, which) => {
      if (which === 2) await by.changeOne('vote', one(by, ids.herPoll), which);
      await by.changeOne('close', one(by, ids.herPoll), which);
    },
    read: ({ ids, one }, by) => one(by, ids.herPoll).poll,
    expected: { votes: { [anna]: [2] }, closed: true },
  },
};

for (const [what, { say, read, expected }] of Object.entries(words)) {
  test(`${what} of a lost device, whose clock was ahead, gives way to what is said afterwards`, async () => {
    const met = await meeting(2);
    const { network, devices, first, second, his } = met;
    first.clockMs += monthMs;
    await say(met, first, 1);
    while (first.read(tx => listOutbox(tx, { to: bob, limit: 1 })).length > 0) first.send(bob, devices, false);
    first.lose();
    await settle(network);
    await say(met, second, 2);
    await settle(network);
    assert.notDeepEqual(read(met, his), expected, 'so far it is overruled');
    await talk(network);
    for (const device of [second, his]) assert.deepEqual(read(met, device), expected);
    await end(network);
  });
}

/** What Anna's first device sets reaches her second and never her third, which sets it anew. */
async function withoutThird(say: (by: PlayedDevice, which: number) => void) {
  const met = await meeting(3);
  const { network, devices, first } = met;
  const third = devices[2]!;
  first.clockMs += monthMs;
  say(first, 1);
  while (first.read(tx => listOutbox(tx, { to: anna, limit: 1 })).length > 0) first.send(anna, devices, false);
  first.lose();
  third.mailbox.length = 0;
  await settle(network);
  say(third, 2);
  await settle(network);
  return { ...met, third };
}

test('a pin and a mute of a lost device give way on all other devices of its person', async () => {
  const { network, second, third } = await withoutThird((by, which) =>
    by.preferences.set(bob, { pinned: which === 1, mutedUntilMs: which }),
  );
  for (const device of [second, third]) {
    const settings = device.read(tx => settingsOf(readChat(tx, bob)));
    assert.deepEqual(settings, { pinned: false, mutedUntilMs: 2 });
  }
  await end(network);
});

for (const [before, later, expected] of [
  ['accepted', 'blocked', 'blocked'],
  ['denied', 'blocked', 'blocked'],
  ['blocked', 'accepted', 'blocked'],
  ['denied', 'accepted', 'denied'],
] as const) {
  test(`${later} on one device, beside ${before} of a lost one by a later stamp, is ${expected} on all`, async () => {
    const { network, second, third } = await withoutThird((by, which) => decide(by, which === 1 ? before : later));
    for (const device of [second, third])
      assert.equal(
        device.read(tx => readChat(tx, bob).contact),
        expected,
      );
    // What is decided now is later than both.
    decide(third, 'accepted');
    await settle(network);
    for (const device of [second, third])
      assert.equal(
        device.read(tx => readChat(tx, bob).contact),
        'accepted',
      );
    await end(network);
  });
}

/** Contents of a kind that wait in a device's outbox. */
function waiting(device: PlayedDevice, to: string, kind: string): unknown[] {
  const rows = device.read(tx => listOutbox(tx, { to, limit: 1_000 }));
  return rows.flatMap(({ record: { payload } }) => {
    assert(payload.kind === 'content');
    const content = decodeContent(Buffer.from(payload.content, 'base64'));
    assert(content.ok);
    return content.value.body.kind === kind ? [content.value.body] : [];
  });
}

test('a word with an old stamp is answered by nothing until something is said to its author', async () => {
  const { network, devices, first, his } = await meeting(2);
  first.preferences.setTimer(bob, 60);
  await settle(network);
  first.read(tx => {
    const old = { ...first.authoring.content({ kind: 'expiry-timer', seconds: 5, version: 9 }), sentAtMs: 1 };
    first.unstamped(tx, old);
  });
  first.send(bob, devices, false);
  await his.receive(10);
  assert.equal(his.read(tx => listOutbox(tx, { to: anna, limit: 10 })).length, 0);
  his.say('something');
  assert.equal(waiting(his, anna, 'overruled').length, 1);
  his.say('something else');
  assert.equal(waiting(his, anna, 'overruled').length, 1, 'once');
  await end(network);
});

test('who lies about stamps has a word said again, as often as is heard in an hour, and moves stamps within a bound', async () => {
  const { network, devices, first, his } = await meeting(1);
  first.preferences.setTimer(bob, 60);
  await settle(network);
  const lie = async (overruledId: Uint8Array, stampMs: number): Promise<number> => {
    his.read(tx => his.authoring.overruled(tx, anna, { overruledId, stampMs }));
    his.send(anna, devices, false);
    await first.receive(10);
    return waiting(first, bob, 'expiry-timer').length;
  };
  const timerId = () =>
    Buffer.from(
      first.read(tx => readChat(tx, bob).timer!.id),
      'hex',
    );
  const beforeMs = first.read(readStamp);
  assert.equal(await lie(Buffer.alloc(16, 1), beforeMs + 1_000), 0, 'nothing that it has said last');
  assert.equal(await lie(timerId(), MAX_TOLD_STAMP_MS + 1), 0, 'nothing is later');
  assert.equal(first.read(readStamp) - beforeMs < monthMs, true);
  for (let times = 1; times <= idleLimits.perPerson; times++) {
    assert.equal(await lie(timerId(), first.read(readStamp) + 1_000), Math.min(times, idleLimits.perPerson - 2));
  }
  assert.equal(
    first.read(tx => readChat(tx, bob).timer?.seconds),
    60,
  );
  await end(network);
});

test('somebody from whom a person is held back is told nothing, and has nothing said again', async () => {
  const { network, devices, first, his } = await meeting(1);
  first.preferences.setTimer(bob, 60);
  await settle(network);
  decide(first, 'blocked');
  const overruledId = Buffer.from(
    first.read(tx => readChat(tx, bob).timer!.id),
    'hex',
  );
  his.read(tx => his.authoring.overruled(tx, anna, { overruledId, stampMs: first.read(readStamp) + 1_000 }));
  his.send(anna, devices, false);
  his.preferences.setTimer(anna, 30);
  his.read(tx =>
    his.unstamped(tx, { ...his.authoring.content({ kind: 'expiry-timer', seconds: 5, version: 9 }), sentAtMs: 1 }),
  );
  while (his.read(tx => listOutbox(tx, { to: anna, limit: 1 })).length > 0) his.send(anna, devices, false);
  await first.receive(10);
  assert.equal(waiting(first, bob, 'expiry-timer').length, 0);
  assert.equal(
    first.read(tx => readChat(tx, bob).overruled),
    undefined,
  );
  await end(network);
});
