// What mailboxes need and whom they tell. Types alone.
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { After } from '@drawbridge/identity/timers';
import type { Damage } from './device-mailbox.ts';
import type { Elsewhere } from './elsewhere.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import type { MailboxStore } from './mailbox-store.ts';
import type { Codec } from './stanza-codec.ts';
import type { TellSender } from './sweep.ts';

export type MailboxEvents = {
  /** Writers are too far behind (true) or have caught up (false): slow senders down. */
  congested(congested: boolean): void;
  damaged(what: Damage): void;
};

export type MailboxDeps = {
  readonly store: MailboxStore;
  /** This node's name, another one each time it starts. */
  readonly node: string;
  readonly codec: Codec;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
  /** What waits a moment; the system's timers when left out. */
  readonly after?: After | undefined;
  /** By which mail grows old; from the two above when left out. */
  readonly expiry?: ExpiryClock | undefined;
  readonly events: MailboxEvents;
  /** Has a message's sender told that it will not be delivered. */
  readonly tellSender: TellSender;
  readonly limits: MailboxLimits;
  /** The other nodes; undefined: there are none. */
  readonly elsewhere?: Elsewhere | undefined;
};
