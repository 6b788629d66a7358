// Accounts as routing reads them: from memory at once, from storage when they aren't there. Bounded in number and age.
// Knows nothing of who changes them; whoever does calls `invalidate` after the change is durable.
import type { InteropId } from '@drawbridge/wire/jid';
import type { Account, Accounts } from './account.ts';
import type { AccountStore } from './account-store.ts';
import { GenerationCache } from './generation-cache.ts';

/**
 * An account is read again when it was read this long ago; it may be half as long again. A change made elsewhere is seen
 * by then, whatever became of the message that tells of it.
 */
export const accountMaxAgeMs = 60_000;
/** How often `turn` is to be called. */
export const accountTurnMs = accountMaxAgeMs / 2;

type Asker = Pick<Account, 'row' | 'contacts'>;
type Known = { readonly account: Account; readonly readAtMs: number };

export class CachedAccounts implements Accounts {
  readonly #store: AccountStore;
  readonly #monotonicMs: () => number;
  readonly #cache: GenerationCache<Known>;
  /** User-visible identifier to InteropId; checked against the account when used, so it may be out of date. */
  readonly #names: GenerationCache<string>;
  /** Reads under way that nothing has overtaken: those who ask meanwhile share them. */
  readonly #reading = new Map<string, Promise<Account | undefined>>();

  constructor(store: AccountStore, maxEntries: number, monotonicMs: () => number) {
    this.#store = store;
    this.#monotonicMs = monotonicMs;
    const isYoung = ({ readAtMs }: Known): boolean => monotonicMs() - readAtMs < accountMaxAgeMs;
    this.#cache = new GenerationCache(maxEntries, isYoung);
    this.#names = new GenerationCache(maxEntries, () => true);
  }

  /** Accounts in memory. Unknown ones are never kept: strangers can't fill it. */
  get cached(): number {
    return this.#cache.size;
  }

  peek(interopId: InteropId): Account | undefined {
    return this.#cache.get(interopId)?.account;
  }

  async find(interopId: InteropId, askerRow?: number): Promise<Account | undefined> {
    return this.peek(interopId) ?? (await this.#read(interopId, askerRow));
  }

  async findByIdentifier(provider: number, identifier: string): Promise<Account | undefined> {
    const name = `${provider} ${identifier}`;
    const interopId = this.#names.get(name);
    const named = interopId === undefined ? undefined : await this.find(interopId);
    if (named?.provider === provider && named.identifier === identifier) return named;
    const account = await this.#store.findByIdentifier(provider, identifier);
    if (account === undefined) {
      this.#names.delete(name);
      return undefined;
    }
    this.#names.set(name, account.interopId);
    // By its own name, so that a change that was made during the read is not missed.
    return await this.find(account.interopId);
  }

  findAfresh(interopId: InteropId, { row, contacts }: Asker): Promise<Account | undefined> {
    return this.#store.find(interopId, row, contacts.key);
  }

  findByIdentifierAfresh(provider: number, identifier: string, { row, contacts }: Asker): Promise<Account | undefined> {
    return this.#store.findByIdentifier(provider, identifier, row, contacts.key);
  }

  /** Forgets an account, and lets no read that began before this bring its old form back. */
  invalidate(interopId: InteropId): void {
    this.#cache.delete(interopId);
    this.#reading.delete(interopId);
  }

  /** Ages what is in memory. */
  turn(): void {
    this.#cache.turn();
  }

  #read(interopId: InteropId, askerRow?: number): Promise<Account | undefined> {
    const underWay = this.#reading.get(interopId);
    if (underWay !== undefined) return underWay;
    const readAtMs = this.#monotonicMs();
    const isStanding = (): boolean => this.#reading.get(interopId) === reading;
    const reading = this.#store.find(interopId, askerRow).then(
      account => {
        if (!isStanding()) return account;
        this.#reading.delete(interopId);
        if (account !== undefined) this.#keep({ account, readAtMs });
        return account;
      },
      (error: unknown) => {
        if (isStanding()) this.#reading.delete(interopId);
        throw error;
      },
    );
    this.#reading.set(interopId, reading);
    return reading;
  }

  /** A read that was slow never takes the place of a later version. */
  #keep(known: Known): void {
    const { interopId, version } = known.account;
    const kept = this.#cache.get(interopId);
    if (kept === undefined || kept.account.version <= version) this.#cache.set(interopId, known);
  }
}
