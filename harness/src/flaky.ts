// `npm run flaky`: people write to each other over lines that are bad as seeds say, on every transport in turn, until the
// time is over or something is missing, twice or out of order.
import { defaultTransports } from '@drawbridge/client/connection/transports';
import { playFlaky } from './flaky/play.ts';
import { readNumberOptions } from './number-options.ts';

const usage = `npm run flaky -- [options]

Two people write to each other and send files while their connections are late, cut, refused, held back and lost, and the
gatekeeper is started again. Then the line heals, and everything must be there, once and in order.

  --minutes N   how long; 2 when left out
  --seed N      the first seed; from the clock when left out
  --seconds N   how long the line is bad in each round; 20 when left out
  --help        this text
`;

const { minutes, seed, seconds } = readNumberOptions(usage, {
  minutes: { otherwise: 2, least: 1, most: 10_000 },
  seed: { otherwise: Date.now() >>> 0, least: 0, most: 0xffff_ffff },
  seconds: { otherwise: 20, least: 1, most: 3_600 },
});
/** A client that only listens notices after 80 s that its connection is lost, and may then wait a minute. */
const patienceMs = 240_000;

const endMs = performance.now() + minutes * 60_000;
for (let round = 0; performance.now() < endMs; round++) {
  const transport = defaultTransports[round % defaultTransports.length]!;
  const now = (seed + round) >>> 0;
  try {
    const { sent, files, lines, faults, healedMs } = await playFlaky({
      seed: now,
      transport,
      badMs: seconds * 1_000,
      patienceMs,
      mayLose: true,
    });
    const after = (healedMs / 1_000).toFixed(1);
    process.stdout.write(
      `seed ${now}, ${transport}: ${sent} messages, ${files} files, there after ${after} s; ${faults}\n`,
    );
    for (const line of lines) process.stdout.write(`  ${line}\n`);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    process.stdout.write(`FAILED seed ${now}, ${transport}: ${words}\n`);
    process.exitCode = 1;
    break;
  }
}
