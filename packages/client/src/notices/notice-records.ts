// Changes that nobody may miss, in the store until the application has taken them. They are written in the transaction of the
// change itself, so that a crash loses neither.
// Knows nothing of how a change came about, nor of who is told.
import type { IdentityEvent } from '@drawbridge/e2ee/suite';
import { randomBytes } from 'node:crypto';
import { MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { InteropId } from '@drawbridge/wire/jid';
import { record } from '../history/history.ts';
import { chatWith, type MessageId, messageIdOf } from '../history/message-names.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { decodeJson, encodeJson, stringifyBytes } from '../store/json-bytes.ts';
import { readAccount } from '../store/account-records.ts';
import { forgetCounted } from '../store/inbox-records.ts';
import { getSound, listSound } from '../store/sound-rows.ts';
import type { Transaction } from '../store/store.ts';
import { chatOf, type NoticeChange } from './notice-change.ts';

export type Notice = {
  /** Names it for `acknowledge`. */
  readonly sequence: number;
  /** By this device's clock. */
  readonly atMs: number;
  /** How often this was changed since it was acknowledged last; `change` is the latest. */
  readonly times: number;
  readonly change: NoticeChange;
  /** The message that says it in the chat with oneself, where one does. */
  readonly line?: MessageId;
};

type NoticeRecord = Omit<Notice, 'sequence'>;

/** One row for each person, device or name, whatever they do: a flood by one hides nothing of others. */
function keyOf(change: NoticeChange): string {
  switch (change.kind) {
    case 'identity-changed':
      return `identity ${change.interopId}`;
    case 'two-identities':
      return `identities ${change.interopId}`;
    case 'asked-again':
      return `asked ${change.interopId}`;
    case 'never-sent':
      return `never-sent ${change.interopId}`;
    case 'not-applied':
      return `not-applied ${change.interopId} ${change.what}`;
    case 'store-restored':
      return 'store';
    case 'gatekeeper-not-certified':
      return 'gatekeeper';
    case 'unreadable':
    case 'unsent-damaged':
      return change.kind;
    case 'people-missing':
    case 'people-forgone':
      return 'people';
    case 'own-device-appeared':
      return `device ${change.deviceId}`;
    case 'devices-changed':
    case 'manifest-warning':
    case 'identity-renewed':
    case 'earlier-identity':
      return `${change.kind} ${change.interopId}`;
    case 'contact-unconfirmed':
      return `decision ${change.interopId}`;
    case 'provider-differs':
      return `provider ${change.interopId}`;
    case 'unlisted-device':
    case 'left-out-device':
      return `${change.kind} ${change.interopId}/${change.deviceId}`;
    case 'contact-renamed':
      return `renamed ${change.interopId} ${change.provider}\n${change.identifier}`;
    case 'contact-moved':
      return `name ${change.provider}\n${change.identifier}`;
  }
}

/**
 * Also as a line, which is given back: of the chat that it concerns, or of the one with oneself. There the same line does not
 * come again before the notice is acknowledged.
 */
export function addNotice(tx: Transaction, change: NoticeChange, atMs: number): MessageRecord[] {
  const key = keyOf(change);
  const before = getSound<NoticeRecord>(tx, 'notice', key);
  const joinedRecord: NoticeRecord = {
    ...(before?.line === undefined ? {} : { line: before.line }),
    atMs,
    times: (before?.times ?? 0) + 1,
    change: joined(before?.change, change),
  };
  // A new row, so that an acknowledgement of the earlier change does not take this one along.
  tx.delete('notice', key);
  tx.put('notice', key, encodeJson(joinedRecord));
  const person = chatOf(change);
  const isSaid = before !== undefined && textOf(before.change) === textOf(joinedRecord.change);
  // Whatever a gatekeeper says in turn, one line of it waits for a person.
  const isQuiet =
    change.kind === 'contact-unconfirmed' ? before !== undefined : isSaid && change.kind === 'not-applied';
  if (person !== undefined) return isQuiet ? [] : lineOf(tx, person, change, atMs);
  const own = readAccount(tx)?.interopId;
  if (own === undefined || isSaid) return [];
  // A history that can't be written now must not cost the notice.
  const line = tx.attempt(() => lineOf(tx, own, change, atMs));
  const [said] = line.ok ? line.value : [];
  if (said === undefined) return [];
  tx.put('notice', key, encodeJson({ ...joinedRecord, line: said.id }));
  return [said];
}

/** Once less of what was said again and again. When that was all of it, the notice goes, and its line is given back to go too. */
export function takeNotice(tx: Transaction, change: NoticeChange): MessageId | undefined {
  const key = keyOf(change);
  const before = getSound<NoticeRecord>(tx, 'notice', key);
  if (before === undefined) return undefined;
  if (before.times > 1) tx.put('notice', key, encodeJson({ ...before, times: before.times - 1 }));
  else tx.delete('notice', key);
  return before.times > 1 ? undefined : before.line;
}

/** It is so no longer, and nobody has to know that it was. */
export function forgetNotice(tx: Transaction, change: NoticeChange): void {
  tx.delete('notice', keyOf(change));
}

/** Whether exactly this waits to be acknowledged. */
export function isNoticed(tx: Transaction, change: NoticeChange): boolean {
  const before = getSound<NoticeRecord>(tx, 'notice', keyOf(change));
  return before !== undefined && textOf(before.change) === textOf(change);
}

function textOf(change: NoticeChange): string {
  return stringifyBytes(change, base64 => base64);
}

/** Under a name that nobody else knows: it is this device's own word, and no peer can say anything about it. */
function lineOf(tx: Transaction, person: InteropId, change: NoticeChange, atMs: number): MessageRecord[] {
  const target = { author: person, id: messageIdOf(randomBytes(MESSAGE_ID_BYTES)), chat: chatWith(person) };
  const posted = { body: { kind: 'notice', change }, sentAtMs: atMs, receivedAtMs: atMs } as const;
  const line = record(tx, '', target, { kind: 'posted', posted });
  return line === undefined ? [] : [line.after];
}

/** The key that was there before all unacknowledged changes is what a person knows. */
function joined(before: NoticeChange | undefined, change: NoticeChange): NoticeChange {
  if (before?.kind === 'devices-changed' && change.kind === 'devices-changed') {
    const both = (a: readonly number[], b: readonly number[]): number[] => [...new Set([...a, ...b])];
    return { ...change, added: both(before.added, change.added), removed: both(before.removed, change.removed) };
  }
  if (before?.kind !== 'identity-changed' || change.kind !== 'identity-changed') return change;
  return { ...change, oldFingerprint: before.oldFingerprint };
}

export function addIdentityNotices(tx: Transaction, events: readonly IdentityEvent[], atMs: number): MessageRecord[] {
  return events.flatMap(event => (event.kind === 'identity-changed' ? addNotice(tx, event, atMs) : []));
}

/** Oldest first, at most 1,000 at once. */
export function listNotices(tx: Transaction): Notice[] {
  return listSound(tx, 'notice').map(({ sequence, value }) => ({ sequence, ...(decodeJson(value) as NoticeRecord) }));
}

/** Does nothing when something has changed since, or it was acknowledged before. */
export function acknowledgeNotice(tx: Transaction, { sequence, change }: Notice): void {
  const key = keyOf(change);
  const row = listSound(tx, 'notice', { after: sequence - 1, limit: 1 })[0];
  if (row?.sequence !== sequence || row.key !== key) return;
  tx.delete('notice', key);
  // What is damaged there must not keep a notice.
  if (change.kind === 'unreadable') tx.attempt(() => forgetCounted(tx));
}
