// A message that was acknowledged, and will not be delivered: its sender hears of it, over real streams; and mail that a
// dead process was holding has its device woken.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mailboxRow, unbounded } from '@drawbridge/gatekeeper/testing/mailbox-contract';
import { attribute, childElement, type Element } from '@drawbridge/wire/element';
import { parseUndelivered } from '@drawbridge/wire/envelope';
import { NS_DELAY } from '@drawbridge/wire/namespaces';
import { parseStanzaError } from '@drawbridge/wire/stanza-error';
import { ciphertextFor, envelope, RawNetwork } from './raw-network.ts';

const isError = (el: Element): boolean => el.name === 'message' && attribute(el, 'type') === 'error';

/** Condition, cause, id and whom it is from. */
function words(el: Element): string[] {
  const error = parseStanzaError(el)!;
  const cause = parseUndelivered(error.application!) ?? 'none';
  return [error.condition, cause, attribute(el, 'id')!, attribute(el, 'from')!];
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    assert(tries < 500, what);
    await sleep(20);
  }
}

test('an expired message says so to its sender, who is there or comes later; its recipient gets nothing', async t => {
  const network = await RawNetwork.open({ mailbox: { ttlMs: 400 }, core: { sweepEveryMs: 50 } });
  t.after(() => network.close());
  const anna = await network.person('anna');
  const bob = await network.person('bob');
  const carl = await network.person('carl');
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  assert.equal(await from.acknowledged(), 1);
  const away = await network.login(carl);
  away.send(envelope(carl, bob.bareJid, 'm2'));
  assert.equal(await away.acknowledged(), 1);
  await away.end();
  assert.equal(await network.stored(bob), 2);
  await sleep(450);
  // Both clocks have to say so: the one that is set, and the one that only goes on.
  network.fixture.clock.nowMs += 60_000;
  assert.deepEqual(words(await from.expect(isError)), ['recipient-unavailable', 'expired', 'm1', bob.fullJid]);
  await until('the mailbox empties', async () => (await network.stored(bob)) === 0);
  const back = await network.login(carl);
  assert.deepEqual(words(await back.expect(isError)), ['recipient-unavailable', 'expired', 'm2', bob.fullJid]);
  const to = await network.login(bob);
  await to.ping();
  assert.equal(to.inbox.filter(el => el.name === 'message').length, 0);
  for (const client of [from, back, to]) client.cut();
});

test('mail that a version before took without its time is delivered without one, and expires as it said', async t => {
  const network = await RawNetwork.open({ core: { sweepEveryMs: 50 } });
  t.after(() => network.close());
  const [anna, bob] = [await network.person('anna'), await network.person('bob')];
  const from = await network.login(anna);
  for (const id of ['m1', 'm2', 'm3']) from.send(envelope(anna, bob.bareJid, id));
  assert.equal(await from.acknowledged(), 3);
  const db = new DatabaseSync(join(network.fixture.folder, 'gatekeeper.sqlite'), { timeout: 5_000 });
  db.exec('UPDATE mailbox SET accepted_at = NULL WHERE seq < 3; UPDATE mailbox SET expires_at = 5000 WHERE seq = 2');
  db.close();
  assert.deepEqual(words(await from.expect(isError)), ['recipient-unavailable', 'expired', 'm2', bob.fullJid]);
  const to = await network.login(bob);
  const last = await to.expect(el => attribute(el, 'id') === 'm3');
  const came = [...to.inbox.filter(el => el.name === 'message'), last];
  assert.deepEqual(
    came.map(el => [attribute(el, 'id'), childElement(el, 'delay', NS_DELAY) !== undefined]),
    [
      ['m1', false],
      ['m3', true],
    ],
  );
  for (const client of [from, to]) client.cut();
});

test('what waited too long when its device comes is not shown, and its sender hears of it', async t => {
  const network = await RawNetwork.open({ mailbox: { ttlMs: 400 } });
  t.after(() => network.close());
  const [anna, bob] = [await network.person('anna'), await network.person('bob')];
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  assert.equal(await from.acknowledged(), 1);
  await sleep(450);
  // Both clocks have to say so: the one that is set, and the one that only goes on.
  network.fixture.clock.nowMs += 60_000;
  const to = await network.login(bob);
  assert.deepEqual(words(await from.expect(isError)), ['recipient-unavailable', 'expired', 'm1', bob.fullJid]);
  await until('the mailbox empties', async () => (await network.stored(bob)) === 0);
  await to.ping();
  assert.equal(to.inbox.filter(el => el.name === 'message').length, 0);
  for (const client of [from, to]) client.cut();
});

