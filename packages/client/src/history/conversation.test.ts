// What contents do to a real store: the same on every device, whatever comes first; and nobody says what is not theirs to say.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Content, type ContentBody, decodeContent, encodeContent } from '@drawbridge/e2ee/content';
import type { DeviceSync } from '@drawbridge/e2ee/content-kinds';
import { heardStamp, MAX_OWN_STAMP_MS, nextStamp } from '@drawbridge/e2ee/hybrid-clock';
import * as fc from 'fast-check';
import { closingPoll } from './acts.ts';
import { addSaid } from './conversation.ts';
import { exportMessages, historyLimits, listMessages, readMessage, searchMessages, searchWords } from './history.ts';
import { type MessageRecord, textVersions } from './message-log.ts';
import { listNotices } from '../notices/notice-records.ts';
import { readChat, readEntry } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';
import { readStamp } from '../store/account-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

const anna = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;
const eve = `1-${'e'.repeat(26)}`;

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-conversation-'));
const stores: EncryptedStore[] = [];
after(() => {
  for (const store of stores) store.close();
  rmSync(folder, { recursive: true });
});

async function allOf<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

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

const id = (n: number): Uint8Array => Buffer.alloc(16, n);
const hexId = (n: number): string => Buffer.from(id(n)).toString('hex');
const ref = (n: number, author: string) => ({ messageId: id(n), author, sentAtMs: 1_000 + n });

type Said = { readonly author: string; readonly chat: string; readonly raw: Uint8Array };

function say(author: string, chat: string, n: number, body: ContentBody, more: Partial<Content> = {}): Said {
  const encoded = encodeContent({ messageId: id(n), sentAtMs: 1_000 + n, ...more, body });
  assert.ok(encoded.ok, JSON.stringify(encoded));
  return { author, chat, raw: encoded.value };
}

const nowMs = 1_000_000;

/** As bob's device takes it in. */
function hear(tx: Transaction, ...all: readonly Said[]): void {
  for (const { author, chat, raw } of all) {
    const decoded = decodeContent(raw);
    assert.ok(decoded.ok);
    addSaid(tx, bob, { author, chat, content: decoded.value, receivedAtMs: nowMs }, nowMs);
  }
}

/** Everything that was said between anna and bob, as bob's devices get it: from her, and as copies of what he says. */
function conversation(random: fc.GeneratorValue): Said[] {
  const said: Said[] = [];
  let n = 1;
  const posts: { n: number; author: string; isPoll: boolean }[] = [];
  const pick = <T>(values: readonly T[]): T => random(fc.constantFrom, ...values);
  for (let i = 0; i < 6; i++) {
    const author = pick([anna, bob]);
    const isPoll = i % 3 === 2;
    const body: ContentBody = isPoll
      ? { kind: 'poll', question: 'q', options: ['x', 'y', 'z'] }
      : { kind: 'text', text: `message ${i}` };
    posts.push({ n, author, isPoll });
    said.push(say(author, anna, n++, body, pick([{}, { expiresAfterSeconds: 60 }])));
  }
  for (let i = 0; i < 20; i++) {
    const by = pick([anna, bob]);
    const post = pick(posts);
    const target = ref(post.n, post.author);
    const choices: ContentBody[] = [
      { kind: 'reaction', target, emoji: pick(['', 'a', 'b']) },
      { kind: 'edit', targetMessageId: target.messageId, text: { text: `edit ${n}` } },
      { kind: 'receipt', receipt: pick(['delivered', 'read', 'played']), messageIds: [target.messageId] },
      { kind: 'expiry-timer', seconds: n, version: pick([1, 2]) },
      { kind: 'profile', displayName: `name ${n}` },
      { kind: 'poll-vote', poll: target, options: pick([[], [0], [1, 2]]), version: pick([1, 2, 3]) },
      { kind: 'poll-close', pollMessageId: target.messageId },
      ...(i % 7 === 0 ? [{ kind: 'delete', targetMessageId: target.messageId } as const] : []),
    ];
    said.push(say(by, anna, n++, pick(choices)));
  }
  for (const post of posts.slice(0, 3)) {
    const message = ref(post.n, post.author);
    const sync: ContentBody[] = [
      { kind: 'device-sync', reads: [{ message, chat: anna, readAtMs: 2_000 + n }] },
      { kind: 'device-sync', chats: [{ chat: anna, pinned: n % 2 === 0, sendRead: n % 3 === 0 }] },
      ...(post.n === 2 ? [{ kind: 'device-sync', hidden: [{ message, chat: anna }] } as const] : []),
    ];
    said.push(say(bob, bob, n++, pick(sync)));
  }
  return said;
}

