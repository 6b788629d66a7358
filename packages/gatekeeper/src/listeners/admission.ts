// What every listener needs to let a device in and hand its elements to a session. Knows nothing of encodings.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { LogData } from '../control-log.ts';
import type { Account, Device } from '../enlistment/account.ts';
import type { Carrier } from '../routing/carrier.ts';
import { DeviceSession, type SessionHost } from '../routing/device-session.ts';
import type { Sessions } from '../routing/sessions.ts';
import { type LoginStep, LoginTurns } from './login-turns.ts';
import { PrefixCounts, sharesOf } from '@drawbridge/identity/network-prefix';

/** Who a stream belongs to, and the provider's key that vouched for it. */
export type Admitted = { readonly account: Account; readonly device: Device; readonly keyThumbprint: string };

export type Admission =
  | (Admitted & { readonly kind: 'admitted'; readonly proofExpiresAtMs: number })
  | { readonly kind: 'refused'; readonly code: string };

/** Refusals that say nothing of the proof: our storage or the provider's key set is not at hand. A later try may help. */
export function isNotJudged(code: string): boolean {
  return code === 'replay-check-failed' || code === 'account-unread' || code === 'key-set-unavailable';
}

export type ListenerLimits = {
  /** From connect to an established session. */
  readonly loginMs: number;
  readonly tlsHandshakeMs: number;
  /** Connections of one address (IPv4, or the /64 of IPv6) that have not logged in, and of one /48. */
  readonly maxUnauthenticatedPerAddress: number;
  readonly maxUnauthenticatedPerSite: number;
  /** All connections that have not logged in. */
  readonly maxUnauthenticated: number;
  readonly maxConnections: number;
  /** What logins may take of the event loop before established streams are looked at again. */
  readonly loginTurnMs: number;
  /** How long a connection that is refused may take to hear it, and how many may at once; others are cut. */
  readonly refusalMs: number;
  readonly maxRefusals: number;
  /** Bytes waiting in one socket beyond which nothing more is handed to its device. */
  readonly congestedBytes: number;
  /** A client that shows no sign of what it wants gets its mailbox after this. */
  readonly startDeliveryMs: number;
  /** After our end of stream, how long the peer may take for its own. */
  readonly closeMs: number;
  readonly tcpKeepAliveMs: number;
};

export const defaultListenerLimits: ListenerLimits = {
  loginMs: 30_000,
  tlsHandshakeMs: 10_000,
  maxUnauthenticatedPerAddress: 32,
  maxUnauthenticatedPerSite: 256,
  maxUnauthenticated: 20_000,
  maxConnections: 100_000,
  loginTurnMs: 5,
  refusalMs: 1_000,
  maxRefusals: 64,
  congestedBytes: 1024 * 1024,
  startDeliveryMs: 250,
  closeMs: 2_000,
  tcpKeepAliveMs: 120_000,
};

/** Counts and events for operators; nothing in them names a person, an address or a token. */
/** `error`: a defect of ours; the operator should report it. */
export type ListenerLog = (event: string, data?: LogData, level?: 'info' | 'error') => void;

/** Shown what arrived, decrypted as far as the gatekeeper can. Development only. */
export type Tap = (received: Uint8Array | string) => void;

export type ListenerHost = {
  readonly tap: Tap | undefined;
  readonly domain: string;
  readonly limits: ListenerLimits;
  readonly sessions: Sessions;
  readonly sessionHost: SessionHost;
  readonly log: ListenerLog;
  /** Whether account, device and key are still there: they may have gone while the proof was verified. */
  readonly stillAdmitted: (admitted: Admitted) => boolean;
  /** Verifies a proof and finds the device it belongs to. Never rejects. */
  readonly authenticate: (
    token: string,
    transport: 'xmpp' | 'compact',
    deviceKeyThumbprint?: string,
  ) => Promise<Admission>;
  readonly gate: ConnectionGate;
  /** Streams that ended with an error, by its condition or, where nothing was said, by the code in the log. */
  readonly streamErrors: Map<string, number>;
  /** The key by which connections from an address are counted. */
  readonly keyOf: (address: string) => string;
  /** That of whoever opens a WebSocket; behind a reverse proxy that is not the socket's. */
  readonly addressOf: (request: IncomingMessage) => string;
};

/** A stream of this host ends with an error. */
export function countStreamError({ streamErrors }: ListenerHost, code: string): void {
  streamErrors.set(code, (streamErrors.get(code) ?? 0) + 1);
}

