// What is done to mailboxes in one transaction: claims, appends and removals in their order. Heads and people's sums are
// locked first, in one order for everybody; what is judged is judged in memory; all that changed is written at the end.
// Knows nothing of streams or stanzas.
import { hash } from 'node:crypto';
import type { OwnClaim } from '../../cluster/cluster-store.ts';
import { boundReached, type Counted } from '../../mailbox/bounds.ts';
import type { AppendOutcome, Claim, MailboxBounds, MailboxRow, RemovedRange } from '../../mailbox/mailbox-store.ts';
import { hexOf, type Sql } from './database.ts';
import { addBytes } from './mailbox-sums.ts';
import { accountOf } from './rows.ts';

/** Of a stanza's SHA-256, which tells repeats. */
const digestBytes = 16;

export type MailboxCommand =
  | { readonly kind: 'claim'; readonly device: number; readonly node: string }
  | { readonly kind: 'renew'; readonly node: string; readonly claims: readonly OwnClaim[] }
  | { readonly kind: 'release'; readonly device: number; readonly epoch: number }
  | { readonly kind: 'append'; readonly rows: readonly MailboxRow[]; readonly bounds: MailboxBounds }
  | { readonly kind: 'remove'; readonly ranges: readonly RemovedRange[] }
  | { readonly kind: 'has-loud'; readonly device: number };

type Head = {
  readonly account: number;
  readonly device: number;
  readonly provider: number;
  lastSeq: number;
  count: number;
  loud: number;
  bytes: number;
  epoch: number;
  node: string | null;
  isChanged: boolean;
};
type NewEntry = MailboxRow & { readonly seq: number; readonly digest: Uint8Array };
type RemovedEntry = {
  readonly device: number;
  readonly sender: string | null;
  readonly sizeBytes: number;
  readonly silent: boolean;
  readonly digest: string | null;
};

const digestOf = (stanza: Uint8Array): Uint8Array => hash('sha256', stanza, 'buffer').subarray(0, digestBytes);
const inOrder = (numbers: Iterable<number>): number[] => [...new Set(numbers)].toSorted((a, b) => a - b);

function devicesOf(command: MailboxCommand): number[] {
  if (command.kind === 'append') return command.rows.map(row => row.device);
  if (command.kind === 'remove') return command.ranges.map(range => range.device);
  if (command.kind === 'renew') return command.claims.map(claim => claim.device);
  return [command.device];
}

/** Runs the commands in their order and gives the answer of each. */
export async function runMailboxCommands(sql: Sql, commands: readonly MailboxCommand[]): Promise<unknown[]> {
  const batch = new MailboxBatch(sql);
  await batch.lock(commands);
  const answers: unknown[] = [];
  for (const command of commands) {
    switch (command.kind) {
      case 'claim':
        answers.push(batch.claim(command.device, command.node));
        break;
      case 'renew':
        batch.renew(command.node, command.claims);
        answers.push(undefined);
        break;
      case 'release':
        batch.release(command.device, command.epoch);
        answers.push(undefined);
        break;
      case 'append':
        answers.push(command.rows.map(row => batch.append(row, command.bounds)));
        break;
      case 'remove':
        await batch.remove(command.ranges);
        answers.push([]);
        break;
      case 'has-loud':
        answers.push(batch.hasLoud(command.device));
    }
  }
  await batch.write();
  return answers;
}

function ownerOf({ node }: Head): { readonly owner?: string } {
  return node === null ? {} : { owner: node };
}

class MailboxBatch {
  readonly #sql: Sql;
  readonly #heads = new Map<number, Head>();
  readonly #people = new Map<number, number>();
  readonly #providers = new Map<number, number>();
  /** By device and sender: what counted before this transaction and since. */
  readonly #shares = new Map<string, Counted>();
  readonly #addedShares = new Map<string, { device: number; sender: string; count: number; bytes: number }>();
  readonly #added: { account: number; provider: number; bytes: number }[] = [];
  /** Device and digest of what waits, to its number. */
  readonly #digests = new Map<string, number>();
  readonly #digestsOfRows = new Map<MailboxRow, Uint8Array>();
  #entries: NewEntry[] = [];

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Heads, then people; the rest is read behind them, so that it is as it was when the last one let go. */
  async lock(commands: readonly MailboxCommand[]): Promise<void> {
    const devices = inOrder(commands.flatMap(devicesOf));
    const accounts = inOrder(devices.map(accountOf));
    const rows = commands.flatMap(command => (command.kind === 'append' ? command.rows : []));
    for (const row of rows) this.#digestsOfRows.set(row, digestOf(row.stanza));
    const sql = this.#sql;
    const shares = new Map(
      rows.flatMap(({ device, sender }) => (sender === undefined ? [] : [[`${device} ${sender}`, { device, sender }]])),
    );
    const [heads, people, providers, counted, repeats] = await Promise.all([
      sql.rows<Omit<Head, 'isChanged'>>(
        `SELECT account, device, provider, last_seq AS "lastSeq", count, loud, bytes, epoch, node FROM mailbox_head
         WHERE account = ANY ($1::bigint[]) AND device = ANY ($2::bigint[]) ORDER BY device FOR UPDATE`,
        [accounts, devices],
      ),
      sql.rows<{ account: number; bytes: number }>(
        'SELECT account, bytes FROM mailbox_person WHERE account = ANY ($1::bigint[]) ORDER BY account FOR UPDATE',
        [accounts],
      ),
      rows.length === 0
        ? []
        : sql.rows<{ provider: number; bytes: number }>(
            'SELECT provider, sum(bytes) AS bytes FROM mailbox_provider GROUP BY provider',
          ),
      shares.size === 0 ? [] : this.#readShares([...shares.values()]),
      rows.length === 0 ? [] : this.#readRepeats(rows),
    ]);
    for (const head of heads) this.#heads.set(head.device, { ...head, isChanged: false });
    for (const { account, bytes } of people) this.#people.set(account, bytes);
    for (const { provider, bytes } of providers) this.#providers.set(provider, bytes);
    for (const { device, sender, count, bytes } of counted) this.#shares.set(`${device} ${sender}`, { count, bytes });
    for (const { device, digest, seq } of repeats) this.#digests.set(`${device} ${digest}`, seq);
  }

