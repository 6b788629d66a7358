// The durable store: one writer worker that commits many commands with one fsync, one reader worker for long reads,
// and a read-only connection on this thread for small indexed reads. Knows no domain: commands are named functions.
// Rule: `run` resolves only when what the command wrote is on the disk (WAL, synchronous=FULL).
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import type { ReadCommands, WriteCommands } from './commands.ts';
import { StoreError, type StoreErrorCode } from '../store-error.ts';
import { defaultDiskReserveBytes } from './disk-reserve.ts';

/** Commands waiting for the writer beyond this are refused with `store-overloaded`: callers slow their peers down first. */
export const maxWaitingCommands = 100_000;

type Args<F> = F extends (db: DatabaseSync, args: infer A) => unknown ? A : never;
type Result<F> = F extends (db: DatabaseSync, args: never) => infer R ? R : never;
type Waiting = { resolve: (value: never) => void; reject: (error: Error) => void };

export type SqliteStore = {
  /** Runs a command in the next group commit; atomic by itself. A command that throws writes nothing and rejects. */
  run<K extends keyof WriteCommands>(command: K, args: Args<WriteCommands[K]>): Promise<Result<WriteCommands[K]>>;
  /** Runs a reading command on the reader worker, seeing all that was durable when it started. */
  read<K extends keyof ReadCommands>(command: K, args: Args<ReadCommands[K]>): Promise<Result<ReadCommands[K]>>;
  /** Small indexed reads on this thread. */
  readonly reads: DatabaseSync;
  /** Commands accepted and not yet durable. */
  readonly waiting: number;
  /** Resolves when a worker ends that nobody closed: every further command rejects, and only a restart helps. */
  readonly died: Promise<StoreError>;
  /** Waits for accepted commands, then closes; repeats do nothing more. */
  close(): Promise<void>;
};

type WorkerReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly code: StoreErrorCode; readonly message: string }
  | { readonly kind: 'done'; readonly results: readonly WorkerResult[] };
export type WorkerResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: StoreErrorCode; readonly message: string };
export type WorkerData = { readonly file: string; readonly mode: 'write' | 'read'; readonly diskReserveBytes: number };
export type WorkerCommand = { readonly command: string; readonly args: unknown };

const fromSource = import.meta.url.endsWith('.ts');

class CommandWorker {
  readonly #worker: Worker;
  #queue: WorkerCommand[] = [];
  #queued: Waiting[] = [];
  #inFlight: Waiting[] | undefined;
  /** How many of those in flight have been answered. */
  #answered = 0;
  #dead: StoreError | undefined;
  #idle: (() => void)[] = [];
  readonly ready: Promise<void>;
  readonly died: Promise<StoreError>;
  #tellDeath: (error: StoreError) => void;
  readonly #exited: Promise<void>;

  constructor(data: WorkerData, program: URL) {
    this.#worker = new Worker(program, {
      workerData: data,
      execArgv: fromSource ? ['--conditions=drawbridge-source'] : [],
      name: `store-${data.mode}`,
    });
    const death = Promise.withResolvers<StoreError>();
    this.died = death.promise;
    this.#tellDeath = death.resolve;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#worker.on('message', (reply: WorkerReply) => {
      if (reply.kind === 'ready') resolve();
      else if (reply.kind === 'failed') reject(new StoreError(reply.code, reply.message));
      else this.#settle(reply.results);
    });
    this.#worker.on('error', (error: Error) => {
      const failure = new StoreError('store-failed', `storage worker stopped: ${error.message}`);
      this.#fail(failure);
      reject(failure);
    });
    this.#exited = new Promise(exited => {
      this.#worker.on('exit', () => {
        const failure = new StoreError('store-failed', 'storage worker stopped');
        this.#fail(failure);
        reject(failure);
        exited();
      });
    });
  }

  get waiting(): number {
    return this.#queue.length + (this.#inFlight?.length ?? 0) - this.#answered;
  }

  call(command: string, args: unknown): Promise<unknown> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    if (this.#queue.length >= maxWaitingCommands) {
      return Promise.reject(new StoreError('store-overloaded', 'too many writes are waiting'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ command, args });
      this.#queued.push({ resolve, reject });
      if (this.#inFlight === undefined && this.#queue.length === 1) queueMicrotask(() => this.#flush());
    });
  }

  /** Takes nothing more, and waits for what was accepted. */
  async finish(): Promise<void> {
    this.#dead ??= new StoreError('store-closed', 'the store is closed');
    if (this.waiting > 0) await new Promise<void>(resolve => this.#idle.push(resolve));
  }

  async close(): Promise<void> {
    await this.finish();
    this.#worker.postMessage('close');
    await this.#exited;
  }

  #flush(): void {
    if (this.#inFlight !== undefined || this.#queue.length === 0 || this.#dead?.code === 'store-failed') return;
    this.#inFlight = this.#queued;
    const batch = this.#queue;
    this.#queue = [];
    this.#queued = [];
    this.#worker.postMessage(batch);
  }

  #settle(results: readonly WorkerResult[]): void {
    const waiting = this.#inFlight!;
    const first = this.#answered;
    this.#answered += results.length;
    if (this.#answered === waiting.length) {
      this.#inFlight = undefined;
      this.#answered = 0;
      this.#flush();
    }
    for (let i = 0; i < results.length; i++) {
      const result = results[i]!;
      const { resolve, reject } = waiting[first + i]!;
      if (result.ok) resolve(result.value as never);
      else reject(new StoreError(result.code, result.message));
    }
    if (this.waiting === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #fail(error: StoreError): void {
    if (this.#dead === undefined) this.#tellDeath(error);
    this.#dead ??= error;
    const waiting = [...(this.#inFlight ?? []).slice(this.#answered), ...this.#queued];
    this.#inFlight = undefined;
    this.#answered = 0;
    this.#queue = [];
    this.#queued = [];
    for (const { reject } of waiting) reject(error);
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

export type StoreOptions = {
  /** Mailboxes refuse more (`disk-full`) when this little is left: what makes room again must still be written. */
  readonly diskReserveBytes?: number;
  /** Another program in the writer's place: for tests of its end. */
  readonly writerProgram?: URL;
};

const workerProgram = new URL(fromSource ? './worker.ts' : './worker.js', import.meta.url);

/** Opens (and, when new, creates) the store in one file. Rejects with a StoreError that says what to do. */
export async function openSqliteStore(file: string, options: StoreOptions = {}): Promise<SqliteStore> {
  const { diskReserveBytes = defaultDiskReserveBytes, writerProgram = workerProgram } = options;
  const writer = new CommandWorker({ file, mode: 'write', diskReserveBytes }, writerProgram);
  await writer.ready;
  const reader = new CommandWorker({ file, mode: 'read', diskReserveBytes }, workerProgram);
  let reads: DatabaseSync;
  try {
    await reader.ready;
    reads = new DatabaseSync(file, { readOnly: true });
    reads.exec('PRAGMA query_only=1; PRAGMA cache_size=-16384;');
  } catch (error) {
    await Promise.all([writer.close(), reader.close()]);
    throw error;
  }
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    await writer.finish();
    await reader.close();
    reads.close();
    // Last, because only a connection that may write cleans up the log behind the others.
    await writer.close();
  }
  return {
    run: (command, args) => writer.call(command, args) as Promise<never>,
    read: (command, args) => reader.call(command, args) as Promise<never>,
    reads,
    get waiting() {
      return writer.waiting;
    },
    died: Promise.race([writer.died, reader.died]),
    close() {
      closing ??= close();
      return closing;
    },
  };
}
