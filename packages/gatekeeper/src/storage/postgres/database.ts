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
const statementTimeoutMs = 20_000;
/** How often a transaction is tried that another one was in the way of. */
const maxTries = 8;
const firstPauseMs = 5;

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

function settingsOf(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    types,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    keepAlive: true,
    application_name: 'drawbridge',
  };
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown }).code;
  return typeof code === 'string' ? code : undefined;
}

/** What went wrong, in storage's words. The database's own words name no row: they may hold its values. */
export function failureOf(error: unknown): StoreError {
  const code = codeOf(error);
  if (code !== undefined && noRoom.has(code)) return new StoreError('disk-full', `PostgreSQL has no room (${code})`);
  return new StoreError('store-failed', `PostgreSQL: ${code ?? 'the connection is lost'}`);
}

/** Whether it is worth another try: the transaction was rolled back for another one's sake. */
export function isInTheWay(error: unknown): boolean {
  return inTheWay.has(codeOf(error) ?? '');
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
  #client: pg.Client | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** Runs one transaction; everything is asked without waiting for answers, in order. Rejects with what the database said. */
  async transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const client = (this.#client ??= await this.#connect());
    try {
      const begun = client.query('BEGIN');
      begun.catch(() => undefined);
      const result = await work(sqlOf(client));
      await begun;
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await this.#drop();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#drop();
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ ...settingsOf(this.#url), pipeline: true });
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
  readonly url: string;
  readonly #pool: pg.Pool;
  #waiting = 0;
  #closed = false;

  constructor(url: string) {
    this.url = url;
    this.#pool = new pg.Pool({ ...settingsOf(url), max: maxConnections });
    // A connection that nobody uses was lost: the pool makes another when one is needed.
    this.#pool.on('error', () => undefined);
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
    await this.#pool.end();
  }

  async #once<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let failed: Error | undefined;
    try {
      await client.query('BEGIN');
      const result = await work(sqlOf(client));
      await client.query('COMMIT');
      return result;
    } catch (error) {
      failed = error as Error;
      if (codeOf(error) !== undefined)
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
