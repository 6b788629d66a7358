// History between two real stores over a way that loses, repeats and swaps pieces.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ContentBody, decodeContent, encodeContent, MAX_CONTENT_BYTES } from '@drawbridge/e2ee/content';
import * as fc from 'fast-check';
import { applySettings, applyTimer } from './chat-state.ts';
import type { Clock } from '../clock.ts';
import type { ClientEvent } from '../events.ts';
import { listMessages, record } from './history.ts';
import { HistoryTransfer } from './history-transfer.ts';
import { type MessageRecord, type Posted, textVersions } from './message-log.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { listEntries, readChat, readEntry, readExpiry, writeChat, writeExpiry } from '../store/message-records.ts';
import { readProfile, writeProfile } from '../store/person-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { faultyStore } from '../testing/faulty-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

const own = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;
const nowMs = 1_000_000;
const clock: Clock = { nowMs: () => nowMs, after: () => () => undefined };

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-transfer-'));
const stores: EncryptedStore[] = [];
after(() => {
  for (const store of stores) store.close();
  rmSync(folder, { recursive: true });
});

async function newStore(): Promise<EncryptedStore> {
  const path = join(folder, `${stores.length}.db`);
  const opened = await openEncryptedStore({ path, key: { kind: 'key', key: new Uint8Array(32) } });
  assert.ok(opened.ok);
  stores.push(opened.value);
  return opened.value;
}

function inStore<T>(store: EncryptedStore, work: (tx: Transaction) => T): T {
  const result = store.transaction(work);
  assert.ok(result.ok);
  return result.value;
}

type Body = Extract<ContentBody, { kind: 'history-piece' | 'history-request' }>;

class Device {
  readonly store: EncryptedStore;
  readonly deviceId: number;
  sent: Body[] = [];
  readonly events: ClientEvent[] = [];
  readonly noted: MessageRecord[] = [];
  transfer: HistoryTransfer;
  hasRoom = true;

  constructor(store: EncryptedStore, deviceId: number) {
    this.store = store;
    this.deviceId = deviceId;
    this.transfer = this.#make();
  }

  restart(): void {
    this.transfer = this.#make();
  }

  #make(): HistoryTransfer {
    const outbox: Pick<Outbox, 'add' | 'hasRoom'> = {
      hasRoom: () => this.hasRoom,
      add: (_, { payload, to, silent }) => {
        assert.ok(payload.kind === 'content' && to === own && silent);
        const bytes = Buffer.from(payload.content, 'base64');
        assert.ok(bytes.length <= MAX_CONTENT_BYTES);
        const content = decodeContent(bytes);
        assert.ok(content.ok);
        const { body } = content.value;
        assert.ok(body.kind === 'history-piece' || body.kind === 'history-request');
        this.sent.push(body);
        return 'id';
      },
    };
    return new HistoryTransfer({ own, clock, outbox, noted: message => void this.noted.push(message) });
  }

  take(from: number, bodies: readonly Body[]): void {
    for (const body of bodies) {
      this.events.push(...inStore(this.store, tx => this.transfer.receive(tx, from, body).events));
    }
  }

  out(): Body[] {
    const out = this.sent;
    this.sent = [];
    return out;
  }
}

const hexId = (n: number): string => n.toString(16).padStart(32, '0');

