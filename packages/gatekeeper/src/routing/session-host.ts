// What a device's session asks of the gatekeeper around it. Types alone.
import type { After } from '@drawbridge/identity/timers';
import type { Element } from '@drawbridge/wire/element';
import type { Stampable } from '@drawbridge/wire/envelope';
import type { Wanted } from '../mailbox/device-mailbox.ts';
import type { Mailboxes } from '../mailbox/mailbox.ts';
import type { HeldMemory } from './held-memory.ts';
import type { SessionLimits } from './session-limits.ts';
import type { KeptShapers } from './stream-shaper.ts';

/** What a session asks of its surroundings. */
export type HostOf<DeviceSession> = {
  readonly domain: string;
  readonly limits: SessionLimits;
  readonly mailboxes: Mailboxes;
  monotonicMs(): number;
  readonly after: After;
  newId(): string;
  /** Routes one stanza; the session resolves `sequence` when told. */
  route(session: DeviceSession, el: Element, sequence: number): void;
  /** Whether this entry, which waited, may be delivered now (opt-outs and suspensions since). */
  stillWanted(session: DeviceSession, el: Element): Wanted | Promise<Wanted>;
  /** The gatekeeper's word that it took this over at this time. */
  stamp(message: Stampable, atMs: number): Uint8Array;
  /** Flush this session at the end of this turn. */
  flushSoon(session: DeviceSession): void;
  /** Flush this session after a few milliseconds. */
  flushLater(session: DeviceSession): void;
  /** Its part of a turn is used up: `nextTurn` is called when others have had theirs. Repeats do nothing. */
  readLater(session: DeviceSession): void;
  /** Mail is kept for this device, and its stream is lost or late: have it woken. */
  mailWaits(session: DeviceSession): void;
  /** The session is over: forget it. */
  ended(session: DeviceSession): void;
  /** Storage lags: the largest senders wait first. */
  readonly congested: boolean;
  readonly memory: HeldMemory;
  readonly shapers: KeptShapers;
  pausedByCongestion(session: DeviceSession): void;
};

export type HeldStanza = { readonly el: Element; readonly sequence: number };
