// What a node keeps for a NATS server that stands still, and that what is said to one that reads is all heard.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BusState, openNatsBus } from '@drawbridge/gatekeeper/cluster/nats-bus';
import { unreadLimits } from '@drawbridge/gatekeeper/cluster/unread-bytes';
import { natsAbsence, startNats } from '../nats-server.ts';

const absence = natsAbsence();
const chunk = new Uint8Array(16 * 1024);

async function until(done: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 30_000;
  while (!done()) {
    if (Date.now() > end) assert.fail(what);
    await sleep(10);
  }
}

test('a server that stands still is given so much and no more; what it reads again is heard, and nothing more is lost', {
  skip: absence,
}, async t => {
  const nats = await startNats();
  t.after(() => nats.close());
  const states: BusState[] = [];
  const bus = await openNatsBus({ kind: 'nats', servers: [nats.address] }, 'test.', state => states.push(state));
  t.after(() => bus.close());
  let heard = 0;
  bus.subscribe('words', () => heard++);

  const paced = (4 * unreadLimits.maxBytes) / chunk.length;
  for (let i = 1; i <= paced; i++) {
    bus.publish('words', chunk);
    if (i % 16 === 0) await until(() => heard >= i - 64, 'they are heard as they are said');
  }
  await until(() => heard === paced, 'all that was said to a server that reads is heard');
  assert.deepEqual([bus.lost, states], [0, []]);

  nats.pause();
  const before = process.memoryUsage().arrayBuffers;
  const flood = (16 * unreadLimits.maxBytes) / chunk.length;
  for (let i = 1; i <= flood; i++) {
    bus.publish('words', chunk);
    if (i % 64 === 0) await sleep(1);
  }
  const said = flood - bus.lost;
  assert.ok(said * chunk.length <= unreadLimits.maxBytes, `${said} of ${flood} were kept`);
  assert.ok(said * chunk.length > unreadLimits.maxBytes / 2, `${said} of ${flood} were kept`);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 4 * unreadLimits.maxBytes, `${grown} bytes more are kept`);
  assert.deepEqual(states, ['behind']);

  nats.resume();
  await until(() => states.includes('keeps-up'), 'it reads again');
  await until(() => heard === paced + said, 'all that it was given is heard');
  const { lost } = bus;
  bus.publish('words', chunk);
  await until(() => heard === paced + said + 1, 'what is said now is heard');
  assert.deepEqual([bus.lost, states], [lost, ['behind', 'keeps-up']]);
});

test('what is said to a connection that ends does not count against the next one', { skip: absence }, async t => {
  const nats = await startNats();
  t.after(() => nats.close());
  const states: BusState[] = [];
  const bus = await openNatsBus({ kind: 'nats', servers: [nats.address] }, 'test.', state => states.push(state));
  t.after(() => bus.close());
  let heard = 0;
  bus.subscribe('words', () => heard++);
  nats.pause();
  while (bus.lost === 0) bus.publish('words', chunk);
  await nats.kill();
  await until(() => states.includes('lost'), 'the connection is lost');
  await nats.start();
  await until(() => states.at(-1) === 'back', 'there is another');
  const { lost } = bus;
  for (let i = 0; i < 100; i++) bus.publish('words', chunk);
  await until(() => heard >= 100, 'all is heard');
  assert.equal(bus.lost, lost);
});
