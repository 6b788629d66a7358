// docs/data.md names every column of real databases, and every field that a log line may have, and nothing that is not there.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { createProvider } from '@drawbridge/provider/provider';
import { logFields } from './control-log.ts';
import { openSqliteStore } from './storage/sqlite/store.ts';

const page = readFileSync(new URL('../../../docs/data.md', import.meta.url), 'utf8');

/** Names in code of the first column of the section's tables. */
function named(title: string): string[] {
  const [, section = ''] = page.split(`\n## ${title}\n`);
  const [tables = ''] = section.split('\n## ');
  const cells = [...tables.matchAll(/^\| (`[^|]*`) \|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap(cell => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)).toSorted();
}

function columnsOf(file: string): string[] {
  const db = new DatabaseSync(file, { readOnly: true });
  const rows = db
    .prepare(
      `SELECT m.name || '.' || c.name AS name FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS c
       WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`,
    )
    .all();
  db.close();
  return rows.map(row => String(row['name']));
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-data-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("the page has every column of the gatekeeper's database, once", async t => {
  const file = join(folderOf(t), 'gatekeeper.sqlite');
  await (await openSqliteStore(file)).close();
  const columns = columnsOf(file);
  assert.ok(columns.length > 90);
  assert.deepEqual(named("The gatekeeper's database"), columns.toSorted());
});

test("the page has every column of the provider kit's databases, once", async t => {
  const folder = folderOf(t);
  const provider = await createProvider({
    issuer: 'https://skylark.example',
    gatekeepers: [{ issuer: 'https://citadel.example' }],
    dataFolder: folder,
    media: {},
    onWakeUp: async () => {},
  });
  await provider.close();
  const columns = [...columnsOf(join(folder, 'provider.sqlite')), ...columnsOf(join(folder, 'media', 'media.sqlite'))];
  assert.deepEqual(named("The provider kit's database"), columns.toSorted());
});

test('the page has every field that a log line may have', () => {
  assert.deepEqual(named('Log lines'), [...logFields].toSorted());
});
