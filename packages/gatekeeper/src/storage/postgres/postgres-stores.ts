// All storage ports on one PostgreSQL database. Knows no rules.
import type { MailboxStore } from '../../mailbox/mailbox-store.ts';
import { createHeartbeat } from '../heartbeat.ts';
import type { MailboxDepth, Stores } from '../stores.ts';
import { postgresAccounts } from './accounts.ts';
import { postgresAdmins } from './admins.ts';
import { postgresApplications } from './applications.ts';
import { postgresAuditLog } from './audit.ts';
import { postgresClock } from './clock.ts';
import { postgresCluster } from './cluster.ts';
import { postgresLinks } from './contact-links.ts';
import { postgresContacts } from './contacts.ts';
import { Database, noLimit, type Sql } from './database.ts';
import { postgresEvents } from './events.ts';
import { postgresKeyDirectory } from './keys.ts';
import { runMailboxCommands } from './mailbox-batch.ts';
import { MailboxLane } from './mailbox-lane.ts';
import { readOrphaned, removeOrphaned } from './mailbox-orphans.ts';
import { readDevices, readExpired, readPage } from './mailbox-reads.ts';
import { postgresPeople } from './people.ts';
import { postgresProofIds } from './proof-ids.ts';
import { postgresProviders } from './providers.ts';
import { postgresReports } from './reports.ts';
import { postgresRestrictions } from './restrictions.ts';
import { migrate } from './schema.ts';
import { postgresSubjectEvents } from './subject-events.ts';
import { postgresWakeUps } from './wake-ups.ts';

export type PostgresStores = { readonly stores: Stores; readonly close: () => Promise<void> };

function createMailboxes(database: Database, lane: MailboxLane): MailboxStore {
  return {
    claim: (device, node) => lane.call({ kind: 'claim', device, node }),
    release: (device, epoch) => lane.call({ kind: 'release', device, epoch }),
    append: (rows, bounds) => lane.call({ kind: 'append', rows, bounds }),
    remove: ranges => lane.call({ kind: 'remove', ranges }),
    hasLoud: device => lane.call({ kind: 'has-loud', device }),
    page: (device, epoch, afterSeq, maxCount, maxBytes) =>
      readPage(database, { device, epoch, afterSeq, maxCount, maxBytes }),
    devices: () => readDevices(database),
    endOtherClaims: node => database.transaction(sql => endOtherClaims(sql, node)),
    expired: (nowMs, after, maxCount, maxBytes) => readExpired(database, nowMs, after, maxCount, maxBytes),
    orphaned: (maxCount, maxBytes) => readOrphaned(database, maxCount, maxBytes),
    removeOrphaned: (...piece) => database.transaction(sql => removeOrphaned(sql, ...piece)),
  };
}

async function endOtherClaims(sql: Sql, node: string): Promise<readonly string[]> {
  const ended = await sql.rows<{ account: number; loud: number }>(
    'UPDATE mailbox_head SET node = NULL WHERE node <> $1 RETURNING account, loud',
    [node],
  );
  const accounts = ended.filter(head => head.loud > 0).map(head => head.account);
  const people = await sql.rows<{ interopId: string }>(
    'SELECT interop_id AS "interopId" FROM account WHERE row = ANY ($1::bigint[]) ORDER BY row',
    [accounts],
  );
  return people.map(person => person.interopId);
}

async function measureDepth(database: Database): Promise<MailboxDepth> {
  const row = await database.row<{ devices: number; entries: number; oldest: number | null }>(
    `SELECT count(*) AS devices, coalesce(sum(count), 0) AS entries, min(
       (SELECT accepted_at FROM mailbox WHERE mailbox.account = head.account AND mailbox.device = head.device ORDER BY seq LIMIT 1)
     ) AS oldest FROM mailbox_head AS head WHERE count > 0`,
  );
  const { devices, entries, oldest } = row!;
  return { devices, entries, oldestAcceptedAtMs: oldest ?? undefined };
}

/** Connects, and makes or brings up to date the tables. Rejects with a StoreError or StartError that says what to do. */
export async function openPostgresStores(url: string): Promise<PostgresStores> {
  const migrating = new Database(url, noLimit);
  try {
    await migrate(migrating);
  } finally {
    await migrating.close();
  }
  const database = new Database(url);
  const lane = new MailboxLane(url, runMailboxCommands);
  const beat = async (): Promise<void> => {
    await database.rows(
      `INSERT INTO heartbeat (node, at) VALUES ('any', 1) ON CONFLICT (node) DO UPDATE SET at = heartbeat.at + 1`,
    );
  };
  return {
    stores: {
      accounts: postgresAccounts(database),
      contacts: postgresContacts(database),
      links: postgresLinks(database),
      keys: postgresKeyDirectory(database),
      proofIds: postgresProofIds(database),
      providers: postgresProviders(database),
      applications: postgresApplications(database),
      wakeUps: postgresWakeUps(database),
      reports: postgresReports(database),
      restrictions: postgresRestrictions(database),
      outgoingEvents: postgresEvents(database),
      subjectEvents: postgresSubjectEvents(database),
      audit: postgresAuditLog(database),
      admins: postgresAdmins(database),
      people: postgresPeople(database),
      clock: postgresClock(database),
      mailboxes: createMailboxes(database, lane),
      cluster: postgresCluster(database, lane),
      waiting: () => database.waiting + lane.waiting,
      measureDepth: () => measureDepth(database),
      health: createHeartbeat(beat, () => performance.now()),
    },
    async close() {
      await lane.close();
      await database.close();
    },
  };
}
