// The chain through the audit log: each entry's digest covers the entry and the digest before it, so that whoever has
// one digest can tell whether everything up to it still is what it was. Knows no store and no keys.
// Source: docs/protocol/10-consent-and-reports.md section 10.6.
import { createHash } from 'node:crypto';
import type { AuditEntry } from './audit-log.ts';

/** What stands before the first entry. */
export const chainStart = '0'.repeat(64);

/** An entry's place and digest: everything before it is fixed by this. */
export type ChainHead = { readonly seq: number; readonly digest: string };

export type ChainFault = {
  /** `missing`: a number is left out. `altered`: an entry, or its place, is not what its digest says. */
  readonly kind: 'missing' | 'altered' | 'head-missing' | 'head-differs';
  readonly seq: number;
};

/** The digest of an entry, in hex: SHA-256 over a line that names the form, the digest before it, and its members as JSON. */
export function entryDigest(before: string, entry: Omit<AuditEntry, 'digest'>): string {
  const { seq, atMs, actor, action, subject, reason } = entry;
  const members = JSON.stringify([seq, atMs, actor, action, subject, reason ?? null]);
  return createHash('sha256').update(`drawbridge audit 1\n${before}\n${members}\n`).digest('hex');
}

/**
 * Walks the log from its first entry, page by page. `heads` were taken from the log earlier and kept elsewhere: without
 * one, entries that were cut off at the end can't be told from entries that never were.
 */
export class ChainWalk {
  #head: ChainHead = { seq: 0, digest: chainStart };
  readonly #heads: Map<number, string>;

  constructor(heads: readonly ChainHead[] = []) {
    this.#heads = new Map(heads.map(({ seq, digest }) => [seq, digest]));
  }

  get head(): ChainHead {
    return this.#head;
  }

  /** The first fault in these entries, which follow those before; undefined when they are as they were written. */
  take(entries: readonly AuditEntry[]): ChainFault | undefined {
    for (const entry of entries) {
      const { seq, digest } = entry;
      // An earlier number after a later one is a moved entry.
      if (seq <= this.#head.seq) return { kind: 'altered', seq };
      if (seq !== this.#head.seq + 1) return { kind: 'missing', seq: this.#head.seq + 1 };
      if (digest !== entryDigest(this.#head.digest, entry)) return { kind: 'altered', seq };
      const known = this.#heads.get(seq);
      if (known !== undefined && known !== digest) return { kind: 'head-differs', seq };
      this.#head = { seq, digest };
    }
    return undefined;
  }

  /** After the last page. `lastSeq`: the highest number that was ever given, where the store remembers it. */
  end(lastSeq = 0): ChainFault | undefined {
    if (lastSeq > this.#head.seq) return { kind: 'missing', seq: this.#head.seq + 1 };
    const beyond = [...this.#heads.keys()].find(seq => seq > this.#head.seq);
    return beyond === undefined ? undefined : { kind: 'head-missing', seq: beyond };
  }
}
