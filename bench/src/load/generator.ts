// The load generator's process: takes one job over the IPC channel, does it, reports, ends. Pinned to its own core by
// whoever starts it. Ends with its parent.
import { chat, type ChatJob, type ChatResult } from './chat.ts';

export type Job = ChatJob;
export type JobResult<J extends Job> = J extends ChatJob ? ChatResult : never;
export type GeneratorReport =
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly message: string };

async function perform(job: Job): Promise<unknown> {
  switch (job.kind) {
    case 'chat':
      return await chat(job);
  }
}

function report(message: GeneratorReport): void {
  process.send?.(message, () => process.exit(message.kind === 'done' ? 0 : 1));
}

process.on('disconnect', () => process.exit(1));
process.on('SIGINT', () => {});
process.once('message', (job: Job) => {
  perform(job).then(
    result => report({ kind: 'done', result }),
    (error: unknown) => {
      report({ kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    },
  );
});
