// Who sends to an upload at this moment: one request per upload, a limited number per person and in all. A later request ends an
// earlier one, and finds on disk what that one brought. Knows nothing of HTTP, bytes or storage.

import { Refusal } from './media-problems.ts';
import type { Upload } from './uploads.ts';

type Transfer = { readonly stop: () => void; readonly done: Promise<void> };

export type Transfers = {
  /** Runs the work as this upload's only transfer, within the person's share. Others wait for its end, or `stop` it. */
  readonly receive: <T>(upload: Upload, stop: () => void, work: () => Promise<T>) => Promise<T>;
  /** Runs work on an upload that nobody sends to; others wait until it is done. */
  readonly alone: <T>(name: string, work: () => Promise<T>) => Promise<T>;
  /** Ends what is under way for this upload. What has come is on disk when it resolves. */
  readonly end: (name: string) => Promise<void>;
  readonly endAll: () => Promise<void>;
};

export function createTransfers(limits: { readonly transfersPerUser: number; readonly transfers: number }): Transfers {
  /** At most one for each upload, by name. */
  const running = new Map<string, Transfer>();
  const runningOf = new Map<string, number>();

  async function occupy<T>(name: string, stop: () => void, work: () => Promise<T>): Promise<T> {
    const { promise: done, resolve: finished } = Promise.withResolvers<void>();
    running.set(name, { stop, done });
    try {
      return await work();
    } finally {
      running.delete(name);
      finished();
    }
  }

  return {
    async receive(upload, stop, work) {
      const mine = runningOf.get(upload.owner) ?? 0;
      if (mine >= limits.transfersPerUser) throw new Refusal('too-many-transfers');
      if (running.size >= limits.transfers) throw new Refusal('busy');
      runningOf.set(upload.owner, mine + 1);
      try {
        return await occupy(upload.name, stop, work);
      } finally {
        const others = (runningOf.get(upload.owner) ?? 1) - 1;
        if (others === 0) runningOf.delete(upload.owner);
        else runningOf.set(upload.owner, others);
      }
    },
    alone: (name, work) => occupy(name, () => {}, work),
    async end(name) {
      // Another may have begun while this one waited.
      for (let transfer = running.get(name); transfer !== undefined; transfer = running.get(name)) {
        transfer.stop();
        await transfer.done;
      }
    },
    async endAll() {
      const all = [...running.values()];
      for (const { stop } of all) stop();
      await Promise.all(all.map(transfer => transfer.done));
    },
  };
}
