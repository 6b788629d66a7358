// Our gatekeeper, by way of the sandbox: `drawbridge sandbox` signs proofs in its own process, the gatekeeper runs alone.
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startChild, stopChild } from '../children.ts';
import { pinToCore, repositoryFolder, serverCore } from '../machine.ts';
import type { Endpoint, RunningServer } from './server.ts';

type Ready = {
  readonly ports: { xmpp: number; xmpps: number; compact: number; http: number; sandbox: number };
  readonly ca: string;
  readonly accounts: string;
  readonly pids: { readonly gatekeeper: number };
};

export type DrawbridgeOptions = {
  readonly folder: string;
  readonly accounts: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** A port base of an earlier start on the same folder; 0 takes free ones. */
  readonly basePort?: number;
  /** With collect-hook.ts: memory is going to be read. */
  readonly collects?: boolean;
};

export async function startDrawbridge(
  options: DrawbridgeOptions,
): Promise<RunningServer & { readonly basePort: number }> {
  const script = join(repositoryFolder, 'apps/cli/bin/drawbridge.js');
  const basePort = String(options.basePort ?? 0);
  const args = [script, 'sandbox', '--data', join(options.folder, 'drawbridge'), '--base-port', basePort];
  args.push('--accounts', String(options.accounts), '--json', '--unlimited', '--no-tls');
  const collecting = {
    NODE_OPTIONS: `--import=${new URL('../collect-hook.ts', import.meta.url).href}`,
    DRAWBRIDGE_COLLECT_FOLDER: options.folder,
  };
  const child = startChild(undefined, process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(options.collects === true ? collecting : {}), ...options.environment },
  });
  const ready = await new Promise<Ready>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`drawbridge sandbox ended with ${code}`)));
    createInterface({ input: child.stdout! }).once('line', line => {
      try {
        resolve(JSON.parse(line) as Ready);
      } catch {
        reject(new Error(`drawbridge sandbox said ${line.slice(0, 200)}`));
      }
    });
  });
  const pid = ready.pids.gatekeeper;
  pinToCore(pid, serverCore);
  const { ports } = ready;
  const accounts = { kind: 'sandbox', file: ready.accounts, proofsPort: ports.sandbox, httpPort: ports.http } as const;
  return {
    name: 'drawbridge',
    pid,
    basePort: ports.xmpp,
    target(endpoint: Endpoint) {
      const collectFolder = options.collects === true ? { collectFolder: options.folder } : {};
      const common = { name: 'drawbridge', pid, caFile: ready.ca, accounts, ...collectFolder };
      if (endpoint === 'compact') return { ...common, port: ports.compact, carrier: 'compact', tls: false };
      const tls = endpoint === 'xml-tls';
      return { ...common, port: tls ? ports.xmpps : ports.xmpp, carrier: 'xml', tls };
    },
    stop: () => stopChild(child),
  };
}
