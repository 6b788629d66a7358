// Files between devices in processes of their own: connections reset and processes killed at moments drawn from a seed; and
// how much memory each process takes for its first file. `npm run media:soak` does the same for longer and larger.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureMediaMemory, memoryLine } from './media-memory.ts';
import { soakLine, soakMedia, type SoakRound } from './media-soak.ts';

const mebibyte = 1_048_576;

test('files arrive byte for byte, once, through resets and kills', { timeout: 240_000 }, async t => {
  const rounds: SoakRound[] = [];
  const options = { rounds: 8, maxBytes: 48 * mebibyte, seed: Number(process.env['SEED'] ?? 7) };
  await soakMedia(options, round => {
    t.diagnostic(soakLine(round));
    rounds.push(round);
  });
  const sum = (count: (round: SoakRound) => number): number => rounds.reduce((total, each) => total + count(each), 0);
  assert.ok(sum(round => round.cuts) >= 3, 'connections were cut');
  assert.ok(sum(round => round.senderKills) >= 1 && sum(round => round.receiverKills) >= 1, 'devices were killed');
});

// The pieces of a stream are the app's, and the collector's to free: it lets 64 MiB of them pile up.
for (const [as, maxMebibytes] of [
  ['path', 64],
  ['stream', 128],
] as const) {
  const name = `256 MiB from a ${as} to a ${as} take no process ${maxMebibytes} MiB above rest, the first time neither`;
  test(name, { timeout: 240_000 }, async t => {
    for (const result of await measureMediaMemory(256 * mebibyte, as)) {
      t.diagnostic(memoryLine(result));
      for (const [name, bytes] of Object.entries(result.aboveRestBytes)) {
        assert.ok(bytes < maxMebibytes * mebibyte, `${name}: ${Math.round(bytes / mebibyte)} MiB`);
      }
    }
  });
}