  claim(device: number, node: string): Claim | { readonly kind: 'device-gone' } {
    const head = this.#heads.get(device);
    if (head === undefined) return { kind: 'device-gone' };
    head.epoch++;
    head.node = node;
    head.isChanged = true;
    const { epoch, lastSeq, count, bytes } = head;
    return { kind: 'claimed', epoch, lastSeq, count, bytes };
  }

  renew(node: string, claims: readonly OwnClaim[]): void {
    for (const { device, epoch } of claims) {
      const head = this.#heads.get(device);
      if (head?.epoch !== epoch || head.node !== null) continue;
      head.node = node;
      head.isChanged = true;
    }
  }

  release(device: number, epoch: number): void {
    const head = this.#heads.get(device);
    if (head?.epoch !== epoch) return;
    head.node = null;
    head.isChanged = true;
  }

  hasLoud(device: number): boolean {
    return (this.#heads.get(device)?.loud ?? 0) > 0;
  }

  append(row: MailboxRow, bounds: MailboxBounds): AppendOutcome {
    const { device, epoch, sender, stanza } = row;
    const head = this.#heads.get(device);
    if (head === undefined) return { kind: 'device-gone' };
    if (epoch !== undefined && epoch !== head.epoch) return { kind: 'fenced' };
    const digest = this.#digestsOfRows.get(row)!;
    const digestKey = `${device} ${hexOf(digest)}`;
    const there = this.#digests.get(digestKey);
    if (there !== undefined) return { kind: 'duplicate', seq: there, ...ownerOf(head) };
    const bound = boundReached(stanza.length, bounds, {
      mailbox: head,
      share: sender === undefined ? undefined : this.#share(device, sender),
      personBytes: this.#people.get(head.account) ?? 0,
      providerBytes: this.#providers.get(head.provider) ?? 0,
    });
    if (bound !== undefined) return { kind: bound };
    const seq = ++head.lastSeq;
    this.#digests.set(digestKey, seq);
    this.#entries.push({ ...row, seq, digest });
    this.#count(head, { sender: sender ?? null, sizeBytes: stanza.length, silent: row.silent }, 1);
    return { kind: 'stored', seq, ...ownerOf(head) };
  }

  /** From `first` to `last` inclusive; none under an older claim. What is left of a device that is gone counts for nobody. */
  async remove(ranges: readonly RemovedRange[]): Promise<void> {
    const allowed = ranges.filter(({ device, epoch }) => {
      const head = this.#heads.get(device);
      return head === undefined || epoch === undefined || epoch === head.epoch;
    });
    if (allowed.length === 0) return;
    await this.#writeEntries();
    const removed = await this.#sql.rows<RemovedEntry>(
      `DELETE FROM mailbox USING unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS gone (account, device, first, last)
       WHERE mailbox.account = gone.account AND mailbox.device = gone.device AND mailbox.seq BETWEEN gone.first AND gone.last
       RETURNING mailbox.device, sender, octet_length(stanza) AS "sizeBytes", silent, encode(digest, 'hex') AS digest`,
      [
        allowed.map(range => accountOf(range.device)),
        allowed.map(range => range.device),
        allowed.map(range => range.first),
        allowed.map(range => Math.min(range.last, Number.MAX_SAFE_INTEGER)),
      ],
    );
    for (const entry of removed) {
      this.#digests.delete(`${entry.device} ${entry.digest}`);
      const head = this.#heads.get(entry.device);
      if (head !== undefined) this.#count(head, entry, -1);
    }
  }

