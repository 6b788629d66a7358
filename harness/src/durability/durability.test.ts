// A few rounds of each fault (`run.ts` plays many): nothing acknowledged is lost, order holds, nothing comes again after
// its acknowledgement was read.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { faultNames, faultUnavailable } from './faults.ts';
import { playRounds } from './rounds.ts';
import { createVolume, volumesUnavailable } from './volume.ts';

const rounds = { kill: 3, terminate: 2, stop: 3, 'disk-full': 3, 'power-cut': 3 } as const;
/** Long enough for everything that is under way to run into it. */
const stopMs = { min: 100, max: 1_000 };

/** True when it can't be played here: said where nobody can overlook it. */
function skip(t: TestContext, reason: string | undefined): boolean {
  if (reason === undefined) return false;
  process.stderr.write(`\nSKIPPED "${t.name}": ${reason}\n`);
  t.skip(reason);
  return true;
}

for (const fault of faultNames) {
  test(`${fault} in the middle of traffic: what was acknowledged is there`, { timeout: 180_000 }, async t => {
    if (skip(t, faultUnavailable(fault))) return;
    const seed = randomInt(1_000_000);
    const played = await playRounds({ fault, rounds: rounds[fault], seed, faultOptions: { stopMs } });
    for (const { round, faults } of played) assert.deepEqual(faults, [], `seed ${seed}, round ${round}`);
    const acknowledged = played.reduce((sum, round) => sum + round.acknowledged, 0);
    assert(acknowledged > 100, `only ${acknowledged} messages were acknowledged: nothing was tested`);
  });
}

/** As containers and services beside the test do: what is mounted now stays mounted for them, also after a cut. */
async function keepMountsElsewhere(t: TestContext): Promise<void> {
  const holder = spawn('unshare', ['--mount', 'sleep', '60'], { stdio: 'ignore' });
  t.after(() => holder.kill());
  const mountsOf = (pid: number | undefined): string => readlinkSync(`/proc/${pid}/ns/mnt`);
  while (mountsOf(holder.pid) === mountsOf(process.pid)) await sleep(10);
}

test('a power cut takes what was not flushed, and nothing else', async t => {
  if (skip(t, volumesUnavailable())) return;
  const parent = mkdtempSync(join(tmpdir(), 'drawbridge-volume-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const volume = await createVolume(parent, 16);
  try {
    const write = (name: string, flush: boolean): string => {
      const file = join(volume.folder, name);
      const descriptor = openSync(file, 'w');
      writeSync(descriptor, 'written');
      if (flush) fsyncSync(descriptor);
      closeSync(descriptor);
      return file;
    };
    const flushed = write('flushed', true);
    const unflushed = write('unflushed', false);
    await keepMountsElsewhere(t);
    assert.equal(readFileSync(unflushed, 'utf8'), 'written');
    await volume.cutPower();
    assert.throws(() => write('later', true), { code: 'EIO' });
    await volume.remount();
    assert.equal(readFileSync(flushed, 'utf8'), 'written');
    assert(!existsSync(unflushed) || readFileSync(unflushed, 'utf8') === '', 'what was not flushed survived');
    assert(!existsSync(join(volume.folder, 'later')));
  } finally {
    await volume.close();
  }
});
