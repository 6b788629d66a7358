// Rows of what is sent: what waits, what was taken over and has no place yet, what is kept to be sent again, and the numbers
// given to it. Reads and writes them in a transaction of the caller. Knows nothing of streams, encryption or order of sending.
import type { SessionKind } from '@drawbridge/wire/envelope';
import type { InteropId, StanzaId } from '@drawbridge/wire/jid';
import type { ReceiptKind } from '../history/message-log.ts';
import type { ChatId, MessageId } from '../history/message-names.ts';
import type { Act } from '../history/acts.ts';
import { outboxLimits } from '../outbox/limits.ts';
import { decodeJson } from './json-bytes.ts';
import { getJson, putJson } from './json-rows.ts';
import { getSound, listSound } from './sound-rows.ts';
import type { Transaction } from './store.ts';

export type OutboxCiphertext = {
  readonly deviceId: number;
  readonly registrationId: number;
  readonly kind: SessionKind;
  /** Base64. */
  readonly bytes: string;
};

/** A message on its way; the row's key is the stanza's id, the scope its recipient. */
export type OutboxRecord = {
  readonly to: string;
  /** One device alone: a retry request, or the answer to one. */
  readonly toDevice?: number;
  /** Begin a new session with that device first. */
  readonly freshSession?: boolean;
  /** Fingerprint of the identity key that it may be encrypted to, and no other: what was sent before, for one device. */
  readonly onlyIdentity?: string;
  readonly payload:
    | { readonly kind: 'content'; readonly content: string }
    | { readonly kind: 'receipt'; readonly receipt: ReceiptKind; readonly messageIds: readonly MessageId[] };
  readonly silent: boolean;
  /** The own message in the history whose state follows this row. */
  readonly messageId?: MessageId;
  /** What it changes, when it shows no message of its own. */
  readonly act?: Act;
  /** Device lists that were wrong so far. */
  readonly corrections: number;
  /** Refusals of type `wait` so far, and when to try again. */
  readonly waits: number;
  readonly notBeforeMs: number;
  /** When that was said, by the same clock. */
  readonly putOffAtMs?: number;
  /** Streams that the gatekeeper ended with an error while this was the first that it had not taken over. */
  readonly endedStreams?: number;
  /** Encrypted, and exactly this leaves the device, as often as needed; absent: not encrypted yet. */
  readonly ciphertexts?: readonly OutboxCiphertext[];
};

/** What was sent, for a recipient who could not read it; the key is the stanza's id. Bounded by `tableLimits` and by time. */
export type SentRecord = {
  readonly to: string;
  readonly content: string;
  readonly sentAtMs: number;
  /** Absent in rows of 0.1.0, which are not sent again. */
  readonly addressed?: {
    /** Fingerprint of the identity key that it was encrypted to. */
    readonly identity: string;
    readonly devices: readonly number[];
  };
  /** How often each device has asked for it: it counts as long as there is something to send. */
  readonly askedBy?: Readonly<Record<number, number>>;
};

/** Content sent longer ago than this is not sent again, and forgotten (docs/protocol/09-content.md section 9.7). */
export const sentKeptMs: number = 14 * 86_400_000;

/** The number of the last content that this device has said to somebody. */
export function readSaidNumber(tx: Transaction, to: string): number {
  return getJson<number>(tx, 'setting', `said ${to}`) ?? 0;
}

export function writeSaidNumber(tx: Transaction, to: string, number: number): void {
  putJson(tx, 'setting', `said ${to}`, number);
}

/** Numbers that were given to contents for somebody which failed, and that nobody has heard of yet. */
export function readUnsaid(tx: Transaction, to: string): readonly number[] {
  return getJson<number[]>(tx, 'setting', `unsaid ${to}`) ?? [];
}

export function writeUnsaid(tx: Transaction, to: string, numbers: readonly number[]): void {
  if (numbers.length === 0) tx.delete('setting', `unsaid ${to}`);
  else putJson(tx, 'setting', `unsaid ${to}`, numbers);
}

/** An own message, or what this person changed for somebody. */
export type Accepted = MessageId | { readonly act: Act; readonly to: InteropId };

/**
 * How long a row has to wait yet. A clock that shows less than when it was put off was set back, and nothing is put off for
 * longer than the limit: then nobody knows, and it goes.
 */
