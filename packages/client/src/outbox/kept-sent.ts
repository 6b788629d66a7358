// What is kept of sent content, for a device that could not read it: bounded by number and by bytes, for each person and in all.
// A person to whom much is sent pushes out what is kept for others only while they have the larger share.
// Knows nothing of who asks for it.
// Source: docs/protocol/09-content.md section 9.7.
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import { putJson } from '../store/json-rows.ts';
import { getSound } from '../store/sound-rows.ts';
import { type SentRecord, writeSent } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';

export const keptSentLimits = {
  perPerson: { rows: 200, bytes: 4_194_304 },
  inAll: { rows: 1_000, bytes: 33_554_432 },
} as const;

type Share = { readonly rows: number; readonly bytes: number };
/** Oldest first: the stanza, and the bytes of its content as it is kept. */
type Kept = readonly (readonly [StanzaId, number])[];
type Shares = Readonly<Record<InteropId, Share>>;

/** In the transaction of what is sent. What was wiped or forgotten by its age counts until newer rows push it out. */
export function keepSent(tx: Transaction, stanzaId: StanzaId, sent: SentRecord): void {
  const { perPerson, inAll } = keptSentLimits;
  const before = readKept(tx, sent.to).filter(([id]) => id !== stanzaId);
  writeSent(tx, stanzaId, sent);
  const mine = evict(tx, [...before, [stanzaId, sent.content.length] as const], perPerson);
  let shares: Shares = { ...readShares(tx), [sent.to]: writeKept(tx, sent.to, mine) };
  for (let all = sum(shares); exceeds(all, inAll); all = sum(shares)) {
    const [person, share] = Object.entries(shares).reduce((a, b) => (weight(b[1]) > weight(a[1]) ? b : a));
    // A sixteenth of it at once, so that this is not done for each message.
    const rows = Math.floor((share.rows * 15) / 16);
    const left = evict(tx, readKept(tx, person), { rows, bytes: perPerson.bytes });
    const { [person]: _, ...others } = shares;
    const now = writeKept(tx, person, left);
    shares = now.rows === 0 ? others : { ...others, [person]: now };
  }
  putJson(tx, 'setting', 'kept', shares);
}

/** The oldest go until the rest is within the bound. */
function evict(tx: Transaction, kept: Kept, bound: Share): Kept {
  let left = kept;
  let bytes = left.reduce((total, [, size]) => total + size, 0);
  while (left.length > bound.rows || bytes > bound.bytes) {
    const [id, size] = left[0]!;
    tx.delete('sent', id);
    bytes -= size;
    left = left.slice(1);
  }
  return left;
}

function readKept(tx: Transaction, person: InteropId): Kept {
  return getSound<Kept>(tx, 'setting', `kept ${person}`) ?? [];
}

function writeKept(tx: Transaction, person: InteropId, kept: Kept): Share {
  if (kept.length === 0) tx.delete('setting', `kept ${person}`);
  else putJson(tx, 'setting', `kept ${person}`, kept);
  return { rows: kept.length, bytes: kept.reduce((total, [, size]) => total + size, 0) };
}

function readShares(tx: Transaction): Shares {
  return getSound<Shares>(tx, 'setting', 'kept') ?? {};
}

function sum(shares: Shares): Share {
  let rows = 0;
  let bytes = 0;
  for (const share of Object.values(shares)) {
    rows += share.rows;
    bytes += share.bytes;
  }
  return { rows, bytes };
}

function exceeds(share: Share, bound: Share): boolean {
  return share.rows > bound.rows || share.bytes > bound.bytes;
}

/** How much of all of it one person has. */
function weight({ rows, bytes }: Share): number {
  return Math.max(rows / keptSentLimits.inAll.rows, bytes / keptSentLimits.inAll.bytes);
}
