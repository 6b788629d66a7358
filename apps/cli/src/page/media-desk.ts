// Gives a page the files of messages, decrypted while they arrive: as pictures, videos and sound that a browser shows, or as
// something to save; never as a page of their own. What may be seen once is held here while it is looked at.
// Knows nothing of who may ask: the server has looked at that.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Client,
  ClientError,
  type MessageRecord,
  type OpenedFile,
  parseMessageId,
  parsePerson,
} from '@drawbridge/client';
import { readRange } from '@drawbridge/provider/media-origin-range';
import type { MediaPlace } from './media-path.ts';
import { previewType, shownType } from './media-type.ts';
import { explained } from './page-error.ts';
import { Turns } from './turns.ts';

export const mediaDeskLimits = {
  /** Files that are open at once for all tabs: fewer than the SDK allows. */
  openFiles: 6,
  /** Of a video or sound, one answer: a player that pauses holds nothing open. */
  partBytes: 4_194_304,
  /** Messages to be seen once that are looked at; the oldest goes. */
  heldOnce: 4,
} as const;

/** What comes from others is nobody's page: opened by itself it may do nothing at all. */
const inert = "default-src 'none'; sandbox";

type Name = Pick<MediaPlace, 'author' | 'id'>;
type Attached = Pick<MessageRecord, 'body' | 'author' | 'id'>;

const keyOf = ({ author, id }: Name): string => `${author} ${id}`;

export class MediaDesk {
  readonly #client: () => Client | undefined;
  readonly #turns = new Turns(mediaDeskLimits.openFiles);
  readonly #once = new Map<string, Attached>();

  constructor(client: () => Client | undefined) {
    this.#client = client;
  }

  /** A message that was opened, and is kept nowhere else. */
  hold(message: Attached): void {
    this.#once.set(keyOf(message), message);
    const [oldest] = this.#once.keys();
    if (this.#once.size > mediaDeskLimits.heldOnce) void this.letGo(this.#once.get(oldest!)!);
  }

  /** It was looked at: what is kept of its files goes, too. */
  async letGo(name: Name): Promise<void> {
    const message = this.#once.get(keyOf(name));
    this.#once.delete(keyOf(name));
    for (const index of attachmentsOf(message).keys()) await this.#client()?.files.forget(message!, index);
  }

  /** Fetches the beginning of a file, so that what is wrong is known before a browser asks. Rejects with `ClientError`. */
  async check(place: Omit<MediaPlace, 'use'>): Promise<void> {
    await this.#opened(place, async file => {
      if (file.sizeBytes > 0) await file.read({ endBytes: 1 }).next();
    });
  }

  async answer(place: MediaPlace, request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('content-security-policy', inert);
    try {
      if (place.use === 'preview') await this.#preview(place, response);
      else await this.#opened(place, (file, message) => give(file, message, place, request, response));
    } catch (error) {
      if (response.headersSent || response.destroyed) return void response.destroy();
      const code = explained(error)?.code ?? 'internal';
      refuse(response, statusOf[code] ?? 502, code);
    }
  }

  async #preview(place: MediaPlace, response: ServerResponse): Promise<void> {
    const bytes = await this.#needClient().files.preview(await this.#message(place), place.index);
    const type = bytes === undefined ? undefined : previewType(bytes);
    if (bytes === undefined || type === undefined) return refuse(response, 404, 'not-found');
    response.setHeader('content-type', type);
    response.setHeader('content-length', bytes.length);
    response.end(bytes);
  }

  #opened(place: Omit<MediaPlace, 'use'>, use: (file: OpenedFile, message: Attached) => Promise<void>): Promise<void> {
    return this.#turns.run(async () => {
      const message = await this.#message(place);
      const file = await this.#needClient().files.open(message, place.index);
      try {
        await use(file, message);
      } finally {
        await file.close();
      }
    });
  }

  async #message(name: Name): Promise<Attached> {
    const [author, id] = [parsePerson(name.author), parseMessageId(name.id)];
    if (author === undefined || id === undefined) throw new ClientError('unknown-message');
    return this.#once.get(keyOf({ author, id })) ?? this.#needClient().chats.get({ author, id });
  }

  #needClient(): Client {
    const client = this.#client();
    if (client === undefined) throw new ClientError('closed');
    return client;
  }
}

const statusOf: Readonly<Record<string, number>> = {
  'unknown-message': 404,
  'not-accepted': 403,
  'file-unavailable': 410,
  internal: 500,
};

const attachmentsOf = (message: Pick<MessageRecord, 'body'> | undefined) =>
  message?.body?.kind === 'attachment' ? message.body.attachments : [];

/** At most `most` bytes of what is asked for: a player asks for more when it needs it. */
export function partAsked(header: string | undefined, sizeBytes: number, most: number): ReturnType<typeof readRange> {
  const range = readRange(header, sizeBytes);
  if (range === 'whole' || range === 'unsatisfiable') return range;
  return { startBytes: range.startBytes, endBytes: Math.min(range.endBytes, range.startBytes + most) };
}

async function give(
  file: OpenedFile,
  message: Attached,
  { use, index }: MediaPlace,
  { headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { kind, mediaType, fileName = 'file' } = attachmentsOf(message)[index]!;
  const type = use === 'save' ? 'application/octet-stream' : shownType(kind, mediaType);
  if (type === undefined) return refuse(response, 415, 'not-shown');
  const { sizeBytes } = file;
  const range = use === 'save' ? 'whole' : partAsked(headers.range, sizeBytes, mediaDeskLimits.partBytes);
  if (range === 'unsatisfiable') {
    response.setHeader('content-range', `bytes */${sizeBytes}`);
    return refuse(response, 416, 'range-not-satisfiable');
  }
  const { startBytes, endBytes } = range === 'whole' ? { startBytes: 0, endBytes: sizeBytes } : range;
  const stopped = new AbortController();
  response.once('close', () => stopped.abort());
  const pieces = file.read({ startBytes, endBytes, signal: stopped.signal });
  // What is wrong from the beginning has a status of its own.
  let piece = await pieces.next();
  response.statusCode = range === 'whole' ? 200 : 206;
  response.setHeader('content-type', type);
  response.setHeader('content-length', endBytes - startBytes);
  response.setHeader('accept-ranges', use === 'save' ? 'none' : 'bytes');
  if (use === 'save') response.setHeader('content-disposition', `attachment; filename*=UTF-8''${encoded(fileName)}`);
  if (range !== 'whole') response.setHeader('content-range', `bytes ${startBytes}-${endBytes - 1}/${sizeBytes}`);
  for (; piece.done !== true; piece = await pieces.next()) {
    if (!response.write(piece.value)) await once(response, 'drain', { signal: stopped.signal });
  }
  response.end();
}

/** As RFC 8187 wants it. */
function encoded(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replaceAll(/['()*]/g, each => `%${each.charCodeAt(0).toString(16)}`);
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${code}\n`);
}
