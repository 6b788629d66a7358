// A gatekeeper (citadel.example), a provider (skylark.example) and people's devices, each in a process of its own, with
// lines between them that can be cut: for what happens to files when connections break and processes die, and for how
// much memory each of them takes.
// Knows nothing of what is sent.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '@drawbridge/cli/dev-config';
import { ensureDevPki } from '@drawbridge/cli/dev-pki';
import { type CutLine, openCutLine } from './cut-line.ts';
import type { ChildCall, ChildReport, ChildSetup } from './media-network-child.ts';

export type MediaService = 'citadel' | 'skylark';

/** A process that does what it is asked. */
export type MediaProcess = {
  readonly pid: number;
  /** Rejects when the call failed in the child (`code` is the SDK's), or the child died. */
  readonly call: (call: ChildCall, onProgress?: (bytes: number) => void) => Promise<string>;
  readonly kill: () => Promise<void>;
};

export type MediaNetwork = {
  readonly folder: string;
  readonly gatekeeper: MediaProcess;
  readonly provider: MediaProcess;
  /** Of the gatekeeper's HTTP and of the provider: all that files travel on. */
  readonly lines: readonly CutLine[];
  /** Starts a person's device, enlisted and connected; again for one that was killed. */
  readonly device: (identifier: string, at: MediaService) => Promise<MediaProcess>;
  readonly close: () => Promise<void>;
};

export class ChildFailure extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

async function startChild(setup: ChildSetup): Promise<MediaProcess> {
  const child: ChildProcess = fork(join(import.meta.dirname, 'media-network-child.ts'), [JSON.stringify(setup)], {
    execArgv: ['--conditions=drawbridge-source'],
  });
  const ended = once(child, 'exit');
  const calls = new Map<
    number,
    { resolve: (value: string) => void; reject: (error: unknown) => void; onProgress?: (bytes: number) => void }
  >();
  let next = 1;
  const ready = Promise.withResolvers<string>();
  calls.set(0, ready);
  child.on('message', (report: ChildReport) => {
    const call = calls.get(report.call);
    if (report.kind === 'progress') return call?.onProgress?.(report.bytes);
    calls.delete(report.call);
    if (report.kind === 'done') call?.resolve(report.value);
    else call?.reject(new ChildFailure(report.code));
  });
  void ended.then(() => {
    for (const { reject } of calls.values()) reject(new ChildFailure('died'));
    calls.clear();
  });
  await ready.promise;
  return {
    pid: child.pid!,
    call(call, onProgress) {
      const number = next++;
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      if (!child.connected) return Promise.reject(new ChildFailure('died'));
      calls.set(number, { resolve, reject, ...(onProgress === undefined ? {} : { onProgress }) });
      child.send({ ...call, number });
      return promise;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

export async function startMediaNetwork(): Promise<MediaNetwork> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-media-'));
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  process.once('exit', removeFolder);
  const pki = await ensureDevPki(join(folder, 'pki'), ['citadel.example', 'skylark.example']);
  const [front, http, xmpp, xmpps, websocket, compact, origin] = await freePorts(7);
  assert(front !== undefined && http !== undefined && origin !== undefined);
  const lines = [await openCutLine(() => http, front), await openCutLine(() => origin)];
  const gatekeeperUrl = `https://localhost:${front}`;
  const providerUrl = `https://localhost:${lines[1]!.port}`;
  const ports = { http, xmpp: xmpp!, xmpps: xmpps!, websocket: websocket!, compact: compact! };
  const common = { pki, gatekeeperUrl, providerUrl };
  const provider = await startChild({ ...common, role: 'provider', folder: join(folder, 'skylark'), port: origin });
  const gatekeeper = await startChild({ ...common, role: 'gatekeeper', folder: join(folder, 'citadel'), ports });
  const devices: MediaProcess[] = [];
  return {
    folder,
    gatekeeper,
    provider,
    lines,
    async device(identifier, at) {
      const options = {
        folder: join(folder, 'people', identifier),
        gatekeeper: gatekeeperUrl,
        provider: {
          url: at === 'citadel' ? `${gatekeeperUrl}/users` : providerUrl,
          identifier,
          password: `the password of ${identifier}`,
          signUp: true,
        },
        ca: pki.caFile,
      };
      const device = await startChild({ role: 'device', options });
      devices.push(device);
      return device;
    },
    async close() {
      for (const each of [...devices, gatekeeper, provider]) await each.kill();
      for (const line of lines) line.close();
      removeFolder();
      process.off('exit', removeFolder);
    },
  };
}
