// Files on their way as rows of the store, and plaintext that is being written, in a transaction of the caller.
// Knows nothing of uploads themselves, nor of messages.
import type { ClientErrorCode } from '../errors.ts';
import { decodeJson } from '../store/json-bytes.ts';
import { getJson, putJson } from '../store/json-rows.ts';
import type { Transaction } from '../store/store.ts';
import type { Spooled } from './local-file.ts';
import type { SendFileOptions } from './file-to-send.ts';

/** An upload that is under way or broke off, and the message that waits for it. */
export type UploadRecord = {
  readonly path: string;
  /** It lies encrypted at the path: an app gave it as a `Blob` or a stream. */
  readonly spooled?: Spooled;
  /** How the file looked when it was accepted. */
  readonly looks: string;
  /** Of `encodeSealed`; absent: not described yet. */
  readonly sealed?: string;
  /** Names the bytes of the copy that was described; absent: the file goes as it is. */
  readonly preparedSha256?: string;
  readonly url?: string;
  /** When something about it was written last. */
  readonly atMs: number;
  /** Absent, and no `guarded` either: its sender gave it up. */
  readonly message?: {
    readonly to: string;
    readonly words: Omit<SendFileOptions, 'path'>;
    /** It needs a person. */
    readonly failure?: { readonly code: ClientErrorCode; readonly detail?: string };
    /** A person wants it to wait. */
    readonly paused?: true;
  };
  /**
   * In place of `message`, where more is wished than earlier code of this version heeds (to be opened once, or paused): that
   * takes it for given up, and sends nothing.
   */
  readonly guarded?: Wish;
};

/** The message that waits for an upload. */
export type Wish = NonNullable<UploadRecord['message']>;

export function wishOf({ message, guarded }: UploadRecord): Wish | undefined {
  return message ?? guarded;
}

export function withWish({ message: _m, guarded: _g, ...upload }: UploadRecord, wish?: Wish): UploadRecord {
  if (wish === undefined) return upload;
  const isGuarded = wish.paused === true || wish.words.viewOnce === true;
  return { ...upload, [isGuarded ? 'guarded' : 'message']: wish };
}

export type UploadRow = { readonly id: string; readonly record: UploadRecord };

export function readUpload(tx: Transaction, id: string): UploadRecord | undefined {
  return getJson(tx, 'upload', id);
}

export function writeUpload(tx: Transaction, id: string, record: UploadRecord): void {
  putJson(tx, 'upload', id, record);
}

export function deleteUpload(tx: Transaction, id: string): void {
  tx.delete('upload', id);
}

/** Oldest first. Few: their number is bounded (`fileOutboxLimits`). */
export function listUploads(tx: Transaction): UploadRow[] {
  return tx.list('upload').map(row => ({ id: row.key, record: decodeJson(row.value) as UploadRecord }));
}

/** Paths of plaintext files that are being written now, or were when the process ended. */
export function noteSaving(tx: Transaction, path: string, isWritten: boolean): void {
  // Their ends are random; all of it may be longer than a key.
  const key = path.slice(-16);
  if (isWritten) tx.put('saving', key, Buffer.from(path));
  else tx.delete('saving', key);
}

export function listSaving(tx: Transaction): string[] {
  return tx.list('saving').map(row => row.value.toString());
}
