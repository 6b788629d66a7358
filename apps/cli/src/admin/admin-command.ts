// What every command of `drawbridge admin` has in common: its options. Knows nothing of what is asked.
import type { Command } from 'commander';

export type Flags = { url?: string; config?: string; tokenFile?: string; json: boolean };

/** For `--config`, `--url` and tokens: every command has them. */
export function command(admin: Command, name: string, summary: string, description: string, example: string): Command {
  return admin
    .command(name)
    .summary(summary)
    .description(description)
    .option('--config <file>', 'on the machine itself: the configuration, for the address and the admin-token file')
    .option('--url <url>', 'the admin listener (otherwise of the configuration, or http://127.0.0.1:9320)')
    .option('--token-file <file>', 'file with the token (otherwise DRAWBRIDGE_ADMIN_TOKEN, or the admin-token file)')
    .option('--json', 'the answer as JSON', false)
    .addHelpText('after', `\nExample:\n  $ drawbridge admin ${example}`);
}
