// Messages that can't leave, and messages that are too large to leave in one stanza: the same on all devices of a person, from
// the SDK and from the terminal, against a real gatekeeper and provider.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { drawbridgeIn, noTerminal, type Terminal } from '@drawbridge/cli/testing/terminal';
import type { Client, Message } from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
const terminals: Terminal[] = [];
before(async () => {
  network = await startSdkNetwork();
});
after(async () => {
  for (const terminal of terminals) terminal.close();
  await network.close();
});

async function person(identifier: string, at: 'citadel' | 'skylark'): Promise<Client> {
  const client = await network.open(identifier, at);
  await client.account.enlist();
  await client.connect();
  if (at === 'citadel') await client.account.optIn('skylark.example');
  return client;
}

async function furtherDevice(of: Client, identifier: string, at: 'citadel' | 'skylark', name: string): Promise<Client> {
  const client = await network.open(identifier, at, { device: name });
  const begun = await client.devices.beginLink();
  const asked = await of.devices.readLink(begun.code);
  const link = await client.devices.openLink(await asked.confirm());
  await link.confirm();
  await client.connect();
  return client;
}

const patienceMs = 60_000;

/** The history of a device, oldest first, once it is as it should be; fails with what it is otherwise. */
async function historyOf(client: Client, isRight: (messages: readonly Message[]) => boolean): Promise<Message[]> {
  const giveUpAtMs = performance.now() + patienceMs;
  for (;;) {
    const rows = (await client.chats.messages({ limit: 100 })).map(({ message }) => message).toReversed();
    // What a device noticed by itself is its own line.
    const messages = rows.filter(({ kind }) => kind !== 'notice');
    if (isRight(messages)) return messages;
    const seen = messages.map(({ text, kind, state }) => `${kind} ${state} ${text.slice(0, 20)}`);
    assert(performance.now() < giveUpAtMs, seen.join('; '));
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

const words = (messages: readonly Message[]): string[] => messages.map(({ text }) => text);

test('a message that fails is failed on all devices, and is sent again or dropped from any; its reader misses nothing', async () => {
  const bob = await person('bob', 'citadel');
  const anna = await person('anna', 'skylark');
  const second = await furtherDevice(anna, 'anna', 'skylark', '-second');
  const to = { provider: 'citadel.example', identifier: 'bob' };
  await anna.send(to, { text: 'before' });
  await historyOf(bob, messages => messages.length === 1);
  await bob.account.optOut('skylark.example');
  await anna.send(to, { text: 'once more', replyTo: (await historyOf(anna, () => true))[0]! });
  await anna.send(to, { text: 'let it go' });
  for (const device of [anna, second]) {
    const failed = await historyOf(
      device,
      ([, ...rest]) => rest.length === 2 && rest.every(each => each.state === 'failed'),
    );
    assert.deepEqual(
      failed.slice(1).map(each => each.failure?.code),
      ['not-reachable', 'not-reachable'],
    );
  }
  await assert.rejects(anna.chats.drop((await historyOf(anna, () => true))[0]!.id), { code: 'not-applicable' });
  await bob.account.optIn('skylark.example');
  const [, , unwanted] = await historyOf(anna, () => true);
  await anna.chats.drop(unwanted!.id);
  const [, failed] = await historyOf(second, messages => messages.length === 2);
  // From the other device than the one that had tried.
  const again = await second.chats.resend(failed!.id);
  assert.equal(again.replyTo?.excerpt, 'before');
  await assert.rejects(second.chats.resend(failed!.id), { code: 'not-applicable' });
  // And from the one that had tried, whose numbers had gone nowhere.
  await anna.send(to, { text: 'after' });
  const both = ['before', 'once more', 'after'];
  for (const device of [anna, second, bob]) {
    // The device that had tried hears from the other one what became of it.
    const isThrough = (each: Message): boolean => each.state !== 'queued' && each.state !== 'failed';
    const messages = await historyOf(device, all => all.length === 3 && all.every(isThrough));
    assert.deepEqual(words(messages).toSorted(), both.toSorted());
  }
  assert.deepEqual(
    (await bob.chats.list()).map(chat => chat.missing),
    [0],
  );
  await Promise.all([anna.close(), second.close(), bob.close()]);
});

test('a message that is larger than a stanza with all its copies reaches each device, and what is behind it too', async () => {
  const carol = await person('carol', 'citadel');
  const others: Client[] = [];
  for (const name of ['-2', '-3', '-4']) others.push(await furtherDevice(carol, 'carol', 'citadel', name));
  const dora = await person('dora', 'skylark');
  const twin = await furtherDevice(dora, 'dora', 'skylark', '-2');
  const attachment = {
    url: 'https://media.example/x',
    key: new Uint8Array(64),
    digest: new Uint8Array(32),
    incrementalMac: new Uint8Array(),
    incrementalMacChunkBytes: 0,
    sizeBytes: 1,
    kind: 'image',
    mediaType: 'image/webp',
    thumbnail: new Uint8Array(16_384).fill(255),
  } as const;
  const caption = { text: 'ü'.repeat(16_384) };
  const to = { provider: 'citadel.example', identifier: 'carol' };
  await dora.send(to, { kind: 'attachment', attachments: [attachment], caption });
  await dora.send(to, { text: 'behind it' });
  for (const device of [carol, ...others, twin, dora]) {
    const [large, small] = await historyOf(device, messages => messages.length === 2);
    assert.equal(large?.kind === 'attachment' && large.text, caption.text);
    assert.equal(small?.text, 'behind it');
  }
  await historyOf(dora, messages => messages.every(({ state }) => state === 'delivered'));
  await Promise.all([carol, ...others, dora, twin].map(client => client.close()));
});

test('what a copy of a folder says under keys that the original had used is read all the same', async () => {
  let gustav = await person('gustav', 'citadel');
  const hanna = await person('hanna', 'skylark');
  const hannas = { provider: 'skylark.example', identifier: 'hanna' };
  await hanna.send({ provider: 'citadel.example', identifier: 'gustav' }, { text: 'before' });
  await historyOf(gustav, messages => messages.length === 1);
  await gustav.send(hannas, { text: 'and back' });
  await historyOf(gustav, messages => messages.at(-1)?.state === 'delivered');
  const folder = join(network.folder, 'people', 'gustav');
  cpSync(folder, `${folder}-copy`, { recursive: true });
  await gustav.send(hannas, { text: 'from the original' });
  await historyOf(hanna, messages => messages.length === 3);
  // The original falls silent before it has counted what it did: nobody can tell the copy from it.
  const original = gustav;
  gustav = await network.open('gustav', 'citadel', { device: '-copy' });
  await gustav.connect();
  assert.deepEqual(gustav.notices.list(), []);
  await gustav.send(hannas, { text: 'from the copy' });
  const read = await historyOf(hanna, messages => messages.length === 4);
  assert.deepEqual(words(read), ['before', 'and back', 'from the original', 'from the copy']);
  await historyOf(gustav, messages =>
    messages.every(({ author, state }) => author !== gustav.me?.interopId || state === 'delivered'),
  );
  await Promise.all([original.close(), gustav.close(), hanna.close()]);
});

test('in the terminal: /failed lists, /resend sends again, /drop lets go', { skip: noTerminal }, async () => {
  const emil = await person('emil', 'citadel');
  const args = [
    '--gatekeeper',
    network.gatekeeper,
    '--provider',
    network.provider,
    '--ca',
    network.ca,
    '--as',
    'frida',
  ];
  const secrets = { DRAWBRIDGE_PASSWORD: 'password of frida', DRAWBRIDGE_PASSPHRASE: 'a long passphrase' };
  const folder = join(network.folder, 'terminal');
  const frida = drawbridgeIn(100, ['chat', ...args, '--folder', folder], { ...secrets, NO_COLOR: '1' });
  terminals.push(frida);
  await frida.until(/connected\. \/help/);
  frida.type('/to citadel.example emil\r');
  let at = await frida.until(/writing to emil/);
  await emil.account.optOut('skylark.example');
  for (const text of ['first of them', 'second of them']) {
    frida.type(`${text}\r`);
    at = await frida.until(new RegExp(`not sent: ${text}[^]*?/failed`), at);
  }
  await emil.account.optIn('skylark.example');
  frida.type('/failed\r');
  at = await frida.until(/1 .*to emil: second of them \(not-reachable[^]*2 .*to emil: first of them/, at);
  frida.type('/resend 1\r');
  at = await frida.until(/delivered: second of them/, at);
  // Numbers are those of the list that was shown.
  frida.type('/drop 2\r');
  at = await frida.until(/let go: first of them/, at);
  frida.type('/failed\r');
  at = await frida.until(/nothing of yours has failed/, at);
  frida.type('/history\r');
  at = await frida.until(/you: second of them/, at);
  frida.type('/drop\r');
  await frida.until(/\/failed lists them, then \/drop NUMBER/, at);
  frida.type('/quit\r');
  assert.equal(await frida.ended, 0);
  assert.deepEqual(words(await historyOf(emil, messages => messages.length > 0)), ['second of them']);
  await emil.close();
});
