// `drawbridge gatekeeper confirm-clock`, and what `check` says of the clock. Knows nothing of what hangs on it.
import { openAdmins } from '@drawbridge/gatekeeper/admin-store';
import { clockAtStart, clockWords } from '@drawbridge/gatekeeper/clock/gatekeeper-clock';
import type { Config } from '@drawbridge/gatekeeper/config';
import { withAdmins } from './gatekeeper-admins.ts';

/** A person says that this machine's clock is right: whatever expired by it goes. */
export async function confirmClock(configFile: string): Promise<void> {
  await withAdmins(configFile, async ({ clock }) => {
    await clock.confirm({ nowMs: Date.now(), actor: 'command' });
    const { remembered } = await clock.read();
    process.stdout.write(
      `${new Date(remembered!.seenMs).toISOString()} is the time. A gatekeeper that runs takes it within a minute.\n`,
    );
  });
}

/** In words; undefined when it is believed, or there is no database yet. */
export async function clockFault(
  config: Config,
): Promise<{ readonly kind: 'warning' | 'fault'; readonly message: string } | undefined> {
  try {
    const { clock, close } = await openAdmins(config);
    try {
      const state = clockAtStart(await clock.read(), Date.now());
      const message = clockWords(state, Date.now());
      return message === undefined ? undefined : { kind: state.kind === 'ahead' ? 'warning' : 'fault', message };
    } finally {
      await close();
    }
  } catch {
    // There is none, or it can't be used: that is said where the database is looked at.
    return undefined;
  }
}