export function leftToWaitMs({ notBeforeMs, putOffAtMs = 0 }: OutboxRecord, nowMs: number): number {
  const leftMs = notBeforeMs - nowMs;
  return nowMs < putOffAtMs || leftMs > outboxLimits.maxPutOffMs ? 0 : Math.max(0, leftMs);
}

/** What a row carries that its author is told about when nobody will have it. */
export function carriedBy({ messageId, act, to }: OutboxRecord): Accepted | undefined {
  return messageId ?? (act === undefined ? undefined : { act, to });
}

/** The gatekeeper has taken over the stanza that carries this: it may say later that nobody will have it. */
export function writeAccepted(tx: Transaction, stanzaId: StanzaId, accepted: Accepted): void {
  putJson(tx, 'accepted', stanzaId, accepted);
}

export function readAccepted(tx: Transaction, stanzaId: StanzaId): Accepted | undefined {
  return getJson<Accepted>(tx, 'accepted', stanzaId);
}

/** What this device has said, and the gatekeeper has not placed yet among what this person's devices receive. */
export type TranscriptRecord = {
  readonly chat: ChatId;
  readonly number: number;
  /** It is a message. */
  readonly messageId?: MessageId;
};

/** The stanza that carries it to one's own devices: the gatekeeper tells where it placed that. */
export function writeTranscript(tx: Transaction, stanzaId: StanzaId, transcript: TranscriptRecord): void {
  putJson(tx, 'transcript', stanzaId, transcript);
}

/** Forgets it, too. Until 0.1.0 a row was the id of a message alone. */
export function takeTranscript(tx: Transaction, stanzaId: StanzaId): Partial<TranscriptRecord> | undefined {
  const transcript = getJson<TranscriptRecord | MessageId>(tx, 'transcript', stanzaId);
  tx.delete('transcript', stanzaId);
  return typeof transcript === 'string' ? { messageId: transcript } : transcript;
}

export type OutboxRow = { readonly id: string; readonly record: OutboxRecord };

export function readOutbox(tx: Transaction, id: string): OutboxRecord | undefined {
  return getJson(tx, 'outbox', id);
}

export function writeOutbox(tx: Transaction, id: string, record: OutboxRecord): void {
  putJson(tx, 'outbox', id, record, record.to);
}

/** Oldest first: the order in which they must leave. */
export function listOutbox(tx: Transaction, options: { readonly to?: string; readonly limit: number }): OutboxRow[] {
  const rows = tx.list('outbox', { limit: options.limit, ...(options.to === undefined ? {} : { scope: options.to }) });
  return rows.map(row => ({ id: row.key, record: JSON.parse(row.value.toString()) as OutboxRecord }));
}

/** Undefined: never sent, too long ago, or damaged. */
export function readSent(tx: Transaction, stanzaId: StanzaId, nowMs: number): SentRecord | undefined {
  const sent = getSound<SentRecord>(tx, 'sent', stanzaId);
  return sent === undefined || nowMs - sent.sentAtMs > sentKeptMs ? undefined : sent;
}

export function writeSent(tx: Transaction, stanzaId: StanzaId, sent: SentRecord): void {
  putJson(tx, 'sent', stanzaId, sent);
}

/** Forgets what was sent too long ago, of the oldest `limit` rows. */
export function forgetSent(tx: Transaction, nowMs: number, limit: number): void {
  for (const { key, value } of listSound(tx, 'sent', { limit })) {
    const { sentAtMs } = decodeJson(value) as SentRecord;
    if (nowMs - sentAtMs > sentKeptMs) tx.delete('sent', key);
  }
}

/** Version 2 to 3: what was kept without a time counts from now. At most as many as `tableLimits` lets stand. */
export function addSentTimes(tx: Transaction, nowMs: number): void {
  for (let after: number | undefined; ; ) {
    const rows = tx.list('sent', after === undefined ? {} : { after });
    for (const { key, value } of rows) {
      putJson(tx, 'sent', key, { sentAtMs: nowMs, ...(decodeJson(value) as Omit<SentRecord, 'sentAtMs'>) });
    }
    if (rows.length === 0) return;
    after = rows.at(-1)!.sequence;
  }
}
