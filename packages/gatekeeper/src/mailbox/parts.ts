// The rooms of which mailboxes consist, joined: what keeps entries on their way to storage, and what hands over what storage has.
// Knows nothing of what they do with one another.
import { createBelievedClock } from '@drawbridge/identity/believed-clock';
import { systemAfter } from '@drawbridge/identity/timers';
import type { Element } from '@drawbridge/wire/element';
import { detachMessage } from '@drawbridge/wire/envelope';
import { Boxes } from './boxes.ts';
import type { Damage, DeviceMailbox, Entry, Live } from './device-mailbox.ts';
import { Drain } from './drain.ts';
import type { MailboxDeps } from './mailbox-deps.ts';
import { Refusals } from './refusals.ts';
import { Removals } from './removals.ts';
import { Streams } from './streams.ts';
import { Sweep } from './sweep.ts';
import { UnwrittenBytes } from './unwritten-bytes.ts';
import { VolatileStep } from './volatile-step.ts';
import { Writer } from './writer.ts';

/** What the parts ask of the whole. */
export type Whole = {
  readonly isClosing: () => boolean;
  readonly isSweepOver: () => boolean;
  readonly track: (work: Promise<void>) => void;
  readonly acknowledge: (entry: Entry) => void;
  readonly hasLoud: (device: number) => Promise<boolean>;
  /** An entry that is not kept. */
  readonly passing: (box: DeviceMailbox, live: Live, element: Element, sizeBytes: number) => Entry;
};

export type Parts = ReturnType<typeof joinParts>;

export function joinParts(deps: MailboxDeps, whole: Whole) {
  const { store, node, codec, limits, nowMs, monotonicMs, events, tellSender, elsewhere } = deps;
  const { isClosing, track } = whole;
  const after = deps.after ?? systemAfter;
  const expiry = deps.expiry ?? createBelievedClock(nowMs, monotonicMs);
  const boxes = new Boxes();
  const damaged = (what: Damage): void => events.damaged(what);
  const lose =
    (because: 'replaced' | 'storage-failed') =>
    (box: DeviceMailbox, live: Live): void =>
      streams.lose(box, live, because);
  const common = { store, codec, limits, expiry, track, damaged, after, claimLost: lose('replaced') };
  const unwritten = new UnwrittenBytes(limits.maxUnwrittenBytes, congested => events.congested(congested));
  const refusals = new Refusals(monotonicMs);
  const removals = new Removals({ ...common, isClosing, removed: box => boxes.forgetWhenIdle(box) });
  const writer = new Writer({
    ...common,
    unwritten,
    removals,
    elsewhere,
    node,
    written: box => streams.readOn(box),
    boundReached: ({ device, sender, stanza }, because) => refusals.note(device, sender, stanza.length, because),
  });
  const volatile = new VolatileStep({
    writeAfterMs: limits.writeAfterMs,
    monotonicMs,
    after,
    write: entry => {
      // The stream that has it may keep it for long: without the frame that it came in.
      if (entry.element !== undefined && !('stanza' in entry.element)) detachMessage(entry.element);
      writer.write(entry);
    },
  });
  const drain = new Drain({
    ...common,
    removals,
    expired: element => tellSender(element, 'expired'),
    acknowledge: whole.acknowledge,
    failed: lose('storage-failed'),
  });
  const streams = new Streams({
    ...{ store, node, track, boxes, volatile, writer, removals, drain, elsewhere, isClosing },
    hasLoud: whole.hasLoud,
    passing: whole.passing,
  });
  const sweep = new Sweep({
    ...common,
    isClosing: whole.isSweepOver,
    isLive: device => boxes.get(device)?.live !== undefined,
    tell: tellSender,
  });
  return { boxes, unwritten, refusals, removals, writer, volatile, drain, streams, sweep };
}
