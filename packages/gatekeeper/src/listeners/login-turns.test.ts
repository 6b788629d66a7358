// Which login goes first when there are many: rounds of the event loop, order, fairness between addresses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as round } from 'node:timers/promises';
import { LoginTurns } from './login-turns.ts';

async function done(turns: LoginTurns): Promise<number> {
  let rounds = 0;
  for (; turns.waiting > 0; rounds++) await round();
  return rounds;
}

test('who has begun goes first, newcomers go round by address, and one step in eight is theirs', async () => {
  const turns = new LoginTurns(1_000);
  const order: string[] = [];
  for (let i = 0; i < 4; i++) turns.first('crowded', () => order.push(`c${i}`));
  turns.first('lonely', () => order.push('l0'));
  turns.first('pair', () => order.push('p0'));
  turns.first('pair', () => order.push('p1'));
  for (let i = 0; i < 10; i++) turns.next(() => order.push('+'));
  await done(turns);
  assert.equal(order.join(' '), '+ + + + + + + c0 + + + l0 p0 c1 p1 c2 c3');
});

test('a turn ends when its time is over, and after sixteen steps in any case', async () => {
  const busy = new LoginTurns(5);
  const perRound: number[] = [];
  let steps = 0;
  for (let i = 0; i < 20; i++) {
    busy.first(String(i), () => {
      steps++;
      for (const until = performance.now() + 2; performance.now() < until; );
    });
  }
  while (busy.waiting > 0) {
    steps = 0;
    await round();
    perRound.push(steps);
  }
  // Two that take 2 ms each leave 1 ms of the five: a third begins, a fourth does not.
  assert.ok(Math.max(...perRound) <= 3, perRound.join(' '));

  const light = new LoginTurns(1_000);
  for (let i = 0; i < 160; i++) light.first('one', () => {});
  assert.ok((await done(light)) >= 10);
});

test('what a step leaves to promises and ticks counts in its turn', async () => {
  const turns = new LoginTurns(5);
  const spin = (): void => {
    for (const until = performance.now() + 6; performance.now() < until; );
  };
  let finished = 0;
  const perRound: number[] = [];
  for (let i = 0; i < 8; i++) {
    turns.first(String(i), () => {
      if (i % 2 === 0) process.nextTick(() => (spin(), finished++));
      else void Promise.resolve().then(() => (spin(), finished++));
    });
  }
  while (finished < 8) {
    const before = finished;
    await round();
    perRound.push(finished - before);
  }
  assert.ok(Math.max(...perRound) <= 1, perRound.join(' '));
});

test('steps that add steps, ten thousand of them, are all done', async () => {
  const turns = new LoginTurns(5);
  let finished = 0;
  const go = (left: number): void => {
    if (left === 0) finished++;
    else turns.next(() => go(left - 1));
  };
  for (let i = 0; i < 2_500; i++) turns.first(`a${i % 700}`, () => go(3));
  await done(turns);
  assert.equal(finished, 2_500);
});
