// What an application without types may give: a refusal with a code, and nothing is changed, kept or sent. In a folder with a
// history, without a stream.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Client, openClient } from './client.ts';
import { ClientError } from './errors.ts';
import { openEncryptedStore } from './store/encrypted-store.ts';

const anna = { provider: 'skylark.example', identifier: 'anna' };
const passphrase = 'a long passphrase';
const big = 'x'.repeat(32_768);

type Call = readonly [what: string, call: (client: Untyped) => unknown];
// As JavaScript sees it.
// oxlint-disable-next-line typescript/no-explicit-any -- every argument is of a wrong type
type Untyped = { readonly [Part in keyof Client]: any };

function calls(message: { readonly author: string; readonly id: string }): Call[] {
  const with_ = (what: string, values: readonly unknown[], call: (client: Untyped, value: never) => unknown): Call[] =>
    values.map(value => [`${what} ${String(value).slice(0, 20)}`, client => call(client, value as never)] as const);
  const image = {
    url: `https://x.example/${'a'.repeat(2_000)}`,
    key: new Uint8Array(64),
    digest: new Uint8Array(32),
    incrementalMac: new Uint8Array(),
    incrementalMacChunkBytes: 0,
    sizeBytes: 1,
    kind: 'image',
    mediaType: 'image/png',
    thumbnail: new Uint8Array(16_384),
  };
  return [
    ...with_('a timer of', [-1, NaN, Infinity, 1.5, 2 ** 53, '60', null, {}, 1n], (c, v) => c.chats.setTimer(anna, v)),
    ...with_('a text', ['\ud800', '', `${big}y`, 5, null, undefined, {}, ['x']], (c, text) => c.send(anna, { text })),
    ...with_('muted until', [NaN, -1, 2 ** 60, 'x', null], (c, mutedUntilMs) => c.chats.set(anna, { mutedUntilMs })),
    ...with_('pinned', [5, 'yes', null, {}], (c, pinned) => c.chats.set(anna, { pinned })),
    ...with_('a reaction', ['\ud83d', 'x'.repeat(65), 5, null, {}], (c, emoji) => c.chats.react(message, emoji)),
    ...with_('an edit of', ['zz', '', 'g'.repeat(32), null, 5], (c, id) => c.chats.edit(id, { text: 'x' })),
    ...with_(
      'to',
      [null, undefined, 5, '', 'x', {}, [], { ...anna, identifier: 'a\ufffe' }, { ...anna, identifier: '' }],
      (c, to) => c.send(to, { text: 'x' }),
    ),
    ...with_('in reply to', [null, 5, 'x', {}, { ...message, text: 5, sentAtMs: 1 }], (c, replyTo) =>
      c.send(anna, { text: 'x', replyTo }),
    ),
    ...with_('a page of', [NaN, Infinity, '5', null, 1.5], (c, limit) => c.chats.messages({ limit })),
    ...with_('a page before', [NaN, 'x', {}], (c, before) => c.chats.messages({ before })),
    ...with_('a search for', [5, null, '', 'a '.repeat(9)], (c, query) => c.chats.search(query).next()),
    ...with_('a draft', [5, null, `${big}y`], (c, draft) => c.chats.setDraft(anna, draft)),
    ...with_('a file', [null, 5, 'x', {}, { path: 5 }, { path: '' }, { from: null }], (c, v) => c.files.send(anna, v)),
    ...with_('a file from', ['x', 5, {}, [1], locked(), { size: 1 }], (c, from) => c.files.send(anna, { from })),
    ...with_('a size', [-1, 0.5, NaN, 'x', {}, 2 ** 60, 3], (c, sizeBytes) =>
      c.files.send(anna, { from: new Blob(['x']), sizeBytes }),
    ),
    ...with_('a name of a file', [5, null, {}, '\ud800'], (c, name) =>
      c.files.send(anna, { from: new Blob(['x']), name }),
    ),
    ...with_('a kind', ['device-sync', 'expiry-timer', 'sent-transcript', 'nothing', '__proto__', 5], (c, kind) =>
      c.send(anna, { kind, seconds: 1, version: 1, to: message.author, content: new Uint8Array(9) }),
    ),
    [
      'styles that split a character',
      c => c.send(anna, { text: '👨‍👩', styles: [{ start: 0, length: 1, style: 'bold' }] }),
    ],
    [
      'a style beyond the end',
      c => c.send(anna, { text: 'abc', styles: [{ start: 2, length: 0xffff_ffff, style: 'bold' }] }),
    ],
    [
      'previews above the sum',
      c => c.send(anna, { kind: 'attachment', attachments: Array.from({ length: 32 }, () => image) }),
    ],
    ['options that are the same', c => c.send(anna, { kind: 'poll', question: 'q', options: ['a', 'a'] })],
    ['a place nowhere', c => c.send(anna, { kind: 'location', latitude: NaN, longitude: 0 })],
    ['a vote on a text', c => c.chats.vote(message, [0])],
  ];
}

function locked(): ReadableStream<Uint8Array> {
  const stream = new Blob(['x']).stream();
  stream.getReader();
  return stream;
}

/** Everything that is kept, but for measured time. */
async function rowsOf(path: string): Promise<unknown> {
  const store = await openEncryptedStore({ path, key: { kind: 'passphrase', passphrase } });
  assert(store.ok);
  const rows = store.value.transaction(tx =>
    (['outbox', 'message', 'chat', 'contact', 'transcript', 'notice', 'orphan', 'profile', 'upload'] as const).flatMap(
      table => tx.list(table, { limit: 1_000 }).map(({ key, value }) => [table, key, value.toString('base64')]),
    ),
  );
  assert(rows.ok);
  store.value.close();
  return rows.value;
}

test('whatever an application gives, it is told by a code, and nothing is changed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-odd-'));
  const path = join(folder, 'drawbridge.db');
  copyFileSync(join(import.meta.dirname, 'testing/stores/0.1.0-version-5.db'), path);
  const before = await rowsOf(path);
  const client = await openClient({ folder, passphrase, gatekeeper: 'https://localhost:35697' });
  const [newest] = await client.chats.messages({ limit: 1 });
  const wrong: string[] = [];
  for (const [what, call] of calls({ author: newest!.message.author, id: newest!.message.id })) {
    try {
      await call(client);
      wrong.push(`${what}: it is taken`);
    } catch (error) {
      if (!(error instanceof ClientError)) wrong.push(`${what}: ${String(error)}`);
    }
  }
  await client.close();
  assert.deepEqual(wrong, []);
  assert.deepEqual(existsSync(join(folder, 'spool')) ? readdirSync(join(folder, 'spool')) : [], []);
  assert.deepEqual(await rowsOf(path), before);
  rmSync(folder, { recursive: true });
});
