// `drawbridge gatekeeper admin`: options and help. Knows nothing of how admins are kept.
import { type AdminRole, adminRoles } from '@drawbridge/gatekeeper/admin/admin-accounts';
import { type Command, Option } from 'commander';

export function registerAdmins(gatekeeper: Command): void {
  const admin = gatekeeper
    .command('admin')
    .summary('make, list and remove named admins')
    .description(
      'Named admins use the admin API and `drawbridge admin` with a token of their own; their name stands in the audit log. ' +
        'Works on the data folder, also while the gatekeeper runs: it sees the change with the next request.',
    )
    .addHelpText(
      'after',
      `
Roles, each with what those before it may:
  metrics   read metrics
  viewer    look at providers, streams, people and the audit log
  operator  suspend, resume, revoke keys, export
  owner     delete people

Examples:
  $ drawbridge gatekeeper admin add rosa --role operator --config citadel/gatekeeper.json
  $ drawbridge gatekeeper admin list --config citadel/gatekeeper.json
  $ drawbridge gatekeeper admin remove rosa --config citadel/gatekeeper.json`,
    );
  const configText = 'configuration, JSON; its data folder is meant';
  admin
    .command('add')
    .summary('make an admin and print the token')
    .description('Makes an admin and prints the token, once: only its hash is kept.')
    .argument('<name>', 'stands in the audit log')
    .addOption(new Option('--role <role>', 'what the admin may do').choices(adminRoles).makeOptionMandatory())
    .requiredOption('--config <file>', configText)
    .addHelpText(
      'after',
      '\nExample:\n  $ drawbridge gatekeeper admin add rosa --role operator --config citadel/gatekeeper.json > rosa.token',
    )
    .action(async (name: string, flags: { config: string; role: AdminRole }) => {
      const { addAdmin } = await import('./gatekeeper-admins.ts');
      await addAdmin(flags.config, name, flags.role);
    });
  admin
    .command('list')
    .summary('list admins')
    .description('Lists names, roles and when each was made. The admin-token file is another owner.')
    .requiredOption('--config <file>', configText)
    .addHelpText('after', '\nExample:\n  $ drawbridge gatekeeper admin list --config citadel/gatekeeper.json')
    .action(async (flags: { config: string }) => {
      const { listAdmins } = await import('./gatekeeper-admins.ts');
      await listAdmins(flags.config);
    });
  admin
    .command('remove')
    .summary('remove an admin')
    .description('Removes an admin: the token opens nothing any more.')
    .argument('<name>', 'as in the list')
    .requiredOption('--config <file>', configText)
    .addHelpText('after', '\nExample:\n  $ drawbridge gatekeeper admin remove rosa --config citadel/gatekeeper.json')
    .action(async (name: string, flags: { config: string }) => {
      const { removeAdmin } = await import('./gatekeeper-admins.ts');
      await removeAdmin(flags.config, name);
    });
}
