// Changes that nobody may miss, in the store until the application has taken them. They are written in the transaction of the
// change itself, so that a crash loses neither.
// Knows nothing of how a change came about, nor of who is told.
import type { IdentityEvent } from '@drawbridge/e2ee/suite';
import { decodeJson, encodeJson } from '../store/records.ts';
import type { Transaction } from '../store/store.ts';

export type NoticeChange =
  /** Somebody's identity key is another one. With `needsAcceptance`, nothing is sent or read until `identities.accept`. */
  | Extract<IdentityEvent, { readonly kind: 'identity-changed' }>
  /** The gatekeeper lists devices of somebody that have different identity keys. Nothing was sent to them. */
  | { readonly kind: 'two-identities'; readonly interopId: string }
  /** A device of this person that was never heard of here has spoken. */
  | { readonly kind: 'own-device-appeared'; readonly deviceId: number }
  /** A name that was known leads to somebody else now. */
  | {
      readonly kind: 'contact-moved';
      readonly provider: string;
      readonly identifier: string;
      readonly before: string;
      readonly interopId: string;
    };

export type Notice = {
  /** Names it for `acknowledge`. */
  readonly sequence: number;
  /** By this device's clock. */
  readonly atMs: number;
  /** How often this was changed since it was acknowledged last; `change` is the latest. */
  readonly times: number;
  readonly change: NoticeChange;
};

type NoticeRecord = Omit<Notice, 'sequence'>;

/** One row for each person, device or name, whatever they do: a flood by one hides nothing of others. */
function keyOf(change: NoticeChange): string {
  switch (change.kind) {
    case 'identity-changed':
      return `identity ${change.interopId}`;
    case 'two-identities':
      return `identities ${change.interopId}`;
    case 'own-device-appeared':
      return `device ${change.deviceId}`;
    case 'contact-moved':
      return `name ${change.provider}\n${change.identifier}`;
  }
}

export function addNotice(tx: Transaction, change: NoticeChange, atMs: number): void {
  const key = keyOf(change);
  const row = tx.get('notice', key);
  const before = row === undefined ? undefined : (decodeJson(row) as NoticeRecord);
  const record: NoticeRecord = { atMs, times: (before?.times ?? 0) + 1, change: joined(before?.change, change) };
  // A new row, so that an acknowledgement of the earlier change does not take this one along.
  tx.delete('notice', key);
  tx.put('notice', key, encodeJson(record));
}

/** The key that was there before all unacknowledged changes is what a person knows. */
function joined(before: NoticeChange | undefined, change: NoticeChange): NoticeChange {
  if (before?.kind !== 'identity-changed' || change.kind !== 'identity-changed') return change;
  return { ...change, oldFingerprint: before.oldFingerprint };
}

export function addIdentityNotices(tx: Transaction, events: readonly IdentityEvent[], atMs: number): void {
  for (const event of events) if (event.kind === 'identity-changed') addNotice(tx, event, atMs);
}

/** Oldest first, at most 1,000 at once. */
export function listNotices(tx: Transaction): Notice[] {
  return tx.list('notice').map(({ sequence, value }) => ({ sequence, ...(decodeJson(value) as NoticeRecord) }));
}

/** Does nothing when something has changed since, or it was acknowledged before. */
export function acknowledgeNotice(tx: Transaction, { sequence, change }: Notice): void {
  const key = keyOf(change);
  const row = tx.list('notice', { after: sequence - 1, limit: 1 })[0];
  if (row?.sequence === sequence && row.key === key) tx.delete('notice', key);
}
