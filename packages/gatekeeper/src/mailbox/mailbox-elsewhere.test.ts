// Mailboxes of two nodes over one store, with a bus that the test holds in its hand: what crosses over, who is woken, and the
// moment in which a stream has ended and storage does not know yet.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { attribute, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_E2EE } from '@drawbridge/wire/namespaces';
import { MemoryMailboxStore } from '../testing/memory-mailbox.ts';
import type { Entry, LiveDevice } from './device-mailbox.ts';
import type { Elsewhere } from './elsewhere.ts';
import { Mailboxes } from './mailbox.ts';
import { defaultMailboxLimits } from './mailbox-limits.ts';
import { createStanzaCodec } from './stanza-codec.ts';

const device = 1;

type Node = {
  readonly mailboxes: Mailboxes;
  /** What this node has told, in order; given to the other one when the test says so. */
  readonly told: string[];
  readonly passedOn: Uint8Array[];
};

function node(name: string, store: MemoryMailboxStore): Node {
  const told: string[] = [];
  const passedOn: Uint8Array[] = [];
  const elsewhere: Elsewhere = {
    came: () => told.push('came'),
    left: () => told.push('left'),
    claimed: (_, epoch) => told.push(`claimed ${epoch}`),
    written: () => told.push('written'),
    passOn(_, stanza) {
      passedOn.push(stanza);
    },
  };
  const mailboxes = new Mailboxes({
    store,
    node: name,
    codec: createStanzaCodec('citadel.example'),
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    limits: defaultMailboxLimits,
    events: { congested: () => {}, damaged: () => {} },
    tellSender: () => Promise.resolve(),
    elsewhere,
  });
  return { mailboxes, told, passedOn };
}

type Stream = LiveDevice & { readonly ids: string[]; readonly entries: Entry[]; readonly heard: string[] };

function stream(): Stream {
  const ids: string[] = [];
  const entries: Entry[] = [];
  const heard: string[] = [];
  return {
    ids,
    entries,
    heard,
    hasRoom: () => true,
    wants: () => true,
    deliver(entry, el) {
      ids.push(attribute(el, 'id') ?? '');
      entries.push(entry);
    },
    lost: because => void heard.push(because),
    leftWaiting: () => void heard.push('left waiting'),
  };
}

/** What became of it, in order. */
function deliver({ mailboxes }: Node, id: string, keep = true): string[] {
  const outcomes: string[] = [];
  const envelope = element('envelope', NS_E2EE, { suite: 'signal-1', 'from-device': '1' });
  const addresses = { from: 'anna@citadel.example/1', to: 'bob@citadel.example/1' };
  const el = element('message', NS_CLIENT, { id, ...addresses }, [envelope]);
  mailboxes.deliver(device, el, 100, keep, {
    remaining: 1,
    failed: false,
    settled: () => void outcomes.push('settled'),
    refused: because => void outcomes.push(because),
    unclaimed: () => void outcomes.push('unclaimed'),
  });
  return outcomes;
}

/** As `deliver`, of somebody whom the recipient has blocked. */
function drop({ mailboxes }: Node, id: string): string[] {
  const outcomes: string[] = [];
  const envelope = element('envelope', NS_E2EE, { suite: 'signal-1', 'from-device': '1' });
  const el = element('message', NS_CLIENT, { id, from: 'eve@citadel.example/1', to: 'bob@citadel.example/1' }, [
    envelope,
  ]);
  mailboxes.drop(device, el, 100, true, {
    remaining: 1,
    failed: false,
    settled: () => void outcomes.push('settled'),
    refused: because => void outcomes.push(because),
    unclaimed: () => void outcomes.push('unclaimed'),
  });
  return outcomes;
}

const soon = (): Promise<void> => sleep(120);

test('a message for a stream elsewhere is written and told, and the stream there reads it', async () => {
  const store = new MemoryMailboxStore();
  const [x, y] = [node('x', store), node('y', store)];
  const its = stream();
  x.mailboxes.attach(device, its);
  await soon();
  const outcomes = deliver(y, 'm1');
  await soon();
  assert.deepEqual([outcomes, y.told], [['settled'], ['written']]);
  assert.deepEqual(its.ids, [], 'not heard yet');
  x.mailboxes.nudge(device);
  await soon();
  assert.deepEqual(its.ids, ['m1']);
  await Promise.all([x.mailboxes.close(), y.mailboxes.close()]);
});

