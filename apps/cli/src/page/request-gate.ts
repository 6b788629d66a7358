// Which requests are for the page at all: to this address by its number, from our own page, and with both halves of a
// session where something is said or done. Pure: judges headers. Knows nothing of sockets and secrets.
import type { IncomingHttpHeaders } from 'node:http';
import type { Session } from './launch.ts';

/** `wrong-host`: a name that somebody made lead here (DNS rebinding). `wrong-origin`: another page asks. */
export type GateFault = 'wrong-host' | 'wrong-origin';

export const tokenPrefix = 'token.';
export const pageProtocol = 'drawbridge-page-1';

export function checkHost(headers: IncomingHttpHeaders, port: number): GateFault | undefined {
  return headers.host === `127.0.0.1:${port}` ? undefined : 'wrong-host';
}

/** For whatever changes something or opens a socket: browsers always say where that comes from. */
export function checkOrigin(headers: IncomingHttpHeaders, port: number): GateFault | undefined {
  return headers.origin === `http://127.0.0.1:${port}` ? undefined : 'wrong-origin';
}

/** Both halves of a session as a WebSocket's handshake carries them; undefined when one is missing. */
export function sessionOf(headers: IncomingHttpHeaders, cookieName: string): Session | undefined {
  const cookies = (headers.cookie ?? '').split(';').map(part => part.trim().split('='));
  const [, cookie] = cookies.find(([name]) => name === cookieName) ?? [];
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map(part => part.trim());
  const token = offered.find(each => each.startsWith(tokenPrefix))?.slice(tokenPrefix.length);
  if (cookie === undefined || token === undefined || !offered.includes(pageProtocol)) return undefined;
  return { cookie, token };
}
