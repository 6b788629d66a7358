// Which transports a gatekeeper offers, in the order in which a client tries them. The next one is tried when a connection
// could not be made. Knows nothing of how any of them works.
import type { KeyObject } from 'node:crypto';
import { platformCrypto } from '@drawbridge/noise/platform-crypto';
import { importPinnedKey } from '@drawbridge/identity/static-key-certificate';
import type { ReferenceOffer } from '../account/enlist.ts';
import type { Clock } from '../clock.ts';
import type { ClientErrorCode } from '../errors.ts';
import type { HttpTrust } from './http.ts';
import type { ConnectTransport, Transport } from './transport.ts';
import { compactTransport, type KnownStaticKey } from './transport-compact.ts';
import { tcpTransport } from './transport-tcp.ts';
import { websocketTransport } from './transport-websocket.ts';

export type TransportName = 'compact' | 'direct-tls' | 'starttls' | 'compact-websocket' | 'websocket';

/** What networks that let only the web through let through comes second. */
export const defaultTransports: readonly TransportName[] = [
  'compact',
  'compact-websocket',
  'websocket',
  'direct-tls',
  'starttls',
];

/** After this long on another transport, the first one is tried again. */
export const returnAfterMs = 3_600_000;

export type TransportOptions = {
  readonly offer: ReferenceOffer;
  readonly wanted: readonly TransportName[];
  readonly trust: HttpTrust;
  /** What the compact transport needs; without a pinned key it is not used. */
  readonly devicePrivateKey: Uint8Array;
  readonly signingKey: () => string | undefined;
  readonly knownStaticKey: () => KnownStaticKey | undefined;
  readonly keepStaticKey: (key: KnownStaticKey | undefined) => void;
  readonly nowMs: () => number;
  readonly after: Clock['after'];
  /** Development: takes the keys of compact sessions. */
  readonly keyLog?: ((line: string) => void) | undefined;
};

export type OfferedTransport = { readonly name: TransportName; readonly connect: ConnectTransport };

/** The offered ones among `wanted`, in that order. */
export function offeredTransports(options: TransportOptions): OfferedTransport[] {
  return options.wanted.flatMap(name => {
    const connect = transportOf(name, options);
    return connect === undefined ? [] : [{ name, connect }];
  });
}

function transportOf(name: TransportName, options: TransportOptions): ConnectTransport | undefined {
  const { trust } = options;
  const { xmpp, xmpps, websocket, compact, compactWebsocket } = options.offer.endpoints;
  switch (name) {
    case 'compact':
      return compact === undefined ? undefined : overCompact(options, compact);
    case 'compact-websocket':
      return compactWebsocket === undefined ? undefined : overCompact(options, { url: compactWebsocket });
    case 'direct-tls':
      return xmpps === undefined ? undefined : tcpTransport({ ...xmpps, ...trust, security: 'direct-tls' });
    case 'starttls':
      return xmpp === undefined ? undefined : tcpTransport({ ...xmpp, ...trust, security: 'starttls' });
    case 'websocket':
      return websocket === undefined ? undefined : websocketTransport({ url: websocket, ...trust });
    default:
      return undefined;
  }
}

function overCompact(
  options: TransportOptions,
  target: { readonly host: string; readonly port: number } | { readonly url: string },
): ConnectTransport | undefined {
  const { trust, knownStaticKey, keepStaticKey, nowMs, after, keyLog } = options;
  const pinnedKey = (): KeyObject | undefined => importPinnedKey(options.signingKey() ?? '');
  const deviceKeyPair = platformCrypto.keyPairFromPrivateKey(options.devicePrivateKey);
  if (pinnedKey() === undefined || deviceKeyPair === undefined) return undefined;
  const offeredCiphers = options.offer.compactCiphers;
  return compactTransport({
    target,
    deviceKeyPair,
    pinnedKey,
    offeredCiphers,
    knownStaticKey,
    keepStaticKey,
    nowMs,
    after,
    keyLog,
    ...trust,
  });
}

/** Which transport got through last instead of the first, and since when; kept over restarts. */
export type TransportMemory = {
  readonly recall: () => { readonly name: string; readonly sinceMs: number } | undefined;
  readonly keep: (name: TransportName, sinceMs: number) => void;
  /** Whoever answered is not certified by the pinned key: the next transport is tried, and a person has to know. */
  readonly notCertified: () => void;
  readonly nowMs: () => number;
};

/**
 * Takes the transports in turn: the next after one by which nobody was reached. What got through is used from then on; after
 * `returnAfterMs` the first is tried again. A gatekeeper's refusal is not a reason to go on to another, nor is a certificate that
 * TLS refuses: whoever can forge an answer on one must not choose the next. An answer that the pinned key does not certify
 * leads on, and is told: all transports but the compact one over TCP are under TLS. `choices` is not empty.
 */
export function inTurn(choices: readonly OfferedTransport[], memory: TransportMemory): ConnectTransport {
  const recalled = memory.recall();
  let sinceMs = recalled?.sinceMs ?? 0;
  let kept = recalled?.name;
  const last = choices.findIndex(choice => choice.name === recalled?.name);
  let turn = Math.max(0, last);
  /** All failed, the network or the gatekeeper was down: which one gets through first afterwards says nothing. */
  let allFailed = false;

  const reached = (name: TransportName): void => {
    if (allFailed) turn = 0;
    else if (turn !== 0 && name !== kept) {
      kept = name;
      sinceMs = memory.nowMs();
      memory.keep(name, sinceMs);
    }
    allFailed = false;
  };
  const notReached = (): void => {
    turn = (turn + 1) % choices.length;
    sinceMs = memory.nowMs();
    if (turn === 0) allFailed = true;
  };

  return context => {
    if (turn !== 0 && memory.nowMs() - sinceMs >= returnAfterMs) turn = 0;
    const { name, connect } = choices[turn]!;
    let isReached = false;
    const transport = connect({
      ...context,
      emit: event => {
        // Something of the peer's, not only an open port: a broken way is left as well.
        if (!isReached && (event.kind === 'header' || event.kind === 'element')) {
          isReached = true;
          reached(name);
        }
        if (event.kind === 'disconnected' && !isReached && mayGoOn(transport)) {
          if (transport.failure?.code === 'gatekeeper-not-certified') memory.notCertified();
          notReached();
        }
        context.emit(event);
      },
    });
    return transport;
  };
}

const leadsOn: ReadonlySet<ClientErrorCode | undefined> = new Set([
  'unreachable',
  'timed-out',
  'relay-refused',
  'gatekeeper-not-certified',
]);

/** Nobody answered, or nobody whom the pinned key certifies: that is all that leads on to another transport. */
function mayGoOn({ carrier, failure }: Transport): boolean {
  if (carrier === 'authenticated') return leadsOn.has(failure?.code);
  return failure?.code !== 'certificate-refused';
}
