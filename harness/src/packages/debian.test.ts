// The Debian package in a clean system: debootstrap makes one with what the package depends on and nothing else, the package is
// installed there, and a gatekeeper and a provider start as the user of the services and stop in order. The image that the
// Containerfile describes is built on the same system, with buildah, and started too. Needs root, and Debian's mirror.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts } from '@drawbridge/cli/dev-config';
import { root } from './outside-project.ts';

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

function missingFor(...programs: string[]): string | false {
  const missing = programs.filter(program => !has(program));
  if (missing.length > 0) return `not here: ${missing.join(', ')}`;
  return process.getuid?.() === 0 ? false : 'needs root';
}

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-debian-'));
const system = join(folder, 'system');
const buildah = ['--root', join(folder, 'images'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
after(() => {
  spawnSync('buildah', [...buildah, 'rm', '--all']);
  rmSync(folder, { recursive: true, force: true });
});

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', cwd: root, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 });

/** The mirror and release of the system that the tests run on. */
function debian(): { mirror: string; release: string } {
  const release = /^VERSION_CODENAME=(\S+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
  const policy = run('apt-get', 'indextargets', '--format', '$(SITE) $(RELEASE) $(COMPONENT) $(CREATED_BY)');
  const line = policy.split('\n').find(each => each.endsWith(`${release} main Packages`)) ?? '';
  return { mirror: line.split(' ')[0] ?? '', release };
}

const inSystem = (...args: string[]): string => run('chroot', system, ...args);

/** A gatekeeper's development folder within `below`, on free ports. */
async function configure(below: string, init: (home: string) => void, home: string): Promise<number> {
  init(home);
  const file = join(below, home, 'gatekeeper.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as {
    issuer: string;
    listeners: Record<string, { port: number }>;
  };
  const ports = await freePorts(Object.keys(config.listeners).length);
  for (const [at, name] of Object.keys(config.listeners).entries()) config.listeners[name]!.port = ports[at]!;
  const { port } = config.listeners['http']!;
  writeFileSync(file, JSON.stringify({ ...config, issuer: `https://localhost:${port}` }));
  return port;
}

async function answers(url: string, caFile: string, child: ChildProcess): Promise<string> {
  const ca = readFileSync(caFile);
  for (;;) {
    assert.equal(child.exitCode, null, 'it ended');
    const answer = await new Promise<string | undefined>(resolve => {
      const asked = request(url, { ca, timeout: 2_000 }, response => {
        response.setEncoding('utf8');
        let body = '';
        response.on('data', (text: string) => (body += text)).on('end', () => resolve(body));
      });
      asked
        .on('error', () => resolve(undefined))
        .on('timeout', () => asked.destroy())
        .end();
    });
    if (answer !== undefined) return answer;
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

async function stops(child: ChildProcess): Promise<number | null> {
  const ended = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)));
  child.kill('SIGTERM');
  return ended;
}

describe('the units', { skip: has('systemd-analyze') ? false : 'systemd-analyze is not here' }, () => {
  for (const name of ['gatekeeper', 'provider', 'relay']) {
    const unit = join(root, 'packaging/systemd', `drawbridge-${name}.service`);
    test(`${name}: an exposure of at most 2.5, and V8 may compile`, () => {
      const judged = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=25', unit], {
        encoding: 'utf8',
      });
      assert.equal(judged.status, 0, judged.stdout);
      assert.doesNotMatch(readFileSync(unit, 'utf8'), /^MemoryDenyWriteExecute=yes/m);
    });
  }
});

