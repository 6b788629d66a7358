// Version 5 to 6: of the settings of a chat's timer the last one of each person is kept, in place of all that nobody had
// replaced by name. Pure but for the rows. Knows nothing of how the store is opened.
import type { InteropId } from '@drawbridge/wire/jid';
import { applyTimer, type ChatRecord, type Timer } from '../history/chat-state.ts';
import { readAccount } from './account-records.ts';
import { listChats, writeChat } from './message-records.ts';
import { MAX_LIST, type Transaction } from './store.ts';

/** `by` is absent where it was set by this person, or before that was noted. */
type OpenTimer = Omit<Timer, 'by'> & { readonly by?: InteropId };

type ChatOfVersion5 = Omit<ChatRecord, 'timer' | 'otherTimer'> & {
  readonly timer?: OpenTimer;
  readonly otherTimers?: { readonly open: readonly OpenTimer[]; readonly replaced: readonly string[] };
};

export function toTwoTimers(tx: Transaction): void {
  const own = readAccount(tx)?.interopId;
  if (own === undefined) return;
  for (let after: number | undefined; ; ) {
    const rows = listChats(tx, { limit: MAX_LIST, ...(after === undefined ? {} : { after }) });
    if (rows.length === 0) return;
    for (const { chat } of rows) writeChat(tx, withTwoTimers(chat, own));
    after = rows.at(-1)!.sequence;
  }
}

function withTwoTimers({ timer, otherTimers, ...rest }: ChatOfVersion5, own: InteropId): ChatRecord {
  const open = [...(timer === undefined ? [] : [timer]), ...(otherTimers?.open ?? [])];
  return open.reduce((record: ChatRecord, each) => applyTimer(record, { ...each, by: each.by ?? own }), rest);
}
