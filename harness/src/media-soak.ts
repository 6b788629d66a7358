// Files of random sizes, both ways, while connections are reset at random moments and the devices are killed (kill -9) in
// the middle of sending and saving: each must arrive byte for byte, once, and leave nothing half-written. They are given by a
// path, as a Blob and as a stream, in turn.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from './durability/random.ts';
import { sha256OfFile, writeRandomFile } from './media-memory.ts';
import { readNumberOptions } from './number-options.ts';
import type { SourceKind } from './media-network-child.ts';
import { ChildFailure, type MediaProcess, type MediaService, startMediaNetwork } from './media-network.ts';

export type SoakOptions = { readonly rounds: number; readonly maxBytes: number; readonly seed: number };

export type SoakRound = {
  readonly sizeBytes: number;
  readonly as: SourceKind;
  readonly direction: 'third-party to native' | 'native to third-party';
  readonly cuts: number;
  readonly senderKills: number;
  readonly receiverKills: number;
  readonly milliseconds: number;
};

const kinds: readonly SourceKind[] = ['path', 'blob', 'stream'];

/** The largest, a few small ones where boundaries are, then any: two in three of the upper magnitudes. */
function sizeOf(round: number, random: () => number, maxBytes: number): number {
  const edges = [maxBytes, 0, 1, 541, 65_536].filter(size => size <= maxBytes);
  return edges[round] ?? Math.floor(random() < 0.33 ? maxBytes ** random() : maxBytes * random());
}

/** Throws when anything is not as it must be; the seed plays the sizes and moments again, not the machine's speed. */
export async function soakMedia(options: SoakOptions, tell: (round: SoakRound) => void): Promise<void> {
  const { rounds, maxBytes, seed } = options;
  const [drawn, drawnOfLines] = [seededRandom(seed), seededRandom(seed + 1)];
  const random = (): number => drawn.share();
  // How many connections there are, and when, hangs on the machine: they must not change what else is drawn.
  const randomOfLines = (): number => drawnOfLines.share();
  const network = await startMediaNetwork();
  const sent = join(network.folder, 'sent');
  const saved = join(network.folder, 'saved');
  mkdirSync(saved);
  const homes: Readonly<Record<string, MediaService>> = { anna: 'skylark', bob: 'citadel' };
  const devices = new Map<string, MediaProcess>();
  const device = async (name: string): Promise<MediaProcess> => {
    const running = devices.get(name) ?? (await network.device(name, homes[name]!));
    devices.set(name, running);
    return running;
  };
  /** Kills the device when a transfer has come so far; not at all when it is done before. */
  const killAt = (name: string, goal: number, count: () => void) => {
    let dying: Promise<void> | undefined;
    return (bytes: number): void => {
      if (bytes < goal || dying !== undefined) return;
      count();
      dying = devices.get(name)!.kill();
      devices.delete(name);
    };
  };
  try {
    await (await device('bob')).call({ kind: 'opt-in', provider: 'skylark.example' });
    for (let round = 0; round < rounds; round += 1) {
      const sizeBytes = sizeOf(round, random, maxBytes);
      const toBob = round % 2 === 0;
      const [from, to] = toBob ? (['anna', 'bob'] as const) : (['bob', 'anna'] as const);
      const beganMs = performance.now();
      const before = network.lines.map(line => line.cuts);
      const kills = { sender: 0, receiver: 0 };
      // Of what a file needs: some connections die early, some near the end, some live on.
      for (const line of network.lines) {
        line.cutAfterBytes = () =>
          randomOfLines() < 0.2 ? Number.POSITIVE_INFINITY : Math.floor(20_000 + randomOfLines() * sizeBytes * 0.8);
      }
      const expected = writeRandomFile(sent, sizeBytes);
      const files = Number(await (await device(to)).call({ kind: 'count-files' }));
      const person = {
        provider: toBob ? 'citadel.example' : 'skylark.example',
        identifier: to,
      };
      const as = kinds[round % kinds.length]!;
      const isDeath = (error: unknown): boolean => error instanceof ChildFailure && error.code === 'died';
      // Sent once by hand; after a death it goes on by itself.
      let id: string | undefined;
      const sender = await device(from);
      const dies = killAt(from, random() * 1.5 * sizeBytes, () => (kills.sender += 1));
      try {
        id = await sender.call({ kind: 'send', to: person, path: sent, as }, dies);
      } catch (error) {
        if (!isDeath(error)) throw error;
        id = await (await device(from)).call({ kind: 'settle' });
      }
      const path = join(saved, String(round));
      for (let tries = 0; ; tries += 1) {
        const goal = tries === 0 ? random() * 1.5 * sizeBytes : Number.POSITIVE_INFINITY;
        const receiver = await device(to);
        const receiverDies = killAt(to, goal, () => (kills.receiver += 1));
        try {
          await receiver.call({ kind: 'save', id, path, as: 'path' }, receiverDies);
          break;
        } catch (error) {
          if (!isDeath(error) || tries > 0) throw error;
        }
      }
      for (const line of network.lines) line.cutAfterBytes = undefined;
      assert.equal(statSync(path).size, sizeBytes);
      assert.equal(await sha256OfFile(path), expected, `${sizeBytes} bytes arrived altered`);
      assert.deepEqual(readdirSync(saved), [String(round)], 'nothing half-written');
      const media = join(network.folder, 'people', to, 'media');
      assert.deepEqual(readdirSync(media), [], 'no copy is kept of what was saved');
      assert.equal(Number(await (await device(to)).call({ kind: 'count-files' })), files + 1, 'arrived once');
      const spool = join(network.folder, 'people', from, 'spool');
      assert.deepEqual(existsSync(spool) ? readdirSync(spool) : [], [], 'nor of what was sent');
      rmSync(path);
      tell({
        ...{ sizeBytes, as },
        direction: toBob ? 'third-party to native' : 'native to third-party',
        cuts: network.lines.reduce((sum, line, i) => sum + line.cuts - before[i]!, 0),
        senderKills: kills.sender,
        receiverKills: kills.receiver,
        milliseconds: performance.now() - beganMs,
      });
    }
  } finally {
    await network.close();
  }
}

