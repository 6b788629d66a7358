// A NATS server of its own for tests, from Debian's package, on a free port of loopback. Knows nothing of what is said.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '@drawbridge/cli/dev-config';

const startTimeoutMs = 10_000;

/** Why there can be no server here; undefined: there can. */
export function natsAbsence(): string | undefined {
  try {
    execFileSync('nats-server', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'NATS is not installed (apt-get install nats-server)';
  }
}

export type NatsServer = {
  readonly address: string;
  /** Ends it without a word. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** It stands still: connections stay, and nothing is read. */
  pause(): void;
  resume(): void;
  close(): Promise<void>;
};

export async function startNats(): Promise<NatsServer> {
  const [port] = await freePorts(1);
  let child: ChildProcess | undefined;
  const server: NatsServer = {
    address: `127.0.0.1:${port}`,
    async kill() {
      if (child === undefined) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      child = undefined;
      await gone;
    },
    async start() {
      child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
      const end = Date.now() + startTimeoutMs;
      while (!(await answers(port!))) {
        if (Date.now() > end) throw new Error('NATS did not start');
        await sleep(50);
      }
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    close: () => server.kill(),
  };
  await server.start();
  return server;
}

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
