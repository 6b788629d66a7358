// What carries a stream: the seam between a connection and TCP, WebSocket or the compact transport. Types only.
// A transport delivers and takes elements; bytes, framing and encryption are its own matter.
import type { ClientStreamInput, ClientStreamSettings } from '@drawbridge/stream/client-stream';
import type { Element } from '@drawbridge/wire/element';
import type { ClientError } from '../errors.ts';

/** What a transport tells its connection: exactly the stream machine's inputs that come from outside. */
export type TransportEvent = Extract<
  ClientStreamInput<never>,
  { readonly kind: 'connected' | 'header' | 'element' | 'ended' | 'secured' | 'undecodable' | 'disconnected' }
>;

export type TransportContext = {
  /** The gatekeeper's domain. */
  readonly domain: string;
  /** Called in order, never from within `connect` itself; `disconnected` is the last, and comes once in every case. */
  readonly emit: (event: TransportEvent) => void;
  /** A fresh ownership proof, for transports whose own handshake carries it (`authenticated`). */
  readonly proof: () => Promise<string>;
};

/**
 * One connection attempt and then the connection. Everything is taken at once and written in order, one write per turn
 * of the event loop. After `disconnected` all calls do nothing.
 */
export interface Transport {
  readonly carrier: ClientStreamSettings['carrier'];
  sendHeader(to: string): void;
  send(element: Element): void;
  /** The end of our stream; the connection follows it with `close`. */
  sendEnd(): void;
  /** Emits `secured` when TLS is up and the certificate is the domain's. Only carriers `starttls` are asked. */
  startTls(): void;
  /** Stops and resumes reading: back-pressure towards the gatekeeper. */
  pause(): void;
  resume(): void;
  /** Writes what was sent, then closes. */
  close(): void;
  /** Why the transport disconnected, where that is known better than by the stream. */
  readonly failure: ClientError | undefined;
}

export type ConnectTransport = (context: TransportContext) => Transport;
