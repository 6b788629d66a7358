// What becomes of a row of the outbox: taken over, put off, held, corrected, dropped, failed; and what its message shows then.
// Each is one transaction, in which rows that the disk has damaged go too.
// Knows nothing of lanes, devices or encryption.
// Source: docs/protocol/06-stanzas.md section 6.1.
import type { UndeliveredCause } from '@drawbridge/wire/envelope';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import type { Clock, Random } from '../clock.ts';
import type { ClientError, ClientErrorCode } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import {
  carriedBy,
  listOutbox,
  type OutboxRecord,
  type OutboxRow,
  readOutbox,
  readUnsaid,
  takeTranscript,
  writeAccepted,
  writeOutbox,
  writeUnsaid,
} from '../store/outbox-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { transaction } from '../store/transact.ts';
import { dropDamagedOutbox } from './damaged-rows.ts';
import { outboxLimits } from './limits.ts';
import type { MessageProgress } from './message-progress.ts';
import { contentBytes, stanzaIdOf } from './rows.ts';
import { numberOf } from './unsaid.ts';

/** How an attempt to make a row ready ended. */
export type Readiness =
  | { readonly kind: 'ready'; readonly record: OutboxRecord }
  /** Nothing to send, or refused for good, or changed: look at the lane again. */
  | { readonly kind: 'gone' }
  /** Not now: the row's own time is set, or somebody wakes the lane. */
  | { readonly kind: 'later' }
  /** Nothing could be written: the same again after a pause. */
  | { readonly kind: 'store-failed' };

/** A row that is not sent now. */
export type NotReady = Exclude<Readiness, { readonly kind: 'ready' }>;

export type RowOutcomesContext = {
  readonly store: EncryptedStore;
  readonly own: InteropId;
  readonly clock: Clock;
  readonly random: Random;
  readonly progress: MessageProgress;
  readonly emit: (event: ClientEvent) => void;
};

export type RowHooks = {
  /** This row is gone: it is not on its way any more. */
  readonly failed: (id: string) => void;
  /** Something may wait for one's own other devices. */
  readonly ownHasNews: () => void;
};

export class RowOutcomes {
  readonly #context: RowOutcomesContext;
  readonly #progress: MessageProgress;
  readonly #hooks: RowHooks;
  /** What is to be said about rows that the transaction under way found damaged. */
  #damaged: ClientEvent[] = [];

  constructor(context: RowOutcomesContext, hooks: RowHooks) {
    this.#context = context;
    this.#progress = context.progress;
    this.#hooks = hooks;
  }

