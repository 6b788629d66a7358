// Wake-ups that wait to be sent, on PostgreSQL. Knows no endpoint.
import type { WakeUpQueue } from '../../wakeup/wake-up-queue.ts';
import type { Database } from './database.ts';

export function postgresWakeUps(database: Database): WakeUpQueue {
  return {
    write: list =>
      database.transaction(async sql => {
        for (const { account, tokenId, requestedAtMs } of list) {
          if (requestedAtMs === undefined) {
            await sql.change('DELETE FROM wake_up WHERE account = $1 AND token_id = $2', [account, tokenId]);
          } else {
            await sql.change(
              `INSERT INTO wake_up (account, token_id, requested_at) SELECT row, $2, $3 FROM account WHERE row = $1
               ON CONFLICT (account) DO UPDATE SET token_id = excluded.token_id, requested_at = excluded.requested_at`,
              [account, tokenId, requestedAtMs],
            );
          }
        }
      }),
    page: (afterAccount, limit) =>
      database.rows(
        `SELECT wake_up.account, interop_id AS "interopId", provider, identifier, token_id AS "tokenId",
           requested_at AS "requestedAtMs"
         FROM wake_up JOIN account ON account.row = wake_up.account
         WHERE wake_up.account > $1 ORDER BY wake_up.account LIMIT $2`,
        [afterAccount, limit],
      ),
  };
}
