// OpenStack Swift (Debian's python3-swift and its friends) as an S3 server on loopback, that can be killed and started again.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const python = '/usr/bin/python3';
const modules =
  'import swift.common.middleware.s3api.s3api, swift.obj.server, swift.container.server, swift.account.server';
const packages = 'swift-proxy swift-account swift-container swift-object';
const installed = spawnSync(python, ['-c', modules]).status === 0;

/** Why there is no S3 server to test against; false when there is one. */
export const withoutSwift: string | false = installed
  ? false
  : `SKIPPED: OpenStack Swift is not installed (apt-get install --no-install-recommends ${packages})`;

export const swiftRegion = 'eu-test-1';
export const swiftCredentials = { accessKeyId: 'test:tester', secretAccessKey: 'testing' };

export type Swift = {
  readonly endpoint: string;
  /** Kills it at once: connections break, then nobody answers. What it stored stays. */
  readonly kill: () => Promise<void>;
  /** Starts it again at the same address. */
  readonly start: () => Promise<void>;
};

/** Starts one in the folder, on a port that is free. */
export async function startSwift(folder: string, port: number): Promise<Swift> {
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const starting = spawn(python, [join(import.meta.dirname, 'swift_peer.py'), folder, String(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = starting;
    const lines = createInterface(starting.stdout)[Symbol.asyncIterator]();
    const first = await lines.next();
    assert.equal(first.value, 'ready', 'Swift starts');
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  await start();
  return { endpoint: `http://127.0.0.1:${port}`, kill, start };
}