/** What a person sees, and what is counted. */
function state(tx: Transaction): unknown {
  const rows = listMessages(tx, bob, { limit: 1_000 }).map(row => row.message);
  const messages = rows.sort((a, b) => (a.author + a.id < b.author + b.id ? -1 : 1));
  const chat = readChat(tx, anna);
  const unread = messages.filter(
    each =>
      each.author === anna && each.read !== true && !['deleted', 'hidden', 'expired', 'opened'].includes(each.kind),
  );
  assert.equal(chat.unread, unread.length, 'the count is what it counts');
  return { messages, chat, profiles: [readProfile(tx, anna), readProfile(tx, bob)] };
}

test('whatever comes first, twice, or before what it speaks of: every device ends in the same state', async () => {
  const [one, other] = [await newStore(), await newStore()];
  const clear = (tx: Transaction): void => {
    for (const table of ['message', 'chat', 'orphan', 'expiry', 'profile'] as const) {
      for (const row of tx.list(table)) tx.delete(table, row.key);
    }
  };
  fc.assert(
    fc.property(fc.gen(), fc.infiniteStream(fc.nat()), (random, chances) => {
      const all = conversation(random);
      const shuffled = all
        .flatMap((each, i) => (i % 3 === 0 ? [each, each] : [each]))
        .map(each => ({ each, at: chances.next().value ?? 0 }))
        .sort((a, b) => a.at - b.at)
        .map(({ each }) => each);
      const states = [all, shuffled].map((order, i) =>
        inStore(i === 0 ? one : other, tx => {
          clear(tx);
          hear(tx, ...order);
          for (const { key } of tx.list('orphan')) {
            assert.equal(tx.get('message', key.split('\n')[1]!), undefined, 'nothing waits for what has come');
          }
          return state(tx);
        }),
      );
      assert.deepEqual(states[1], states[0]);
    }),
    { numRuns: 25 },
  );
});

test('nobody says what is not theirs to say', async () => {
  const store = await newStore();
  const shown = inStore(store, tx => {
    hear(
      tx,
      say(anna, anna, 1, { kind: 'text', text: 'hers' }),
      say(bob, anna, 2, { kind: 'text', text: 'his' }),
      say(anna, anna, 3, { kind: 'poll', question: 'q', options: ['a', 'b'] }),
    );
    const before = state(tx);
    hear(
      tx,
      // Edits, deletions and closings name one's own messages: somebody else's stays as it is, and waits for nothing of his.
      say(anna, anna, 10, { kind: 'edit', targetMessageId: id(2), text: { text: 'forged' } }),
      say(anna, anna, 11, { kind: 'delete', targetMessageId: id(2) }),
      say(bob, anna, 12, { kind: 'poll-close', pollMessageId: id(3) }),
      // From another chat: about messages that are not of that chat.
      say(eve, eve, 13, { kind: 'reaction', target: ref(1, anna), emoji: 'x' }),
      say(eve, eve, 14, { kind: 'reaction', target: ref(2, bob), emoji: 'x' }),
      say(eve, eve, 15, { kind: 'receipt', receipt: 'read', messageIds: [id(2)] }),
      say(eve, eve, 16, { kind: 'poll-vote', poll: ref(3, anna), options: [0], version: 1 }),
      // What only one's own devices may say.
      say(anna, anna, 17, { kind: 'device-sync', hidden: [{ message: ref(1, anna), chat: anna }] }),
    );
    assert.deepEqual(state(tx), before);
    // The message that eve's receipt spoke of comes to light in her chat: her facts are hers alone.
    hear(tx, say(bob, eve, 20, { kind: 'text', text: 'to her' }));
    return readMessage(tx, bob, { author: bob, id: hexId(20) });
  });
  assert.equal(shown?.state, 'sent');
});

