// An error that nobody caught ends a running gatekeeper in good order, with a line that names a place and nobody.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { initGatekeeper } from './gatekeeper-init.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
/** Two defects, to be met at a signal: an exception, and a rejection while the process closes already. */
const defect = `data:text/javascript,${encodeURIComponent(
  `process.on('SIGUSR2', () => {
     setImmediate(() => Promise.reject(new Error('the second')));
     throw new RangeError('anna wrote to bob');
   });`,
)}`;

test('an uncaught error: one line, everything accepted is written, exit code 1', { timeout: 60_000 }, async t => {
  const home = mkdtempSync(join(tmpdir(), 'drawbridge-fault-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  await initGatekeeper(join(home, 'citadel'), { development: true });
  const config = join(home, 'citadel', 'gatekeeper.json');
  const settings = JSON.parse(readFileSync(config, 'utf8')) as { listeners: Record<string, { port: number }> };
  for (const listener of Object.values(settings.listeners)) listener.port = 0;
  writeFileSync(config, JSON.stringify(settings));
  const flags = ['--conditions=drawbridge-source', '--import', defect];
  const child = spawn(process.execPath, [...flags, main, 'gatekeeper', '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  const said = child.stderr.setEncoding('utf8').toArray();
  const lines: { event: string; level: string; code?: string }[] = [];
  for await (const line of createInterface(child.stdout)) {
    lines.push(JSON.parse(line) as (typeof lines)[number]);
    if (lines.at(-1)?.event === 'listening') child.kill('SIGUSR2');
  }
  assert.deepEqual(await exit, [1, null]);
  const failed = lines.filter(line => line.event === 'failed');
  assert.deepEqual(
    failed.map(({ level, code }) => [level, code]),
    [['error', 'RangeError']],
  );
  const text = JSON.stringify(lines) + (await said).join('');
  assert.doesNotMatch(text, /anna wrote|the second/);
  assert.match(text, /closed in good order/);
});
