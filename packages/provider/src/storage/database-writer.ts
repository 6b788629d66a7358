// An embedded database in use: small indexed reads on this thread, writes and the fsyncs that they wait for on a thread of
// their own, so that whoever shares this process is not held up by a disk. Writes that come together share one commit.
// Knows nothing of tables.

import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { openDatabaseFile } from './database-file.ts';
import type { WriteJob, WriteReply } from './database-worker.ts';
import { type DatabaseWriteErrorCode, runWrite, type Statement, type WriteOutcome, type Written } from './run-write.ts';

/** Writes that wait for the disk beyond this are refused. */
export const maxWaitingWrites = 10_000;

/** What was to be written was not, or (`write-failed`, when the writer ended) nobody knows: do it again later. */
export class DatabaseWriteError extends Error {
  readonly code: DatabaseWriteErrorCode;
  constructor(code: DatabaseWriteErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export type LiveDatabase = {
  /** Sees what was durable when the read began. For files it can't write. */
  readonly reads: DatabaseSync;
  /** Runs the statements in order, all or none; what they wrote is on the disk when it resolves. Else a DatabaseWriteError. */
  readonly write: (...statements: readonly Statement[]) => Promise<readonly Written[]>;
  /** Waits for what was accepted. */
  readonly close: () => Promise<void>;
};

/** Opens the file, or `:memory:`, which has no disk to wait for and stays on this thread. `steps` as in `openDatabaseFile`. */
export function openLiveDatabase(path: string, name: string, steps: readonly string[]): LiveDatabase {
  const database = openDatabaseFile(path, name, steps);
  if (path === ':memory:') return inMemory(database);
  database.close();
  const reads = new DatabaseSync(path, { readOnly: true });
  const writer = new Writer(path);
  return {
    reads,
    write: (...statements) => writer.write(statements),
    close: async () => {
      if (reads.isOpen) reads.close();
      // Last: only a connection that may write cleans up the log.
      await writer.close();
    },
  };
}

function inMemory(reads: DatabaseSync): LiveDatabase {
  return {
    reads,
    async write(...statements) {
      if (!reads.isOpen) throw closedError();
      return outcomeOf(runWrite(reads, statements));
    },
    async close() {
      if (reads.isOpen) reads.close();
    },
  };
}

type Waiting = PromiseWithResolvers<readonly Written[]>;

/** The thread that writes. One that ended by itself is started again by the next write. */
class Writer {
  readonly #path: string;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;
  #closing: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  write(statements: readonly Statement[]): Promise<readonly Written[]> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    if (this.#waiting.size >= maxWaitingWrites) {
      return Promise.reject(new DatabaseWriteError('too-many-writes', 'too many writes wait for the disk'));
    }
    const id = ++this.#lastId;
    const waiting: Waiting = Promise.withResolvers();
    this.#waiting.set(id, waiting);
    this.#worker ??= this.#start();
    this.#worker.ref();
    this.#worker.postMessage({ id, statements } satisfies WriteJob);
    return waiting.promise;
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#end());
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    const ended = new Promise(resolve => worker.once('exit', resolve));
    // Behind every job that was accepted.
    worker.ref();
    worker.postMessage('close');
    await ended;
  }

  #start(): Worker {
    const fromSource = import.meta.url.endsWith('.ts');
    const program = new URL(fromSource ? './database-worker.ts' : './database-worker.js', import.meta.url);
    const worker = new Worker(program, {
      workerData: this.#path,
      execArgv: fromSource ? ['--conditions=drawbridge-source'] : [],
      name: 'provider-writer',
    });
    worker.on('message', (reply: WriteReply) => this.#settle(reply));
    // 'exit' follows, and tells who waits.
    worker.on('error', () => {});
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const each of this.#waiting.values()) {
        each.reject(new DatabaseWriteError('write-failed', 'the thread that writes has ended'));
      }
      this.#waiting.clear();
    });
    return worker;
  }

  #settle(reply: WriteReply): void {
    for (const outcome of reply) {
      const waiting = this.#waiting.get(outcome.id);
      this.#waiting.delete(outcome.id);
      if (outcome.kind === 'written') waiting?.resolve(outcome.written);
      else waiting?.reject(new DatabaseWriteError(outcome.code, outcome.message));
    }
    // A service that ends without closing is kept from ending by what isn't written, and by nothing else.
    if (this.#waiting.size === 0 && this.#closing === undefined) this.#worker?.unref();
  }
}

function outcomeOf(outcome: WriteOutcome): readonly Written[] {
  if (outcome.kind === 'written') return outcome.written;
  throw new DatabaseWriteError(outcome.code, outcome.message);
}

function closedError(): DatabaseWriteError {
  return new DatabaseWriteError('closed', 'the database is closed');
}
