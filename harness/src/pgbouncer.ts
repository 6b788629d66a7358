// A PgBouncer of its own for tests, from Debian's package, in transaction mode before a test's PostgreSQL. Knows no tables.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The pooler refuses to run as root: then it runs as this user, which the server's package makes. */
const poolerUser = 'postgres';
const startTimeoutMs = 10_000;
const port = 6_432;

/** Why there can be no pooler here; undefined: there can. */
export function pgBouncerAbsence(): string | undefined {
  return existsSync('/usr/sbin/pgbouncer') ? undefined : 'PgBouncer is not installed (apt-get install pgbouncer)';
}

export type PgBouncer = {
  /** The same database by way of the pooler. */
  addressOf(databaseUrl: string): string;
  close(): Promise<void>;
};

/** `serverFolder`: where the server's socket lies. A transaction may get any of two sessions. */
export async function startPgBouncer(serverFolder: string): Promise<PgBouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-pgbouncer-'));
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? poolerUser : execFileSync('id', ['-un'], { encoding: 'utf8' }).trim();
  if (isRoot) chownSync(folder, Number(execFileSync('id', ['-u', user])), Number(execFileSync('id', ['-g', user])));
  const users = join(folder, 'users');
  writeFileSync(users, `"${user}" ""\n`);
  const settings = join(folder, 'pgbouncer.ini');
  writeFileSync(
    settings,
    `[databases]
* = host=${serverFolder}
[pgbouncer]
listen_addr =
listen_port = ${port}
unix_socket_dir = ${folder}
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 2
server_idle_timeout = 1
max_client_conn = 1000
`,
  );
  const [command, args] = isRoot
    ? ['setpriv', ['--reuid', user, '--regid', user, '--clear-groups', '/usr/sbin/pgbouncer', settings]]
    : ['/usr/sbin/pgbouncer', [settings]];
  const child: ChildProcess = spawn(command, args, { stdio: 'ignore', cwd: folder });
  const end = Date.now() + startTimeoutMs;
  while (!existsSync(join(folder, `.s.PGSQL.${port}`))) {
    if (Date.now() > end || child.exitCode !== null) throw new Error('PgBouncer did not start');
    await sleep(50);
  }
  return {
    addressOf(databaseUrl) {
      const name = /@\/(\w+)/.exec(databaseUrl)![1]!;
      return `postgresql://${user}@/${name}?host=${encodeURIComponent(folder)}&port=${port}`;
    },
    async close() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
