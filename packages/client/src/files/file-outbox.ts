// Files to be sent: what a person has asked for is kept on disk until its message is in the outbox, and goes on by itself
// after a restart, upload and message; what was uploaded so far is kept for a second try.
// Knows nothing of encryption or HTTP, nor of how a message is made of a pointer.
// Source: docs/protocol/11-media.md section 11.3.
import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import { encodeSealed, parseSealed } from '@drawbridge/e2ee/attachments';
import type { Clock } from '../clock.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { BegunUpload, FileToSend, SendFileOptions, TransferOptions } from './file-to-send.ts';
import type { Files } from './files.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { addNotice } from '../notices/notice-records.ts';
import { isJson } from '../store/json-bytes.ts';
import { transaction } from '../store/transact.ts';
import {
  deleteUpload,
  listUploads,
  readUpload,
  type UploadRecord,
  type UploadRow,
  type Wish,
  wishOf,
  withWish,
  writeUpload,
} from './upload-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import type { UnsentFile } from './unsent-file.ts';

export const fileOutboxLimits = {
  /** Files that wait to be sent; one that failed gives way, otherwise a further one is refused. */
  unsent: 64,
  /** Uploads that broke off, and whose message was given up: kept to go on with. The oldest is forgotten first. */
  keptUploads: 16,
  /** As long as media origins keep what isn't whole. */
  keptUploadMs: 86_400_000,
  firstRetryMs: 15_000,
  maxRetryMs: 600_000,
} as const;

export type FileOutboxContext = {
  readonly store: EncryptedStore;
  readonly files: Pick<Files, 'look' | 'send'>;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
  /** These paths are still to be sent: what else lies encrypted in the client's folder is nobody's any more. */
  readonly keepOnly: (paths: readonly string[]) => Promise<void>;
  /** Makes and queues the message; `within` runs in the transaction that does. */
  readonly deliver: (
    to: string,
    pointer: AttachmentPointer,
    options: SendFileOptions,
    within: (tx: Transaction) => void,
  ) => Promise<MessageRecord>;
};

type Job = {
  readonly id: string;
  /** Somebody waits for it (`send`), and hears of failures: what is not attended is told by events, and tried again. */
  readonly attended: boolean;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
  readonly end: () => void;
};

/** It may well go better later, and without a person. */
const passing: ReadonlySet<ClientErrorCode> = new Set([
  'unreachable',
  'timed-out',
  'not-connected',
  'rate-limited',
  'too-many-requests',
  'outbox-full',
  'store-failed',
]);

export class FileOutbox {
  readonly #context: FileOutboxContext;
  readonly #jobs = new Map<string, Job>();
  #resuming = false;
  /** Something to go on with came while others were under way. */
  #isMore = false;
  #retryMs: number = fileOutboxLimits.firstRetryMs;
  #cancelRetry: (() => void) | undefined;
  #closed = false;

  constructor(context: FileOutboxContext) {
    this.#context = context;
  }

  /**
   * Sends a file; see `Files.send`. While it runs it is kept on disk: when the process ends before, or the client is
   * closed (`closed`), the next start goes on with it. After any other failure its caller decides: nothing is sent by
   * itself, and a second call with the same file goes on with the upload. A call for what goes on by itself right now
   * takes it over.
   */
  async send(to: string, file: FileToSend): Promise<MessageRecord> {
    const { path, looks } = await this.#context.files.look(file);
    const options = { ...file, path };
    const job = await this.#accept(to, options, looks);
    try {
      return await this.#run(job, options);
    } catch (error) {
      if (!isClosed(error)) this.#release(job.id, error);
      throw error;
    } finally {
      this.#end(job);
    }
  }

  /**
   * Accepts a file that nobody waits for: it is sent by itself, now or when that is possible, one after the other, and events
   * tell of it. Rejects with what `Files.look` rejects with, `outbox-full`, `store-failed`, `closed`.
   */
  async queue(to: string, file: FileToSend): Promise<UnsentFile> {
    const { path, looks } = await this.#context.files.look(file);
    const job = await this.#accept(to, { ...file, path }, looks);
    this.#end(job);
    const queued = this.#tell(job.id);
    if (queued === undefined) throw new ClientError('cancelled');
    this.#resume();
    return queued;
  }