export function soakLine(round: SoakRound): string {
  const { sizeBytes, as, direction, cuts, senderKills, receiverKills, milliseconds } = round;
  return (
    `${sizeBytes} bytes of a ${as}, ${direction}: ${cuts} cuts, sender killed ${senderKills} times, receiver ${receiverKills}, ` +
    `${(milliseconds / 1_000).toFixed(1)} s`
  );
}

const usage = `npm run media:soak -- [options]

Sends files of random sizes both ways, while connections are reset and devices killed (kill -9): each must arrive byte
for byte, once.

  --rounds N     files; 10 when left out
  --max-mib N    the largest, in MiB; 256 when left out
  --seed N       the same seed sends the same sizes and cuts at the same bytes; from the clock when left out
  --help         this text

Example: npm run media:soak -- --rounds 4 --max-mib 1024
`;

if (process.argv[1] === import.meta.filename) {
  // Ctrl-C: the processes end with their channel, the folder with this one.
  process.once('SIGINT', () => process.exit(130));
  const numbers = readNumberOptions(usage, {
    rounds: { otherwise: 10, least: 1, most: 100_000 },
    'max-mib': { otherwise: 256, least: 1, most: 2_048 },
    seed: { otherwise: Date.now() % 1_000_000, least: 0, most: 0xffff_ffff },
  });
  const { rounds, seed } = numbers;
  console.log(`seed ${seed}`);
  const options = { rounds, seed, maxBytes: numbers['max-mib'] * 1_048_576 };
  await soakMedia(options, round => console.log(soakLine(round)));
  console.log('all arrived byte for byte');
}