test('facts about messages that never come are bounded, for each chat by itself', async () => {
  const store = await newStore();
  const { maxOrphansPerChat } = historyLimits;
  inStore(store, tx => {
    hear(tx, say(eve, eve, 1, { kind: 'edit', targetMessageId: id(77), text: { text: 'waits' } }));
    for (let i = 0; i < maxOrphansPerChat * 2; i++) {
      const target = { messageId: Buffer.from(String(i).padStart(16, '0')), author: bob, sentAtMs: 0 };
      hear(tx, say(anna, anna, 5, { kind: 'reaction', target, emoji: 'x' }));
    }
    assert.equal(tx.count('orphan', anna), maxOrphansPerChat);
    assert.equal(tx.count('orphan', eve), 1);
    hear(tx, say(eve, eve, 77, { kind: 'text', text: 'comes' }));
    assert.equal(readMessage(tx, bob, { author: eve, id: hexId(77) })?.text, 'waits');
  });
});

test('what can not be shown is kept; quiet contents are not shown at all', async () => {
  const store = await newStore();
  inStore(store, tx => {
    // Field 62, unknown to this code, with a fallback text (35) and once more with the mark for quiet contents (36).
    const head = [0x0a, 16, ...id(1), 0x10, 5];
    const later = [0xf2, 0x03, 0x02, 0x68, 0x69];
    const fallback = [0x9a, 0x02, 0x02, 0x79, 0x6f];
    const raw = Uint8Array.from([...head, ...later, ...fallback]);
    const quiet = Uint8Array.from([0x0a, 16, ...id(2), 0x10, 5, ...later, 0xa0, 0x02, 1]);
    hear(tx, { author: anna, chat: anna, raw }, { author: anna, chat: anna, raw: quiet });
    const [row, ...more] = listMessages(tx, bob, { limit: 10 });
    assert.equal(more.length, 0);
    assert.equal(row?.message.kind, 'unsupported');
    assert.equal(row.message.text, 'yo');
  });
});

test('search folds case and accents, skips what is gone, and goes page by page; export gives what is shown', async () => {
  const store = await newStore();
  const count = historyLimits.pageRows * 2 + 10;
  inStore(store, tx => {
    for (let i = 0; i < count; i++) {
      const text = i % 100 === 0 ? `Ünïque Straße number ${i}` : `chatter ${i}`;
      hear(
        tx,
        say(
          i % 2 === 0 ? anna : bob,
          anna,
          0,
          { kind: 'text', text },
          { messageId: Buffer.from(String(i).padStart(16, '0')) },
        ),
      );
    }
    hear(tx, say(anna, anna, 3, { kind: 'delete', targetMessageId: Buffer.from('0'.repeat(13) + '200') }));
    hear(tx, say(anna, anna, 4, { kind: 'text', text: 'unique secret' }, { viewOnce: true }));
    hear(tx, say(eve, eve, 5, { kind: 'poll', question: 'unique?', options: ['straße number', 'b'] }));
  });
  const context = {
    transaction: <T>(work: (tx: Transaction) => T) => inStore(store, work),
    own: bob,
    nowMs: () => nowMs,
  };
  const find = async (query: string, chat?: string): Promise<MessageRecord[]> => {
    const words = searchWords(query);
    assert.ok(words);
    return (await allOf(searchMessages(context, words, chat === undefined ? {} : { chat }))).map(row => row.message);
  };
  assert.deepEqual(
    (await find('NUMBER unique', anna)).map(message => message.text.match(/\d+/)?.[0]),
    ['400', '300', '100', '0'],
  );
  assert.equal((await find('unique number')).length, 5);
  assert.equal((await find('nowhere')).length, 0);
  assert.equal(searchWords('  '), undefined);
  assert.equal(searchWords('a '.repeat(9)), undefined);
  const lines = (await allOf(exportMessages(context, undefined))).map(line => JSON.parse(line) as MessageRecord);
  assert.equal(lines.length, count + 1);
  assert.equal(lines[0]?.text, 'Ünïque Straße number 0');
  assert.ok(!JSON.stringify(lines).includes('secret'));
});

