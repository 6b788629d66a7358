// History cut into pieces that fit into one content each: first chats and profiles, then messages, the newest first. A cursor
// says where the next piece begins.
// Knows nothing of who asks for pieces, nor of how they travel (`history-transfer.ts`).
// Source: docs/protocol/09-content.md section 9.10.
import type { HistoryItem } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import { addNotice } from '../notices/notice-records.ts';
import { readElapsed } from '../store/account-records.ts';
import { isJson } from '../store/json-bytes.ts';
import { listChats, listEntries } from '../store/message-records.ts';
import type { Transaction } from '../store/store.ts';
import { ElapsedTime } from './elapsed-time.ts';
import { chatItems, messageItems, profileItems } from './history-items.ts';
import { personOf } from './message-names.ts';

export const pieceLimits = {
  /** Contents in one piece; the rest of its 61,440 bytes is for what stands around them. */
  pieceBytes: 49_152,
  itemBytes: 57_344,
  /** What surrounds a content in a piece: two InteropIds, a time, lengths. */
  itemOverheadBytes: 96,
  pieceItems: 400,
  /** Rows looked at for one piece. */
  rowsPerPiece: 200,
} as const;

export type Cursor =
  | { readonly phase: 'chats'; readonly after: number }
  | { readonly phase: 'messages'; readonly before?: number };

/** Where a piece begins, and how many messages were given before it. */
export type Start = { readonly cursor: Cursor; readonly done: number };

/** No cursor: that was all. */
export type Collected = { readonly items: HistoryItem[]; readonly cursor: Cursor | undefined; readonly done: number };

/** What fits into one piece, and where the next begins. */
export function collectPiece(
  tx: Transaction,
  { own, clock }: { readonly own: InteropId; readonly clock: Clock },
  start: Start,
  isFirst: boolean,
): Collected {
  const elapsed = new ElapsedTime(clock, readElapsed(tx));
  const bag = new ItemBag();
  let { cursor, done } = start;
  if (cursor.phase === 'chats') {
    if (isFirst) bag.add(profileItems(tx, own));
    const { after } = cursor;
    const rows = sound(tx, 'chat', clock, () => listChats(tx, { after, limit: pieceLimits.rowsPerPiece }));
    for (const { sequence, chat } of rows) {
      const items = tx.attempt(() => [...chatItems(chat, own), ...profileItems(tx, personOf(chat.chat))]);
      if (!bag.add(items.ok ? items.value : [])) break;
      cursor = { phase: 'chats', after: sequence };
    }
    return { items: bag.items, cursor: rows.length === 0 ? { phase: 'messages' } : cursor, done };
  }
  const before = cursor.before === undefined ? {} : { before: cursor.before };
  const rows = sound(tx, 'message', clock, () =>
    listEntries(tx, { newest: true, limit: pieceLimits.rowsPerPiece, ...before }),
  );
  if (rows.length === 0) return { items: bag.items, cursor: undefined, done };
  for (const { sequence, entry } of rows) {
    const items = tx.attempt(() => messageItems(tx, entry, own, elapsed));
    if (!bag.add(items.ok ? items.value : [])) break;
    cursor = { phase: 'messages', before: sequence };
    done++;
  }
  return { items: bag.items, cursor, done };
}

/** Items that fit into one piece. */
class ItemBag {
  readonly items: HistoryItem[] = [];
  #bytes = 0;

  /**
   * False, and nothing is added, when they don't fit beside what is there. What does not fit even into an empty piece is
   * left out from its end.
   */
  add(items: readonly HistoryItem[]): boolean {
    const sizes = items.map(item => item.content.length + pieceLimits.itemOverheadBytes);
    const size = sizes.reduce((sum, each) => sum + each, 0);
    const { pieceBytes, pieceItems, itemBytes } = pieceLimits;
    const fits = this.#bytes + size <= pieceBytes && this.items.length + items.length <= pieceItems;
    if (!fits && this.items.length > 0) return false;
    for (const [at, item] of items.entries()) {
      if (this.#bytes + sizes[at]! > Math.max(pieceBytes, itemBytes) || this.items.length >= pieceItems) break;
      this.items.push(item);
      this.#bytes += sizes[at]!;
    }
    return true;
  }
}

/** Rows that the disk has damaged are nobody's any more: they go, and what is behind them is given. */
function sound<T>(tx: Transaction, table: 'chat' | 'message', clock: Clock, list: () => T): T {
  const found = tx.attempt(list);
  if (found.ok) return found.value;
  if (tx.dropDamaged(table, isJson) > 0) addNotice(tx, { kind: 'unreadable' }, clock.nowMs());
  return list();
}
