// `node --conditions=drawbridge-source harness/src/durability/run.ts --help`: many rounds of one fault.
// Question: how many messages that the gatekeeper has acknowledged are gone, or out of order, after the fault?
import { parseArgs } from 'node:util';
import { faultNames, type FaultName, faultUnavailable } from './faults.ts';
import { writeResult } from './result-file.ts';
import { playRounds, type Round } from './rounds.ts';

const help = `Durability under faults: in each round people send, the gatekeeper meets a fault in the middle of it, and
afterwards everybody drains; every acknowledged message must be there, in order.

  --fault kill|terminate|stop|disk-full|power-cut   (disk-full and power-cut need root and loop devices, on Linux)
  --rounds N      10
  --seed S        1
  --write         also writes bench/results/durability-<fault>.json
  --help

Prints one line per round to standard error, and the result as one line of JSON. Exit codes: 0 nothing lost, 1 a
violation, 2 wrong options, 3 SKIPPED because the fault can't be made here.
`;

type Result = {
  readonly fault: FaultName;
  readonly question: string;
  readonly method: string;
  readonly seed: number;
  readonly rounds: number;
  readonly soundRounds: number;
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly lost: number;
  readonly inversions: number;
  readonly wronglyRepeated: number;
  readonly redelivered: number;
  readonly refusedAndCame: number;
  readonly damaged: number;
  readonly wrongAnswers: number;
  /** How often the fault took each of its forms. */
  readonly forms: Readonly<Record<string, number>>;
  readonly restartMs: { readonly median: number; readonly most: number } | undefined;
  readonly faults: readonly { readonly round: number; readonly faults: readonly string[] }[];
  readonly seconds: number;
};

const methods: Readonly<Record<FaultName, string>> = {
  kill: 'SIGKILL of the gatekeeper in the middle of traffic, started again on the same data',
  terminate: 'the gatekeeper is told to end (as by SIGTERM) in the middle of traffic, and started again',
  stop: 'SIGSTOP for 1 to 8 s in the middle of traffic, then SIGCONT, SIGCONT and SIGKILL, or SIGKILL',
  'disk-full':
    'the data folder on an ext4 file system of 160 MiB; in the middle of traffic others take all of it and give it back, or mailboxes fill it up to the reserve and nobody helps; some killed while full or afterwards',
  'power-cut':
    'the data folder on an ext4 file system on a loop device, shut down without log flush in the middle of traffic (EXT4_IOC_SHUTDOWN), the process killed up to 300 ms later, unmounted, mounted again (journal replay), started again',
};

function summary(fault: FaultName, seed: number, rounds: readonly Round[], seconds: number): Result {
  const sum = (
    name:
      | 'sent'
      | 'acknowledged'
      | 'refused'
      | 'lost'
      | 'inversions'
      | 'wronglyRepeated'
      | 'redelivered'
      | 'refusedAndCame'
      | 'damaged'
      | 'wrongAnswers',
  ): number => rounds.reduce((total, round) => total + round[name], 0);
  const forms: Record<string, number> = {};
  for (const { form } of rounds) forms[form] = (forms[form] ?? 0) + 1;
  const restarts = rounds.flatMap(round => round.restartMs ?? []).sort((a, b) => a - b);
  return {
    fault,
    question: 'How many messages that the gatekeeper has acknowledged are gone, or out of order, after the fault?',
    method: methods[fault],
    seed,
    rounds: rounds.length,
    soundRounds: rounds.filter(round => round.faults.length === 0).length,
    sent: sum('sent'),
    acknowledged: sum('acknowledged'),
    refused: sum('refused'),
    lost: sum('lost'),
    inversions: sum('inversions'),
    wronglyRepeated: sum('wronglyRepeated'),
    redelivered: sum('redelivered'),
    refusedAndCame: sum('refusedAndCame'),
    damaged: sum('damaged'),
    wrongAnswers: sum('wrongAnswers'),
    forms,
    restartMs:
      restarts.length === 0
        ? undefined
        : { median: Math.round(restarts[restarts.length >> 1]!), most: Math.round(restarts.at(-1)!) },
    faults: rounds.filter(round => round.faults.length > 0).map(({ round, faults }) => ({ round, faults })),
    seconds: Math.round(seconds),
  };
}

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        fault: { type: 'string' },
        rounds: { type: 'string', default: '10' },
        seed: { type: 'string', default: '1' },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const fault = faultNames.find(name => name === values.fault);
  const rounds = Number(values.rounds);
  const seed = Number(values.seed);
  if (fault === undefined || !Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(seed)) {
    process.stderr.write(help);
    return 2;
  }
  const unavailable = faultUnavailable(fault);
  if (unavailable !== undefined) {
    process.stderr.write(`SKIPPED: ${fault} can't be made here: ${unavailable}. Nothing was tested.\n`);
    process.stdout.write(`${JSON.stringify({ fault, skipped: unavailable })}\n`);
    return 3;
  }
  const beganMs = performance.now();
  const played = await playRounds({
    fault,
    rounds,
    seed,
    onRound: ({ round, form, acknowledged, sent, refused, redelivered, restartMs, seconds, faults }) => {
      const restart = restartMs === undefined ? '' : `, restart ${Math.round(restartMs)} ms`;
      process.stderr.write(
        `${round + 1}/${rounds} ${form}: acknowledged ${acknowledged} of ${sent}, refused ${refused}, ` +
          `redelivered ${redelivered}${restart}, ${seconds.toFixed(1)} s${faults.length === 0 ? '' : '  VIOLATED'}\n`,
      );
      for (const each of faults) process.stderr.write(`    ${each}\n`);
    },
  });
  const result = summary(fault, seed, played, (performance.now() - beganMs) / 1_000);
  if (values.write) writeResult(`durability-${fault}`, result);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  return result.faults.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  // Mounted volumes are let go of as the process exits.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  process.exit(await main());
}
