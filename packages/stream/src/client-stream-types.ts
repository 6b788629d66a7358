// What goes into a client's stream and comes out of it, what it leaves behind, and its limits. Types and values alone.
// Source: docs/protocol/04-streams.md.
import type { Element } from '@drawbridge/wire/element';
import type { ClientStreamFailure } from './client-failures.ts';
import type { StreamManagement } from './stream-management.ts';

export type ClientStreamLimits = {
  /** From the transport's connection to the established stream. */
  readonly loginMs: number;
  /** Quiet time after which the peer is asked whether it is there. */
  readonly idleMs: number;
  /** How long an answer to `<r/>` may take; more than the gatekeeper's own 5 s. */
  readonly answerMs: number;
  /** After an acknowledgement that left something open: when to ask again. */
  readonly askAgainMs: number;
  /** Stanzas sent before the gatekeeper is asked, at the latest. */
  readonly askEvery: number;
  /** How long the peer's `<r/>` may wait for the application to keep what came before it. */
  readonly keepMs: number;
  /** Stanzas that may wait for the gatekeeper's acknowledgement. */
  readonly maxUnacknowledged: number;
  /** Waiting for the peer's end of stream after ours. */
  readonly closeMs: number;
  /**
   * While stanzas are open, in either direction, one of them must be acknowledged or kept within this time; else the
   * session is given up for a new one. Longer than a store that fails is tried, and than a gatekeeper needs to resolve.
   */
  readonly progressMs: number;
};

export const clientStreamLimits: ClientStreamLimits = {
  loginMs: 30_000,
  idleMs: 60_000,
  answerMs: 20_000,
  askAgainMs: 1_000,
  askEvery: 16,
  keepMs: 2_000,
  maxUnacknowledged: 1_024,
  closeMs: 3_000,
  progressMs: 60_000,
};

/** After this number of streams in a row that asked for a resumption and brought nothing, the next one binds. */
export const maxFruitlessResumptions = 2;

export type ClientStreamSettings = {
  /** The gatekeeper's domain, which its header must name. */
  readonly domain: string;
  /**
   * `starttls`: bytes go in the clear until TLS is started, which is required. `secured`: the transport is TLS from the
   * first byte (direct TLS, WebSocket). `authenticated`: the transport's own handshake carried the proof and there are no
   * stream headers (compact): login begins with resumption, or with binding and stream management at once.
   */
  readonly carrier: 'starttls' | 'secured' | 'authenticated';
  /** Ask for stamps on commitments (chapter 10.4); a gatekeeper that knows none passes it over. */
  readonly stamps?: boolean;
  readonly limits?: ClientStreamLimits;
};

/** An outbound stanza and what its owner wants back when it is delivered; iq and pings have no handle. */
export type Outbound<T> = { readonly stanza: Element; readonly handle: T | undefined };

/** Names one inbound stanza to `resolved`. Stays valid over a resumption, and is ignored by later streams. */
export type Ticket = { readonly session: object; readonly sequence: number };

/** `out`: nothing of ours was acknowledged; `in`: nothing that came was kept. */
export type Fruitless = { readonly out: number; readonly in: number };

/** What a dropped stream leaves behind for the next one to take up. */
export type Resumption<T> = {
  readonly id: string;
  readonly jid: string;
  readonly management: StreamManagement<Outbound<T>>;
  /**
   * Streams in a row that asked for this resumption and ended without progress of what is open: each way by itself, so that
   * what moves one way does not hide that the other stands still.
   */
  readonly fruitless: Fruitless;
};

export type ClientStreamInput<T> =
  /** The transport is connected (TCP, TLS or WebSocket, by carrier). */
  | { readonly kind: 'connected' }
  /** The peer's stream header (or `<open/>`). */
  | { readonly kind: 'header'; readonly from: string | undefined; readonly version: string | undefined }
  | { readonly kind: 'element'; readonly element: Element }
  /** The peer ended its stream (`</stream:stream>` or `<close/>`). */
  | { readonly kind: 'ended' }
  /** TLS, which `start-tls` asked for, is up and the certificate is the domain's. */
  | { readonly kind: 'secured' }
  | { readonly kind: 'proof'; readonly token: string }
  | { readonly kind: 'disconnected' }
  /** The peer sent what no decoder takes. */
  | { readonly kind: 'undecodable' }
  | { readonly kind: 'send'; readonly stanza: Element; readonly handle?: T }
  /** The owner has nothing more to send for now: ask for acknowledgements. */
  | { readonly kind: 'flushed' }
  /** The application has kept the stanza with this ticket, or needs nothing of it. */
  | { readonly kind: 'resolved'; readonly ticket: Ticket }
  | { readonly kind: 'time' }
  | { readonly kind: 'close' };

export type ClientStreamEffect<T> =
  | { readonly kind: 'send-header'; readonly to: string }
  | { readonly kind: 'send'; readonly element: Element }
  | { readonly kind: 'send-end' }
  | { readonly kind: 'start-tls' }
  /** Answer with a `proof` input: a fresh ownership proof of this device. */
  | { readonly kind: 'need-proof' }
  /** `resumed` false: whatever was sent on an earlier stream and not `delivered` must be sent again by its owner. */
  | {
      readonly kind: 'established';
      readonly jid: string;
      readonly resumed: boolean;
      /** The gatekeeper stamps commitments; never there on a resumption, which goes on as the session began. */
      readonly stamps?: true;
    }
  /** A message, to be kept and then `resolved`. */
  /** `isEarly`: it was sent before the session had begun; whatever that asked for does not hold for it. */
  | { readonly kind: 'stanza'; readonly element: Element; readonly ticket: Ticket; readonly isEarly?: true }
  /** An iq result or error; needs no `resolved`. */
  | { readonly kind: 'answer'; readonly id: string; readonly element: Element }
  /** The gatekeeper has taken over these stanzas, oldest first. */
  | { readonly kind: 'delivered'; readonly handles: readonly T[] }
  | { readonly kind: 'not-sent'; readonly handle: T | undefined; readonly code: 'not-established' | 'queue-full' }
  /** The end, for this reason; a `close` follows. */
  | { readonly kind: 'failed'; readonly failure: ClientStreamFailure }
  /** Close the transport. `failed` did not come before: the owner had asked for it. */
  | { readonly kind: 'close' };
