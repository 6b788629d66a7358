import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocks, MAX_WAITING_OPERATIONS } from './locks.ts';

test('operations that share a key run one after the other, in order; others do not wait', async () => {
  const locks = createLocks();
  const log: string[] = [];
  const work = (name: string, ms: number) => async () => {
    log.push(`${name}+`);
    await sleep(ms);
    log.push(`${name}-`);
  };
  await Promise.all([
    locks.run(['a', 'b'], work('ab', 20)),
    locks.run(['b', 'a'], work('ba', 1)),
    locks.run(['c'], work('c', 1)),
    locks.run(['b', 'c'], work('bc', 1)),
  ]);
  assert.deepEqual(log, ['ab+', 'c+', 'c-', 'ab-', 'ba+', 'ba-', 'bc+', 'bc-']);
});

test('a failure frees the keys, and too many waiting are refused', async () => {
  const locks = createLocks();
  await assert.rejects(locks.run(['a'], () => Promise.reject(new Error('no')))!, /no/);
  let release = (): void => {};
  const first = locks.run(['a'], () => new Promise<void>(resolve => (release = resolve)));
  const waiting = Array.from({ length: MAX_WAITING_OPERATIONS - 1 }, () => locks.run(['a'], async () => {}));
  assert(waiting.every(each => each !== undefined));
  assert.equal(
    locks.run(['b'], async () => {}),
    undefined,
  );
  await sleep(1);
  release();
  await Promise.all([first, ...waiting]);
  assert.equal(await locks.run(['b'], async () => 5), 5);
});
