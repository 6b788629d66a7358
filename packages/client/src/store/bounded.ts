// What the store remembers for a while only: stanzas that came, and content that went out, for retries.
// Knows nothing of streams; what it forgets first is in `tableLimits` (encrypted-store.ts).
// Source: docs/protocol/09-content.md section 9.7; delivery is at least once, so stanza ids deduplicate.
import type { Transaction } from './store.ts';

/** Content sent longer ago than this is not sent again. */
export const SENT_KEPT_MS: number = 14 * 86_400_000;

/** Whether this stanza comes for the first time; from now on it has come. `sender` is the full JID. */
export function rememberReceived(tx: Transaction, sender: string, stanzaId: string): boolean {
  const key = `${sender} ${stanzaId}`;
  if (tx.get('received', key) !== undefined) return false;
  tx.put('received', key, new Uint8Array());
  return true;
}

/** Keeps serialised content by recipient and stanza id. Without padding: the suite pads again. */
export function rememberSent(tx: Transaction, to: string, stanzaId: string, content: Uint8Array, nowMs: number): void {
  const value = Buffer.alloc(8 + content.length);
  value.writeDoubleBE(nowMs, 0);
  value.set(content, 8);
  tx.put('sent', `${to} ${stanzaId}`, value, to);
}

export type SentContent = { readonly stanzaId: string; readonly content: Buffer; readonly sentAtMs: number };

/** The content of a stanza that was sent to that person, or undefined: never sent, forgotten, or too old. */
export function recallSent(tx: Transaction, to: string, stanzaId: string, nowMs: number): SentContent | undefined {
  const value = tx.get('sent', `${to} ${stanzaId}`);
  return value === undefined ? undefined : readSent(stanzaId, value, nowMs);
}

/** The stanza to that person whose id satisfies `matches`, newest first: a plaintext retry knows only a tag of the id. */
export function findSent(
  tx: Transaction,
  to: string,
  matches: (stanzaId: string) => boolean,
  nowMs: number,
): SentContent | undefined {
  for (const { key, value } of tx.list('sent', { scope: to, newest: true })) {
    const stanzaId = key.slice(to.length + 1);
    if (matches(stanzaId)) return readSent(stanzaId, value, nowMs);
  }
  return undefined;
}

function readSent(stanzaId: string, value: Buffer, nowMs: number): SentContent | undefined {
  const sentAtMs = value.readDoubleBE(0);
  return nowMs - sentAtMs > SENT_KEPT_MS ? undefined : { stanzaId, content: value.subarray(8), sentAtMs };
}
