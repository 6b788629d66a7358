// Two nodes over one PostgreSQL and NATS, with people of the SDK on both: what crosses over, and what is left when a node, the
// bus or the database ends. A list of what was sent and what came decides, not the code under test.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@drawbridge/client';
import { natsAbsence } from '../nats-server.ts';
import { postgresAbsence } from '../postgres-server.ts';
import { type ClusterNetwork, startClusterNetwork } from './network.ts';

const absence = postgresAbsence() ?? natsAbsence();
const patienceMs = 60_000;

let network: ClusterNetwork;

/** What came to a client, in order; consumed as it comes. */
function gathered(client: Client): string[] {
  const texts: string[] = [];
  void (async () => {
    for await (const message of client.messages()) texts.push(message.text ?? '');
  })().catch(() => undefined);
  return texts;
}

async function until(done: () => boolean, what: () => string): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!done()) {
    if (Date.now() > end) assert.fail(what());
    await sleep(20);
  }
}

/** Each text once, in the order in which it was sent. */
async function cameOnce(texts: readonly string[], sent: readonly string[]): Promise<void> {
  await until(
    () => texts.length >= sent.length,
    () => `${texts.length} of ${sent.length} came: ${sent.filter(text => !texts.includes(text)).join(' ')} missing`,
  );
  await sleep(200);
  assert.deepEqual(texts, sent);
}

async function person(identifier: string, node: number): Promise<Client> {
  network.prefer(node);
  const client = await network.open(identifier);
  await client.account.enlist();
  await client.connect();
  return client;
}

async function streamsAt(node: number): Promise<number> {
  return (await network.admin(node, 'GET', '/streams'))['connected'] as number;
}

async function statusAt(node: number): Promise<string> {
  const { providers } = await network.admin(node, 'GET', '/providers');
  return (providers as { number: number; status: string }[]).find(each => each.number === 0)!.status;
}

/** Within two seconds, and what the machine takes to answer. */
async function soon(isDone: () => Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + 2_500;
  while (!(await isDone())) {
    assert(Date.now() < end, what);
    await sleep(50);
  }
}

const nameOf = (identifier: string) => ({ provider: 'citadel.example', identifier });
const numbers = (from: number, count: number): string[] => Array.from({ length: count }, (_, i) => String(from + i));

