// A small ext4 file system in a file, on a loop device: it can be filled up, and its power can be cut. The cut stops all
// writing at once and drops what was not flushed (EXT4_IOC_SHUTDOWN without log flush); mounting what had reached the
// disk by then replays the journal, as after a power failure. Needs root and loop devices. Knows nothing of what is stored.
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH (linux/fs/ext4/ext4.h); Node.js itself has no ioctl. */
const cutScript =
  'import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))';
const unmountTries = 200;

export type Volume = {
  /** Where it is mounted. */
  readonly folder: string;
  /** Leaves only that many bytes free. */
  fill(bytesLeft: number): void;
  /** Takes back what `fill` took. */
  free(): void;
  /** From when this resolves nothing more is written, and everything that tries gets EIO. */
  cutPower(): Promise<void>;
  /** The power is back: what was open on it must be closed before. */
  remount(): Promise<void>;
  close(): Promise<void>;
};

/** Why volumes can't be made here, in words, or undefined when they can. */
export function volumesUnavailable(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'needs root, to mount a file system';
  if (!existsSync('/dev/loop-control')) return 'no loop devices';
  for (const [tool, ...args] of [
    ['mkfs.ext4', '-V'],
    ['mount', '--version'],
    [python, '--version'],
  ] as const) {
    if (spawnSync(tool, args, { env: toolEnv }).status !== 0) return `${tool} can't be run`;
  }
  const { status, stderr } = spawnSync('losetup', ['-f'], { env: toolEnv, encoding: 'utf8' });
  return status === 0 ? undefined : `no free loop device: ${stderr.trim()}`;
}

const toolEnv = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** Makes and mounts one. Rejects with the tool's words. */
export async function createVolume(parent: string, sizeMiB: number): Promise<Volume> {
  let image = join(parent, 'volume.img');
  const folder = join(parent, 'volume');
  const ballast = join(folder, 'ballast');
  mkdirSync(folder, { recursive: true });
  writeFileSync(image, '');
  truncateSync(image, sizeMiB * 1024 * 1024);
  const tool = (name: string, ...args: string[]): Promise<unknown> => run(name, args, { env: toolEnv });
  await tool('mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image);
  const mount = (): Promise<unknown> => tool('mount', '-t', 'ext4', '-o', 'loop', image, folder);
  const unmount = async (): Promise<void> => {
    for (let tries = 0; ; tries++) {
      try {
        await tool('umount', folder);
        return;
      } catch (error) {
        // Whoever had files open on it may be on its way out.
        if (tries === unmountTries) throw error;
        await sleep(10);
      }
    }
  };
  let cuts = 0;
  await mount();
  const atExit = (): void => void spawnSync('umount', ['-l', folder], { env: toolEnv });
  process.once('exit', atExit);
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  };
  return {
    folder,
    fill(bytesLeft) {
      const length = freeBytes() - bytesLeft;
      if (length <= 0) return;
      const { status, stderr } = spawnSync('fallocate', ['-l', String(length), ballast], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`the volume can't be filled: ${stderr}`);
    },
    free: () => rmSync(ballast, { force: true }),
    cutPower: async () => void (await tool(python, '-c', cutScript, folder)),
    async remount() {
      await unmount();
      // A copy: another process's mount namespace may still hold the file system that was cut, and the same file would be
      // the same dead file system.
      const copy = join(parent, `volume-${++cuts}.img`);
      await tool('cp', '--sparse=always', image, copy);
      rmSync(image);
      image = copy;
      await mount();
    },
    async close() {
      await unmount();
      process.removeListener('exit', atExit);
      rmSync(image, { force: true });
    },
  };
}
