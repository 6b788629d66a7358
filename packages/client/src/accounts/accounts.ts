// Several accounts of one person, at several gatekeepers and providers: one folder and one passphrase, one list of people,
// one stream of messages, one of events, one close.
// Knows nothing of what an account does: each is a `Client` in a folder of its own.
import { join } from 'node:path';
import type { InteropId } from '@drawbridge/wire/jid';
import { type Client, openClient } from '../client.ts';
import type { Message } from '../chats/presenting.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { Notice } from '../notices/notice-records.ts';
import type { ClientOptions } from '../options.ts';
import { inTurn } from './in-turn.ts';

export type AccountsOptions = Pick<ClientOptions, 'folder' | 'passphrase' | 'key' | 'keyFile'> & {
  /** By a name of the application's: 1 to 64 of `a-z`, `0-9`, `-`; it names the folder within `folder`. At most 16. */
  readonly accounts: Readonly<Record<string, Omit<ClientOptions, 'folder' | 'passphrase' | 'key' | 'keyFile'>>>;
};

/** Somebody, and through which accounts they can be written to. */
export type MergedContact = {
  readonly provider: string;
  readonly identifier: string;
  readonly reachedBy: readonly { readonly account: string; readonly interopId: InteropId }[];
};

export type AccountMessage = { readonly account: string; readonly message: Message };
export type AccountEvent = { readonly account: string; readonly event: ClientEvent };
export type AccountNotice = { readonly account: string; readonly notice: Notice };

export const accountsLimits = { maxAccounts: 16 } as const;
const nameForm = /^[a-z0-9-]{1,64}$/;

/** Opens all of them, or none. Rejects as `openClient`; `invalid-argument` for names that are none, or too many. */
export async function openAccounts(options: AccountsOptions): Promise<Accounts> {
  const { folder, passphrase, key, keyFile, accounts } = options ?? {};
  if (typeof folder !== 'string' || typeof accounts !== 'object' || accounts === null) {
    throw new ClientError('invalid-argument', { detail: 'folder is a path, and accounts an object' });
  }
  const entries = Object.entries(accounts);
  if (entries.length > accountsLimits.maxAccounts || entries.some(([name]) => !nameForm.test(name))) {
    throw new ClientError('invalid-argument', { detail: 'accounts' });
  }
  const opener = {
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(key === undefined ? {} : { key }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
  const clients = new Map<string, Client>();
  try {
    for (const [name, each] of entries) {
      clients.set(name, await openClient({ ...each, ...opener, folder: join(folder, name) }));
    }
  } catch (error) {
    for (const client of clients.values()) await client.close();
    throw error;
  }
  return new Accounts(clients);
}

export class Accounts {
  readonly #clients: ReadonlyMap<string, Client>;

  /** Use `openAccounts`. */
  constructor(clients: ReadonlyMap<string, Client>) {
    this.#clients = clients;
  }

  names(): string[] {
    return [...this.#clients.keys()];
  }

  /** One account. Throws `invalid-argument` for a name that was not opened. */
  get(name: string): Client {
    const client = this.#clients.get(name);
    if (client === undefined) throw new ClientError('invalid-argument', { detail: 'account' });
    return client;
  }

  /** Everybody whose name some account knows: people of one provider and identifier are one. */
  contacts(): MergedContact[] {
    const merged = new Map<string, MergedContact>();
    for (const [account, client] of this.#clients) {
      for (const { provider, identifier, interopId } of client.contacts.list()) {
        const key = JSON.stringify([provider, identifier]);
        const reachedBy = [...(merged.get(key)?.reachedBy ?? []), { account, interopId }];
        merged.set(key, { provider, identifier, reachedBy });
      }
    }
    return [...merged.values()];
  }

  /**
   * Incoming messages of all accounts, each as `Client.messages` gives them: asking for the next consumes the one before.
   * Accounts take turns when several have messages. Ends when all are closed.
   */
  async *messages(): AsyncGenerator<AccountMessage, void, void> {
    const readers = new Map([...this.#clients].map(([account, client]) => [account, client.messages()]));
    try {
      for await (const { account, value: message } of inTurn(readers)) yield { account, message };
    } finally {
      for (const reader of readers.values()) reader.end();
    }
  }

  /**
   * What happens from now on in all accounts, as `Client.events` tells it. What nobody may miss is in each account's
   * `notices`, and in `notices` here. Ends when all are closed.
   */
  events(): AsyncGenerator<AccountEvent, void, void> {
    return told(new Map([...this.#clients].map(([account, client]) => [account, client.events()])));
  }

  /** Changes that nobody may miss, of all accounts, oldest first; `get(account).notices.acknowledge` takes one off. */
  notices(): AccountNotice[] {
    const all = [...this.#clients].flatMap(([account, client]) =>
      client.notices.list().map(notice => ({ account, notice })),
    );
    return all.sort((a, b) => a.notice.atMs - b.notice.atMs);
  }

  /** Closes all of them. Repeats do nothing. */
  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map(client => client.close()));
  }
}

async function* told(
  listeners: ReadonlyMap<string, AsyncIterableIterator<ClientEvent>>,
): AsyncGenerator<AccountEvent, void, void> {
  try {
    for await (const { account, value: event } of inTurn(listeners)) yield { account, event };
  } finally {
    for (const listener of listeners.values()) void listener.return?.();
  }
}
