// A way to the gatekeeper through a relay: an HTTP CONNECT, and behind it the same bytes as without one. The relay learns this
// device's address, the gatekeeper the relay's; TLS and Noise stay between device and gatekeeper.
// Knows nothing of what is carried. Source: RFC 9110 section 9.3.6; docs/protocol/12-relays.md.
import type { Duplex } from 'node:stream';
import { ClientError } from '../errors.ts';
import { type ConnectSocket, openSocket, type Place } from './connect-socket.ts';

/** A relay; with `onlyOrigin` it is used for URLs of this origin alone. */
export type Relay = Place & { readonly onlyOrigin?: string };

export const tunnelLimits = {
  /** Until the relay has opened the way. */
  openMs: 10_000,
  maxAnswerBytes: 4_096,
} as const;

/** `name:port`, `192.0.2.7:8444` or `[2001:db8::7]:8444`; undefined: it is neither. */
export function parseRelay(text: string): Place | undefined {
  const url = /^[A-Za-z0-9.[\]:-]+:[0-9]{1,5}$/.test(text) ? URL.parse(`tcp://${text}`) : null;
  if (url === null || url.hostname === '' || url.port === '' || url.port === '0') return undefined;
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) };
}

/** The relay through which a URL is asked for; undefined: none. */
export function relayFor(relay: Relay | undefined, url: string): Relay | undefined {
  if (relay?.onlyOrigin === undefined) return relay;
  return new URL(url).origin === relay.onlyOrigin ? relay : undefined;
}

/**
 * Connects to `target` through the relay; calls `opened` once when the way is open: the socket is then as a new one to the
 * target. Otherwise the socket ends with a `ClientError`: `relay-refused`, `unreachable`, `timed-out`.
 */
export function openTunnel(
  relay: Place,
  { host, port }: Place,
  opened: () => void,
  connectSocket?: ConnectSocket,
): Duplex {
  const socket = openSocket({ host: relay.host, port: relay.port }, connectSocket);
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  let received = Buffer.alloc(0);
  const late = (): void => {
    socket.destroy(new ClientError('timed-out', { detail: 'the relay does not answer' }));
  };
  const read = (): void => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      received = Buffer.concat([received, chunk]);
    }
    const end = received.indexOf('\r\n\r\n');
    if (end < 0) {
      if (received.length > tunnelLimits.maxAnswerBytes) socket.destroy(refusalOf(undefined));
      return;
    }
    socket.off('readable', read);
    clearTimeout(timer);
    const status = /^HTTP\/1\.[01] ([0-9]{3})/.exec(received.toString('latin1', 0, end))?.[1];
    if (status === undefined || !status.startsWith('2')) {
      socket.destroy(refusalOf(status));
      return;
    }
    if (received.length > end + 4) socket.unshift(received.subarray(end + 4));
    // The stream is as it was when it came: whoever takes it decides how to read.
    setImmediate(() => {
      if (!socket.destroyed) opened();
    });
  };
  const timer = setTimeout(late, tunnelLimits.openMs);
  socket.once('connect', () => socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`));
  socket.on('readable', read);
  socket.once('close', () => clearTimeout(timer));
  return socket;
}

/** 403: it does not pass on to there. Everything else may be over soon. */
function refusalOf(status: string | undefined): ClientError {
  if (status === '403') return new ClientError('relay-refused');
  return new ClientError('unreachable', {
    detail: status === undefined ? 'no relay answers there' : `relay: ${status}`,
  });
}
