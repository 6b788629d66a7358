// Mail that waits is read by a client that logs in over a line that is slow: what a gatekeeper sends before it has heard what
// the session is to be like counts as well.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { defaultTransports } from '@drawbridge/client/connection/transports';
import { seededRandom } from '../durability/random.ts';
import { type Person, startNetwork, textsOf } from './play.ts';

/** A login takes several times as long; a gatekeeper waits 250 ms for a client to say what it wants. */
const delayMs = 300;
const patienceMs = 60_000;
/** Until pauses between attempts have grown: who is told to, tries before the other. */
const awayMs = 5_000;

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

async function isSoon(what: () => Promise<boolean>): Promise<boolean> {
  for (const endMs = performance.now() + patienceMs; performance.now() < endMs; ) {
    if (await what()) return true;
    await pause(50);
  }
  return false;
}

const isSent = async (client: Client): Promise<boolean> =>
  (await client.chats.messages({ limit: 100 })).every(
    ({ message }) => message.state !== 'queued' && message.state !== 'failed',
  );

for (const transport of defaultTransports) {
  test(`${transport}: mail that waits comes whole over a slow line`, { timeout: 180_000 }, async t => {
    const network = await startNetwork({ transport, mayLose: false }, seededRandom(1));
    t.after(() => network.close());
    const [anna, bob] = (await network.people()) as [Person, Person];
    // From now on Bob's device expects that what Anna says can be reported.
    await anna.client.send(anna.other, { text: 'hello' });
    assert(await isSoon(async () => (await textsOf(bob)).length === 1));
    // Both lose their sessions; Anna is back first.
    network.lines.forEach(line => {
      line.partitioned = true;
      line.resetAll();
    });
    await network.restart();
    const texts = Array.from({ length: 20 }, (_, i) => `while he was away ${i}`);
    for (const text of texts) await anna.client.send(anna.other, { text });
    await pause(awayMs);
    network.lines.forEach(line => line.heal());
    await anna.client.connect();
    assert(await isSoon(() => isSent(anna.client)));
    for (const line of network.lines) line.delayMs = delayMs;
    await bob.client.connect();
    assert(await isSoon(async () => (await textsOf(bob)).length === 1 + texts.length));
    assert.deepEqual(await textsOf(bob), ['hello', ...texts]);
    assert(
      await isSoon(async () => (await anna.client.chats.messages({ limit: 1 }))[0]?.message.state === 'delivered'),
    );
  });
}
