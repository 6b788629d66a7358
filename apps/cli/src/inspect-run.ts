// Prints the stanzas of compact connections, out of a capture or as they pass a proxy, with the keys that an end logged.
// Knows nothing of options. What is end-to-end encrypted stays so: these keys open the transport alone.
import { shownLine } from '@drawbridge/client';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import type { CipherName, Suite } from '@drawbridge/noise/crypto';
import { nodeSuite } from '@drawbridge/noise/node-crypto';
import { type CaptureEvent, type CaptureSide, CompactCapture } from '@drawbridge/stream/compact-capture';
import { type CompactSessionKeys, parseKeyLog } from '@drawbridge/stream/compact-key-log';
import { compactPrologue } from '@drawbridge/stream/compact-login';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { CommandError, usageError } from './command-error.ts';
import { readPcap, type TcpChunk } from './inspect-pcap.ts';

const maxCaptureBytes = 1024 * 1024 * 1024;
const maxKeyLogBytes = 64 * 1024 * 1024;
/** Packets of one side before its connection is taken for something else than compact. */
const maxOpeningChunks = 8;
const maxProxied = 1_000;
/** An end logs its keys a moment after the bytes have passed. */
const keysWithinMs = 300;

const suite = (cipher: CipherName): Suite => nodeSuite(cipher, 'SHA256');
const patternNames: Readonly<Record<number, string>> = {
  0x01: 'XX',
  0x02: 'IK',
  0x03: 'XXfallback',
  0x11: 'XX with ChaChaPoly',
  0x12: 'IK with ChaChaPoly',
  0x13: 'XXfallback with ChaChaPoly',
};

export type Print = (line: string) => void;

/** Reads a file that a person named; the words say what is wrong with it. */
function readInput(file: string, maxBytes: number): Buffer {
  if (statSync(file).size > maxBytes) {
    throw new CommandError(
      `${file} is larger than ${maxBytes / 1024 / 1024} MiB`,
      'cut it, with `editcap` for example',
    );
  }
  return readFileSync(file);
}

function readKeys(file: string): CompactSessionKeys[] {
  const keys = parseKeyLog(readInput(file, maxKeyLogBytes).toString('latin1'));
  if (keys.length > 0) return keys;
  throw new CommandError(
    `${file} holds no keys of compact sessions`,
    'start the sandbox with --key-log, or open the client with keyLogFile, before the connection is made',
  );
}

function keysOf(keys: readonly CompactSessionKeys[], clientEphemeral: Uint8Array): CompactSessionKeys | undefined {
  return keys.find(each => Buffer.compare(each.clientEphemeral, clientEphemeral) === 0);
}

/** One line for each event: time, connection, direction, XML or a word in brackets. */
function lineOf(event: CaptureEvent, connection: number, atMs: number | undefined): string[] {
  const time = atMs === undefined ? '' : `${new Date(atMs).toISOString().slice(11, 23)} `;
  const start = `${time}#${connection} ${event.from === 'client' ? 'C→S' : 'S→C'}`;
  switch (event.kind) {
    case 'stanzas':
      return event.elements.map(el => `${start} ${shownLine(encodeElement(el, NS_CLIENT))}`);
    case 'handshake':
      return [`${start} [handshake ${patternNames[event.pattern] ?? 'unknown'}, ${event.sizeBytes} bytes]`];
    case 'login':
      return [`${start} [login, ${event.sizeBytes} bytes: sealed by the handshake]`];
    case 'keep-alive':
      return [`${start} [keep-alive]`];
    case 'unreadable':
      return [`${start} [${explanations[event.code]}]`];
  }
}

const explanations: Readonly<Record<Extract<CaptureEvent, { kind: 'unreadable' }>['code'], string>> = {
  'not-compact': 'not a compact connection',
  'keys-missing': 'the key log has no keys of this connection',
  'frame-too-long': 'a frame is longer than allowed: not compact, or bytes are missing',
  'frame-not-authentic': 'a frame was changed, or bytes before it are missing',
  'frame-malformed': 'a frame is authentic and holds no stanzas',
};

/** A connection of which too little has come to tell what it is, and one that is compact. */
type Opening = { readonly chunks: TcpChunk[] };
type Compact = { readonly capture: CompactCapture; readonly client: string; readonly number: number };

/** Which side speaks first, by the prologue that only a client sends. */
function clientOf(chunks: readonly TcpChunk[]): string {
  const openings = [...new Set(chunks.map(chunk => chunk.from))].map(from => {
    const own = chunks.filter(chunk => chunk.from === from).map(chunk => chunk.bytes);
    return { from, bytes: Buffer.concat(own).subarray(0, compactPrologue.length) };
  });
  const client = openings.find(({ bytes }) => Buffer.compare(bytes, compactPrologue) === 0);
  if (client !== undefined) return client.from;
  const mayBe = ({ bytes }: { bytes: Buffer }): boolean =>
    Buffer.compare(bytes, compactPrologue.subarray(0, bytes.length)) === 0;
  // A gatekeeper's packets may stand before its client's in a capture.
  return openings.some(mayBe) || (openings.length === 1 && chunks.length < maxOpeningChunks) ? 'unknown' : 'other';
}

