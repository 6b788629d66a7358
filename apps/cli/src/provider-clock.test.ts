// `drawbridge provider confirm-clock`, as an operator runs it: a clock that is not believed, and the word that it is right.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { commandFile, RunningGatekeeper as RunningCommand, shiftedClock } from './testing/running-gatekeeper.ts';

const dayMs = 86_400_000;

test('a person confirms a clock that a provider did not believe, also beside one that runs', {
  timeout: 120_000,
}, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-provider-clock-'));
  const data = join(folder, 'data');
  const args = (...rest: string[]) => ['--conditions=drawbridge-source', commandFile, 'provider', ...rest];
  const environment = (aheadMs: number) =>
    aheadMs === 0 ? process.env : { ...process.env, NODE_OPTIONS: shiftedClock(aheadMs) };
  const running: RunningCommand[] = [];
  t.after(async () => {
    for (const each of running) {
      each.signal('SIGKILL');
      await each.ended;
    }
    rmSync(folder, { recursive: true, force: true });
  });
  const start = async (aheadMs: number): Promise<RunningCommand> => {
    const options = [
      '--issuer',
      'https://id.skylark.example',
      '--gatekeeper',
      'https://citadel.example',
      '--port',
      '0',
    ];
    const provider = new RunningCommand(
      spawn(process.execPath, args('--data', data, ...options), {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: environment(aheadMs),
      }),
    );
    running.push(provider);
    await provider.line('listening');
    return provider;
  };
  const confirm = (aheadMs: number) =>
    spawnSync(process.execPath, args('confirm-clock', '--data', data), { encoding: 'utf8', env: environment(aheadMs) });
  const dayOf = (aheadMs: number): string => new Date(Date.now() + aheadMs).toISOString().slice(0, 10);
  const isBelieved = ({ lines }: RunningCommand): boolean => lines.every(({ event }) => event !== 'clock-not-believed');

  const none = confirm(0);
  assert.notEqual(none.status, 0);
  assert.match(none.stderr, /holds no provider[^]*name its data folder/);

  const first = await start(0);
  assert.equal(isBelieved(first), true, 'nothing to compare with');
  assert.equal(await first.stop(), 0);
  const said = confirm(0);
  assert.equal(said.status, 0, said.stderr);
  assert.match(said.stdout, new RegExp(`^${dayOf(0)}T.* is the time`));

  const ahead = await start(40 * dayMs);
  assert.equal((await ahead.line('clock-not-believed'))['code'], 'ahead');
  assert.match(confirm(40 * dayMs).stdout, new RegExp(`^${dayOf(40 * dayMs)}T`));
  assert.equal(await ahead.stop(), 0);
  const again = await start(40 * dayMs);
  assert.equal(isBelieved(again), true);
  assert.equal(await again.stop(), 0);

  const back = await start(0);
  assert.equal((await back.line('clock-not-believed'))['code'], 'behind');
});
