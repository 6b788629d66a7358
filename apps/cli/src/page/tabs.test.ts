// Tabs over real sockets: numbered events, catching up, deeds done once, and frames that are none.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { WebSocket, WebSocketServer } from 'ws';
import type { DeskCommand, Outcome } from './desk.ts';
import { EventLog } from './event-log.ts';
import { KeptResults } from './kept-results.ts';
import { frameLimits, type ProcessFrame } from './protocol.ts';
import { Tabs } from './tabs.ts';

type Tab = { readonly socket: WebSocket; readonly frames: ProcessFrame[]; send(frame: unknown): void };

async function start(t: TestContext, obey: (command: DeskCommand) => Promise<Outcome>) {
  const tabs = new Tabs({ obey, now: () => ({ session: { kind: 'opening' }, link: { kind: 'connecting' } }) });
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: frameLimits.maxFrameBytes });
  await once(server, 'listening');
  server.on('connection', socket => tabs.add(socket));
  t.after(() => server.close());
  const open = async (): Promise<Tab> => {
    const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const frames: ProcessFrame[] = [];
    socket.on('message', data => frames.push(JSON.parse((data as Buffer).toString()) as ProcessFrame));
    socket.on('error', () => {});
    t.after(() => socket.terminate());
    await once(socket, 'open');
    return { socket, frames, send: frame => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)) };
  };
  return { tabs, open };
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 400, 'it did not happen');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

const events = ({ frames }: Tab): number[] => frames.flatMap(frame => (frame.kind === 'event' ? [frame.number] : []));

test('a tab that comes back gets what it missed, and only that', async t => {
  const { tabs, open } = await start(t, async () => ({ ok: true }));
  const first = await open();
  first.send({ kind: 'hello' });
  await until(() => first.frames.length === 1);
  const [welcome] = first.frames;
  assert.ok(welcome?.kind === 'welcome' && welcome.mode === 'reset');
  tabs.tell({ kind: 'people' });
  await until(() => events(first).length === 1);
  first.socket.close();
  await once(first.socket, 'close');
  tabs.tell({ kind: 'notices' });
  tabs.tell({ kind: 'people' });
  const again = await open();
  again.send({ kind: 'hello', epoch: welcome.epoch, after: 1 });
  await until(() => events(again).length === 2);
  assert.deepEqual(events(again), [2, 3]);
  assert.ok(again.frames[0]?.kind === 'welcome' && again.frames[0].mode === 'resumed');
  // Numbers of another process, of the future, or too old to be kept.
  for (let count = 0; count < frameLimits.maxKeptEvents; count++) tabs.tell({ kind: 'people' });
  for (const place of [
    { epoch: 'another', after: frameLimits.maxKeptEvents },
    { epoch: welcome.epoch, after: 1e9 },
    { epoch: welcome.epoch, after: 1 },
  ]) {
    const lost = await open();
    lost.send({ kind: 'hello', ...place });
    await until(() => lost.frames.length > 0);
    assert.ok(lost.frames[0]?.kind === 'welcome' && lost.frames[0].mode === 'reset', JSON.stringify(place));
    assert.deepEqual(events(lost), []);
  }
});

test('what is no frame ends the tab and reaches nobody', async t => {
  let obeyed = 0;
  const { open } = await start(t, async () => {
    obeyed++;
    return { ok: true };
  });
  const command = { kind: 'command', id: 1, key: 'k'.repeat(16), name: 'chats.list', arguments: {} };
  const wrong: unknown[] = [
    'no json',
    '[]',
    'null',
    { kind: 'hello', extra: 1 },
    { kind: 'hello', after: -1 },
    { ...command, key: 'short' },
    { ...command, id: '1' },
    { ...command, arguments: [] },
    { ...command, __proto__: { x: 1 }, more: 1 },
    command,
  ];
  for (const frame of wrong) {
    const tab = await open();
    tab.send(frame);
    const [code] = await once(tab.socket, 'close');
    assert.equal(code, 1008, JSON.stringify(frame));
  }
  const twice = await open();
  twice.send({ kind: 'hello' });
  twice.send({ kind: 'hello' });
  assert.equal((await once(twice.socket, 'close'))[0], 1008);
  const large = await open();
  large.send(JSON.stringify({ kind: 'hello', epoch: 'x'.repeat(frameLimits.maxFrameBytes) }));
  assert.equal((await once(large.socket, 'close'))[0], 1009);
  assert.equal(obeyed, 0);
});

