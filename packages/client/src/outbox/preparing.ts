// Makes a row ready to leave: finds the devices, begins missing sessions, encrypts, and keeps sessions, ciphertexts and what a
// retry needs in one transaction.
// Knows nothing of lanes or streams, and of what becomes of a row only the words.
// Source: docs/protocol/06-stanzas.md sections 6.1 and 6.2, docs/protocol/09-content.md section 9.7.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { decodeContent, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { E2eeSuite, Encrypted, KnownDevice } from '@drawbridge/e2ee/suite';
import type { Clock } from '../clock.ts';
import { isUnmet } from '../devices/people-to-come.ts';
import { isOptedOut } from '../directory/provider-consents.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { isHeldBack } from '../history/chat-state.ts';
import { chatWith } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';
import { type OutboxRecord, type OutboxRow, writeOutbox } from '../store/outbox-records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { isOfOneRow, storeFaultIn } from '../store/store-errors.ts';
import { committed } from '../store/transact.ts';
import type { Additions } from './additions.ts';
import { keepSent } from './kept-sent.ts';
import { outboxLimits } from './limits.ts';
import { idOf, type RecipientDevices } from './recipient-devices.ts';
import type { Readiness, RowOutcomes } from './row-outcomes.ts';
import { base64, contentBytes, contentPayload } from './rows.ts';
import { keyOfAnother, type SessionStarts, twoIdentities } from './session-starts.ts';

export type PreparingContext = {
  readonly store: EncryptedStore;
  readonly suite: Pick<E2eeSuite, 'local' | 'encryptFor' | 'endSessions'>;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
  readonly additions: Additions;
};

export class Preparing {
  readonly #context: PreparingContext;
  readonly #rows: RowOutcomes;
  readonly #devices: RecipientDevices;
  readonly #starts: SessionStarts;

  constructor(context: PreparingContext, rows: RowOutcomes, devices: RecipientDevices, starts: SessionStarts) {
    this.#context = context;
    this.#rows = rows;
    this.#devices = devices;
    this.#starts = starts;
  }

  /** Encrypts a row; the sessions, the row and what a retry needs are one transaction. */
  async prepare(row: OutboxRow, queue: readonly OutboxRow[]): Promise<Readiness> {
    const { id, record } = row;
    const isUnmetNow = this.#rows.transaction(tx => isUnmet(tx, this.#context.suite.local.interopId, record.to));
    if (isUnmetNow === undefined) return { kind: 'store-failed' };
    if (isUnmetNow) return this.#rows.hold(id);
    if (saysByItself(record) && this.#rows.transaction(tx => isHeldBack(chatInForce(tx, chatWith(record.to)))) === true)
      return this.#rows.forget(id);
    // What is taken back in a chat that is read-only waits until it is open.
    const isShut = record.act?.what === 'delete' && this.#rows.transaction(tx => isOptedOut(tx, record.to)) === true;
    if (isShut) return { kind: 'later' };
    const merged =
      record.payload.kind === 'receipt' ? mergeReceipts(row, queue, this.#context.clock.nowMs()) : undefined;
    // Rows of 0.1.0, and receipts, which are put together only now, are not bound yet.
    const content = this.#context.additions.boundUncounted(record.to, merged?.content ?? contentOf(record));
    try {
      if (record.freshSession === true) return await this.#renewSession(id, record);
      for (let round = 0; round < outboxLimits.maxSessionRounds; round++) {
        const devices = await this.#devices.of(record, content.length);
        if (devices.length === 0) {
          // One's own other devices: there are none. For others the directory would have said so.
          return this.#rows.drop(id, record);
        }
        const outcome = await this.#encrypt(id, record, devices, content, merged?.ids ?? []);
        if (outcome !== 'no-session') return outcome;
      }
      return this.#rows.later(id, new ClientError('protocol-error', { detail: 'no session could be made' }));
    } catch (error) {
      return this.#unprepared(id, record, error);
    }
  }

  /** A session of its own for what follows; then the row is as any other. */
  async #renewSession(id: string, record: OutboxRecord): Promise<Readiness> {
    const refusal = await this.#starts.one(record.to, record.toDevice!);
    if (refusal === 'untrusted-identity') return this.#rows.hold(id);
    if (refusal === 'no-such-device' || refusal === 'unlisted-device') throw new ClientError('not-found');
    if (refusal !== undefined) throw new ClientError('protocol-error', { detail: refusal });
    const { freshSession: _, ...rest } = record;
    const isNoted = this.#rows.transaction(tx => {
      if (this.#rows.read(tx, id) !== undefined) writeOutbox(tx, id, rest);
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
          if (!saysTheSame(this.#rows.read(tx, id), record)) throw new ClientError('unknown-message');
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
        return this.#rows.hold(id);
      case 'content-too-large':
      case 'too-many-devices':
      case 'invalid-address':
        return this.#rows.gone(id, 'content-refused', error.code);
      case 'store-failed':
      case 'commit-failed':
        if (error.cause instanceof ClientError && error.cause.code === 'untrusted-identity')
          return this.#rows.gone(id, 'untrusted-identity');
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
    if (codes.includes('untrusted-identity') && to !== this.#context.suite.local.interopId) return this.#rows.hold(id);
    const isOfAnother = codes.includes('identity-of-another');
    if (isOfAnother || codes.includes('two-identities')) {
      this.#devices.forget(to);
      return this.#rows.gone(id, 'untrusted-identity', isOfAnother ? keyOfAnother : twoIdentities);
    }
    for (const { code, deviceId } of refusals) {
      // Nobody's device, or one with another identity under one's own name: the others are written to.
      if (code === 'unlisted-device' || code === 'untrusted-identity') this.#devices.leaveOut(to, deviceId);
      else this.#devices.forget(to);
    }
    return 'no-session';
  }

  /** Something outside refused while a row was being prepared. */
  #unprepared(id: string, before: OutboxRecord, error: unknown): Readiness {
    if (!(error instanceof ClientError)) throw error;
    const isThere = this.#rows.transaction(tx => saysTheSame(this.#rows.read(tx, id), before));
    if (isThere === undefined) return { kind: 'store-failed' };
    // Wiped meanwhile.
    if (!isThere) return { kind: 'gone' };
    if (error.code === 'not-connected' || error.code === 'closed') return { kind: 'later' };
    if (error.code === 'not-found') return this.#rows.gone(id, 'not-reachable');
    if (error.code === 'request-refused' || error.code === 'untrusted-identity')
      return this.#rows.gone(id, error.code, error.detail);
    if (error.code !== 'store-failed') return this.#rows.later(id, error);
    const fault = storeFaultIn(error);
    if (fault !== undefined && isOfOneRow(fault)) return this.#rows.gone(id, 'store-failed', fault.code);
    this.#context.emit({ kind: 'problem', error });
    return { kind: 'store-failed' };
  }
}

/** What no person says: receipts, and requests to send again. */
function saysByItself({ payload, silent, toDevice }: OutboxRecord): boolean {
  return payload.kind === 'receipt' || (silent && toDevice !== undefined);
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
  assert(payload.kind === 'receipt', 'only receipts are merged');
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
  assert(encoded.ok, 'a receipt of our own is sound');
  return { content: encoded.value, ids };
}
