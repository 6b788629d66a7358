// What scenarios see of one logged-in connection, whatever carries it; and the turn in which writes go out.
import type { MessageKind, Payload, Person, Target } from './target.ts';

export type ClientOptions = {
  readonly target: Target;
  readonly person: Person;
  readonly payload: Payload;
  /** Ownership proof; undefined for servers with passwords. */
  readonly proof: string | undefined;
  /** Stream management: enable it, answer and send requests. */
  readonly managed: boolean;
  /** Whether the server may deliver at once. Without it the client is logged in and silent. */
  readonly available: boolean;
  readonly sink: ClientSink;
  /** Loopback address to come from; the system's choice when left out. */
  readonly localAddress?: string | undefined;
  /** Take this session up again instead of binding. */
  readonly resume?: Session | undefined;
  readonly tls?: TlsChoice;
};

/** What a client offers on TLS, and what it keeps of it. */
export type TlsChoice = {
  /** Key exchange; left out: what OpenSSL offers by itself. */
  readonly group?: string;
  /** The newest session ticket of each person. It is shown again until the server gives another. */
  readonly tickets?: Map<number, Buffer>;
};

/** A session that may be resumed, and how many stanzas of it the client has handled. */
export type Session = { readonly id: string; readonly handled: number };

export interface ClientSink {
  message(client: LoadClient, kind: MessageKind, id: number): void;
  /** Stanzas sent on this stream that the server answers for, in all. */
  acknowledged(client: LoadClient, handled: number): void;
  /** An error stanza in answer to ours. */
  refused(client: LoadClient): void;
  /** The connection is gone, not by `close`. */
  lost(client: LoadClient, reason: string): void;
}

export interface LoadClient {
  readonly person: Person;
  /** Of a managed stream. */
  readonly session: Session | undefined;
  /** Sent at the end of this turn, with what else there is, in one write. */
  send(to: Person, kind: MessageKind, id: number): void;
  readonly sentStanzas: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Stops reading from the socket. */
  pause(): void;
  resume(): void;
  /** Ends the stream in order, or cuts it. */
  close(how: 'in-order' | 'cut'): void;
}

export class LoginFailed extends Error {}

/** Writes of a turn go out together when the turn of the event loop is over, as they would from busy clients. */
export class Turn {
  #dirty: { flush(): void }[] = [];

  mark(client: { flush(): void }): void {
    if (this.#dirty.push(client) === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const client of dirty) client.flush();
  }
}

/** For `connect`. */
export function from(localAddress: string | undefined): { localAddress?: string } {
  return localAddress === undefined ? {} : { localAddress };
}
