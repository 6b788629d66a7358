// All sessions of this process, by device and by resumption id, and the turn-by-turn flushing of what they have to send.
// Knows nothing of encodings or of where stanzas go.
import { randomFillSync } from 'node:crypto';
import { type After, every } from '@drawbridge/identity/timers';
import type { Account, Device } from '../enlistment/account.ts';
import type { Carrier } from './carrier.ts';
import type { DeviceSession } from './device-session.ts';
import { maxReadAgainPerTurn } from './session-limits.ts';

/** Sessions whose question to the peer came too early are flushed again after this. */
const flushLaterMs = 15;
const idBytes = 16;
/** Random bytes drawn at once: a draw costs as much as all the rest of an id. */
const idPoolBytes = 64 * idBytes;
/** How often sessions look at late answers and dead peers. */
const tickMs = 1_000;

export type SessionsTime = { readonly monotonicMs: () => number; readonly after: After };

export class Sessions {
  readonly #byDevice = new Map<number, DeviceSession>();
  #dirty: DeviceSession[] = [];
  #flushScheduled = false;
  #later = new Set<DeviceSession>();
  #cancelLater: (() => void) | undefined;
  readonly #congested = new Set<DeviceSession>();
  /** In the order in which they are read again. */
  readonly #readLater = new Set<DeviceSession>();
  readonly #endTicks: () => void;
  readonly #idPool = Buffer.alloc(idPoolBytes);
  #idsUsed = idPoolBytes;

  readonly #defect: (error: unknown) => void;
  readonly #time: SessionsTime;

  /** `defect` hears of what a session threw; that session is over. */
  constructor(defect: (error: unknown) => void, time: SessionsTime) {
    this.#defect = defect;
    this.#time = time;
    this.#endTicks = every(time.after, tickMs, () => this.#tick());
  }

  get count(): number {
    return this.#byDevice.size;
  }

  /** 128 random bits, as base64url. */
  newId(): string {
    if (this.#idsUsed === idPoolBytes) {
      randomFillSync(this.#idPool);
      this.#idsUsed = 0;
    }
    const start = this.#idsUsed;
    this.#idsUsed += idBytes;
    return this.#idPool.toString('base64url', start, this.#idsUsed);
  }

  ofDevice(device: Pick<Device, 'row'>): DeviceSession | undefined {
    return this.#byDevice.get(device.row);
  }

  /** Whether the device has a stream that answers in time. */
  isReachable(device: Device): boolean {
    return this.#byDevice.get(device.row)?.reachable === true;
  }

  ofAccount(account: Account): DeviceSession[] {
    const sessions: DeviceSession[] = [];
    for (const device of account.devices) {
      const session = this.#byDevice.get(device.row);
      if (session !== undefined) sessions.push(session);
    }
    return sessions;
  }

  all(): Iterable<DeviceSession> {
    return this.#byDevice.values();
  }

  /** A device has one live session: an earlier one is closed with `conflict`. */
  add(session: DeviceSession): void {
    this.#byDevice.get(session.device.row)?.end('conflict');
    this.#byDevice.set(session.device.row, session);
  }

  forget(session: DeviceSession): void {
    if (this.#byDevice.get(session.device.row) === session) this.#byDevice.delete(session.device.row);
    this.#later.delete(session);
    this.#congested.delete(session);
    this.#readLater.delete(session);
  }

  /**
   * Takes a session up again on another carrier. Only the device that began it may: the caller has checked a fresh
   * proof of it. Undefined when there is none with that id, or the count is impossible.
   */
  resume(
    by: {
      readonly account: Pick<Account, 'proofsFromMs'>;
      readonly device: Device;
      readonly keyThumbprint: string;
    },
    previousId: string,
    handled: number,
    carrier: Carrier,
  ): DeviceSession | undefined {
    const session = this.#byDevice.get(by.device.row);
    if (session === undefined || session.core.resumptionId !== previousId) return undefined;
    session.releaseCarrier('conflict');
    if (!session.core.resume(handled)) {
      session.end();
      return undefined;
    }
    session.keyThumbprint = by.keyThumbprint;
    session.proofsFromMs = by.account.proofsFromMs;
    session.carryOn(carrier);
    return session;
  }

  flushSoon(session: DeviceSession): void {
    if (session.flushPending) return;
    session.flushPending = true;
    this.#dirty.push(session);
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => this.#flush());
  }

  /** It has more to say than its part of a turn: it is read again after those that wait already. */
  readLater(session: DeviceSession): void {
    this.#readLater.add(session);
    this.#scheduleFlush();
  }

  flushLater(session: DeviceSession): void {
    this.#later.add(session);
    this.#cancelLater ??= this.#time.after(flushLaterMs, () => {
      this.#cancelLater = undefined;
      const later = this.#later;
      this.#later = new Set();
      for (const waiting of later) this.#guard(waiting, () => waiting.flush());
    });
  }

  pausedByCongestion(session: DeviceSession): void {
    this.#congested.add(session);
  }

  congestionOver(): void {
    for (const session of this.#congested) session.readOrWait();
    this.#congested.clear();
  }

  close(): void {
    this.#endTicks();
    for (const session of [...this.#byDevice.values()]) session.end('system-shutdown');
    this.#cancelLater?.();
  }

  #tick(): void {
    const nowMs = this.#time.monotonicMs();
    for (const session of this.#byDevice.values()) this.#guard(session, () => session.tick(nowMs));
  }

  #flush(): void {
    this.#flushScheduled = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const session of dirty) {
      session.flushPending = false;
      try {
        session.flush();
      } catch (error) {
        this.#fail(session, error);
      }
    }
    if (this.#readLater.size > 0) this.#readAgain();
  }

  /** However many streams flood, others wait for two of them. */
  #readAgain(): void {
    let left = maxReadAgainPerTurn;
    for (const session of this.#readLater) {
      if (left-- === 0) break;
      this.#readLater.delete(session);
      this.#guard(session, () => session.nextTurn());
    }
    if (this.#readLater.size > 0) this.#scheduleFlush();
  }

  #guard(session: DeviceSession, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(session, error);
    }
  }

  /** A defect of ours, met in one session: it is over, the others go on. */
  #fail(session: DeviceSession, error: unknown): void {
    this.#defect(error);
    try {
      session.end('internal-server-error');
    } catch {
      // What says goodbye may be what is broken.
      this.forget(session);
    }
  }
}
