// Question: what does an address-hiding relay cost: to pass bytes on, and to open a way?
// The relay runs as operators run it, on the server's core; upstream and clients are in this process, on the other. Nothing is
// encrypted here: a relay passes on what TLS or Noise has encrypted, and does neither itself.
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { freePorts } from '@drawbridge/cli/dev-config';
import { nodeArguments, startChild, stopChild } from '../children.ts';
import { cpuMsOf, repositoryFolder, serverCore } from '../machine.ts';
import { type Figures, row, type SuiteResult } from '../results.ts';
import { attempt, type SuiteContext } from './suite.ts';

const mebibyte = 1_048_576;
const piece = Buffer.alloc(65_536, 7);
/** Clients at once, each with one way. */
const streams = 8;
const unlimited = 1_000_000;

type Running = { readonly port: number; readonly pid: number; readonly stop: () => Promise<void> };

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function startRelay(folder: string, upstream: string): Promise<Running> {
  const [port = 0] = await freePorts(1);
  const file = join(folder, 'relay.json');
  const limits = {
    connectionsPerAddress: unlimited,
    connectionsPerSite: unlimited,
    tunnelBurstPerAddress: unlimited,
    mebibyteBurstPerAddress: unlimited,
  };
  writeFileSync(file, JSON.stringify({ listen: `127.0.0.1:${port}`, upstreams: [upstream], drainSeconds: 0, limits }));
  const command = join(repositoryFolder, 'apps/cli/src/main.ts');
  const args = [...nodeArguments, command, 'relay', '--config', file];
  const child = startChild(serverCore, process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return { port, pid: child.pid!, stop: () => stopChild(child) };
}

/** A way to the upstream, or the connection itself. */
async function way(port: number, upstream: string | undefined): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  if (upstream === undefined) {
    await once(socket, 'connect');
    return socket;
  }
  socket.write(`CONNECT ${upstream} HTTP/1.1\r\nHost: ${upstream}\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (!answer.includes(' 200 ')) throw new Error(`the relay said ${answer.toString('latin1', 0, 60)}`);
  return socket;
}

/** Asks for so many bytes with one byte, and reads them. */
async function read(socket: Socket, bytes: number): Promise<void> {
  let left = bytes;
  const all = new Promise<void>(resolve => {
    socket.on('data', (chunk: Buffer) => {
      left -= chunk.length;
      if (left <= 0) resolve();
    });
  });
  socket.write('x');
  await all;
  socket.destroy();
}

/** Sends `bytes` to whoever has said anything. */
function serve(bytes: number): Server {
  return createServer(socket => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => {
      let left = bytes;
      const fill = (): void => {
        while (left > 0 && !socket.destroyed) {
          left -= piece.length;
          if (!socket.write(piece)) return void socket.once('drain', fill);
        }
      };
      fill();
    });
  });
}

export async function relaySuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, repeats, say, folder } = context;
  mkdirSync(folder, { recursive: true });
  const bytes = (quick ? 32 : 128) * mebibyte;
  const ways = quick ? 500 : 3_000;
  const server = serve(bytes);
  const upstream = `127.0.0.1:${await portOf(server)}`;
  const relay = await startRelay(folder, upstream);
  const passed: Figures[] = [];
  const opened: Figures[] = [];
  try {
    for (let run = 0; run < repeats; run++) {
      await attempt(context, 'bytes', async () => {
        const sockets = await Promise.all(Array.from({ length: streams }, () => way(relay.port, upstream)));
        const [cpuMs, fromMs] = [cpuMsOf(relay.pid), performance.now()];
        await Promise.all(sockets.map(socket => read(socket, bytes)));
        const seconds = (performance.now() - fromMs) / 1_000;
        const gibibytes = (streams * bytes) / 2 ** 30;
        const cpuSecondsPerGib = (cpuMsOf(relay.pid) - cpuMs) / 1_000 / gibibytes;
        passed.push({ cpuSecondsPerGib, mibPerSecond: (streams * bytes) / mebibyte / seconds });
        say(`bytes: ${cpuSecondsPerGib.toFixed(2)} s of CPU per GiB`);
      });
      await attempt(context, 'ways', async () => {
        const cpuMs = cpuMsOf(relay.pid);
        for (let at = 0; at < ways; at += streams) {
          const some = await Promise.all(Array.from({ length: streams }, () => way(relay.port, upstream)));
          for (const socket of some) socket.destroy();
        }
        const perCpuSecond = ways / ((cpuMsOf(relay.pid) - cpuMs) / 1_000);
        opened.push({ perCpuSecond });
        say(`ways: ${perCpuSecond.toFixed(0)} opened and closed per second of CPU`);
      });
    }
  } finally {
    await relay.stop();
    server.close();
  }
  const rows = [row('bytes', 'relay', passed, []), row('ways', 'relay', opened, [])];
  return {
    suite: 'relay',
    question: 'What does a relay cost: to pass bytes on, and to open a way?',
    expectation:
      'each byte is read and written once, in pieces of 64 KiB: about 1 s of CPU per GiB; a way is an HTTP request and two sockets, some 0.2 ms',
    cases: {
      bytes: `${streams} ways at once, ${bytes / mebibyte} MiB from the upstream on each, on loopback, in the clear`,
      ways: `${ways} ways, ${streams} at a time, opened and closed`,
    },
    rows,
    checks: [],
    notes: [],
  };
}
