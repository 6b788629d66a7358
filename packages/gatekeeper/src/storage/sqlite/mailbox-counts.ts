// What waits, counted: each mailbox's head, its senders' shares, and the sums of people and providers. One transaction
// reads a count once and writes it once. Runs in the writer. Knows nothing of stanzas.
import type { DatabaseSync } from 'node:sqlite';
import { boundReached } from '../../mailbox/bounds.ts';
import type { BoundReached, MailboxBounds } from '../../mailbox/mailbox-store.ts';
import { prepared } from './prepared.ts';

export type MailboxHead = {
  readonly device: number;
  readonly account: number;
  readonly provider: number;
  lastSeq: number;
  count: number;
  /** Of these, how many are not silent. */
  loud: number;
  bytes: number;
  epoch: number;
  readonly node: string | null;
};
/** What counts of an entry. */
export type CountedEntry = {
  readonly sender: string | undefined;
  readonly sizeBytes: number;
  readonly silent: boolean;
};
type Share = { readonly device: number; readonly sender: string; count: number; bytes: number };
type Sum = { bytes: number };

export class MailboxCounts {
  readonly #db: DatabaseSync;
  readonly #heads = new Map<number, MailboxHead | undefined>();
  readonly #shares = new Map<string, Share>();
  readonly #people = new Map<number, Sum>();
  readonly #providers = new Map<number, Sum>();
  readonly #changed = new Set<MailboxHead>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Undefined: the device is gone. */
  head(device: number): MailboxHead | undefined {
    if (this.#heads.has(device)) return this.#heads.get(device);
    const row = prepared(
      this.#db,
      `SELECT device.row AS device, device.account AS account, account.provider AS provider,
         coalesce(last_seq, 0) AS lastSeq, coalesce(count, 0) AS count, coalesce(loud, 0) AS loud,
         coalesce(bytes, 0) AS bytes, coalesce(epoch, 0) AS epoch, node
       FROM device JOIN account ON account.row = device.account
         LEFT JOIN mailbox_head ON mailbox_head.device = device.row
       WHERE device.row = ?`,
    ).get(device);
    const head = row === undefined ? undefined : { ...(row as MailboxHead) };
    this.#heads.set(device, head);
    return head;
  }

  /** The bound that another entry would pass, the narrowest first. */
  boundReached(
    head: MailboxHead,
    sender: string | undefined,
    sizeBytes: number,
    bounds: MailboxBounds,
  ): BoundReached | undefined {
    return boundReached(sizeBytes, bounds, {
      mailbox: head,
      share: sender === undefined ? undefined : this.#share(head.device, sender),
      personBytes: this.#person(head.account).bytes,
      providerBytes: this.#provider(head.provider).bytes,
    });
  }

  add(head: MailboxHead, entry: CountedEntry): void {
    this.#change(head, entry, 1);
  }

  remove(head: MailboxHead, entry: CountedEntry): void {
    this.#change(head, entry, -1);
  }

  /** All of this mailbox counts for nobody any more. Its head and shares are the caller's to remove. */
  removeAll(head: MailboxHead): void {
    this.#person(head.account).bytes -= head.bytes;
    this.#provider(head.provider).bytes -= head.bytes;
  }

  /** Call at the end: all that changed goes to its rows. */
  write(): void {
    const db = this.#db;
    const putHead = prepared(
      db,
      `INSERT INTO mailbox_head (device, last_seq, count, loud, bytes, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
       ON CONFLICT (device) DO UPDATE SET last_seq = ?2, count = ?3, loud = ?4, bytes = ?5`,
    );
    for (const { device, lastSeq, count, loud, bytes, epoch } of this.#changed) {
      putHead.run(device, lastSeq, count, loud, bytes, epoch);
    }
    const putShare = prepared(
      db,
      `INSERT INTO mailbox_share (device, sender, count, bytes) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (device, sender) DO UPDATE SET count = ?3, bytes = ?4`,
    );
    const removeShare = prepared(db, 'DELETE FROM mailbox_share WHERE device = ? AND sender = ?');
    for (const { device, sender, count, bytes } of this.#shares.values()) {
      if (count > 0) putShare.run(device, sender, count, bytes);
      else removeShare.run(device, sender);
    }
    const putPerson = prepared(
      db,
      'INSERT INTO mailbox_person (account, bytes) VALUES (?1, ?2) ON CONFLICT (account) DO UPDATE SET bytes = ?2',
    );
    for (const [account, { bytes }] of this.#people) putPerson.run(account, bytes);
    const putProvider = prepared(
      db,
      'INSERT INTO mailbox_provider (provider, bytes) VALUES (?1, ?2) ON CONFLICT (provider) DO UPDATE SET bytes = ?2',
    );
    for (const [provider, { bytes }] of this.#providers) putProvider.run(provider, bytes);
  }

  #change(head: MailboxHead, { sender, sizeBytes, silent }: CountedEntry, count: 1 | -1): void {
    const bytes = count * sizeBytes;
    head.count += count;
    if (!silent) head.loud += count;
    head.bytes += bytes;
    this.#changed.add(head);
    if (sender !== undefined) {
      const share = this.#share(head.device, sender);
      share.count += count;
      share.bytes += bytes;
    }
    this.#person(head.account).bytes += bytes;
    this.#provider(head.provider).bytes += bytes;
  }

  #share(device: number, sender: string): Share {
    const key = `${device} ${sender}`;
    let share = this.#shares.get(key);
    if (share === undefined) {
      const row = prepared(this.#db, 'SELECT count, bytes FROM mailbox_share WHERE device = ? AND sender = ?').get(
        device,
        sender,
      ) as { count: number; bytes: number } | undefined;
      share = { device, sender, count: row?.count ?? 0, bytes: row?.bytes ?? 0 };
      this.#shares.set(key, share);
    }
    return share;
  }

  #person(account: number): Sum {
    return sumOf(this.#people, account, () =>
      prepared(this.#db, 'SELECT bytes FROM mailbox_person WHERE account = ?').get(account),
    );
  }

  #provider(provider: number): Sum {
    return sumOf(this.#providers, provider, () =>
      prepared(this.#db, 'SELECT bytes FROM mailbox_provider WHERE provider = ?').get(provider),
    );
  }
}

function sumOf(known: Map<number, Sum>, key: number, read: () => unknown): Sum {
  let sum = known.get(key);
  if (sum === undefined) known.set(key, (sum = { bytes: (read() as Sum | undefined)?.bytes ?? 0 }));
  return sum;
}
