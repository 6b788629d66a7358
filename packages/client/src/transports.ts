// Which transports a gatekeeper offers, in the order in which a client tries them. The next one is tried when a connection
// could not be made. Knows nothing of how any of them works.
import type { ReferenceOffer } from './enlist.ts';
import type { HttpTrust } from './http.ts';
import type { ConnectTransport } from './transport.ts';
import { tcpTransport } from './transport-tcp.ts';
import { websocketTransport } from './transport-websocket.ts';

export type TransportName = 'direct-tls' | 'starttls' | 'websocket';

export const defaultTransports: readonly TransportName[] = ['direct-tls', 'starttls', 'websocket'];

/** The offered ones among `wanted`, in that order. */
export function offeredTransports(
  offer: ReferenceOffer,
  wanted: readonly TransportName[],
  trust: HttpTrust,
): ConnectTransport[] {
  const { xmpp, xmpps, websocket } = offer.endpoints;
  return wanted.flatMap(name => {
    switch (name) {
      case 'direct-tls':
        return xmpps === undefined ? [] : [tcpTransport({ ...xmpps, ...trust, security: 'direct-tls' })];
      case 'starttls':
        return xmpp === undefined ? [] : [tcpTransport({ ...xmpp, ...trust, security: 'starttls' })];
      case 'websocket':
        return websocket === undefined ? [] : [websocketTransport({ url: websocket, ...trust })];
      default:
        return [];
    }
  });
}

/** Takes the transports in turn: the next after one that ended before it was connected. `choices` is not empty. */
export function inTurn(choices: readonly ConnectTransport[]): ConnectTransport {
  let turn = 0;
  return context => {
    let connected = false;
    return choices[turn % choices.length]!({
      ...context,
      emit: event => {
        if (event.kind === 'connected') connected = true;
        if (event.kind === 'disconnected' && !connected) turn++;
        context.emit(event);
      },
    });
  };
}
