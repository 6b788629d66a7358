// Notes in the store what holds about somebody, and says so.
// Knows nothing of where a word comes from (`standing.ts` knows which holds).
import { type InteropId, isEverybody, providerNumberOf } from '@drawbridge/wire/jid';
import type { ClientEvent } from '../events.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';
import type { ChatRecord, Standing } from './chat-state.ts';
import { historyLimits } from './history.ts';
import { type ChatId, personOf } from './message-names.ts';
import { standingOf } from './standing.ts';

/** Nothing about somebody new once there are so many: an own device that has gone mad fills no disk. */
export function changeStanding(
  tx: Transaction,
  chat: ChatId,
  change: (record: ChatRecord) => ChatRecord,
): ClientEvent[] {
  const before = readChat(tx, chat);
  const after = change(before);
  if (after === before) return [];
  const isNew = tx.get('chat', chat) === undefined;
  if (isNew && tx.count('chat') >= historyLimits.maxChats + historyLimits.maxDecided) return [];
  writeChat(tx, after);
  const state = standingOf(after);
  return state === standingOf(before) ? [] : [standingEvent(personOf(chat), state)];
}

/** `claimed`: what the gatekeeper says in place of it. */
export function standingEvent(interopId: InteropId, state: Standing, claimed?: Standing): ClientEvent {
  if (!isEverybody(interopId))
    return { kind: 'contact', interopId, state, ...(claimed === undefined ? {} : { claimed }) };
  const isDoubted = claimed !== undefined && claimed !== 'blocked';
  const provider = providerNumberOf(interopId)!;
  return { kind: 'provider-block', provider, isBlocked: state === 'blocked', ...(isDoubted ? { isDoubted } : {}) };
}
