// One node's writes to mailboxes: in the order of the calls, as many as wait in one transaction, one transaction at a time.
// Knows nothing of what the commands do.
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from '../store-error.ts';
import { failureOf, isForItsValues, isInTheWay, Lane, type Sql } from './database.ts';
import type { MailboxCommand } from './mailbox-batch.ts';

/** Commands waiting beyond this are refused with `store-overloaded`: callers slow their peers down first. */
const maxWaitingCommands = 100_000;
/** What goes into one transaction. */
const maxBatchRows = 2_000;
const maxBatchBytes = 8 * 1_024 * 1_024;
/** How often a transaction is tried that another node's was in the way of. */
const maxTries = 8;
const firstPauseMs = 5;

type Waiting = {
  readonly command: MailboxCommand;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
};

export class MailboxLane {
  readonly #lane: Lane;
  readonly #run: (sql: Sql, commands: readonly MailboxCommand[]) => Promise<unknown[]>;
  #queue: Waiting[] = [];
  #underWay = 0;
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(url: string, run: (sql: Sql, commands: readonly MailboxCommand[]) => Promise<unknown[]>) {
    this.#lane = new Lane(url);
    this.#run = run;
  }

  get waiting(): number {
    return this.#queue.length + this.#underWay;
  }

  call<T>(command: MailboxCommand): Promise<T> {
    if (this.#isClosed) return Promise.reject(new StoreError('store-closed', 'the store is closed'));
    if (this.#queue.length >= maxWaitingCommands) {
      return Promise.reject(new StoreError('store-overloaded', 'too many writes are waiting'));
    }
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ command, resolve, reject });
      this.#running ??= Promise.resolve().then(() => this.#work());
    });
  }

  /** Takes nothing more, and waits for what was accepted. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    await this.#lane.close();
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, batchLength(this.#queue));
      this.#underWay = batch.length;
      await this.#settle(batch);
      this.#underWay = 0;
    }
    this.#running = undefined;
  }

  /** What fails by itself fails alone: the others of its batch are done one by one. */
  async #settle(batch: readonly Waiting[]): Promise<void> {
    try {
      const answers = await this.#try(batch.map(({ command }) => command));
      for (const [i, { resolve }] of batch.entries()) resolve(answers[i] as never);
    } catch (error) {
      if (batch.length > 1 && isForItsValues(error)) {
        for (const one of batch) await this.#settle([one]);
        return;
      }
      const failure = failureOf(error);
      for (const { reject } of batch) reject(failure);
    }
  }

  async #try(commands: readonly MailboxCommand[]): Promise<unknown[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#lane.transaction(sql => this.#run(sql, commands));
      } catch (error) {
        if (!isInTheWay(error) || tries === maxTries) throw error;
        await sleep(firstPauseMs * 2 ** tries * Math.random());
      }
    }
  }
}

/** How many of those that wait fit into one transaction: one at least. */
function batchLength(queue: readonly Waiting[]): number {
  let rows = 0;
  let bytes = 0;
  const end = queue.findIndex(({ command }, i) => {
    rows += command.kind === 'append' ? command.rows.length : 1;
    if (command.kind === 'append') for (const row of command.rows) bytes += row.stanza.length;
    return i > 0 && (rows > maxBatchRows || bytes > maxBatchBytes);
  });
  return end < 0 ? queue.length : end;
}
