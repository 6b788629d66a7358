// Downloads and uploads of encrypted files over TLS, and sealing and opening them: the load of the media suite.
import { createHash, createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { openAttachment, readSealed, sealAttachment } from '@drawbridge/e2ee/attachments';
import { cpuMsOf } from '../machine.ts';
import type { Figures } from '../results.ts';
import { type Metered, startMeter } from './meter.ts';

const mebibyte = 1_048_576;

export type MediaTarget = {
  readonly url: string;
  readonly caFile: string;
  /** Measured. */
  readonly pid: number;
  /** What stands behind it, on the generator's core; its time is not somebody else's. */
  readonly behindPid: number | undefined;
};

export type DownloadJob = {
  readonly kind: 'download';
  readonly target: MediaTarget;
  readonly sizeBytes: number;
  readonly times: number;
  readonly atOnce: number;
};
export type UploadJob = {
  readonly kind: 'upload';
  readonly target: MediaTarget;
  readonly headers: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  readonly times: number;
};
/** Leaves one file there and gives its URL. */
export type StoreFileJob = {
  readonly kind: 'store-file';
  readonly url: string;
  readonly caFile: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
};
export type SealJob = { readonly kind: 'seal'; readonly mebibytes: number };

export type TransferResult = Metered & { readonly bytes: number; readonly cipher: string };
export type SealResult = Figures;

function agentOf(caFile: string): Agent {
  return new Agent({ keepAlive: true, maxSockets: 64, ca: readFileSync(caFile), servername: 'localhost' });
}

async function measured(target: MediaTarget, work: () => Promise<number>): Promise<Metered & { bytes: number }> {
  const behind = (): number => (target.behindPid === undefined ? 0 : cpuMsOf(target.behindPid));
  const behindMs = behind();
  const stop = startMeter({ pid: target.pid });
  const bytes = await work();
  const figures = stop();
  const others = figures.otherCores - (behind() - behindMs) / 1_000 / figures.seconds;
  return { ...figures, otherCores: Math.max(0, others), bytes };
}

export async function download({ target, sizeBytes, times, atOnce }: DownloadJob): Promise<TransferResult> {
  const agent = agentOf(target.caFile);
  let cipher = '';
  const fetchRange = async (lengthBytes: number): Promise<number> => {
    const range = lengthBytes === sizeBytes ? {} : { range: `bytes=0-${lengthBytes - 1}` };
    const sent = request(target.url, { agent, headers: range }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200 && response.statusCode !== 206) throw new Error(`answered ${response.statusCode}`);
    const { socket } = response;
    if ('getCipher' in socket && typeof socket.getCipher === 'function') {
      cipher = (socket.getCipher() as { readonly standardName: string }).standardName;
    }
    let bytes = 0;
    response.on('data', (chunk: Buffer) => (bytes += chunk.length));
    await once(response, 'end');
    if (bytes !== lengthBytes) throw new Error(`${bytes} bytes of ${lengthBytes}`);
    return bytes;
  };
  // Connections, and code that the compiler has had its time with.
  for (let bytes = 0; bytes < 256 * mebibyte; bytes += atOnce * sizeBytes) {
    await Promise.all(Array.from({ length: atOnce }, () => fetchRange(sizeBytes)));
  }
  const figures = await measured(target, async () => {
    let left = times;
    let bytes = 0;
    const one = async (): Promise<void> => {
      while (left-- > 0) bytes += await fetchRange(sizeBytes);
    };
    await Promise.all(Array.from({ length: atOnce }, one));
    return bytes;
  });
  agent.destroy();
  return { ...figures, cipher };
}

type Uploader = {
  /** Uploads `bytes` bytes; the file's URL. */
  readonly put: (url: string, bytes: number) => Promise<string>;
  readonly remove: (url: string) => Promise<void>;
  readonly close: () => void;
};

function createUploader(caFile: string, headers: Readonly<Record<string, string>>): Uploader {
  const agent = agentOf(caFile);
  const piece = randomBytes(mebibyte);
  const send = async (method: string, url: string, more: Record<string, string>, bytes: number): Promise<string> => {
    const sent = request(url, { agent, method, headers: { ...headers, ...more, 'content-length': bytes } });
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    for (let left = bytes; left > 0; left -= piece.length) {
      if (!sent.write(piece.subarray(0, Math.min(left, piece.length)))) await once(sent, 'drain');
    }
    sent.end();
    const [response] = await answered;
    response.resume();
    await once(response, 'end');
    if (response.statusCode !== 201 && response.statusCode !== 204) throw new Error(`answered ${response.statusCode}`);
    return response.headers.location ?? '';
  };
  return {
    async put(url, bytes) {
      const location = await send('POST', url, { 'upload-length': String(bytes) }, 0);
      const type = { 'content-type': 'application/offset+octet-stream', 'upload-offset': '0' };
      await send('PATCH', location, type, bytes);
      return location;
    },
    remove: async url => void (await send('DELETE', url, {}, 0)),
    close: () => agent.destroy(),
  };
}

export async function storeFile({ url, caFile, headers, sizeBytes }: StoreFileJob): Promise<string> {
  const uploader = createUploader(caFile, headers);
  const location = await uploader.put(url, sizeBytes);
  uploader.close();
  return location;
}

export async function upload({ target, headers, sizeBytes, times }: UploadJob): Promise<TransferResult> {
  const uploader = createUploader(target.caFile, headers);
  await uploader.remove(await uploader.put(target.url, 16 * mebibyte));
  const figures = await measured(target, async () => {
    let bytes = 0;
    for (let time = 0; time < times; time += 1) {
      await uploader.remove(await uploader.put(target.url, sizeBytes));
      bytes += sizeBytes;
    }
    return bytes;
  });
  uploader.close();
  return { ...figures, cipher: '' };
}

/** MiB in each second of CPU, of this process with its threads. */
async function perCpuSecond(mebibytes: number, work: () => Promise<void> | void): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return mebibytes / ((user + system) / 1e6);
}

