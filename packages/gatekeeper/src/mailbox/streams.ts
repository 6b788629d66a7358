// Which stream has a device's mailbox: it comes, claims, reads what waits, falls behind, is suspended, is replaced, goes.
// Knows nothing of senders, bounds or encodings.
// Source: docs/decisions/0054, 0055.
import type { Element } from '@drawbridge/wire/element';
import type { Boxes } from './boxes.ts';
import { type ClaimDeps, Claims } from './claims.ts';
import type { DeviceMailbox, Entry, Live, LiveDevice } from './device-mailbox.ts';
import type { Drain } from './drain.ts';
import type { Elsewhere } from './elsewhere.ts';
import type { Removals } from './removals.ts';
import type { VolatileStep } from './volatile-step.ts';
import type { Writer } from './writer.ts';

/** Stanzas that are not kept and wait for a stream's claim; more are dropped, as for a device that is away. */
const maxEarly = 32;

export type StreamsDeps = Pick<ClaimDeps, 'store' | 'node' | 'track'> & {
  readonly boxes: Boxes;
  readonly volatile: VolatileStep;
  readonly writer: Writer;
  readonly removals: Removals;
  readonly drain: Drain;
  readonly elsewhere: Elsewhere | undefined;
  readonly isClosing: () => boolean;
  /** Whether loud mail waits in storage. */
  readonly hasLoud: (device: number) => Promise<boolean>;
  /** An entry that is not kept. */
  readonly passing: (box: DeviceMailbox, live: Live, element: Element, sizeBytes: number) => Entry;
};

export class Streams {
  readonly #deps: StreamsDeps;
  readonly #claims: Claims;

  constructor(deps: StreamsDeps) {
    this.#deps = deps;
    const { store, node, track, boxes, elsewhere } = deps;
    this.#claims = new Claims({
      store,
      node,
      track,
      failed: (box, live) => this.lose(box, live, 'storage-failed'),
      answered: box => boxes.forgetWhenIdle(box),
      claimed: (box, live) => {
        elsewhere?.claimed(box.row, live.epoch!);
        this.#claimed(box, live);
      },
    });
  }

  /** A device's new stream. It replaces an earlier one. */
  attach(device: number, stream: LiveDevice): void {
    const { boxes, volatile, writer, removals, elsewhere } = this.#deps;
    const box = boxes.ofDevice(device);
    // What is known under the old claim goes to storage before the new one.
    volatile.write(box);
    if (box.writing > 0) writer.flush();
    if (box.removed !== undefined) removals.flush();
    const live: Live = {
      device: stream,
      epoch: undefined,
      isLost: false,
      cursor: 0,
      had: undefined,
      isBehind: false,
      unnumbered: 0,
      early: undefined,
      mode: 'claiming',
      reading: false,
      readFailures: 0,
    };
    box.live = live;
    elsewhere?.came(device);
    this.#claims.claim(box, live);
  }

  detach(device: number, stream: LiveDevice | undefined): void {
    const { boxes, volatile, elsewhere } = this.#deps;
    const box = boxes.get(device);
    const live = box?.live;
    if (box === undefined || live === undefined || live.device !== stream) return;
    box.live = undefined;
    elsewhere?.left(device);
    volatile.write(box);
    if (live.epoch !== undefined) this.#release(device, live, live.epoch);
    boxes.forgetWhenIdle(box);
  }

  suspend(device: number, stream: LiveDevice): void {
    const box = this.#deps.boxes.get(device);
    if (box?.live?.device !== stream) return;
    if (box.live.mode === 'live') this.turnToDraining(box, box.live);
  }

  /** What streams here have claimed just now. */
  claims(): readonly { readonly device: number; readonly epoch: number }[] {
    const claims: { device: number; epoch: number }[] = [];
    for (const { row: device, live } of this.#deps.boxes.all()) {
      if (live?.epoch !== undefined) claims.push({ device, epoch: live.epoch });
    }
    return claims;
  }

  /** Somebody else has written into this mailbox: the stream that has it here, if there is one, reads on. */
  nudge(device: number): void {
    const box = this.#deps.boxes.get(device);
    const live = box?.live;
    if (box === undefined || live?.epoch === undefined) return;
    live.isBehind = true;
    this.readOn(box);
  }

  /** As `nudge`, when this number was given by somebody else. */
  nudgeBehind(device: number, lastSeq: number): void {
    const box = this.#deps.boxes.get(device);
    if (box?.live === undefined || box.lastSeq >= lastSeq || box.writing > 0) return;
    this.nudge(device);
  }

  /** A stream at another node has the device, under this claim. */
  claimedElsewhere(device: number, epoch: number): void {
    const box = this.#deps.boxes.get(device);
    const live = box?.live;
    if (box !== undefined && live?.epoch !== undefined && live.epoch < epoch) this.lose(box, live, 'replaced');
  }

  /** The stream gets what comes from storage, in its order, until it has caught up. */
  turnToDraining(box: DeviceMailbox, live: Live): void {
    live.mode = 'draining';
    this.#deps.volatile.write(box);
  }

  /** There may be something to read, or nothing left to do. */
  readOn(box: DeviceMailbox): void {
    const { live } = box;
    // A gap in the numbers: another node has written.
    if (live?.mode === 'live' && (live.isBehind || live.cursor < box.lastSeq)) this.turnToDraining(box, live);
    if (live === undefined) this.#deps.boxes.forgetWhenIdle(box);
    else this.#deps.drain.run(box);
  }

  /** This stream is over: what it has goes to storage, for the device's next one to read. */
  lose(box: DeviceMailbox, live: Live, because: 'replaced' | 'storage-failed'): void {
    if (live.isLost) return;
    live.isLost = true;
    if (box.live !== live) return;
    box.live = undefined;
    this.#deps.elsewhere?.left(box.row);
    this.#deps.volatile.write(box);
    live.device.lost(because);
    this.#deps.boxes.forgetWhenIdle(box);
  }

  /** The stream may read; when nothing waits, it has what came meanwhile and is not kept. */
  #claimed(box: DeviceMailbox, live: Live): void {
    this.readOn(box);
    for (const { element, sizeBytes } of live.early ?? []) {
      if (box.live !== live || live.mode !== 'live' || !live.device.hasRoom()) break;
      live.device.deliver(this.#deps.passing(box, live, element, sizeBytes), element);
    }
    live.early = undefined;
  }

  /** Until storage has it, another node that writes takes the stream for live, and has nobody woken: look behind it. */
  #release(device: number, live: Live, epoch: number): void {
    const { boxes, elsewhere, isClosing, hasLoud, track } = this.#deps;
    const released = this.#claims.release(device, epoch);
    if (elsewhere === undefined || isClosing()) return;
    track(
      released
        .then(() => hasLoud(device))
        .then(isLoud => {
          if (isLoud && boxes.get(device)?.live === undefined) live.device.leftWaiting();
        }),
    );
  }
}

/** It is not kept, and the stream's claim is being asked for. */
export function keepEarly(live: Live, element: Element, sizeBytes: number): void {
  live.early ??= [];
  if (live.early.length < maxEarly) live.early.push({ element, sizeBytes });
}
