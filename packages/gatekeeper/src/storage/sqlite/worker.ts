// The storage worker: takes a batch of commands, runs them in one transaction, answers when it is durable.
// A command that throws is rolled back alone (savepoint); a failed commit fails the whole batch. Where a page is damaged, each
// command has a transaction of its own, and those that can be done in parts are. Reads are answered one by one.
// Knows nothing of what the commands mean.
import { chmodSync, closeSync, openSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { commandParts, readCommands, writeCommands } from './commands.ts';
import { isDamage, type Parts } from './damage.ts';
import { DiskReserveReached, keepDiskReserve } from './disk-reserve.ts';
import { migrate } from './schema.ts';
import type { StoreErrorCode } from '../store-error.ts';
import type { WorkerCommand, WorkerData, WorkerResult } from './store.ts';

const port = parentPort!;
const { file, mode, diskReserveBytes } = workerData as WorkerData;
type Command = (db: DatabaseSync, args: unknown) => unknown;
const commands = (mode === 'write' ? writeCommands : readCommands) as unknown as Record<string, Command>;

/** SQLite's own number for a full disk (`SQLITE_FULL`). */
const sqliteFull = 13;

function storeErrorOf(error: unknown): { ok: false; code: StoreErrorCode; message: string } {
  const { errcode, code } = error as { errcode?: number; code?: string };
  const isFull = error instanceof DiskReserveReached || errcode === sqliteFull || code === 'ENOSPC';
  const message = error instanceof Error ? error.message : String(error);
  return { ok: false, code: isFull ? 'disk-full' : 'store-failed', message };
}

function runBatch(db: DatabaseSync, batch: readonly WorkerCommand[]): WorkerResult[] {
  const results: WorkerResult[] = [];
  try {
    db.exec('BEGIN IMMEDIATE');
    for (const { command, args } of batch) {
      const alone = batch.length === 1;
      if (!alone) db.exec('SAVEPOINT command');
      try {
        results.push({ ok: true, value: commands[command]!(db, args) });
      } catch (error) {
        const failure = storeErrorOf(error);
        const isFull = failure.code === 'disk-full' && !(error instanceof DiskReserveReached);
        const endsAll = isFull || isDamage(error);
        if (alone || endsAll || !db.isTransaction) throw error;
        db.exec('ROLLBACK TO command');
        results.push(failure);
      }
      if (!alone) db.exec('RELEASE command');
    }
    db.exec('COMMIT');
    return results;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    if (isDamage(error)) return batch.map(command => runAlone(db, command));
    const failure = storeErrorOf(error);
    if (failure.code === 'disk-full') useLogAgain(db);
    return batch.map(() => failure);
  }
}

const parts = commandParts as unknown as Record<string, Parts<unknown, unknown> | undefined>;

/** Where a page is damaged: a transaction for this command, or for each of its parts, so that no other is undone with it. */
function runAlone(db: DatabaseSync, { command, args }: WorkerCommand): WorkerResult {
  const result = runOne(db, command, args);
  const its = parts[command];
  if (result.kind === 'done') return { ok: true, value: result.value };
  if (!isDamage(result.error) || its === undefined) return storeErrorOf(result.error);
  const results: unknown[] = [];
  for (const part of its.split(args)) {
    const done = runOne(db, command, part);
    if (done.kind === 'failed' && !isDamage(done.error)) return storeErrorOf(done.error);
    results.push(done.kind === 'done' ? (done.value ?? null) : undefined);
  }
  return { ok: true, value: its.join(args, results) };
}

type Done = { readonly kind: 'done'; readonly value: unknown } | { readonly kind: 'failed'; readonly error: unknown };

function runOne(db: DatabaseSync, command: string, args: unknown): Done {
  try {
    db.exec('BEGIN IMMEDIATE');
    const value = commands[command]!(db, args);
    db.exec('COMMIT');
    return { kind: 'done', value };
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    return { kind: 'failed', error };
  }
}

/**
 * Moves the log into the tables, as far as there is room. It happens by itself only after a commit: a log that can't
 * grow would never be moved, and a disk with room inside the database's file would stay full for ever.
 */
function useLogAgain(db: DatabaseSync): void {
  try {
    db.exec('PRAGMA wal_checkpoint(PASSIVE)');
  } catch {
    // No room for that either: the next failure tries again.
  }
}

function runRead(db: DatabaseSync, { command, args }: WorkerCommand): WorkerResult {
  try {
    return { ok: true, value: commands[command]!(db, args) };
  } catch (error) {
    return storeErrorOf(error);
  }
}

/** Nobody else reads who is enlisted; what SQLite makes beside the file has its mode. */
function protect(path: string): void {
  closeSync(openSync(path, 'a', 0o600));
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
}

try {
  if (mode === 'write') protect(file);
  const db = new DatabaseSync(file, { readOnly: mode === 'read' });
  if (mode === 'write') {
    db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;');
    db.exec('PRAGMA cache_size=-65536; PRAGMA journal_size_limit=67108864;');
    migrate(db);
    keepDiskReserve(db, diskReserveBytes);
  } else db.exec('PRAGMA query_only=1; PRAGMA cache_size=-16384;');
  port.on('message', (message: readonly WorkerCommand[] | 'close') => {
    if (message === 'close') {
      if (mode === 'write') db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      db.close();
      port.close();
      return;
    }
    if (mode === 'write') port.postMessage({ kind: 'done', results: runBatch(db, message) });
    // Each read is answered when it is done: a quick one need not wait for a long one behind it.
    else for (const command of message) port.postMessage({ kind: 'done', results: [runRead(db, command)] });
  });
  port.postMessage({ kind: 'ready' });
} catch (error) {
  const { code, message } = storeErrorOf(error);
  port.postMessage({ kind: 'failed', code, message: `cannot open ${file}: ${message}` });
  port.close();
}
