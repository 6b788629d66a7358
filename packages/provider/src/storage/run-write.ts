// Runs writes on a connection: each all or nothing, several in one commit. Knows nothing of threads or tables.

import assert from 'node:assert/strict';
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

export type DatabaseWriteErrorCode = 'disk-full' | 'write-failed' | 'too-many-writes' | 'closed';

/** One statement. Only with `returning` its rows are given back. */
export type Statement = {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
  readonly returning?: true;
};
export type Written = { readonly changes: number; readonly rows: readonly Readonly<Record<string, SQLOutputValue>>[] };
export type WriteOutcome =
  | { readonly kind: 'written'; readonly written: readonly Written[] }
  | { readonly kind: 'failed'; readonly code: DatabaseWriteErrorCode; readonly message: string };

/** By connection and text: the texts are a closed set of this package's. */
const prepared = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

/** SQLITE_FULL. */
const diskFull = 13;

/** One write in a transaction of its own. */
export function runWrite(database: DatabaseSync, statements: readonly Statement[]): WriteOutcome {
  const [outcome] = runWrites(database, [statements]);
  assert(outcome !== undefined, 'each write has its outcome');
  return outcome;
}

/** All of them in one transaction; one that fails is taken back alone, and a commit that fails takes back all. */
export function runWrites(database: DatabaseSync, writes: readonly (readonly Statement[])[]): WriteOutcome[] {
  try {
    database.exec('BEGIN IMMEDIATE');
    const outcomes = writes.map(statements => runAlone(database, statements));
    database.exec('COMMIT');
    return outcomes;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    return writes.map(() => failed(error));
  }
}

function runAlone(database: DatabaseSync, statements: readonly Statement[]): WriteOutcome {
  database.exec('SAVEPOINT write');
  try {
    const written = statements.map(statement => run(database, statement));
    database.exec('RELEASE write');
    return { kind: 'written', written };
  } catch (error) {
    // A full disk may have ended the whole transaction.
    if (!database.isTransaction) throw error;
    database.exec('ROLLBACK TO write; RELEASE write');
    return failed(error);
  }
}

function run(database: DatabaseSync, { sql, values, returning }: Statement): Written {
  const statement = prepare(database, sql);
  if (returning === true) {
    const rows = statement.all(...values);
    return { changes: rows.length, rows };
  }
  return { changes: Number(statement.run(...values).changes), rows: [] };
}

function prepare(database: DatabaseSync, sql: string): StatementSync {
  const known = prepared.get(database) ?? new Map<string, StatementSync>();
  prepared.set(database, known);
  const statement = known.get(sql) ?? database.prepare(sql);
  known.set(sql, statement);
  return statement;
}

function failed(error: unknown): WriteOutcome {
  const isFull = error instanceof Error && 'errcode' in error && error.errcode === diskFull;
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'failed', code: isFull ? 'disk-full' : 'write-failed', message };
}