test('a hint that was lost is made up for by a look at the numbers, and a look at known ones does nothing', async () => {
  const store = new MemoryMailboxStore();
  const [x, y] = [node('x', store), node('y', store)];
  const its = stream();
  x.mailboxes.attach(device, its);
  await soon();
  deliver(y, 'm1');
  await soon();
  x.mailboxes.nudgeBehind(device, 0);
  await soon();
  assert.deepEqual(its.ids, []);
  x.mailboxes.nudgeBehind(device, 1);
  await soon();
  x.mailboxes.nudgeBehind(device, 1);
  await soon();
  assert.deepEqual(its.ids, ['m1']);
  await Promise.all([x.mailboxes.close(), y.mailboxes.close()]);
});

test('somebody without a stream anywhere is woken by the node that wrote, once per message', async () => {
  const store = new MemoryMailboxStore();
  const y = node('y', store);
  const outcomes = deliver(y, 'm1');
  await soon();
  assert.deepEqual([outcomes, y.told], [['unclaimed', 'settled'], []]);
  await y.mailboxes.close();
});

test('written in the moment between a stream’s end and its release: the person is woken all the same', async () => {
  const store = new MemoryMailboxStore();
  const held = Promise.withResolvers<void>();
  const release = store.release.bind(store);
  store.release = async (...args) => {
    await held.promise;
    await release(...args);
  };
  const [x, y] = [node('x', store), node('y', store)];
  const its = stream();
  x.mailboxes.attach(device, its);
  await soon();
  x.mailboxes.detach(device, its);
  const here = deliver(x, 'm1');
  const there = deliver(y, 'm2');
  await soon();
  assert.deepEqual(here, ['unclaimed', 'settled'], 'this node knows');
  assert.deepEqual([there, y.told], [['settled'], ['written']], 'the other one takes it for live');
  assert.deepEqual(its.heard, []);
  held.resolve();
  await soon();
  assert.deepEqual(its.heard, ['left waiting']);
  await Promise.all([x.mailboxes.close(), y.mailboxes.close()]);
});

test('what is not kept is passed on to the node with the stream, and comes without a delay', async () => {
  const store = new MemoryMailboxStore();
  const [x, y] = [node('x', store), node('y', store)];
  const its = stream();
  x.mailboxes.attach(device, its);
  await soon();
  assert.deepEqual(deliver(y, 't1', false), ['settled']);
  assert.equal(y.passedOn.length, 1);
  x.mailboxes.deliverPassedOn(device, y.passedOn[0]!);
  x.mailboxes.deliverPassedOn(device, Uint8Array.of(1, 2, 3));
  y.mailboxes.deliverPassedOn(device, y.passedOn[0]!);
  assert.deepEqual(its.ids, ['t1']);
  assert.equal(y.passedOn.length, 1, 'and goes nowhere from there');
  await Promise.all([x.mailboxes.close(), y.mailboxes.close()]);
});

test('what a blocked person sends is told to nobody: no other node reads on for it, and nobody is woken', async () => {
  const store = new MemoryMailboxStore();
  const [x, y] = [node('x', store), node('y', store)];
  assert.deepEqual(drop(y, 'd1'), []);
  await soon();
  const its = stream();
  x.mailboxes.attach(device, its);
  await soon();
  const outcomes = drop(y, 'd2');
  await soon();
  assert.deepEqual([outcomes, y.told], [['settled'], []]);
  assert.deepEqual(its.ids, []);
  assert.deepEqual(await store.devices(), [], 'and nothing of it is left');
  await Promise.all([x.mailboxes.close(), y.mailboxes.close()]);
});

test('claims are those of streams that are here now', async () => {
  const store = new MemoryMailboxStore();
  const x = node('x', store);
  const its = stream();
  x.mailboxes.attach(device, its);
  assert.deepEqual(x.mailboxes.claims(), [], 'storage has not granted it yet');
  await soon();
  assert.deepEqual(x.mailboxes.claims(), [{ device, epoch: 1 }]);
  x.mailboxes.detach(device, its);
  assert.deepEqual(x.mailboxes.claims(), []);
  await x.mailboxes.close();
});

test('a claim elsewhere ends an earlier stream here, not a later one', async () => {
  const store = new MemoryMailboxStore();
  const x = node('x', store);
  const its = stream();
  x.mailboxes.attach(device, its);
  await soon();
  x.mailboxes.claimedElsewhere(device, 1);
  x.mailboxes.claimedElsewhere(device, Number.NaN);
  assert.deepEqual(its.heard, []);
  x.mailboxes.claimedElsewhere(device, 2);
  assert.deepEqual(its.heard, ['replaced']);
  assert.deepEqual(x.told, ['came', 'claimed 1', 'left']);
  await x.mailboxes.close();
});
