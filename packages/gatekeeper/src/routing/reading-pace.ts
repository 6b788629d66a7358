// How fast one stream is read: a part of each turn of the event loop, and its device's buckets, whatever became of the device's
// earlier sessions.
// Knows nothing of stanzas, storage or carriers: it says whether to read on, and when to ask again.
import type { After } from '@drawbridge/identity/timers';
import { maxTurnBytes, maxTurnStanzas } from './session-limits.ts';
import type { KeptShapers, StreamShaper } from './stream-shaper.ts';

export type PaceDeps = {
  readonly monotonicMs: () => number;
  readonly after: After;
  readonly shapers: KeptShapers;
};

export class ReadingPace {
  readonly #deps: PaceDeps;
  /** The device's; undefined while it is full: most streams are silent. */
  #shaper: StreamShaper | undefined;
  /** Calls off the end of a pause. */
  #cancelPause: (() => void) | undefined;
  /** Read since the end of the last turn. */
  #turnBytes = 0;
  #turnStanzas = 0;

  constructor(deps: PaceDeps, provider: number, device: number) {
    this.#deps = deps;
    this.#shaper = deps.shapers.take(provider, device);
  }

  tookBytes(count: number): void {
    this.#usedShaper().takeBytes(count);
    this.#turnBytes += count;
  }

  tookStanza(cost: number): void {
    this.#usedShaper().takeStanzas(cost);
    this.#turnStanzas++;
  }

  /** Above its rate, or its part of this turn is used up. The stream is asked again when a pause is over. */
  mustWait(stream: { readOrWait(): void }): boolean {
    if (this.#shaper?.overdrawn === true && this.#cancelPause === undefined) this.#pause(this.#shaper, stream);
    return this.#cancelPause !== undefined || this.turnIsOver;
  }

  /** Its part of this turn is used up. */
  get turnIsOver(): boolean {
    return this.#turnBytes >= maxTurnBytes || this.#turnStanzas >= maxTurnStanzas;
  }

  /** Others have had their turn. */
  beginTurn(): void {
    this.#turnBytes = 0;
    this.#turnStanzas = 0;
  }

  /** A bucket that is full again need not be kept. */
  tick(nowMs: number): void {
    if (this.#shaper?.isFull(nowMs) === true) this.#shaper = undefined;
  }

  /** The carrier is gone: nobody waits for the end of a pause. */
  stop(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
  }

  /** The session is over: the device's next one finds the bucket as it is. */
  end(provider: number, device: number): void {
    if (this.#shaper === undefined) return;
    this.#deps.shapers.keep(provider, device, this.#shaper, this.#deps.monotonicMs());
  }

  #usedShaper(): StreamShaper {
    return (this.#shaper ??= this.#deps.shapers.fill(this.#deps.monotonicMs()));
  }

  #pause(shaper: StreamShaper, stream: { readOrWait(): void }): void {
    const waitMs = shaper.waitMs(this.#deps.monotonicMs());
    if (waitMs === 0) return;
    this.#cancelPause = this.#deps.after(waitMs, () => {
      this.#cancelPause = undefined;
      stream.readOrWait();
    });
  }
}
