// A provider's data folder from outside: the drill of its page with the command itself, and wake-ups that were given up.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createProvider, type Provider } from '@drawbridge/provider/provider';
import { openProviderDatabase } from '@drawbridge/provider/provider-database';
import { createPushStore } from '@drawbridge/provider/push-store';
import { commandFile } from './testing/running-gatekeeper.ts';

const home = mkdtempSync(join(tmpdir(), 'drawbridge-provider-drill-'));
after(() => rmSync(home, { recursive: true, force: true }));

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', commandFile, 'provider', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = [child.stdout, child.stderr].map(async stream => (await stream.setEncoding('utf8').toArray()).join(''));
  const code = await new Promise<number | null>(resolve => child.on('exit', resolve));
  const [out = '', err = ''] = await Promise.all(texts);
  return { code, out, err };
}

const start = (dataFolder: string): Promise<Provider> =>
  createProvider({
    ...{ issuer: 'https://skylark.example', dataFolder, media: {} },
    gatekeepers: [{ issuer: 'https://citadel.example' }],
  });

test('drill: back up while it runs, lose the folder, restore: the same people and keys', async () => {
  const data = join(home, 'skylark');
  const backup = join(home, 'monday');
  const nothing = await run('backup', '--data', data, backup);
  assert.equal(nothing.code, 1);
  assert.match(nothing.err, /holds no provider[^]*Next: /);
  const provider = await start(data);
  await provider.directory.register?.('mia', 'correct horse');
  const keys = provider.keySet();
  const taken = await run('backup', '--data', data, backup);
  assert.equal(taken.code, 0, taken.err);
  assert.match(taken.out, /3 files, \d+ bytes, checked/);
  const refused = await run('restore', '--data', data, backup);
  assert.match(refused.err, /is not empty/);
  await provider.close();
  rmSync(data, { recursive: true });
  const restored = await run('restore', '--data', data, backup);
  assert.equal(restored.code, 0, restored.err);
  const again = await start(data);
  assert.deepEqual(again.keySet(), keys);
  assert.equal(await again.directory.exists('mia'), true);
  await again.close();
});

test('wake-ups that were given up are shown, and wait again when asked', async () => {
  const data = join(home, 'swift');
  await (await start(data)).close();
  const database = openProviderDatabase(join(data, 'provider.sqlite'));
  const store = createPushStore(database);
  for (const identifier of ['mia', 'otto']) await store.add(identifier, 'https://citadel.example', 0);
  await store.giveUp(store.due(1, 2, 1)[0]!, 'timed-out', Date.now());
  await database.close();
  const shown = await run('wake-ups', '--data', data);
  assert.equal(shown.code, 0, shown.err);
  assert.match(shown.out, /^1 of https:\/\/citadel\.example wait.*\n1 were given up.*\n\{.*"identifier":"mia".*\}\n$/);
  assert.match((await run('wake-ups', '--data', data, '--retry')).out, /1 wait again\n$/);
  assert.match((await run('wake-ups', '--data', data)).out, /^2 of .*\n0 were given up\n$/);
  assert.equal((await run('wake-ups', '--data', join(home, 'none'))).code, 1);
});
