import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { letHelpersGiveWay } from './give-way.ts';

/** proc_pid_stat(5): the 17th value after the name, which is in brackets. The main thread has the process's number. */
function nicenessOf(thread: number): number {
  const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
}

test("V8's helper threads give way, and the thread that moves messages does not", context => {
  if (process.platform !== 'linux') return context.skip('priorities by thread are known on Linux alone');
  const before = nicenessOf(process.pid);
  const lowered = letHelpersGiveWay();
  assert.ok(lowered > 0, 'no helper thread was found: has this Node another name for them?');
  const threads = readdirSync('/proc/self/task').map(Number);
  assert.equal(threads.filter(thread => nicenessOf(thread) > before).length, lowered);
  assert.equal(nicenessOf(process.pid), before);
});
