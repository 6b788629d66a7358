// Provider states and wake-ups that wait. Runs in the storage workers.
// Knows nothing of when they are asked for.
import type { DatabaseSync } from 'node:sqlite';
import type {
  ProviderStates,
  ProviderStatus,
  ProviderUse,
  RegisterResult,
  StoredKeySet,
} from '../../providers/provider-states.ts';
import type { PendingWakeUp, WakeUpWrite } from '../../wakeup/wake-up-queue.ts';
import { writeAudit } from './audit-commands.ts';
import { addEvent } from './event-commands.ts';
import { prepared } from './prepared.ts';

export const operationsWrites = {
  /**
   * Makes the configured providers known and gives back the stored status of each, in their order.
   * A number or name that belongs to another provider already is refused, and nothing is written.
   */
  providersRegister(
    db: DatabaseSync,
    args: { providers: readonly { number: number; name: string }[]; nowMs: number },
  ): RegisterResult {
    const select = prepared(db, 'SELECT number, name, status FROM provider WHERE number = ? OR name = ?');
    const known = args.providers.map(
      ({ number, name }) =>
        select.all(number, name) as unknown as { number: number; name: string; status: ProviderStatus }[],
    );
    for (const [index, { number, name }] of args.providers.entries()) {
      const other = known[index]!.find(row => row.number !== number || row.name !== name);
      if (other !== undefined) {
        return { kind: 'refused', number, storedName: other.name, storedNumber: other.number };
      }
    }
    const insert = prepared(db, "INSERT INTO provider (number, name, status, changed_at) VALUES (?, ?, 'live', ?)");
    const statuses = args.providers.map(({ number, name }, index): ProviderStatus => {
      const row = known[index]![0];
      if (row !== undefined) return row.status;
      insert.run(number, name, args.nowMs);
      writeAudit(db, {
        atMs: args.nowMs,
        actor: 'configuration',
        action: 'provider-registered',
        subject: String(number),
      });
      return 'live';
    });
    return { kind: 'registered', statuses };
  },

  providerSetStatus(
    db: DatabaseSync,
    args: Parameters<ProviderStates['setStatus']>[0],
  ): 'changed' | 'same' | 'unknown' {
    const row = prepared(db, 'SELECT status FROM provider WHERE number = ?').get(args.number) as
      | { status: ProviderStatus }
      | undefined;
    if (row === undefined) return 'unknown';
    if (row.status === args.status) return 'same';
    prepared(db, 'UPDATE provider SET status = ?, changed_at = ? WHERE number = ?').run(
      args.status,
      args.nowMs,
      args.number,
    );
    const action = args.status === 'live' ? 'provider-resumed' : 'provider-suspended';
    const { nowMs: atMs, actor, reason } = args;
    writeAudit(db, { atMs, actor, action, subject: String(args.number), reason });
    addEvent(db, args.event);
    return 'changed';
  },

  /** For the audit log alone. */
  providerKeysRevoked(db: DatabaseSync, args: Parameters<ProviderStates['noteKeysRevoked']>[0]): void {
    const { nowMs: atMs, actor, number, reason } = args;
    writeAudit(db, { atMs, actor, action: 'provider-keys-revoked', subject: String(number), reason });
    addEvent(db, args.event);
  },

  keySetKeep(db: DatabaseSync, set: StoredKeySet): void {
    prepared(
      db,
      `INSERT OR REPLACE INTO key_set (provider, places, body, fetched_at)
       SELECT number, ?, ?, ? FROM provider WHERE number = ?`,
    ).run(set.places, set.body, set.fetchedAtMs, set.number);
  },

  /**
   * Keeps and removes wake-ups, in order. A newer one takes the place of the older; one is removed only under its own
   * token id. Gone accounts are passed over.
   */
  wakeUpsWrite(db: DatabaseSync, list: readonly WakeUpWrite[]): void {
    const keep = prepared(
      db,
      `INSERT OR REPLACE INTO wake_up (account, token_id, requested_at)
       SELECT row, ?, ? FROM account WHERE row = ?`,
    );
    const remove = prepared(db, 'DELETE FROM wake_up WHERE account = ? AND token_id = ?');
    for (const { account, tokenId, requestedAtMs } of list) {
      if (requestedAtMs === undefined) remove.run(account, tokenId);
      else keep.run(tokenId, requestedAtMs, account);
    }
  },
};

export const operationsReads = {
  /** Wake-ups that wait, by account row after `afterAccount`, at most `limit`. */
  wakeUpsPending(db: DatabaseSync, args: { afterAccount: number; limit: number }): PendingWakeUp[] {
    const select = prepared(
      db,
      `SELECT wake_up.account, interop_id AS interopId, provider, identifier, token_id AS tokenId,
         requested_at AS requestedAtMs
       FROM wake_up JOIN account ON account.row = wake_up.account
       WHERE wake_up.account > ? ORDER BY wake_up.account LIMIT ?`,
    );
    return select.all(args.afterAccount, args.limit).map(row => ({ ...(row as unknown as PendingWakeUp) }));
  },

  keySets(db: DatabaseSync): StoredKeySet[] {
    const select = prepared(db, 'SELECT provider AS number, places, body, fetched_at AS fetchedAtMs FROM key_set');
    return select.all().map(row => ({ ...(row as unknown as StoredKeySet) }));
  },

  /** What each provider's people take, in ascending number. */
  providersUse(db: DatabaseSync): ProviderUse[] {
    const select = prepared(
      db,
      `SELECT number, enlistments, coalesce(bytes, 0) AS mailboxBytes
       FROM provider LEFT JOIN mailbox_provider ON provider = number ORDER BY number`,
    );
    return select.all().map(row => ({ ...(row as unknown as ProviderUse) }));
  },
};