if (absence === undefined) {
  before(async () => {
    network = await startClusterNetwork(2);
  });
  after(() => network.close());

  test('people at different nodes: each message once and in order, both ways, and typing crosses over', async () => {
    const anna = await person('anna', 0);
    const bob = await person('bob', 1);
    const [toAnna, toBob] = [gathered(anna), gathered(bob)];
    const typing = (async () => {
      for await (const event of bob.events()) if (event.kind === 'typing') return true;
      return false;
    })();
    assert.deepEqual(network.streams(), [1, 1], 'each at a node of their own');
    const sent = numbers(0, 100);
    for (const text of sent) {
      await anna.send(nameOf('bob'), { text });
      await bob.send(nameOf('anna'), { text });
    }
    await Promise.all([cameOnce(toBob, sent), cameOnce(toAnna, sent)]);
    await anna.chats.typing(nameOf('bob'));
    assert.equal(await Promise.race([typing, sleep(5_000, false)]), true);
    await Promise.all([anna.close(), bob.close()]);
  });

  test('a node that is killed: its people are back at the other, nothing is lost or twice', async () => {
    const carl = await person('carl', 0);
    const dora = await person('dora', 1);
    const [toCarl, toDora] = [gathered(carl), gathered(dora)];
    const sent = numbers(0, 60);
    for (const [i, text] of sent.entries()) {
      if (i === 20) await network.nodes[0]!.kill('SIGKILL');
      if (i === 40) await network.nodes[0]!.start();
      await carl.send(nameOf('dora'), { text });
      await dora.send(nameOf('carl'), { text });
    }
    await Promise.all([cameOnce(toDora, sent), cameOnce(toCarl, sent)]);
    await Promise.all([carl.close(), dora.close()]);
  });

  test('a node that stands still and goes on shows and acknowledges nothing of what moved on', async () => {
    const emil = await person('emil', 0);
    const frida = await person('frida', 1);
    const [toEmil, toFrida] = [gathered(emil), gathered(frida)];
    const sent = numbers(0, 30);
    for (const [i, text] of sent.entries()) {
      if (i === 10) await network.nodes[0]!.kill('SIGSTOP');
      await emil.send(nameOf('frida'), { text });
      await frida.send(nameOf('emil'), { text });
    }
    await sleep(2_000);
    await network.nodes[0]!.kill('SIGCONT');
    await Promise.all([cameOnce(toFrida, sent), cameOnce(toEmil, sent)]);
    await Promise.all([emil.close(), frida.close()]);
  });

  test('a node that was taken for dead and comes back: its streams hear of mail as before', async () => {
    const kurt = await person('kurt', 0);
    const lisa = await person('lisa', 1);
    const toLisa = gathered(lisa);
    await kurt.send(nameOf('lisa'), { text: 'before' });
    await cameOnce(toLisa, ['before']);
    await network.nodes[1]!.kill('SIGSTOP');
    await sleep(13_000);
    await network.nodes[1]!.kill('SIGCONT');
    await sleep(5_000);
    assert.deepEqual(network.streams(), [1, 1], 'her stream has outlived it');
    await kurt.send(nameOf('lisa'), { text: 'after' });
    const end = Date.now() + 5_000;
    while (toLisa.length < 2) {
      assert(Date.now() < end, 'she was not told');
      await sleep(20);
    }
    assert.deepEqual(toLisa, ['before', 'after']);
    await Promise.all([kurt.close(), lisa.close()]);
  });

  test('without the bus messages between nodes come all the same, and with it again', async () => {
    const gina = await person('gina', 0);
    const hugo = await person('hugo', 1);
    const toHugo = gathered(hugo);
    await network.nats.kill();
    const sent = numbers(0, 20);
    for (const text of sent) await gina.send(nameOf('hugo'), { text });
    await cameOnce(toHugo, sent);
    await network.nats.start();
    await sleep(3_000);
    await gina.send(nameOf('hugo'), { text: 'again' });
    await cameOnce(toHugo, [...sent, 'again']);
    await Promise.all([gina.close(), hugo.close()]);
  });

  for (const bus of ['with', 'without'] as const) {
    test(`${bus} the bus: who is suspended at one node loses their stream at another one within two seconds`, async () => {
      const olaf = await person(`olaf-${bus}`, 1);
      const paul = await person(`paul-${bus}`, 1);
      if (bus === 'without') await network.nats.kill();
      const found = await network.admin(0, 'GET', `/enlistments?provider=0&identifier=olaf-${bus}`);
      const { interopId } = found as { readonly interopId: string };
      assert.deepEqual(await streamsAt(1), 2);
      await network.admin(0, 'POST', `/enlistments/${interopId}/suspend`);
      await soon(async () => (await streamsAt(1)) === 1, 'the person’s stream goes on');
      await network.admin(0, 'POST', '/providers/0/suspend');
      await soon(async () => (await streamsAt(1)) === 0, 'the provider’s stream goes on');
      await network.admin(0, 'POST', '/providers/0/resume');
      await soon(async () => (await statusAt(1)) === 'live', 'the other node does not know of the end of a suspension');
      if (bus === 'without') await network.nats.start();
      await Promise.all([olaf.close(), paul.close()]);
    });
  }

  test('a database that crashes and comes back: what was acknowledged is there, the rest is sent again', async () => {
    const ida = await person('ida', 0);
    const jan = await person('jan', 1);
    const [toIda, toJan] = [gathered(ida), gathered(jan)];
    const sent = numbers(0, 40);
    for (const [i, text] of sent.entries()) {
      if (i === 15) network.postgres.stop('immediate');
      if (i === 25) {
        await sleep(1_000);
        network.postgres.start();
      }
      await ida.send(nameOf('jan'), { text });
      await jan.send(nameOf('ida'), { text });
    }
    await Promise.all([cameOnce(toJan, sent), cameOnce(toIda, sent)]);
    await Promise.all([ida.close(), jan.close()]);
  });

  test('what one node changes the other knows: a removed person is unreachable there at once', async () => {
    const kim = await person('kim', 0);
    const lea = await person('lea', 1);
    const toLea = gathered(lea);
    await kim.send(nameOf('lea'), { text: 'hello' });
    await cameOnce(toLea, ['hello']);
    await kim.account.withdraw();
    await lea.send(nameOf('kim'), { text: 'gone?' });
    const failed = async (): Promise<boolean> =>
      (await lea.chats.messages({ limit: 10 })).some(row => row.message.state === 'failed');
    const end = Date.now() + 10_000;
    while (!(await failed())) {
      assert(Date.now() < end, 'the message has not failed');
      await sleep(50);
    }
    await lea.close();
  });
} else {
  console.warn(`SKIPPED: several nodes: ${absence}`);
  test('several nodes', { skip: absence }, () => undefined);
}
