// What is added to the outbox, in the caller's transaction: within its bound, and bound to the chat that it is for.
// Knows nothing of lanes, streams or encryption.
// Source: docs/protocol/09-content.md section 9.11.
import { placeOf } from '@drawbridge/e2ee/binding';
import type { DeviceAddress } from '@drawbridge/e2ee/suite';
import type { Clock } from '../clock.ts';
import { ClientError } from '../errors.ts';
import { type OutboxRecord, readUnsaid, writeOutbox, writeUnsaid } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';
import { bound, boundUncounted, type BindingContext } from './binding.ts';
import { outboxLimits } from './limits.ts';
import { contentBytes, contentPayload, newStanzaId } from './rows.ts';
import { nothing } from './unsaid.ts';

/** What a caller says of a row. */
export type NewRow = Pick<
  OutboxRecord,
  'to' | 'payload' | 'silent' | 'messageId' | 'act' | 'toDevice' | 'freshSession' | 'onlyIdentity'
>;

export type AdditionsContext = {
  readonly suite: { readonly local: DeviceAddress };
  readonly domain: string;
  readonly clock: Clock;
};

export class Additions {
  readonly #binding: BindingContext;
  readonly #clock: Clock;

  constructor({ suite, domain, clock }: AdditionsContext) {
    this.#binding = { author: suite.local, domain };
    this.#clock = clock;
  }

  /** Adds a row within the caller's transaction; gives its id. Throws `outbox-full`. Call `wake` after the commit. */
  add(tx: Transaction, record: NewRow, id?: string): string {
    if (!this.hasRoom(tx)) throw new ClientError('outbox-full');
    const rowId = id ?? newStanzaId();
    const { payload: given, to } = record;
    const payload = given.kind === 'content' ? contentPayload(this.boundUncounted(to, contentBytes(given))) : given;
    writeOutbox(tx, rowId, { ...record, payload, corrections: 0, waits: 0, notBeforeMs: 0 });
    return rowId;
  }

  /** What was numbered for somebody and failed: it is told with the next thing that is said. */
  unsaid(tx: Transaction, to: string): Uint8Array[] {
    const numbers = readUnsaid(tx, to);
    if (numbers.length === 0) return [];
    writeUnsaid(tx, to, []);
    const place = placeOf({ ...this.#binding, recipient: to });
    return numbers.map(number => nothing(this.#clock.nowMs(), { place, number }));
  }

  /** A content as it will be sent: bound to its recipient and counted there, unless it was before. */
  bound(tx: Transaction, to: string, content: Uint8Array): Uint8Array {
    return bound(tx, this.#binding, to, content);
  }

  /** The same, and not counted: for what goes to one device, or nobody misses. */
  boundUncounted(to: string, content: Uint8Array): Uint8Array {
    return boundUncounted(this.#binding, to, content);
  }

  hasRoom(tx: Transaction): boolean {
    return tx.count('outbox') < outboxLimits.maxRows;
  }
}
