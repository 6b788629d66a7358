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

/**
 * For what elements of the page load by themselves: browsers say that it is for them, and no script can say it in their place.
 * Whatever else asks, another page or a window of its own, gets nothing.
 */
export function checkElement(
  { 'sec-fetch-site': site, 'sec-fetch-dest': destination }: IncomingHttpHeaders,
  use: 'show' | 'preview' | 'save',
): GateFault | undefined {
  const wanted = use === 'save' ? ['document', 'empty'] : ['image', 'video', 'audio'];
  return site === 'same-origin' && wanted.includes(String(destination)) ? undefined : 'wrong-origin';
}

export function cookieOf(headers: IncomingHttpHeaders, cookieName: string): string | undefined {
  const cookies = (headers.cookie ?? '').split(';').map(part => part.trim().split('='));
  return cookies.find(([name]) => name === cookieName)?.[1];
}

/** Both halves of a session as a page's own request carries them; undefined when one is missing. */
export function bearerOf(headers: IncomingHttpHeaders, cookieName: string): Session | undefined {
  const cookie = cookieOf(headers, cookieName);
  const [, token] = /^Bearer ([\w-]+)$/.exec(headers.authorization ?? '') ?? [];
  return cookie === undefined || token === undefined ? undefined : { cookie, token };
}

/** Both halves of a session as a WebSocket's handshake carries them; undefined when one is missing. */
export function sessionOf(headers: IncomingHttpHeaders, cookieName: string): Session | undefined {
  const cookie = cookieOf(headers, cookieName);
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map(part => part.trim());
  const token = offered.find(each => each.startsWith(tokenPrefix))?.slice(tokenPrefix.length);
  if (cookie === undefined || token === undefined || !offered.includes(pageProtocol)) return undefined;
  return { cookie, token };
}