test('a device whose clock was far ahead makes nothing ineffective that its person says later elsewhere', async () => {
  const store = await newStore();
  const yearMs = 31_536_000_000;
  for (const aheadMs of [7_200_000, yearMs, MAX_OWN_STAMP_MS]) {
    const pinned = say(
      bob,
      bob,
      1,
      { kind: 'device-sync', chats: [{ chat: anna, pinned: true }] },
      { sentAtMs: aheadMs },
    );
    inStore(store, tx => hear(tx, pinned));
    const named = say(bob, bob, 2, { kind: 'profile', displayName: 'Bob before' }, { sentAtMs: aheadMs });
    inStore(store, tx => hear(tx, named));
    // This device's clock is right. What it says now is said later.
    const stampMs = inStore(store, tx => nextStamp(nowMs, readStamp(tx)));
    const later = { sentAtMs: nowMs, stampMs };
    inStore(store, tx =>
      hear(tx, say(bob, bob, 3, { kind: 'device-sync', chats: [{ chat: anna, pinned: false }] }, later)),
    );
    inStore(store, tx => hear(tx, say(bob, bob, 4, { kind: 'profile', displayName: 'Bob now' }, later)));
    inStore(store, tx => {
      assert.equal(readChat(tx, anna).settings.pinned?.value, false, `${aheadMs} ms ahead`);
      assert.equal(readProfile(tx, bob)?.profile.displayName, 'Bob now', `${aheadMs} ms ahead`);
    });
  }
  // Others move nothing here.
  const before = inStore(store, readStamp);
  inStore(store, tx =>
    hear(tx, say(anna, anna, 5, { kind: 'text', text: 'far ahead' }, { sentAtMs: MAX_OWN_STAMP_MS + 1_000 })),
  );
  assert.equal(inStore(store, readStamp), before);
});

test('the versions of a text are in the order of the stamps, and dated by the clock of their author', async () => {
  const store = await newStore();
  const yearMs = 31_536_000_000;
  inStore(store, tx => {
    hear(tx, say(anna, anna, 1, { kind: 'text', text: 'one' }, { sentAtMs: 5_000 }));
    const edit = (n: number, text: string, sentAtMs: number, stampMs: number): Said =>
      say(anna, anna, n, { kind: 'edit', targetMessageId: id(1), text: { text } }, { sentAtMs, stampMs });
    // Her clock was a year ahead when she wrote the first, and right afterwards.
    hear(tx, edit(3, 'three', 7_000, yearMs + 1), edit(2, 'two', yearMs, yearMs));
    const versions = textVersions(readEntry(tx, anna, hexId(1))!);
    assert.deepEqual(
      versions.map(({ text, atMs }) => [text.text, atMs]),
      [
        ['one', 5_000],
        ['two', yearMs],
        ['three', 7_000],
      ],
    );
  });
});

test('what did not leave before its time ran out is told here in each chat, once for each word of another device', async () => {
  const store = await newStore();
  inStore(store, tx => {
    const told = (n: number, ...chats: readonly string[]): void => {
      const notApplied = chats.map(chat => ({ what: 'message', message: ref(n, bob), chat }) as const);
      hear(tx, say(bob, bob, n, { kind: 'device-sync', notApplied }));
    };
    told(1, anna, anna, eve, bob);
    told(2, anna);
    const lines = listMessages(tx, bob, { limit: 10 }).map(({ message }) => [message.chat, message.notice?.kind]);
    assert.deepEqual(lines, [
      [anna, 'never-sent'],
      [eve, 'never-sent'],
      [anna, 'never-sent'],
    ]);
    assert.deepEqual(
      listNotices(tx).map(({ change, times }) => [change, times]),
      [
        [{ kind: 'never-sent', interopId: eve }, 1],
        [{ kind: 'never-sent', interopId: anna }, 2],
      ],
    );
  });
});

