// Holds the connections of HTTP servers to their places: each takes one when it comes, gives way while it is idle, and leaves it
// when it ends or becomes a WebSocket. Knows nothing of what is asked.
// Source: threat 10 of docs/threat-model.md.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type HttpPlace, HttpPlaces, type HttpPlaceLimits } from './http-places.ts';

export class HttpConnections {
  readonly #places: HttpPlaces;
  /** By the peer's address and port: TLS puts another socket object in front of the one that was counted. */
  readonly #placeOf = new Map<string, HttpPlace>();

  constructor(limits: HttpPlaceLimits) {
    this.#places = new HttpPlaces(limits);
  }

  get count(): number {
    return this.#places.count;
  }

  /** Others from now on; nobody is sent away. */
  setLimits(limits: HttpPlaceLimits): void {
    this.#places.setLimits(limits);
  }

  /** A connection has come; `key` is its address's, empty for a reverse proxy. False: it got no place, and is cut. */
  take(socket: Socket, key: string, isFull = false): boolean {
    const place = this.#places.take(key, () => socket.destroy(), isFull);
    if (place === undefined) {
      // Not at once: TLS would be put on a socket that is none any more.
      setImmediate(() => socket.destroy());
      return false;
    }
    const peer = peerOf(socket);
    this.#placeOf.set(peer, place);
    socket.once('close', () => {
      if (this.#placeOf.get(peer) === place) this.#placeOf.delete(peer);
      this.#places.leave(place);
    });
    return true;
  }

  /** Of these servers' requests: while one is under way its connection keeps its place. */
  watch(server: Pick<Server, 'on'>): void {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const place = this.#placeOf.get(peerOf(request.socket));
      if (place === undefined) return;
      this.#places.requestBegan(place);
      response.once('close', () => this.#places.requestEnded(place));
    });
    server.on('upgrade', (request: IncomingMessage) => {
      const place = this.#placeOf.get(peerOf(request.socket));
      if (place !== undefined) this.#places.leave(place);
    });
  }
}

/** What tells connections of one port apart. */
export function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? 0}`;
}
