// Connections to PostgreSQL: questions, and transactions that are tried again when another one was in the way.
// Knows no tables and no domain. Nothing here hangs on a session: no LISTEN, no advisory lock, no prepared name, so that a
// pooler may stand in between.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { StartError } from '../../start-error.ts';
import { StoreError } from '../store-error.ts';

export type Value =
  | string
  | number
  | boolean
  | Uint8Array
  | null
  | readonly (string | number | boolean | Uint8Array | null)[];

/** Asks in the order of the calls. */
export interface Sql {
  rows<R>(text: string, values?: readonly Value[]): Promise<R[]>;
  /** How many rows it changed. */
  change(text: string, values?: readonly Value[]): Promise<number>;
}

/** Transactions that one node has under way beside its mailboxes' own. Others wait for their turn. */
const maxConnections = 8;
/** Questions and transactions that wait or are under way; more are refused with `store-overloaded`. */
const maxWaiting = 20_000;
const connectTimeoutMs = 5_000;
/** A statement that takes longer is ended: what waits for a lock that long is a defect, or a database that stands still. */
const defaultStatementMs = 20_000;
/** After this a connection is given up that has not answered: the network may be gone, and the server with it. */
const answerGraceMs = 10_000;
/** A transaction whose node says nothing is ended by the server: it holds mailboxes that others wait for. */
const idleInTransactionMs = 5_000;
/** Closing waits so long for the server's goodbye. */
const goodbyeMs = 2_000;
/** How often a transaction is tried that another one was in the way of. */
const maxTries = 8;
const firstPauseMs = 5;
/** For steps of the tables and moves, which may take as long as they have to. */
export const noLimit = 0;

/** Another transaction was in the way: serialisation, a deadlock, or a row that has come meanwhile. */
const inTheWay = new Set(['40001', '40P01', '23505']);
/** Disk full; no room by configuration. */
const noRoom = new Set(['53100', '53200']);

const { builtins } = pg.types;
const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  // Row numbers, times and sums of bytes are below 2^53.
  [builtins.INT8]: Number,
  [builtins.NUMERIC]: Number,
  [builtins.BYTEA]: text => new Uint8Array(Buffer.from(text.slice(2), 'hex')),
};
/** Bytes as a key of a Map or Set. */
export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

const types = {
  getTypeParser: (oid: number, format?: string) =>
    (format === 'binary' ? undefined : parsers[oid]) ?? (pg.types.getTypeParser(oid, format as never) as never),
};

/** Without parameters of the session: a pooler refuses a connection that brings some. */
function settingsOf(url: string, statementMs: number): pg.ClientConfig {
  return {
    connectionString: url,
    types,
    connectionTimeoutMillis: connectTimeoutMs,
    ...(statementMs === noLimit ? {} : { query_timeout: statementMs + answerGraceMs }),
    keepAlive: true,
    application_name: 'drawbridge',
  };
}

/** Limits hold for the transaction alone, whoever has the server's session after it. */
function beginOf(statementMs: number): string {
  const idleMs = statementMs === noLimit ? noLimit : idleInTransactionMs;
  return `BEGIN; SET LOCAL statement_timeout = ${statementMs}; SET LOCAL idle_in_transaction_session_timeout = ${idleMs}`;
}

/** A transaction that failed half-way is rolled back by COMMIT, and the answer says so without an error. */
async function commit(client: pg.ClientBase): Promise<void> {
  const { command } = await client.query('COMMIT');
  if (command !== 'COMMIT') throw new StoreError('store-failed', `PostgreSQL: COMMIT was answered by ${command}`);
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown }).code;
  return typeof code === 'string' ? code : undefined;
}

/** The values of one command can't be written, whenever it is tried (SQLSTATE classes 22 and 23). */
export function isForItsValues(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '');
}

/** What went wrong, in storage's words. The database's own words name no row: they may hold its values. */
export function failureOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const code = codeOf(error);
  if (code !== undefined && noRoom.has(code)) return new StoreError('disk-full', `PostgreSQL has no room (${code})`);
  return new StoreError('store-failed', `PostgreSQL: ${code ?? 'the connection is lost'}`);
}

