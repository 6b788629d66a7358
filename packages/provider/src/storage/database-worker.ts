// The thread that writes to one database file: what has come by the time it looks is one commit, answered when it is on the
// disk. Knows nothing of tables.

import { parentPort, workerData } from 'node:worker_threads';
import { openWritingConnection } from './database-file.ts';
import { runWrites, type Statement, type WriteOutcome } from './run-write.ts';

export type WriteJob = { readonly id: number; readonly statements: readonly Statement[] };
export type WriteReply = readonly (WriteOutcome & { readonly id: number })[];

const port = parentPort!;
const database = openWritingConnection(workerData as string);
let jobs: WriteJob[] = [];

function commit(): void {
  const batch = jobs;
  jobs = [];
  const outcomes = runWrites(
    database,
    batch.map(job => job.statements),
  );
  const reply: WriteReply = outcomes.map((outcome, index) => ({ ...outcome, id: batch[index]!.id }));
  port.postMessage(reply);
}

port.on('message', (message: WriteJob | 'close') => {
  if (message === 'close') {
    if (jobs.length > 0) commit();
    database.close();
    port.close();
    return;
  }
  if (jobs.length === 0) setImmediate(() => jobs.length > 0 && commit());
  jobs.push(message);
});
