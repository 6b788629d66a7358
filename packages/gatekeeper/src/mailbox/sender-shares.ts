// What waits in one mailbox on disk, by sender: nobody may fill another's mailbox alone. Bounded by the mailbox's own
// entries. Knows nothing of storage or of who the senders are.
// Source: threat 12 of docs/threat-model.md.

type Share = { count: number; bytes: number };

export class SenderShares {
  readonly #bySender = new Map<string, Share>();

  add(sender: string, bytes: number): void {
    const share = this.#bySender.get(sender);
    if (share === undefined) this.#bySender.set(sender, { count: 1, bytes });
    else {
      share.count++;
      share.bytes += bytes;
    }
  }

  /** Also for what was there before counting began, which is passed over when its sender has nothing else. */
  remove(sender: string, bytes: number): void {
    const share = this.#bySender.get(sender);
    if (share === undefined) return;
    share.count--;
    share.bytes = Math.max(0, share.bytes - bytes);
    if (share.count <= 0) this.#bySender.delete(sender);
  }

  /** What was counted by an estimate is known now. */
  resize(sender: string, byBytes: number): void {
    const share = this.#bySender.get(sender);
    if (share !== undefined) share.bytes = Math.max(0, share.bytes + byBytes);
  }

  /** Whether this sender may have that many more bytes waiting. */
  hasRoom(sender: string, bytes: number, max: { readonly count: number; readonly bytes: number }): boolean {
    const share = this.#bySender.get(sender);
    return share === undefined || (share.count < max.count && share.bytes + bytes <= max.bytes);
  }
}
