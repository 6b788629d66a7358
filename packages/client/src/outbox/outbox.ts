// The outbox: what must leave this device stays on disk until the gatekeeper has taken it over. Encrypts for all devices of
// the recipient, corrects wrong device lists, waits when told to, sends the same stanza again after a loss.
// Knows nothing of what contents mean, and of streams only `send` and `request`.
// Source: docs/protocol/06-stanzas.md section 6.1; order and durability: docs/protocol/04-streams.md section 4.2.
import { randomBytes } from 'node:crypto';
import { placeOf } from '@drawbridge/e2ee/binding';
import { type ContentBody, decodeContent, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { ProgressState } from '@drawbridge/e2ee/content-kinds';
import type { E2eeSuite, Encrypted, KnownDevice } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage, type UndeliveredCause } from '@drawbridge/wire/envelope';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import type { StanzaError } from '@drawbridge/wire/stanza-error';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import type { Clock, Random } from '../clock.ts';
import { RequestRefused } from '../connection/connection.ts';
import type { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { bound, boundUncounted, type BindingContext } from './binding.ts';
import { addFact } from '../history/conversation.ts';
import type { Progress } from '../history/message-log.ts';
import { personOf } from '../history/message-names.ts';
import {
  listOutbox,
  type OutboxCiphertext,
  type OutboxRecord,
  type OutboxRow,
  readAccepted,
  readOutbox,
  readUnsaid,
  takeTranscript,
  writeAccepted,
  writeOutbox,
  writeUnsaid,
} from '../store/outbox-records.ts';
import { readEntry } from '../store/message-records.ts';
import { dropDamagedOutbox } from './damaged-rows.ts';
import { keepSent } from './kept-sent.ts';
import { base64, contentBytes, contentPayload, newStanzaId, stanzaIdOf } from './rows.ts';
import { keyOfAnother, SessionStarts, twoIdentities } from './session-starts.ts';
import { nothing, numberOf } from './unsaid.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { isOfOneRow, storeFaultIn } from '../store/store-errors.ts';

export const outboxLimits = {
  /** Rows that may wait in all; a further `send` is refused. */
  maxRows: 10_000,
  /** Messages to one person that wait for the gatekeeper's acknowledgement. */
  window: 16,
  /** Wrong device lists in a row for one message. */
  maxCorrections: 5,
  /** Refusals of type `wait` for one message. */
  maxWaits: 40,
  /** Before a store that failed is asked again. Nothing is given up for it. */
  storePauseMs: 2_000,
  firstWaitMs: 1_000,
  maxWaitMs: 300_000,
  /** Streams that the gatekeeper may end while a row is first in line; then the row is set aside. */
  maxEndedStreams: 2,
  /** A stanza as XML, its longest form: what a gatekeeper takes in one element. */
  maxStanzaBytes: xmlLimitsAfterLogin.elementBytes,
  /** Receipts that are put into one message. */
  maxReceipts: 100,
  /** Numbers of contents to one person that failed and were not told yet; the oldest stay gaps at their reader. */
  maxUnsaid: 64,
  /** Rounds of fetching bundles for one encryption. */
  maxSessionRounds: 3,
  deviceListAgeMs: 86_400_000,
  /** What an encryption adds to a content, at most. */
  copyBytes: 4_096,
  /**
   * A list of devices that no refusal corrects is believed for so long: that one has no others, when nothing is sent, and
   * one whose devices are written to one by one.
   */
  freshListAgeMs: 60_000,
  /** After a link was authorised, it is not believed at all. */
  linkMs: 600_000,
} as const;

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

/** How an attempt to make a row ready ended. */
type Readiness =
  | { readonly kind: 'ready'; readonly record: OutboxRecord }
  /** Nothing to send, or refused for good, or changed: look at the lane again. */
  | { readonly kind: 'gone' }
  /** Not now: the row's own time is set, or somebody wakes the lane. */
  | { readonly kind: 'later' }
  /** Nothing could be written: the same again after a pause. */
  | { readonly kind: 'store-failed' };

export class Outbox {
  readonly #context: OutboxContext;
  readonly #starts: SessionStarts;
  readonly #lanes = new Map<string, Lane>();
  readonly #devices = new Map<string, { readonly devices: readonly KnownDevice[]; readonly fetchedAtMs: number }>();
  readonly #stalled = new Set<string>();
  #online = false;
  /** What is to be told of rows that the transaction under way found damaged. */
  #damaged: ClientEvent[] = [];
  #sendings = 0;
  #ownDeviceExpectedUntilMs = 0;

  constructor(context: OutboxContext) {
    this.#context = context;
    this.#starts = new SessionStarts(context);
  }

  /** Adds a row within the caller's transaction; gives its id. Throws `outbox-full`. Call `wake` after the commit. */
  add(
    tx: Transaction,
    record: Pick<
      OutboxRecord,
      'to' | 'payload' | 'silent' | 'messageId' | 'toDevice' | 'freshSession' | 'onlyIdentity'
    >,
    id?: string,
  ): string {
    if (!this.hasRoom(tx)) throw new ClientError('outbox-full');
    const rowId = id ?? newStanzaId();
    const { payload: given, to } = record;
    const payload =
      given.kind === 'content'
        ? contentPayload(boundUncounted(this.#bindingContext(), to, contentBytes(given)))
        : given;
    writeOutbox(tx, rowId, { ...record, payload, corrections: 0, waits: 0, notBeforeMs: 0 });
    return rowId;
  }

  /** What was numbered for somebody and failed: it is told with the next thing that is said. */
  unsaid(tx: Transaction, to: string): Uint8Array[] {
    const numbers = readUnsaid(tx, to);
    if (numbers.length === 0) return [];
    writeUnsaid(tx, to, []);
    const place = placeOf({ ...this.#bindingContext(), recipient: to });
    return numbers.map(number => nothing(this.#context.clock.nowMs(), { place, number }));
  }

  /** A content as it will be sent: bound to its recipient and counted there, unless it was before. */
  bound(tx: Transaction, to: string, content: Uint8Array): Uint8Array {
    return bound(tx, this.#bindingContext(), to, content);
  }

  #bindingContext(): BindingContext {
    return { author: this.#context.suite.local, domain: this.#context.domain };
  }

  hasRoom(tx: Transaction): boolean {
    return tx.count('outbox') < outboxLimits.maxRows;
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
    if (!resumed) for (const lane of this.#lanes.values()) lane.inFlight.clear();
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
    const recipients = new Set(this.#lanes.keys());
    this.#transaction(tx => {
      // Bounded by `maxRows`.
      let after = 0;
      for (;;) {
        const rows = this.#sound(tx, () =>
          tx.list('outbox', { after }).map(({ sequence, value }) => {
            const { to } = JSON.parse(value.toString()) as OutboxRecord;
            return { sequence, to };
          }),
        );
        for (const { to } of rows) recipients.add(to);
        if (rows.length === 0) return;
        after = rows.at(-1)!.sequence;
      }
    });
    for (const to of recipients) this.wake(to);
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
    const changed = this.#transaction(tx =>
      done.flatMap(({ id }) => {
        const record = this.#readRow(tx, id);
        tx.delete('outbox', id);
        if (record?.messageId !== undefined) writeAccepted(tx, stanzaIdOf(id), record.messageId);
        return this.#setState(tx, record, 'sent');
      }),
    );
    if (changed === undefined) return void clock.after(outboxLimits.storePauseMs, () => this.#leave(done));
    for (const { id, to } of done) this.#lanes.get(to)?.inFlight.delete(id);
    this.#announce(changed);
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
    if (condition === 'conflict' && application?.name === 'device-list') return this.#correct(id, to);
    if (error.type === 'wait') return this.#postpone(id, new RequestRefused(error));
    if (condition === 'service-unavailable') return this.#fail(id, 'not-reachable');
    const word = application === undefined ? condition : `${condition}: ${application.name.slice(0, 64)}`;
    return this.#fail(id, 'request-refused', word);
  }

  /**
   * The gatekeeper had taken this over and says now that a device of `person` will not have it. The message has failed,
   * unless the person has said that it came: another device of theirs has it.
   */
  undelivered(stanzaId: StanzaId, person: InteropId, cause: UndeliveredCause): void {
    const found = this.#findInFlight(stanzaId);
    if (found?.lane.to === person) {
      // Its acceptance is still on its way.
      this.#fail(found.id, 'not-delivered', cause);
      this.wake(person);
      return;
    }
    const changed = this.#transaction(tx => this.#notDelivered(tx, readAccepted(tx, stanzaId), person, cause));
    this.#announce(changed ?? []);
  }

  /**
   * A device of `person` can't read a stanza of ours, and it can't be said again: what it carried is not kept any more. The
   * stanza may still be in flight here. Gives what the caller announces after the commit, and wakes one's own devices for.
   */
  unreadable(tx: Transaction, stanzaId: StanzaId, person: InteropId): ClientEvent[] {
    const messageId = readOutbox(tx, stanzaId)?.messageId ?? readAccepted(tx, stanzaId);
    return this.#notDelivered(tx, messageId, person, 'unreadable');
  }

  /** Only the person whom a message was for can say so, and only until they say that it came. */
  #notDelivered(
    tx: Transaction,
    messageId: string | undefined,
    person: InteropId,
    detail: UndeliveredCause | 'unreadable',
  ): ClientEvent[] {
    const entry = messageId === undefined ? undefined : readEntry(tx, this.#context.suite.local.interopId, messageId);
    if (entry === undefined || personOf(entry.chat) !== person) return [];
    if (entry.receipts !== undefined || entry.gone !== undefined) return [];
    return this.#setState(tx, { messageId: entry.id }, 'failed', { code: 'not-delivered', detail });
  }

  /**
   * The gatekeeper ended a stream while this was the first in line. The second time it is set aside, so that the others go
   * on; true then.
   */
  suspected({ id }: Sending, condition: string): boolean {
    const isSetAside = this.#transaction(tx => {
      const record = this.#readRow(tx, id);
      if (record === undefined) return false;
      const endedStreams = (record.endedStreams ?? 0) + 1;
      writeOutbox(tx, id, { ...record, endedStreams });
      return endedStreams >= outboxLimits.maxEndedStreams;
    });
    return isSetAside === true && this.#fail(id, 'request-refused', condition.slice(0, 64));
  }

  #findInFlight(stanzaId: StanzaId): { id: string; lane: Lane } | undefined {
    for (const lane of this.#lanes.values()) {
      for (const id of lane.inFlight.keys()) if (stanzaIdOf(id) === stanzaId) return { id, lane };
    }
    return undefined;
  }

  /** What the directory says about somebody's devices is old: ask again before the next message. */
  forgetDevices(person: InteropId): void {
    this.#devices.delete(person);
  }

  /** A message came from this device: a list without it is old. */
  noteDevice(person: InteropId, deviceId: number): void {
    const known = this.#devices.get(person);
    if (known !== undefined && !known.devices.some(device => device.deviceId === deviceId))
      this.#devices.delete(person);
  }

  /** Another device of one's own is about to come. */
  expectOwnDevice(): void {
    this.#ownDeviceExpectedUntilMs = this.#context.clock.nowMs() + outboxLimits.linkMs;
  }

  /**
   * Sends content that is worth nothing later (typing), to devices with a session, while there is a stream; it is neither
   * kept nor repeated.
   */
  async sendTransient(to: string, content: Uint8Array): Promise<void> {
    const { suite, store, send } = this.#context;
    const devices = this.#devices.get(to)?.devices;
    if (!this.#online || devices === undefined || devices.length === 0) return;
    const commit = (staged: Encrypted): void => committed(store.transaction(tx => tx.apply(staged.changes)));
    const said = boundUncounted(this.#bindingContext(), to, content);
    const encrypted = await suite.encryptFor([{ to, devices, content: said }], commit);
    if (!encrypted.ok || !this.#online) return;
    const id = newStanzaId();
    const ciphertexts = encrypted.value.ciphertexts.map(({ deviceId, registrationId, kind, bytes }) => ({
      deviceId,
      registrationId,
      kind,
      payload: bytes,
    }));
    const stanza = encodeEnvelopeMessage({
      to: `${to}@${this.#context.domain}`,
      id,
      type: 'chat',
      suite: suite.name,
      fromDevice: suite.local.deviceId,
      ciphertexts,
      noStore: true,
      silent: true,
    });
    send(stanza, { id, to, number: 0 });
  }

  close(): void {
    this.offline();
    this.#lanes.clear();
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
    const rows = this.#transaction(tx =>
      this.#sound(tx, () => listOutbox(tx, { to: lane.to, limit: outboxLimits.window })),
    );
    if (rows === undefined) return this.#pause(lane);
    const row = rows.find(each => !lane.inFlight.has(each.id));
    if (row === undefined) return false;
    const waitMs = row.record.notBeforeMs - this.#context.clock.nowMs();
    if (waitMs > 0) {
      this.#wakeAfter(lane, waitMs);
      return false;
    }
    const readiness =
      row.record.ciphertexts === undefined
        ? await this.#prepare(row, rows)
        : { kind: 'ready' as const, record: row.record };
    if (readiness.kind === 'gone') return true;
    if (readiness.kind === 'later') {
      // Woken by its own time, by an acceptance, or by the next stream.
      const record = this.#transaction(tx => readOutbox(tx, row.id));
      const laterMs = (record?.notBeforeMs ?? 0) - this.#context.clock.nowMs();
      if (laterMs > 0) this.#wakeAfter(lane, laterMs);
      return false;
    }
    if (readiness.kind === 'store-failed') return this.#pause(lane);
    if (!this.#online) return false;
    const stanzas = this.#stanzas(row.id, readiness.record);
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

  /** One with a copy for each device, or, where that is too large for a stanza, one for each of them. */
  #stanzas(id: string, record: OutboxRecord): Element[] {
    const { toDevice, ciphertexts } = record;
    const whole = this.#stanza(id, record, ciphertexts!, toDevice);
    // The compact form is smaller and counts less (section 7.8).
    const isWhole = Buffer.byteLength(encodeElement(whole, NS_CLIENT)) <= outboxLimits.maxStanzaBytes;
    return isWhole ? [whole] : ciphertexts!.map(each => this.#stanza(id, record, [each], each.deviceId));
  }

  #stanza(
    id: string,
    record: OutboxRecord,
    ciphertexts: readonly OutboxCiphertext[],
    device: number | undefined,
  ): Element {
    const { suite, domain } = this.#context;
    const bare = `${record.to}@${domain}`;
    return encodeEnvelopeMessage({
      to: device === undefined ? bare : `${bare}/${device}`,
      id: stanzaIdOf(id),
      type: 'chat',
      suite: suite.name,
      fromDevice: suite.local.deviceId,
      ciphertexts: ciphertexts.map(({ bytes, ...rest }) => ({
        ...rest,
        payload: Buffer.from(bytes, 'base64'),
      })),
      noStore: false,
      silent: record.silent,
    });
  }

  /** Encrypts a row; the sessions, the row and what a retry needs are one transaction. */
  async #prepare(row: OutboxRow, queue: readonly OutboxRow[]): Promise<Readiness> {
    const { id, record } = row;
    const merged =
      record.payload.kind === 'receipt' ? mergeReceipts(row, queue, this.#context.clock.nowMs()) : undefined;
    // Rows of 0.1.0, and receipts, which are put together only now, are not bound yet.
    const content = boundUncounted(this.#bindingContext(), record.to, merged?.content ?? contentOf(record));
    try {
      if (record.freshSession === true) return await this.#renewSession(id, record);
      for (let round = 0; round < outboxLimits.maxSessionRounds; round++) {
        const devices = await this.#devicesFor(record, content.length);
        if (devices.length === 0) {
          // One's own other devices: there are none. For others the directory would have said so.
          return this.#drop(id, record);
        }
        const outcome = await this.#encrypt(id, record, devices, content, merged?.ids ?? []);
        if (outcome !== 'no-session') return outcome;
      }
      return this.#later(id, new ClientError('protocol-error', { detail: 'no session could be made' }));
    } catch (error) {
      return this.#unprepared(id, record, error);
    }
  }

  /** A session of its own for what follows; then the row is as any other. */
  async #renewSession(id: string, record: OutboxRecord): Promise<Readiness> {
    const refusal = await this.#starts.one(record.to, record.toDevice!);
    if (refusal === 'untrusted-identity') return this.#hold(id);
    if (refusal === 'no-such-device' || refusal === 'unlisted-device') throw new ClientError('not-found');
    if (refusal !== undefined) throw new ClientError('protocol-error', { detail: refusal });
    const { freshSession: _, ...rest } = record;
    const isNoted = this.#transaction(tx => {
      if (this.#readRow(tx, id) !== undefined) writeOutbox(tx, id, rest);
      return true;
    });
    return isNoted === true ? { kind: 'gone' } : { kind: 'store-failed' };
  }

  async #encrypt(
    id: string,
    record: OutboxRecord,
    devices: readonly KnownDevice[],
    content: Uint8Array,
    mergedIds: readonly string[],
  ): Promise<Readiness | 'no-session'> {
    const { suite, store, clock } = this.#context;
    let ready: OutboxRecord | undefined;
    const commit = ({ ciphertexts, identities, changes }: Encrypted): void => {
      const encrypted: OutboxRecord = {
        ...record,
        payload: contentPayload(content),
        ciphertexts: ciphertexts.map(({ deviceId, registrationId, kind, bytes }) => ({
          deviceId,
          registrationId,
          kind,
          bytes: base64(bytes),
        })),
      };
      committed(
        store.transaction(tx => {
          // It was wiped meanwhile: it must not come back, and nothing of it may leave.
          if (!saysTheSame(this.#readRow(tx, id), record)) throw new ClientError('unknown-message');
          // The key has changed since it was asked for.
          if (record.onlyIdentity !== undefined && identities.get(record.to) !== record.onlyIdentity)
            throw new ClientError('untrusted-identity');
          tx.apply(changes);
          writeOutbox(tx, id, encrypted);
          if (record.toDevice === undefined && !isForOneView(content)) {
            const identity = identities.get(record.to)!;
            const addressed = { identity, devices: ciphertexts.map(each => each.deviceId) };
            keepSent(tx, id, { to: record.to, content: base64(content), sentAtMs: clock.nowMs(), addressed });
          }
          for (const mergedId of mergedIds) tx.delete('outbox', mergedId);
        }),
      );
      ready = encrypted;
    };
    const encrypted = await suite.encryptFor([{ to: record.to, devices, content }], commit);
    if (encrypted.ok) return { kind: 'ready', record: ready! };
    const { error } = encrypted;
    switch (error.code) {
      case 'no-session':
        return await this.#startSessions(id, record.to, devices, error.devices);
      case 'untrusted-identity':
        return this.#hold(id);
      case 'content-too-large':
      case 'too-many-devices':
      case 'invalid-address':
        return this.#gone(id, 'content-refused', error.code);
      case 'store-failed':
      case 'commit-failed':
        if (error.cause instanceof ClientError && error.cause.code === 'untrusted-identity')
          return this.#gone(id, 'untrusted-identity');
        if (storeFaultIn(error.cause)?.table === 'session') return await this.#forgetSessions(record.to);
        throw new ClientError('store-failed', { cause: error.cause });
      default:
        // `too-many-waiting` and what may follow: nothing happened, try again.
        throw new ClientError('too-many-requests', { detail: error.code });
    }
  }

  /** One of them can't be read any more: they begin again. */
  async #forgetSessions(person: string): Promise<'no-session'> {
    const { suite, store } = this.#context;
    const ended = await suite.endSessions(person, 'all', ({ changes }) =>
      committed(store.transaction(tx => tx.apply(changes))),
    );
    if (!ended.ok) throw new ClientError('store-failed', { cause: ended.error });
    return 'no-session';
  }

  async #startSessions(
    id: string,
    to: string,
    listed: readonly KnownDevice[],
    missing: readonly KnownDevice[],
  ): Promise<Readiness | 'no-session'> {
    const refusals = await this.#starts.all(to, listed.map(idOf), missing.map(idOf));
    const codes = refusals.map(({ code }) => code);
    if (codes.includes('untrusted-identity') && to !== this.#context.suite.local.interopId) return this.#hold(id);
    const isOfAnother = codes.includes('identity-of-another');
    if (isOfAnother || codes.includes('two-identities')) {
      this.forgetDevices(to);
      return this.#gone(id, 'untrusted-identity', isOfAnother ? keyOfAnother : twoIdentities);
    }
    for (const { code, deviceId } of refusals) {
      // Nobody's device, or one with another identity under one's own name: the others are written to.
      if (code === 'unlisted-device' || code === 'untrusted-identity') this.#leaveOut(to, deviceId);
      else this.forgetDevices(to);
    }
    return 'no-session';
  }

  async #devicesFor(record: OutboxRecord, bytes: number): Promise<readonly KnownDevice[]> {
    const { clock, suite } = this.#context;
    const { to, toDevice } = record;
    const own = to === suite.local.interopId ? suite.local.deviceId : undefined;
    const nowMs = clock.nowMs();
    let known = this.#devices.get(to);
    const alone = own !== undefined && known?.devices.every(device => device.deviceId === own) === true;
    const expecting = alone && nowMs < this.#ownDeviceExpectedUntilMs;
    // Of copies that leave one by one nobody says which device was forgotten.
    const isSplit =
      (known?.devices.length ?? 0) * (bytes + outboxLimits.copyBytes) * (4 / 3) > outboxLimits.maxStanzaBytes;
    const ageMs = alone || isSplit ? outboxLimits.freshListAgeMs : outboxLimits.deviceListAgeMs;
    if (known === undefined || expecting || nowMs - known.fetchedAtMs > ageMs) {
      known = { devices: await this.#fetchDevices(to), fetchedAtMs: nowMs };
      this.#devices.set(to, known);
    }
    return known.devices.filter(
      ({ deviceId }) => deviceId !== own && (toDevice === undefined || deviceId === toDevice),
    );
  }

  /** Those of a person that the person names; where that can't be told yet, a bundle shows whether the key has changed. */
  async #fetchDevices(person: InteropId): Promise<readonly KnownDevice[]> {
    const { devices, undecided } = await this.#context.lists.fetch(person);
    if (undecided.length === 0) return devices;
    const all = [...devices, ...undecided];
    const refusals = await this.#starts.all(person, all.map(idOf), undecided.map(idOf));
    const codes = refusals.map(({ code }) => code);
    // A person has to look at the key; until then nothing is encrypted to anybody here.
    if (codes.includes('untrusted-identity')) return all;
    if (codes.includes('two-identities')) throw new ClientError('untrusted-identity', { detail: twoIdentities });
    if (refusals.length > 0) return devices;
    // The key in force is another one now: all of the list is looked at again.
    return (await this.#context.lists.fetch(person)).devices;
  }

  #leaveOut(person: InteropId, deviceId: number): void {
    const known = this.#devices.get(person);
    if (known === undefined) return;
    const devices = known.devices.filter(device => device.deviceId !== deviceId);
    this.#devices.set(person, { ...known, devices });
  }

  /** Something outside refused while a row was being prepared. */
  #unprepared(id: string, before: OutboxRecord, error: unknown): Readiness {
    if (!(error instanceof ClientError)) throw error;
    const isThere = this.#transaction(tx => saysTheSame(this.#readRow(tx, id), before));
    if (isThere === undefined) return { kind: 'store-failed' };
    // Wiped meanwhile.
    if (!isThere) return { kind: 'gone' };
    if (error.code === 'not-connected' || error.code === 'closed') return { kind: 'later' };
    if (error.code === 'not-found') return this.#gone(id, 'not-reachable');
    if (error.code === 'request-refused' || error.code === 'untrusted-identity')
      return this.#gone(id, error.code, error.detail);
    if (error.code !== 'store-failed') return this.#later(id, error);
    const fault = storeFaultIn(error);
    if (fault !== undefined && isOfOneRow(fault)) return this.#gone(id, 'store-failed', fault.code);
    this.#context.emit({ kind: 'problem', error });
    return { kind: 'store-failed' };
  }

  #gone(id: string, code: ClientErrorCode, detail?: string): Readiness {
    return this.#fail(id, code, detail) ? { kind: 'gone' } : { kind: 'store-failed' };
  }

  #later(id: string, error: ClientError): Readiness {
    return this.#postpone(id, error) ? { kind: 'later' } : { kind: 'store-failed' };
  }

  /** The set of devices was wrong and nothing was delivered: ask for it again and encrypt again, under the same id. */
  #correct(id: string, to: InteropId): boolean {
    this.forgetDevices(to);
    const tooMany = this.#transaction(tx => {
      const record = this.#readRow(tx, id);
      if (record === undefined) return false;
      if (record.corrections >= outboxLimits.maxCorrections) return true;
      const { ciphertexts: _, ...rest } = record;
      writeOutbox(tx, id, { ...rest, corrections: record.corrections + 1 });
      return false;
    });
    if (tooMany === true) return this.#fail(id, 'request-refused', 'the device list could not be corrected');
    return tooMany === false;
  }

  /** False, here and below: the store could not note it. */
  #postpone(id: string, error: ClientError): boolean {
    const { clock, random } = this.#context;
    const gaveUp = this.#transaction(tx => {
      const record = this.#readRow(tx, id);
      if (record === undefined) return false;
      if (record.waits >= outboxLimits.maxWaits) return true;
      const backoffMs = Math.min(outboxLimits.maxWaitMs, outboxLimits.firstWaitMs * 2 ** Math.min(record.waits, 10));
      const waitMs = (error.retryAfterSeconds ?? 0) * 1_000 + Math.round(backoffMs * (0.5 + random() / 2));
      writeOutbox(tx, id, { ...record, waits: record.waits + 1, notBeforeMs: clock.nowMs() + waitMs });
      return false;
    });
    if (gaveUp === true) return this.#fail(id, error.code, error.detail);
    return gaveUp === false;
  }

  /** The recipient's identity changed after it was verified: it waits for a person. */
  #hold(id: string): Readiness {
    this.#announce(this.#transaction(tx => this.#setState(tx, this.#readRow(tx, id), 'held')) ?? []);
    return { kind: 'later' };
  }

  #drop(id: string, record: OutboxRecord): Readiness {
    if (record.to !== this.#context.suite.local.interopId && record.toDevice === undefined)
      return this.#gone(id, 'not-reachable');
    const isDropped = this.#transaction(tx => {
      tx.delete('outbox', id);
      // Nobody places it among what this device receives.
      takeTranscript(tx, id);
      return true;
    });
    return isDropped === true ? { kind: 'gone' } : { kind: 'store-failed' };
  }

  /** For good: the row goes, the message says why. */
  #fail(id: string, code: ClientErrorCode, detail?: string): boolean {
    const changed = this.#transaction(tx => {
      const record = this.#readRow(tx, id);
      tx.delete('outbox', id);
      if (record !== undefined) this.#noteUnsaid(tx, record);
      return this.#setState(tx, record, 'failed', detail === undefined ? { code } : { code, detail });
    });
    if (changed === undefined) return false;
    for (const lane of this.#lanes.values()) lane.inFlight.delete(id);
    this.#announce(changed);
    return true;
  }

  /** Its number was given and is never said. */
  #noteUnsaid(tx: Transaction, { to, toDevice, payload }: OutboxRecord): void {
    if (payload.kind !== 'content' || toDevice !== undefined || to === this.#context.suite.local.interopId) return;
    const number = numberOf(contentBytes(payload));
    if (number > 0) writeUnsaid(tx, to, [...readUnsaid(tx, to), number].slice(-outboxLimits.maxUnsaid));
  }

  #setState(
    tx: Transaction,
    record: Pick<OutboxRecord, 'messageId'> | undefined,
    state: ProgressState,
    failure?: Progress['failure'],
  ): ClientEvent[] {
    const own = this.#context.suite.local.interopId;
    const entry = record?.messageId === undefined ? undefined : readEntry(tx, own, record.messageId);
    if (entry === undefined) return [];
    const progress = { state, ...(failure === undefined ? {} : { failure }) };
    // One's own other devices have a copy, and take it for sent unless they hear something else.
    const before = entry.progress?.state;
    const isNews = before !== state && (state !== 'sent' || before === 'held');
    if (isNews && entry.posted !== undefined) {
      const message = { messageId: Buffer.from(entry.id, 'hex'), author: own, sentAtMs: entry.posted.sentAtMs };
      const told = {
        message,
        chat: personOf(entry.chat),
        state,
        ...(failure === undefined ? {} : { reason: failure.code }),
      };
      this.#tellOwn(tx, { kind: 'device-sync', progress: [told] });
    }
    return addFact(tx, own, entry, { kind: 'progress', progress });
  }

  #tellOwn(tx: Transaction, body: ContentBody<'device-sync'>): void {
    const { clock, suite } = this.#context;
    const encoded = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: clock.nowMs(), body });
    if (!encoded.ok) throw new TypeError('a content of our own is sound');
    const to = suite.local.interopId;
    if (this.hasRoom(tx)) this.add(tx, { to, payload: contentPayload(encoded.value), silent: true });
  }

  #announce(changed: readonly ClientEvent[]): void {
    for (const event of changed) this.#context.emit(event);
    if (changed.length > 0) this.wake(this.#context.suite.local.interopId);
  }

  #readRow(tx: Transaction, id: string): OutboxRecord | undefined {
    return this.#sound(tx, () => readOutbox(tx, id));
  }

  /** Reads rows; those that the disk has damaged go first, and the messages that they carried have failed. */
  #sound<T>(tx: Transaction, read: () => T): T {
    const found = tx.attempt(read);
    if (found.ok) return found.value;
    const { clock, suite } = this.#context;
    for (const entry of dropDamagedOutbox(tx, suite.local.interopId, clock.nowMs())) {
      const failure = { code: 'store-failed', detail: 'corrupt-row' } as const;
      this.#damaged.push(...this.#setState(tx, { messageId: entry.id }, 'failed', failure));
    }
    return read();
  }

  #transaction<T>(work: (tx: Transaction) => T): T | undefined {
    this.#damaged = [];
    const done = transaction(this.#context, work);
    const damaged = this.#damaged;
    this.#damaged = [];
    this.#announce(damaged);
    return done;
  }
}