test('ending a poll keeps the votes that its author has heard, whatever the author’s clock has done', async () => {
  const hourMs = 3_600_000;
  const rightMs = 10 * hourMs;
  for (const [why, askedAtMs, closedAtMs] of [
    ['an hour back at the end', rightMs, rightMs - hourMs],
    ['two hours ahead at the beginning, right at the end', rightMs + 2 * hourMs, rightMs + 2],
  ] as const) {
    const store = await newStore();
    inStore(store, tx => {
      const poll = { kind: 'poll', question: 'when?', options: ['now', 'later'] } as const;
      hear(tx, say(bob, anna, 1, poll, { sentAtMs: askedAtMs }));
      const vote = { kind: 'poll-vote', poll: ref(1, bob), options: [0], version: 1 } as const;
      hear(tx, say(anna, anna, 2, vote, { sentAtMs: rightMs + 1 }));
      const close = { kind: 'poll-close', pollMessageId: ref(1, bob).messageId } as const;
      // Stamped as this device stamps what its person says.
      const stampMs = nextStamp(closedAtMs, Math.max(askedAtMs, rightMs + 1));
      hear(tx, say(bob, anna, 3, close, { sentAtMs: closedAtMs, stampMs }));
      const shown = readMessage(tx, bob, { author: bob, id: hexId(1) })?.poll;
      assert.deepEqual(shown, { votes: { [anna]: [0] }, closed: true }, why);
    });
  }
});

test('a vote by a clock that is ahead counts on every device when it came before the end, whatever comes first there', async () => {
  const aheadMs = 86_400_000;
  const poll = say(bob, anna, 1, { kind: 'poll', question: 'when?', options: ['now', 'later'] }, { sentAtMs: nowMs });
  const vote = (n: number, option: number, version: number): Said => {
    const body = { kind: 'poll-vote', poll: ref(1, bob), options: [option], version } as const;
    return say(anna, anna, n, body, { sentAtMs: nowMs + aheadMs + n });
  };
  const [ending, other, fresh] = [await newStore(), await newStore(), await newStore()];
  const end = inStore(ending, tx => {
    hear(tx, poll, vote(2, 0, 1));
    const { votes } = readEntry(tx, bob, hexId(1))!;
    const shown = readMessage(tx, bob, { author: bob, id: hexId(1) })!;
    const body = closingPoll(shown, ref(1, bob), { votes: votes! }, bob);
    const stampMs = nextStamp(nowMs, heardStamp(nowMs, 0, nowMs + aheadMs));
    const said = say(bob, anna, 4, body, { sentAtMs: nowMs, stampMs });
    hear(tx, said);
    return said;
  });
  // Given after the end was made.
  const late = vote(3, 1, 2);
  inStore(ending, tx => hear(tx, late));
  inStore(other, tx => hear(tx, end, late, vote(2, 0, 1), poll));
  inStore(fresh, tx => hear(tx, poll, late, end, vote(2, 0, 1)));
  for (const store of [ending, other, fresh]) {
    const shown = inStore(store, tx => readMessage(tx, bob, { author: bob, id: hexId(1) })!);
    assert.deepEqual(shown.poll, { votes: { [anna]: [0] }, closed: true });
    assert.throws(() => closingPoll(shown, ref(1, bob), {}, bob), { code: 'not-applicable' });
  }
});

test('a quote shows the original that is here, and never words that others put into one’s mouth', async () => {
  const store = await newStore();
  const quoting = (n: number, of: number, author: string, excerpt: string): Said =>
    say(anna, anna, n, { kind: 'text', text: `answer ${n}` }, { replyTo: { target: ref(of, author), excerpt } });
  inStore(store, tx => {
    hear(
      tx,
      say(bob, anna, 1, { kind: 'text', text: 'I never said that' }),
      say(anna, anna, 2, { kind: 'text', text: 'hers' }),
    );
    hear(tx, say(bob, eve, 3, { kind: 'text', text: 'told to Eve alone' }));
    hear(tx, quoting(10, 1, bob, 'I owe you 500'), quoting(11, 2, anna, 'not hers'));
    hear(tx, quoting(12, 99, bob, 'I owe you 500'), quoting(13, 98, anna, 'what she says she said'));
    hear(tx, quoting(14, 3, bob, 'x'), quoting(15, 97, eve, 'Eve says'));
    const shown = (n: number) => readMessage(tx, bob, { author: anna, id: hexId(n) })?.replyTo;
    assert.deepEqual(shown(10), { id: hexId(1), author: bob, excerpt: 'I never said that', original: 'here' });
    assert.deepEqual(shown(11), { id: hexId(2), author: anna, excerpt: 'hers', original: 'here' });
    assert.deepEqual(shown(12), { id: hexId(99), author: bob, excerpt: '', original: 'not-here' });
    assert.equal(shown(13)?.excerpt, 'what she says she said');
    assert.deepEqual(shown(14), { id: hexId(3), author: bob, excerpt: '', original: 'not-here' }, 'of another chat');
    assert.equal(shown(15), undefined, 'somebody else’s words');
    hear(tx, say(anna, anna, 20, { kind: 'edit', targetMessageId: id(2), text: { text: 'hers, mended' } }));
    assert.equal(shown(11)?.excerpt, 'hers, mended');
    hear(tx, say(bob, anna, 21, { kind: 'delete', targetMessageId: id(1) }));
    assert.deepEqual(shown(10), { id: hexId(1), author: bob, excerpt: '', original: 'gone' });
    hear(tx, say(bob, anna, 99, { kind: 'text', text: 'came late' }));
    assert.equal(shown(12)?.excerpt, 'came late');
  });
});