test('a tab has so much under way and no more; the others go on', async t => {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const { open } = await start(t, () => promise);
  const tab = await open();
  tab.send({ kind: 'hello' });
  const most = frameLimits.maxUnderWay;
  for (let id = 0; id <= most; id++)
    tab.send({ kind: 'command', id, key: `key-${id}`.padEnd(16), name: 'x', arguments: {} });
  const results = () => tab.frames.filter(frame => frame.kind === 'result');
  await until(() => results().length === 1);
  const [refused] = results();
  assert.ok(
    refused?.kind === 'result' && !refused.ok && refused.error.code === 'too-many-commands' && refused.id === most,
  );
  resolve({ ok: true });
  await until(() => results().length === most + 1);
  for (let id = most + 1; id <= 2 * most; id++)
    tab.send({ kind: 'command', id, key: `key-${id}`.padEnd(16), name: 'x', arguments: {} });
  await until(() => results().length === 2 * most + 1);
  assert.equal(results().filter(each => each.kind === 'result' && each.ok).length, 2 * most, 'and then as many again');
});

test('a tab counts while it is open, and hears nothing before its hello', async t => {
  const { tabs, open } = await start(t, async () => ({ ok: true }));
  const opened: Tab[] = [];
  for (let count = 0; count < frameLimits.maxTabs; count++) opened.push(await open());
  await until(() => tabs.isFull);
  tabs.tell({ kind: 'people' });
  opened[0]!.send({ kind: 'hello' });
  await until(() => opened[0]!.frames.length === 1);
  assert.equal(opened[0]!.frames[0]?.kind, 'welcome');
  assert.deepEqual(opened[1]!.frames, []);
  opened[1]!.socket.close();
  await until(() => !tabs.isFull);
});

test('a tab that does not read is ended, and gets the rest when it comes back', async t => {
  const { tabs, open } = await start(t, async () => ({ ok: true }));
  const slow = await open();
  slow.send({ kind: 'hello' });
  await until(() => slow.frames.length === 1);
  slow.socket.pause();
  const text = 'x'.repeat(frameLimits.maxTextLength);
  const most = (2 * frameLimits.maxWaitingBytes) / text.length + 100;
  for (let count = 0; count < most; count++) tabs.tell({ kind: 'draft', chat: 'x', text });
  slow.socket.resume();
  assert.equal((await once(slow.socket, 'close'))[0], 1013);
  const after = events(slow).at(-1)!;
  assert.ok(after > 0 && after < most);
  const [welcome] = slow.frames;
  assert.ok(welcome?.kind === 'welcome');
  const again = await open();
  again.send({ kind: 'hello', epoch: welcome.epoch, after: most - 10 });
  await until(() => events(again).length === 10);
  // What it has is too old: all of it would be more than is kept.
  const lost = await open();
  lost.send({ kind: 'hello', epoch: welcome.epoch, after: 1 });
  await until(() => lost.frames.length > 0);
  assert.ok(lost.frames[0]?.kind === 'welcome' && lost.frames[0].mode === 'reset');
});

test('the log gives exactly what came after, whatever was kept', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 0, max: 70 }),
      (most, count, after) => {
        const log = new EventLog(most, 1_000_000);
        for (let each = 1; each <= count; each++) log.add(each);
        const found = log.after(after);
        if (after > count || after < count - most) assert.equal(found, undefined);
        else
          assert.deepEqual(
            found?.map(frame => JSON.parse(frame)),
            Array.from({ length: count - after }, (_, at) => {
              const number = after + 1 + at;
              return { kind: 'event', number, event: number };
            }),
          );
      },
    ),
  );
});

test('what is kept has a size together, whoever writes how much', () => {
  const log = new EventLog(1_000, 10_000);
  for (let each = 1; each <= 100; each++) log.add('ä'.repeat(1_000));
  const bytes = (frames: readonly string[]): number => frames.reduce((sum, frame) => sum + Buffer.byteLength(frame), 0);
  assert.equal(log.after(95), undefined);
  assert.equal(log.after(96)?.length, 4);
  assert.ok(bytes(log.after(96)!) <= 10_000);
  log.add('x'.repeat(20_000));
  assert.deepEqual(
    [log.last, log.after(100), log.after(101)],
    [101, undefined, []],
    'too large to be kept: asked for again',
  );
  log.add('small');
  assert.equal(log.after(101)?.length, 1);
});

test('one key is one deed: its repeats get its result, another command under it gets none', async () => {
  const kept = new KeptResults<number>(2);
  let runs = 0;
  const run = async (): Promise<number> => ++runs;
  assert.deepEqual(await Promise.all([kept.once('a', 'x', run), kept.once('a', 'x', run)]), [1, 1]);
  assert.equal(kept.once('a', 'y', run), undefined);
  await kept.once('b', 'x', run);
  await kept.once('c', 'x', run);
  assert.equal(await kept.once('c', 'x', run), 3);
  assert.equal(await kept.once('a', 'x', run), 4, 'forgotten after so many others');
});
