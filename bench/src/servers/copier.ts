// Starts the copier. See copier-main.ts.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeArguments, startChild, stopChild } from '../children.ts';
import { serverCore } from '../machine.ts';
import { writeCertificate } from './certificate.ts';
import { freePorts, type RunningServer, untilListening } from './server.ts';

const file = fileURLToPath(new URL('./copier-main.ts', import.meta.url));

/** `folder`: where its certificate is put. `sealed`: it has to do with ciphers as the compact transport has. */
export async function startCopier(folder: string, sealed = false): Promise<RunningServer> {
  const [port = 0, tlsPort = 0] = await freePorts(2);
  const { ca, cert, key } = writeCertificate(join(folder, sealed ? 'copier-sealed' : 'copier'));
  const child = startChild(
    serverCore,
    process.execPath,
    [...nodeArguments, file, String(port), String(tlsPort), cert, key, ...(sealed ? ['sealed'] : [])],
    {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    },
  );
  await untilListening(port, () => child.exitCode === null);
  const pid = child.pid!;
  const name = sealed ? 'copier-sealed' : 'copier';
  return {
    name,
    pid,
    target(endpoint) {
      if (endpoint === 'compact') return undefined;
      const tls = endpoint === 'xml-tls';
      const common = { name, pid, carrier: 'xml', accounts: { kind: 'named', sasl: 'plain' } } as const;
      return { ...common, tls, port: tls ? tlsPort : port, caFile: tls ? ca : undefined };
    },
    stop: () => stopChild(child),
  };
}
