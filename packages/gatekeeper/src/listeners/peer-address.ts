// Whose connection a socket is: its peer's, or that of the client for whom a trusted proxy opened it. Knows nothing of
// headers and of who is trusted.
import type { Socket } from 'node:net';

const declared = new WeakMap<Socket, string>();

/** A trusted proxy has said who its client is. */
export function declareAddress(socket: Socket, address: string): void {
  declared.set(socket, address);
}

/** An IP address; empty when the connection is over. */
export function peerAddress(socket: Socket): string {
  return declared.get(socket) ?? socket.remoteAddress ?? '';
}