test('votes for options that do not exist, and more of them than one may choose, are left out; file names are safe', async () => {
  const store = await newStore();
  inStore(store, tx => {
    hear(tx, say(bob, anna, 1, { kind: 'poll', question: 'q', options: ['a', 'b', 'c'], choices: 2 }));
    const votes = (by: string, n: number, version: number, options: number[]): unknown => {
      hear(tx, say(by, anna, n, { kind: 'poll-vote', poll: ref(1, bob), options, version }));
      return readMessage(tx, bob, { author: bob, id: hexId(1) })?.poll?.votes[by];
    };
    assert.deepEqual(votes(anna, 2, 1, [1]), [1]);
    assert.deepEqual(votes(anna, 3, 2, [1, 7]), [1]);
    assert.equal(votes(anna, 4, 3, [3, 19]), undefined);
    assert.equal(votes(anna, 5, 4, [0, 1, 2]), undefined);
    assert.deepEqual(votes(bob, 6, 1, [0, 2]), [0, 2]);
    const attachment = {
      url: 'https://media.example/x',
      key: new Uint8Array(64),
      digest: new Uint8Array(32),
      incrementalMac: new Uint8Array(),
      incrementalMacChunkBytes: 0,
      sizeBytes: 1,
      kind: 'file' as const,
      mediaType: '',
      fileName: '../../.ssh/auth\u202eorized\0_keys',
    };
    hear(tx, say(anna, anna, 8, { kind: 'attachment', attachments: [attachment] }));
    const message = readMessage(tx, bob, { author: anna, id: hexId(8) });
    assert(message?.body?.kind === 'attachment');
    assert.equal(message.body.attachments[0]?.fileName, 'auth orized_keys');
    assert.equal(message.text, 'auth orized_keys');
  });
});

test('what became of a message on the device that sends it is told to the others, and its last word counts', async () => {
  const store = await newStore();
  inStore(store, tx => {
    const told = (n: number, of: number, state: 'held' | 'sent' | 'failed', author = bob, reason?: string): unknown => {
      const entry = { message: ref(of, author), chat: anna, state, ...(reason === undefined ? {} : { reason }) };
      hear(tx, say(bob, bob, n, { kind: 'device-sync', progress: [entry] }));
      const message = readMessage(tx, bob, { author, id: hexId(of) });
      return [message?.state, message?.failure?.code];
    };
    for (const n of [1, 2, 3]) hear(tx, say(bob, anna, n, { kind: 'text', text: `own ${n}` }));
    hear(tx, say(anna, anna, 4, { kind: 'text', text: 'hers' }));
    assert.deepEqual(told(10, 1, 'held'), ['held', undefined]);
    assert.deepEqual(told(11, 1, 'sent'), ['sent', undefined]);
    assert.deepEqual(told(9, 1, 'held'), ['sent', undefined], 'an earlier word that comes late');
    assert.deepEqual(told(13, 2, 'failed', bob, 'not-reachable'), ['failed', 'not-reachable']);
    assert.deepEqual(told(12, 2, 'sent'), ['failed', 'not-reachable']);
    assert.deepEqual(told(14, 2, 'sent'), ['sent', undefined], 'it was sent again');
    assert.deepEqual(told(15, 3, 'failed', bob, 'a-word-of-later'), ['failed', 'request-refused']);
    assert.deepEqual(told(16, 4, 'failed', anna), [undefined, undefined], 'of this person’s own messages alone');
    // Also where it comes before the message.
    assert.deepEqual(told(17, 5, 'failed'), [undefined, undefined]);
    hear(tx, say(bob, anna, 5, { kind: 'text', text: 'own 5' }));
    assert.equal(readMessage(tx, bob, { author: bob, id: hexId(5) })?.state, 'failed');
  });
});

