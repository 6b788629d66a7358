// `client.files`: sends files to people and reads those that came.
// Knows nothing of encryption or HTTP: `files.ts` does, and `file-outbox.ts` what survives a restart.
// Source: docs/protocol/11-media.md.
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isTemporaryPath } from '@drawbridge/e2ee/attachments';
import type { InteropId } from '@drawbridge/wire/jid';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import type { LocalDevice } from '../account/local-device.ts';
import type { MediaPlace } from '../account/media-session.ts';
import type { Random } from '../clock.ts';
import { type Message, presentMessage } from '../chats/presenting.ts';
import type { HttpTrust } from '../connection/http.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import type { Request } from '../directory/directory.ts';
import type { Recipient } from '../directory/people.ts';
import { ClientError } from '../errors.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { isHeldBack } from '../history/chat-state.ts';
import { readSetting, writeSetting } from '../store/account-records.ts';
import { listSaving, noteSaving } from './upload-records.ts';
import { durable, storeError } from '../store/transact.ts';
import { FileOutbox } from './file-outbox.ts';
import type { UnsentFile } from './unsent-file.ts';
import type { FileToSend, SendFileOptions, TransferOptions } from './file-to-send.ts';
import { Files } from './files.ts';
import type { OpenedFile } from './opened-file.ts';
import { MediaCopies } from './media-copies.ts';
import { abandon, type FileSource } from './file-source.ts';
import { type KeptFile, Spool } from './spool.ts';
import { chatWith } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';

/** What is sent: a file by its path, or what an app holds. */
export type SentFile =
  | SendFileOptions
  | (Omit<SendFileOptions, 'path'> & {
      readonly from: FileSource;
      /** Of a stream, where it is known: one that gives less or more is refused with `file-changed`. */
      readonly sizeBytes?: number;
      /** What it is called where it comes from: used as the last part of a path would be. A `File` says it by itself. */
      readonly sourceName?: string;
    });

/** A message with attachments. */
type Attached = Pick<MessageRecord, 'body' | 'author'>;

export type ClientFilesSettings = {
  readonly device: LocalDevice;
  readonly lifecycle: Lifecycle;
  readonly place: MediaPlace | undefined;
  readonly placeTrust: HttpTrust;
  /** The client's folder: copies and preparations lie in it. */
  readonly folder: string;
  readonly random: Random;
};

export class ClientFiles {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;
  readonly #files: Files;
  readonly #outbox: FileOutbox;
  readonly #spool: Spool;

