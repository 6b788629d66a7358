// Rounds of one fault, one after the other on the same data: traffic → fault → everybody drains → verdict.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFault, defaultFaultOptions, type FaultName, type FaultOptions } from './faults.ts';
import { isSound, Ledger, type Verdict } from './ledger.ts';
import { type Network, startNetwork } from './network.ts';
import { seededRandom } from './random.ts';
import { Traffic } from './traffic.ts';

const senders = 24;
const recipients = 27;
/** A round's fault comes at the latest after this. */
const strikeWithinMs = 2_000;

export type Round = Verdict & {
  readonly round: number;
  readonly form: string;
  readonly seconds: number;
  readonly restartMs: number | undefined;
  /** Everything that must hold and did not, in words; empty when the round is sound. */
  readonly faults: readonly string[];
};

export type RoundsOptions = {
  readonly fault: FaultName;
  readonly rounds: number;
  readonly seed: number;
  readonly faultOptions?: FaultOptions;
  readonly onRound?: (round: Round) => void;
};

/** Plays the rounds and gives their verdicts. Rejects when a network can't be started, or started again. */
export async function playRounds(options: RoundsOptions): Promise<Round[]> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-durability-'));
  const faultFolder = join(folder, 'fault');
  mkdirSync(faultFolder);
  let network: Network | undefined;
  const fault = await createFault(options.fault, faultFolder, options.faultOptions ?? defaultFaultOptions);
  try {
    network = await startNetwork({ folder, dataFolder: fault.dataFolder, senders, recipients, keepSpare: true });
    const rounds: Round[] = [];
    for (let number = 0; number < options.rounds; number++) {
      // Each round has its own seed, so that one can be played alone.
      const random = seededRandom(options.seed + number);
      const round = await playRound(network, fault, number, random);
      rounds.push(round);
      options.onRound?.(round);
    }
    return rounds;
  } finally {
    await network?.close();
    await fault.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function playRound(
  network: Network,
  fault: Awaited<ReturnType<typeof createFault>>,
  number: number,
  random: ReturnType<typeof seededRandom>,
): Promise<Round> {
  const beganMs = performance.now();
  const ledger = new Ledger(number);
  const traffic = new Traffic(network, ledger, random, fault.sizes);
  await traffic.start();
  const strikeAfter = random.integer(0, fault.afterAcknowledged);
  await traffic.until(() => ledger.acknowledgedCount >= strikeAfter, strikeWithinMs);
  const struck = await fault.strike(network, traffic, random);
  const faults = [...struck.faults];
  traffic.stop();
  if (struck.sameLife) {
    const open = await traffic.settle();
    if (open > 0) faults.push(`${open} messages were neither acknowledged nor refused`);
  }
  await traffic.leave();
  const unreached = await traffic.drain();
  if (unreached > 0) faults.push(`${unreached} recipients did not get the last message`);
  const left = await traffic.left();
  if (left > 0) faults.push(`${left} entries stayed on disk after all was acknowledged`);
  fault.after();
  const verdict = ledger.verdict();
  if (!isSound(verdict)) faults.push(...verdict.details);
  const { form, restartMs } = struck;
  return { ...verdict, round: number, form, seconds: (performance.now() - beganMs) / 1_000, restartMs, faults };
}