test('what another own device could not get through is told here, about messages of the two who talk alone', async () => {
  const store = await newStore();
  inStore(store, tx => {
    const tell = (n: number, entry: NonNullable<DeviceSync['notApplied']>[number], by = bob): unknown => {
      hear(tx, say(by, by === bob ? bob : anna, n, { kind: 'device-sync', notApplied: [entry] }));
      return listNotices(tx).map(({ change, times }) => (change.kind === 'not-applied' ? [change.what, times] : []));
    };
    assert.deepEqual(tell(1, { what: 'edit', message: ref(1, bob), chat: anna }), [['edit', 1]]);
    assert.deepEqual(tell(2, { what: 'edit', message: ref(1, bob), chat: anna }), [['edit', 2]]);
    assert.deepEqual(tell(3, { what: 'reaction', message: ref(2, eve), chat: anna }), [['edit', 2]]);
    assert.deepEqual(tell(4, { what: 'profile', chat: bob }), [['edit', 2]], 'nobody talks to oneself');
    const both = [
      ['edit', 2],
      ['profile', 1],
    ];
    assert.deepEqual(tell(5, { what: 'profile', chat: anna }), both);
    assert.deepEqual(
      tell(6, { what: 'delete', message: ref(1, bob), chat: anna }, anna),
      both,
      'she is not a device of his',
    );
    const [row, ...more] = listMessages(tx, bob, { limit: 10 }).map(({ message }) => [message.chat, message.notice]);
    const message = { author: bob, id: hexId(1) };
    assert.deepEqual(row, [anna, { kind: 'not-applied', interopId: anna, what: 'edit', message }]);
    assert.equal(more.length, 1);
  });
});

test('two timers set at once end the same on both sides, and the one whose setting lost is told', async () => {
  const [bobs, bobsSecond] = [await newStore(), await newStore()];
  const set = (author: string, n: number, seconds: number, stampMs: number): Said =>
    say(author, anna, n, { kind: 'expiry-timer', seconds, version: 1 }, { sentAtMs: stampMs });
  const [his, hers] = [set(bob, 1, 60, 500), set(anna, 2, 3_600, 501)];
  const events = (store: EncryptedStore, ...all: readonly Said[]): unknown[] =>
    inStore(store, tx =>
      all.flatMap(({ author, chat, raw }) => {
        const decoded = decodeContent(raw);
        assert.ok(decoded.ok);
        const said = { author, chat, content: decoded.value, receivedAtMs: nowMs };
        return addSaid(tx, bob, said, nowMs).flatMap(event => (event.kind === 'expiry-timer' ? [event] : []));
      }),
    );
  const from = { kind: 'expiry-timer', chat: anna };
  assert.deepEqual(events(bobs, his, hers), [
    { ...from, from: bob, seconds: 60 },
    { ...from, from: anna, seconds: 3_600, lost: 60 },
  ]);
  assert.deepEqual(events(bobsSecond, hers, his), [{ ...from, from: anna, seconds: 3_600 }]);
  for (const store of [bobs, bobsSecond]) {
    assert.equal(
      inStore(store, tx => readChat(tx, anna).timer?.seconds),
      3_600,
    );
  }
  // A device that knew it and replaces it makes nobody lose.
  const knowing = say(
    anna,
    anna,
    3,
    { kind: 'expiry-timer', seconds: 5, version: 2 },
    { sentAtMs: 502, replyTo: { target: ref(1, bob), excerpt: '' } },
  );
  assert.deepEqual(events(bobs, knowing), [{ ...from, from: anna, seconds: 5 }]);
});
