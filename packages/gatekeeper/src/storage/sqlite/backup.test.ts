// A gatekeeper that is written to without a pause is backed up, its machine is lost, and another takes its place.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { loadCompactKeys } from '../../listeners/compact-keys.ts';
import { openAdminToken } from '../../http/admin-token.ts';
import { domain, type Fixture, openFixture } from '../../testing/control-fixture.ts';
import { mailboxRow, unbounded } from '../../testing/mailbox-contract.ts';
import { openEventKeys } from '../../wakeup/event-keys.ts';
import { backupGatekeeper, restoreGatekeeper } from './backup.ts';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
function place(): string {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-backup-'));
  folders.push(folder);
  return join(folder, 'there');
}
const embedded = { config: { ownUsers: { kind: 'embedded', registration: 'open' } } };

/** Writes until it is told to stop; `acknowledged` is the last sequence that storage took. */
function busyWriter({ store }: Fixture, device: number) {
  const state = { acknowledged: 0, stop: false };
  const done = (async () => {
    for (let seq = 1; !state.stop; seq++) {
      await store.run('mailboxAppend', { rows: [mailboxRow(device, seq, 2_000)], bounds: unbounded });
      state.acknowledged = seq;
    }
  })();
  return { state, done };
}

test('drill: the data folder of a busy gatekeeper is lost; what it had acknowledged before the backup is back', async () => {
  const fixture = await openFixture(embedded);
  const { account, device } = await fixture.enlist(1, 'anna');
  await fixture.control.ownUsers!.directory.register?.('bob', 'correct horse');
  const compact = loadCompactKeys(join(fixture.folder, 'compact-keys.json'), domain, fixture.clock.nowMs);
  const token = openAdminToken(fixture.folder);
  const events = fixture.control.signingKeys.published;
  const users = fixture.control.ownUsers!.keySet();
  const writer = busyWriter(fixture, device.row);
  while (writer.state.acknowledged < 50) await new Promise(resolve => setTimeout(resolve, 5));
  const before = writer.state.acknowledged;
  const backup = place();
  const manifest = await backupGatekeeper(fixture.folder, backup, fixture.clock.nowMs);
  assert.notEqual(writer.state.acknowledged, before, 'it was written to meanwhile');
  writer.state.stop = true;
  await writer.done;
  await fixture.close();

  assert.deepEqual(
    manifest.files.map(file => file.path),
    [
      'gatekeeper.sqlite',
      'compact-keys.json',
      'compact-backup-key.json',
      'event-keys.json',
      'media-grant-key',
      'stamp-secret',
      'admin-token',
      'users/provider.sqlite',
      'users/media/media.sqlite',
      'users/signing-keys.json',
    ],
  );
  for (const { path } of manifest.files) assert.equal(statSync(join(backup, path)).mode & 0o777, 0o600, path);
  const folder = place();
  assert.deepEqual(await restoreGatekeeper(backup, folder), manifest);
  const restored = await openFixture({ ...embedded, folder, world: fixture.world });
  assert.equal((await restored.control.accounts.find(account.interopId))?.devices[0]?.row, device.row);
  const { count, lastSeq } = restored.store.reads
    .prepare('SELECT count(*) AS count, max(seq) AS lastSeq FROM mailbox WHERE device = ?')
    .get(device.row) as { count: number; lastSeq: number };
  assert(count >= before && count === lastSeq, 'a prefix of what was written, and all that was there before');
  assert.equal(await restored.control.ownUsers!.directory.exists('bob'), true);
  assert.deepEqual(restored.control.ownUsers!.keySet(), users);
  assert.deepEqual(openEventKeys(folder).published, events);
  assert.equal(openAdminToken(folder), token);
  const keys = loadCompactKeys(join(folder, 'compact-keys.json'), domain, fixture.clock.nowMs);
  assert.deepEqual(keys.signingJwk, compact.signingJwk);
  await restored.close();
});

test('a backup that was changed, cut, made up or written by a newer version makes no data folder', async () => {
  const fixture = await openFixture();
  await fixture.enlist(1, 'anna');
  const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
    await work.then(
      () => 'done',
      (error: { code?: unknown }) => error.code,
    );
  const spoilt: [string, string, (backup: string) => void][] = [
    ['a flipped bit', 'backup-damaged', backup => flip(join(backup, 'gatekeeper.sqlite'))],
    ['another key', 'backup-damaged', backup => writeFileSync(join(backup, 'event-keys.json'), '{}')],
    ['a file is gone', 'backup-damaged', backup => rmSync(join(backup, 'media-grant-key'))],
    ['no manifest', 'not-a-backup', backup => rmSync(join(backup, 'backup.json'))],
    ['a cut manifest', 'not-a-backup', backup => change(backup, text => text.slice(0, 40))],
    ['a file elsewhere', 'not-a-backup', backup => change(backup, text => text.replace('event-keys.json', '../x'))],
    ['no database', 'not-a-backup', backup => change(backup, text => text.replace('gatekeeper.sqlite', 'admin-token'))],
    ['a newer version', 'backup-newer', becomeNewer],
  ];
  for (const [name, code, spoil] of spoilt) {
    const backup = place();
    await backupGatekeeper(fixture.folder, backup, 0);
    spoil(backup);
    const folder = place();
    assert.equal(await codeOf(restoreGatekeeper(backup, folder)), code, name);
    assert.deepEqual(readdirSync(join(folder, '..')), [], `${name}: nothing is left`);
  }
  const full = place();
  await backupGatekeeper(fixture.folder, full, 0);
  assert.equal(await codeOf(backupGatekeeper(fixture.folder, full, 0)), 'target-in-use');
  assert.equal(await codeOf(restoreGatekeeper(full, fixture.folder)), 'target-in-use');
  assert.equal(await codeOf(backupGatekeeper(place(), place(), 0)), 'nothing-to-back-up');
  await fixture.close();
});

function flip(file: string): void {
  const bytes = readFileSync(file);
  bytes[bytes.length - 100]! ^= 1;
  writeFileSync(file, bytes);
}

function change(backup: string, by: (text: string) => string): void {
  const file = join(backup, 'backup.json');
  writeFileSync(file, by(readFileSync(file, 'utf8')));
}

/** As a later version would have left it, with a manifest of its own. */
function becomeNewer(backup: string): void {
  const db = new DatabaseSync(join(backup, 'gatekeeper.sqlite'));
  db.exec('PRAGMA user_version = 999');
  db.close();
  const bytes = readFileSync(join(backup, 'gatekeeper.sqlite'));
  const manifest = JSON.parse(readFileSync(join(backup, 'backup.json'), 'utf8')) as { files: object[] };
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  manifest.files[0] = { path: 'gatekeeper.sqlite', sizeBytes: bytes.length, sha256 };
  writeFileSync(join(backup, 'backup.json'), JSON.stringify(manifest));
}

test('a backup to where no folder can be made ends with a sentence', { timeout: 60_000 }, async () => {
  const fixture = await openFixture();
  await assert.rejects(backupGatekeeper(fixture.folder, '/proc/drawbridge/copy', fixture.clock.nowMs), {
    code: 'target-unusable',
  });
  await fixture.close();
});
