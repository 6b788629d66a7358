// `drawbridge sandbox`: options, help, output. Knows nothing of how a sandbox works.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { exitCodes } from './command-error.ts';
import { addOwnProviderOptions, readOwnProvider, type OwnProviderFlags } from './own-provider.ts';

type Flags = OwnProviderFlags & {
  data: string;
  basePort: number;
  accounts: number;
  domain: string;
  host: string;
  json: boolean;
  unlimited: boolean;
  requests: boolean;
  tls: boolean;
  verbose: boolean;
  keyLog?: string;
};

/** For whole numbers in options; the command checks the range. */
export function wholeNumber(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}

/** For numbers of entries, which only grow. */
export function entryNumber(text: string): string {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('Give the number of an entry.');
  return text;
}

export function registerSandbox(program: Command): void {
  const sandbox = program
    .command('sandbox')
    .summary('a local gatekeeper and provider to develop against')
    .description(
      'Runs a gatekeeper, a third-party provider and accounts u0, u1, … on this machine, so that any XMPP library in any ' +
        'language can log in. Serves fresh ownership proofs on loopback, and never listens anywhere else.',
    )
    .option('--data <folder>', 'where everything is kept; a second start keeps the accounts', 'drawbridge-sandbox')
    .option(
      '--base-port <port>',
      'first of seven ports: xmpp, xmpps, websocket, compact, http, sandbox, admin; 0 takes free ones',
      wholeNumber,
      5222,
    )
    .option('--accounts <count>', 'how many accounts there are at least', wholeNumber, 10)
    .option('--domain <name>', 'domain of all addresses', 'localhost')
    .addOption(new Option('--host <address>', 'an address of loopback').default('127.0.0.1'))
    .option('--json', 'first line of output: a JSON object that says what is where', false)
    .option('--unlimited', 'budgets off, for load tests', false)
    .option('--requests', 'first messages between providers wait for an acceptance, as in production', false)
    .option('--no-tls', 'plaintext on the xmpp port, for measurements')
    .option('--key-log <file>', 'write the keys of compact sessions, so that captured traffic can be read')
    .option('--verbose', "show the gatekeeper's log on standard error", false);
  addOwnProviderOptions(sandbox)
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge sandbox
  $ drawbridge sandbox --data /tmp/sandbox --base-port 15222 --accounts 1000 --json
  $ drawbridge sandbox --provider https://localhost:8443/interop --provider-ca my-ca.pem
  $ drawbridge sandbox --requests
  $ curl 'http://127.0.0.1:5227/sandbox/proof?account=u0&transport=xmpp'
  $ curl 'http://127.0.0.1:5227/sandbox/proofs?from=0&count=10&transport=compact'

The page at http://127.0.0.1:5227/ says the rest.`,
    )
    .action(async (flags: Flags) => {
      const startedMs = performance.now();
      const { startSandbox, sandboxPassword } = await import('./sandbox-run.ts');
      const { closeWithin, untilStopped } = await import('./lifetime.ts');
      const stopped = untilStopped();
      const { keyLog, json, ...rest } = flags;
      const ownProvider = readOwnProvider(flags);
      const starting = startSandbox({
        ...rest,
        ...(ownProvider === undefined ? {} : { ownProvider }),
        ...(keyLog === undefined ? {} : { keyLogFile: keyLog }),
        onProgress: count => {
          if (process.stderr.isTTY)
            process.stderr.write(`\r${count} accounts enlisted${count < flags.accounts ? '' : '\n'}`);
        },
      });
      // A stop while starting: what is half there goes with the process, the child with its channel.
      const early = await Promise.race([starting, stopped]);
      if (early === undefined) {
        process.stderr.write('drawbridge: stopped before the sandbox was ready\n');
        process.exit(exitCodes.ok);
      }
      const { ready, accounts, died, close } = early;
      if (json) process.stdout.write(`${JSON.stringify(ready)}\n`);
      else {
        const { sandboxSummary } = await import('./sandbox-page.ts');
        const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
        const summary = sandboxSummary({ ready, accounts, tls: flags.tls, password: sandboxPassword });
        process.stdout.write(`Drawbridge sandbox, ready in ${seconds} s. Ctrl-C stops it.\n\n${summary}\n`);
      }
      const death = await Promise.race([died, stopped]);
      if (death !== undefined) process.stderr.write(`drawbridge: ${death}\n`);
      await closeWithin(1_800, close);
      process.exit(death === undefined ? exitCodes.ok : exitCodes.failed);
    });
}