function fill(store: EncryptedStore, count: number): void {
  inStore(store, tx => {
    for (let i = 0; i < count; i++) {
      const author = i % 2 === 0 ? own : bob;
      const target = { author, id: hexId(i), chat: bob };
      const body: Posted['body'] =
        i % 10 === 3
          ? { kind: 'poll', question: `q${i}`, options: ['a', 'b', 'c'] }
          : { kind: 'text', text: `${i} ${'words '.repeat(i % 50)}` };
      const expiry = i % 17 === 0 ? { expiresAfterSeconds: 5_000 } : {};
      const once = i % 23 === 22 ? { viewOnce: true } : {};
      record(tx, own, target, {
        kind: 'posted',
        posted: { body, sentAtMs: i, receivedAtMs: 1_000 + i, ...expiry, ...once },
      });
      const stamp = { atMs: i, id: hexId(10_000 + i) };
      if (i % 3 === 0) record(tx, own, target, { kind: 'reacted', by: bob, stamp, emoji: String(i % 9) });
      if (i % 5 === 0)
        record(tx, own, target, { kind: 'edited', stamp, sentAtMs: i - (i % 2), text: { text: `edited ${i}` } });
      if (i % 10 === 3) record(tx, own, target, { kind: 'voted', by: own, stamp, version: 1, options: [i % 3] });
      if (i % 20 === 3) record(tx, own, target, { kind: 'closed', atMs: i + 1 });
      if (i % 40 === 3) {
        const closing = { atMs: i + 2, id: hexId(20_000 + i), counted: i % 80 === 3 ? [stamp.id] : [] };
        record(tx, own, target, { kind: 'closed', atMs: closing.atMs, closing });
      }
      if (author === bob && i % 4 !== 3) record(tx, own, target, { kind: 'read', atMs: nowMs - 5, hereMs: nowMs - 5 });
      if (author === own) record(tx, own, target, { kind: 'receipt', receipt: 'read', atMs: i + 2 });
      if (i % 13 === 5) record(tx, own, target, { kind: 'gone', why: 'deleted' });
      if (i % 19 === 7) record(tx, own, target, { kind: 'gone', why: 'hidden' });
    }
    let chat = readChat(tx, bob);
    chat = applySettings(chat, { pinned: true, sendRead: false }, { atMs: 7, id: hexId(1) });
    chat = applySettings(chat, { mutedUntilMs: 99 }, { atMs: 8, id: hexId(2) });
    writeChat(tx, applyTimer(chat, { seconds: 60, version: 3, atMs: 9, id: hexId(3), by: own }));
    writeChat(tx, applySettings(readChat(tx, 'defaults'), { sendTyping: false }, { atMs: 7, id: hexId(4) }));
    writeProfile(tx, bob, { atMs: 5, id: hexId(5), profile: { displayName: 'Bob' } });
    writeProfile(tx, own, { atMs: 5, id: hexId(6), profile: { displayName: 'Anna', about: 'me' } });
  });
}

/** What both devices must show. What is to be seen once, and what is hidden, does not travel. */
function state(store: EncryptedStore): unknown {
  return inStore(store, tx => ({
    messages: listMessages(tx, own, { limit: 1_000 })
      .map(row => row.message)
      .filter(message => message.kind !== 'view-once' && message.kind !== 'hidden')
      .map(({ receivedAtMs, reactions = {}, expiresAtMs, ...rest }) => {
        // Each device runs by its own clock.
        return { ...rest, reactions, receivedAtMs, runs: expiresAtMs !== undefined };
      }),
    versions: listEntries(tx, { limit: 1_000 })
      .map(({ entry }) => textVersions(entry))
      .filter(texts => texts.length > 0),
    settings: readChat(tx, bob).settings,
    timer: readChat(tx, bob).timer,
    defaults: readChat(tx, 'defaults').settings,
    profiles: [readProfile(tx, own), readProfile(tx, bob)],
  }));
}

test('all of it arrives, in order, with what became of it; what runs out goes on running', async () => {
  const [old, fresh] = [new Device(await newStore(), 1), new Device(await newStore(), 2)];
  fill(old.store, 600);
  old.transfer.promise();
  inStore(fresh.store, tx => fresh.transfer.ask(tx));
  for (let round = 0; round < 100 && (old.sent.length > 0 || fresh.sent.length > 0); round++) {
    old.take(2, fresh.out());
    fresh.take(1, old.out());
  }
  assert.deepEqual(state(fresh.store), state(old.store));
  const last = fresh.events.at(-1);
  assert.ok(last?.kind === 'history' && last.finished && last.done === 600 && last.total === 600);
  const given = old.events.at(-1);
  assert.ok(given?.kind === 'history' && given.finished && given.direction === 'sending');
  assert.ok(fresh.noted.some(message => message.expiresAtMs !== undefined));
  assert.ok(
    fresh.events.every(event => event.kind === 'history'),
    'history is not news',
  );
});