describe('the package in a clean Debian', { skip: missingFor('debootstrap', 'dpkg-deb', 'npm') }, () => {
  let deb: string;
  before(() => {
    run(process.execPath, 'scripts/package.js', '--out', folder);
    deb = readdirSync(folder).find(name => name.endsWith('.deb'))!;
    const needs = run('dpkg-deb', '--field', join(folder, deb), 'Depends').trim();
    const include = needs
      .split(',')
      .map(each => each.trim().split(' ')[0])
      .join(',');
    const { mirror, release } = debian();
    run('debootstrap', '--variant=minbase', `--include=${include}`, release, system, mirror);
    copyFileSync(join(folder, deb), join(system, 'tmp', deb));
  });

  test('it installs: command, manual page, completions, units, a user without a shell', () => {
    inSystem('dpkg', '-i', `/tmp/${deb}`);
    assert.match(inSystem('drawbridge', '--version'), /^\d+\.\d+\.\d+\n$/);
    assert.match(inSystem('getent', 'passwd', 'drawbridge'), /nologin\n$/);
    assert.equal(inSystem('stat', '-c', '%U:%G %a', '/etc/drawbridge'), 'root:drawbridge 750\n');
    for (const file of [
      'man/man1/drawbridge.1.gz',
      'bash-completion/completions/drawbridge',
      'zsh/vendor-completions/_drawbridge',
    ])
      assert.ok(existsSync(join(system, 'usr/share', file)), file);
    // What a service runs belongs to root, and nobody else may write it.
    assert.equal(inSystem('find', '/usr/lib/drawbridge', '-perm', '/022', '-not', '-type', 'l'), '');
    assert.equal(inSystem('find', '/usr/lib/drawbridge', '-not', '-user', 'root'), '');
  });

  test('a gatekeeper and a provider start as the user of the services, and stop in order', async () => {
    inSystem('install', '-d', '-o', 'drawbridge', '-g', 'drawbridge', '/srv/citadel', '/srv/skylark');
    const as = ['--userspec=drawbridge:drawbridge', system, 'drawbridge'];
    const http = await configure(
      system,
      home => run('chroot', ...as, 'gatekeeper', 'init', home, '--development'),
      '/srv/citadel',
    );
    const ca = join(system, 'srv/citadel/pki/ca.pem');
    const gatekeeper = spawn('chroot', [...as, 'gatekeeper', '--config', '/srv/citadel/gatekeeper.json'], {
      stdio: 'inherit',
    });
    const offer = await answers(`https://localhost:${http}/.well-known/interop-gatekeeper`, ca, gatekeeper);
    assert.equal((JSON.parse(offer) as { issuer: string }).issuer, `https://localhost:${http}`);

    const [port] = await freePorts(1);
    const pki = '/srv/citadel/pki';
    const provider = spawn(
      'chroot',
      [
        ...as,
        'provider',
        '--data',
        '/srv/skylark',
        '--issuer',
        `https://localhost:${port}`,
        '--port',
        `${port}`,
        ...['--gatekeeper', `https://localhost:${http}`, '--development-ca', `${pki}/ca.pem`],
        ...['--tls-cert', `${pki}/server.pem`, '--tls-key', `${pki}/server-key.pem`],
      ],
      { stdio: 'inherit' },
    );
    const openid = await answers(`https://localhost:${port}/.well-known/openid-configuration`, ca, provider);
    assert.equal((JSON.parse(openid) as { issuer: string }).issuer, `https://localhost:${port}`);
    assert.deepEqual(await Promise.all([stops(provider), stops(gatekeeper)]), [0, 0]);
  });

  test('the units allow every system call that a gatekeeper makes', {
    skip: missingFor('strace', 'systemd-analyze'),
  }, async () => {
    const home = join(folder, 'traced');
    const command = join(system, 'usr/lib/drawbridge/bin/node');
    const main = join(system, 'usr/lib/drawbridge/node_modules/@drawbridge/cli/dist/main.js');
    const http = await configure('/', at => run(command, main, 'gatekeeper', 'init', at, '--development'), home);
    const trace = join(folder, 'trace');
    const traced = spawn(
      'strace',
      ['-f', '-qq', '-o', trace, command, main, 'gatekeeper', '--config', join(home, 'gatekeeper.json')],
      { stdio: 'inherit' },
    );
    await answers(`https://localhost:${http}/.well-known/interop-gatekeeper`, join(home, 'pki/ca.pem'), traced);
    // strace passes no signal on: its child is the gatekeeper.
    const [child] = run('pgrep', '-P', String(traced.pid)).trim().split('\n');
    const ended = new Promise<number | null>(resolve => traced.once('exit', code => resolve(code)));
    process.kill(Number(child), 'SIGTERM');
    assert.equal(await ended, 0);
    const made = new Set([...readFileSync(trace, 'utf8').matchAll(/^\d+ +([a-z0-9_]+)\(/gm)].map(([, name]) => name!));
    assert.ok(made.has('epoll_ctl') || made.has('epoll_pwait'), 'the trace shows nothing');
    const allowed = systemCalls('@system-service');
    for (const refused of ['@privileged', '@resources']) for (const name of systemCalls(refused)) allowed.delete(name);
    // Asked for and done without: priorities of threads. SQLite gives files away only when it runs as root, as it does here.
    const harmless = new Set(['setpriority', 'sched_setaffinity', 'setrlimit', 'fchown']);
    assert.deepEqual(
      [...made].filter(name => !allowed.has(name) && !harmless.has(name)),
      [],
    );
  });

  test('the image of the Containerfile runs', { skip: missingFor('buildah') }, async () => {
    const base = run('buildah', ...buildah, 'from', 'scratch').trim();
    run('dpkg', '--root', system, '--purge', 'drawbridge');
    run('buildah', ...buildah, 'copy', '--quiet', base, system, '/');
    run('buildah', ...buildah, 'commit', '--quiet', base, 'localhost/clean');
    const file = join(root, 'packaging/Containerfile');
    const args = ['--isolation', 'chroot', '--build-arg', 'BASE=localhost/clean', '--build-arg', `PACKAGE=${deb}`];
    run('buildah', ...buildah, 'bud', ...args, '--pull-never', '-t', 'localhost/drawbridge', '-f', file, folder);
    const container = run('buildah', ...buildah, 'from', '--pull-never', 'localhost/drawbridge').trim();
    const outside = join(folder, 'volume');
    mkdirSync(outside);
    chmodSync(outside, 0o777);
    const mounted = ['--volume', `${outside}:/citadel:rw`];
    const within = [
      'run',
      '--isolation',
      'chroot',
      '--network',
      'host',
      ...mounted,
      container,
      '--',
      '/usr/bin/drawbridge',
    ];
    assert.match(run('buildah', ...buildah, ...within, '--version'), /^\d+\.\d+\.\d+\n$/);
    const init = (home: string): void =>
      void run('buildah', ...buildah, ...within, 'gatekeeper', 'init', `/citadel${home}`, '--development');
    const http = await configure(outside, init, '/one');
    const command = ['gatekeeper', '--config', '/citadel/one/gatekeeper.json'];
    const gatekeeper = spawn('buildah', [...buildah, ...within, ...command], { stdio: 'inherit' });
    const ca = join(outside, 'one/pki/ca.pem');
    const offer = await answers(`https://localhost:${http}/.well-known/interop-gatekeeper`, ca, gatekeeper);
    assert.equal((JSON.parse(offer) as { issuer: string }).issuer, `https://localhost:${http}`);
    // Not root inside either.
    assert.notEqual(statSync(join(outside, 'one/gatekeeper.json')).uid, 0);
    await stops(gatekeeper);
  });
});

function systemCalls(set: string): Set<string> {
  const names = new Set<string>();
  const lines = run('systemd-analyze', 'syscall-filter', set)
    .split('\n')
    .map(line => line.trim());
  for (const line of lines.slice(1)) {
    if (line.startsWith('@')) for (const name of systemCalls(line)) names.add(name);
    else if (line !== '' && !line.startsWith('#')) names.add(line);
  }
  return names;
}
