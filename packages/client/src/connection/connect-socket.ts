// The one place where the SDK opens a way to another machine: a TCP connection, or what an app opens in its place (a proxy of
// its house, a tunnel, a radio). TLS, Noise and HTTP come behind it, so that whoever carries the bytes reads nothing.
// Knows nothing of what is carried, nor of relays.
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { ClientError } from '../errors.ts';

export type Place = { readonly host: string; readonly port: number };

/**
 * Opens a stream of bytes to `host` and `port`, as they stand: names are the app's to look up. Fulfilled when bytes can go;
 * the stream ends, fails and is destroyed as a socket is. `signal` aborts when the SDK no longer wants it.
 */
export type ConnectSocket = (place: Place, signal: AbortSignal) => Promise<Duplex>;

/** A stream to that place, not open yet: it emits `connect` when it is, or `error` and `close`. */
export function openSocket(place: Place, connectSocket: ConnectSocket | undefined): Duplex {
  if (connectSocket !== undefined) return new AppSocket(place, connectSocket);
  return connect({ ...place, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
}

/** What the app opens, as a stream that is there from the beginning, like a socket. */
class AppSocket extends Duplex {
  readonly #place: Place;
  readonly #connectSocket: ConnectSocket;
  readonly #wanted = new AbortController();
  #opened: Duplex | undefined;

  constructor(place: Place, connectSocket: ConnectSocket) {
    super({ allowHalfOpen: false });
    this.#place = place;
    this.#connectSocket = connectSocket;
  }

  override _construct(done: (error?: Error) => void): void {
    void this.#open(done);
  }

  async #open(done: (error?: Error) => void): Promise<void> {
    let opened: unknown;
    try {
      opened = await this.#connectSocket(this.#place, this.#wanted.signal);
    } catch (error) {
      done(error instanceof Error ? error : new ClientError('unreachable', { cause: error }));
      return;
    }
    if (!(opened instanceof Duplex)) {
      done(new ClientError('invalid-argument', { detail: 'connectSocket gives a Duplex of node:stream' }));
      return;
    }
    this.#opened = opened;
    opened.on('data', (chunk: Uint8Array) => {
      if (!this.push(chunk)) opened.pause();
    });
    opened.on('end', () => this.push(null));
    opened.on('error', error => this.destroy(error));
    opened.on('close', () => this.destroy());
    if (this.destroyed) opened.destroy();
    done();
    this.emit('connect');
  }

  override _read(): void {
    this.#opened?.resume();
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#opened!.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#opened!.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#wanted.abort();
    this.#opened?.destroy();
    done(error);
  }
}
