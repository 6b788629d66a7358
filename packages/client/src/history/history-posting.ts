// Pieces of the history and questions for them, on their way from one device of a person to another.
// Knows nothing of what is in them, nor of who is how far.
import { randomBytes } from 'node:crypto';
import { type ContentBody, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { Transaction } from '../store/store.ts';
import type { MessageRecord } from './message-log.ts';

export type Piece = ContentBody<'history-piece'>;
export type HistoryQuestion = ContentBody<'history-request'>;

export type TransferContext = {
  readonly own: InteropId;
  readonly clock: Clock;
  readonly outbox: Pick<Outbox, 'add' | 'hasRoom'>;
  /** Messages that came with history may be running out. */
  readonly noted: (message: MessageRecord) => void;
};

export type TransferOutcome = { readonly events: readonly ClientEvent[]; readonly wake: boolean };

export const nothing: TransferOutcome = { events: [], wake: false };

/** Puts it into the outbox, for one device or, when none is known yet, for all. */
export function post(
  tx: Transaction,
  { outbox, own, clock }: TransferContext,
  deviceId: number | undefined,
  body: Piece | HistoryQuestion,
): void {
  const content = encodeContent({
    messageId: randomBytes(MESSAGE_ID_BYTES),
    sentAtMs: clock.nowMs(),
    body,
  });
  if (!content.ok) throw new ClientError('content-refused', { detail: content.error.code });
  const payload = { kind: 'content', content: Buffer.from(content.value).toString('base64') } as const;
  const device = deviceId === undefined ? {} : { toDevice: deviceId };
  outbox.add(tx, { to: own, ...device, payload, silent: true });
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
