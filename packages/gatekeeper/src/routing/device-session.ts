// One device's session: joins the session rules (stream), the mailbox and the carrier that moves elements just now.
// Outlives a carrier while it may be resumed. Knows nothing of encodings, sockets or who may write to whom.
import { type Element, OversizedElement, ownElement } from '@drawbridge/wire/element';
import { detachMessage, isLoud, type Stampable, stampableOf, stamped } from '@drawbridge/wire/envelope';
import { NS_SM } from '@drawbridge/wire/namespaces';
import type { StreamErrorCondition } from '@drawbridge/wire/stream-error';
import { type Outbound, ServerSession } from '@drawbridge/stream/server-session';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Device } from '../enlistment/account.ts';
import type { Entry, LiveDevice, Wanted } from '../mailbox/device-mailbox.ts';
import type { Mailboxes } from '../mailbox/mailbox.ts';
import { type HeldMemory, sizeOfElement } from './held-memory.ts';
import {
  acknowledgementCost,
  defaultShaperLimits,
  type KeptShapers,
  type ShaperLimits,
  type StreamShaper,
} from './stream-shaper.ts';

/** What moves elements to and from one device: an XML stream, a WebSocket, a compact connection. */
export interface Carrier {
  /** Encodes and sends, in one write. */
  write(elements: readonly Element[]): void;
  /** More is waiting to be sent than should be. Call `DeviceSession.drained` when that ends. */
  readonly congested: boolean;
  pause(): void;
  resume(): void;
  /** Ends the stream: with an error, or in order. Calls nothing back. */
  close(condition: StreamErrorCondition | undefined, application?: Element): void;
  /** The peer may begin to count a moment after it has read `<enabled/>`: stanzas wait that long. */
  readonly countsLate: boolean;
  /** The key of the address that it came from. */
  readonly network: string;
}

export type SessionLimits = {
  /** Stanzas handed to a device and not acknowledged, at most; more wait in the mailbox. */
  readonly maxUnacknowledged: number;
  /** Their bytes, beyond the first: what they hold of memory is the device's own doing. */
  readonly maxUnacknowledgedBytes: number;
  /** All stanzas sent and not acknowledged, answers included, beyond which a device is taken for broken. */
  readonly maxOutstanding: number;
  /** How long a dropped session may be resumed. */
  readonly resumeSeconds: number;
  /** A device that owes an acknowledgement for this long is taken for dead. */
  readonly answerWithinMs: number;
  /** And for this long, for one that has to be woken: its network may have gone without a word. */
  readonly lateAfterMs: number;
  /** Stanzas of one session that may be larger than a stanza may be: each is answered, then the stream is closed. */
  readonly maxOversized: number;
  /**
   * Bytes of answers that a device has not acknowledged, and of its IQs that wait for one, beyond which IQs are refused;
   * twice that of answers, and it is closed.
   */
  readonly maxAnswerBytes: number;
  /** Faster streams are read more slowly. */
  readonly shaper: ShaperLimits;
  /** IQs of one device that wait for an answer. */
  readonly maxOpenRequests: number;
};

export const defaultSessionLimits: SessionLimits = {
  maxUnacknowledged: 512,
  maxUnacknowledgedBytes: 4 * 1024 * 1024,
  maxOutstanding: 10_000,
  resumeSeconds: 300,
  answerWithinMs: 60_000,
  lateAfterMs: 15_000,
  maxOversized: 16,
  maxAnswerBytes: 4 * 1024 * 1024,
  shaper: defaultShaperLimits,
  maxOpenRequests: 64,
};

/** Of one stream in one turn of the event loop: with more to say, it is read again when others were. */
const maxTurnBytes = 32 * 1024;
export const maxTurnStanzas = 128;

