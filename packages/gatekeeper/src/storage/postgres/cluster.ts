// What nodes on one PostgreSQL database know of one another. Its clock alone decides who is silent. Knows no bus.
import type { ClusterStore } from '../../cluster/cluster-store.ts';
import type { Database, Sql } from './database.ts';
import type { MailboxLane } from './mailbox-lane.ts';
import { accountOf } from './rows.ts';

/** Nodes that have claims and have not said that they live, or are not known any more: a step of the index for each node. */
const namelessOwners = `
WITH RECURSIVE owner (name) AS (
  (SELECT node FROM mailbox_head WHERE node IS NOT NULL ORDER BY node LIMIT 1)
  UNION ALL
  SELECT (SELECT node FROM mailbox_head WHERE node > owner.name ORDER BY node LIMIT 1) FROM owner WHERE owner.name IS NOT NULL
)
SELECT name FROM owner WHERE name IS NOT NULL AND name <> $1 AND NOT EXISTS (SELECT 1 FROM node WHERE node.name = owner.name)`;

async function endDeadClaims(sql: Sql, node: string, silentForMs: number): Promise<readonly string[]> {
  const dead = await sql.rows<{ name: string }>(
    `DELETE FROM node WHERE name <> $1 AND seen_at < now() - make_interval(secs => $2::numeric / 1000) RETURNING name`,
    [node, silentForMs],
  );
  const nameless = await sql.rows<{ name: string }>(namelessOwners, [node]);
  if (dead.length + nameless.length === 0) return [];
  const people = await sql.rows<{ interopId: string }>(
    `WITH ended AS (UPDATE mailbox_head SET node = NULL WHERE node = ANY ($1::text[]) RETURNING account, loud)
     SELECT DISTINCT interop_id AS "interopId" FROM ended JOIN account ON account.row = ended.account WHERE loud > 0`,
    [[...dead, ...nameless].map(({ name }) => name)],
  );
  return people.map(person => person.interopId);
}

export function postgresCluster(database: Database, lane: MailboxLane): ClusterStore {
  return {
    async beat(node) {
      const known = await database.rows('UPDATE node SET seen_at = now() WHERE name = $1 RETURNING name', [node]);
      if (known.length > 0) return 'known';
      await database.rows('INSERT INTO node (name, seen_at) VALUES ($1, now()) ON CONFLICT DO NOTHING', [node]);
      return 'new';
    },
    endDeadClaims: (node, silentForMs) => database.transaction(sql => endDeadClaims(sql, node, silentForMs)),
    renewClaims: (node, claims) => lane.call({ kind: 'renew', node, claims }),
    async claimsOver(claims) {
      if (claims.length === 0) return [];
      return await database.rows(
        `SELECT mine.device, mine.epoch FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS mine (account, device, epoch)
         LEFT JOIN mailbox_head AS head USING (account, device) WHERE head.epoch IS DISTINCT FROM mine.epoch`,
        [
          claims.map(claim => accountOf(claim.device)),
          claims.map(claim => claim.device),
          claims.map(claim => claim.epoch),
        ],
      );
    },
    waitingHere: (node, afterDevice, limit) =>
      database.rows(
        `SELECT device, last_seq AS "lastSeq" FROM mailbox_head WHERE node = $1 AND device > $2 AND count > 0
         ORDER BY device LIMIT $3`,
        [node, afterDevice, limit],
      ),
  };
}