test('a withdrawal tells those who could reach the person, in the words for whoever can’t be reached, and nobody else', async t => {
  const network = await RawNetwork.open();
  t.after(() => network.close());
  const { control } = network.fixture;
  const anna = await network.person('anna');
  const [bert, hugo] = [await network.person('bert', 1), await network.person('hugo', 2)];
  await control.enlistment.setOptIn(anna.account, 1, true);
  await control.enlistment.setOptIn((await control.accounts.find(anna.account.interopId))!, 2, true);
  const [fromBert, fromHugo] = [await network.login(bert), await network.login(hugo)];
  const count = 300;
  await fromBert.sendAll(Array.from({ length: count }, (_, i) => envelope(bert, anna.bareJid, `b${i}`)));
  fromHugo.send(envelope(hugo, anna.bareJid, 'h1', ciphertextFor(1, 20_000)));
  assert.equal(await fromBert.acknowledged(), count);
  assert.equal(await fromHugo.acknowledged(), 1);
  await control.enlistment.setOptIn((await control.accounts.find(anna.account.interopId))!, 2, false);
  const now = (await control.accounts.find(anna.account.interopId))!;
  assert.equal(await control.enlistment.withdraw(now), 'withdrawn');
  const told: string[] = [];
  for (let i = 0; i < count; i++) {
    const [condition, cause, id, of] = words(await fromBert.expect(isError));
    assert.deepEqual([condition, cause, of], ['service-unavailable', 'gone', anna.fullJid]);
    told.push(id!);
    if (i % 100 === 99) fromBert.acknowledge();
  }
  assert.deepEqual(
    told,
    Array.from({ length: count }, (_, i) => `b${i}`),
  );
  await until('nothing is left of the mailbox', async () => (await network.stored(anna)) === 0);
  // The same words as for a message that comes now.
  fromBert.send(envelope(bert, anna.bareJid, 'late'));
  assert.equal(parseStanzaError(await fromBert.expect(isError))?.condition, 'service-unavailable');
  await fromHugo.ping();
  assert.equal(fromHugo.inbox.filter(isError).length, 0, 'who was shut out learns nothing');
  for (const client of [fromBert, fromHugo]) client.cut();
});

test('a message that comes in the moment of a withdrawal is refused, not taken and forgotten', async t => {
  const network = await RawNetwork.open();
  t.after(() => network.close());
  const [anna, bob] = [await network.person('anna'), await network.person('bob')];
  const from = await network.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  assert.equal(await from.acknowledged(), 1);
  // Storage knows already, and nobody has been told yet.
  await network.fixture.store.run('accountWithdraw', { account: bob.account.row });
  from.send(envelope(anna, bob.bareJid, 'm2'));
  const refused = await from.expect(el => isError(el) && attribute(el, 'id') === 'm2');
  const error = parseStanzaError(refused)!;
  assert.deepEqual([error.condition, error.type, error.application], ['service-unavailable', 'cancel', undefined]);
  from.cut();
});

test('a change of how long mail is kept changes no date of what waits', async t => {
  const first = await RawNetwork.open({ mailbox: { ttlMs: 30 * 86_400_000 } });
  const [anna, bob] = [await first.person('anna'), await first.person('bob')];
  const from = await first.login(anna);
  from.send(envelope(anna, bob.bareJid, 'm1'));
  assert.equal(await from.acknowledged(), 1);
  await from.end();
  const { folder, world, clock } = first.fixture;
  const acceptedAt = new Date(clock.nowMs).toISOString();
  await first.shutDown();
  await first.fixture.stop();
  const second = await RawNetwork.open({ fixture: { folder, world }, mailbox: { ttlMs: 7 * 86_400_000 } });
  t.after(() => second.close());
  second.fixture.clock.nowMs += 3_600_000;
  const to = await second.login(bob);
  const [message] = await to.messages(1);
  assert.equal(attribute(childElement(message!, 'delay', NS_DELAY)!, 'stamp'), acceptedAt);
  to.cut();
});

test('drill: a gatekeeper is killed while devices have mail in hand: those that stay away are woken after its return', async t => {
  const network = await RawNetwork.open({ core: { desertedAfterMs: 300 } });
  t.after(() => network.close());
  const [bert, doris, emil] = [
    await network.person('bert', 1),
    await network.person('doris', 1),
    await network.person('emil', 1),
  ];
  const { store, world } = network.fixture;
  // As the process before left it: claims of streams that nobody has ended, and what was not acknowledged.
  for (const [{ device }, silent] of [
    [bert, false],
    [doris, true],
    [emil, false],
  ] as const) {
    const claim = await store.run('mailboxClaim', { device: device.row, node: 'the process before' });
    assert(claim.kind === 'claimed');
    await store.run('mailboxAppend', { rows: [mailboxRow(device.row, 1, 100, { silent })], bounds: unbounded });
  }
  const back = await network.login(emil);
  await until('bert is woken', () => world.posted.length > 0);
  await sleep(100);
  assert.equal(world.posted.length, 1, 'not for what is silent, and not who is there');
  back.cut();
});