/** Whether it is worth another try: the transaction was rolled back for another one's sake. */
export function isInTheWay(error: unknown): boolean {
  return inTheWay.has(codeOf(error) ?? '');
}

/** A server that is out of reach says no goodbye. */
async function within(goodbye: Promise<void>): Promise<void> {
  await Promise.race([goodbye, sleep(goodbyeMs, undefined, { ref: false })]);
}

function sqlOf(client: pg.ClientBase): Sql {
  const ask = (text: string, values: readonly Value[]) => client.query(text, values as unknown[]);
  return {
    rows: async <R>(text: string, values: readonly Value[] = []) => (await ask(text, values)).rows as R[],
    change: async (text, values = []) => (await ask(text, values)).rowCount ?? 0,
  };
}

/** One connection that is made again when it was lost; for whoever keeps an order. */
export class Lane {
  readonly #url: string;
  readonly #statementMs: number;
  #client: pg.Client | undefined;

  constructor(url: string, statementMs = defaultStatementMs) {
    this.#url = url;
    this.#statementMs = statementMs;
  }

  /** Runs one transaction; everything is asked without waiting for answers, in order. Rejects with what the database said. */
  async transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const client = (this.#client ??= await this.#connect());
    try {
      const begun = client.query(beginOf(this.#statementMs));
      begun.catch(() => undefined);
      const result = await work(sqlOf(client));
      await begun;
      await commit(client);
      return result;
    } catch (error) {
      void this.#drop();
      throw error;
    }
  }

  async close(): Promise<void> {
    await within(this.#drop());
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ ...settingsOf(this.#url, this.#statementMs), pipeline: true });
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined;
    });
    await client.connect();
    return client;
  }

  /** A connection with a failed transaction may have more of it under way: another one takes its place. */
  async #drop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }
}

export class Database {
  readonly #pool: pg.Pool;
  readonly #begin: string;
  #waiting = 0;
  #closed = false;

  constructor(url: string, statementMs = defaultStatementMs) {
    this.#begin = beginOf(statementMs);
    this.#pool = new pg.Pool({ ...settingsOf(url, statementMs), max: maxConnections });
    // A connection was lost: the pool makes another when one is needed. Whoever has it hears by their next question.
    this.#pool.on('error', () => undefined);
    this.#pool.on('connect', client => void client.on('error', () => undefined));
  }

  get waiting(): number {
    return this.#waiting;
  }

  async rows<R>(text: string, values: readonly Value[] = []): Promise<R[]> {
    return await this.#counted(async () => (await this.#pool.query(text, values as unknown[])).rows as R[]);
  }

  /** The first row, if there is one. */
  async row<R>(text: string, values: readonly Value[] = []): Promise<R | undefined> {
    return (await this.rows<R>(text, values))[0];
  }

  /** Runs `work` in a transaction, again when another one was in the way: it must do nothing else than ask. */
  async transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return await this.#counted(async () => {
      for (let tries = 1; ; tries++) {
        try {
          return await this.#once(work);
        } catch (error) {
          if (!isInTheWay(error) || tries === maxTries) throw error;
          await sleep(firstPauseMs * 2 ** tries * Math.random());
        }
      }
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await within(this.#pool.end());
  }

  async #once<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let failed: Error | undefined;
    try {
      await client.query(this.#begin);
      const result = await work(sqlOf(client));
      await commit(client);
      return result;
    } catch (error) {
      failed = error as Error;
      if (error instanceof pg.DatabaseError)
        await client.query('ROLLBACK').then(
          () => (failed = undefined),
          () => undefined,
        );
      throw error;
    } finally {
      client.release(failed);
    }
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreError('store-closed', 'the store is closed');
    if (this.#waiting >= maxWaiting) throw new StoreError('store-overloaded', 'too many questions are waiting');
    this.#waiting++;
    try {
      return await work();
    } catch (error) {
      throw error instanceof StoreError || error instanceof StartError ? error : failureOf(error);
    } finally {
      this.#waiting--;
    }
  }
}