  /** What goes by itself waits from now on, also after a restart; what moved is kept. What somebody waits for goes on. */
  async pause(id: string): Promise<void> {
    if (this.#jobs.get(id)?.attended === true) return;
    this.#amend(id, message => ({ ...message, paused: true }));
    await this.#halt(id);
    this.#tell(id);
  }

  /** Goes on with what was paused, or failed. */
  goOn(id: string): void {
    if (this.#jobs.has(id)) return;
    this.#amend(id, ({ paused: _p, failure: _f, ...message }) => message);
    this.#tell(id);
    this.#resume();
  }

  #amend(id: string, change: (message: Wish) => Wish): void {
    this.#transaction(tx => {
      const record = readUpload(tx, id);
      const wish = record === undefined ? undefined : wishOf(record);
      if (wish !== undefined) writeUpload(tx, id, withWish(record!, change(wish)));
    });
  }

  #tell(id: string): UnsentFile | undefined {
    const file = this.list().find(each => each.id === id);
    if (file !== undefined) this.#context.emit({ kind: 'file', file });
    return file;
  }

  /** A stream is up: goes on with what an earlier start left, and what could not go on before. */
  resume(): void {
    this.#retryMs = fileOutboxLimits.firstRetryMs;
    this.#resume();
  }

  /** Oldest first. */
  list(): UnsentFile[] {
    return (this.#rows() ?? []).flatMap(({ id, record }) => {
      const file = unsentFile(id, record);
      if (file === undefined) return [];
      return [this.#jobs.has(id) ? { ...file, state: 'sending' as const } : file];
    });
  }

  /** Gives up a file that was to be sent. Does nothing when there is none. */
  async drop(id: string): Promise<void> {
    await this.#halt(id);
    this.#transaction(tx => deleteUpload(tx, id));
    await this.tidy();
  }

  /** Removes what nobody will send any more from the client's folder. */
  async tidy(): Promise<void> {
    const rows = this.#closed ? undefined : this.#rows();
    if (rows === undefined) return;
    await this.#context.keepOnly(rows.flatMap(({ record }) => (wishOf(record) === undefined ? [] : [record.path])));
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry?.();
  }

  /** Writes down what is to be done. */
  async #accept(to: string, options: FileToSend, looks: string): Promise<Job> {
    const { path, spooled } = options;
    const wish = { to, words: wordsOf(options) };
    const lying = { path, looks, ...(spooled === undefined ? {} : { spooled }) };
    const isSamePlace = ({ record }: UploadRow): boolean => placeOf(record) === placeOf(lying);
    const isSameFile = (row: UploadRow): boolean => isSamePlace(row) && row.record.looks === looks;
    const isSameWish = (row: UploadRow): boolean => {
      const before = wishOf(row.record);
      return isSamePlace(row) && before?.to === to && JSON.stringify(before.words) === JSON.stringify(wish.words);
    };
    const waiting = this.#rows()?.find(row => isSameWish(row) && this.#jobs.get(row.id)?.attended !== true);
    if (waiting !== undefined) await this.#halt(waiting.id);
    const accepted = this.#context.store.transaction(tx => {
      const idle = this.#list(tx).filter(({ id }) => !this.#jobs.has(id));
      const begun = idle.find(row => isSameFile(row) && (wishOf(row.record) === undefined || isSameWish(row)));
      // It was wished for before, of a file that looked otherwise.
      for (const row of idle) if (row !== begun && isSameWish(row)) deleteUpload(tx, row.id);
      if (begun === undefined) makeRoom(tx);
      const id = begun?.id ?? randomBytes(16).toString('base64url');
      writeUpload(tx, id, withWish({ ...begun?.record, ...lying, atMs: this.#context.clock.nowMs() }, wish));
      return id;
    });
    if (accepted.ok) return this.#claim(accepted.value, true);
    throw new ClientError(accepted.error.code === 'closed' ? 'closed' : 'store-failed', { cause: accepted.error });
  }

  #claim(id: string, attended: boolean): Job {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const job = { id, attended, stop: new AbortController(), ended, end };
    this.#jobs.set(id, job);
    return job;
  }

  /** What became of a job is written down: from now on others may take it up. */
  #end({ id, end }: Job): void {
    this.#jobs.delete(id);
    end();
  }

  async #run({ id, stop }: Job, options: FileToSend): Promise<MessageRecord> {
    const { files, deliver } = this.#context;
    const record = this.#transaction(tx => readUpload(tx, id));
    const wish = record === undefined ? undefined : wishOf(record);
    if (record === undefined || wish === undefined) throw new ClientError('cancelled');
    const { to } = wish;
    const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    return files.send(
      { ...options, signal },
      pointer => deliver(to, pointer, options, tx => deleteUpload(tx, id)),
      this.#begun(id, record),
    );
  }

  /** What `Files` goes on with, written down as it changes. */
  #begun(id: string, record: UploadRecord): BegunUpload {
    const { looks, preparedSha256, url } = record;
    const sealed = record.sealed === undefined ? undefined : parseSealed(record.sealed);
    return {
      looks,
      upload: sealed === undefined ? undefined : { sealed, preparedSha256, url },
      keep: upload => {
        // Before anything leaves: otherwise a restart would not know under which key it did.
        const kept = this.#context.store.transaction(tx => {
          const now = readUpload(tx, id);
          if (now === undefined) return;
          const { sealed: _s, preparedSha256: _p, url: _u, ...rest } = now;
          writeUpload(tx, id, {
            ...rest,
            atMs: this.#context.clock.nowMs(),
            sealed: encodeSealed(upload.sealed),
            ...(upload.preparedSha256 === undefined ? {} : { preparedSha256: upload.preparedSha256 }),
            ...(upload.url === undefined ? {} : { url: upload.url }),
          });
        });
        if (!kept.ok) throw new ClientError('store-failed', { cause: kept.error });
      },
    };
  }

  /** Nobody waits for its message any more; the upload is kept, as far as there is one. */
  #release(id: string, error: unknown): void {
    this.#transaction(tx => {
      const record = readUpload(tx, id);
      if (record === undefined) return;
      // A changed file is described again under a fresh key: two texts never meet under one.
      const useless = record.url === undefined || codeOf(error) === 'file-changed';
      if (useless) deleteUpload(tx, id);
      else writeUpload(tx, id, withWish(record));
      this.#forgetKept(tx);
    });
  }

  #forgetKept(tx: Transaction): void {
    const bare = this.#list(tx).filter(row => wishOf(row.record) === undefined && !this.#jobs.has(row.id));
    bare.sort((a, b) => b.record.atMs - a.record.atMs);
    const nowMs = this.#context.clock.nowMs();
    for (const [index, { id, record }] of bare.entries()) {
      const { keptUploads, keptUploadMs } = fileOutboxLimits;
      if (index >= keptUploads || nowMs - record.atMs > keptUploadMs) deleteUpload(tx, id);
    }
  }

  #resume(): void {
    if (this.#closed) return;
    if (this.#resuming) {
      this.#isMore = true;
      return;
    }
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#resuming = true;
    void this.#resumeAll()
      .then(done => {
        if (done || this.#closed) return;
        this.#cancelRetry = this.#context.clock.after(this.#retryMs, () => this.#resume());
        this.#retryMs = Math.min(this.#retryMs * 2, fileOutboxLimits.maxRetryMs);
      })
      .finally(() => {
        this.#resuming = false;
        if (!this.#isMore) return;
        this.#isMore = false;
        this.#resume();
      });
  }

  /** One after the other, so that a person can send others meanwhile. False: some are to be tried again. */
  async #resumeAll(): Promise<boolean> {
    this.#transaction(tx => this.#forgetKept(tx));
    const tried = new Set<string>();
    for (let all = true; ; ) {
      const rows = this.#rows();
      if (rows === undefined) return false;
      const next = rows.find(
        ({ id, record }) => unsentFile(id, record)?.state === 'waiting' && !this.#jobs.has(id) && !tried.has(id),
      );
      if (next === undefined || this.#closed) return all;
      tried.add(next.id);
      if (!(await this.#resumeOne(next))) all = false;
    }
  }

  async #resumeOne({ id, record }: UploadRow): Promise<boolean> {
    const file = unsentFile(id, record)!;
    const { emit } = this.#context;
    let percent = -1;
    const onProgress: TransferOptions['onProgress'] = progress => {
      const now = Math.floor((progress.bytes / Math.max(1, progress.totalBytes)) * 100);
      if (now === percent) return;
      percent = now;
      emit({ kind: 'file', file: { ...file, state: 'sending', progress } });
    };
    const job = this.#claim(id, false);
    try {
      const { path, spooled } = record;
      await this.#run(job, { ...wishOf(record)!.words, path, spooled, onProgress });
      emit({ kind: 'file', file: { ...file, state: 'sent' } });
      return true;
    } catch (error) {
      const code = codeOf(error);
      // Stopped by whoever took it over or dropped it, or by the end of the client.
      if (isClosed(error) || code === 'cancelled') return true;
      if (code !== undefined && passing.has(code)) return false;
      const { detail } = error instanceof ClientError ? error : { detail: undefined };
      const failure = { code: code ?? 'protocol-error', ...(detail === undefined ? {} : { detail }) };
      const isNoted = this.#transaction(tx => {
        const now = readUpload(tx, id);
        const wish = now === undefined ? undefined : wishOf(now);
        if (now === undefined || wish === undefined) return true;
        const { sealed: _s, preparedSha256: _p, url: _u, ...rest } = now;
        // What was begun for another text is of no use to anybody.
        const kept = code === 'file-changed' ? rest : now;
        writeUpload(tx, id, withWish(kept, { ...wish, failure }));
        return true;
      });
      if (isNoted === undefined) return false;
      emit({ kind: 'file', file: { ...file, state: 'failed', failure } });
      return true;
    } finally {
      this.#end(job);
      await this.tidy();
    }
  }

  async #halt(id: string): Promise<void> {
    const job = this.#jobs.get(id);
    job?.stop.abort();
    await job?.ended;
  }

  /** What the disk has damaged goes, and is told: nobody can say any more which files it was, and the others go on. */
  #list(tx: Transaction): UploadRow[] {
    const found = tx.attempt(() => listUploads(tx));
    if (found.ok) return found.value;
    if (tx.dropDamaged('upload', isJson) > 0) addNotice(tx, { kind: 'unsent-damaged' }, this.#context.clock.nowMs());
    return listUploads(tx);
  }

  #rows(): UploadRow[] | undefined {
    return this.#transaction(tx => this.#list(tx));
  }

  #transaction<T>(work: (tx: Transaction) => T): T | undefined {
    return transaction(this.#context, work);
  }
}

