// Nobody's share is everybody's, over real sockets: places before login by /64 and /48, and who waits when storage lags.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { clientAddress } from '@drawbridge/gatekeeper/http/client-address';
import { defaultShaperLimits } from '@drawbridge/gatekeeper/routing/stream-shaper';
import { attribute } from '@drawbridge/wire/element';
import { WebSocket } from 'ws';
import { ciphertextFor, envelope, RawNetwork } from './raw-network.ts';

test('one /64 and one /48 take their share of the places before login; others still find theirs', async t => {
  const network = await RawNetwork.open({
    listener: { maxUnauthenticatedPerAddress: 4, maxUnauthenticatedPerSite: 6 },
    addressOf: clientAddress(['127.0.0.1']),
  });
  const { ca, ports } = network.target;
  const open: WebSocket[] = [];
  t.after(async () => {
    for (const socket of open) socket.terminate();
    await network.close();
  });
  /** Gives the status of a refusal, 101 for a place. */
  const connect = async (address: string): Promise<number> => {
    const headers = { 'x-forwarded-for': address };
    const socket = new WebSocket(`wss://localhost:${ports.websocket}/xmpp`, 'xmpp', { ca, headers });
    open.push(socket);
    socket.on('error', () => {});
    const refused = once(socket, 'unexpected-response').then(([, response]) => response.statusCode as number);
    return await Promise.race([once(socket, 'open').then(() => 101), refused]);
  };
  const answers: number[] = [];
  for (let i = 0; i < 6; i++) answers.push(await connect(`2001:db8:66:0:${i + 1}::${i + 1}`));
  assert.deepEqual(answers, [101, 101, 101, 101, 503, 503], 'all addresses of a /64 are one');
  answers.length = 0;
  for (let i = 0; i < 4; i++) answers.push(await connect(`2001:db8:66:${i + 1}::1`));
  assert.deepEqual(answers, [101, 101, 503, 503], 'a /48 has its own bound');
  assert.equal(await connect('2001:db8:67::1'), 101);
  assert.equal(await connect('192.0.2.7'), 101);
  open[0]!.terminate();
  await once(open[0]!, 'close');
  while (network.core.listenerHost.gate.unauthenticated > 7) await new Promise(resolve => setTimeout(resolve, 5));
  assert.equal(await connect('2001:db8:66:0:9::9'), 101, 'who leaves makes room');
});

test('when storage stands still, those who filled it wait, and others are answered', { timeout: 30_000 }, async t => {
  const network = await RawNetwork.open({ mailbox: { maxUnwrittenBytes: 100_000 } });
  t.after(() => network.close());
  const [flooder, small, away] = [
    await network.person('flooder'),
    await network.person('small'),
    await network.person('away'),
  ];
  const [flooding, modest] = [await network.login(flooder), await network.login(small)];
  await flooding.ping();
  const { store } = network.fixture;
  const run = store.run.bind(store);
  const released = Promise.withResolvers<void>();
  const held: typeof store.run = async (command, args) => {
    await released.promise;
    return await run(command, args);
  };
  Object.assign(store, { run: held });
  await flooding.sendAll(
    Array.from({ length: 20 }, (_, i) => envelope(flooder, away.bareJid, `m${i}`, ciphertextFor(1, 20_000))),
  );
  while (!network.log.some(line => line.startsWith('storage-congested'))) {
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  for (let i = 0; i < 20; i++) await modest.ping();
  assert.equal(
    network.log.some(line => line.startsWith('storage-caught-up')),
    false,
  );
  released.resolve();
  let handled = 0;
  for (let i = 0; i < 10 && handled < 21; i++) handled = await flooding.acknowledged();
  assert.equal(handled, 21);
  assert.equal(await network.stored(away), 20);
  for (const each of [flooding, modest]) each.cut();
});

for (const transport of ['direct', 'starttls', 'websocket'] as const) {
  test(`${transport}: what a stream said above its rate waits, also when it came in one read, and keeps its order`, async t => {
    const shaper = { ...defaultShaperLimits, stanzaBurst: 10, stanzasPerSecond: 100 };
    const network = await RawNetwork.open({ session: { shaper } });
    t.after(() => network.close());
    const flooding = await network.login(await network.person('flooder'), transport);
    const count = 300;
    const pings = Array.from(
      { length: count },
      (_, i) => `<iq xmlns='jabber:client' type='get' id='f${i}'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
    if (transport === 'websocket') for (const each of pings) flooding.send(each);
    else flooding.send(pings.join(''));
    const answers = (): (string | undefined)[] =>
      flooding.inbox.filter(el => el.name === 'iq').map(el => attribute(el, 'id'));
    const sentAtMs = performance.now();
    await flooding.until('most answers', () => answers().length >= 200);
    const tookMs = performance.now() - sentAtMs;
    // One piece, of some 115, is taken at once.
    assert.ok(tookMs > 500, `200 were answered after ${tookMs} ms`);
    await flooding.until('all answers', () => answers().length === count);
    assert.deepEqual(
      answers(),
      Array.from({ length: count }, (_, i) => `f${i}`),
    );
    flooding.cut();
  });
}