function give(old: Device, fresh: Device): void {
  old.transfer.promise();
  inStore(fresh.store, tx => fresh.transfer.ask(tx));
  for (let round = 0; round < 50 && (old.sent.length > 0 || fresh.sent.length > 0); round++) {
    old.take(2, fresh.out());
    fresh.take(1, old.out());
  }
}

for (const why of ['expired', 'opened', 'hidden', 'deleted'] as const) {
  test(`words that are ${why} do not come back by a quote of them`, async () => {
    const [old, fresh] = [new Device(await newStore(), 1), new Device(await newStore(), 2)];
    const words = 'the code is 1234';
    inStore(old.store, tx => {
      const original = { author: bob, id: hexId(1), chat: bob };
      const body = { kind: 'text', text: words } as const;
      record(tx, own, original, { kind: 'posted', posted: { body, sentAtMs: 1, receivedAtMs: 1 } });
      const replyTo = { id: original.id, author: bob, excerpt: words };
      const posted = { body: { kind: 'text', text: 'thanks' }, sentAtMs: 2, receivedAtMs: 2, replyTo } as const;
      record(tx, own, { author: own, id: hexId(2), chat: bob }, { kind: 'posted', posted });
      record(tx, own, original, { kind: 'gone', why });
    });
    give(old, fresh);
    const rows = inStore(fresh.store, tx => listMessages(tx, own, { limit: 10 }));
    const answer = rows.find(({ message }) => message.text === 'thanks')?.message;
    assert.equal(answer?.replyTo?.excerpt, '');
    assert.ok(!JSON.stringify(rows).includes(words));
  });
}

test('a message with parts that only later versions know goes on running on the new device', async () => {
  const [old, fresh] = [new Device(await newStore(), 1), new Device(await newStore(), 2)];
  const [running, still] = [hexId(1), hexId(2)];
  // Field 4000, a varint.
  const unknown = Buffer.from([0x80, 0xfa, 0x01, 0x01]);
  inStore(old.store, tx => {
    for (const id of [running, still]) {
      const body = { kind: 'text', text: id } as const;
      const said = { messageId: Buffer.from(id, 'hex'), sentAtMs: 1, expiresAfterSeconds: 900, body };
      const content = encodeContent(said);
      assert.ok(content.ok);
      const raw = Buffer.concat([content.value, unknown]);
      const posted = { body, sentAtMs: 1, receivedAtMs: 1, expiresAfterSeconds: 900, raw };
      record(tx, own, { author: bob, id, chat: bob }, { kind: 'posted', posted });
    }
    record(tx, own, { author: bob, id: running, chat: bob }, { kind: 'read', atMs: nowMs, hereMs: nowMs });
    writeExpiry(tx, { ...readExpiry(tx, bob, running)!, dueMs: 10_000 });
  });
  give(old, fresh);
  const entryOf = (id: string) => inStore(fresh.store, tx => readEntry(tx, bob, id)?.posted);
  assert.equal(entryOf(running)?.expiresAfterSeconds, 10);
  assert.equal(entryOf(still)?.expiresAfterSeconds, 900);
  for (const id of [running, still]) {
    const raw = entryOf(id)?.raw;
    assert.ok(raw !== undefined && Buffer.from(raw).includes(unknown), 'what nobody here knows is kept');
  }
});

