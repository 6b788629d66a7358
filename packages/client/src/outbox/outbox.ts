// The outbox: what must leave this device stays on disk until the gatekeeper has taken it over. Here is its order: a lane for
// each recipient, what of it is on its way, and what an acceptance, a refusal or a lost stream does to that.
// Knows nothing of what contents mean, how rows are encrypted (`preparing.ts`) and what becomes of them (`row-outcomes.ts`); of
// streams only `send` and `request`.
// Source: docs/protocol/06-stanzas.md section 6.1; order and durability: docs/protocol/04-streams.md section 4.2.
import type { E2eeSuite, Encrypted } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import type { UndeliveredCause } from '@drawbridge/wire/envelope';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import type { StanzaError } from '@drawbridge/wire/stanza-error';
import type { Clock, Random } from '../clock.ts';
import { RequestRefused } from '../connection/requests.ts';
import type { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { leftToWaitMs, readOutbox } from '../store/outbox-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { committed } from '../store/transact.ts';
import { Additions, type NewRow } from './additions.ts';
import { outboxLimits } from './limits.ts';
import { MessageProgress } from './message-progress.ts';
import { Preparing } from './preparing.ts';
import { RecipientDevices } from './recipient-devices.ts';
import { RowOutcomes } from './row-outcomes.ts';
import { newStanzaId, stanzaIdOf } from './rows.ts';
import { SessionStarts } from './session-starts.ts';
import { stanzasOf, transientStanza } from './stanzas.ts';

/** Names one sending of one row: the same row sent again is another sending. */
export type Sending = { readonly id: string; readonly to: string; readonly number: number };

export type OutboxContext = {
  readonly store: EncryptedStore;
  readonly suite: Pick<E2eeSuite, 'name' | 'local' | 'encryptFor' | 'startSession' | 'endSessions' | 'readIdentity'>;
  readonly domain: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly send: (stanza: Element, sending: Sending) => boolean;
  readonly request: Request;
  readonly lists: Pick<DeviceLists, 'fetch' | 'judgeBundle' | 'noteSession'>;
  /** Whether the session in force takes commitments (chapter 10.4). */
  readonly isStamped: () => boolean;
  readonly emit: (event: ClientEvent) => void;
};

type Lane = {
  readonly to: string;
  running: boolean;
  again: boolean;
  /** Rows sent and not answered, with the number of their latest sending and its stanzas that were not taken over yet. */
  readonly inFlight: Map<string, { readonly number: number; stanzas: number }>;
  cancelTimer: (() => void) | undefined;
};

export class Outbox {
  readonly #context: OutboxContext;
  readonly #additions: Additions;
  readonly #progress: MessageProgress;
  readonly #rows: RowOutcomes;
  readonly #devices: RecipientDevices;
  readonly #preparing: Preparing;
  readonly #lanes = new Map<string, Lane>();
  readonly #stalled = new Set<string>();
  #online = false;
  /** Grows when what was in flight has to be sent again: what was being prepared then comes behind it. */
  #session = 0;
  #sendings = 0;

  constructor(context: OutboxContext) {
    const own = context.suite.local.interopId;
    const starts = new SessionStarts(context);
    this.#context = context;
    this.#additions = new Additions(context);
    this.#progress = new MessageProgress(context, this.#additions);
    this.#rows = new RowOutcomes(
      { ...context, own, progress: this.#progress },
      { failed: id => this.#land(id), ownHasNews: () => this.wake(own) },
    );
    this.#devices = new RecipientDevices(context, starts);
    this.#preparing = new Preparing({ ...context, additions: this.#additions }, this.#rows, this.#devices, starts);
  }

  /** Adds a row within the caller's transaction; gives its id. Throws `outbox-full`. Call `wake` after the commit. */
  add(tx: Transaction, row: NewRow, id?: string): string {
    return this.#additions.add(tx, row, id);
  }

  hasRoom(tx: Transaction): boolean {
    return this.#additions.hasRoom(tx);
  }

  /** A content as it will be sent: bound to its recipient and counted there, unless it was before. */
  bound(tx: Transaction, to: string, content: Uint8Array): Uint8Array {
    return this.#additions.bound(tx, to, content);
  }

  /** What was numbered for somebody and failed: it is told with the next thing that is said. */
  unsaid(tx: Transaction, to: string): Uint8Array[] {
    return this.#additions.unsaid(tx, to);
  }

  /** Sends what waits for this person, as far as it can now. */
  wake(to: string): void {
    const lane = this.#lane(to);
    lane.again = true;
    if (lane.running) return;
    this.#run(lane).catch((cause: unknown) => {
      lane.running = false;
      this.#context.emit({ kind: 'problem', error: new ClientError('protocol-error', { cause }) });
    });
  }

  /** A stream is up. After a resumption what is in flight stays there; otherwise all of it is sent again. */
  online(resumed: boolean): void {
    this.#online = true;
    if (!resumed) {
      this.#session++;
      for (const lane of this.#lanes.values()) lane.inFlight.clear();
    }
    this.wakeAll();
  }

  offline(): void {
    this.#online = false;
    for (const lane of this.#lanes.values()) {
      lane.cancelTimer?.();
      lane.cancelTimer = undefined;
    }
  }

  wakeAll(): void {
    for (const to of new Set([...this.#lanes.keys(), ...this.#rows.recipients()])) this.wake(to);
  }

  close(): void {
    this.offline();
    this.#lanes.clear();
  }

  /** The gatekeeper has taken these over: they leave the outbox, unless an error came for them. */
  delivered(sendings: readonly Sending[]): void {
    const done = sendings.filter(({ id, to, number }) => {
      const inFlight = this.#lanes.get(to)?.inFlight.get(id);
      return inFlight?.number === number && --inFlight.stanzas === 0;
    });
    this.#leave(done);
    const lanes = new Set([...sendings.map(sending => sending.to), ...this.#stalled]);
    this.#stalled.clear();
    for (const to of lanes) this.wake(to);
  }

  /** When the store fails the rows stay for now; on another stream they are sent again: repeated, not lost. */
  #leave(sendings: readonly Sending[]): void {
    const { clock } = this.#context;
    const done = sendings.filter(({ id, to, number }) => this.#lanes.get(to)?.inFlight.get(id)?.number === number);
    if (done.length === 0) return;
    const changed = this.#rows.accepted(done.map(({ id }) => id));
    if (changed === undefined) return void clock.after(outboxLimits.storePauseMs, () => this.#leave(done));
    for (const { id, to } of done) this.#lanes.get(to)?.inFlight.delete(id);
    this.#rows.announce(changed);
    for (const { to } of done) this.wake(to);
  }

  /** The gatekeeper refused a stanza. False when it is not one of ours in flight. */
  refused(stanzaId: StanzaId, error: StanzaError): boolean {
    const found = this.#findInFlight(stanzaId);
    if (found === undefined) return false;
    const { id, lane } = found;
    lane.inFlight.delete(id);
    // A store that can't note it now keeps the row as it was: it is sent again after a pause, and refused again.
    if (this.#noteRefusal(id, lane, error)) this.wake(lane.to);
    else this.#wakeAfter(lane, outboxLimits.storePauseMs);
    return true;
  }

  #noteRefusal(id: string, { to }: Lane, error: StanzaError): boolean {
    const { application, condition } = error;
    if (condition === 'conflict' && application?.name === 'device-list') {
      this.#devices.forget(to);
      return this.#rows.correct(id);
    }
    if (error.type === 'wait') {
      const refused = new RequestRefused(error);
      if (refused.code === 'first-contact') this.#context.emit({ kind: 'problem', error: refused });
      return this.#rows.postpone(id, refused);
    }
    if (condition === 'service-unavailable') return this.#rows.fail(id, 'not-reachable');
    if (application?.name === 'first-contact') return this.#rows.fail(id, 'first-contact', 'too long');
    const word = application === undefined ? condition : `${condition}: ${application.name.slice(0, 64)}`;
    return this.#rows.fail(id, 'request-refused', word);
  }

  /**
   * The gatekeeper had taken this over and says now that a device of `person` will not have it. The message has failed,
   * unless the person has said that it came: another device of theirs has it.
   */
  undelivered(stanzaId: StanzaId, person: InteropId, cause: UndeliveredCause): void {
    const found = this.#findInFlight(stanzaId);
    if (found?.lane.to === person) {
      // Its acceptance is still on its way.
      this.#rows.fail(found.id, 'not-delivered', cause);
      this.wake(person);
      return;
    }
    this.#rows.notDelivered(stanzaId, person, cause);
  }

  /**
   * A device of `person` can't read a stanza of ours, and it can't be said again: what it carried is not kept any more. The
   * stanza may still be in flight here. Gives what the caller announces after the commit, and wakes one's own devices for.
   */
  unreadable(tx: Transaction, stanzaId: StanzaId, person: InteropId): ClientEvent[] {
    return this.#progress.notDelivered(tx, stanzaId, person, 'unreadable');
  }

  /**
   * The gatekeeper ended a stream while this was the first in line. The second time it is set aside, so that the others go
   * on; true then.
   */
  suspected({ id }: Sending, condition: string): boolean {
    return this.#rows.countEndedStream(id) && this.#rows.fail(id, 'request-refused', condition.slice(0, 64));
  }

  #findInFlight(stanzaId: StanzaId): { id: string; lane: Lane } | undefined {
    for (const lane of this.#lanes.values()) {
      for (const id of lane.inFlight.keys()) if (stanzaIdOf(id) === stanzaId) return { id, lane };
    }
    return undefined;
  }

  #land(id: string): void {
    for (const lane of this.#lanes.values()) lane.inFlight.delete(id);
  }

  /** What the directory says about somebody's devices is old: ask again before the next message. */
  forgetDevices(person: InteropId): void {
    this.#devices.forget(person);
  }

  /** A message came from this device: a list without it is old. */
  noteDevice(person: InteropId, deviceId: number): void {
    this.#devices.note(person, deviceId);
  }

  /** Another device of one's own is about to come. */
  expectOwnDevice(): void {
    this.#devices.expectOwn();
  }

  /**
   * Sends content that is worth nothing later (typing), to devices with a session, while there is a stream; it is neither
   * kept nor repeated.
   */
  async sendTransient(to: string, content: Uint8Array): Promise<void> {
    const { suite, store, send } = this.#context;
    const devices = this.#devices.known(to);
    if (!this.#online || devices.length === 0) return;
    const commit = (staged: Encrypted): void => committed(store.transaction(tx => tx.apply(staged.changes)));
    const said = this.#additions.boundUncounted(to, content);
    const encrypted = await suite.encryptFor([{ to, devices, content: said }], commit);
    if (!encrypted.ok || !this.#online) return;
    const id = newStanzaId();
    send(transientStanza(this.#context, id, to, said, encrypted.value.ciphertexts), { id, to, number: 0 });
  }

  #lane(to: string): Lane {
    let lane = this.#lanes.get(to);
    if (lane === undefined) {
      lane = { to, running: false, again: false, inFlight: new Map(), cancelTimer: undefined };
      this.#lanes.set(to, lane);
    }
    return lane;
  }

  async #run(lane: Lane): Promise<void> {
    lane.running = true;
    while (this.#online && lane.again) {
      lane.again = false;
      while (this.#online && (await this.#sendNext(lane)));
    }
    lane.running = false;
    if (lane.inFlight.size === 0 && !lane.again && lane.cancelTimer === undefined) this.#lanes.delete(lane.to);
  }

  /** Sends the oldest row of the lane that is not on its way. False when there is nothing to do now. */
  async #sendNext(lane: Lane): Promise<boolean> {
    if (lane.inFlight.size >= outboxLimits.window) return false;
    const rows = this.#rows.next(lane.to);
    if (rows === undefined) return this.#pause(lane);
    const row = rows.find(each => !lane.inFlight.has(each.id));
    if (row === undefined) return false;
    const waitMs = leftToWaitMs(row.record, this.#context.clock.nowMs());
    if (waitMs > 0) {
      this.#wakeAfter(lane, waitMs);
      return false;
    }
    const session = this.#session;
    const readiness =
      row.record.ciphertexts === undefined
        ? await this.#preparing.prepare(row, rows)
        : { kind: 'ready' as const, record: row.record };
    if (readiness.kind === 'gone') return true;
    if (readiness.kind === 'later') {
      // Woken by its own time, by an acceptance, or by the next stream.
      const record = this.#rows.transaction(tx => readOutbox(tx, row.id));
      const laterMs = record === undefined ? 0 : leftToWaitMs(record, this.#context.clock.nowMs());
      if (laterMs > 0) this.#wakeAfter(lane, laterMs);
      return false;
    }
    if (readiness.kind === 'store-failed') return this.#pause(lane);
    if (!this.#online) return false;
    if (session !== this.#session) return true;
    const stanzas = stanzasOf(this.#context, row.id, readiness.record);
    const number = ++this.#sendings;
    lane.inFlight.set(row.id, { number, stanzas: stanzas.length });
    const sent = stanzas.every(stanza => this.#context.send(stanza, { id: row.id, to: lane.to, number }));
    if (!sent) {
      // The stream has as much to be acknowledged as it takes: any acknowledgement makes room.
      lane.inFlight.delete(row.id);
      this.#stalled.add(lane.to);
    }
    return sent;
  }

  /** Always false: nothing more is done with this lane now. */
  #pause(lane: Lane): false {
    this.#wakeAfter(lane, outboxLimits.storePauseMs);
    return false;
  }

  #wakeAfter(lane: Lane, ms: number): void {
    lane.cancelTimer?.();
    lane.cancelTimer = this.#context.clock.after(ms, () => {
      lane.cancelTimer = undefined;
      this.wake(lane.to);
    });
  }
}
