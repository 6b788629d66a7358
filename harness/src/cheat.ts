// `npm run cheat`: a gatekeeper lies to people as seeds say, until the time is over or somebody was deceived.
import { CheatingNetwork } from './cheating/network.ts';
import { playMix } from './cheating/mix.ts';
import { seededRandom } from './durability/random.ts';
import { readNumberOptions } from './number-options.ts';

const usage = `npm run cheat -- [options]

Three people who have compared safety numbers write to each other while the gatekeeper lies: it drops, repeats, holds back,
changes and misdirects messages, gives false keys, devices, names, commitments and stamps, and forges; and providers vouch for
devices in others' names. Nobody may be shown what was not said to them, no impostor may read anything, no false proof may be
taken, and when the gatekeeper is honest again the last words must arrive, and each can be reported.

  --minutes N   how long; 2 when left out
  --seed N      the first seed; from the clock when left out
  --seconds N   how long the gatekeeper lies in each round; 10 when left out
  --help        this text
`;

const { minutes, seed, seconds } = readNumberOptions(usage, {
  minutes: { otherwise: 2, least: 1, most: 10_000 },
  seed: { otherwise: Date.now() >>> 0, least: 0, most: 0xffff_ffff },
  seconds: { otherwise: 10, least: 1, most: 3_600 },
});

const endMs = performance.now() + minutes * 60_000;
const network = await CheatingNetwork.open();
for (let round = 0; performance.now() < endMs && process.exitCode === undefined; round++) {
  const now = (seed + round) >>> 0;
  try {
    const random = seededRandom(now);
    const { said, seen, reports, lies } = await playMix(network.round(), { random, lyingMs: seconds * 1_000 });
    process.stdout.write(
      `seed ${now}: ${said} messages, ${seen} seen, ${reports.taken} reported and ${reports.refused} without proof; ${JSON.stringify(lies)}\n`,
    );
  } catch (error) {
    process.stdout.write(`FAILED seed ${now}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
  await network.leave();
}
await network.close();
