// What holds about somebody: what this person's own devices have decided, which no other word lifts, and what the gatekeeper says,
// which makes it stricter at once and laxer never.
// Pure. Knows nothing of storage, nor of how a word came.
// Source: docs/protocol/10-consent-and-reports.md section 10.1.
import type { ChatRecord, OwnDecision, Standing } from './chat-state.ts';
import { isLater, type Stamp } from './stamp.ts';

/** How much is kept from somebody; what is equal here differs in words alone. */
const strictness: Readonly<Record<Standing, number>> = { none: 0, accepted: 0, request: 1, denied: 2, blocked: 3 };

export function isStricter(one: Standing, than: Standing): boolean {
  return strictness[one] > strictness[than];
}

export function standingOf({ contact }: Pick<ChatRecord, 'contact'>): Standing {
  return contact ?? 'none';
}

/** The gatekeeper's word. `lastStampMs`: the last stamp that was given or heard here. Gives the very same record for no news. */
export function hearGatekeeper(record: ChatRecord, word: Standing, lastStampMs: number): ChatRecord {
  const holds = standingOf(record);
  if (word === (record.claim?.state ?? holds)) return record;
  const { claim, ...rest } = record;
  if (word === holds) return rest;
  if (strictness[holds] > 0 && strictness[word] < strictness[holds])
    return { ...rest, claim: { ...claim, state: word } };
  return standingAs(record, word, strictness[word] > 0 ? lastStampMs : undefined);
}

/** An own device's word; the latest holds, in whatever order they come. Gives the very same record for no news. */
export function hearOwn(record: ChatRecord, decision: OwnDecision): ChatRecord {
  if (record.decided !== undefined && !isLater(decision, record.decided)) return record;
  const { atMs, id, state } = decision;
  const next: ChatRecord = { ...record, decided: { atMs, id, state } };
  const holds = standingOf(record);
  const isOwn = record.heldAtMs === undefined && record.decided !== undefined;
  // Taking back a block lifts nothing else that the gatekeeper says.
  if (state === 'none' && holds !== 'blocked' && !isOwn) return next;
  const isOlder = record.heldAtMs !== undefined && atMs <= record.heldAtMs;
  // What the gatekeeper has made stricter since stays so.
  if (isOlder && strictness[state] <= strictness[holds]) return next;
  if (state !== 'none') return standingAs(next, state);
  const after = record.claim?.state ?? 'none';
  return standingAs(next, after, strictness[after] > 0 ? atMs : undefined);
}

/** A person accepts those whom they write to, except those whom they have blocked. */
export function hearWritten(record: ChatRecord, { atMs, id }: Stamp): ChatRecord {
  const holds = standingOf(record);
  if (holds !== 'request' && holds !== 'denied') return record;
  return hearOwn(record, { atMs, id, state: 'accepted' });
}

/** Whether a person has to be told: forgetting a request that waits is not news. */
export function isDoubtful(record: ChatRecord): boolean {
  const { claim } = record;
  if (claim === undefined || claim.isTold === true) return false;
  return record.contact !== 'request' || claim.state === 'accepted';
}

/** `heldAtMs`: by the gatekeeper's word alone. */
function standingAs(record: ChatRecord, standing: Standing, heldAtMs?: number): ChatRecord {
  const { contact: _, claim: _claim, heldAtMs: _held, owed, ...rest } = record;
  return {
    ...rest,
    // Whoever is refused learns nothing of it later either.
    ...(owed === undefined || strictness[standing] > strictness.request ? {} : { owed }),
    ...(standing === 'none' ? {} : { contact: standing }),
    ...(heldAtMs === undefined ? {} : { heldAtMs }),
  };
}
