// `drawbridge provider`: options and help. Knows nothing of how a provider works.
import { type Command, Option } from 'commander';
import { usageError } from './command-error.ts';
import { registerProviderLifecycle } from './provider-lifecycle.ts';
import { wholeNumber } from './sandbox.ts';

/** What the command line says about a provider to run; the same names as in its configuration file. */
export type ProviderFlags = {
  config?: string;
  data?: string;
  issuer?: string;
  gatekeeper?: string[];
  host?: string;
  port?: number;
  tlsCert?: string;
  tlsKey?: string;
  registration?: 'open' | 'closed';
  trustedProxy?: string[];
  connectionsPerAddress?: number;
  developmentCa?: string;
  /** In the file only. */
  mediaStorage?: object;
};

export function registerProvider(program: Command): void {
  const provider = program
    .command('provider')
    .summary('run the third-party provider kit')
    .description(
      'Runs an OpenID issuer for ownership proofs, with its users, sessions and wake-ups, until SIGTERM or Ctrl-C.',
    )
    .enablePositionalOptions()
    .option('--config <file>', 'JSON with the options below as members, in place of them')
    .option('--data <folder>', 'signing keys, users, sessions')
    .option('--issuer <url>', 'issuer URL as registered with gatekeepers, no slash at the end')
    .option('--gatekeeper <url...>', 'issuer URLs of the gatekeepers it works with')
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--port <port>', 'port to listen on (default: 8443)', wholeNumber)
    .option('--tls-cert <file>', 'certificate chain, PEM; without it plain HTTP, behind your own proxy')
    .option('--tls-key <file>', 'private key, PEM')
    .addOption(
      new Option('--registration <who>', 'open: anybody may register by POST /v1/users (default: closed)').choices([
        'open',
        'closed',
      ]),
    )
    .option('--trusted-proxy <address...>', 'reverse proxies (address or CIDR) whose X-Forwarded-For is believed')
    .option(
      '--connections-per-address <number>',
      'connections that one address may have at a time (default: 512)',
      wholeNumber,
    )
    .option('--development-ca <file>', 'trust this authority alone, and gatekeepers on loopback; never in production')
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge provider --data skylark --issuer https://id.skylark.example --gatekeeper https://citadel.example \\
      --port 8443 --tls-cert fullchain.pem --tls-key privkey.pem
  $ drawbridge provider --config skylark/provider.json
  $ echo 'correct horse' | drawbridge provider add-user --data skylark anna
  $ drawbridge provider rotate-keys --data skylark

provider.json: {"data": "data", "issuer": "https://…", "gatekeeper": ["https://…"], "host": "0.0.0.0", "port": 8443,
"tlsCert": "…", "tlsKey": "…", "registration": "closed"}; paths in it are relative to its folder. "mediaStorage" keeps
people's files in an S3-compatible bucket: docs/operations/configuration.md.`,
    )
    .action(async (flags: ProviderFlags) => {
      const { runProvider } = await import('./provider-run.ts');
      await runProvider(flags);
    });

  registerBackup(provider);
  registerConfirmClock(provider);
  registerProviderLifecycle(provider);

  provider
    .command('add-user')
    .summary('add a person to the embedded directory')
    .description(
      'Adds a person. The password is asked for at a terminal, or read from standard input: one line, 8 characters to 512 bytes.',
    )
    .requiredOption('--data <folder>', "the provider's data folder")
    .argument('<identifier>', 'user-visible identifier')
    .addHelpText('after', "\nExample:\n  $ echo 'correct horse' | drawbridge provider add-user --data skylark anna")
    .action(async (identifier: string, flags: { data: string }) => {
      const { addUser } = await import('./provider-run.ts');
      await addUser(flags.data, identifier);
    });

  provider
    .command('rotate-keys')
    .summary('after a theft: replace all signing keys')
    .description(
      'Throws away every signing key and makes a new one. Older proofs end when gatekeepers fetch the key set again, ' +
        'within minutes. Ordinary rotation needs no command: a running provider rotates by itself. Stop the provider first.',
    )
    .requiredOption('--data <folder>', "the provider's data folder")
    .addHelpText('after', '\nExample:\n  $ drawbridge provider rotate-keys --data skylark')
    .action(async (flags: { data: string }) => {
      const { rotateKeys } = await import('./provider-run.ts');
      await rotateKeys(flags.data);
    });
}

function registerBackup(provider: Command): void {
  provider
    .command('backup')
    .summary('copy databases and keys while it runs')
    .description(
      'Copies the databases and signing keys of a provider, also of one that runs, to a new folder, and checks the copy. ' +
        "People's files are not in it: copy media/files (or the bucket) afterwards; they never change.",
    )
    .requiredOption('--data <folder>', "the provider's data folder")
    .argument('<folder>', 'made when it is not there; holds keys: guard it like the data folder')
    .addHelpText('after', '\nExample:\n  $ drawbridge provider backup --data skylark /backup/monday')
    .action(async (folder: string, flags: { data: string }) => {
      const { backup } = await import('./provider-backup.ts');
      await backup(flags.data, folder);
    });

  provider
    .command('restore')
    .summary('make the data folder from a backup')
    .description(
      'Makes a data folder from a backup, after checking every file of it. Overwrites nothing: stop the provider and move ' +
        'its data folder away first.',
    )
    .requiredOption('--data <folder>', 'the data folder to make')
    .argument('<backup>', 'folder that `drawbridge provider backup` made')
    .addHelpText('after', '\nExample:\n  $ drawbridge provider restore --data skylark /backup/monday')
    .action(async (folder: string, flags: { data: string }) => {
      const { restore } = await import('./provider-backup.ts');
      await restore(flags.data, folder);
    });

  provider
    .command('wake-ups')
    .summary('whose wake-ups the push service never took')
    .description(
      'Says how many wake-ups wait for the push service, and shows those that were given up after their last try, a JSON ' +
        'line each. It names people: for your eyes, not for a log. The provider may run.',
    )
    .requiredOption('--data <folder>', "the provider's data folder")
    .option('--retry', 'let all of them be tried again', false)
    .addHelpText('after', '\nExample:\n  $ drawbridge provider wake-ups --data skylark --retry')
    .action(async (flags: { data: string; retry: boolean }) => {
      const { wakeUps } = await import('./provider-backup.ts');
      await wakeUps(flags.data, flags.retry);
    });
}

function registerConfirmClock(provider: Command): void {
  provider
    .command('confirm-clock')
    .summary("say that this machine's clock is right")
    .description(
      'After days off, or a restored backup, a provider that says clock-not-believed lets nothing expire by its clock. Look at ' +
        '`date -u`: if it is right, say so here; what expired meanwhile goes then. The provider may run.',
    )
    .requiredOption('--data <folder>', "the provider's data folder")
    .addHelpText('after', '\nExample:\n  $ drawbridge provider confirm-clock --data skylark')
    .action(async (flags: { data: string }) => {
      const { confirmProviderClock } = await import('./provider-backup.ts');
      await confirmProviderClock(flags.data);
    });
}

/** For options that are needed one way or the other. */
export function needed<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw usageError(`--${name} is missing`, `give --${name}, or --config with it`);
  return value;
}
