// Starts the copier. See copier-main.ts.
import { fileURLToPath } from 'node:url';
import { nodeArguments, startChild, stopChild } from '../children.ts';
import { serverCore } from '../machine.ts';
import { freePorts, type RunningServer, untilListening } from './server.ts';

const file = fileURLToPath(new URL('./copier-main.ts', import.meta.url));

export async function startCopier(): Promise<RunningServer> {
  const [port = 0] = await freePorts(1);
  const child = startChild(serverCore, process.execPath, [...nodeArguments, file, String(port)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await untilListening(port, () => child.exitCode === null);
  const pid = child.pid!;
  return {
    name: 'copier',
    pid,
    target: endpoint =>
      endpoint === 'xml'
        ? {
            name: 'copier',
            pid,
            port,
            carrier: 'xml',
            tls: false,
            caFile: undefined,
            accounts: { kind: 'named', sasl: 'plain' },
          }
        : undefined,
    stop: () => stopChild(child),
  };
}
