// A PostgreSQL server of its own for tests, from Debian's package: a fresh cluster in a temporary folder, on a socket there
// alone. Knows no tables.
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** The server refuses to run as root: then it runs as this user, which Debian's package makes. */
const serverUser = 'postgres';
const startTimeoutMs = 30_000;

export type PostgresServer = {
  /** Where its socket lies. */
  readonly folder: string;
  /** The address of a new database, empty or a copy of another one that nobody is connected to. */
  createDatabase(copyOf?: string): string;
  /** What `pg_ctl` understands: `fast` ends sessions, `immediate` is a crash. */
  stop(mode: 'fast' | 'immediate'): void;
  start(): void;
  /** All its processes stand still, as when the machine does. */
  pause(): void;
  goOn(): void;
  close(): void;
};

/** Where Debian has the newest version's programs; undefined: it is not installed. */
function binFolder(): string | undefined {
  const found = globSync('/usr/lib/postgresql/*/bin/initdb').toSorted();
  return found.length === 0 ? undefined : dirname(found.at(-1)!);
}

/** Why there can be no server here; undefined: there can. */
export function postgresAbsence(): string | undefined {
  return binFolder() === undefined ? 'PostgreSQL is not installed (apt-get install postgresql)' : undefined;
}

/** `isFast`: what was committed may be gone after a crash. For tests that don't crash it. */
export function startPostgres({ isFast = false } = {}): PostgresServer {
  const bin = binFolder();
  if (bin === undefined) throw new Error(postgresAbsence());
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-postgres-'));
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? serverUser : execFileSync('id', ['-un'], { encoding: 'utf8' }).trim();
  if (isRoot) chownSync(folder, Number(execFileSync('id', ['-u', user])), Number(execFileSync('id', ['-g', user])));
  const as = (program: string, args: readonly string[]): [string, string[]] => {
    const path = join(bin, program);
    return isRoot
      ? ['setpriv', ['--reuid', user, '--regid', user, '--clear-groups', path, ...args]]
      : [path, [...args]];
  };
  const run = (program: string, args: readonly string[]): void => {
    execFileSync(...as(program, args), { stdio: 'ignore', cwd: folder });
  };
  const data = join(folder, 'data');
  run('initdb', ['-D', data, '-A', 'trust', '-U', user, '--no-sync', '-E', 'UTF8', '--locale=C']);
  const server: PostgresServer = {
    folder,
    createDatabase(copyOf) {
      const name = `test_${++databases}`;
      const template = copyOf === undefined ? [] : ['-T', /@\/(\w+)/.exec(copyOf)![1]!];
      run('createdb', ['-h', folder, '-U', user, ...template, name]);
      return `postgresql://${user}@/${name}?host=${encodeURIComponent(folder)}`;
    },
    start() {
      // The server's own output would hold the pipes of whoever started it.
      const [command, args] = as('postgres', [
        '-D',
        data,
        '-k',
        folder,
        '-c',
        'listen_addresses=',
        '-c',
        'max_connections=300',
        ...(isFast ? ['-c', 'fsync=off', '-c', 'synchronous_commit=off'] : []),
      ]);
      spawn(command, args, { stdio: 'ignore', cwd: folder, detached: true }).unref();
      waitUntilReady();
    },
    pause: () => signalAll('SIGSTOP'),
    goOn: () => signalAll('SIGCONT'),
    stop: mode => run('pg_ctl', ['-D', data, '-m', mode, '-w', 'stop']),
    close() {
      if (existsSync(join(data, 'postmaster.pid'))) server.stop('immediate');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  let databases = 0;
  /** Each session is a process of its own, a child of the first. */
  function signalAll(signal: NodeJS.Signals): void {
    const first = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    const children = readFileSync(`/proc/${first}/task/${first}/children`, 'utf8').trim().split(' ');
    for (const pid of [first, ...children.map(Number)]) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has ended meanwhile.
      }
    }
  }
  function waitUntilReady(): void {
    const end = Date.now() + startTimeoutMs;
    for (;;) {
      try {
        run('pg_isready', ['-h', folder, '-t', '1']);
        return;
      } catch (error) {
        if (Date.now() > end) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      }
    }
  }
  server.start();
  return server;
}