  async write(): Promise<void> {
    const heads = [...this.#heads.values()].filter(head => head.isChanged);
    const work = [this.#writeEntries()];
    if (heads.length > 0) work.push(this.#writeHeads(heads));
    if (this.#addedShares.size > 0) work.push(this.#writeShares());
    work.push(addBytes(this.#sql, this.#added));
    await Promise.all(work);
  }

  #readShares(
    pairs: readonly { readonly device: number; readonly sender: string }[],
  ): Promise<{ device: number; sender: string; count: number; bytes: number }[]> {
    return this.#sql.rows(
      `SELECT share.device, share.sender, count, bytes
       FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS asked (account, device, sender)
       JOIN mailbox_share AS share USING (account, device, sender)`,
      [pairs.map(pair => accountOf(pair.device)), pairs.map(pair => pair.device), pairs.map(pair => pair.sender)],
    );
  }

  #readRepeats(rows: readonly MailboxRow[]): Promise<{ device: number; digest: string; seq: number }[]> {
    return this.#sql.rows(
      `SELECT mailbox.device, encode(digest, 'hex') AS digest, seq
       FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS asked (account, device, digest)
       JOIN mailbox USING (account, device, digest)`,
      [
        rows.map(row => accountOf(row.device)),
        rows.map(row => row.device),
        rows.map(row => this.#digestsOfRows.get(row)!),
      ],
    );
  }

  #share(device: number, sender: string): Counted {
    const key = `${device} ${sender}`;
    let share = this.#shares.get(key);
    if (share === undefined) this.#shares.set(key, (share = { count: 0, bytes: 0 }));
    return share;
  }

  #count(
    head: Head,
    { sender, sizeBytes, silent }: Pick<RemovedEntry, 'sender' | 'sizeBytes' | 'silent'>,
    count: 1 | -1,
  ): void {
    const bytes = count * sizeBytes;
    const { account, provider, device } = head;
    head.count += count;
    if (!silent) head.loud += count;
    head.bytes += bytes;
    head.isChanged = true;
    this.#people.set(account, (this.#people.get(account) ?? 0) + bytes);
    this.#providers.set(provider, (this.#providers.get(provider) ?? 0) + bytes);
    this.#added.push({ account, provider, bytes });
    if (sender === null) return;
    const share = this.#share(device, sender);
    share.count += count;
    share.bytes += bytes;
    const key = `${device} ${sender}`;
    let added = this.#addedShares.get(key);
    if (added === undefined) this.#addedShares.set(key, (added = { device, sender, count: 0, bytes: 0 }));
    added.count += count;
    added.bytes += bytes;
  }

  async #writeEntries(): Promise<void> {
    const entries = this.#entries;
    if (entries.length === 0) return;
    this.#entries = [];
    await this.#sql.change(
      `INSERT INTO mailbox (account, device, seq, accepted_at, expires_at, silent, sender, digest, stanza)
       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[], $7::text[],
         $8::bytea[], $9::bytea[])`,
      [
        entries.map(entry => accountOf(entry.device)),
        entries.map(entry => entry.device),
        entries.map(entry => entry.seq),
        entries.map(entry => entry.acceptedAtMs),
        entries.map(entry => entry.expiresAtMs),
        entries.map(entry => entry.silent),
        entries.map(entry => entry.sender ?? null),
        entries.map(entry => entry.digest),
        entries.map(entry => entry.stanza),
      ],
    );
  }

  async #writeHeads(heads: readonly Head[]): Promise<void> {
    await this.#sql.change(
      `UPDATE mailbox_head AS head SET last_seq = now.last_seq, count = now.count, loud = now.loud, bytes = now.bytes,
         epoch = now.epoch, node = now.node
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
         AS now (account, device, last_seq, count, loud, bytes, epoch, node)
       WHERE head.account = now.account AND head.device = now.device`,
      [
        heads.map(head => head.account),
        heads.map(head => head.device),
        heads.map(head => head.lastSeq),
        heads.map(head => head.count),
        heads.map(head => head.loud),
        heads.map(head => head.bytes),
        heads.map(head => head.epoch),
        heads.map(head => head.node),
      ],
    );
  }

  /** A share of nothing goes. */
  async #writeShares(): Promise<void> {
    const added = [...this.#addedShares.values()];
    const keys = [
      added.map(share => accountOf(share.device)),
      added.map(share => share.device),
      added.map(share => share.sender),
    ];
    await this.#sql.change(
      `INSERT INTO mailbox_share (account, device, sender, count, bytes)
       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
       ON CONFLICT (account, device, sender)
       DO UPDATE SET count = mailbox_share.count + excluded.count, bytes = mailbox_share.bytes + excluded.bytes`,
      [...keys, added.map(share => share.count), added.map(share => share.bytes)],
    );
    await this.#sql.change(
      `DELETE FROM mailbox_share USING unnest($1::bigint[], $2::bigint[], $3::text[]) AS asked (account, device, sender)
       WHERE mailbox_share.account = asked.account AND mailbox_share.device = asked.device
         AND mailbox_share.sender = asked.sender AND mailbox_share.count = 0`,
      keys,
    );
  }
}
