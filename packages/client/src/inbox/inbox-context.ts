// What the inbox works with, and its limits. Types and values alone.
import type { E2eeSuite } from '@drawbridge/e2ee/suite';
import type { Clock } from '../clock.ts';
import type { DecisionBook } from '../contacts/decision-book.ts';
import type { DeviceLists } from '../directory/device-lists.ts';
import type { KeyCounts } from '../directory/directory.ts';
import type { ClientEvent } from '../events.ts';
import type { HistoryTransfer } from '../history/history-transfer.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { EncryptedStore } from '../store/store.ts';

export const inboxLimits = {
  /** A stanza that was not sent again within this time is lost. */
  retryWaitMs: 86_400_000,
  /** A store that fails as a whole (a full disk) is tried again after growing pauses, as long as it takes. */
  storePauseMs: 1_000,
  maxStorePauseMs: 30_000,
  /** A directory that can't say whose a device is is asked again this often. */
  directoryAttempts: 5,
  /** Broken code, for one message: after this many tries it counts as a fault of that message. */
  maxTries: 3,
  /** A stanza that was not sent again within this time, on a stream that is up, is a line until it is. */
  showUnreadMs: 15_000,
  /** Rows looked at in one sweep. */
  sweepRows: 1_000,
  /** Messages that wait for a person to accept a key; the oldest of whoever has the most give way, and are lines. */
  held: { perPerson: 500, inAll: 2_000 },
  /** Held messages read from the store at once. */
  heldPage: 32,
  /** Messages of somebody who waits for a decision that are acknowledged with it. A gatekeeper lets fewer through. */
  owedReceipts: 10,
  /** How exactly it is remembered when a device was heard of last. */
  capabilitiesAgeMs: 86_400_000,
} as const;

export type InboxContext = {
  readonly store: EncryptedStore;
  readonly suite: Pick<E2eeSuite, 'name' | 'local' | 'decrypt' | 'endSessions' | 'readIdentity'>;
  readonly domain: string;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly transfer: HistoryTransfer;
  readonly lists: Pick<DeviceLists, 'mayBeRead' | 'isNamed' | 'skipped'>;
  readonly deliveryReceipts: boolean;
  readonly emit: (event: ClientEvent) => void;
  readonly decisions: Pick<DecisionBook, 'isListed' | 'answer'>;
  readonly keysLow: (counts: KeyCounts) => void;
  readonly ownManifestChanged: () => void;
};