test('lost, repeated and swapped pieces, and restarts: nothing is missing in the end', async () => {
  const source = await newStore();
  fill(source, 300);
  const target = await newStore();
  const chance = fc.array(fc.constantFrom('keep', 'keep', 'keep', 'lose', 'twice', 'swap', 'restart'), {
    minLength: 10,
    maxLength: 40,
  });
  const kinds = ['message', 'chat', 'orphan', 'expiry', 'profile', 'transfer'] as const;
  const clear = (tx: Transaction, tables: readonly (typeof kinds)[number][]): void => {
    for (const table of tables) for (const row of tx.list(table)) tx.delete(table, row.key);
  };
  await fc.assert(
    fc.asyncProperty(chance, chances => {
      inStore(target, tx => clear(tx, kinds));
      inStore(source, tx => clear(tx, ['transfer']));
      const [old, fresh] = [new Device(source, 1), new Device(target, 2)];
      inStore(target, tx => fresh.transfer.ask(tx));
      fresh.out();
      inStore(source, tx => old.transfer.begin(tx, 2));
      let spoiled = 0;
      const spoil = (bodies: Body[]): Body[] =>
        bodies.flatMap(body => {
          switch (chances[spoiled++] ?? 'keep') {
            case 'lose':
              return [];
            case 'twice':
              return [body, body];
            case 'swap':
              return [...bodies.slice(-1), body];
            case 'restart':
              old.restart();
              fresh.restart();
              return [body];
            default:
              return [body];
          }
        });
      for (let round = 0; round < 400; round++) {
        if (old.sent.length === 0 && fresh.sent.length === 0) {
          const done = fresh.events.some(event => event.kind === 'history' && event.finished);
          if (done) break;
          // Nothing is under way: as after a restart.
          fresh.restart();
          if (!inStore(target, tx => fresh.transfer.resume(tx))) inStore(target, tx => fresh.transfer.ask(tx));
        }
        old.take(2, spoil(fresh.out()));
        fresh.take(1, spoil(old.out()));
      }
      assert.deepEqual(state(target), state(source));
      return Promise.resolve();
    }),
    {
      numRuns: 8,
      // The new device's first question comes twice, and the beginning of what it was given second is lost.
      examples: [[['lose', 'keep', 'keep', 'keep', 'swap', 'keep', 'keep', 'keep', 'keep', 'lose', 'keep']]],
    },
  );
});

test('a device that was not promised it is not answered; the application is asked', async () => {
  const old = new Device(await newStore(), 1);
  old.take(2, [{ kind: 'history-request', nextIndex: 0 }]);
  assert.deepEqual(old.events, [{ kind: 'history-asked', deviceId: 2 }]);
  assert.deepEqual(old.sent, []);
});

test('with a full outbox nothing fails: it goes on when it is asked for again', async () => {
  const [old, fresh] = [new Device(await newStore(), 1), new Device(await newStore(), 2)];
  fill(old.store, 100);
  old.hasRoom = false;
  inStore(old.store, tx => old.transfer.begin(tx, 2));
  assert.deepEqual(old.out(), []);
  fresh.hasRoom = false;
  inStore(fresh.store, tx => fresh.transfer.ask(tx));
  assert.deepEqual(fresh.out(), []);
  old.hasRoom = true;
  fresh.hasRoom = true;
  inStore(fresh.store, tx => fresh.transfer.ask(tx));
  for (let round = 0; round < 50; round++) {
    old.take(2, fresh.out());
    fresh.take(1, old.out());
  }
  assert.deepEqual(state(fresh.store), state(old.store));
});

test('broken items and questions beyond what was sent change nothing', async () => {
  const device = new Device(await newStore(), 1);
  fill(device.store, 5);
  const before = state(device.store);
  const text = encodeContent({ messageId: Buffer.alloc(16, 9), sentAtMs: 1, body: { kind: 'text', text: 'forged' } });
  assert.ok(text.ok);
  const eve = `1-${'e'.repeat(26)}`;
  const items = [
    { author: eve, chat: bob, receivedAtMs: 1, content: text.value },
    { author: bob, chat: bob, receivedAtMs: 1, content: Uint8Array.of(1, 2, 3) },
    { author: own, chat: own, receivedAtMs: 1, content: text.value },
  ];
  const counts = { messagesDone: 1, messagesTotal: 1, last: false };
  device.take(2, [
    { kind: 'history-piece', transferId: Buffer.alloc(16, 1), index: 0, items, ...counts },
    { kind: 'history-piece', transferId: Buffer.alloc(16, 2), index: 3, items, ...counts },
    { kind: 'history-request', transferId: Buffer.alloc(16, 3), nextIndex: 1 },
  ]);
  assert.deepEqual(state(device.store), before);
  device.out();
  inStore(device.store, tx => device.transfer.begin(tx, 2));
  const [first] = device.out();
  assert.ok(first?.kind === 'history-piece');
  device.take(2, [{ kind: 'history-request', transferId: first.transferId, nextIndex: 4_000_000 }]);
  device.take(3, [{ kind: 'history-request', transferId: first.transferId, nextIndex: 1 }]);
  assert.deepEqual(device.out(), []);
});

