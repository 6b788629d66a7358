// Keeps one live stream: connects, logs in with a fresh proof, resumes, waits and tries again, and carries IQs.
// Knows nothing of messages' content, sessions or stores: what arrives is handed on with a way to say that it is kept.
// Source: docs/protocol/04-streams.md; RFC 6120 section 3.3 (reconnection), XEP-0198.
import type { ClientStreamFailure } from '@drawbridge/stream/client-failures';
import {
  ClientStream,
  type ClientStreamEffect,
  type ClientStreamInput,
  type ClientStreamLimits,
  type Resumption,
  type Ticket,
} from '@drawbridge/stream/client-stream';
import { attribute, type Element } from '@drawbridge/wire/element';
import type { Clock, Random } from '../clock.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import { isBusyCondition, pauseBeforeRetryMs, pauseWhenRefusedMs } from './reconnection.ts';
import { requestLimits, Requests } from './requests.ts';
import type { ConnectTransport, Transport } from './transport.ts';

export const connectionLimits = {
  /** A stream that lived this long was good: the next pause is short again. */
  stableMs: 30_000,
  /** Inbound messages being kept; reading stops above, and goes on below half of it. */
  maxUnresolved: 64,
  /** Refusals in a row after which the pauses are long: a person may have to look, and may not have to. */
  maxRefusals: 5,
  /**
   * A stream of this device that takes over once may be an attempt of this client's own that was given up and arrived late;
   * one that takes over again within this time is somebody else's.
   */
  takenOverAgainMs: 600_000,
} as const;

export type ConnectionStatus =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'online'; readonly jid: string; readonly resumed: boolean }
  | { readonly kind: 'waiting'; readonly retryInMs: number; readonly error: ClientError }
  /** For good; `error` is absent when `close` was called. */
  | { readonly kind: 'stopped'; readonly error: ClientError | undefined };

export type ConnectionSettings = {
  readonly domain: string;
  readonly connect: ConnectTransport;
  /** A fresh ownership proof for each login. A `ClientError` that no retry helps stops the connection. */
  readonly proof: (transport: 'xmpp' | 'compact') => Promise<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly streamLimits?: ClientStreamLimits;
};

/** `T` names an outbound stanza to its owner. Handlers are called one at a time and must not throw. */
export type ConnectionHandlers<T> = {
  /**
   * `resolve` says that the message is kept (or needs nothing): only then is it acknowledged. `isStamped`: in a session that
   * brings commitments and stamps.
   */
  readonly message: (element: Element, resolve: () => void, isStamped: boolean) => void;
  /** The gatekeeper has taken these over. */
  readonly delivered: (handles: readonly T[]) => void;
  readonly status: (status: ConnectionStatus) => void;
  /**
   * The gatekeeper ended the stream with this error, and this stanza was the first that it had not acknowledged. True when
   * the stanza must not be sent again: then the next stream binds.
   */
  readonly suspected?: (handle: T, condition: string) => boolean;
};

/** What only the person in front of this client can mend. Everything else is tried again, if slowly. */
const mendable: ReadonlySet<ClientErrorCode> = new Set(['sign-in-refused', 'invalid-argument', 'closed']);

type Current<T> = { readonly stream: ClientStream<T>; readonly transport: Transport };

export class Connection<T> {
  readonly #settings: ConnectionSettings;
  readonly #handlers: ConnectionHandlers<T>;
  readonly #requests: Requests;
  #status: ConnectionStatus = { kind: 'idle' };
  #current: Current<T> | undefined;
  /** The previous stream, for tickets that are still out while there is no new one. */
  #last: ClientStream<T> | undefined;
  #resumption: Resumption<T> | undefined;
  #attempt = 0;
  #refusals = 0;
  #takenOverAtMs: number | undefined;
  #onlineSinceMs: number | undefined;
  /** The session that was begun last stamps commitments; a resumption goes on as it began. */
  #isStamped = false;
  #failure: ClientStreamFailure | undefined;
  #proof: Promise<string> | undefined;
  #proofError: ClientError | undefined;
  #cancelTimer: (() => void) | undefined;
  #timerMs: number | undefined;
  readonly #effects: { readonly current: Current<T>; readonly effect: ClientStreamEffect<T> }[] = [];
  #carryingOut = false;
  #flushing = false;
  #paused = false;
  #closing: (() => void) | undefined;

