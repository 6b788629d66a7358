// Admins on PostgreSQL. Knows nothing of roles or HTTP.
import type { Admin, AdminAccounts } from '../../admin/admin-accounts.ts';
import { writeAudit } from './audit.ts';
import type { Database } from './database.ts';

const columns = 'name, role, added_at AS "addedAtMs" FROM admin';

export function postgresAdmins(database: Database): AdminAccounts {
  return {
    add: ({ name, role, tokenDigest, actor, nowMs }) =>
      database.transaction(async sql => {
        const added = await sql.change(
          `INSERT INTO admin (name, role, token_digest, added_at) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING`,
          [name, role, tokenDigest, nowMs],
        );
        if (added === 0) return 'name-taken';
        await writeAudit(sql, { atMs: nowMs, actor, action: 'admin-added', subject: name, reason: role });
        return 'added';
      }),
    remove: ({ name, actor, nowMs }) =>
      database.transaction(async sql => {
        if ((await sql.change('DELETE FROM admin WHERE name = $1', [name])) === 0) return 'unknown';
        await writeAudit(sql, { atMs: nowMs, actor, action: 'admin-removed', subject: name });
        return 'removed';
      }),
    list: () => database.rows<Admin>(`SELECT ${columns} ORDER BY name`),
    findByToken: tokenDigest => database.row<Admin>(`SELECT ${columns} WHERE token_digest = $1`, [tokenDigest]),
  };
}
