// The port for reports that people sent to the operator, with the messages that they opened. Knows no store and no rules.
import type { NewEvent } from '../events/event-outbox.ts';
import type { InteropId } from '@drawbridge/wire/jid';

export const reportCategories = ['spam', 'fraud', 'abuse', 'illegal', 'other'] as const;
export type ReportCategory = (typeof reportCategories)[number];

/** One content, opened: what was said, and what proves that it was said. */
export type ReportedMessage = {
  readonly stanzaId: string;
  readonly acceptedAtMs: number;
  /** As it was encrypted, without padding. */
  readonly content: Uint8Array;
  readonly salt: Uint8Array;
  readonly commitment: Uint8Array;
  readonly stamp: Uint8Array;
};

export type NewReport = {
  readonly id: string;
  /** The same for the same messages of the same reporter. */
  readonly digest: Uint8Array;
  /** The reporter's account; the report goes with it. */
  readonly account: number;
  readonly reporter: InteropId;
  readonly reported: InteropId;
  readonly category: ReportCategory;
  readonly comment: string | undefined;
  readonly messages: readonly ReportedMessage[];
  readonly atMs: number;
};

export type ReportDecision = 'upheld' | 'dismissed';
export type ReportSummary = Pick<NewReport, 'id' | 'reporter' | 'reported' | 'category' | 'atMs'> & {
  /** Messages in it. */
  readonly count: number;
  readonly decided: { readonly decision: ReportDecision; readonly actor: string; readonly atMs: number } | undefined;
};
export type Report = ReportSummary & Pick<NewReport, 'comment' | 'messages'>;

export type ReportBounds = {
  /** Reports that are kept, of one reporter and of all, and their bytes in all. */
  readonly perReporter: number;
  readonly inAll: number;
  readonly bytesInAll: number;
};

export interface ReportStore {
  /** Keeps a report, durable when it resolves. `known`: the same is kept already, under that id. Idempotent. */
  add(
    report: NewReport,
    bounds: ReportBounds,
  ): Promise<{ readonly kind: 'added' | 'known'; readonly id: string } | 'full'>;
  /** Newest first, those before `beforeMs`; of one person reported, or without a decision, alone where that is asked for. */
  list(which: {
    readonly reported?: string | undefined;
    readonly open?: boolean | undefined;
    readonly beforeMs?: number | undefined;
    readonly limit: number;
  }): Promise<readonly ReportSummary[]>;
  find(id: string): Promise<Report | undefined>;
  /** With the audit entry, in one transaction. A decision stands: `decided` changes nothing. */
  decide(decision: {
    readonly id: string;
    readonly decision: ReportDecision;
    readonly actor: string;
    readonly reason?: string | undefined;
    readonly nowMs: number;
    /** Tells the provider of whoever was reported. */
    readonly event?: NewEvent | undefined;
  }): Promise<'changed' | 'decided' | 'unknown'>;
  /** Removes at most `limit` that came before; gives how many. Idempotent. */
  sweep(beforeMs: number, limit: number): Promise<number>;
}

type Kept = {
  readonly [Member in keyof ReportedMessage]: ReportedMessage[Member] extends Uint8Array
    ? string
    : ReportedMessage[Member];
};

/** The kept form of a report's messages. */
export function encodeReported(messages: readonly ReportedMessage[]): Uint8Array {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const kept = messages.map(
    ({ stanzaId, acceptedAtMs, content, salt, commitment, stamp }): Kept => ({
      stanzaId,
      acceptedAtMs,
      content: text(content),
      salt: text(salt),
      commitment: text(commitment),
      stamp: text(stamp),
    }),
  );
  return Buffer.from(JSON.stringify(kept));
}

export function decodeReported(bytes: Uint8Array): ReportedMessage[] {
  const raw = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
  return (JSON.parse(Buffer.from(bytes).toString()) as readonly Kept[]).map(
    ({ stanzaId, acceptedAtMs, content, salt, commitment, stamp }) => ({
      stanzaId,
      acceptedAtMs,
      content: raw(content),
      salt: raw(salt),
      commitment: raw(commitment),
      stamp: raw(stamp),
    }),
  );
}