  constructor(settings: ConnectionSettings, handlers: ConnectionHandlers<T>) {
    this.#settings = settings;
    this.#handlers = handlers;
    this.#requests = new Requests(settings.clock, settings.random);
  }

  /** Whether the gatekeeper takes commitments, and stamps those of others, in the session in force (chapter 10.4). */
  get isStamped(): boolean {
    return this.#isStamped;
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** Begins to connect, and goes on until `close` or a failure that no retry helps. Repeats do nothing. */
  start(): void {
    if (this.#status.kind === 'idle') this.#connect();
  }

  /** Ends the waiting and tries at once (the network came back). */
  retryNow(): void {
    if (this.#status.kind !== 'waiting') return;
    this.#attempt = 0;
    this.#connect();
  }

  /** Sends a stanza; false when there is no live stream or its queue is full, and then it was not sent. */
  send(stanza: Element, handle: T): boolean {
    const { stream } = this.#current ?? {};
    if (stream?.state !== 'established') return false;
    const effects = stream.handle({ kind: 'send', stanza, handle }, this.#nowMs());
    this.#carryOut(effects);
    this.#flushSoon();
    return !effects.some(effect => effect.kind === 'not-sent');
  }

  /**
   * Sends an IQ to the gatekeeper and gives the payload of its result. Rejects with `RequestRefused` (the gatekeeper's
   * error), or `ClientError`: `not-connected` (also when the stream was lost: it may have happened or not), `timed-out`,
   * `too-many-requests`.
   */
  request(
    type: 'get' | 'set',
    payload: Element,
    timeoutMs: number = requestLimits.timeoutMs,
  ): Promise<Element | undefined> {
    const { stream } = this.#current ?? {};
    if (stream?.state !== 'established') return Promise.reject(new ClientError('not-connected'));
    const asked = this.#requests.ask(type, payload, timeoutMs);
    if (asked === undefined) return Promise.reject(new ClientError('too-many-requests'));
    const effects = stream.handle({ kind: 'send', stanza: asked.stanza }, this.#nowMs());
    if (effects.some(effect => effect.kind === 'not-sent')) {
      this.#requests.reject(asked.id, new ClientError('too-many-requests'));
    }
    this.#carryOut(effects);
    this.#flushSoon();
    return asked.answer;
  }

  /** Ends the stream in order. Nothing is handed out after the promise is fulfilled. */
  close(): Promise<void> {
    if (this.#status.kind === 'stopped') return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#closing;
    this.#closing = () => {
      before?.();
      resolve();
    };
    if (this.#current === undefined) this.#stop(undefined);
    else this.#input({ kind: 'close' });
    return promise;
  }

  #connect(): void {
    this.#clearTimer();
    this.#setStatus({ kind: 'connecting' });
    const { domain, streamLimits } = this.#settings;
    this.#failure = undefined;
    this.#proofError = undefined;
    const transport = this.#settings.connect({
      domain,
      emit: event => {
        if (this.#current?.transport === transport) this.#input(event);
      },
      proof: () => this.#compactProof(() => transport),
    });
    // Fetched while the transport connects: one round trip less. A failure waits until the stream asks.
    this.#proof = transport.carrier === 'authenticated' ? undefined : this.#settings.proof('xmpp');
    this.#proof?.catch(() => undefined);
    const limits = streamLimits === undefined ? {} : { limits: streamLimits };
    const stream = new ClientStream<T>(
      { domain, carrier: transport.carrier, stamps: true, ...limits },
      this.#nowMs(),
      this.#resumption,
    );
    this.#current = { stream, transport };
    this.#paused = false;
    this.#arm();
  }

  /** Without a proof the transport gives up; why there was none decides what happens next. */
  async #compactProof(transport: () => Transport): Promise<string> {
    try {
      return await this.#settings.proof('compact');
    } catch (error) {
      if (this.#current?.transport === transport()) this.#proofError = proofErrorOf(error);
      throw error;
    }
  }

  #input(input: ClientStreamInput<T>): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#carryOut(current.stream.handle(input, this.#nowMs()));
    this.#relieve();
    this.#arm();
  }

  /** Handlers may send from within: what that leads to comes behind what is still to be done. */
  #carryOut(effects: readonly ClientStreamEffect<T>[]): void {
    const current = this.#current;
    if (current === undefined) return;
    for (const effect of effects) this.#effects.push({ current, effect });
    if (this.#carryingOut) return;
    this.#carryingOut = true;
    for (let next = this.#effects.shift(); next !== undefined; next = this.#effects.shift()) {
      // A stream that is over has nothing more to say.
      if (next.current === this.#current) this.#effect(next.current, next.effect);
    }
    this.#carryingOut = false;
  }

  #effect({ transport, stream }: Current<T>, effect: ClientStreamEffect<T>): void {
    switch (effect.kind) {
      case 'send-header':
        return transport.sendHeader(effect.to);
      case 'send':
        return transport.send(effect.element);
      case 'send-end':
        return transport.sendEnd();
      case 'start-tls':
        return transport.startTls();
      case 'need-proof':
        return this.#giveProof(stream);
      case 'established':
        if (!effect.resumed) this.#isStamped = effect.stamps === true;
        return this.#established(effect.jid, effect.resumed);
      case 'stanza':
        return this.#handlers.message(
          effect.element,
          this.#resolver(effect.ticket),
          this.#isStamped && effect.isEarly !== true,
        );
      case 'answer':
        if (this.#isFromGatekeeper(attribute(effect.element, 'from')))
          this.#requests.answered(effect.id, effect.element);
        return;
      case 'delivered':
        return this.#handlers.delivered(effect.handles);
      case 'not-sent':
        return;
      case 'failed':
        this.#failure = effect.failure;
        return;
      case 'close':
        return this.#closed(stream, transport);
    }
  }

  #giveProof(stream: ClientStream<T>): void {
    void this.#proof?.then(
      token => {
        if (this.#current?.stream === stream) this.#input({ kind: 'proof', token });
      },
      (error: unknown) => {
        if (this.#current?.stream !== stream) return;
        this.#proofError = proofErrorOf(error);
        this.#input({ kind: 'disconnected' });
      },
    );
  }

  #established(jid: string, resumed: boolean): void {
    this.#onlineSinceMs = this.#nowMs();
    this.#refusals = 0;
    // What was asked on a session that is gone may have been done or not; its answer will never come.
    if (!resumed) this.#requests.rejectAll(new ClientError('not-connected', { detail: 'the stream was lost' }));
    this.#setStatus({ kind: 'online', jid, resumed });
  }

  #resolver(ticket: Ticket): () => void {
    return () => {
      const stream = this.#current?.stream ?? this.#last;
      if (stream === undefined) return;
      this.#carryOut(stream.handle({ kind: 'resolved', ticket }, this.#nowMs()));
      this.#relieve();
      this.#arm();
    };
  }

  /** RFC 6120 section 8.1.2.1: the domain, or no address; some servers name our own account. */
  #isFromGatekeeper(from: string | undefined): boolean {
    if (from === undefined || from === this.#settings.domain) return true;
    const jid = this.#status.kind === 'online' ? this.#status.jid : '';
    return from === jid || from === jid.split('/')[0];
  }

  #closed(stream: ClientStream<T>, transport: Transport): void {
    this.#last = stream;
    this.#current = undefined;
    this.#resumption = stream.resumption;
    transport.close();
    if (this.#closing !== undefined) return this.#stop(undefined);
    const failure: ClientStreamFailure = this.#failure ?? { code: 'disconnected' };
    const suspect = stream.firstUnacknowledged;
    if (failure.code === 'stream-error' && !isBusyCondition(failure.condition) && suspect !== undefined) {
      const isSetAside = this.#handlers.suspected?.(suspect, failure.condition ?? 'stream-error') === true;
      if (isSetAside) this.#resumption = undefined;
    }
    const error = this.#proofError ?? errorOf(failure, transport);
    const nowMs = this.#nowMs();
    if (mendable.has(error.code) || (error.code === 'replaced' && this.#isTakenOver(nowMs))) return this.#stop(error);
    const isProofError = error === this.#proofError && !error.retry;
    if (error.code === 'proof-refused' || isProofError) this.#refusals++;
    else if (error.code === 'not-judged') this.#refusals = 0;
    const { random } = this.#settings;
    if (this.#onlineSinceMs !== undefined && nowMs - this.#onlineSinceMs >= connectionLimits.stableMs)
      this.#attempt = 0;
    this.#onlineSinceMs = undefined;
    const retryInMs =
      this.#refusals >= connectionLimits.maxRefusals
        ? pauseWhenRefusedMs(random())
        : pauseBeforeRetryMs(this.#attempt++, isBusyCondition(failure.condition), random());
    this.#setTimer(nowMs + retryInMs, () => this.#connect());
    this.#setStatus({ kind: 'waiting', retryInMs, error });
  }

  #isTakenOver(nowMs: number): boolean {
    const lastMs = this.#takenOverAtMs;
    this.#takenOverAtMs = nowMs;
    return lastMs !== undefined && nowMs - lastMs < connectionLimits.takenOverAgainMs;
  }

  #stop(error: ClientError | undefined): void {
    this.#clearTimer();
    this.#current = undefined;
    this.#resumption = undefined;
    this.#requests.rejectAll(error ?? new ClientError('closed'));
    this.#setStatus({ kind: 'stopped', error });
    this.#closing?.();
    this.#closing = undefined;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#input({ kind: 'flushed' });
    });
  }

  /** Stops and resumes reading by how much the application has still to keep. */
  #relieve(): void {
    const current = this.#current;
    if (current === undefined) return;
    const unresolved = current.stream.unresolvedCount;
    if (!this.#paused && unresolved >= connectionLimits.maxUnresolved) {
      this.#paused = true;
      current.transport.pause();
    } else if (this.#paused && unresolved <= connectionLimits.maxUnresolved / 2) {
      this.#paused = false;
      current.transport.resume();
    }
  }

