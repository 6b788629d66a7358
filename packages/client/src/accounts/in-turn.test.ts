import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inTurn } from './in-turn.ts';

async function* endless(): AsyncGenerator<number> {
  for (let at = 0; ; at += 1) yield at;
}

async function collected<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of from) all.push(each);
  return all;
}

const quiet = (): AsyncIterator<number> => ({ next: () => new Promise(() => {}) });

test('a source that gives much hides no other, and a quiet one stops nobody', async () => {
  const seen = new Map<string, number>();
  for await (const { account } of inTurn(
    new Map([
      ['a', endless()],
      ['b', endless()],
      ['c', quiet()],
    ]),
  )) {
    seen.set(account, (seen.get(account) ?? 0) + 1);
    if (seen.get(account) === 100) break;
  }
  assert.ok(seen.get('a')! >= 99 && seen.get('b')! >= 99, JSON.stringify([...seen]));
});

test('nothing is asked for before what was given is taken', async () => {
  let asked = 0;
  const counting: AsyncIterator<number> = { next: async () => ({ done: false, value: (asked += 1) }) };
  const merged = inTurn(new Map([['a', counting]]));
  await merged.next();
  await new Promise(resolve => setImmediate(resolve));
  assert.equal(asked, 1);
  await merged.next();
  assert.equal(asked, 2);
});

test('it ends with all of them, or with the error of one', async () => {
  const three = async function* (): AsyncGenerator<number> {
    yield* [1, 2, 3];
  };
  const all = await collected(
    inTurn(
      new Map([
        ['a', three()],
        ['b', three()],
      ]),
    ),
  );
  assert.equal(all.length, 6);
  assert.deepEqual(await collected(inTurn(new Map())), []);
  const broken = async function* (): AsyncGenerator<number> {
    yield 1;
    throw new Error('broken');
  };
  await assert.rejects(
    collected(
      inTurn(
        new Map([
          ['a', broken()],
          ['b', quiet()],
        ]),
      ),
    ),
    /broken/,
  );
});

test('a quiet source collects nothing of what the others gave', async () => {
  // A promise that stays open, and counts who waits for it.
  let waiting = 0;
  const open = new Promise<never>(() => {});
  const then = open.then.bind(open);
  open.then = ((...rest: Parameters<typeof then>) => {
    waiting += 1;
    return then(...rest);
  }) as typeof open.then;
  const merged = inTurn(
    new Map<string, AsyncIterator<number>>([
      ['a', endless()],
      ['b', { next: () => open }],
    ]),
  );
  for (let taken = 0; taken < 1_000; taken += 1) await merged.next();
  assert.equal(waiting, 1);
});
