// Accounts as routing reads them: synchronous, from a bounded cache over the store.
// Knows nothing of who changes them; whoever does calls `invalidate` after the change is durable.
import type { DatabaseSync } from 'node:sqlite';
import { devicesOf } from '../storage/sqlite/account-commands.ts';
import { prepared } from '../storage/sqlite/prepared.ts';
import type { Account, Accounts } from './account.ts';

/**
 * Holds at most about `max` values in two generations: when the young one is full it becomes the old one, and what was
 * in neither hand since is forgotten. A hit costs one look-up and never reorders anything.
 */
class GenerationCache<V> {
  readonly #half: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(max: number) {
    this.#half = Math.max(1, max >> 1);
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) {
      this.#old.delete(key);
      this.set(key, old);
    }
    return old;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }
}

const noOptIns: ReadonlySet<number> = new Set();

const columns = 'row, interop_id AS interopId, provider, identifier, status FROM account WHERE';

export class StoredAccounts implements Accounts {
  readonly #reads: DatabaseSync;
  readonly #cache: GenerationCache<Account>;
  /** User-visible identifier to InteropId; checked against the account when used, so it may be out of date. */
  readonly #names: GenerationCache<string>;

  constructor(reads: DatabaseSync, maxEntries: number) {
    this.#reads = reads;
    this.#cache = new GenerationCache(maxEntries);
    this.#names = new GenerationCache(maxEntries);
  }

  /** Accounts in memory. Unknown ones are never kept: strangers can't fill it. */
  get cached(): number {
    return this.#cache.size;
  }

  find(interopId: string): Account | undefined {
    const cached = this.#cache.get(interopId);
    if (cached !== undefined) return cached;
    const account = this.#read(`SELECT ${columns} interop_id = ?`, [interopId]);
    if (account !== undefined) this.#cache.set(interopId, account);
    return account;
  }

  findByIdentifier(provider: number, identifier: string): Account | undefined {
    const name = `${provider} ${identifier}`;
    const interopId = this.#names.get(name);
    const named = interopId === undefined ? undefined : this.find(interopId);
    if (named !== undefined) return named;
    const account = this.#read(`SELECT ${columns} provider = ? AND identifier = ?`, [provider, identifier]);
    if (account === undefined) {
      this.#names.delete(name);
      return undefined;
    }
    this.#names.set(name, account.interopId);
    this.#cache.set(account.interopId, account);
    return account;
  }

  /**
   * The same answer from the store itself, by the same reads whether the account is there or not (then of the asker's
   * own rows): for questions of strangers, whom the time of the answer must not tell who exists or was asked for before.
   */
  findAfresh(interopId: string, askerRow: number): Account | undefined {
    return this.#read(`SELECT ${columns} interop_id = ?`, [interopId], askerRow);
  }

  findByIdentifierAfresh(provider: number, identifier: string, askerRow: number): Account | undefined {
    return this.#read(`SELECT ${columns} provider = ? AND identifier = ?`, [provider, identifier], askerRow);
  }

  invalidate(interopId: string): void {
    this.#cache.delete(interopId);
  }

  #read(sql: string, args: readonly (string | number)[], otherwiseRow = 0): Account | undefined {
    const found = prepared(this.#reads, sql).get(...args) as Omit<Account, 'devices' | 'optIns'> | undefined;
    const row = found?.row ?? otherwiseRow;
    const devices = devicesOf(this.#reads, row);
    const optIns = prepared(this.#reads, 'SELECT provider FROM opt_in WHERE account = ?').all(row) as unknown as {
      provider: number;
    }[];
    if (found === undefined) return undefined;
    return { ...found, devices, optIns: optIns.length === 0 ? noOptIns : new Set(optIns.map(each => each.provider)) };
  }
}
