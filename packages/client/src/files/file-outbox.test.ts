// What is kept of files to be sent, and what gives way. Sending itself: harness/src/scenarios/files.test.ts.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import { type Clock, systemClock } from '../clock.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { listNotices } from '../notices/notice-records.ts';
import { faultyStore } from '../testing/faulty-store.ts';
import { FileOutbox, type FileOutboxContext, fileOutboxLimits } from './file-outbox.ts';
import { Files } from './files.ts';
import { MediaCopies } from './media-copies.ts';
import { listUploads, type UploadRecord, writeUpload } from './upload-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore } from '../store/store.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-file-outbox-'));
const path = join(folder, 'file');
let store: EncryptedStore;
let files: Files;
let outbox: FileOutbox;
const events: ClientEvent[] = [];

before(async () => {
  writeFileSync(path, 'text');
  const key = { kind: 'key', key: new Uint8Array(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, 'store.db'), key });
  assert(opened.ok);
  store = opened.value;
  const copies = new MediaCopies({ folder, nameKey: () => key.key, nowMs: Date.now });
  // Without a provider everything fails for good, after it was accepted.
  const preparationFolder = join(folder, 'preparation');
  files = new Files({
    place: undefined,
    trust: {},
    placeTrust: {},
    nowMs: Date.now,
    pace: { clock: systemClock, random: Math.random },
    copies,
    preparationFolder,
    noteSaving: () => {},
  });
  outbox = new FileOutbox({
    store,
    files,
    clock: systemClock,
    emit: event => events.push(event),
    keepOnly: async () => {},
    deliver: () => assert.fail('nothing is delivered'),
  });
});
after(() => {
  outbox.close();
  files.close();
  store.close();
  rmSync(folder, { recursive: true });
});

function rows(): UploadRecord[] {
  const read = store.transaction(listUploads);
  assert(read.ok);
  return read.value.map(row => row.record);
}

function put(id: string, record: UploadRecord): void {
  assert(store.transaction(tx => writeUpload(tx, id, record)).ok);
}

test('what waits is never forgotten for what is new; what failed is', async () => {
  for (let i = 0; i < fileOutboxLimits.unsent; i += 1) {
    const words = { name: `name ${i}` };
    put(`waiting ${i}`, { path, looks: 'as before', atMs: 0, message: { to: '1-a', words } });
  }
  assert.ok(outbox.list().every(({ state }) => state === 'waiting'));
  await assert.rejects(outbox.send('1-b', { path }), { code: 'outbox-full' });
  outbox.resume();
  while (outbox.list().some(({ state }) => state !== 'failed')) await new Promise(resolve => setImmediate(resolve));
  const told = events.flatMap(event => (event.kind === 'file' ? [event.file] : []));
  assert.equal(told.length, fileOutboxLimits.unsent);
  assert.ok(told.every(({ state, failure }) => state === 'failed' && failure?.code === 'no-media-origin'));
  outbox.resume();
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.equal(events.length, told.length, 'what failed waits for a person');

  await assert.rejects(outbox.send('1-b', { path }), { code: 'no-media-origin' });
  assert.deepEqual(
    outbox.list().map(({ name }) => name),
    told.slice(1).map(({ name }) => name),
  );
  for (const { id } of outbox.list()) await outbox.drop(id);
  await outbox.drop('unknown');
  assert.deepEqual(rows(), []);
});

test('uploads whose message was given up are kept for a while, and not too many', async () => {
  const nowMs = Date.now();
  for (let i = 0; i < fileOutboxLimits.keptUploads + 4; i += 1) {
    put(`kept ${i}`, { path, looks: 'another', url: `https://x.example/${i}`, atMs: nowMs - i });
  }
  put('old', { path, looks: 'another', url: 'https://x.example/old', atMs: nowMs - fileOutboxLimits.keptUploadMs - 1 });
  await assert.rejects(outbox.send('1-b', { path }), { code: 'no-media-origin' });
  const expected = Array.from({ length: fileOutboxLimits.keptUploads }, (_, i) => `https://x.example/${i}`);
  assert.deepEqual(
    rows().map(({ url }) => url),
    expected,
  );
  assert.deepEqual(outbox.list(), [], 'nobody waits for them');
});

test('what can’t be sent at all is not accepted', async () => {
  const before = rows().length;
  await assert.rejects(outbox.send('1-b', { path: '' }), { code: 'invalid-argument' });
  await assert.rejects(outbox.send('1-b', { path: join(folder, 'none') }), { code: 'file-unreadable' });
  await assert.rejects(outbox.send('1-b', { path, name: 'n'.repeat(513) }), { code: 'content-refused' });
  await assert.rejects(outbox.send('1-b', { path, signal: AbortSignal.abort() }), { code: 'cancelled' });
  assert.equal(rows().length, before);
});

