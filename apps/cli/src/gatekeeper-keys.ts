// Replaces the signing key of a gatekeeper's compact transport. Knows nothing of what the keys are for.
import { join } from 'node:path';
import { backupFileOf, CompactKeysError, rotateSigningKey } from '@drawbridge/gatekeeper/listeners/compact-keys';
import { CommandError } from './command-error.ts';
import { readGatekeeperConfig } from './gatekeeper-run.ts';

/** Throws a CommandError, with nothing changed, when the backup key can't be had or is not the one that clients know. */
export function rotateGatekeeperKey(configFile: string, backupKey?: string): void {
  const { dataFolder, domain } = readGatekeeperConfig(configFile);
  const file = join(dataFolder, 'compact-keys.json');
  try {
    const { signingJwk } = rotateSigningKey(file, domain, Date.now(), backupKey);
    process.stdout.write(`The backup key is in force: ${signingJwk.x}\n`);
  } catch (error) {
    if (!(error instanceof CompactKeysError)) throw error;
    throw new CommandError(
      error.message,
      'the handbook has the drill: docs/operations/running-a-gatekeeper.md, Rotation',
    );
  }
  process.stdout.write(
    `Next: send SIGHUP to the gatekeeper (systemctl reload), take ${backupFileOf(file)} to a safe place\n`,
  );
  process.stdout.write('off this machine, and destroy the copy of the key that has just been put in force.\n');
}