/** What a session asks of its surroundings. */
export type SessionHost = {
  readonly domain: string;
  readonly limits: SessionLimits;
  readonly mailboxes: Mailboxes;
  monotonicMs(): number;
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

/** Shared, for most streams are silent. */
const noneHeld = Object.freeze([]) as unknown as never[];

export class DeviceSession implements LiveDevice {
  readonly interopId: InteropId;
  readonly provider: number;
  readonly device: Device;
  /** As the account was when its proof was checked last. */
  proofsFromMs: number;
  /** The provider's key that vouched for it last. */
  keyThumbprint: string;
  readonly fullJid: string;
  /** A note is the mailbox's entry, or an answer's size. */
  readonly core: ServerSession<Entry | number>;
  readonly #host: SessionHost;
  #carrier: Carrier | undefined;
  #delivering = false;
  /** Its client asked for stamps; others get no commitments either, which they would not know. */
  #takesStamps = false;
  #over = false;
  #resumeTimer: NodeJS.Timeout | undefined;
  /** The device's, whatever became of its earlier sessions; undefined while it is full: most streams are silent. */
  #shaper: StreamShaper | undefined;
  #throttle: NodeJS.Timeout | undefined;
  #unacknowledgedBytes = 0;
  #answerBytes = 0;
  #oversized = 0;
  /** Read since the end of the last turn. */
  #turnBytes = 0;
  #turnStanzas = 0;
  #unsettledBytes = 0;
  /** Has owed an answer for longer than `lateAfterMs`. */
  #late = false;
  /** IQs of this device that wait for an answer, and about what they hold. */
  #openRequests = 0;
  #openRequestBytes = 0;
  /** Stanzas of this device that wait for an account to be read, in their order; nothing more is read meanwhile. */
  held: HeldStanza[] = noneHeld;
  /** In the list of sessions to flush at the end of this turn. */
  flushPending = false;

  constructor(
    host: SessionHost,
    account: { interopId: InteropId; provider: number; proofsFromMs: number },
    device: Device,
    keyThumbprint: string,
  ) {
    this.#host = host;
    this.interopId = account.interopId;
    this.provider = account.provider;
    this.device = device;
    this.keyThumbprint = keyThumbprint;
    this.proofsFromMs = account.proofsFromMs;
    this.fullJid = `${account.interopId}@${host.domain}/${device.id}`;
    this.core = new ServerSession<Entry | number>(host.domain, this.fullJid);
    this.#shaper = host.shapers.take(this.provider, device.row);
  }

  get bareJid(): string {
    return `${this.interopId}@${this.#host.domain}`;
  }

  get domain(): string {
    return this.#host.domain;
  }

  get connected(): boolean {
    return this.#carrier !== undefined;
  }

  /** Whether what is sent now is likely to be read: otherwise its device has to be woken for it. */
  get reachable(): boolean {
    return this.#carrier !== undefined && !this.#late;
  }

  /** The key of the address that its stream comes from; one of its own while it has none. */
  get network(): string {
    return this.#carrier?.network ?? `device ${this.device.row}`;
  }

  /** Takes a carrier: the first one, or, on resumption, the next. */
  carryOn(carrier: Carrier): void {
    clearTimeout(this.#resumeTimer);
    this.#late = false;
    this.#carrier = carrier;
    this.#host.flushSoon(this);
    if (this.#delivering) this.#host.mailboxes.roomAgain(this.device.row);
  }

  /** Starts delivery from the mailbox; repeats do nothing. */
  startDelivery(): void {
    if (this.#delivering || this.#over) return;
    this.#delivering = true;
    this.#host.mailboxes.attach(this.device.row, this);
  }

  /** Counts bytes that were read, of whatever kind. Call it before their elements are given. */
  receivedBytes(count: number): void {
    this.#usedShaper().takeBytes(count);
    this.#turnBytes += count;
  }

  /** So much more of its input waits for its next turn, or less. False: it may not. */
  inputWaits(bytes: number): boolean {
    return this.#host.memory.changeWaitingInput(bytes);
  }

  get #turnIsOver(): boolean {
    return this.#turnBytes >= maxTurnBytes || this.#turnStanzas >= maxTurnStanzas;
  }

  /** This sender's messages hold this number of bytes more, or fewer, until they are durable or acknowledged. */
  changeUnsettled(bytes: number): void {
    const before = this.#unsettledBytes;
    this.#unsettledBytes += bytes;
    this.#host.memory.changeUnsettled(before, this.#unsettledBytes);
  }

  /**
   * No more questions before others are answered and answers acknowledged: its own, or, when all streams hold much,
   * those of all.
   */
  get owesTooMuch(): boolean {
    const { maxAnswerBytes, maxOpenRequests } = this.#host.limits;
    const heldBytes = this.#answerBytes + this.#openRequestBytes;
    if (this.#openRequests >= maxOpenRequests || heldBytes > maxAnswerBytes) return true;
    return heldBytes > 0 && this.#host.memory.isFull;
  }

  /** An IQ that holds this number of bytes waits for its answer; `requestAnswered` when it does no more. */
  requestWaits(bytes: number): void {
    this.#openRequests++;
    this.#openRequestBytes += bytes;
    this.#host.memory.addOutstanding(bytes);
  }

  requestAnswered(bytes: number): void {
    this.#openRequests--;
    this.#openRequestBytes -= bytes;
    this.#host.memory.addOutstanding(-bytes);
  }

  /** Takes the elements of one read, in order. Gives a condition when the peer broke the rules: close the stream. */
  receive(el: Element): StreamErrorCondition | undefined {
    this.#turnStanzas++;
    this.#usedShaper().takeStanzas(el.ns === NS_SM ? acknowledgementCost : 1);
    if (el instanceof OversizedElement && ++this.#oversized > this.#host.limits.maxOversized) return 'policy-violation';
    const received = this.core.receive(el, this.#host.monotonicMs());
    switch (received.kind) {
      case 'stanza':
        this.#host.route(this, el, received.sequence);
        return this.core.unacknowledgedCount > this.#host.limits.maxOutstanding ||
          this.#answerBytes > 2 * this.#host.limits.maxAnswerBytes
          ? 'policy-violation'
          : undefined;
      case 'enable':
        this.core.enable(
          this.#host.newId(),
          received.resume,
          this.#host.limits.resumeSeconds,
          this.#carrier?.countsLate === true,
          received.stamps,
        );
        this.#takesStamps = received.stamps;
        this.startDelivery();
        return undefined;
      case 'consumed':
        return undefined;
      case 'close':
        if (received.application === undefined) return received.condition;
        this.end(received.condition, received.application);
        return undefined;
    }
  }

  /** Call after each read: what was acknowledged leaves the mailbox, answers leave at the end of the turn. */
  afterInput(): void {
    this.#takeDelivered();
    this.#host.flushSoon(this);
    this.#readOrWait();
  }

  /** Keeps a stanza, behind those that are held. */
  hold(stanza: HeldStanza): void {
    if (this.held === noneHeld) this.held = [stanza];
    else this.held.push(stanza);
  }

  congestionOver(): void {
    this.#readOrWait();
  }

  /** Nothing is held any more. */
  heldOver(): void {
    this.#readOrWait();
  }

  /** Reads on when nothing speaks against it: storage that lags, a sender above its rate, a peer that reads nothing. */
  #readOrWait(): void {
    const carrier = this.#carrier;
    if (carrier === undefined) return;
    if (this.#shaper?.overdrawn === true && this.#throttle === undefined) this.#slowDown(this.#shaper);
    const lags = this.#host.congested && this.#host.memory.isLargeSender(this.#unsettledBytes);
    if (lags) this.#host.pausedByCongestion(this);
    const waits = lags || this.#throttle !== undefined || carrier.congested || this.held.length > 0;
    if (waits || this.#turnIsOver) carrier.pause();
    else carrier.resume();
  }

  /** The stanza with this sequence needs nothing more. */
  resolve(sequence: number): void {
    this.core.resolve(sequence);
    if (this.core.outgoing.length > 0) this.#host.flushSoon(this);
  }

  /** Sends a stanza that no mailbox keeps (answers, errors, notices). */
  send(el: Element): void {
    if (this.#over) return;
    const sizeBytes = sizeOfElement(el);
    this.#answerBytes += sizeBytes;
    this.#host.memory.addOutstanding(sizeBytes);
    // It may wait long for its acknowledgement, and must not keep alive what its question came with.
    this.core.send(ownElement(el), sizeBytes);
    this.#host.flushSoon(this);
  }

  hasRoom(): boolean {
    return (
      this.#carrier !== undefined &&
      !this.#carrier.congested &&
      this.core.unacknowledgedCount < this.#host.limits.maxUnacknowledged &&
      this.#unacknowledgedBytes < this.#host.limits.maxUnacknowledgedBytes &&
      (this.#unacknowledgedBytes === 0 || !this.#host.memory.isFull)
    );
  }

  wants(element: Element): Wanted | Promise<Wanted> {
    return this.#host.stillWanted(this, element);
  }

  deliver(entry: Entry, element: Element): void {
    this.core.send(this.#marked(entry, element), entry);
    this.#unacknowledgedBytes += entry.sizeBytes;
    this.#host.memory.addOutstanding(entry.sizeBytes);
    if (!this.flushPending) this.#host.flushSoon(this);
  }

  #marked({ sinceMs }: Entry, element: Element): Element {
    const message = stampableOf(element);
    if (message === undefined) return element;
    // When it came is part of a stamp: without it there is none.
    const isStamped = this.#takesStamps && sinceMs !== undefined;
    const stamp = isStamped ? { atMs: sinceMs, mac: this.#host.stamp(message, sinceMs) } : undefined;
    return stamped(element, stamp);
  }

  lost(because: 'replaced' | 'storage-failed'): void {
    this.end(because === 'replaced' ? 'conflict' : 'resource-constraint');
  }

  /** Writes what has gathered, with one write; asks for acknowledgements. */
  flush(): void {
    const carrier = this.#carrier;
    if (carrier === undefined) return;
    this.#endTurn();
    if (this.#delivering && this.core.ask(this.#host.monotonicMs()) !== undefined) this.#host.flushLater(this);
    const elements = this.core.takeOutgoing();
    if (elements.length === 0) return;
    carrier.write(elements);
    if (carrier.congested) carrier.pause();
  }

  /** Others have had their turn: what this stream has more to say is read again. */
  #endTurn(): void {
    const wasOver = this.#turnIsOver;
    this.#turnBytes = 0;
    this.#turnStanzas = 0;
    if (wasOver) this.#readOrWait();
  }

  /** The carrier can take more. */
  drained(): void {
    this.#readOrWait();
    if (this.#delivering) this.#host.mailboxes.roomAgain(this.device.row);
  }

  /** Once a second: a bucket that is full again, late answers, and devices that have stopped answering. */
  tick(nowMs: number): void {
    if (this.#shaper?.isFull(nowMs) === true) this.#shaper = undefined;
    // What waits for so long must not keep alive what it came with.
    if (this.core.unacknowledgedCount > 0) this.core.eachOutstanding(detachMessage);
    if (this.core.oldestRequestMs !== undefined) {
      this.core.answerLate(nowMs);
      this.#host.flushSoon(this);
    }
    const since = this.core.askedSinceMs;
    const { answerWithinMs, lateAfterMs } = this.#host.limits;
    const wasLate = this.#late;
    this.#late = this.#carrier !== undefined && since !== undefined && since + lateAfterMs < nowMs;
    if (this.#late && !wasLate) this.#wakeForMail();
    if (this.#carrier !== undefined && since !== undefined && since + answerWithinMs < nowMs) {
      const carrier = this.#carrier;
      carrier.close('connection-timeout');
      this.carrierLost(carrier);
    }
  }

  /** The carrier is gone without a goodbye: keep the session for a while if it may be resumed. */
  carrierLost(carrier: Carrier): void {
    if (this.#carrier !== carrier) return;
    this.#carrier = undefined;
    this.#stopThrottle();
    // What it said last counts, also when it said something wrong after it.
    this.#takeDelivered();
    this.#wakeForMail();
    if (this.core.resumptionId === undefined) {
      this.end();
      return;
    }
    this.#host.mailboxes.suspend(this.device.row, this);
    this.#resumeTimer = setTimeout(() => this.end(), this.#host.limits.resumeSeconds * 1_000);
    this.#resumeTimer.unref();
  }

  /** Lets go of the old carrier without ending the session: a new one takes over. */
  releaseCarrier(condition: StreamErrorCondition | undefined, application?: Element): void {
    const carrier = this.#carrier;
    this.#carrier = undefined;
    this.#stopThrottle();
    carrier?.close(condition, application);
  }

  /** Ends the session; with a condition the peer is told why. */
  end(condition?: StreamErrorCondition, application?: Element): void {
    if (this.#over) return;
    this.#takeDelivered();
    this.flush();
    // After `conflict` the device's new stream gets its mail; a lost carrier has asked already.
    if (this.#carrier !== undefined && condition !== 'conflict') this.#wakeForMail();
    this.#over = true;
    if (this.#shaper !== undefined) {
      this.#host.shapers.keep(this.provider, this.device.row, this.#shaper, this.#host.monotonicMs());
    }
    this.#host.memory.addOutstanding(-this.#unacknowledgedBytes - this.#answerBytes);
    clearTimeout(this.#resumeTimer);
    this.releaseCarrier(condition, application);
    if (this.#delivering) this.#host.mailboxes.detach(this.device.row, this);
    this.#host.ended(this);
  }

  leftWaiting(): void {
    this.#host.mailWaits(this);
  }

  /** Whoever wrote asked for no wake-up while this device seemed to be there. */
  #wakeForMail(): void {
    const wakes = ({ element, note }: Outbound<Entry | number>): boolean =>
      typeof note === 'object' && note.state !== 'dropped' && isLoud(element);
    if (this.core.unacknowledged.some(wakes)) {
      this.#host.mailWaits(this);
      return;
    }
    const { maxUnacknowledged, maxUnacknowledgedBytes } = this.#host.limits;
    const isFull =
      this.core.unacknowledgedCount >= maxUnacknowledged || this.#unacknowledgedBytes >= maxUnacknowledgedBytes;
    if (!isFull) return;
    // With a full window there may be more in the mailbox than this session was handed.
    void this.#host.mailboxes.hasLoud(this.device.row).then(hasLoud => {
      if (hasLoud) this.#host.mailWaits(this);
    });
  }

  #takeDelivered(): void {
    const delivered = this.core.takeDelivered();
    if (delivered.length > 0) {
      for (const note of delivered) {
        if (typeof note === 'number') {
          this.#answerBytes -= note;
          this.#host.memory.addOutstanding(-note);
          continue;
        }
        this.#unacknowledgedBytes -= note.sizeBytes;
        this.#host.memory.addOutstanding(-note.sizeBytes);
        this.#host.mailboxes.acknowledge(note);
      }
    }
    // Also an answer that was acknowledged makes room.
    if (this.#delivering) this.#host.mailboxes.roomAgain(this.device.row);
  }

  #usedShaper(): StreamShaper {
    return (this.#shaper ??= this.#host.shapers.fill(this.#host.monotonicMs()));
  }

  #slowDown(shaper: StreamShaper): void {
    const waitMs = shaper.waitMs(this.#host.monotonicMs());
    if (waitMs === 0) return;
    this.#throttle = setTimeout(() => {
      this.#throttle = undefined;
      this.#readOrWait();
    }, waitMs);
  }

  #stopThrottle(): void {
    clearTimeout(this.#throttle);
    this.#throttle = undefined;
  }
}
