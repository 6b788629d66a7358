// Folders that were restored from a backup or cloned, over real streams: they are found out when they connect, say so, and
// every conversation heals.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Client, ClientOptions, TransportName } from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

const patienceMs = 60_000;

async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) assert.fail(`it never came: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

const provider = (at: 'citadel' | 'skylark'): string => `${at}.example`;
const bobs = (identifier: string) => ({ provider: provider('citadel'), identifier });
const annas = (identifier: string) => ({ provider: provider('skylark'), identifier });

async function person(
  identifier: string,
  at: 'citadel' | 'skylark',
  extra: Partial<ClientOptions> & { readonly device?: string } = {},
): Promise<Client> {
  const client = await network.open(identifier, at, extra);
  await client.account.enlist();
  await client.connect();
  if (at === 'citadel') await client.account.optIn(provider('skylark'));
  return client;
}

const texts = async (client: Client): Promise<string[]> =>
  (await client.chats.messages({ limit: 1_000 })).map(({ message }) => message.text);

async function sees(client: Client, text: string): Promise<void> {
  await until(async () => (await texts(client)).includes(text), text);
}

/** Says something and waits until the other has it. */
async function say(from: Client, to: { client: Client; name: ReturnType<typeof bobs> }, text: string): Promise<void> {
  await from.send(to.name, { text });
  await sees(to.client, text);
}

const restored = (client: Client) => client.notices.list().filter(({ change }) => change.kind === 'store-restored');

const folderOf = (name: string): string => join(network.folder, 'people', name);

async function talk(anna: Client, bob: Client, annasName: string, bobsName: string, words: string): Promise<void> {
  await say(anna, { client: bob, name: bobs(bobsName) }, `${words}: there`);
  await say(bob, { client: anna, name: annas(annasName) }, `${words}: and back`);
}

for (const transport of ['compact', 'websocket'] satisfies TransportName[]) {
  test(`a backup that comes back says so and goes on, over ${transport}`, async () => {
    const [a, b, c] = [`anna-r-${transport}`, `bob-r-${transport}`, `carol-r-${transport}`];
    const extra = { transports: [transport] };
    let bob = await person(b, 'citadel', extra);
    const anna = await person(a, 'skylark', extra);
    await talk(anna, bob, a, b, 'before');
    await bob.close();
    cpSync(folderOf(b), folderOf(`${b}-backup`), { recursive: true });
    bob = await network.open(b, 'citadel', extra);
    await bob.connect();
    await talk(anna, bob, a, b, 'after the backup');
    assert.deepEqual(restored(bob), [], 'a start like any other');
    await bob.close();
    rmSync(folderOf(b), { recursive: true });
    cpSync(folderOf(`${b}-backup`), folderOf(b), { recursive: true });

    bob = await network.open(b, 'citadel', extra);
    await bob.connect();
    const [notice] = restored(bob);
    assert.equal(notice?.times, 1);
    // The first words either way arrive.
    await say(anna, { client: bob, name: bobs(b) }, 'can you read this?');
    await say(bob, { client: anna, name: annas(a) }, 'yes, and you this?');
    // Somebody who never wrote before gets keys of this copy.
    const carol = await person(c, 'skylark', extra);
    await say(carol, { client: bob, name: bobs(b) }, 'we have not met');
    assert(!(await bob.chats.messages({ limit: 1_000 })).some(({ message }) => message.kind === 'lost'));
    await bob.close();
    // It stays in the list until it is acknowledged, and is not found again.
    bob = await network.open(b, 'citadel', extra);
    await bob.connect();
    assert.equal(restored(bob)[0]?.times, 1);
    bob.notices.acknowledge(restored(bob)[0]!);
    await talk(anna, bob, a, b, 'at the end');
    await Promise.all([anna.close(), bob.close(), carol.close()]);
  });
}

test('a copy made of a running client is found when it comes after the original was closed', async () => {
  const bob = await person('bob-hot', 'citadel');
  const anna = await person('anna-hot', 'skylark');
  await talk(anna, bob, 'anna-hot', 'bob-hot', 'before');
  cpSync(folderOf('bob-hot'), folderOf('bob-hot-copy'), { recursive: true });
  await talk(anna, bob, 'anna-hot', 'bob-hot', 'after the copy');
  await bob.close();
  const copy = await network.open('bob-hot', 'citadel', { device: '-copy' });
  await copy.connect();
  assert.equal(restored(copy).length, 1);
  await talk(anna, copy, 'anna-hot', 'bob-hot', 'with the copy');
  await Promise.all([anna.close(), copy.close()]);
});

test('two clones that take turns are told with every turn, and every conversation goes on', async () => {
  let bob = await person('bob-clone', 'citadel');
  const anna = await person('anna-clone', 'skylark');
  await talk(anna, bob, 'anna-clone', 'bob-clone', 'before');
  await bob.close();
  cpSync(folderOf('bob-clone'), folderOf('bob-clone-2'), { recursive: true });
  for (let turn = 0; turn < 3; turn++) {
    for (const [device, times] of [
      ['', turn],
      ['-2', turn + 1],
    ] as const) {
      bob = await network.open('bob-clone', 'citadel', { device });
      await bob.connect();
      assert.equal(restored(bob)[0]?.times ?? 0, times, `turn ${turn} of clone ${device}`);
      await talk(anna, bob, 'anna-clone', 'bob-clone', `turn ${turn}${device}`);
      await bob.close();
    }
  }
  await anna.close();
});
