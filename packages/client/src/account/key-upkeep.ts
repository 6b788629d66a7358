// Keeps what the directory has of this device fresh: refills one-time keys, rotates signed ones, one pass after the other.
// Knows nothing of when; asks the encryption suite what is due.
// Source: docs/protocol/06-stanzas.md section 6.2.
import type { E2eeSuite, KeyPublication } from '@drawbridge/e2ee/suite';
import type { Clock } from '../clock.ts';
import { RequestRefused } from '../connection/requests.ts';
import { countKeys, type KeyCounts, publishKeys, type Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { committed } from '../store/transact.ts';
import type { EncryptedStore } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import type { RestoredStore } from './restored-store.ts';

/** Rounds of publishing keys for one count: at most 50 of each kind go in one, and some may clash. */
const maxPublishRounds = 8;

export type KeyUpkeepContext = {
  readonly store: EncryptedStore;
  readonly suite: E2eeSuite;
  readonly request: Request;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
  readonly restored: Pick<RestoredStore, 'note' | 'said' | 'renew'>;
};

export class KeyUpkeep {
  readonly #context: KeyUpkeepContext;
  #work: Promise<void> = Promise.resolve();
  #saidRestored = false;

  constructor(context: KeyUpkeepContext) {
    this.#context = context;
  }

  /** Begins a pass; `counts` spares the question when the gatekeeper has just told them. */
  keep(counts?: KeyCounts): void {
    this.#work = this.#work.then(async () => {
      try {
        await this.#publishDue(counts);
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (error.code !== 'not-connected' && error.code !== 'closed') this.#context.emit({ kind: 'problem', error });
      }
    });
  }

  /** Waits for the pass that is under way. */
  close(): Promise<void> {
    return this.#work;
  }

  async #publishDue(known: KeyCounts | undefined): Promise<void> {
    const { suite, store, request } = this.#context;
    let counts = known ?? (await countKeys(request));
    for (let round = 0; round < maxPublishRounds; round++) {
      const due = await suite.refillKeys(counts, staged =>
        committed(store.transaction(tx => tx.apply(staged.changes))),
      );
      if (!due.ok) throw new ClientError('store-failed', { cause: due.error });
      if (due.value === undefined) return;
      if (await this.#publish(due.value)) await this.#confirm(due.value);
      counts = await countKeys(request);
    }
  }

  /**
   * False when an id is the directory's already, with another key: this store is older than what it has published, which
   * the count did not show. Everything is renewed then. Where the gatekeeper does not know how, the rotating keys go alone,
   * and the next round takes ids that follow.
   */
  async #publish(publication: KeyPublication): Promise<boolean> {
    const { request, store, restored } = this.#context;
    try {
      await publishKeys(request, publication);
      return true;
    } catch (error) {
      if (!(error instanceof RequestRefused) || error.stanzaError.condition !== 'conflict') throw error;
    }
    if (!this.#saidRestored) {
      this.#saidRestored = true;
      restored.said(transact(store, tx => restored.note(tx)));
      if (await restored.renew()) return false;
    }
    const rotating = { ...publication, prekeys: [], kemPrekeys: [] };
    if (rotating.signedPrekey === undefined && rotating.lastResortKemPrekey === undefined) return false;
    await publishKeys(request, rotating);
    return true;
  }

  async #confirm(publication: KeyPublication): Promise<void> {
    const { suite, store } = this.#context;
    const confirmed = await suite.confirmPublished(publication, staged =>
      committed(store.transaction(tx => tx.apply(staged.changes))),
    );
    if (!confirmed.ok) throw new ClientError('store-failed', { cause: confirmed.error });
  }
}