test('each kind of file that can not go is recorded as failed and overtaken; a full disk is waited for', async () => {
  for (const { id } of outbox.list()) await outbox.drop(id);
  let isFull = false;
  const told: ClientEvent[] = [];
  const timers: (() => void)[] = [];
  const faulty = faultyStore(store, access => (isFull && access === 'write' ? 'disk-full' : undefined));
  const clock: Clock = { nowMs: Date.now, after: (_, run) => (timers.push(run), () => {}) };
  const ends: Record<string, ClientErrorCode | 'broken' | 'sent'> = {
    missing: 'file-unreadable',
    changed: 'file-changed',
    altered: 'file-altered',
    large: 'file-too-large',
    broken: 'broken',
    later: 'unreachable',
    good: 'sent',
  };
  const played: FileOutboxContext['files'] = {
    look: () => assert.fail('all of them were looked at before'),
    send({ path: name }, deliver) {
      const end = ends[name]!;
      if (end === 'broken') throw new TypeError('broken code');
      if (end !== 'sent') throw new ClientError(end);
      return deliver({} as AttachmentPointer);
    },
  };
  const delivered: string[] = [];
  const deliver: FileOutboxContext['deliver'] = async (to, _pointer, _options, within) => {
    const done = faulty.transaction(within);
    if (!done.ok) throw new ClientError('store-failed', { cause: done.error });
    delivered.push(to);
    return {} as MessageRecord;
  };
  const emit = (event: ClientEvent): number => told.push(event);
  const keepOnly = async (): Promise<void> => {};
  const resumed = new FileOutbox({ store: faulty, files: played, clock, emit, keepOnly, deliver });
  for (const name of Object.keys(ends)) {
    put(name, { path: name, looks: 'as before', atMs: Date.now(), message: { to: `1-${name}`, words: { name } } });
  }
  isFull = true;
  resumed.resume();
  while (timers.length === 0) await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(delivered, []);
  assert.equal(resumed.list().length, Object.keys(ends).length, 'nothing is dropped for it');
  isFull = false;
  timers.pop()!();
  while (timers.length < 1) await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(delivered, ['1-good']);
  assert.deepEqual(
    resumed.list().map(({ name, state, failure }) => [name, state, failure?.code]),
    [
      ['missing', 'failed', 'file-unreadable'],
      ['changed', 'failed', 'file-changed'],
      ['altered', 'failed', 'file-altered'],
      ['large', 'failed', 'file-too-large'],
      ['broken', 'failed', 'protocol-error'],
      ['later', 'waiting', undefined],
    ],
  );
  resumed.close();
});

test('a file whose row is damaged goes, is told, and stops no other', async () => {
  for (const { id } of outbox.list()) await outbox.drop(id);
  assert(store.transaction(tx => tx.put('upload', 'damaged', Buffer.from('{'))).ok);
  put('sound', { path, looks: 'as before', atMs: Date.now(), message: { to: '1-a', words: {} } });
  assert.deepEqual(
    outbox.list().map(({ id }) => id),
    ['sound'],
  );
  const notices = store.transaction(listNotices);
  assert(notices.ok && notices.value.some(({ change }) => change.kind === 'unsent-damaged'));
  await outbox.drop('sound');
});

test('what nobody waits for goes by itself, one after the other; a pause holds it, also over a restart', async () => {
  for (const { id } of outbox.list()) await outbox.drop(id);
  const sent: string[] = [];
  const told: string[] = [];
  let held: PromiseWithResolvers<void> | undefined = Promise.withResolvers<void>();
  const played: FileOutboxContext['files'] = {
    look: async ({ path: wanted }) => ({ path: wanted, looks: wanted }),
    async send({ path: name, viewOnce = false, signal }, deliver) {
      signal?.throwIfAborted();
      const stopped = new Promise<never>((_, reject) =>
        signal?.addEventListener('abort', () => reject(new ClientError('cancelled'))),
      );
      await Promise.race([held?.promise, stopped]);
      sent.push(viewOnce ? `${name} once` : name);
      return deliver({} as AttachmentPointer);
    },
  };
  const deliver: FileOutboxContext['deliver'] = async (_to, _pointer, _options, within) => {
    assert(store.transaction(within).ok);
    return {} as MessageRecord;
  };
  const context = { store, files: played, clock: systemClock, keepOnly: async () => {}, deliver };
  const emit = (event: ClientEvent): void => {
    if (event.kind === 'file') told.push(`${event.file.name} ${event.file.state}`);
  };
  const first = new FileOutbox({ ...context, emit });
  const a = await first.queue('1-b', { path: 'a' });
  assert.equal(a.state, 'waiting');
  const b = await first.queue('1-b', { path: 'b', viewOnce: true });
  await first.pause(b.id);
  await first.pause(a.id);
  assert.deepEqual(
    first.list().map(({ name, state }) => `${name} ${state}`),
    ['a paused', 'b paused'],
  );
  // Earlier code of this version would send what only says `message`.
  assert.ok(rows().every(({ message }) => message === undefined));
  first.close();
  held.resolve();
  held = undefined;
  const second = new FileOutbox({ ...context, emit });
  second.resume();
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.deepEqual(sent, [], 'a restart does not go on with what is paused');
  second.goOn(b.id);
  second.goOn(a.id);
  second.goOn('unknown');
  while (second.list().length > 0) await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(new Set(sent), new Set(['a', 'b once']));
  assert.ok(told.includes('a sent') && told.includes('b sent') && told.includes('a paused'));
  // What came while others were under way is not left lying.
  held = Promise.withResolvers<void>();
  await second.queue('1-b', { path: 'c' });
  await second.queue('1-b', { path: 'd' });
  held.resolve();
  while (second.list().length > 0) await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(sent.slice(-2), ['c', 'd']);
  second.close();
});
