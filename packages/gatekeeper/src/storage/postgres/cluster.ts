// What nodes on one PostgreSQL database know of one another. Its clock alone decides who is silent. Knows no bus.
import type { ClusterStore } from '../../cluster/cluster-store.ts';
import type { Database } from './database.ts';

export function postgresCluster(database: Database): ClusterStore {
  return {
    async beat(node) {
      await database.rows(
        `INSERT INTO node (name, seen_at) VALUES ($1, now()) ON CONFLICT (name) DO UPDATE SET seen_at = now()`,
        [node],
      );
    },
    endDeadClaims: (node, silentForMs) =>
      database.transaction(async sql => {
        const dead = await sql.rows<{ name: string }>(
          `DELETE FROM node WHERE name <> $1 AND seen_at < now() - make_interval(secs => $2::numeric / 1000) RETURNING name`,
          [node, silentForMs],
        );
        if (dead.length === 0) return [];
        const people = await sql.rows<{ interopId: string }>(
          `WITH ended AS (UPDATE mailbox_head SET node = NULL WHERE node = ANY ($1::text[]) RETURNING account, loud)
           SELECT DISTINCT interop_id AS "interopId" FROM ended JOIN account ON account.row = ended.account WHERE loud > 0`,
          [dead.map(({ name }) => name)],
        );
        return people.map(person => person.interopId);
      }),
    waitingHere: node =>
      database.rows(
        'SELECT device, last_seq AS "lastSeq" FROM mailbox_head WHERE node = $1 AND count > 0 ORDER BY device',
        [node],
      ),
  };
}
