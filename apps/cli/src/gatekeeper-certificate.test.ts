// Drill: the certificate of a running gatekeeper ends. A client that is connected stays, one that comes is told why not, `check` names the
// file, and files that are replaced are enough.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@drawbridge/client';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { loopbackNames } from './dev-pki.ts';
import {
  commandFile,
  type GatekeeperFolder,
  makeGatekeeperFolder,
  type RunningGatekeeper,
  servedSerial,
} from './testing/running-gatekeeper.ts';

let home: GatekeeperFolder | undefined;
let gatekeeper: RunningGatekeeper | undefined;
const clients: Client[] = [];
after(async () => {
  for (const client of clients) await client.close();
  gatekeeper?.signal('SIGKILL');
  await gatekeeper?.ended;
  home?.remove();
});

/** Writes a certificate that ends after so many seconds, with its authority; gives when. */
function certify({ pki }: GatekeeperFolder, seconds: number): number {
  const nowMs = Date.now();
  const authority = createDevelopmentAuthority({ nowMs, days: seconds / 86_400 });
  const { cert, key } = authority.issue([...loopbackNames, 'citadel.example']);
  writeFileSync(pki.caFile, authority.ca);
  writeFileSync(pki.keyFile, key);
  writeFileSync(pki.certFile, cert);
  return nowMs + seconds * 1_000;
}

/** Starts with a certificate that ends soon, and somebody who is connected before it does; on a slow machine it lasts longer. */
async function startAndConnect(folder: GatekeeperFolder): Promise<number> {
  for (let seconds = 15; seconds < 300; seconds *= 2) {
    const endsAtMs = certify(folder, seconds);
    try {
      gatekeeper = await folder.start();
      const client = await folder.person(`anna${seconds}`);
      clients.unshift(client);
      await client.connect();
      if (Date.now() < endsAtMs - 1_000) return endsAtMs;
    } catch {
      // It ended meanwhile.
    }
    gatekeeper?.signal('SIGKILL');
    await gatekeeper?.ended;
  }
  assert.fail('this machine is too slow');
}

test('drill: the certificate ends while the gatekeeper runs', { timeout: 400_000 }, async () => {
  const folder = await makeGatekeeperFolder();
  home = folder;
  const endsAtMs = await startAndConnect(folder);
  const running = gatekeeper!;
  const [anna] = clients as [Client];
  await running.line('certificate-warning');
  await sleep(Math.max(0, endsAtMs + 1_500 - Date.now()));

  await assert.rejects(folder.person('bob'), { code: 'certificate-refused' });
  assert.equal(anna.status.kind, 'online', 'who is connected stays');
  const check = spawnSync(
    process.execPath,
    ['--conditions=drawbridge-source', commandFile, 'gatekeeper', 'check', '--config', folder.file, '--offline'],
    { encoding: 'utf8' },
  );
  assert.equal(check.status, 1);
  assert.match(check.stdout + check.stderr, /server\.pem ended .*renew the certificate/);

  const before = await servedSerial(folder.ports.xmpps);
  certify(folder, 90 * 86_400);
  await running.line('certificate-replaced');
  assert.notEqual(await servedSerial(folder.ports.xmpps), before);
  const carl = await folder.person('carl');
  clients.push(carl);
  await carl.connect();
  assert.equal(anna.status.kind, 'online');
  const { status } = await fetch(`http://127.0.0.1:${folder.ports.admin}/readyz`);
  assert.equal(status, 200);
});
