// What a report needs of a message that came: its content as it was said, what its author committed to, and the gatekeeper's stamp.
// Kept for a time, with a share for each author, and gone with the message.
// Knows nothing of how a report is sent.
// Source: docs/protocol/10-consent-and-reports.md section 10.4; docs/decisions/0064.
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import type { MessageId } from '../history/message-names.ts';
import { keepFairShares } from '../store/fair-share.ts';
import { decodeJson } from '../store/json-bytes.ts';
import { getJson, putJson } from '../store/json-rows.ts';
import { messageKey, readEntry } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';

export const evidenceLimits = {
  /** Messages that can be reported, of one author and of all; beyond that the oldest of whoever has the most go. */
  messages: { perPerson: 200, inAll: 2_000 },
  /** What was said of one message: itself, and its latest edits. */
  contents: 5,
  keptMs: 30 * 86_400_000,
  /** Rows looked at in one sweep. */
  sweepRows: 1_000,
} as const;

/** One content, as it came. */
export type Evidence = {
  readonly stanzaId: StanzaId;
  readonly acceptedAtMs: number;
  /** Base64, all of them. */
  readonly content: string;
  readonly salt: string;
  readonly commitment: string;
  readonly stamp: string;
};

type EvidenceRecord = { readonly keptAtMs: number; readonly contents: readonly Evidence[] };

/** `about`: the message that the content is, or edits. Nothing is kept of a message that is not there, or gone. */
export function keepEvidence(
  tx: Transaction,
  author: InteropId,
  about: MessageId,
  evidence: Evidence,
  nowMs: number,
): void {
  const entry = readEntry(tx, author, about);
  if (entry?.posted === undefined || entry.gone !== undefined) return;
  const key = messageKey(author, about);
  const { keptAtMs = nowMs, contents = [] } = getJson<EvidenceRecord>(tx, 'evidence', key) ?? {};
  if (contents.some(each => each.commitment === evidence.commitment)) return;
  const [first = evidence, ...edits] = contents;
  const latest = contents.length === 0 ? [] : [...edits, evidence].slice(1 - evidenceLimits.contents);
  putJson(tx, 'evidence', key, { keptAtMs, contents: [first, ...latest] } satisfies EvidenceRecord, author);
  keepFairShares(tx, 'evidence', author, evidenceLimits.messages);
}

/** In the order in which they came; none when nothing (more) is kept. */
export function readEvidence(tx: Transaction, author: InteropId, about: MessageId): readonly Evidence[] {
  return getJson<EvidenceRecord>(tx, 'evidence', messageKey(author, about))?.contents ?? [];
}

/** The message's content is gone from here. */
export function forgetEvidence(tx: Transaction, author: InteropId, about: MessageId): void {
  tx.delete('evidence', messageKey(author, about));
}

export function forgetOldEvidence(tx: Transaction, nowMs: number): void {
  for (const { key, value } of tx.list('evidence', { limit: evidenceLimits.sweepRows })) {
    const { keptAtMs } = decodeJson(value) as EvidenceRecord;
    if (nowMs - keptAtMs < evidenceLimits.keptMs) return;
    tx.delete('evidence', key);
  }
}
