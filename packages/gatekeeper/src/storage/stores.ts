// Everything that is kept, as ports: what an adapter has to offer, and all that the rest of the gatekeeper sees of it.
// Types alone: knows nothing of databases.
import type { AdminAccounts } from '../admin/admin-accounts.ts';
import type { PersonRecords } from '../admin/person-records.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { ClockStore } from '../clock/clock-store.ts';
import type { ClusterStore } from '../cluster/cluster-store.ts';
import type { ContactLinkStore } from '../consent/contact-link-store.ts';
import type { ContactStore } from '../consent/contact-store.ts';
import type { AccountStore } from '../enlistment/account-store.ts';
import type { ProofIds } from '../enlistment/proof-ids.ts';
import type { EventOutbox } from '../events/event-outbox.ts';
import type { SubjectEvents } from '../events/subject-event-store.ts';
import type { KeyDirectory } from '../keys/key-directory.ts';
import type { MailboxStore } from '../mailbox/mailbox-store.ts';
import type { ProviderApplications } from '../providers/applications.ts';
import type { ProviderStates } from '../providers/provider-states.ts';
import type { RestrictionStore } from '../integrity/restriction-store.ts';
import type { ReportStore } from '../reports/report-store.ts';
import type { WakeUpQueue } from '../wakeup/wake-up-queue.ts';

/** `full`: it takes no mail; what makes room and what logins need may still be written. `late`: it has not answered. */
export type StorageHealth = 'works' | 'full' | 'late' | 'failed';

/** Mail that waits: for how many devices, how many entries, and when the oldest came. */
export type MailboxDepth = {
  readonly devices: number;
  readonly entries: number;
  readonly oldestAcceptedAtMs: number | undefined;
};

export type Stores = {
  readonly accounts: AccountStore;
  readonly contacts: ContactStore;
  readonly links: ContactLinkStore;
  readonly keys: KeyDirectory;
  readonly proofIds: ProofIds;
  readonly providers: ProviderStates;
  readonly applications: ProviderApplications;
  readonly wakeUps: WakeUpQueue;
  readonly reports: ReportStore;
  readonly restrictions: RestrictionStore;
  readonly subjectEvents: SubjectEvents;
  readonly outgoingEvents: EventOutbox;
  readonly audit: AuditLog;
  readonly admins: AdminAccounts;
  readonly people: PersonRecords;
  readonly clock: ClockStore;
  readonly mailboxes: MailboxStore;
  /** Undefined: one process has this storage for itself. */
  readonly cluster?: ClusterStore;
  /** Writes accepted and not yet durable. */
  readonly waiting: () => number;
  /** Whether storage takes a write and answers a read just now. May be asked often. Never rejects. */
  readonly health: () => Promise<StorageHealth>;
  /** Counts: not to be asked for often. Rejects with StoreError alone. */
  readonly measureDepth: () => Promise<MailboxDepth>;
};
