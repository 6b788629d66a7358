// Free ports of loopback: what processes that run beside each other are given.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePorts } from './dev-config.ts';

/** Where Linux begins to hand out ports by itself; others begin later. */
const firstHandedOut = 32_768;

test('free ports are handed out by no system, given to a process once, and not taken', async () => {
  const first = await freePorts(6);
  const next = first.at(-1)! + 1;
  const taken = createServer().listen(next, '127.0.0.1');
  const second = await freePorts(6);
  await new Promise(resolve => taken.close(resolve));
  const all = [...first, ...second];
  assert.equal(new Set(all).size, 12);
  assert.ok(!all.includes(next), `${next} is taken`);
  for (const port of all) assert.ok(port > 1_023 && port < firstHandedOut, `${port}`);
});

test('two processes that look at the same time begin at different ports', async () => {
  const program = `
    import { freePorts } from ${JSON.stringify(new URL('dev-config.ts', import.meta.url).href)};
    console.log((await freePorts(1))[0]);
  `;
  const look = (): number => {
    const args = ['--conditions=drawbridge-source', '--input-type=module', '--eval', program];
    return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }));
  };
  const [one, other] = [look(), look()];
  assert.ok(Number.isInteger(one) && Number.isInteger(other));
  // What the first has found is free again: the second looks elsewhere all the same.
  assert.notEqual(one, other);
});