/** Throws `outbox-full` when all that waits is still to be sent. */
function makeRoom(tx: Transaction): void {
  const waiting = listUploads(tx).filter(({ record }) => wishOf(record) !== undefined);
  if (waiting.length < fileOutboxLimits.unsent) return;
  const failed = waiting.find(({ record }) => wishOf(record)?.failure !== undefined);
  if (failed === undefined) throw new ClientError('outbox-full');
  deleteUpload(tx, failed.id);
}

function wordsOf(file: FileToSend): Omit<SendFileOptions, 'path'> {
  const { path: _p, spooled: _l, onProgress: _o, signal: _s, ...words } = file;
  return words;
}

/** What an app gave twice lies at two paths, and is one file. */
function placeOf({ path, looks, spooled }: Pick<UploadRecord, 'path' | 'looks' | 'spooled'>): string {
  return spooled === undefined ? path : looks;
}

function unsentFile(id: string, record: UploadRecord): UnsentFile | undefined {
  const { path, spooled } = record;
  const wish = wishOf(record);
  if (wish === undefined) return undefined;
  const { to, words, failure, paused } = wish;
  const name = words.name ?? spooled?.name ?? basename(path);
  const named = { id, to, name, ...(spooled === undefined ? { path } : {}) };
  if (failure !== undefined) return { ...named, state: 'failed', failure };
  return { ...named, state: paused === true ? 'paused' : 'waiting' };
}

function codeOf(error: unknown): ClientErrorCode | undefined {
  return error instanceof ClientError ? error.code : undefined;
}

function isClosed(error: unknown): boolean {
  return codeOf(error) === 'closed';
}