export async function seal({ mebibytes }: SealJob): Promise<SealResult> {
  const piece = randomBytes(262_144);
  const pieces = mebibytes * 4;
  const sizeBytes = pieces * piece.length;
  async function* open(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < pieces; i += 1) yield piece;
  }
  const primitive = (update: (bytes: Buffer) => void) => (): void => {
    for (let i = 0; i < pieces; i += 1) update(piece);
  };
  const [key, iv] = [randomBytes(32), randomBytes(16)];
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const decipher = createDecipheriv('aes-256-cbc', key, iv);
  const hmac = createHmac('sha256', key);
  const hash = createHash('sha256');
  const figures: Record<string, number> = {
    nodeEncrypt: await perCpuSecond(
      mebibytes,
      primitive(bytes => cipher.update(bytes)),
    ),
    nodeDecrypt: await perCpuSecond(
      mebibytes,
      primitive(bytes => decipher.update(bytes)),
    ),
    nodeHmac: await perCpuSecond(
      mebibytes,
      primitive(bytes => hmac.update(bytes)),
    ),
    nodeSha256: await perCpuSecond(
      mebibytes,
      primitive(bytes => hash.update(bytes)),
    ),
  };
  const described = await sealAttachment(open, sizeBytes);
  if (described.kind !== 'sealed') throw new Error(described.code);
  const { sealed } = described;
  figures['describe'] = await perCpuSecond(mebibytes, async () => void (await sealAttachment(open, sizeBytes)));
  // The padding is encrypted too: figures are of the file's own bytes all the same.
  figures['encrypt'] = await perCpuSecond(mebibytes, async () => {
    for await (const _part of readSealed(open, sealed));
  });
  // A few chunks of the encrypted file at a time would not be a file: it is kept in memory as a whole.
  const encrypted: Uint8Array[] = [];
  for await (const part of readSealed(open, sealed)) encrypted.push(part);
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* encrypted;
  }
  let openedBytes = 0;
  figures['decrypt'] = await perCpuSecond(mebibytes, async () => {
    const opened = await openAttachment(source(), sealed, part => {
      openedBytes += part.length;
    });
    if (opened.kind !== 'opened') throw new Error(opened.code);
  });
  if (openedBytes !== sizeBytes) throw new Error('not the whole file was opened');
  return figures;
}
