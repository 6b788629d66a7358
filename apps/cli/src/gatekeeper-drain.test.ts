// SIGTERM on a running gatekeeper: load balancers are told first, then streams, and all that was accepted is kept.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { type GatekeeperFolder, makeGatekeeperFolder, type RunningGatekeeper } from './testing/running-gatekeeper.ts';

let home: GatekeeperFolder;
let gatekeeper: RunningGatekeeper | undefined;
let anna: Client | undefined;
after(async () => {
  await anna?.close();
  gatekeeper?.signal('SIGKILL');
  await gatekeeper?.ended;
  home?.remove();
});

test('readiness goes off while streams go on; then they end in order, and the exit code is 0', async () => {
  home = await makeGatekeeperFolder();
  home.write({
    drain: { noticeSeconds: 2, spreadSeconds: 1, deadlineSeconds: 20 },
    listeners: { ...(home.config['listeners'] as object), health: { host: '127.0.0.1', port: home.ports.health } },
  });
  gatekeeper = await home.start();
  const client = await home.person('anna');
  anna = client;
  await client.connect();
  gatekeeper.signal('SIGTERM');
  await gatekeeper.line('drain-not-ready');
  const status = async (port: number, path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}${path}`)).status;
  for (const port of [home.ports.admin, home.ports.health]) {
    assert.deepEqual([await status(port, '/readyz'), await status(port, '/healthz')], [503, 200]);
  }
  assert.equal(client.status.kind, 'online');
  assert.equal((await gatekeeper.line('drain-streams'))['streams'], 1);
  assert.equal((await gatekeeper.ended).code, 0);
  assert.equal(gatekeeper.lines.at(-1)?.event, 'stopped');
  assert.notEqual(client.status.kind, 'online');
});

test('what is not done at the deadline is given up, and the exit code says so', async t => {
  const stuck = await makeGatekeeperFolder();
  t.after(() => stuck.remove());
  stuck.write({ drain: { noticeSeconds: 0, spreadSeconds: 0, deadlineSeconds: 1 } });
  const running = await stuck.start();
  t.after(() => running.signal('SIGKILL'));
  // Somebody else holds the database: nothing can be written any more.
  const holder = new DatabaseSync(join(stuck.folder, 'data', 'gatekeeper.sqlite'), { timeout: 10_000 });
  t.after(() => holder.close());
  holder.exec('BEGIN IMMEDIATE');
  running.signal('SIGTERM');
  const { code, err } = await running.ended;
  assert.equal(code, 1);
  assert.match(err, /could not close in good order\nNext: look at the log, the disk and its space/);
});
