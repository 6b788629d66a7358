// What somebody said and what does not count here, kept with the chat until they are told.
// Knows nothing of why it does not count (`overruled.ts`).
// Source: docs/protocol/09-content.md section 9.9.
import type { Overruled } from '@drawbridge/e2ee/content-kinds';
import { readChat, writeChat } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';
import { isHeldBack } from './chat-state.ts';
import type { ChatId } from './message-names.ts';

export const overruledLimits = {
  /** Told of one chat at once: the latest, and as many as are heard in an hour (`idleLimits`). */
  maxPerChat: 60,
} as const;

/** Kept until something is said to that person anyway: whoever only listens is not seen to be there. */
export function keepOverruled(tx: Transaction, chat: ChatId, overruled: readonly Overruled[]): void {
  const record = readChat(tx, chat);
  if (overruled.length === 0 || isHeldBack(record)) return;
  const all = [...(record.overruled ?? []), ...overruled].slice(-overruledLimits.maxPerChat);
  writeChat(tx, { ...record, overruled: all });
}

/** What is to be told now, as something is said. */
export function takeOverruled(tx: Transaction, chat: ChatId): readonly Overruled[] {
  const { overruled, ...rest } = readChat(tx, chat);
  if (overruled === undefined) return [];
  writeChat(tx, rest);
  return overruled;
}
