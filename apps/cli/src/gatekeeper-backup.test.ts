// The drill of the handbook with the command itself: a running gatekeeper is backed up, killed, its data folder lost, restored.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const start = (...args: string[]): ChildProcess =>
  spawn(process.execPath, ['--conditions=drawbridge-source', main, 'gatekeeper', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = start(...args);
  const texts = [child.stdout!, child.stderr!].map(async stream =>
    (await stream.setEncoding('utf8').toArray()).join(''),
  );
  const [code] = (await once(child, 'exit')) as [number | null];
  const [out = '', err = ''] = await Promise.all(texts);
  return { code, out, err };
}

/** Starts it and gives the port of the admin API. */
async function running(config: string): Promise<{ child: ChildProcess; admin: string }> {
  const child = start('--config', config);
  child.stderr!.pipe(process.stderr);
  for await (const line of createInterface(child.stdout!)) {
    const said = JSON.parse(line) as { event: string; admin: number };
    if (said.event === 'listening') return { child, admin: `http://127.0.0.1:${said.admin}` };
  }
  throw new Error('the gatekeeper did not start');
}

test('drill: back up, lose the machine, restore, start: the same gatekeeper', { timeout: 120_000 }, async t => {
  const home = mkdtempSync(join(tmpdir(), 'drawbridge-drill-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const folder = join(home, 'citadel');
  assert.equal((await run('init', folder, '--development')).code, 0);
  const config = join(folder, 'gatekeeper.json');
  const settings = JSON.parse(readFileSync(config, 'utf8')) as { listeners: Record<string, { port: number }> };
  for (const listener of Object.values(settings.listeners)) listener.port = 0;
  writeFileSync(config, JSON.stringify(settings));
  const data = join(folder, 'data');

  const nothing = await run('backup', '--config', config, join(home, 'none'));
  assert.match(nothing.err, /holds no gatekeeper[^]*Next: /);
  const first = await running(config);
  t.after(() => first.child.kill('SIGKILL'));
  const token = { authorization: `Bearer ${readFileSync(join(data, 'admin-token'), 'utf8').trim()}` };
  await fetch(`${first.admin}/admin/v1/providers/0/suspend`, { method: 'POST', headers: token });
  const keys = readFileSync(join(data, 'compact-keys.json'), 'utf8');
  const backup = join(home, 'monday');
  const taken = await run('backup', '--config', config, backup);
  assert.equal(taken.code, 0, taken.err);
  assert.match(taken.out, /10 files, \d+ bytes, checked/);
  const refused = await run('restore', '--config', config, backup);
  assert.match(refused.err, /is not empty/);
  assert.equal(refused.code, 1);

  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  rmSync(data, { recursive: true });
  const restored = await run('restore', '--config', config, backup);
  assert.equal(restored.code, 0, restored.err);
  assert.match(restored.out, /Next: start the gatekeeper/);
  assert.equal(existsSync(`${data}.part`), false);
  const second = await running(config);
  t.after(() => second.child.kill('SIGKILL'));
  assert.equal(readFileSync(join(data, 'compact-keys.json'), 'utf8'), keys);
  const answer = await fetch(`${second.admin}/admin/v1/providers`, { headers: token });
  const { providers } = (await answer.json()) as { providers: { number: number; status: string }[] };
  assert.deepEqual(
    providers.map(({ number, status }) => [number, status]),
    [[0, 'suspended']],
  );
});