  /** The oldest of one recipient. Undefined: the store failed. */
  next(to: string): readonly OutboxRow[] | undefined {
    return this.transaction(tx => this.#sound(tx, () => listOutbox(tx, { to, limit: outboxLimits.window })));
  }

  /** Everybody for whom something waits. */
  recipients(): ReadonlySet<string> {
    const recipients = new Set<string>();
    this.transaction(tx => {
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
    return recipients;
  }

  read(tx: Transaction, id: string): OutboxRecord | undefined {
    return this.#sound(tx, () => readOutbox(tx, id));
  }

  /** The gatekeeper has taken these over: they go. Undefined when the store could not note it; else what has changed. */
  accepted(ids: readonly string[]): readonly ClientEvent[] | undefined {
    return this.transaction(tx =>
      ids.flatMap(id => {
        const record = this.read(tx, id);
        tx.delete('outbox', id);
        const carried = record === undefined ? undefined : carriedBy(record);
        if (carried !== undefined) writeAccepted(tx, stanzaIdOf(id), carried);
        return this.#progress.set(tx, record, 'sent');
      }),
    );
  }

  /** The gatekeeper says of what it had taken over, or a device of it, that `person` will not have it. */
  notDelivered(stanzaId: StanzaId, person: InteropId, cause: UndeliveredCause): void {
    const changed = this.transaction(tx => this.#progress.notDelivered(tx, stanzaId, person, cause));
    this.announce(changed ?? []);
    this.#hooks.ownHasNews();
  }

  /** The gatekeeper ended a stream while this was the first in line. True: often enough to set it aside. */
  countEndedStream(id: string): boolean {
    const isEnough = this.transaction(tx => {
      const record = this.read(tx, id);
      if (record === undefined) return false;
      const endedStreams = (record.endedStreams ?? 0) + 1;
      writeOutbox(tx, id, { ...record, endedStreams });
      return endedStreams >= outboxLimits.maxEndedStreams;
    });
    return isEnough === true;
  }

  gone(id: string, code: ClientErrorCode, detail?: string): NotReady {
    return this.fail(id, code, detail) ? { kind: 'gone' } : { kind: 'store-failed' };
  }

  later(id: string, error: ClientError): NotReady {
    return this.postpone(id, error) ? { kind: 'later' } : { kind: 'store-failed' };
  }

  /** The set of devices was wrong and nothing was delivered: ask for it again and encrypt again, under the same id. */
  correct(id: string): boolean {
    const tooMany = this.transaction(tx => {
      const record = this.read(tx, id);
      if (record === undefined) return false;
      if (record.corrections >= outboxLimits.maxCorrections) return true;
      const { ciphertexts: _, ...rest } = record;
      writeOutbox(tx, id, { ...rest, corrections: record.corrections + 1 });
      return false;
    });
    if (tooMany === true) return this.fail(id, 'request-refused', 'the device list could not be corrected');
    return tooMany === false;
  }

  /** False, here and below: the store could not note it. */
  postpone(id: string, error: ClientError): boolean {
    const { clock, random } = this.#context;
    const gaveUp = this.transaction(tx => {
      const record = this.read(tx, id);
      if (record === undefined) return false;
      if (record.waits >= outboxLimits.maxWaits) return true;
      const backoffMs = Math.min(outboxLimits.maxWaitMs, outboxLimits.firstWaitMs * 2 ** Math.min(record.waits, 10));
      const toldMs = (error.retryAfterSeconds ?? 0) * 1_000;
      const waitMs = Math.min(outboxLimits.maxPutOffMs, toldMs + Math.round(backoffMs * (0.5 + random() / 2)));
      const putOffAtMs = clock.nowMs();
      writeOutbox(tx, id, { ...record, waits: record.waits + 1, putOffAtMs, notBeforeMs: putOffAtMs + waitMs });
      return false;
    });
    if (gaveUp === true) return this.fail(id, error.code, error.detail);
    return gaveUp === false;
  }

  /** The recipient's identity changed after it was verified, or is not known here yet: it waits for a person, or a device. */
  hold(id: string): NotReady {
    this.announce(this.transaction(tx => this.#progress.set(tx, this.read(tx, id), 'held')) ?? []);
    return { kind: 'later' };
  }

  drop(id: string, record: OutboxRecord): NotReady {
    if (record.to !== this.#context.own && record.toDevice === undefined) return this.gone(id, 'not-reachable');
    const isDropped = this.transaction(tx => {
      tx.delete('outbox', id);
      // Nobody places it among what this device receives.
      takeTranscript(tx, id);
      return true;
    });
    return isDropped === true ? { kind: 'gone' } : { kind: 'store-failed' };
  }

  /** Its recipient is to learn nothing any more: it goes without a word. */
  forget(id: string): NotReady {
    const isGone = this.transaction(tx => {
      tx.delete('outbox', id);
      return true;
    });
    return isGone === true ? { kind: 'gone' } : { kind: 'store-failed' };
  }

  /** For good: the row goes, the message says why. */
  fail(id: string, code: ClientErrorCode, detail?: string): boolean {
    const changed = this.transaction(tx => {
      const record = this.read(tx, id);
      tx.delete('outbox', id);
      if (record !== undefined) this.#noteUnsaid(tx, record);
      if (record?.act !== undefined) return this.#progress.notApplied(tx, record.to, record.act);
      return this.#progress.set(tx, record, 'failed', detail === undefined ? { code } : { code, detail });
    });
    if (changed === undefined) return false;
    this.#hooks.failed(id);
    this.announce(changed);
    this.#hooks.ownHasNews();
    return true;
  }

  /** Its number was given and is never said. */
  #noteUnsaid(tx: Transaction, { to, toDevice, payload }: OutboxRecord): void {
    if (payload.kind !== 'content' || toDevice !== undefined || to === this.#context.own) return;
    const number = numberOf(contentBytes(payload));
    if (number > 0) writeUnsaid(tx, to, [...readUnsaid(tx, to), number].slice(-outboxLimits.maxUnsaid));
  }

  announce(changed: readonly ClientEvent[]): void {
    for (const event of changed) this.#context.emit(event);
    if (changed.length > 0) this.#hooks.ownHasNews();
  }

  transaction<T>(work: (tx: Transaction) => T): T | undefined {
    this.#damaged = [];
    const done = transaction(this.#context, work);
    const damaged = this.#damaged;
    this.#damaged = [];
    this.announce(damaged);
    return done;
  }

  /** Reads rows; those that the disk has damaged go first, and the messages that they carried have failed. */
  #sound<T>(tx: Transaction, read: () => T): T {
    const found = tx.attempt(read);
    if (found.ok) return found.value;
    const { clock, own } = this.#context;
    for (const entry of dropDamagedOutbox(tx, own, clock.nowMs())) {
      const failure = { code: 'store-failed', detail: 'corrupt-row' } as const;
      this.#damaged.push(...this.#progress.set(tx, { messageId: entry.id }, 'failed', failure));
    }
    return read();
  }
}
