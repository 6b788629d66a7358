// How often devices ask, and are asked, for what could not be read. A device's count stands by itself, a stanza's with what is kept
// of the stanza: nobody's traffic pushes out a count of somebody else. Rows in a transaction of the caller.
// Knows nothing of how requests are made or answered.
// Source: docs/protocol/09-content.md section 9.7.
import { decideRetry, isRetryRowOver, retryKey, type RetryDecision } from '@drawbridge/e2ee/retry';
import type { DeviceAddress } from '@drawbridge/e2ee/suite';
import { listUnread, senderOf, type UnreadRecord, writeUnread } from '../store/inbox-records.ts';
import { MAX_LIST, type Transaction } from '../store/store.ts';

export const retryQuotaLimits = {
  /** Devices that are counted at once. One more is refused, and pushes out none of them. */
  devices: 18_000,
  /** Stanzas that wait to be sent again: the oldest of whoever has the most give way, and are lines. */
  unread: { perPerson: 128, inAll: 900 },
  /** A session that was begun to ask in serves so long for what else its device is asked for as often. */
  sessionMs: 60_000,
} as const;

/** Counts one more attempt of this device. `attempt`: which one it is for this stanza, from 1. */
export function takeRetry(
  tx: Transaction,
  purpose: 'request' | 'resend',
  device: DeviceAddress,
  attempt: number,
  nowMs: number,
): Omit<RetryDecision, 'row'> {
  const key = retryKey(purpose, device);
  const { row, ...decision } = decideRetry(purpose, device, attempt, nowMs, tx.get('retry', key));
  if (row.isFirst) {
    // Rows stand in the order in which their windows began.
    tx.delete('retry', key);
    if (!hasRoom(tx, nowMs)) return { allowed: false, isBeyond: false, hasQuota: false };
  }
  tx.put('retry', key, row.value, device.interopId);
  return decision;
}

function hasRoom(tx: Transaction, nowMs: number): boolean {
  const isFull = (): boolean => tx.count('retry') >= retryQuotaLimits.devices;
  if (isFull()) forgetRetries(tx, nowMs);
  return !isFull();
}

/** Rows of one reading. */
const countsPage = 64;

/** Forgets counts whose window is over: they stand in the order in which their windows began. */
export function forgetRetries(tx: Transaction, nowMs: number): void {
  for (;;) {
    const rows = tx.list('retry', { limit: countsPage });
    const over = rows.filter(({ value }) => isRetryRowOver(value, nowMs));
    for (const { key } of over) tx.delete('retry', key);
    if (over.length < countsPage) return;
  }
}

/**
 * Whether a session is begun for the `asked`th request about one stanza of `from`. One serves for all that broke with the session
 * before: each costs the other device a one-time key, and pushes a session out of the few that libsignal keeps to read what is on
 * its way. A repeat begins another, since what came in the last one could not be read.
 */
export function isSessionDue(tx: Transaction, from: string, asked: number, nowMs: number): boolean {
  const isServing = (each: UnreadRecord): boolean => {
    const { sessionAtMs = Number.NEGATIVE_INFINITY } = each;
    const isRecent = sessionAtMs <= nowMs && nowMs - sessionAtMs < retryQuotaLimits.sessionMs;
    return each.from === from && isRecent && (each.asked ?? 1) >= asked;
  };
  return !listUnread(tx, retryQuotaLimits.unread.perPerson, senderOf({ from })).some(isServing);
}

/** Gives those that give way for it, oldest first: the caller has them lost. */
export function keepUnread(tx: Transaction, unread: UnreadRecord): UnreadRecord[] {
  writeUnread(tx, unread);
  const { perPerson, inAll } = retryQuotaLimits.unread;
  const person = senderOf(unread);
  const excess = tx.count('unread', person) - perPerson;
  const gone = excess > 0 ? listUnread(tx, excess, person) : [];
  if (tx.count('unread') - gone.length <= inAll) return gone;
  // A sixteenth of what the person has who has the most, so that this is not done for each stanza.
  const waiting = [...Map.groupBy(listUnread(tx, MAX_LIST), senderOf).values()];
  const most = waiting.reduce((a, b) => (b.length > a.length ? b : a));
  return [...gone, ...most.slice(0, Math.ceil(most.length / 16))];
}
