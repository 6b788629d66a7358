// The load generator's process: takes one job over the IPC channel, does it, reports, ends. Pinned to its own core by
// whoever starts it. Ends with its parent.
import { chat, type ChatJob, type ChatResult } from './chat.ts';
import { connections, type ConnectionsJob, type ConnectionsResult } from './connections.ts';
import { drain, type DrainJob, type DrainResult, store, type StoreJob, type StoreResult } from './flood.ts';
import { herd, type HerdJob, type HerdResult, hold, type HoldJob, type HoldResult, pairs } from './herd.ts';
import type { PairsJob, PairsResult } from './herd.ts';
import { primitive, type PrimitiveJob, type PrimitiveResult } from './primitive.ts';
import { idle, type IdleJob, type IdleResult } from './idle.ts';
import { login, type LoginJob, type LoginResult } from './login.ts';
import {
  download,
  type DownloadJob,
  seal,
  type SealJob,
  type SealResult,
  storeFile,
  type StoreFileJob,
  type TransferResult,
  upload,
  type UploadJob,
} from './media.ts';
import { wire, type WireJob, type WireResult } from './wire.ts';

type Results = {
  readonly chat: ChatResult;
  readonly login: LoginResult;
  readonly connections: ConnectionsResult;
  readonly idle: IdleResult;
  readonly store: StoreResult;
  readonly drain: DrainResult;
  readonly wire: WireResult;
  readonly herd: HerdResult;
  readonly hold: HoldResult;
  readonly pairs: PairsResult;
  readonly download: TransferResult;
  readonly upload: TransferResult;
  readonly 'store-file': string;
  readonly seal: SealResult;
  readonly primitive: PrimitiveResult;
};
export type Job =
  | ChatJob
  | LoginJob
  | ConnectionsJob
  | IdleJob
  | StoreJob
  | DrainJob
  | WireJob
  | HerdJob
  | HoldJob
  | PairsJob
  | DownloadJob
  | UploadJob
  | StoreFileJob
  | SealJob
  | PrimitiveJob;
export type JobResult<J extends Job> = Results[J['kind']];
/** What a job that lasts has of whoever started it. */
export type JobControl = {
  /** Says that it is under way. */
  readonly ready: () => void;
  /** Fulfilled when it is told to end. */
  readonly ended: Promise<void>;
};
export type GeneratorReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly message: string };

async function perform(job: Job, control: JobControl): Promise<unknown> {
  switch (job.kind) {
    case 'chat':
      return await chat(job);
    case 'login':
      return await login(job);
    case 'connections':
      return await connections(job);
    case 'idle':
      return await idle(job);
    case 'store':
      return await store(job);
    case 'drain':
      return await drain(job);
    case 'wire':
      return wire(job);
    case 'herd':
      return await herd(job);
    case 'hold':
      return await hold(job, control);
    case 'pairs':
      return await pairs(job, control);
    case 'download':
      return await download(job);
    case 'upload':
      return await upload(job);
    case 'store-file':
      return await storeFile(job);
    case 'seal':
      return await seal(job);
    case 'primitive':
      return primitive(job);
  }
}

function report(message: GeneratorReport): void {
  process.send?.(message, () => process.exit(message.kind === 'done' ? 0 : 1));
}

process.on('disconnect', () => process.exit(1));
process.on('SIGINT', () => {});
process.once('message', (job: Job) => {
  const ended = Promise.withResolvers<void>();
  process.once('message', () => ended.resolve());
  const ready = (): void => void process.send?.({ kind: 'ready' } satisfies GeneratorReport);
  perform(job, { ready, ended: ended.promise }).then(
    result => report({ kind: 'done', result }),
    (error: unknown) => {
      report({ kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    },
  );
});
