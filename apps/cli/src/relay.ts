// `drawbridge relay`: options and help. Knows nothing of how a relay works.
import type { Command } from 'commander';
import type { RelayFlags } from './relay/relay-config.ts';

function withOptions(command: Command): Command {
  return command
    .option('--config <file>', 'JSON with the options below as members, and limits, in place of them')
    .option('--listen <host:port>', 'where clients connect (default: [::]:8444)')
    .option('--upstream <host:port...>', "the gatekeeper's ports; nothing else is reached")
    .option('--outgoing-address <address>', 'address of this machine that the gatekeeper sees')
    .option('--health <host:port>', 'where /healthz, /readyz and /metrics are answered, in plain HTTP');
}

export function registerRelay(program: Command): void {
  const relay = withOptions(
    program
      .command('relay')
      .summary("hide people's addresses from a gatekeeper")
      .description(
        "Passes encrypted connections on to a gatekeeper, until SIGTERM or Ctrl-C: the gatekeeper sees the relay's address in place of people's, and the relay sees neither what is said nor who says it to whom. Clients name an upstream by HTTP CONNECT; only those that are configured are reached. Nothing is kept.",
      )
      .enablePositionalOptions(),
  )
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge relay --upstream citadel.example:443 citadel.example:5223 citadel.example:5280
  $ drawbridge relay --config /etc/drawbridge/relay.json
  $ drawbridge relay check --config /etc/drawbridge/relay.json
  $ drawbridge chat --relay relay.skylark.example:8444 --gatekeeper https://citadel.example …

relay.json: {"listen": "[::]:8444", "upstreams": ["citadel.example:443", …], "outgoingAddress": "192.0.2.7",
"health": "127.0.0.1:9331", "drainSeconds": 10, "limits": {"connectionsPerAddress": 256, …}}.
The upstreams are the hosts and ports in the gatekeeper's reference offer (its endpoints); its operator names the relay's
addresses in the gatekeeper's configuration (relays), or the people behind it share what one address may do.`,
    )
    .action(async (flags: RelayFlags) => {
      const { runRelay } = await import('./relay-run.ts');
      await runRelay(flags);
    });

  withOptions(relay.command('check'))
    .summary('check a configuration, and the way to the gatekeeper')
    .description('Reads the configuration, tries the ports, and connects to each upstream once. Starts nothing.')
    .option('--offline', 'connect to nobody', false)
    .addHelpText('after', '\nExample:\n  $ drawbridge relay check --config /etc/drawbridge/relay.json')
    .action(async ({ offline, ...flags }: RelayFlags & { offline: boolean }) => {
      const { checkRelay } = await import('./relay-run.ts');
      await checkRelay(flags, { offline });
    });
}
