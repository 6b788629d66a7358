// One device's session: joins the session rules (stream), the mailbox and the carrier that moves elements just now.
// Outlives a carrier while it may be resumed. Knows nothing of encodings, sockets or who may write to whom, nor how fast a stream
// is read (`reading-pace.ts`) or what it may owe (`session-debts.ts`).
import { type Outbound, ServerSession } from '@drawbridge/stream/server-session';
import { type Element, OversizedElement, ownElement } from '@drawbridge/wire/element';
import { detachMessage, isLoud, stampableOf, stamped } from '@drawbridge/wire/envelope';
import type { InteropId } from '@drawbridge/wire/jid';
import { NS_SM } from '@drawbridge/wire/namespaces';
import type { StreamErrorCondition } from '@drawbridge/wire/stream-error';
import type { Device } from '../enlistment/account.ts';
import type { Entry, LiveDevice, Wanted } from '../mailbox/device-mailbox.ts';
import type { Carrier } from './carrier.ts';
import { sizeOfElement } from './held-memory.ts';
import { ReadingPace } from './reading-pace.ts';
import { SessionDebts } from './session-debts.ts';
import type { HeldStanza, HostOf } from './session-host.ts';
import { acknowledgementCost } from './stream-shaper.ts';

export type SessionHost = HostOf<DeviceSession>;

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
  /** Without a carrier: until when another may take over. */
  #resumeUntilMs: number | undefined;
  readonly #pace: ReadingPace;
  readonly #debts: SessionDebts;
  #oversized = 0;
  /** Has owed an answer for longer than `lateAfterMs`. */
  #late = false;
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
    this.#pace = new ReadingPace(host, this.provider, device.row);
    this.#debts = new SessionDebts(host.memory, host.limits);
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
    this.#resumeUntilMs = undefined;
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
    this.#pace.tookBytes(count);
  }

  /** So much more of its input waits for its next turn, or less. False: it may not. */
  inputWaits(bytes: number): boolean {
    return this.#host.memory.changeWaitingInput(bytes);
  }

  /** This sender's messages hold this number of bytes more, or fewer, until they are durable or acknowledged. */
  changeUnsettled(bytes: number): void {
    this.#debts.changeUnsettled(bytes);
  }

  /**
   * No more questions before others are answered and answers acknowledged: its own, or, when all streams hold much,
   * those of all.
   */
  get owesTooMuch(): boolean {
    return this.#debts.owesTooMuch;
  }

  /** An IQ that holds this number of bytes waits for its answer; `requestAnswered` when it does no more. */
  requestWaits(bytes: number): void {
    this.#debts.changeRequests(1, bytes);
  }

  requestAnswered(bytes: number): void {
    this.#debts.changeRequests(-1, bytes);
  }

  /** Takes the elements of one read, in order. Gives a condition when the peer broke the rules: close the stream. */
  receive(el: Element): StreamErrorCondition | undefined {
    this.#pace.tookStanza(el.ns === NS_SM ? acknowledgementCost : 1);
    if (el instanceof OversizedElement && ++this.#oversized > this.#host.limits.maxOversized) return 'policy-violation';
    const received = this.core.receive(el, this.#host.monotonicMs());
    switch (received.kind) {
      case 'stanza':
        this.#host.route(this, el, received.sequence);
        return this.core.unacknowledgedCount > this.#host.limits.maxOutstanding || this.#debts.hasTooManyAnswers
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
    this.readOrWait();
  }

  /** Keeps a stanza, behind those that are held. */
  hold(stanza: HeldStanza): void {
    if (this.held === noneHeld) this.held = [stanza];
    else this.held.push(stanza);
  }

  /** Reads on when nothing speaks against it: storage that lags, a sender above its rate, a peer that reads nothing. */
  readOrWait(): void {
    const carrier = this.#carrier;
    if (carrier === undefined) return;
    const mustWait = this.#pace.mustWait(this);
    const lags = this.#host.congested && this.#debts.isLargeSender;
    if (lags) this.#host.pausedByCongestion(this);
    if (mustWait || lags || carrier.congested || this.held.length > 0) carrier.pause();
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
    this.#debts.changeAnswers(sizeBytes);
    // It may wait long for its acknowledgement, and must not keep alive what its question came with.
    this.core.send(ownElement(el), sizeBytes);
    this.#host.flushSoon(this);
  }

  hasRoom(): boolean {
    return (
      this.#carrier !== undefined &&
      !this.#carrier.congested &&
      this.core.unacknowledgedCount < this.#host.limits.maxUnacknowledged &&
      this.#debts.hasRoom
    );
  }

  wants(element: Element): Wanted | Promise<Wanted> {
    return this.#host.stillWanted(this, element);
  }

  deliver(entry: Entry, element: Element): void {
    this.core.send(this.#marked(entry, element), entry);
    this.#debts.changeUnacknowledged(entry.sizeBytes);
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
    // With more to say it is read again when its turn comes round.
    if (this.#pace.turnIsOver) this.#host.readLater(this);
    else this.#pace.beginTurn();
    if (this.#delivering && this.core.ask(this.#host.monotonicMs()) !== undefined) this.#host.flushLater(this);
    const elements = this.core.takeOutgoing();
    if (elements.length === 0) return;
    carrier.write(elements);
    if (carrier.congested) carrier.pause();
  }

  /** Its turn has come round: what it has more to say is read again. */
  nextTurn(): void {
    this.#pace.beginTurn();
    this.readOrWait();
  }

  /** The carrier can take more. */
  drained(): void {
    this.readOrWait();
    if (this.#delivering) this.#host.mailboxes.roomAgain(this.device.row);
  }

  /** Once a second: a session that nobody resumed, a full bucket, late answers, devices that have stopped answering. */
  tick(nowMs: number): void {
    if (this.#resumeUntilMs !== undefined && this.#resumeUntilMs <= nowMs) return this.end();
    this.#pace.tick(nowMs);
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
    this.#pace.stop();
    // What it said last counts, also when it said something wrong after it.
    this.#takeDelivered();
    this.#wakeForMail();
    if (this.core.resumptionId === undefined) {
      this.end();
      return;
    }
    this.#host.mailboxes.suspend(this.device.row, this);
    this.#resumeUntilMs = this.#host.monotonicMs() + this.#host.limits.resumeSeconds * 1_000;
  }

  /** Lets go of the old carrier without ending the session: a new one takes over. */
  releaseCarrier(condition: StreamErrorCondition | undefined, application?: Element): void {
    const carrier = this.#carrier;
    this.#carrier = undefined;
    this.#pace.stop();
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
    this.#pace.end(this.provider, this.device.row);
    this.#debts.end();
    this.#resumeUntilMs = undefined;
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
    const isFull = this.core.unacknowledgedCount >= this.#host.limits.maxUnacknowledged || this.#debts.isWindowFull;
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
          this.#debts.changeAnswers(-note);
          continue;
        }
        this.#debts.changeUnacknowledged(-note.sizeBytes);
        this.#host.mailboxes.acknowledge(note);
      }
    }
    // Also an answer that was acknowledged makes room.
    if (this.#delivering) this.#host.mailboxes.roomAgain(this.device.row);
  }
}
