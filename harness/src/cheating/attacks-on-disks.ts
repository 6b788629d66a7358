// Attacks of a thief who takes folders, with their keys: what was deleted, has expired, was seen once or was used up is nowhere.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openEncryptedStore } from '@drawbridge/client/store/encrypted-store';
import { tables, type StoreTable } from '@drawbridge/client/store/store';
import { openable, type SealedRow, sealedIn } from '@drawbridge/client/testing/raw-store';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, storeKey, until } from './network.ts';

const file = 'drawbridge.db';

/** All that a folder says to whoever has its key: every row, and what is base64 in it. */
async function openedIn(folder: string): Promise<string> {
  const copy = `${folder}-taken`;
  cpSync(folder, copy, { recursive: true });
  const opened = await openEncryptedStore({ path: join(copy, file), key: { kind: 'key', key: storeKey } });
  assert(opened.ok);
  const rows = opened.value.transaction(tx =>
    (Object.keys(tables) as StoreTable[]).flatMap(table => {
      const texts: string[] = [];
      for (let after: number | undefined; ; ) {
        const page = tx.list(table, after === undefined ? {} : { after });
        if (page.length === 0) return texts;
        for (const { value } of page) texts.push(value.toString('latin1'));
        after = page.at(-1)!.sequence;
      }
    }),
  );
  assert(rows.ok);
  opened.value.close();
  rmSync(copy, { recursive: true });
  const decoded = rows.value.flatMap(text => text.match(/[A-Za-z0-9+/_-]{24,}={0,2}/g) ?? []);
  return [...rows.value, ...decoded.map(each => Buffer.from(each, 'base64').toString('latin1'))].join('\n');
}

export const takenDisks: readonly Attack[] = [
  {
    name: 'both folders are taken with their keys, after what was said in them was wiped',
    permitted: ['delivered'],
    async play(network: CheatingNetwork) {
      const anna = await network.person('anna');
      const bob = await network.person('bob');
      const folders = [anna, bob].map(({ name }) => join(network.folder, 'people', name.identifier));
      const were = folders.map(() => new Map<string, SealedRow>());
      const note = (): void => {
        for (const [at, folder] of folders.entries())
          for (const row of sealedIn(folder, file)) were[at]!.set(row.key.toString('hex'), row);
      };
      /** What was a row once and is none now: among it each state of a ratchet that was used. */
      const gone = (at: number): SealedRow[] => {
        const now = new Set(sealedIn(folders[at]!, file).map(({ key }) => key.toString('hex')));
        return [...were[at]!].flatMap(([key, row]) => (now.has(key) ? [] : [row]));
      };
      const words = ['deleted', 'once', 'expired'].map(how => `what was ${how} `.repeat(200));
      const say = async (from: Person, to: Person, text: string, viewOnce = false) => {
        // What is to be seen once is shown as that, without its text.
        network.book.push({ author: from.id, to: to.id, text: viewOnce ? '' : text });
        return await from.client.send(to.name, { text, ...(viewOnce ? { viewOnce } : {}) });
      };
      const deleted = await say(anna, bob, words[0]!);
      const once = await say(anna, bob, words[1]!, true);
      note();
      await bob.sees(words[0]!);
      await anna.client.chats.setTimer(bob.name, 2);
      const expired = await say(anna, bob, words[2]!);
      await bob.sees(words[2]!);
      note();
      const inBobs = await openedIn(folders[1]!);
      for (const word of words) assert(inBobs.includes(word), 'the thief who comes in time finds it');
      await anna.client.chats.delete(deleted.id);
      const rows = await bob.client.chats.messages({ chat: { interopId: anna.id }, limit: 50 });
      await rows.find(({ message }) => message.id === expired.id)!.message.markRead();
      await bob.client.chats.openOnce({ author: anna.id, id: once.id });
      await anna.client.chats.setTimer(bob.name, 0);
      for (let i = 0; i < 3; i++) {
        await anna.say(bob, `further words ${i}`);
        await bob.sees(`further words ${i}`);
        note();
        await bob.say(anna, `answers ${i}`);
        await anna.sees(`answers ${i}`);
        note();
      }
      for (const at of [0, 1]) assert(gone(at).length > 20, 'rows were replaced');
      await until(() => folders.every((folder, at) => openable(folder, gone(at)).length === 0), 'nothing opens it');
      for (const folder of folders) {
        const left = await openedIn(folder);
        for (const word of words) assert(!left.includes(word.slice(0, 20)), word.slice(0, 20));
        assert(left.includes('further words 2'), 'the search finds what is there');
      }
      return 'delivered';
    },
  },
];
