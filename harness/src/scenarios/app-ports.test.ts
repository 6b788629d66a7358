// People whose apps bring their own storage and their own sockets: over every transport, through crashes at any write, with a
// storage that is slow. What was sent arrives once, and nothing that came is lost.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { type Client, type ConnectSocket, defaultTransports, memoryStorage, type RowStorage } from '@drawbridge/client';
import { type Extra, type SdkNetwork, type Service, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

/** A person's device: its rows outlive its processes, of which one at a time is there. */
class Device {
  readonly rows = new Map<string, Uint8Array>();
  readonly sockets = new Set<Socket>();
  readonly asked = new Set<number>();
  readonly #identifier: string;
  readonly #at: Service;
  readonly #extra: Extra;
  /** Writes that this process still makes before its power fails. */
  #power = Infinity;

  constructor(identifier: string, at: Service, extra: Extra = {}) {
    this.#identifier = identifier;
    this.#at = at;
    this.#extra = extra;
  }

  async start(power = Infinity): Promise<Client> {
    this.#power = power;
    const { storage, connectSocket } = this.#process();
    const client = await network.open(this.#identifier, this.#at, { ...this.#extra, storage, connectSocket });
    if (client.me === undefined) await client.account.enlist();
    return client;
  }

  /** The power fails: nothing is written any more, and nothing goes over the network. */
  async crash(client: Client): Promise<void> {
    this.#power = 0;
    for (const socket of this.sockets) socket.destroy();
    await client.close().catch(() => undefined);
  }

  #process(): { storage: RowStorage; connectSocket: ConnectSocket } {
    const kept = memoryStorage(this.rows);
    const needPower = (): void => {
      if (this.#power <= 0) throw new Error('there is no power');
    };
    const storage: RowStorage = {
      ...kept,
      write: async change => {
        // As slow as a disk that is asked by messages between processes.
        for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
        needPower();
        this.#power--;
        await kept.write(change);
      },
    };
    const connectSocket: ConnectSocket = async (place, signal) => {
      needPower();
      const socket = connect({ ...place, signal });
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      this.asked.add(place.port);
      await once(socket, 'connect');
      return socket;
    };
    return { storage, connectSocket };
  }
}

const to = (identifier: string, provider = 'citadel.example') => ({ provider, identifier });

/** Texts as they come, until `count` are there. */
async function texts(client: Client, count: number): Promise<string[]> {
  const got: string[] = [];
  for await (const message of client.messages()) {
    got.push(message.text);
    if (got.length === count) break;
  }
  return got;
}

for (const transport of defaultTransports) {
  test(`${transport}: over sockets of the app, with rows in its storage`, async () => {
    const device = new Device(`una-${transport}`, 'skylark', { transports: [transport] });
    const una = await device.start();
    const vito = await network.open(`vito-${transport}`, 'citadel');
    await vito.account.enlist();
    await Promise.all([una.connect(), vito.connect()]);
    await vito.account.optIn('skylark.example');
    await una.send(to(`vito-${transport}`), { text: 'there' });
    assert.deepEqual(await texts(vito, 1), ['there']);
    await vito.send({ interopId: una.me!.interopId }, { text: 'and back' });
    assert.deepEqual(await texts(una, 1), ['and back']);
    const letter = new Blob(['through the app']);
    await una.files.send(to(`vito-${transport}`), { from: letter, name: 'letter.txt' });
    await una.close();
    const { http, xmpp, xmpps, websocket, compact } = network.ports;
    const ofStreams = { compact, starttls: xmpp, 'direct-tls': xmpps, websocket, 'compact-websocket': websocket };
    assert(device.asked.has(ofStreams[transport]), 'the stream');
    assert(device.asked.has(http), 'HTTPS to the gatekeeper');
    assert(device.asked.has(Number(new URL(network.provider).port)), 'HTTPS to the provider');
    const again = await device.start();
    const shown = (await again.chats.messages()).map(({ message }) => message.text);
    assert.deepEqual(shown, ['letter.txt', 'and back', 'there']);
    await Promise.all([again.close(), vito.close()]);
  });
}

test('the power of a sender fails at any write: what was sent arrives, once and in order', async () => {
  const writer = new Device('wanda', 'skylark');
  let wanda = await writer.start();
  const xaver = await network.open('xaver', 'citadel');
  await xaver.account.enlist();
  await Promise.all([wanda.connect(), xaver.connect()]);
  await xaver.account.optIn('skylark.example');
  await wanda.send(to('xaver'), { text: 'begin' });
  await wanda.close();
  const taken = ['begin'];
  for (let power = 1; power <= 12; power++) {
    // The first write is the opening's.
    wanda = await writer.start(power + 1);
    // Whatever fails for want of power was not taken.
    await wanda.connect().catch(() => undefined);
    for (let n = 0; n < 3; n++) {
      const text = `${power}.${n}`;
      await wanda.send(to('xaver'), { text }).then(
        () => taken.push(text),
        () => undefined,
      );
    }
    await writer.crash(wanda);
  }
  wanda = await writer.start();
  await wanda.connect();
  await wanda.send(to('xaver'), { text: 'end' });
  const got: string[] = [];
  for await (const message of xaver.messages()) {
    got.push(message.text);
    if (message.text === 'end') break;
  }
  // A send that was not fulfilled may have been taken all the same.
  const expected = new Set([...taken, 'end']);
  assert.deepEqual(
    got.filter(text => expected.has(text)),
    [...expected],
  );
  assert.equal(new Set(got).size, got.length, 'nothing comes twice');
  assert(!got.includes(''), 'nothing is unreadable');
  await Promise.all([wanda.close(), xaver.close()]);
});

test('the power of a reader fails at any write: everything comes, and nothing was acknowledged that was lost', async () => {
  const reader = new Device('yves', 'citadel');
  let yves = await reader.start();
  const zoe = await network.open('zoe', 'skylark');
  await zoe.account.enlist();
  await Promise.all([yves.connect(), zoe.connect()]);
  await yves.account.optIn('skylark.example');
  await zoe.send(to('yves'), { text: '0' });
  assert.deepEqual(await texts(yves, 1), ['0']);
  await yves.close();
  let sent = 0;
  for (let power = 1; power <= 10; power++) {
    yves = await reader.start(power + 1);
    await yves.connect().catch(() => undefined);
    for (let n = 0; n < 3; n++) await zoe.send(to('yves'), { text: `${++sent}` });
    // Something comes before the power is gone, or nothing can.
    while (reader.rows.size > 0 && yves.status.kind === 'online') {
      const before = reader.rows.size;
      await new Promise(resolve => setTimeout(resolve, 20));
      if (reader.rows.size === before) break;
    }
    await reader.crash(yves);
  }
  yves = await reader.start();
  await yves.connect();
  await zoe.send(to('yves'), { text: 'end' });
  const all = Array.from({ length: sent + 1 }, (_, n) => String(n));
  for await (const message of yves.messages()) if (message.text === 'end') break;
  const shown = (await yves.chats.messages({ limit: 1_000 })).map(({ message }) => message.text).reverse();
  assert.deepEqual(shown, [...all, 'end']);
  await Promise.all([yves.close(), zoe.close()]);
});
