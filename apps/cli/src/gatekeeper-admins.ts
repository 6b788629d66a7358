// `drawbridge gatekeeper admin`: makes, lists and removes the named admins of a data folder. Knows nothing of what they
// may do.
import { statSync } from 'node:fs';
import { AdminStoreError, openAdmins, type OpenAdmins } from '@drawbridge/gatekeeper/admin-store';
import {
  type AdminRole,
  digestOfToken,
  isAdminName,
  newAdminToken,
  reservedActors,
} from '@drawbridge/gatekeeper/admin/admin-accounts';
import { CommandError, usageError } from './command-error.ts';
import { readGatekeeperConfig } from './gatekeeper-run.ts';

/** Whoever made the change is at the machine: no name is known. */
const actor = 'command';

export async function addAdmin(configFile: string, name: string, role: AdminRole): Promise<void> {
  if (!isAdminName(name)) {
    const reserved = reservedActors.join(', ');
    throw usageError(
      `${name} can't be an admin's name`,
      `take 1 to 32 of a-z, 0-9, '.', '_', '-', a letter first; not ${reserved}`,
    );
  }
  const token = newAdminToken();
  const tokenDigest = digestOfToken(token);
  await withAdmins(configFile, async ({ admins }) => {
    const result = await admins.add({ name, role, tokenDigest, actor, nowMs: Date.now() });
    if (result === 'name-taken') {
      throw new CommandError(`${name} is an admin already`, 'remove it first for another token or role');
    }
  });
  process.stderr.write(`${name} is an admin with the role ${role}. The token is shown this once:\n`);
  process.stdout.write(`${token}\n`);
}

export async function listAdmins(configFile: string): Promise<void> {
  await withAdmins(configFile, async ({ admins }) => {
    for (const { name, role, addedAtMs } of await admins.list()) {
      process.stdout.write(`${name.padEnd(32)} ${role.padEnd(8)} since ${new Date(addedAtMs).toISOString()}\n`);
    }
  });
}

export async function removeAdmin(configFile: string, name: string): Promise<void> {
  await withAdmins(configFile, async ({ admins }) => {
    const result = await admins.remove({ name, actor, nowMs: Date.now() });
    if (result === 'unknown') throw new CommandError(`there is no admin ${name}`, 'drawbridge gatekeeper admin list');
  });
  process.stdout.write(`${name} is removed: its token opens nothing any more\n`);
}

/** Throws a CommandError when the storage can't be used by this user and version. */
export async function withAdmins(configFile: string, use: (open: OpenAdmins) => Promise<void>): Promise<void> {
  const config = readGatekeeperConfig(configFile);
  refuseOthers(config.dataFolder);
  let open: OpenAdmins;
  try {
    open = await openAdmins(config);
  } catch (error) {
    if (!(error instanceof AdminStoreError)) throw error;
    throw new CommandError(error.message, `drawbridge gatekeeper --config ${configFile}`);
  }
  try {
    await use(open);
  } finally {
    await open.close();
  }
}

/** Files that another user leaves beside the database would lock its own user out. */
function refuseOthers(dataFolder: string): void {
  const owner = statSync(dataFolder, { throwIfNoEntry: false })?.uid;
  if (owner === undefined || process.getuid === undefined || owner === process.getuid()) return;
  throw new CommandError(`${dataFolder} belongs to another user`, `run this as that user: sudo -u '#${owner}' …`);
}
