// What a folder does that is older than what the gatekeeper has of it (restored from a backup, or one of two copies): it says so,
// and renews what may have been used twice. Ratchets that another copy has moved on encrypt nothing more; prekeys whose private
// halves are in another copy leave the directory.
// Knows nothing of how it came to light.
// Source: docs/protocol/06-stanzas.md section 6.4, docs/protocol/09-content.md section 9.8.
import { deviceOfSession } from '@drawbridge/e2ee/stores';
import type { DeviceAddress, E2eeSuite } from '@drawbridge/e2ee/suite';
import type { Clock } from '../clock.ts';
import { RequestRefused } from '../connection/requests.ts';
import { publishKeys, type Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { addNotice } from '../notices/notice-records.ts';
import { committed } from '../store/transact.ts';
import { readSetting, writeSetting } from '../store/account-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { transact } from '../store/transact.ts';

/** Sessions that are ended in one transaction. */
const sessionsAtOnce = 100;

export type RestoredStoreContext = {
  readonly store: EncryptedStore;
  readonly suite: Pick<E2eeSuite, 'archiveSessions' | 'endSessions' | 'renewKeys' | 'confirmPublished'>;
  readonly request: Request;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
};

export class RestoredStore {
  readonly #context: RestoredStoreContext;
  #work: Promise<boolean> = Promise.resolve(true);

  constructor(context: RestoredStoreContext) {
    this.#context = context;
  }

  /** In the transaction of whoever found out; `said` follows it. */
  note(tx: Transaction): readonly MessageRecord[] {
    const lines = addNotice(tx, { kind: 'store-restored' }, this.#context.clock.nowMs());
    writeSetting(tx, 'restored', 'sessions');
    // What the other devices have decided since is not here.
    writeSetting(tx, 'decisions-asked', undefined);
    return lines;
  }

  said(lines: readonly MessageRecord[]): void {
    const detail = 'this folder is older than what the gatekeeper has of it: it was restored, or is a copy';
    this.#context.emit({ kind: 'problem', error: new ClientError('store-failed', { detail }) });
    for (const message of lines) this.#context.emit({ kind: 'message', change: 'new', message });
  }

  /**
   * Renews what is due; true when nothing is left. Sessions need no network, and are first: before that nothing may be
   * encrypted. Keys wait for the next time when they can't be published now.
   */
  renew(): Promise<boolean> {
    this.#work = this.#work.then(async () => {
      try {
        return await this.#renew();
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (error.code !== 'not-connected' && error.code !== 'closed') this.#context.emit({ kind: 'problem', error });
        return false;
      }
    });
    return this.#work;
  }

  async #renew(): Promise<boolean> {
    const { store } = this.#context;
    const due = transact(store, readDue);
    if (due === undefined) return true;
    if (due === 'sessions') {
      await this.#endSessions();
      transact(store, tx => writeSetting(tx, 'restored', 'keys'));
    }
    const isRenewed = await this.#renewKeys();
    transact(store, tx => {
      // Found out again meanwhile: then all of it is due again.
      if (readDue(tx) === 'keys') writeSetting(tx, 'restored', undefined);
    });
    return isRenewed;
  }

  /** Those that begin meanwhile are of this copy alone. */
  async #endSessions(): Promise<void> {
    const { store, suite } = this.#context;
    const commit = (staged: { readonly changes: Parameters<Transaction['apply']>[0] }): void =>
      committed(store.transaction(tx => tx.apply(staged.changes)));
    for (let after: number | undefined; ; ) {
      const from = after === undefined ? {} : { after };
      const rows = transact(store, tx => tx.list('session', { ...from, limit: sessionsAtOnce }));
      if (rows.length === 0) return;
      const devices = rows.map(row => deviceOfSession(row.key)).filter(device => device !== undefined);
      const archived = await suite.archiveSessions(devices, commit);
      if (!archived.ok) await this.#endEach(devices, commit);
      after = rows.at(-1)!.sequence;
    }
  }

  /** One of them can't be read: it is forgotten. */
  async #endEach(devices: readonly DeviceAddress[], commit: Parameters<E2eeSuite['endSessions']>[2]): Promise<void> {
    const { suite } = this.#context;
    for (const device of devices) {
      if ((await suite.archiveSessions([device], commit)).ok) continue;
      const ended = await suite.endSessions(device.interopId, [device.deviceId], commit);
      if (!ended.ok) throw new ClientError('store-failed', { cause: ended.error });
    }
  }

  /** False: a gatekeeper of 0.1.0, which keeps the other copy's keys. */
  async #renewKeys(): Promise<boolean> {
    const { store, suite, request } = this.#context;
    const commit = (staged: { readonly changes: Parameters<Transaction['apply']>[0] }): void =>
      committed(store.transaction(tx => tx.apply(staged.changes)));
    const made = await suite.renewKeys(commit);
    if (!made.ok) throw new ClientError('store-failed', { cause: made.error });
    try {
      await publishKeys(request, made.value, 'only');
    } catch (error) {
      if (error instanceof RequestRefused && error.stanzaError.condition === 'bad-request') return false;
      throw error;
    }
    const confirmed = await suite.confirmPublished(made.value, commit);
    if (!confirmed.ok) throw new ClientError('store-failed', { cause: confirmed.error });
    return true;
  }
}

function readDue(tx: Transaction): string | undefined {
  return readSetting(tx, 'restored');
}
