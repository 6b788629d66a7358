// Drills of the operator's handbook on a gatekeeper with its listeners: a clock that is set, a mailbox that is damaged.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attribute, type Element } from '@drawbridge/wire/element';
import { parseStanzaError } from '@drawbridge/wire/stanza-error';
import { ciphertextFor, envelope, type Person, RawNetwork } from './raw-network.ts';
import type { RawXmpp } from './raw-xmpp.ts';

const dayMs = 86_400_000;
const pageBytes = 4_096;
const idOf = (el: Element): string => attribute(el, 'id') ?? '';
const messagesOf = (client: RawXmpp): Element[] => client.inbox.filter(el => el.name === 'message');

async function send(network: RawNetwork, from: Person, to: Person, ids: readonly string[], bytes = 24): Promise<void> {
  const client = await network.login(from);
  await client.sendAll(ids.map(id => envelope(from, to.bareJid, id, ciphertextFor(1, bytes))));
  assert.equal(await client.acknowledged(), ids.length);
  assert.deepEqual(messagesOf(client), [], 'nothing was refused');
  await client.end();
}

/** Everything that waits for somebody, acknowledged as it comes, until nothing more does. */
async function drain(client: RawXmpp): Promise<string[]> {
  const ids: string[] = [];
  // An answer to a ping may be faster than a page from the disk of a busy machine.
  for (let quiet = 0; quiet < 10; ) {
    await client.ping();
    const came = messagesOf(client).map(idOf);
    if (came.length === 0) {
      quiet++;
      await sleep(50);
      continue;
    }
    quiet = 0;
    ids.push(...came);
    client.inbox.splice(0);
    client.acknowledge();
  }
  return ids;
}

test('drill: the clock is set a year ahead, an hour back and right again: streams, logins and mail go on', async t => {
  const network = await RawNetwork.open({ core: { sweepEveryMs: 20 } });
  t.after(() => network.close());
  const { clock } = network.fixture;
  const [anna, bob, carl] = [await network.person('anna'), await network.person('bob'), await network.person('carl')];
  const rightMs = clock.nowMs;
  const watcher = await network.login(carl);
  await send(network, anna, bob, ['before']);
  for (const [aheadMs, id] of [
    [365 * dayMs, 'ahead'],
    [-3_600_000, 'back'],
    [0, 'right'],
  ] as const) {
    clock.nowMs = rightMs + aheadMs;
    // Some sweeps by that clock; providers' clocks are set alike here, so that proofs are judged by the same.
    await sleep(100);
    await send(network, anna, bob, [id]);
    await watcher.ping();
  }
  await sleep(100);
  assert.equal(await network.stored(bob), 4, 'nothing that was acknowledged is gone');
  const to = await network.login(bob);
  assert.deepEqual(await drain(to), ['before', 'ahead', 'back', 'right']);
  assert(!network.log.some(line => line.startsWith('mailbox-')), network.log.join('\n'));
  for (const client of [to, watcher]) client.cut();
});

test('drill: a page of one mailbox is damaged: its device gets the rest, everybody else gets everything, and it is said', async t => {
  const first = await RawNetwork.open();
  const [anna, bob, carl] = [await first.person('anna'), await first.person('bob'), await first.person('carl')];
  const ids = Array.from({ length: 120 }, (_, i) => `m${i}`);
  for (const to of [bob, carl]) await send(first, anna, to, ids, 1_000);
  const { folder, world } = first.fixture;
  await first.shutDown();
  await first.fixture.stop();
  const file = join(folder, 'gatekeeper.sqlite');
  const bytes = readFileSync(file);
  // A mailbox lies together: a page of messages in the middle of one. Both have the same messages.
  const pages = Array.from({ length: bytes.length / pageBytes }, (_, i) => i).filter(i => {
    const page = bytes.subarray(i * pageBytes, (i + 1) * pageBytes);
    return page[0] === 13 && page.includes(Buffer.alloc(500, 1));
  });
  assert(pages.length > 60, `${pages.length} pages hold messages`);
  const lost = pages[20]!;
  bytes.fill(0xa5, lost * pageBytes, (lost + 1) * pageBytes);
  writeFileSync(file, bytes);

  const second = await RawNetwork.open({ fixture: { folder, world } });
  t.after(() => second.close());
  const [toBob, toCarl] = [await second.login(bob), await second.login(carl)];
  const [bobGot, carlGot] = [await drain(toBob), await drain(toCarl)];
  const damaged = bobGot.length < ids.length ? bobGot : carlGot;
  const whole = damaged === bobGot ? carlGot : bobGot;
  assert.deepEqual(whole, ids);
  assert(damaged.length >= ids.length - 8 && damaged.length < ids.length, `${damaged.length} came`);
  assert.deepEqual(
    damaged,
    ids.filter(id => damaged.includes(id)),
    'in order',
  );
  assert(damaged.includes('m0') && damaged.includes('m119'), 'what is before it and behind it');
  assert(second.core.counters.damaged >= 1);
  assert(
    second.log.some(line => line.startsWith('mailbox-damaged') && line.includes('page')),
    second.log.join('\n'),
  );
  // A message for the damaged mailbox is delivered or refused for now, in both cases with an answer; others' are taken.
  const client = await second.login(anna);
  for (const to of [bob, carl]) client.send(envelope(anna, to.bareJid, `to-${to.identifier}`, ciphertextFor(1, 1_000)));
  assert.equal(await client.acknowledged(), 2);
  await client.ping();
  for (const el of messagesOf(client)) {
    const error = parseStanzaError(el)!;
    assert.deepEqual([error.condition, error.type], ['resource-constraint', 'wait']);
  }
  const [wholeStream] = damaged === bobGot ? [toCarl] : [toBob];
  await wholeStream.messages(1);
  for (const each of [toBob, toCarl, client]) each.cut();
  // What was acknowledged comes again only as far as it lies beside the damage.
  const owner = damaged === bobGot ? bob : carl;
  const again = await drain(await second.login(owner));
  assert(again.length < ids.length / 2, `${again.length} come again`);
});
