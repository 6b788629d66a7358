// Moves an embedded store to PostgreSQL: every row in one transaction, and every row read back and compared before it is
// committed. All of it is there, or nothing is. Knows nothing of what the rows mean (moved-tables.ts).
import { existsSync } from 'node:fs';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { versionOf } from '@drawbridge/provider/database-file';
import { Database, Lane, noLimit, type Sql, type Value } from './postgres/database.ts';
import { slices } from './postgres/mailbox-sums.ts';
import { migrate } from './postgres/schema.ts';
import { StoreError } from './store-error.ts';
import { schemaVersion } from './sqlite/schema.ts';
import { type MovedTable, movedTables, numberDevices, numberedTables } from './moved-tables.ts';

/** What goes in one statement. */
const maxBatchRows = 1_000;
const maxBatchBytes = 4 * 1_024 * 1_024;
/** SQLITE_BUSY. */
const busy = 5;

export type MoveErrorCode =
  | 'no-store'
  | 'store-in-use'
  | 'other-version'
  | 'store-damaged'
  | 'target-in-use'
  | 'target-not-empty'
  | 'rows-differ'
  | 'database-failed';

/** A sentence for an operator. Nothing was moved. */
export class MoveError extends Error {
  readonly code: MoveErrorCode;
  constructor(code: MoveErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export type MoveProgress = { readonly step: 'copied' | 'checked'; readonly table: string; readonly rows: number };
type Row = Readonly<Record<string, SQLOutputValue>>;

/**
 * `file` is the embedded store, which no process may have open; `url` a database without rows. Rejects with a MoveError, or
 * the StartError of tables that a newer version made; the store is left as it was in any case.
 */
export async function moveStore(
  file: string,
  url: string,
  onProgress: (progress: MoveProgress) => void,
): Promise<{ readonly rows: number }> {
  const source = openSource(file);
  try {
    return await moveAll(source, url, onProgress);
  } catch (error) {
    if (error instanceof StoreError) throw new MoveError('database-failed', error.message);
    const { code } = error as { readonly code?: unknown };
    if (error instanceof Error && error.name === 'error' && typeof code === 'string') {
      throw new MoveError('database-failed', `PostgreSQL refused what was written (${code})`);
    }
    throw error;
  } finally {
    source.close();
  }
}

/** For this process alone, in the state of its last commit. */
function openSource(file: string): DatabaseSync {
  if (!existsSync(file)) throw new MoveError('no-store', `${file} is not there: there is nothing to move`);
  const db = new DatabaseSync(file);
  try {
    try {
      db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE');
    } catch (error) {
      if ((error as { readonly errcode?: number }).errcode !== busy) throw error;
      throw new MoveError('store-in-use', `another process has ${file} open: stop the gatekeeper first`);
    }
    if (versionOf(db) !== schemaVersion) {
      const next = 'start the gatekeeper of this version once with the embedded store, and stop it again';
      throw new MoveError('other-version', `${file} is of another version: ${next}`);
    }
    const [found] = db.prepare('PRAGMA integrity_check(1)').all() as { integrity_check: string }[];
    if (found?.integrity_check !== 'ok') {
      throw new MoveError('store-damaged', `${file} is damaged: restore a backup of it first`);
    }
    db.exec(numberDevices);
    return db;
  } catch (error) {
    db.close();
    if (error instanceof MoveError) throw error;
    throw new MoveError('store-damaged', `${file} can't be read: restore a backup of it first`);
  }
}

async function moveAll(
  source: DatabaseSync,
  url: string,
  onProgress: (progress: MoveProgress) => void,
): Promise<{ readonly rows: number }> {
  const tables = new Database(url, noLimit);
  try {
    await migrate(tables);
  } finally {
    await tables.close();
  }
  const lane = new Lane(url, noLimit);
  try {
    return await lane.transaction(async sql => {
      await takeTarget(sql);
      for (const table of movedTables)
        onProgress({ step: 'copied', table: table.name, rows: await copy(source, sql, table) });
      await addSums(source, sql);
      let rows = 0;
      for (const table of movedTables) {
        const count = await check(source, sql, table);
        onProgress({ step: 'checked', table: table.name, rows: count });
        rows += count;
      }
      return { rows };
    });
  } finally {
    await lane.close();
  }
}

/** Nobody starts on it meanwhile: a start takes the row of the tables' version first. */
async function takeTarget(sql: Sql): Promise<void> {
  await sql.rows('SELECT 1 FROM drawbridge_schema FOR UPDATE');
  if ((await sql.rows('SELECT 1 FROM node LIMIT 1')).length > 0) {
    throw new MoveError('target-in-use', 'a gatekeeper runs, or ran, on the PostgreSQL database: name an empty one');
  }
  for (const { name } of movedTables) {
    await sql.change(`LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`);
    if ((await sql.rows(`SELECT 1 FROM ${name} LIMIT 1`)).length === 0) continue;
    throw new MoveError('target-not-empty', `the PostgreSQL database has rows already (${name}): name an empty one`);
  }
}

async function copy(source: DatabaseSync, sql: Sql, table: MovedTable): Promise<number> {
  const names = Object.keys(table.columns);
  const text = `INSERT INTO ${table.name} (${names.join(', ')}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest(${arraysOf(table, names)})`;
  let rows = 0;
  for (const batch of batchesOf(source, table))
    rows += await sql.change(
      text,
      names.map(name => valuesOf(table, name, batch)),
    );
  await sql.change(`ANALYZE ${table.name}`);
  return rows;
}

/** Every row is read again on both sides, by its key, and nothing else is there. */
async function check(source: DatabaseSync, sql: Sql, table: MovedTable): Promise<number> {
  const { name: tableName, keys } = table;
  const names = Object.keys(table.columns);
  const text = `SELECT ${names.join(', ')} FROM unnest(${arraysOf(table, keys)}) WITH ORDINALITY AS asked (${keys.join(', ')}, place)
    JOIN ${tableName} USING (${keys.join(', ')}) ORDER BY place`;
  let rows = 0;
  for (const batch of batchesOf(source, table)) {
    const found = await sql.rows<Row>(
      text,
      keys.map(key => valuesOf(table, key, batch)),
    );
    const isSame =
      found.length === batch.length &&
      batch.every((row, i) => names.every(name => same(plain(table, name, row[name]), found[i]![name])));
    if (!isSame)
      throw new MoveError('rows-differ', `rows of ${tableName} came out of PostgreSQL otherwise than they went in`);
    rows += batch.length;
  }
  const [there] = await sql.rows<{ count: number }>(`SELECT count(*) AS count FROM ${tableName}`);
  if (there!.count !== rows)
    throw new MoveError('rows-differ', `${tableName} has ${there!.count} rows in place of ${rows}`);
  return rows;
}

/** What is counted otherwise there, and where numbers go on. */
async function addSums(source: DatabaseSync, sql: Sql): Promise<void> {
  await sql.change(
    `INSERT INTO mailbox_provider (provider, slice, bytes)
     SELECT provider, account % ${slices}, sum(bytes) FROM mailbox_person JOIN account ON account.row = mailbox_person.account
     GROUP BY provider, account % ${slices} HAVING sum(bytes) > 0`,
  );
  const lastOf = (table: string): number => {
    const row = source.prepare('SELECT seq FROM sqlite_sequence WHERE name = ?').get(table);
    return Number(row?.['seq'] ?? 0);
  };
  await sql.change('UPDATE audit_head SET last_seq = $1', [lastOf('audit')]);
  const moved = source.prepare('SELECT coalesce(max(account), 0) AS last FROM moved').get();
  await goOnAfter(sql, "'account_row'", Math.max(lastOf('account'), Number(moved?.['last'])));
  for (const table of numberedTables) {
    await goOnAfter(sql, `pg_get_serial_sequence('${table}', 'seq')`, lastOf(table));
  }
}

async function goOnAfter(sql: Sql, sequence: string, last: number): Promise<void> {
  if (last > 0) await sql.rows(`SELECT setval(${sequence}, $1)`, [last]);
}

function arraysOf({ columns }: MovedTable, names: readonly string[]): string {
  return names.map((name, i) => `$${i + 1}::${columns[name]}[]`).join(', ');
}

function valuesOf(table: MovedTable, name: string, batch: readonly Row[]): Value {
  return batch.map(row => plain(table, name, row[name]));
}

/** The embedded store knows no booleans. */
function plain(
  { columns }: MovedTable,
  name: string,
  value: SQLOutputValue | undefined,
): string | number | boolean | Uint8Array | null {
  if (value === undefined || typeof value === 'bigint') {
    throw new MoveError('store-damaged', `column ${name} is not what it should be: restore a backup first`);
  }
  return columns[name] === 'boolean' && value !== null ? value === 1 : value;
}

function same(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return a === b;
}

function* batchesOf(source: DatabaseSync, table: MovedTable): Generator<readonly Row[]> {
  let batch: Row[] = [];
  let bytes = 0;
  for (const row of source.prepare(table.source).iterate() as Iterable<Row>) {
    batch.push(row);
    for (const value of Object.values(row)) if (value instanceof Uint8Array) bytes += value.length;
    if (batch.length < maxBatchRows && bytes < maxBatchBytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}