/** Undefined when the store failed; the application hears of it. */
export function transaction<T>(
  { store, emit }: { readonly store: EncryptedStore; readonly emit: (event: ClientEvent) => void },
  work: (tx: Transaction) => T,
): T | undefined {
  const result = store.transaction(work);
  if (result.ok) return result.value;
  if (result.error.code !== 'closed') {
    emit({ kind: 'problem', error: new ClientError('store-failed', { cause: result.error }) });
  }
  return undefined;
}

/** Throws inside a suite's commit when the transaction was not done, so that the operation is not done either. */
export function committed(result: { readonly ok: boolean; readonly error?: unknown }): void {
  if (!result.ok) throw new ClientError('store-failed', { cause: result.error });
}

function idOf({ deviceId }: KnownDevice): number {
  return deviceId;
}

/** What may be seen once is never kept to be sent again, nor its copy for one's own devices. */
function isForOneView(bytes: Uint8Array): boolean {
  const content = decodeContent(bytes);
  if (!content.ok) return false;
  const { viewOnce, body } = content.value;
  return viewOnce === true || (body.kind === 'sent-transcript' && isForOneView(body.content));
}

/** Whether a row is still what it was when it was read; it may have been wiped in between. */
function saysTheSame(now: OutboxRecord | undefined, before: OutboxRecord): boolean {
  return now !== undefined && JSON.stringify(now.payload) === JSON.stringify(before.payload);
}

