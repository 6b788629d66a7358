// What a directory's word about a name is worth: whether it is believed, believed and told, or waits for a person.
// In a transaction of the caller. Knows nothing of how the directory is asked.
// Source: docs/protocol/09-content.md section 9.4.
import { readTrust } from '@drawbridge/e2ee/inherited-trust';
import type { InteropId } from '@drawbridge/wire/jid';
import type { MessageRecord } from '../history/message-log.ts';
import { addNotice } from '../notices/notice-records.ts';
import type { Transaction } from '../store/store.ts';
import { hadName, lastKnownAs, readContact, readGoneName, writeContact } from './contact-records.ts';
import { addWaiting, isRefused, readWaiting } from './moved-names.ts';
import { isSameName, type UserName } from './user-name.ts';

export type HeardName = { readonly isBelieved: boolean; readonly lines: readonly MessageRecord[] };

/** The directory says that this name leads to that person. `own`: this person, who knows their own name. */
export function hearName(
  tx: Transaction,
  own: InteropId,
  { name, interopId }: { readonly name: UserName; readonly interopId: InteropId },
  nowMs: number,
): HeardName {
  const holder = lastKnownAs(tx, name);
  const shown = readContact(tx, interopId);
  if (holder === interopId && (shown === undefined || isSameName(shown, name))) {
    writeContact(tx, interopId, name);
    return { isBelieved: true, lines: [] };
  }
  // One answer waits at a time: one that alternates is asked about once.
  if (readWaiting(tx, name) !== undefined || isRefused(tx, name, interopId)) return { isBelieved: false, lines: [] };
  const before = holder === interopId ? undefined : holder;
  const isKnown = (person: InteropId): boolean => person === own || isVerified(tx, person);
  // Nobody honest gets back a name that led to somebody else since.
  const isBack = hadName(tx, name, interopId);
  const called = shown ?? (isBack ? undefined : readGoneName(tx, interopId));
  // A person who was compared without a name was not compared under this one.
  const isFurther = called !== undefined || isVerified(tx, interopId);
  const needsAcceptance = isBack || (before !== undefined && isKnown(before)) || (isFurther && isKnown(interopId));
  if (needsAcceptance && !addWaiting(tx, { name, before, interopId })) return { isBelieved: false, lines: [] };
  if (!needsAcceptance) writeContact(tx, interopId, name);
  const { provider, identifier } = name;
  const shownBefore =
    called === undefined ? {} : { before: { provider: called.provider, identifier: called.identifier } };
  const said = { needsAcceptance, provider, identifier, interopId };
  const lines = [
    ...(before === undefined ? [] : addNotice(tx, { ...said, kind: 'contact-moved', before }, nowMs)),
    ...(isFurther ? addNotice(tx, { ...said, kind: 'contact-renamed', ...shownBefore }, nowMs) : []),
  ];
  return { isBelieved: !needsAcceptance, lines };
}

function isVerified(tx: Transaction, interopId: InteropId): boolean {
  const row = tx.get('identity', interopId);
  return row !== undefined && readTrust(interopId, row)?.verified === true;
}