/** Prints a pcap file. Gives how many stanzas there were. */
export function inspectPcap(file: string, keyFile: string, print: Print): number {
  const keys = readKeys(keyFile);
  const read = readPcap(readInput(file, maxCaptureBytes));
  if (read.kind === 'refused') throw new CommandError(`${file} can't be read: ${read.reason}`, 'see --help');
  const known = new Map<number, Opening | Compact | 'other'>();
  let stanzas = 0;
  let count = 0;
  for (const chunk of read.chunks) {
    let about = known.get(chunk.connection) ?? { chunks: [] };
    let chunks: readonly TcpChunk[] = [chunk];
    if (about !== 'other' && 'chunks' in about) {
      about.chunks.push(chunk);
      chunks = about.chunks;
      const client = clientOf(chunks);
      if (client === 'unknown') {
        known.set(chunk.connection, about);
        continue;
      }
      about =
        client === 'other'
          ? client
          : { capture: new CompactCapture(suite, key => keysOf(keys, key)), client, number: ++count };
      known.set(chunk.connection, about);
      if (about !== 'other') print(`#${about.number} ${client} → ${client === chunk.from ? chunk.to : chunk.from}`);
    }
    if (about === 'other') continue;
    for (const { from, atMs, bytes } of chunks) {
      for (const event of about.capture.feed(from === about.client ? 'client' : 'server', bytes)) {
        if (event.kind === 'stanzas') stanzas += event.elements.length;
        for (const line of lineOf(event, about.number, atMs)) print(line);
      }
    }
  }
  if (count === 0) print('No compact connection begins in this capture.');
  if (read.gaps > 0) print(`${read.gaps} directions end early: packets are missing.`);
  return stanzas;
}

/** Prints the bytes of one connection, as a socket gave them, without times: the client's side, then the gatekeeper's. */
export function inspectRaw(
  files: { readonly client: string; readonly server: string | undefined },
  keyFile: string,
  print: Print,
): number {
  const keys = readKeys(keyFile);
  const capture = new CompactCapture(suite, key => keysOf(keys, key));
  let stanzas = 0;
  const feed = (side: CaptureSide, file: string | undefined): void => {
    if (file === undefined) return;
    for (const event of capture.feed(side, readInput(file, maxCaptureBytes))) {
      if (event.kind === 'stanzas') stanzas += event.elements.length;
      for (const line of lineOf(event, 1, undefined)) print(line);
    }
  };
  feed('client', files.client);
  feed('server', files.server);
  return stanzas;
}

export type ProxyPlaces = {
  readonly listen: { readonly host: string; readonly port: number };
  readonly to: { readonly host: string; readonly port: number };
};

export type InspectingProxy = { readonly port: number; readonly close: () => Promise<void> };

/** Passes TCP connections on and prints what they say. The key log may appear later, and grow. */
export async function startInspectingProxy(
  places: ProxyPlaces,
  keyFile: string,
  print: Print,
): Promise<InspectingProxy> {
  let keys: CompactSessionKeys[] = [];
  const currentKeys = (clientEphemeral: Uint8Array): CompactSessionKeys | undefined => {
    const found = keysOf(keys, clientEphemeral);
    if (found !== undefined || !existsSync(keyFile)) return found;
    keys = parseKeyLog(readInput(keyFile, maxKeyLogBytes).toString('latin1'));
    return keysOf(keys, clientEphemeral);
  };
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer({ noDelay: true }, client => {
    if (sockets.size >= 2 * maxProxied) {
      client.destroy();
      return;
    }
    const connection = ++count;
    const capture = new CompactCapture(suite, currentKeys);
    const gatekeeper = connect({ ...places.to, noDelay: true });
    print(
      `#${connection} ${client.remoteAddress ?? '?'}:${client.remotePort ?? 0} → ${places.to.host}:${places.to.port}`,
    );
    const pass = (from: CaptureSide, source: Socket, target: Socket): void => {
      sockets.add(source);
      source.on('data', (chunk: Buffer) => {
        const atMs = Date.now();
        if (!target.write(chunk)) source.pause();
        setTimeout(() => {
          for (const event of capture.feed(from, chunk))
            for (const line of lineOf(event, connection, atMs)) print(line);
        }, keysWithinMs);
      });
      target.on('drain', () => source.resume());
      source.on('end', () => target.end());
      source.on('error', () => target.destroy());
      source.on('close', () => {
        sockets.delete(source);
        target.destroy();
      });
    };
    pass('client', client, gatekeeper);
    pass('server', gatekeeper, client);
    gatekeeper.on('close', () => setTimeout(() => print(`#${connection} closed`), keysWithinMs));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(places.listen.port, places.listen.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : places.listen.port,
    close: async () => {
      const closed = new Promise(resolve => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** `5224`, `127.0.0.1:5224` or `[::1]:5224`. */
export function parsePlace(text: string, defaultHost: string): { host: string; port: number } {
  const found = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):)?([0-9]{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (found === null || port > 65_535) throw usageError(`${text} is not a place`, 'write HOST:PORT, or PORT alone');
  return { host: found[1] ?? found[2] ?? defaultHost, port };
}