function contentOf(record: OutboxRecord): Uint8Array {
  return record.payload.kind === 'content' ? contentBytes(record.payload) : Buffer.alloc(0);
}

/** One receipt for this row and those right behind it that say the same about other messages. */
function mergeReceipts(
  row: OutboxRow,
  queue: readonly OutboxRow[],
  nowMs: number,
): { content: Uint8Array; ids: readonly string[] } {
  const { payload } = row.record;
  if (payload.kind !== 'receipt') throw new TypeError('only receipts are merged');
  const messageIds = [...payload.messageIds];
  const ids: string[] = [];
  for (const { id, record } of queue.slice(queue.indexOf(row) + 1)) {
    const other = record.payload;
    if (other.kind !== 'receipt' || other.receipt !== payload.receipt || record.ciphertexts !== undefined) break;
    if (messageIds.length + other.messageIds.length > outboxLimits.maxReceipts) break;
    messageIds.push(...other.messageIds);
    ids.push(id);
  }
  const encoded = encodeContent({
    messageId: randomBytes(MESSAGE_ID_BYTES),
    sentAtMs: nowMs,
    body: { kind: 'receipt', receipt: payload.receipt, messageIds: messageIds.map(id => Buffer.from(id, 'hex')) },
  });
  if (!encoded.ok) throw new TypeError('a receipt of our own is sound');
  return { content: encoded.value, ids };
}
