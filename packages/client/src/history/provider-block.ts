// Blocks of whole providers: kept as a decision about all of a provider's people (`everybodyOf`), so that the same words, stamps
// and doubts hold for it as for one about a person. Knows nothing of who decides.
// Source: docs/protocol/10-consent-and-reports.md section 10.2.
import { everybodyOf, type InteropId, isEverybody, providerNumberOf } from '@drawbridge/wire/jid';
import { readChat } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';
import type { ChatRecord } from './chat-state.ts';
import { allChats } from './history.ts';
import { type ChatId, chatWith, personOf } from './message-names.ts';

/** With all of their provider. */
export function isProviderBlocked(tx: Transaction, person: InteropId): boolean {
  const number = providerNumberOf(person);
  return number !== undefined && readChat(tx, chatWith(everybodyOf(number))).contact === 'blocked';
}

/** A chat as it holds with what was decided about the provider. To be looked at: what is written back is the chat's own. */
export function chatInForce(tx: Transaction, chat: ChatId): ChatRecord {
  const record = readChat(tx, chat);
  return record.contact !== 'blocked' && isProviderBlocked(tx, personOf(chat))
    ? { ...record, contact: 'blocked' }
    : record;
}

/** By number. */
export function blockedProviders(tx: Transaction): number[] {
  return allChats(tx)
    .filter(({ chat, contact }) => contact === 'blocked' && isEverybody(personOf(chat)))
    .map(({ chat }) => providerNumberOf(personOf(chat))!)
    .toSorted((a, b) => a - b);
}