/** Starts the session of a device that has just logged in; an earlier one of the device is closed. */
export function beginSession(host: ListenerHost, admitted: Admitted, carrier: Carrier): DeviceSession {
  // First, so that what the device has said counts on.
  host.sessions.ofDevice(admitted.device)?.end('conflict');
  const session = new DeviceSession(host.sessionHost, admitted.account, admitted.device, admitted.keyThumbprint);
  host.sessions.add(session);
  session.carryOn(carrier);
  setTimeout(() => session.startDelivery(), host.limits.startDeliveryMs).unref();
  return session;
}

/** Bounds connections, in all and, before login, by network prefix; gives logins their turns. */
export class ConnectionGate {
  readonly #limits: ListenerLimits;
  readonly #byPrefix: PrefixCounts;
  readonly turns: LoginTurns;
  /**
   * Open sockets of the listeners for streams, which add and remove them: what is left of them at the end is cut. No
   * listener on each socket does that, for one that is the second of its kind makes Node keep a list.
   */
  readonly sockets = new Set<Socket>();
  #unauthenticated = 0;
  #connections = 0;
  #refusals = 0;
  #relayed = 0;
  #others: () => number = () => 0;

  constructor(limits: ListenerLimits) {
    this.#limits = limits;
    this.#byPrefix = new PrefixCounts(limits.maxUnauthenticatedPerAddress, limits.maxUnauthenticatedPerSite);
    this.turns = new LoginTurns(limits.loginTurnMs);
  }

  /** After the limits object has changed. */
  limitsChanged(): void {
    const { maxUnauthenticatedPerAddress, maxUnauthenticatedPerSite } = this.#limits;
    this.#byPrefix.setBounds(maxUnauthenticatedPerAddress, maxUnauthenticatedPerSite);
  }

  get connections(): number {
    return this.#connections;
  }

  get unauthenticated(): number {
    return this.#unauthenticated;
  }

  /** Connections that are not streams and need a file all the same (HTTP): they count among `maxConnections`. */
  countOthers(others: () => number): void {
    this.#others = others;
  }

  get isFull(): boolean {
    return this.#connections + this.#others() >= this.#limits.maxConnections;
  }

  /** The place of a new connection from this address key, or undefined: refuse it. */
  enter(key: string): ConnectionPlace | undefined {
    if (this.#unauthenticated >= this.#limits.maxUnauthenticated || this.isFull) return undefined;
    if (this.#byPrefix.full(key) !== undefined) return undefined;
    this.#byPrefix.add(key);
    this.#unauthenticated++;
    this.#connections++;
    return new Place(this, key);
  }

  /** Says these words, if any, to a connection that got no place, and closes it. */
  refuse(socket: Duplex, words = ''): void {
    socket.on('error', () => socket.destroy());
    if (words === '' || this.#refusals >= this.#limits.maxRefusals) {
      socket.destroy();
      return;
    }
    this.#refusals++;
    const cut = setTimeout(() => socket.destroy(), this.#limits.refusalMs);
    socket.once('close', () => {
      clearTimeout(cut);
      this.#refusals--;
    });
    // Read away what it says: a socket that is closed with bytes unread is reset, and the words may be lost.
    socket.on('end', () => socket.destroy());
    socket.resume();
    socket.end(words);
  }

  /** A connection of this address key has logged in, or is over before it did. */
  loggedIn(key: string): void {
    this.#unauthenticated--;
    this.#byPrefix.remove(key);
  }

  /** In whose name a newcomer takes its turn: a relay has as many as it has shares. */
  turnOf(key: string): string {
    const shares = sharesOf(key);
    return shares === 1 ? key : `${key} ${this.#relayed++ % shares}`;
  }

  left(): void {
    this.#connections--;
  }
}

class Place {
  readonly network: string;
  readonly #gate: ConnectionGate;
  /** Undefined once logged in. */
  #address: string | undefined;
  #begun = false;
  #left = false;

  constructor(gate: ConnectionGate, address: string) {
    this.network = address;
    this.#gate = gate;
    this.#address = address;
  }

  turn(step: LoginStep): void {
    if (this.#begun || this.#address === undefined) this.#gate.turns.next(step);
    else {
      this.#begun = true;
      this.#gate.turns.first(this.#gate.turnOf(this.#address), step);
    }
  }

  admitted(): void {
    if (this.#address === undefined) return;
    this.#gate.loggedIn(this.#address);
    this.#address = undefined;
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.admitted();
    this.#gate.left();
  }
}

/**
 * One connection's place: `admitted` after login, `leave` at its end; repeats do nothing. `turn` has a step of the login
 * done when its turn comes, also when the connection is over by then: the step looks.
 */
export type ConnectionPlace = {
  /** The key of the address that it came from. */
  readonly network: string;
  turn(step: LoginStep): void;
  admitted(): void;
  leave(): void;
};
