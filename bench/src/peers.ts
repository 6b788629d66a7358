// Whether ejabberd, Prosody and nginx are there, and how to get them from Debian. What Debian starts by itself is stopped: the
// suites run instances of their own, on ports of their own.
import { execFileSync, spawnSync } from 'node:child_process';
import { hasCommand } from './machine.ts';
import type { Peer } from './suites/suite.ts';

export function installedPeers(): Peer[] {
  const peers: Peer[] = [];
  if (hasCommand('erl') && hasCommand('ejabberdctl')) peers.push('ejabberd', 'ejabberd-minimal');
  if (hasCommand('prosody')) peers.push('prosody', 'prosody-minimal');
  if (hasCommand('nginx')) peers.push('nginx');
  return peers;
}

export function installPeers(say: (text: string) => void): void {
  if (installedPeers().length === 5) return;
  if (!hasCommand('apt-get')) throw new Error('--with-peers needs Debian or a relative of it (apt-get)');
  say('installing ejabberd, prosody and nginx with apt-get');
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'ejabberd', 'prosody', 'nginx'], {
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (const service of ['ejabberd', 'prosody', 'nginx']) {
    // Where nothing runs services (containers) there is nothing to stop.
    if (hasCommand('service')) spawnSync('service', [service, 'stop'], { stdio: 'ignore' });
  }
}
