// `node --conditions=drawbridge-source harness/src/crowd/run.ts --help`: the hostile crowd, with figures.
// Question: what do honest people of two providers notice while a third, its ten accounts and a whole /48 attack at once?
import { spawnSync } from 'node:child_process';
import { readNumberOptions } from '../number-options.ts';
import { playCrowd } from './play.ts';

const usage = `The hostile crowd: honest traffic of two providers, then together with every abuse at once from one provider, one
/48 and ten accounts. Prints the result as one line of JSON.

  --quiet N     seconds of honest traffic alone, before and after (5)
  --seconds N   seconds together with the crowd (20)
  --pairs N     honest pairs (10)
  --every N     milliseconds between two messages of a pair in one direction (200)

On Linux the network is one of its own (unshare), in which the crowd has 2^80 IPv6 addresses; elsewhere it has one.
Exit codes: 0 played, 2 wrong options.
`;

const numbers = readNumberOptions(usage, {
  quiet: { otherwise: 5, least: 1, most: 600 },
  seconds: { otherwise: 20, least: 2, most: 3_600 },
  pairs: { otherwise: 10, least: 1, most: 200 },
  every: { otherwise: 200, least: 20, most: 10_000 },
});

/** A network namespace with loopback alone, on which all of a /48 is local and anybody may come from it. */
const setUp =
  'ip link set lo up && ip -6 route add local 2001:db8:66::/48 dev lo && echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind';

function runsElsewhere(): boolean {
  if (process.env['DRAWBRIDGE_CROWD_IPV6'] !== undefined) return false;
  const own = ['--user', '--map-root-user', '--net'];
  if (spawnSync('unshare', [...own, 'sh', '-c', setUp], { stdio: 'ignore' }).status !== 0) return false;
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync('unshare', [...own, 'sh', '-c', `${setUp} && exec "$0" "$@"`, ...again], {
    stdio: 'inherit',
    env: { ...process.env, DRAWBRIDGE_CROWD_IPV6: '1' },
  });
  process.exitCode = status ?? 1;
  return true;
}

if (!runsElsewhere()) {
  const { quiet, seconds, pairs, every } = numbers;
  const result = await playCrowd({ quietSeconds: quiet, crowdSeconds: seconds, pairs, everyMs: every });
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