  /** One timer: for the stream while there is one, else for the next attempt. */
  #arm(): void {
    const stream = this.#current?.stream;
    if (stream === undefined) return;
    const deadlineMs = stream.deadlineMs;
    if (deadlineMs === this.#timerMs) return;
    this.#clearTimer();
    if (deadlineMs !== undefined) this.#setTimer(deadlineMs, () => this.#input({ kind: 'time' }));
  }

  #setTimer(atMs: number, run: () => void): void {
    this.#clearTimer();
    const { clock } = this.#settings;
    this.#timerMs = atMs;
    this.#cancelTimer = clock.after(Math.max(0, atMs - this.#nowMs()), () => {
      this.#timerMs = undefined;
      this.#cancelTimer = undefined;
      run();
    });
  }

  /** Time that no change of the wall clock moves, where the clock gives it. */
  #nowMs(): number {
    const { clock } = this.#settings;
    return clock.monotonicMs?.() ?? clock.nowMs();
  }

  #clearTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#timerMs = undefined;
  }

  #setStatus(status: ConnectionStatus): void {
    this.#status = status;
    this.#handlers.status(status);
  }
}

function proofErrorOf(error: unknown): ClientError {
  return error instanceof ClientError ? error : new ClientError('proof-source-failed', { cause: error });
}

function errorOf(failure: ClientStreamFailure, transport: Transport): ClientError {
  if (failure.code === 'disconnected' && transport.failure !== undefined) return transport.failure;
  const detail = failure.condition === undefined ? failure.code : `${failure.code}: ${failure.condition}`;
  switch (failure.code) {
    case 'replaced':
      return new ClientError('replaced');
    case 'not-authorized':
      return new ClientError('proof-refused', { detail });
    case 'temporary-auth-failure':
      return new ClientError('not-judged', { detail });
    case 'not-kept':
      return new ClientError('store-failed', { detail });
    case 'proof-unusable':
      return new ClientError('proof-source-failed', { detail });
    case 'login-timeout':
    case 'peer-silent':
    case 'not-acknowledged':
      return new ClientError('timed-out', { detail });
    case 'disconnected':
    case 'ended-by-peer':
    case 'stream-error':
      return new ClientError('unreachable', { detail });
    default:
      return new ClientError('protocol-error', { detail });
  }
}
