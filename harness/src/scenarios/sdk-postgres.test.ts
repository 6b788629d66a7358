// The SDK's scenarios against a gatekeeper that keeps everything in PostgreSQL.
import { after, test } from 'node:test';
import { postgresAbsence, type PostgresServer, startPostgres } from '../postgres-server.ts';
import { startSdkNetwork } from './sdk-network.ts';
import { testSdk } from './sdk-scenarios.ts';

const absence = postgresAbsence();
if (absence === undefined) {
  let server: PostgresServer | undefined;
  testSdk(() => {
    server = startPostgres();
    return startSdkNetwork({ kind: 'postgres', url: server.createDatabase() });
  });
  after(() => server?.close());
} else {
  console.warn(`SKIPPED: the SDK's scenarios on PostgreSQL: ${absence}`);
  test("the SDK's scenarios on PostgreSQL", { skip: absence }, () => undefined);
}
