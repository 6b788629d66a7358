// All named storage commands, from the domains' files. The worker runs them; `SqliteStore.run` and `.read` name them.
// Knows nothing of what they do.
import { accountReads, accountWrites } from './account-commands.ts';
import { adminReads, adminWrites } from './admin-commands.ts';
import { applicationReads, applicationWrites } from './application-commands.ts';
import { auditReads, auditWrites } from './audit-commands.ts';
import { clockReads, clockWrites } from './clock-commands.ts';
import { contactReads, contactWrites } from './contact-commands.ts';
import { linkReads, linkWrites } from './contact-link-commands.ts';
import { eventReads, eventWrites } from './event-commands.ts';
import { heartbeatReads, heartbeatWrites } from './heartbeat-commands.ts';
import { keyReads, keyWrites } from './key-commands.ts';
import { depthReads } from './depth-commands.ts';
import { mailboxParts, mailboxWrites } from './mailbox-commands.ts';
import { orphanParts, orphanReads, orphanWrites } from './mailbox-orphans.ts';
import { mailboxReads } from './mailbox-reads.ts';
import { manifestReads, manifestWrites } from './manifest-commands.ts';
import { operationsReads, operationsWrites } from './operations-commands.ts';
import { proofWrites } from './proof-commands.ts';
import { reportReads, reportWrites } from './report-commands.ts';
import { restrictionReads, restrictionWrites } from './restriction-commands.ts';
import { subjectEventWrites } from './subject-event-commands.ts';

export const writeCommands = {
  ...mailboxWrites,
  ...orphanWrites,
  ...accountWrites,
  ...contactWrites,
  ...linkWrites,
  ...manifestWrites,
  ...keyWrites,
  ...proofWrites,
  ...operationsWrites,
  ...reportWrites,
  ...restrictionWrites,
  ...subjectEventWrites,
  ...eventWrites,
  ...heartbeatWrites,
  ...auditWrites,
  ...applicationWrites,
  ...adminWrites,
  ...clockWrites,
};
export const readCommands = {
  ...mailboxReads,
  ...orphanReads,
  ...accountReads,
  ...contactReads,
  ...linkReads,
  ...manifestReads,
  ...keyReads,
  ...operationsReads,
  ...reportReads,
  ...restrictionReads,
  ...eventReads,
  ...heartbeatReads,
  ...auditReads,
  ...applicationReads,
  ...adminReads,
  ...depthReads,
  ...clockReads,
};

/** Commands that are done in parts when a page is damaged. */
export const commandParts = { ...mailboxParts, ...orphanParts };

export type WriteCommands = typeof writeCommands;
export type ReadCommands = typeof readCommands;
