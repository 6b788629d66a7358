// Which limits the inside of a gatekeeper has by its configuration. The objects live as long as the process: a reload
// writes the new numbers into them, and whoever reads a limit reads it from there.
// Knows nothing of what the limits are for.
import type { Config } from './config-schema.ts';
import { connectionRoom, readFileLimit } from './file-limit.ts';
import { defaultListenerLimits, type ListenerLimits } from './listeners/admission.ts';
import { defaultMailboxLimits, type MailboxLimits } from './mailbox/mailbox-limits.ts';
import { defaultSessionLimits, type SessionLimits } from './routing/session-limits.ts';
import { type ShaperLimits, unlimitedShaper } from './routing/stream-shaper.ts';

const oneDayMs = 86_400_000;
const mebibyte = 1_048_576;

export type CoreLimits = {
  readonly mailboxLimits: MailboxLimits;
  readonly sessionLimits: SessionLimits;
  readonly maxHeldBytes: number;
  readonly listenerLimits: ListenerLimits;
};

export function coreLimits({ limits, budgets }: Pick<Config, 'limits' | 'budgets'>): CoreLimits {
  return {
    mailboxLimits: {
      ...defaultMailboxLimits,
      maxEntries: limits.mailboxEntries,
      maxBytes: limits.mailboxBytes,
      maxEntriesPerSender: budgets.unlimited ? limits.mailboxEntries : limits.mailboxEntriesPerSender,
      maxBytesPerSender: budgets.unlimited ? limits.mailboxBytes : limits.mailboxBytesPerSender,
      maxBytesPerPerson: limits.mailboxBytesPerPerson,
      maxBytesPerProvider: limits.mailboxBytesPerProvider,
      ttlMs: limits.mailboxDays * oneDayMs,
    },
    sessionLimits: { ...defaultSessionLimits, shaper: budgets.unlimited ? { ...unlimitedShaper } : shaperOf(limits) },
    maxHeldBytes: limits.unacknowledgedMebibytes * mebibyte,
    listenerLimits: {
      ...defaultListenerLimits,
      maxUnauthenticatedPerAddress: limits.connectionsPerAddress,
      maxUnauthenticatedPerSite: limits.connectionsPerSite,
      maxUnauthenticated: limits.connectionsBeforeLogin,
      maxConnections: connectionRoom(limits, readFileLimit()).connections,
    },
  };
}

function shaperOf(limits: Config['limits']): ShaperLimits {
  const { stanzaBurst, stanzasPerSecond, streamMebibyteBurst, streamKibibytesPerSecond } = limits;
  return {
    stanzaBurst,
    stanzasPerSecond,
    byteBurst: streamMebibyteBurst * mebibyte,
    bytesPerSecond: streamKibibytesPerSecond * 1_024,
  };
}

/** Writes the limits of another configuration into those that are in use. */
export function changeCoreLimits(inUse: CoreLimits, next: CoreLimits): void {
  Object.assign(inUse.mailboxLimits, next.mailboxLimits);
  const { shaper, ...session } = next.sessionLimits;
  Object.assign(inUse.sessionLimits, session);
  Object.assign(inUse.sessionLimits.shaper, shaper);
  Object.assign(inUse.listenerLimits, next.listenerLimits);
}
