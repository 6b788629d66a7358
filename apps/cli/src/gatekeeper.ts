// `drawbridge gatekeeper`: options and help. Knows nothing of how a gatekeeper works.
import type { Command } from 'commander';
import { usageError } from './command-error.ts';
import { registerAdmins } from './gatekeeper-admin.ts';
import { addOwnProviderOptions, type OwnProviderFlags } from './own-provider.ts';

export function registerGatekeeper(program: Command): void {
  const gatekeeper = program
    .command('gatekeeper')
    .summary('run a gatekeeper')
    .description(
      'Runs a gatekeeper from its configuration file until SIGTERM or Ctrl-C, which end streams in good order.',
    )
    .enablePositionalOptions()
    .option('--config <file>', 'configuration, JSON (docs/operations/configuration.md); needed')
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge gatekeeper init citadel --domain citadel.example
  $ drawbridge gatekeeper init citadel --development
  $ drawbridge gatekeeper check --config citadel/gatekeeper.json
  $ drawbridge gatekeeper --config citadel/gatekeeper.json

Logs go to standard output: JSON lines, or a readable form in a terminal. They hold nothing of any person.`,
    )
    .action(async (flags: { config?: string }) => {
      // Not a required option: the commands below this one would require it too.
      if (flags.config === undefined) {
        throw usageError('--config is missing', 'name a configuration; `drawbridge gatekeeper init DIR` writes one');
      }
      const { runGatekeeper } = await import('./gatekeeper-run.ts');
      await runGatekeeper(flags.config);
    });

  const init = gatekeeper
    .command('init')
    .summary('write a configuration to start from')
    .description('Writes gatekeeper.json, and a README.md that explains it, to a folder. Overwrites nothing.')
    .argument('<folder>', 'made when it is not there')
    .option('--domain <name>', 'DNS name that stands in every JID (default with --development: localhost)')
    .option('--data <folder>', "where database and keys go (otherwise 'data' beside the configuration)")
    .option('--development', 'for this machine alone: loopback, development certificates, open registration', false);
  addOwnProviderOptions(init)
    .addHelpText(
      'after',
      `
Examples:
  $ drawbridge gatekeeper init citadel --domain citadel.example
  $ drawbridge gatekeeper init citadel --development
  $ drawbridge gatekeeper init citadel --development --provider https://localhost:8443/interop`,
    )
    .action(
      async (folder: string, flags: OwnProviderFlags & { domain?: string; data?: string; development: boolean }) => {
        const { initGatekeeper } = await import('./gatekeeper-init.ts');
        await initGatekeeper(folder, flags);
      },
    );

  registerBackup(gatekeeper);
  registerMove(gatekeeper);
  registerAdmins(gatekeeper);
  registerKeys(gatekeeper);
  registerClock(gatekeeper);

  gatekeeper
    .command('check')
    .summary('check a configuration')
    .description(
      'Looks at the configuration and at what a start needs: certificate (key, names, days left), permissions, ports, ' +
        "providers' key sets, open files. Says everything that is wrong, starts nothing. Exit code 1 when a start would fail.",
    )
    .requiredOption('--config <file>', 'configuration, JSON')
    .option('--offline', "don't ask the providers", false)
    .addHelpText('after', '\nExample:\n  $ drawbridge gatekeeper check --config citadel/gatekeeper.json')
    .action(async (flags: { config: string; offline: boolean }) => {
      const { checkGatekeeper } = await import('./gatekeeper-run.ts');
      await checkGatekeeper(flags.config, flags);
    });
}

function registerKeys(gatekeeper: Command): void {
  gatekeeper
    .command('rotate-signing-key')
    .summary("put the backup key in force as the compact transport's signing key")
    .description(
      'Puts the backup key in force as the long-term key that clients pin, makes another backup key, and replaces the static ' +
        'keys. Clients follow by themselves. For a key that may have been stolen, or is lost. The gatekeeper may run: it takes ' +
        'the keys with the next SIGHUP, or within an hour.',
    )
    .requiredOption('--config <file>', 'configuration, JSON')
    .option(
      '--backup-key <file>',
      'where the backup key was taken to (otherwise compact-backup-key.json in the data folder)',
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ drawbridge gatekeeper rotate-signing-key --config citadel/gatekeeper.json --backup-key /media/safe/compact-backup-key.json',
    )
    .action(async (flags: { config: string; backupKey?: string }) => {
      const { rotateGatekeeperKey } = await import('./gatekeeper-keys.ts');
      rotateGatekeeperKey(flags.config, flags.backupKey);
    });
}

function registerClock(gatekeeper: Command): void {
  gatekeeper
    .command('confirm-clock')
    .summary("say that this machine's clock is right")
    .description(
      'A clock that leaps by more than a day while the gatekeeper is off is not believed: nothing expires by it, and a clock ' +
        'before the time that was believed last keeps it from starting. Look at the clock first (`date -u`): what expired by ' +
        'it is deleted from then on. The gatekeeper may run, and takes it within a minute.',
    )
    .requiredOption('--config <file>', 'configuration, JSON')
    .addHelpText('after', '\nExample:\n  $ drawbridge gatekeeper confirm-clock --config citadel/gatekeeper.json')
    .action(async (flags: { config: string }) => {
      const { confirmClock } = await import('./gatekeeper-clock.ts');
      await confirmClock(flags.config);
    });
}

function registerMove(gatekeeper: Command): void {
  gatekeeper
    .command('migrate-store')
    .summary('move the embedded store to PostgreSQL')
    .description(
      'Moves everything in the embedded store of the data folder to the PostgreSQL database that the configuration names ' +
        '(`storage`), which must be empty, and compares every row. All of it moves, or nothing. Stop the gatekeeper first.',
    )
    .requiredOption('--config <file>', 'configuration, JSON')
    .addHelpText('after', '\nExample:\n  $ drawbridge gatekeeper migrate-store --config citadel/gatekeeper.json')
    .action(async (flags: { config: string }) => {
      const { migrateStore } = await import('./gatekeeper-move.ts');
      await migrateStore(flags.config);
    });
}

function registerBackup(gatekeeper: Command): void {
  gatekeeper
    .command('backup')
    .summary('copy databases and keys while it runs')
    .description(
      'Copies the databases and keys of a gatekeeper, also of one that runs, to a new folder, and checks the copy. ' +
        'Files of own users are not in it: copy users/media/files (or the bucket) afterwards; they never change.',
    )
    .requiredOption('--config <file>', 'configuration, JSON')
    .argument('<folder>', 'made when it is not there; holds keys: guard it like the data folder')
    .addHelpText(
      'after',
      '\nExample:\n  $ drawbridge gatekeeper backup --config citadel/gatekeeper.json /backup/monday',
    )
    .action(async (folder: string, flags: { config: string }) => {
      const { backup } = await import('./gatekeeper-backup.ts');
      await backup(flags.config, folder);
    });

  gatekeeper
    .command('restore')
    .summary('make the data folder from a backup')
    .description(
      'Makes the data folder that the configuration names from a backup, after checking every file of it. ' +
        'Overwrites nothing: stop the gatekeeper and move its data folder away first.',
    )
    .requiredOption('--config <file>', 'configuration, JSON')
    .argument('<backup>', 'folder that `drawbridge gatekeeper backup` made')
    .addHelpText(
      'after',
      '\nExample:\n  $ drawbridge gatekeeper restore --config citadel/gatekeeper.json /backup/monday',
    )
    .action(async (folder: string, flags: { config: string }) => {
      const { restore } = await import('./gatekeeper-backup.ts');
      await restore(flags.config, folder);
    });
}