test('history that nobody asked for is not taken in, nor that of a third device while another gives it', async () => {
  const old = new Device(await newStore(), 1);
  const third = new Device(await newStore(), 3);
  const fresh = new Device(await newStore(), 2);
  for (const { store } of [old, third]) fill(store, 40);
  const pieces = (device: Device): readonly Body[] => {
    inStore(device.store, tx => device.transfer.begin(tx, 2));
    return device.out();
  };
  fresh.take(1, pieces(old));
  assert.deepEqual([inStore(fresh.store, tx => tx.count('message')), fresh.out(), fresh.events], [0, [], []]);
  inStore(fresh.store, tx => fresh.transfer.ask(tx));
  fresh.take(1, pieces(old).slice(0, 1));
  const count = inStore(fresh.store, tx => tx.count('message'));
  const { length } = fresh.events;
  fresh.take(3, pieces(third));
  assert.deepEqual([inStore(fresh.store, tx => tx.count('message')), fresh.events.length], [count, length]);
  // The one that was asked may begin again.
  fresh.take(1, pieces(old));
  assert.equal(fresh.events.length > length, true);
});

type HistoryPiece = Extract<Body, { kind: 'history-piece' }>;

/** Until nothing more is said; on the way a piece may change. */
function play(giving: Device, taking: Device, onTheWay: (piece: HistoryPiece) => Body): void {
  giving.transfer.promise();
  inStore(taking.store, tx => taking.transfer.ask(tx));
  for (let asked = taking.out(); asked.length > 0; asked = taking.out()) {
    giving.take(taking.deviceId, asked);
    const given = giving.out().map(body => (body.kind === 'history-piece' ? onTheWay(body) : body));
    taking.take(giving.deviceId, given);
  }
}

test('history goes on past what can not be kept or read: a bad part costs itself alone', async () => {
  const [from, to, clean] = [await newStore(), await newStore(), await newStore()];
  fill(from, 60);
  play(new Device(from, 1), new Device(clean, 3), piece => piece);
  const all = (store: EncryptedStore): string[] =>
    inStore(store, tx => listMessages(tx, own, { limit: 1_000 })).map(({ message }) => message.id);
  // At the sender something of one message can't be read, at the receiver the row of another is refused.
  const [refused, unread] = [all(clean).find(id => id !== hexId(17))!, hexId(17)];
  const giving = new Device(
    faultyStore(from, (access, table, key) =>
      access === 'read' && table === 'expiry' && key.endsWith(unread) ? 'corrupt-row' : undefined,
    ),
    1,
  );
  const taking = new Device(
    faultyStore(to, (access, table, key) =>
      access === 'write' && table === 'message' && key.endsWith(refused) ? 'value-too-large' : undefined,
    ),
    2,
  );
  // A piece with an item that isn't a content, as a broken device would make it.
  play(giving, taking, piece => {
    const bad = { author: bob, chat: bob, receivedAtMs: 1, content: Uint8Array.of(1, 2, 3) };
    return { ...piece, items: [bad, ...piece.items] };
  });
  assert(taking.events.some(event => event.kind === 'history' && event.finished));
  const got = new Set(all(to));
  const missing = all(clean).filter(id => !got.has(id));
  assert.deepEqual(missing.sort(), [refused, unread]);
});

test('history is given past rows that the disk has damaged', async () => {
  const [old, fresh] = [new Device(await newStore(), 1), new Device(await newStore(), 2)];
  fill(old.store, 40);
  inStore(old.store, tx => {
    tx.put('message', tx.list('message')[20]!.key, Buffer.from('{'), bob);
    tx.put('chat', 'damaged', Buffer.from('{'));
  });
  old.transfer.promise();
  inStore(fresh.store, tx => fresh.transfer.ask(tx));
  for (let round = 0; round < 100 && (old.sent.length > 0 || fresh.sent.length > 0); round++) {
    old.take(2, fresh.out());
    fresh.take(1, old.out());
  }
  assert.deepEqual(state(fresh.store), state(old.store));
  const last = fresh.events.at(-1);
  assert.ok(last?.kind === 'history' && last.finished && last.done === 39);
});
