// How much memory a file of any size takes, above rest, in the sender's device, the origin, the gatekeeper's proxy and the
// receiver's device: the first one that each of these processes ever carries, and the second.
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { startMediaNetwork } from './media-network.ts';
import { readNumberOptions } from './number-options.ts';

export type MediaMemory = {
  readonly sizeBytes: number;
  readonly transfer: 'first' | 'second';
  readonly direction: 'third-party to native' | 'native to third-party';
  /** Peak above rest. */
  readonly aboveRestBytes: Readonly<Record<'sender' | 'receiver' | 'gatekeeper' | 'provider', number>>;
  readonly uploadMs: number;
  readonly downloadMs: number;
};

const mebibyte = 1_048_576;

function statusBytes(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(new RegExp(`^${field}:\\s+([0-9]+)`, 'm').exec(status)?.[1] ?? 0) * 1_024;
}

/** Writes a random file; gives its SHA-256. */
export function writeRandomFile(path: string, sizeBytes: number): string {
  const file = openSync(path, 'w');
  const hash = createHash('sha256');
  for (let left = sizeBytes; left > 0; ) {
    const block = randomBytes(Math.min(left, mebibyte));
    hash.update(block);
    writeSync(file, block);
    left -= block.length;
  }
  closeSync(file);
  return hash.digest('hex');
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path) as AsyncIterable<Buffer>) hash.update(part);
  return hash.digest('hex');
}

/** `as`: how the file is given, and where it is saved. Throws when a file does not arrive as it was. Linux only. */
export async function measureMediaMemory(sizeBytes: number, as: 'path' | 'stream' = 'path'): Promise<MediaMemory[]> {
  const network = await startMediaNetwork();
  try {
    const people = {
      anna: await network.device('anna', 'skylark'),
      bob: await network.device('bob', 'citadel'),
    };
    await people.bob.call({ kind: 'opt-in', provider: 'skylark.example' });
    const sent = join(network.folder, 'sent');
    const saved = join(network.folder, 'saved');
    const expected = writeRandomFile(sent, sizeBytes);
    const results: MediaMemory[] = [];
    for (const [transfer, direction] of [
      ['first', 'third-party to native'],
      ['second', 'native to third-party'],
    ] as const) {
      const toBob = direction === 'third-party to native';
      const [sender, receiver] = toBob ? [people.anna, people.bob] : [people.bob, people.anna];
      const to = toBob
        ? { provider: 'citadel.example', identifier: 'bob' }
        : { provider: 'skylark.example', identifier: 'anna' };
      const { gatekeeper, provider } = network;
      const processes = Object.entries({ sender, receiver, gatekeeper, provider });
      const rest = new Map<string, number>();
      for (const [name, { pid, call }] of processes) {
        await call({ kind: 'rest' });
        rest.set(name, statusBytes(pid, 'VmRSS'));
        writeFileSync(`/proc/${pid}/clear_refs`, '5');
      }
      const beganMs = performance.now();
      const id = await sender.call({ kind: 'send', to, path: sent, as });
      const uploadedMs = performance.now();
      await receiver.call({ kind: 'save', id, path: saved, as });
      const savedMs = performance.now();
      const above = processes.map(([name, { pid }]) => [name, statusBytes(pid, 'VmHWM') - rest.get(name)!]);
      if (statSync(saved).size !== sizeBytes || (await sha256OfFile(saved)) !== expected) {
        throw new Error('the file that arrived is another one');
      }
      rmSync(saved);
      results.push({
        sizeBytes,
        transfer,
        direction,
        aboveRestBytes: Object.fromEntries(above) as MediaMemory['aboveRestBytes'],
        uploadMs: uploadedMs - beganMs,
        downloadMs: savedMs - uploadedMs,
      });
    }
    return results;
  } finally {
    await network.close();
  }
}

export function memoryLine({
  sizeBytes,
  transfer,
  direction,
  aboveRestBytes,
  uploadMs,
  downloadMs,
}: MediaMemory): string {
  const each = Object.entries(aboveRestBytes).map(([name, bytes]) => `${name} ${(bytes / mebibyte).toFixed(1)} MiB`);
  return (
    `${sizeBytes / mebibyte} MiB, ${transfer} transfer, ${direction}: ${each.join(', ')} above rest; ` +
    `sealed and sent ${(uploadMs / 1_000).toFixed(1)} s, fetched and saved ${(downloadMs / 1_000).toFixed(1)} s`
  );
}

const usage = `npm run media:memory -- [options]

Sends one file, then another, and prints how much memory above rest each process took at its peak (Linux).

  --mib N    their size in MiB; 1024 when left out
  --help     this text
`;

if (process.argv[1] === import.meta.filename) {
  // Ctrl-C: the processes end with their channel, the folder with this one.
  process.once('SIGINT', () => process.exit(130));
  const { mib } = readNumberOptions(usage, { mib: { otherwise: 1_024, least: 1, most: 2_048 } });
  for (const result of await measureMediaMemory(mib * mebibyte)) console.log(memoryLine(result));
}