  constructor({ device, lifecycle, place, placeTrust, folder, random }: ClientFilesSettings) {
    this.#device = device;
    this.#lifecycle = lifecycle;
    const { store, clock } = device;
    this.#spool = new Spool(join(folder, 'spool'));
    this.#files = new Files({
      place,
      trust: device.trust,
      placeTrust,
      nowMs: () => clock.nowMs(),
      pace: { clock, random },
      copies: new MediaCopies({
        folder: join(folder, 'media'),
        nameKey: () => mediaNameKey(device),
        // The file system's clock, not the one that may be given for tests.
        nowMs: Date.now,
      }),
      preparationFolder: join(folder, 'preparation'),
      noteSaving: (path, isWritten) => {
        const noted = store.transaction(tx => noteSaving(tx, path, isWritten));
        // What can't be noted is not written; what stays noted is gone already.
        if (!noted.ok && isWritten) throw storeError(noted.error);
      },
    });
    this.#outbox = new FileOutbox({
      store,
      files: this.#files,
      clock,
      emit: lifecycle.emit,
      keepOnly: paths => this.#spool.sweep(paths),
      deliver: async (to, pointer, { caption = '', viewOnce = false }, within) => {
        const said = caption === '' ? {} : { caption: { text: caption } };
        const { people, writing } = lifecycle.worker();
        return writing.send(
          chatWith(await people.addressee(to)),
          { kind: 'attachment', attachments: [pointer], ...said, viewOnce },
          within,
        );
      },
    });
  }

  /**
   * Encrypts a file, uploads it to the own provider's media origin, and sends the message that points to it. Pictures,
   * videos and voice messages are rewritten first, without metadata; what can't be rewritten is refused with `media-unreadable`, never
   * sent as it is. Fulfilled as `Client.send` is; needs the network until then. When the process ends or the client is
   * closed before, the next `connect` goes on with upload and message by itself, and events of kind `file` tell of it. After
   * another failure nothing is sent by itself; a file sent again goes on where its upload broke off.
   * What is given by `from` is written down first, and what was written down is sent like any other file.
   * Rejects with the codes of `Client.send`, `Spool.add` and `Files.send`: `no-media-origin`, `quota-used-up`, `file-changed`,
   * `cancelled`, …
   */
  async send(to: Recipient, file: SentFile): Promise<Message> {
    return this.#given(to, file, async (chat, options) => this.#sent(await this.#outbox.send(chat, options)));
  }

  /**
   * As `send`, but waits for nothing but the disk: what is accepted here is sent by itself, one after the other, now or when
   * there is a network, also after a restart. Events of kind `file` tell of it, and `unsent` lists it until it is a message.
   * What fails later (`media-unreadable`, …) is told by an event, not by a rejection.
   */
  async queue(to: Recipient, file: SentFile): Promise<UnsentFile> {
    return this.#given(to, file, async (chat, options) => {
      const queued = await this.#outbox.queue(chat, options);
      await durable(this.#device.store);
      return queued;
    });
  }

  /** What an app holds is written down first. */
  async #given<T>(
    to: Recipient,
    file: SentFile,
    accept: (chat: InteropId, options: FileToSend) => Promise<T>,
  ): Promise<T> {
    if (typeof file !== 'object' || file === null) throw new ClientError('invalid-argument', { detail: 'file' });
    const addressee = (): Promise<InteropId> => this.#lifecycle.worker().people.addressee(to);
    if ('path' in file) return accept(await addressee(), file);
    const { from, sizeBytes, sourceName, ...options } = file;
    let chat: InteropId;
    let kept: KeptFile;
    try {
      chat = await addressee();
      kept = await this.#files.keep(options, signal => this.#spool.add(from, sizeBytes, signal, sourceName));
    } catch (error) {
      abandon(from);
      throw error;
    }
    try {
      return await accept(chat, { ...options, ...kept });
    } finally {
      // Otherwise the next start goes on with it.
      if (!this.#device.isClosed) {
        this.#spool.release(kept.path);
        await this.#outbox.tidy();
      }
    }
  }

  async #sent(message: MessageRecord): Promise<Message> {
    await durable(this.#device.store);
    return presentMessage(this.#lifecycle, message);
  }

  /** Files that were to be sent and are not messages yet. Those that failed stay until they are dropped. */
  unsent(): UnsentFile[] {
    this.#device.needOpen();
    return this.#outbox.list();
  }

  /** A file that goes by itself waits, also after a restart, until it goes on; what was uploaded is kept. */
  async pauseUnsent(id: string): Promise<void> {
    this.#device.needOpen();
    await this.#outbox.pause(id);
  }

  /** A file that was paused, or failed, goes on by itself. */
  async resumeUnsent(id: string): Promise<void> {
    this.#device.needOpen();
    this.#outbox.goOn(id);
  }

  /** Gives up a file that was to be sent. */
  async dropUnsent(id: string): Promise<void> {
    this.#device.needOpen();
    await this.#outbox.drop(id);
  }

  /**
   * Fetches attachment `index` (from 0) of a message, and writes it to a path when all of it is right, otherwise nothing; or
   * to a stream, each piece as soon as it was checked: a stream that is aborted has got a part of the file, and one that
   * fails ends it with `file-not-written`.
   * Goes on with what came before, across restarts. Rejects with `unknown-message` when there is no such attachment,
   * `not-accepted` while its author is not, `not-connected` when something has to be fetched, and the codes of `Files.save`.
   */
  async save(
    message: Attached,
    index: number,
    to: string | WritableStream<Uint8Array>,
    options: TransferOptions = {},
  ): Promise<void> {
    this.#device.enlisted();
    const pointer = pointerOf(message, index);
    this.#needAccepted(message);
    if (typeof to === 'string') return this.#files.save(pointer, to, this.#request, options);
    return this.#saveTo(to, message, index, options);
  }

  /**
   * Opens attachment `index` (from 0) of a message to be read, or played, while it arrives. Close it when nothing more is
   * read. Rejects with `unknown-message`, `not-accepted`, and the codes of `Files.open`; what is wrong later ends the reading.
   */
  async open(message: Attached, index: number): Promise<OpenedFile> {
    this.#device.enlisted();
    const pointer = pointerOf(message, index);
    this.#needAccepted(message);
    return this.#files.open(pointer, this.#request);
  }

  /**
   * The small picture that came with attachment `index` (from 0) of a message; nothing is fetched for it. Rejects with
   * `unknown-message` and `not-accepted`.
   */
  async preview(message: Attached, index: number): Promise<Uint8Array | undefined> {
    this.#device.enlisted();
    const { thumbnail } = pointerOf(message, index);
    this.#needAccepted(message);
    return thumbnail;
  }

  async #saveTo(
    to: WritableStream<Uint8Array>,
    message: Attached,
    index: number,
    { signal, onProgress }: TransferOptions,
  ): Promise<void> {
    if (!(to instanceof WritableStream) || to.locked) throw new ClientError('invalid-argument', { detail: 'to' });
    const file = await this.open(message, index);
    const { sizeBytes } = file;
    let bytes = 0;
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        bytes += piece.length;
        onProgress?.({ bytes, totalBytes: sizeBytes });
        controller.enqueue(piece);
      },
    });
    const until = signal === undefined ? {} : { signal };
    try {
      await file.stream(until).pipeThrough(counted).pipeTo(to, until);
      await this.forget(message, index);
    } catch (cause) {
      if (signal?.aborted === true) throw new ClientError('cancelled');
      throw cause instanceof ClientError ? cause : new ClientError('file-not-written', { cause });
    } finally {
      await file.close();
    }
  }

  /** Whoever waits for a decision learns by no fetch that their message was looked at. */
  #needAccepted({ author }: Attached): void {
    const chat = this.#device.transaction(tx => chatInForce(tx, chatWith(author)));
    if (isHeldBack(chat)) throw new ClientError('not-accepted');
  }

  /** Removes what this device keeps, encrypted, of an attachment that was opened, or not saved to its end. */
  async forget(message: Attached, index: number): Promise<void> {
    this.#device.needOpen();
    await this.#files.forget(pointerOf(message, index));
  }

  /** Removes what an earlier process left behind: old copies, and plaintext of a save that was killed. */
  async sweep(): Promise<void> {
    await this.#files.sweep();
    await this.#outbox.tidy();
    for (const path of this.#device.transaction(listSaving)) {
      if (isTemporaryPath(path)) await rm(path, { force: true }).catch(() => {});
      this.#device.transaction(tx => noteSaving(tx, path, false));
    }
  }

  /** A stream is up: goes on with what waits. */
  resume(): void {
    this.#outbox.resume();
  }

  close(): void {
    this.#outbox.close();
    this.#files.close();
  }

  /** Asks the gatekeeper on the stream that is up then. */
  readonly #request: Request = async (type, payload) => this.#lifecycle.live().request(type, payload);
}

function pointerOf(message: Pick<Attached, 'body'>, index: number): AttachmentPointer {
  const pointer = message.body?.kind === 'attachment' ? message.body.attachments[index] : undefined;
  if (pointer === undefined) throw new ClientError('unknown-message', { detail: 'attachment' });
  return pointer;
}

/** Made once; names the copies of files in the folder. */
function mediaNameKey(device: LocalDevice): Uint8Array {
  return device.transaction(tx => {
    const kept = readSetting(tx, 'media-names');
    if (kept !== undefined) return Buffer.from(kept, 'base64');
    const made = randomBytes(32);
    writeSetting(tx, 'media-names', made.toString('base64'));
    return made;
  });
}
