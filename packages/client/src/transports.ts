// Which transports a gatekeeper offers, in the order in which a client tries them. The next one is tried when a connection
// could not be made. Knows nothing of how any of them works.
import { keyPairFromPrivateKey } from '@drawbridge/noise/node-crypto';
import { importPinnedKey } from '@drawbridge/identity/static-key-certificate';
import type { ReferenceOffer } from './enlist.ts';
import type { HttpTrust } from './http.ts';
import type { ConnectTransport } from './transport.ts';
import { compactTransport, type KnownStaticKey } from './transport-compact.ts';
import { tcpTransport } from './transport-tcp.ts';
import { websocketTransport } from './transport-websocket.ts';

export type TransportName = 'compact' | 'direct-tls' | 'starttls' | 'compact-websocket' | 'websocket';

export const defaultTransports: readonly TransportName[] = [
  'compact',
  'direct-tls',
  'starttls',
  'compact-websocket',
  'websocket',
];

export type TransportOptions = {
  readonly offer: ReferenceOffer;
  readonly wanted: readonly TransportName[];
  readonly trust: HttpTrust;
  /** What the compact transport needs; without a pinned key it is not used. */
  readonly devicePrivateKey: Uint8Array;
  readonly signingKey: string | undefined;
  readonly knownStaticKey: () => KnownStaticKey | undefined;
  readonly keepStaticKey: (key: KnownStaticKey | undefined) => void;
  readonly nowMs: () => number;
};

/** The offered ones among `wanted`, in that order. */
export function offeredTransports(options: TransportOptions): ConnectTransport[] {
  const { offer, wanted, trust } = options;
  const { xmpp, xmpps, websocket, compact, compactWebsocket } = offer.endpoints;
  return wanted.flatMap(name => {
    switch (name) {
      case 'compact':
        return compact === undefined ? [] : overCompact(options, compact);
      case 'compact-websocket':
        return compactWebsocket === undefined ? [] : overCompact(options, { url: compactWebsocket });
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

function overCompact(
  options: TransportOptions,
  target: { readonly host: string; readonly port: number } | { readonly url: string },
): ConnectTransport[] {
  const { trust, knownStaticKey, keepStaticKey, nowMs } = options;
  const pinnedKey = options.signingKey === undefined ? undefined : importPinnedKey(options.signingKey);
  const deviceKeyPair = keyPairFromPrivateKey(options.devicePrivateKey);
  if (pinnedKey === undefined || deviceKeyPair === undefined) return [];
  return [compactTransport({ target, deviceKeyPair, pinnedKey, knownStaticKey, keepStaticKey, nowMs, ...trust })];
}

/** Takes the transports in turn: the next after one that ended before it was connected. `choices` is not empty. */
export function inTurn(choices: readonly ConnectTransport[]): ConnectTransport {
  let turn = 0;
  return context => {
    let connected = false;
    return choices[turn % choices.length]!({
      ...context,
      emit: event => {
        // Something of the peer's, not only an open port: a broken way is left as well.
        if (event.kind === 'header' || event.kind === 'element') connected = true;
        if (event.kind === 'disconnected' && !connected) turn++;
        context.emit(event);
      },
    });
  };
}
